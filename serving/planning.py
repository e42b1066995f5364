"""The plan of a day by rule: which option each account gets, under capacities, contact rules and what is due.

Options are given so that what they add together is largest under all capacities (`serving.allocation`). Where a rule
then forbids a proposal beside others to the same person (`serving.persons`), what it forbids is barred, and the day is
solved again; after a few times such proposals are given up, and what they took goes to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.units import Rows
from serving.allocation import Allocation, Capacity, allocate, give_pairs, kinds_of
from serving.contact_rules.windows import instant_of
from serving.day import Day, Supply
from serving.due import Due
from serving.persons import cannot_stand, shared
from serving.scoring import Mask
from training.bundle import Floats

#: How often a day is solved anew, for proposals to the same person, before some of them are given up.
_ROUNDS = 4


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

    @property
    def wanted(self) -> Mask:
        """Which options are worth a place, `(n, n_options)`: to those who come first all that may be."""
        return np.where(self.first[:, None], self.gain > -np.inf, self.gain > 0)

    def in_order(self) -> Rows:
        """Who has something, in the order of the queue: by what it adds less the price of what it takes."""
        taken = np.flatnonzero(self.choice >= 0)
        option = self.choice[taken]
        worth = self.gain[taken, option] - self.solved.charge[self.solved.kind[taken], option]
        return taken[np.lexsort((-worth, ~self.first[taken]))]

    @property
    def value(self) -> float:
        """The sum of the gains."""
        taken = np.flatnonzero(self.choice >= 0)
        return float(self.gain[taken, self.choice[taken]].sum())


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

    An account of a person who has something already gets nothing, and of those of one person only the first does. Who
    comes before all others does so here, too, whatever that adds.
    """
    served = np.unique(day.person[choice >= 0])
    open_to = (choice < 0) & ~np.isin(day.person, served)
    worth = np.where(open_to[:, None] & plan.wanted, plan.gain - plan.charge, -np.inf).ravel()
    pairs = np.flatnonzero(worth > -np.inf)
    pairs = pairs[np.lexsort((-worth[pairs], ~plan.first[pairs // plan.gain.shape[1]]))]
    account, option = pairs // plan.gain.shape[1], pairs % plan.gain.shape[1]
    _, begin, of = np.unique(day.person[account], return_index=True, return_inverse=True)
    chief = account == account[begin][of]
    kind, use = _kinds(day)
    give_pairs(account[chief], option[chief], kind, use, room, choice)


def used_of(day: Day, choice: Rows) -> Floats:
    """How much of each capacity is taken by options, `(n,)`: `(n_capacities,)`."""
    kind, use = _kinds(day)
    taken = np.flatnonzero(choice >= 0)
    return np.asarray(use[kind[taken], choice[taken]].sum(axis=0), dtype=np.float64)


def _kinds(day: Day) -> tuple[Rows, Floats]:
    """Which capacities apply to each account, as its kind, and what options take by kind: `allocation.kinds_of`."""
    capacities = day.supply.capacities
    use = np.array([one.use for one in capacities], dtype=np.float64)
    return kinds_of(len(day.rows), use.reshape(len(capacities), day.gain.shape[1]), capacities)


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
