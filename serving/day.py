"""A day to be planned: the scored accounts, what rules leave of them, what each may get, and what there is of it.

An account may get one of several options: a channel or, where capacities count the calls of some hours, calls in one
part of the day (`serving.call_hours`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from features.histories import Histories, having
from features.hours import HOURS
from features.settings import COLUMNS_OF_WHERE, NamedCapacity
from features.units import MONEY_SCALE, Instants, Rows, to_money
from serving.allocation import Capacity
from serving.call_hours import hours_of, parts_of_day, relative_reach
from serving.contact_rules.packs import named_packs, pack_called
from serving.contact_rules.rules import blocked_until
from serving.contact_rules.windows import Window, window_from
from serving.due import Due, due_accounts
from serving.ladder.policy import Ladder
from serving.ladder.rungs import Rungs, rungs_of
from serving.persons import persons_of
from serving.scoring import Actions, Mask, Scorer, actions_of, allowed_actions, rows_of
from training.bundle import Floats

_CALL = "call"


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
        due: who comes before all others.
        scenario: what the day is like.
        under: the histories, each account under the rule pack of the scenario.
        blocked: `(n, n_channels)` until when rules forbid each channel.
        rungs: what closes channels to accounts beside the rules; nothing where it is None.
    """

    scorer: Scorer
    histories: Histories
    as_of: int
    scores: pd.DataFrame
    rows: Rows
    due: Due
    scenario: Scenario
    under: Histories
    blocked: Instants
    rungs: Rungs | None = None

    @cached_property
    def actions(self) -> Actions:
        """The actions, at the costs of the scenario."""
        actions, costs = actions_of(self.scorer.bundle, self.histories.settings), self.scenario.costs
        cost = [costs.get(name, cost) for name, cost in zip(actions.names, actions.cost.tolist(), strict=True)]
        return replace(actions, cost=np.array(cost))

    @cached_property
    def allowed(self) -> Mask:
        """Which actions may be chosen, `(n, n_actions)`."""
        return allowed_actions(self.blocked, self.as_of, self.actions)

    @cached_property
    def open_to(self) -> Mask:
        """Which actions accounts may be given, `(n, n_actions)`: allowed, open by the ladder, not while they rest."""
        awake = self.allowed & ~self.due.resting[:, None]
        return awake if self.rungs is None else awake & self.rungs.channels(self.actions.names)

    @cached_property
    def reachable(self) -> Mask:
        """Who could be worked today but for the ladder and rest, `(n,)`."""
        could = self.allowed & self.worked
        if self.actions.effects_known:
            could &= self.actions.supported
        return np.asarray(could[:, : self.actions.waiting].any(axis=1))

    @cached_property
    def worked(self) -> Mask:
        """Which actions have places, `(n_actions,)`."""
        return np.array([self.scenario.capacities.get(name, 0) > 0 for name in self.actions.names])

    @cached_property
    def packs(self) -> list[str]:
        """The name of the rule pack of each account, `(n,)`."""
        return named_packs(self.under, self.rows)

    @cached_property
    def person(self) -> Rows:
        """The person of each account, `(n,)`."""
        return persons_of(self.histories, self.rows)

    @cached_property
    def value(self) -> Floats:
        """The value of each action, `(n, n_actions)`: that of the scores, at the costs of the scenario."""
        value = np.column_stack([self.scores[f"value_{name}"].to_numpy(np.float64) for name in self.actions.names])
        scored_at = actions_of(self.scorer.bundle, self.histories.settings).cost
        return np.where(self.actions.cost == scored_at, value, value + scored_at - self.actions.cost)

    @cached_property
    def worth(self) -> Floats:
        """What each action is worth to the order, `(n, n_actions)`: its value, and what it is that the debtor pays."""
        each = self.histories.settings.queue.payer_worth
        if not each:
            return self.value
        p_pay = np.column_stack([self.scores[f"p_pay_{name}"].to_numpy(np.float64) for name in self.actions.names])
        return self.value + each * p_pay

    @cached_property
    def options(self) -> Options:
        """What an account may get."""
        return _options(self)

    @cached_property
    def gain(self) -> Floats:
        """What each option adds, `(n, n_options)`; -inf where it may not be."""
        return self.options.of_channels(_gains(self))

    @cached_property
    def supply(self) -> Supply:
        """What there is of the day."""
        return _supply(self)

    def prices(self, prices: Floats) -> dict[str, float]:
        """What one more of each capacity adds, from `(n_capacities,)`; of channels only those that are worked."""
        actions = self.actions
        worked = self.worked & actions.enabled
        if actions.effects_known:
            worked &= actions.supported
        by_name = zip(self.supply.names, (prices * self.supply.unit).tolist(), strict=True)
        named = self.supply.names[actions.waiting :]
        there = {*named, *(name for name, one in zip(actions.names, worked, strict=True) if one)}
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


def day_of(
    scorer: Scorer, scores: pd.DataFrame, histories: Histories, as_of: int, scenario: Scenario,
    ladder: Ladder | None = None,
) -> Day:  # fmt: skip
    """Gather what a plan is made of; the arguments are those of `serving.queue.build_queue`."""
    if not scores["account_id"].is_monotonic_increasing:
        scores = scores.sort_values("account_id")
    scores = scores.reset_index(drop=True)
    rows = rows_of(histories, scores["account_id"])
    due, blocked = due_accounts(histories, rows, as_of), blocked_until(histories, rows, as_of, of_person=True)
    rungs = None if ladder is None else rungs_of(ladder, histories, rows, as_of)
    base = replace(scenario, rules=None)
    plain = Day(scorer, histories, as_of, scores, rows, due, base, histories, blocked, rungs)
    return in_scenario(plain, scenario)


def in_scenario(day: Day, scenario: Scenario) -> Day:
    """The same accounts at the same moment, on a day of another kind."""
    if scenario.rules == day.scenario.rules:
        return replace(day, scenario=scenario)
    accounts = day.histories.accounts
    if scenario.rules is not None:
        accounts = accounts._replace(jurisdiction=np.full(len(day.histories), scenario.rules, dtype=object))
    under = replace(day.histories, accounts=accounts)
    blocked = blocked_until(under, day.rows, day.as_of, of_person=True)
    return replace(day, scenario=scenario, under=under, blocked=blocked)


def _gains(day: Day) -> Floats:
    """What each channel adds for each account, `(n, n_channels)`, cheapest channel first; -inf where it may not be."""
    value, actions = day.worth, day.actions
    channels = slice(0, actions.waiting)
    if actions.effects_known:
        eligible = day.open_to & actions.supported & day.worked
        return np.where(eligible, value - value[:, [actions.waiting]], -np.inf)[:, channels]
    # One channel each: the first of the fallback order that is allowed and worked, for what it is expected to bring.
    eligible = day.open_to & day.worked
    first = np.array(actions.fallback_order)[eligible[:, actions.fallback_order].argmax(axis=1)]
    only = eligible & (np.arange(len(actions.names)) == first[:, None])
    gain = value if actions.has_money else day.scores[["p_pay"]].to_numpy(np.float64)
    return np.where(only, gain, -np.inf)[:, channels]


def _options(day: Day) -> Options:
    channels, parts = np.arange(day.actions.waiting), parts_of_day(day.histories.settings.queue.capacities)
    if len(parts) == 1:
        return Options(channels, np.ones((len(channels), HOURS), dtype=np.bool_))
    call = day.actions.names.index(_CALL)
    channel = np.repeat(channels, np.where(channels == call, len(parts), 1))
    calls = channel == call
    hours = np.ones((len(channel), HOURS), dtype=np.bool_)
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


def _supply(day: Day) -> Supply:
    names, limits = day.actions.names[: day.actions.waiting], day.scenario.capacities
    named = day.histories.settings.queue.capacities
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
    return having(histories, rows, wanted) if wanted else None
