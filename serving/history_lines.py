"""What the history of an account says, in one line for a collector: "promised 1,200 for 3 May, nothing came".

Of all that could be told a line has the few things that matter most, in one order for all accounts; what happened long
ago gives way to what is so today. A line says what was recorded and guesses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from features.contract import OUTCOMES, PROMISE_GRACE_DAYS
from features.histories import Histories
from features.units import DAY, MONEY_SCALE, Instants, Rows
from serving.history_facts import NONE, HistoryFacts, Mask, State, history_facts
from serving.languages.language import Language, local_day, translatable

#: Things that a line tells, at most; where there are fewer than `_FEWEST` others, it tells what is owed.
MOST, _FEWEST = 3, 2
#: What happened longer ago is told where there is nothing newer.
RECENT = 90 * DAY
#: So many attempts without an answer in a row are worth a word, and a last contact so long ago.
LEAST_UNANSWERED, LONG_AGO = 3, 30 * DAY
#: The parts of the day that `serving.history_facts` counts calls in.
_PARTS = (
    translatable("answers before 12:00: {answers} of {calls}"),
    translatable("answers from 12:00 to 18:00: {answers} of {calls}"),
    translatable("answers after 18:00: {answers} of {calls}"),
)
#: Of a promise of which nothing came yet: due earlier, today, later.
_OPEN = {
    -1: translatable("promised {amount} for {day}, nothing came yet"),
    0: translatable("promised {amount} for {day}, due today"),
    1: translatable("promised {amount} for {day}, not due yet"),
}
#: What is wrong where an attempt did not lead to the debtor, by its channel.
_WRONG = {
    **dict.fromkeys(("sms", "call"), translatable("wrong number on {day}")),
    **dict.fromkeys(("email", "letter", "visit", "legal_letter"), translatable("wrong address on {day}")),
}
_WRONG_NUMBER, _THIRD_PARTY = (OUTCOMES.index(name) for name in ("wrong_number", "third_party"))
_REFUSAL, _DISPUTE = (OUTCOMES.index(name) for name in ("refusal", "dispute"))


@dataclass(frozen=True)
class Line:
    """What one account's things are told from."""

    facts: HistoryFacts
    row: int
    language: Language

    def day(self, instant: int) -> str:
        """The day of an instant, debtor-local."""
        return self.language.day(self._day(instant), self._today)

    def days_until(self, instant: int) -> int:
        """Days of the debtor's calendar from the moment to an instant; below zero where that has passed."""
        return (self._day(instant) - self._today).days

    def say(self, template: str, **values: str) -> str:
        """A template filled in."""
        return self.language.say(template, **values)

    def _day(self, instant: int) -> date:
        """What is at midnight UTC was given as a day, and is that."""
        return local_day(instant, self.facts.zone[self.row] if instant % DAY else "UTC")

    @property
    def _today(self) -> date:
        return local_day(self.facts.as_of, self.facts.zone[self.row])

    def amount(self, money: int) -> str:
        """Money as a person writes it."""
        return self.language.amount(money / MONEY_SCALE)


class Thing(NamedTuple):
    """One thing that a line may tell: of which accounts, `(n,)`, when it happened, `(n,)`, and how it is told.

    What is so today has no instant.
    """

    is_so: Mask
    at: Instants | None
    told: Callable[[Line], str]


def history_lines(histories: Histories, rows: Rows, as_of: int, language: Language) -> list[str]:
    """What the histories of the accounts at `rows`, `(n,)`, say as of a moment, one line each."""
    return lines_of(history_facts(histories, rows, as_of), language)


def lines_of(facts: HistoryFacts, language: Language) -> list[str]:
    """One line for each of `n` accounts."""
    things = things_of(facts)
    chosen = _chosen(facts, things).tolist()
    lines = []
    for row, places in enumerate(chosen):
        line = Line(facts, row, language)
        lines.append(language.joined([things[place].told(line) for place in places if place >= 0]))
    return lines


def _chosen(facts: HistoryFacts, things: list[Thing]) -> Rows:
    """Which of the things are told of each account, in their order, `(n, MOST)`; -1 for no more."""
    n, last = len(facts), len(things) - 1
    order = np.full((n, len(things)), np.inf)
    for place, thing in enumerate(things[:last]):
        is_old = np.zeros(n, np.bool_) if thing.at is None else thing.at < facts.as_of - RECENT
        order[:, place] = np.where(thing.is_so, place + np.where(is_old, len(things), 0), np.inf)
    # What is owed is told where there is little else.
    order[np.isfinite(order).sum(axis=1) < _FEWEST, last] = 2 * len(things)
    first = np.argsort(order, axis=1, kind="stable")[:, :MOST]
    return np.where(np.isfinite(np.take_along_axis(order, first, axis=1)), first, -1)


def things_of(facts: HistoryFacts) -> list[Thing]:
    """All that may be told, what matters most first; the last, what is owed, is so of every account."""
    promised, paid, contacted = facts.promised, facts.paid, facts.contacted
    everyone = np.ones(len(facts), dtype=np.bool_)
    talked, has_promise = contacted.talked_at != NONE, promised.made_at != NONE
    against = np.isin(contacted.talk, (_REFUSAL, _DISPUTE))
    was_reversed = (paid.reversed_at != NONE) & (paid.reversed_at >= paid.at)
    # What came of the promise is told with it.
    deadline = promised.due_on + np.where(has_promise, PROMISE_GRACE_DAYS * DAY, 0)
    of_promise = has_promise & (promised.paid > 0) & (paid.at >= promised.made_at) & (paid.at <= deadline)
    of_talk = has_promise & (contacted.talked_at < promised.made_at + DAY)
    nothing_came = has_promise & (promised.state != State.KEPT) & (promised.paid <= 0)
    dated = np.where(promised.state == State.OPEN, facts.as_of, promised.due_on)
    astray = np.isin(contacted.attempt, (_WRONG_NUMBER, _THIRD_PARTY))
    was_contacted: Mask = contacted.at != NONE
    long_ago = contacted.at < facts.as_of - LONG_AGO
    return [
        Thing(has_promise, dated, _promise),
        Thing(was_reversed, paid.reversed_at, _reversal),
        Thing(talked & against, contacted.talked_at, _talk_against),
        Thing(np.asarray(facts.dead.any(axis=1)), None, _dead),
        Thing(astray, contacted.attempted_at, _astray),
        Thing((paid.at != NONE) & ~was_reversed & ~of_promise, paid.at, _payment),
        Thing(facts.best_part >= 0, None, _hours),
        Thing(talked & ~against & ~of_talk, contacted.talked_at, _talk),
        Thing(contacted.n_unanswered >= LEAST_UNANSWERED, None, _unanswered),
        Thing(long_ago & (contacted.at > contacted.talked_at), None, _not_contacted),
        Thing(~was_contacted, None, _never_contacted),
        Thing((paid.at == NONE) & ~was_reversed & ~nothing_came, None, _never_paid),
        Thing(everyone, None, _owed),
    ]


# --------------------------------------------------------------------------------------------------------------- words


def _promise(line: Line) -> str:
    promised, row = line.facts.promised, line.row
    state, paid = State(promised.state[row]), int(promised.paid[row])
    values = {"amount": line.amount(int(promised.amount[row])), "day": line.day(int(promised.due_on[row]))}
    if state is State.KEPT:
        text = line.say("promised {amount} for {day}, kept", **values)
    elif paid > 0 and state is State.BROKEN:
        text = line.say("promised {amount} for {day}, of it {paid} came", **values, paid=line.amount(paid))
    elif paid > 0:
        text = line.say("promised {amount} for {day}, {paid} came so far", **values, paid=line.amount(paid))
    elif state is State.BROKEN:
        text = line.say("promised {amount} for {day}, nothing came", **values)
    else:
        text = line.say(_OPEN[int(np.sign(line.days_until(int(promised.due_on[row]))))], **values)
    return _with_others(line, text, state)


def _with_others(line: Line, promise: str, state: State) -> str:
    """What is told of a promise, and how many others were broken, of those that are settled."""
    promised, row = line.facts.promised, line.row
    broken = int(promised.n_broken[row]) - (state is State.BROKEN)
    settled = int(promised.n_settled[row]) - (state is not State.OPEN)
    if not broken:
        return promise
    if broken == settled:
        return line.language.counted(
            "{promise} (broke the one before)", "{promise} (broke all {number} before)", broken, promise=promise
        )
    counts = {"broken": line.language.number(broken), "settled": line.language.number(settled)}
    return line.say("{promise} (broke {broken} of {settled} before)", promise=promise, **counts)


def _reversal(line: Line) -> str:
    paid = line.facts.paid
    amount, day = line.amount(-int(paid.reversed[line.row])), line.day(int(paid.reversed_at[line.row]))
    return line.say("{amount} taken back on {day}", amount=amount, day=day)


def _payment(line: Line) -> str:
    paid = line.facts.paid
    amount, day = line.amount(int(paid.amount[line.row])), line.day(int(paid.at[line.row]))
    return line.say("paid {amount} on {day}", amount=amount, day=day)


def _never_paid(line: Line) -> str:
    return line.say("nothing paid so far")


def _talk_against(line: Line) -> str:
    contacted, row = line.facts.contacted, line.row
    day = line.day(int(contacted.talked_at[row]))
    if contacted.talk[row] == _DISPUTE:
        return line.say("disputed the debt on {day}", day=day)
    return line.language.counted(
        "refused to pay on {day}", "refused to pay {number} times, last on {day}", int(contacted.n_refusals[row]),
        day=day,
    )  # fmt: skip


def _talk(line: Line) -> str:
    contacted, row = line.facts.contacted, line.row
    template = (
        translatable("got in touch on {day}") if contacted.was_inbound[row] else translatable("last talk on {day}")
    )
    return line.say(template, day=line.day(int(contacted.talked_at[row])))


def _dead(line: Line) -> str:
    places = np.flatnonzero(line.facts.dead[line.row])
    names = [line.language.channel(line.facts.channels[place]) for place in places]
    return line.say("number or address invalid: {channels}", channels=line.language.gettext(", ").join(names))


def _astray(line: Line) -> str:
    contacted, row = line.facts.contacted, line.row
    template = translatable("somebody else answered on {day}")
    if contacted.attempt[row] == _WRONG_NUMBER:
        channel = line.facts.channels[contacted.channel[row]]
        template = _WRONG.get(channel, translatable("wrong number or address on {day}"))
    return line.say(template, day=line.day(int(contacted.attempted_at[row])))


def _hours(line: Line) -> str:
    part = int(line.facts.best_part[line.row])
    calls, answers = (counts[line.row, part] for counts in (line.facts.contacted.calls, line.facts.contacted.answers))
    values = {"answers": line.language.number(int(answers)), "calls": line.language.number(int(calls))}
    return line.say(_PARTS[part], **values)


def _unanswered(line: Line) -> str:
    number = int(line.facts.contacted.n_unanswered[line.row])
    return line.say("no answer {number} times in a row", number=line.language.number(number))


def _not_contacted(line: Line) -> str:
    return line.say("not contacted since {day}", day=line.day(int(line.facts.contacted.at[line.row])))


def _never_contacted(line: Line) -> str:
    return line.say("never contacted, placed on {day}", day=line.day(int(line.facts.placed_at[line.row])))


def _owed(line: Line) -> str:
    facts, row = line.facts, line.row
    balance, due_on = line.amount(int(facts.balance[row])), int(facts.due_on[row])
    if due_on == NONE:
        return line.say("owes {balance}", balance=balance)
    days = -line.days_until(due_on)
    if days < 0:
        return line.say("owes {balance}, due on {day}", balance=balance, day=line.day(due_on))
    if days == 0:
        return line.say("owes {balance}, due today", balance=balance)
    return line.language.counted(
        "owes {balance}, {number} day past due", "owes {balance}, {number} days past due", days, balance=balance
    )
