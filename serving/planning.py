"""Planning: what a day's plan is made of, and the plan by rule, under capacities, contact rules and what persons owe.

An account may get one of several options: a channel or, where capacities count the calls of some hours, calls in one
part of the day (`serving.call_hours`). Options are given so that what they add together is largest under all capacities
(`serving.allocation`). Where a rule then forbids a proposal beside others to the same person (`serving.persons`), what
it forbids is barred, and the day is solved again; after a few times such proposals are given up, and what they took
goes to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from features.histories import Histories, category_values
from features.settings import COLUMNS_OF_WHERE, NamedCapacity
from features.units import MONEY_SCALE, Instants, Rows, to_money
from serving.allocation import Allocation, Capacity, allocate, give_pairs, kinds_of
from serving.call_hours import hours_of, parts_of_day, relative_reach
from serving.contact_rules.packs import named_packs, pack_called
from serving.contact_rules.rules import blocked_until
from serving.contact_rules.windows import Window, instant_of, window_from
from serving.due import Due, due_accounts
from serving.persons import cannot_stand, persons_of, shared
from serving.scoring import Actions, Mask, Scorer, actions_of, allowed_actions, rows_of
from training.bundle import Floats

_CALL = "call"
#: How often a day is solved, for proposals to the same person, before some of them are given up.
_ROUNDS = 4


@dataclass(frozen=True)
class Scenario:
    """What a day may be like: its capacities by name, the rule pack of all accounts, the cost of channels.

    A named capacity that is not named has its own limit, a channel none: it is not worked. `rules` is None where each
    account has its own pack, and `costs` names the channels whose cost is another than the settings say.
    """

    capacities: Mapping[str, float]
    rules: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """What an account may get, `(n_options,)`: the position of the channel, and the hours, `(n_options, 24)`.

    `reach`, `(n, n_options)`, is the multiple of the channel's effect that its hours are worth, and `adds` what that
    adds to the value of the channel: -inf where none of them is left. Both are None where hours are not told apart.
    """

    channel: Rows
    hours: Mask
    reach: Floats | None = None
    adds: Floats | None = None

    def of_channels(self, by_channel: Floats) -> Floats:
        """Gains by option, `(n, n_options)`, from those by channel, `(n, n_channels)`."""
        if self.adds is None:
            return by_channel
        return by_channel[:, self.channel] + self.adds

    def reach_of(self, places: Rows, option: Rows) -> Floats:
        """The multiple of the channel's effect that the hours of an option each are worth for accounts, `(m,)`."""
        return np.ones(len(places)) if self.reach is None else self.reach[places, option]


@dataclass(frozen=True)
class Supply:
    """What there is of a day, by name: of channels first, then what has a name of its own.

    What is counted in money is in ten-thousandths, so that sums are exact; `unit` is how many make up one of what
    people count, `(n_capacities,)`.
    """

    names: tuple[str, ...]
    capacities: tuple[Capacity, ...]
    unit: Floats


@dataclass(frozen=True)
class Day:
    """What a plan is made of, of `n` scored accounts in the order of their ids: the same scores give the same plan.

    Attributes:
        scorer: what scored them.
        histories: what was scored.
        as_of: the moment.
        scores: `n` rows.
        rows: `(n,)` their positions in the histories.
        actions: the actions, with their costs.
        packs: `(n,)` the name of the rule pack of each.
        under: the histories, under the rules that hold.
        blocked: `(n, n_channels)` until when rules forbid each channel.
        allowed: `(n, n_actions)`.
        due: who comes before all others.
        options: what an account may get.
        gain: `(n, n_options)` what each option adds, -inf where it may not be.
        supply: what there is.
    """

    scorer: Scorer
    histories: Histories
    as_of: int
    scores: pd.DataFrame
    rows: Rows
    actions: Actions
    packs: list[str]
    under: Histories
    blocked: Instants
    allowed: Mask
    due: Due
    options: Options
    gain: Floats
    supply: Supply

    @cached_property
    def open_to(self) -> Mask:
        """Which actions each account may be given today, `(n, n_actions)`: allowed, and not while it rests."""
        return self.allowed & ~self.due.resting[:, None]

    @cached_property
    def person(self) -> Rows:
        """The person of each account, `(n,)`."""
        return persons_of(self.histories, self.rows)

    @cached_property
    def value(self) -> Floats:
        """The value of each action, `(n, n_actions)`."""
        return values_of(self.scores, self.actions, self.histories)

    @cached_property
    def worth(self) -> Floats:
        """What each action is worth to the order, `(n, n_actions)`: its value, and what it is that the debtor pays."""
        each = self.histories.settings.queue.payer_worth
        if not each:
            return self.value
        p_pay = np.column_stack([self.scores[f"p_pay_{name}"].to_numpy(np.float64) for name in self.actions.names])
        return self.value + each * p_pay

    def prices(self, prices: Floats) -> dict[str, float]:
        """What one more of each capacity adds, from `(n_capacities,)`; of channels only those that are worked."""
        actions = self.actions
        worked = actions.enabled[: actions.waiting].copy()
        worked &= np.array([one.limit > 0 for one in self.supply.capacities[: actions.waiting]])
        if actions.effects_known:
            worked &= actions.supported[: actions.waiting]
        by_name = zip(self.supply.names, (prices * self.supply.unit).tolist(), strict=True)
        named = self.supply.names[actions.waiting :]
        there = {*named, *(name for name, one in zip(actions.names, worked, strict=False) if one)}
        return {name: price for name, price in by_name if name in there}

    def used(self, used: Floats) -> dict[str, float]:
        """How much is taken of each named capacity, as people count it, from `(n_capacities,)`."""
        amounts = dict(zip(self.supply.names, (used / self.supply.unit).tolist(), strict=True))
        return {name: amounts[name] for name in self.supply.names[self.actions.waiting :]}

    def windows(self, places: Rows, channel: Rows) -> list[Window]:
        """When accounts may be contacted through a channel each, `(m,)`; worked out once per zone, pack and channel."""
        zones = self.histories.timezones[self.rows[places]]
        names = [self.actions.names[one] for one in channel]
        asked = list(zip(zones, (self.packs[place] for place in places), names, strict=True))
        known = {one: window_from(self.as_of, one[0], pack_called(one[1]), one[2]) for one in set(asked)}
        return [known[one] for one in asked]


@dataclass(frozen=True)
class DayPlan:
    """A plan by rule: the option of each account, `(n,)`, -1 for none, and what was solved.

    Attributes:
        choice: the options.
        solved: the allocation, its choice before proposals were given up.
        gain: `(n, n_options)` as it was solved, without what was barred.
        first: `(n,)` who came before all others.
        beside: `(n,)` of whom something was barred beside other proposals to the same person.
    """

    choice: Rows
    solved: Allocation
    gain: Floats
    first: Mask
    beside: Mask

    @property
    def charge(self) -> Floats:
        """What each option takes, at the prices, `(n, n_options)`."""
        return self.solved.charge[self.solved.kind]

    def in_order(self) -> Rows:
        """Who has something, in the order of the queue: by what it adds less the price of what it takes."""
        taken = np.flatnonzero(self.choice >= 0)
        option = self.choice[taken]
        worth = self.gain[taken, option] - self.solved.charge[self.solved.kind[taken], option]
        return taken[np.lexsort((-worth, ~self.first[taken]))]

    def value(self) -> float:
        """The sum of the gains."""
        taken = np.flatnonzero(self.choice >= 0)
        return float(self.gain[taken, self.choice[taken]].sum())


def day_of(scorer: Scorer, scores: pd.DataFrame, histories: Histories, as_of: int, scenario: Scenario) -> Day:
    """Gather what a plan is made of; the arguments are those of `serving.queue.build_queue`."""
    if not scores["account_id"].is_monotonic_increasing:
        scores = scores.sort_values("account_id")
    scores = scores.reset_index(drop=True)
    rows = rows_of(histories, scores["account_id"])
    actions = _actions(scorer, histories, scenario)
    under = histories if scenario.rules is None else _under(histories, scenario.rules)
    blocked = blocked_until(under, rows, as_of, of_person=True)
    allowed = allowed_actions(blocked, as_of, actions)
    named = histories.settings.queue.capacities
    everyone = Options(np.arange(actions.waiting), np.ones((actions.waiting, 24), dtype=np.bool_))
    day = Day(
        scorer, histories, as_of, scores, rows, actions, named_packs(under, rows), under, blocked, allowed,
        due_accounts(histories, rows, as_of), everyone, np.empty((0, 0)), Supply((), (), np.empty(0)),
    )  # fmt: skip
    day = replace(day, options=_options(day, named))
    worked = np.array([scenario.capacities.get(name, 0) > 0 for name in actions.names])
    gain = day.options.of_channels(gains_by_channel(day, worked))
    return replace(day, gain=gain, supply=_supply(day, scenario.capacities, named))


def plan_of(day: Day, supply: Supply | None = None) -> DayPlan:
    """The plan by rule, under what there is of the day or, where it is given, another supply."""
    capacities = (day.supply if supply is None else supply).capacities
    plan = _solved(day, capacities, day.gain, np.zeros(len(day.rows), dtype=np.bool_))
    fallen, forbidden = _fallen(day, plan)
    for _ in range(_ROUNDS):
        if len(fallen):
            plan = _solved(day, capacities, *_barred(day, plan, fallen, forbidden))
            fallen, forbidden = _fallen(day, plan)
    if not len(fallen):
        return plan
    gain, beside = _barred(day, plan, fallen, forbidden)
    plan, choice = replace(plan, gain=gain, beside=beside), plan.choice.copy()
    choice[fallen] = -1
    fill(day, plan, choice, np.array([one.limit for one in capacities]) - used_of(day, choice))
    return replace(plan, choice=choice)


def fill(day: Day, plan: DayPlan, choice: Rows, room: Floats) -> None:
    """Give what there is room for to the next accounts in the order of the queue; writes `choice` and `room`.

    An account of a person who has something already gets nothing, and of those of one person only the first does.
    """
    served = np.unique(day.person[choice >= 0])
    open_to = (choice < 0) & ~np.isin(day.person, served)
    worth = np.where(open_to[:, None] & (plan.gain > 0), plan.gain - plan.charge, -np.inf).ravel()
    pairs = np.flatnonzero(worth > -np.inf)
    pairs = pairs[np.argsort(-worth[pairs], kind="stable")]
    account, option = pairs // plan.gain.shape[1], pairs % plan.gain.shape[1]
    _, begin, of = np.unique(day.person[account], return_index=True, return_inverse=True)
    chief = account == account[begin][of]
    kind, use = kinds(day, day.supply.capacities)
    give_pairs(account[chief], option[chief], kind, use, room, choice)


def kinds(day: Day, capacities: tuple[Capacity, ...]) -> tuple[Rows, Floats]:
    """Which capacities apply to each account, as its kind, and what options take by kind: `allocation.kinds_of`."""
    use = np.array([one.use for one in capacities], dtype=np.float64)
    return kinds_of(len(day.rows), use.reshape(len(capacities), day.gain.shape[1]), capacities)


def used_of(day: Day, choice: Rows) -> Floats:
    """How much of each capacity is taken by options, `(n,)`: `(n_capacities,)`."""
    kind, use = kinds(day, day.supply.capacities)
    taken = np.flatnonzero(choice >= 0)
    return np.asarray(use[kind[taken], choice[taken]].sum(axis=0), dtype=np.float64)


def gains_by_channel(day: Day, worked: Mask) -> Floats:
    """What each channel adds for each account, `(n, n_channels)`; -inf where it may not be."""
    value, actions = day.worth, day.actions
    channels = slice(0, actions.waiting)
    if actions.effects_known:
        eligible = day.open_to & actions.supported & worked
        return np.where(eligible, value - value[:, [actions.waiting]], -np.inf)[:, channels]
    # One channel each: the first of the fallback order that is allowed and worked, for what it is expected to bring.
    eligible = day.open_to & worked
    first = np.array(actions.fallback_order)[eligible[:, actions.fallback_order].argmax(axis=1)]
    only = eligible & (np.arange(len(actions.names)) == first[:, None])
    gain = value if actions.has_money else day.scores[["p_pay"]].to_numpy(np.float64)
    return np.where(only, gain, -np.inf)[:, channels]


def values_of(scores: pd.DataFrame, actions: Actions, histories: Histories) -> Floats:
    """The value of each action, `(n, n_actions)`: that of the scores, at the cost that actions have now."""
    value = np.column_stack([scores[f"value_{name}"].to_numpy(np.float64) for name in actions.names])
    cost = np.array([*(channel.cost for channel in histories.settings.channels), 0.0])
    return np.where(actions.cost == cost, value, value + cost - actions.cost)


def _actions(scorer: Scorer, histories: Histories, scenario: Scenario) -> Actions:
    actions = actions_of(scorer.bundle, histories.settings)
    cost = [scenario.costs.get(name, cost) for name, cost in zip(actions.names, actions.cost.tolist(), strict=True)]
    return replace(actions, cost=np.array(cost))


def _under(histories: Histories, rules: str) -> Histories:
    """The histories, all accounts under one rule pack."""
    jurisdiction = np.full(len(histories), rules, dtype=object)
    return replace(histories, accounts=histories.accounts._replace(jurisdiction=jurisdiction))


def _options(day: Day, named: tuple[NamedCapacity, ...]) -> Options:
    parts = parts_of_day(named)
    if len(parts) == 1:
        return day.options
    call = day.actions.names.index(_CALL)
    channel = np.concatenate([[place] * (len(parts) if place == call else 1) for place in day.options.channel])
    calls = channel == call
    hours = np.ones((len(channel), parts.shape[1]), dtype=np.bool_)
    hours[calls] = parts
    everyone = np.arange(len(day.rows))
    windows = day.windows(everyone, np.full(len(everyone), call))
    found = relative_reach(day.scorer.bundle, day.histories, day.rows, day.as_of, windows, parts)
    reach, effect = np.ones((len(everyone), len(channel))), np.zeros(len(everyone))
    # Where no effect is known, nothing says what an hour adds to it.
    if day.actions.effects_known:
        reach[:, calls] = np.nan_to_num(found, nan=1.0)
        effect = day.worth[:, call] + day.actions.cost[call] - day.worth[:, day.actions.waiting]
    adds = effect[:, None] * (reach - 1.0)
    adds[:, calls] = np.where(np.isnan(found), -np.inf, adds[:, calls])
    return Options(channel, hours, reach, adds)


def _supply(day: Day, limits: Mapping[str, float], named: tuple[NamedCapacity, ...]) -> Supply:
    names = day.actions.names[: day.actions.waiting]
    channel = day.options.channel
    found = [
        Capacity(float(limits.get(name, 0)), (channel == place).astype(np.float64)) for place, name in enumerate(names)
    ]
    found += [_named(day, one, limits.get(one.name, one.limit)) for one in named]
    unit = [1.0] * len(names) + [float(MONEY_SCALE) if one.counts_money else 1.0 for one in named]
    return Supply((*names, *(one.name for one in named)), tuple(found), np.array(unit))


def _named(day: Day, one: NamedCapacity, limit: float) -> Capacity:
    names = np.array(day.actions.names, dtype=object)[day.options.channel]
    counted = np.isin(names, one.channels) if one.channels else np.ones(len(names), dtype=np.bool_)
    if one.hours is not None:
        counted &= (names == _CALL) & (day.options.hours & hours_of(one)).any(axis=1)
    each = to_money(day.actions.cost)[day.options.channel] if one.counts_money else np.ones(len(names))
    whole = float(to_money(limit)) if one.counts_money else float(limit)
    return Capacity(whole, np.where(counted, each, 0.0), accounts_of(day.histories, day.rows, one))


def accounts_of(histories: Histories, rows: Rows, capacity: NamedCapacity) -> Mask | None:
    """Which of the accounts at `rows`, `(n,)`, a capacity counts; None where it counts all."""
    wanted = {name: values for name in COLUMNS_OF_WHERE if (values := getattr(capacity.where, name))}
    if not wanted:
        return None
    found = np.ones(len(rows), dtype=np.bool_)
    for name, values in wanted.items():
        of_all = histories.accounts.jurisdiction if name == "jurisdiction" else category_values(histories, name)
        found &= pd.Index(of_all[rows]).isin(values)
    return found


def _allocated(gain: Floats, due: Due, capacities: tuple[Capacity, ...]) -> tuple[Allocation, Mask]:
    """The allocation by rule, and who came before all others in it, `(n,)`."""
    first = due.broken
    if due.unseen.any():
        # Of those not seen for long, as many as have a place by right; which option they get is then open.
        right = [replace(one, limit=float(np.floor(due.share * one.limit))) for one in capacities]
        by_right = allocate(np.where(due.unseen[:, None], gain, -np.inf), right, due.unseen)
        first = first | (by_right.choice >= 0)
    return allocate(gain, capacities, first), first


def _solved(day: Day, capacities: tuple[Capacity, ...], gain: Floats, beside: Mask) -> DayPlan:
    solved, first = _allocated(gain, day.due, capacities)
    return DayPlan(solved.choice, solved, gain, first, beside)


def _barred(day: Day, plan: DayPlan, fallen: Rows, forbidden: Mask) -> tuple[Floats, Mask]:
    """The gains without what is forbidden to the accounts at `fallen`, and of whom something is barred by now."""
    gain, beside = plan.gain.copy(), plan.beside.copy()
    gain[fallen] = np.where(forbidden[:, day.options.channel], -np.inf, gain[fallen])
    beside[fallen] = True
    return gain, beside


def _fallen(day: Day, plan: DayPlan) -> tuple[Rows, Mask]:
    """The accounts whose proposal cannot stand beside others to the same person, and what rules forbid them then."""
    order = plan.in_order()
    order = shared(day.person, order)
    if not len(order):
        return order, np.zeros((0, day.actions.waiting), dtype=np.bool_)
    channel = day.options.channel[plan.choice[order]]
    opens = np.array([instant_of(window.not_before) for window in day.windows(order, channel)], dtype=np.int64)
    begin = np.maximum(opens, day.as_of)
    return cannot_stand(day.under, day.rows, day.person, order, channel, begin, day.as_of)
