"""What the history of an account says to a collector, as numbers: its last promise, payment, talk and attempts.

All accounts at once, from what was known strictly before the moment. The sentences are `serving.history_lines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.compute import standing
from features.contract import OUTCOMES, REACHED_OUTCOMES, RESTRICTIONS
from features.events import owners
from features.histories import Histories, Texts, contact_kinds
from features.hours import count_calls
from features.kernel import paid_between
from features.outcomes import promise_outcomes
from features.units import NULL_TIME, Instants, Money, Rows
from serving.contact_rules.restrictions import blocking_restrictions, dead_until

Mask = npt.NDArray[np.bool_]

#: There is no such event, no such day.
NONE = NULL_TIME
#: The hours, debtor-local, at which parts of the day begin in which calls are counted; the last ends at midnight.
PARTS_OF_DAY = (0, 12, 18)
#: A part of the day stands out where so many calls were answered in it, one of so few, and so much more often than in
#: the other hours.
LEAST_ANSWERS, ONE_OF, TIMES_AS_OFTEN = 3, 3, 2
_ANSWERS = ("wrong_number", "third_party", *REACHED_OUTCOMES)


class State(IntEnum):
    """What has become of a promise."""

    OPEN = 0
    KEPT = 1
    BROKEN = 2


class Promised(NamedTuple):
    """The promise of each account that matters now, `(n,)` each; days are `NONE` where there is no promise.

    It is the one made last; of several made at once, the first to come due that is not kept, or else the last of them.
    `paid` is what came from its making to the end of its grace. `n_broken` of all `n_settled` promises were broken.
    """

    made_at: Instants
    due_on: Instants
    amount: Money
    paid: Money
    state: Rows
    n_broken: Rows
    n_settled: Rows


class Paid(NamedTuple):
    """The last payment and the last reversal of each account, `(n,)` each; instants are `NONE` where there is none."""

    at: Instants
    amount: Money
    reversed_at: Instants
    reversed: Money


class Contacted(NamedTuple):
    """The contacts of each account, `(n,)` each; instants are `NONE` where there is none, codes -1.

    `talked_at` is the last talk with the debtor, with its outcome and whether she began it; `attempted_at` the last
    attempt of the collector, with its outcome and channel; `at` the last contact of any kind. Outcomes are positions in
    `features.contract.OUTCOMES`. `n_refusals` are all so far; `n_unanswered` the attempts without an answer since the
    last with another answer. `calls` and `answers`, `(n, n_parts)`, count calls in the parts of the day, and those of
    them that the debtor answered.
    """

    at: Instants
    talked_at: Instants
    talk: Rows
    was_inbound: Mask
    attempted_at: Instants
    attempt: Rows
    channel: Rows
    n_refusals: Rows
    n_unanswered: Rows
    calls: Rows
    answers: Rows


@dataclass(frozen=True)
class HistoryFacts:
    """What is known of `n` accounts as of a moment.

    `dead`, `(n, n_channels)`, says through which channels only invalid numbers or addresses are known. `balance` is
    money, `due_on` is `NONE` where there is no due date, `zone` the name of the debtor's time zone, `(n,)` each.
    """

    as_of: int
    channels: tuple[str, ...]
    promised: Promised
    paid: Paid
    contacted: Contacted
    dead: Mask
    placed_at: Instants
    due_on: Instants
    balance: Money
    zone: Texts

    def __len__(self) -> int:
        """The number of accounts."""
        return len(self.balance)

    @cached_property
    def best_part(self) -> Rows:
        """The part of the day in which each debtor answers, `(n,)`; -1 where none stands out from the other hours."""
        calls, answers = self.contacted.calls, self.contacted.answers
        other_calls, other_answers = (counts.sum(axis=1, keepdims=True) - counts for counts in (calls, answers))
        enough = (answers >= LEAST_ANSWERS) & (answers * ONE_OF >= calls)
        stands_out = enough & (answers * other_calls >= TIMES_AS_OFTEN * other_answers * calls)
        rate = np.where(stands_out, answers / np.maximum(calls, 1), -1.0)
        return np.where(stands_out.any(axis=1), rate.argmax(axis=1), -1)


def history_facts(histories: Histories, rows: Rows, as_of: int) -> HistoryFacts:
    """What is known of the accounts at `rows`, `(n,)`, strictly before a moment."""
    part, everyone = histories.take(rows), np.arange(len(rows))
    accounts, moments = part.accounts, np.full(len(rows), as_of)
    return HistoryFacts(
        as_of=as_of,
        channels=part.settings.channel_names,
        promised=_promised(part, as_of),
        paid=_paid(part, as_of),
        contacted=_contacted(part, as_of),
        dead=_dead(part, as_of),
        placed_at=accounts.placed_at,
        due_on=accounts.due_on,
        balance=standing(part, everyone, moments)[0],
        zone=part.timezones,
    )


def _last(owner: Rows, at: Instants, n: int) -> Rows:
    """The place of the last event of each of `n` accounts, -1 for none; of those at one instant the last known."""
    order = np.lexsort((at, owner))
    place = np.searchsorted(owner[order], np.arange(n), side="right") - 1
    there = place >= 0
    there[there] = owner[order[place[there]]] == np.flatnonzero(there)
    return np.where(there, order[place] if len(order) else -1, -1)


def _taken(values: npt.NDArray[np.int64], place: Rows, otherwise: int) -> npt.NDArray[np.int64]:
    """The values at places, `otherwise` where the place is -1."""
    return np.append(values, otherwise)[place]


def _count(owner: Rows, n: int) -> Rows:
    """How many events each of `n` accounts has, `(n,)`."""
    return np.bincount(owner, minlength=n)


# ------------------------------------------------------------------------------------------------- promises, payments


def _promised(part: Histories, as_of: int) -> Promised:
    n, became = len(part), promise_outcomes(part, as_of)
    known = part.promises.known < as_of
    made_at, due_on, amount = part.promises.at[known], part.promises.due_on[known], part.promises.amount[known]
    state = np.where(became.kept, State.KEPT, np.where(as_of <= became.deadline, State.OPEN, State.BROKEN))
    # Last made first; of these those not kept, the first to come due; of those kept the last.
    open_first = np.where(became.kept, -due_on, due_on)
    order = np.lexsort((open_first, became.kept, -made_at, became.account))
    owner, first = np.unique(became.account[order], return_index=True)
    place = np.full(n, -1)
    place[owner] = order[first]
    until = np.full(len(made_at), as_of)
    paid = paid_between(became.account, np.ascontiguousarray(made_at), became.deadline, part.payments, until)
    return Promised(
        made_at=_taken(made_at, place, NONE),
        due_on=_taken(due_on, place, NONE),
        amount=_taken(amount, place, 0),
        paid=_taken(paid, place, 0),
        state=_taken(state, place, State.OPEN),
        n_broken=_count(became.account[state == State.BROKEN], n),
        n_settled=_count(became.account[state != State.OPEN], n),
    )


def _paid(part: Histories, as_of: int) -> Paid:
    table, known = part.payments, part.payments.known < as_of
    owner, at, amount = owners(table.start)[known], table.at[known], table.amount[known]
    found: list[npt.NDArray[np.int64]] = []
    for sign in (1, -1):
        here = sign * amount > 0
        last = np.full(len(part), NONE)
        np.maximum.at(last, owner[here], at[here])
        together = here & (at == last[owner])
        total = np.zeros(len(part), dtype=np.int64)
        np.add.at(total, owner[together], amount[together])
        found += [last, total]
    return Paid(*found)


# ------------------------------------------------------------------------------------------------------------ contacts


class _Kinds(NamedTuple):
    """What each kind of contact is, `(n_kinds,)` each; `is_outbound` is 1 or 0."""

    outcome: Rows
    channel: Rows
    is_outbound: Rows


@lru_cache(maxsize=8)
def _kinds(channels: tuple[str, ...]) -> _Kinds:
    kinds = contact_kinds(channels)
    return _Kinds(
        np.array([OUTCOMES.index(kind["outcome"]) for kind in kinds], dtype=np.int64),
        np.array([channels.index(kind["channel"]) for kind in kinds], dtype=np.int64),
        np.array([kind["direction"] == "outbound" for kind in kinds], dtype=np.int64),
    )


def _is_any(outcome: Rows, names: tuple[str, ...]) -> Mask:
    return np.isin(outcome, [OUTCOMES.index(name) for name in names])


def _contacted(part: Histories, as_of: int) -> Contacted:
    n, table, kinds = len(part), part.contacts, _kinds(part.settings.channel_names)
    known = table.known < as_of
    owner, at, kind = owners(table.start)[known], table.at[known], table.kind[known]
    outcome, is_outbound = kinds.outcome[kind], kinds.is_outbound[kind] == 1
    latest = np.full(n, NONE)
    np.maximum.at(latest, owner, at)
    talks = np.flatnonzero(_is_any(outcome, REACHED_OUTCOMES))
    attempts = np.flatnonzero(is_outbound)
    talk, attempt = (_taken(among, _last(owner[among], at[among], n), -1) for among in (talks, attempts))
    answered = np.full(n, NONE)
    some = is_outbound & _is_any(outcome, _ANSWERS)
    np.maximum.at(answered, owner[some], at[some])
    unanswered = is_outbound & _is_any(outcome, ("no_answer",)) & (at > answered[owner])
    by_hour = count_calls(part, np.arange(n), as_of)
    calls, answers = (np.add.reduceat(counts, PARTS_OF_DAY, axis=1) for counts in by_hour)
    return Contacted(
        at=latest,
        talked_at=_taken(at, talk, NONE),
        talk=_taken(outcome, talk, -1),
        was_inbound=_taken(kinds.is_outbound[kind], talk, 1) == 0,
        attempted_at=_taken(at, attempt, NONE),
        attempt=_taken(outcome, attempt, -1),
        channel=_taken(kinds.channel[kind], attempt, -1),
        n_refusals=_count(owner[_is_any(outcome, ("refusal",))], n),
        n_unanswered=_count(owner[unanswered], n),
        calls=calls,
        answers=answers,
    )


def _dead(part: Histories, as_of: int) -> Mask:
    """Through which channels only invalid numbers or addresses are known, `(n, n_channels)`."""
    everyone = np.arange(len(part))
    dead = dead_until(part, everyone, as_of) > as_of
    noted, table = blocking_restrictions(part, everyone, as_of), part.restrictions
    invalid = (table.kind[noted.event] == RESTRICTIONS.index("invalid_contact")) & (table.channel[noted.event] >= 0)
    dead[noted.place[invalid], table.channel[noted.event[invalid]]] = True
    return dead
