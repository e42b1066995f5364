"""How a step writes down what happens: one event each, with its place in the tables."""

from __future__ import annotations

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.codes import EMAIL, NO_POINT, TableCode
from experiments.world.compiled import part
from experiments.world.state import Record
from features.units import DAY, HOUR, NULL_TIME

SECOND = HOUR // 3600
MINUTE = 60 * SECOND
#: Decisions are taken from 8:30 on, within twenty minutes, before the first contact at 9:00.
_DECISIONS_FROM, _DECISIONS_LAST = 8 * HOUR + 30 * MINUTE, 20 * MINUTE
#: What is entered late is entered the next morning, before the decisions of that day.
NEXT_MORNING = DAY + 7 * HOUR + 30 * MINUTE
#: Share of visits, and of other contacts, that are entered the next morning.
_VISITS_LATE, _CONTACTS_LATE = 0.6, 0.03


@part
def midnight(day: int, desk: Record) -> int:
    """The instant at which a day begins."""
    return int(desk.start + day * DAY)


@part
def new_event(state: Record, desk: Record, table: int, at: int, known: int) -> int:
    """Start an event; returns its place on the desk."""
    place = desk.written
    desk.written += 1
    event = desk.events[place]
    event.table = table
    event.account = state.account
    event.at = at
    event.known = known
    event.action = 0
    event.code = 0
    event.point = NO_POINT
    event.flag = 0
    event.amount = 0
    event.until = NULL_TIME
    event.propensity = 0.0
    return int(place)


@part
def note_decision(
    state: Record, day: int, key: Stream, desk: Record, action: int, explored: int, chance: float
) -> None:
    """Log what the policy chose, waiting included."""
    within = int(uniform(key, day, Purpose.DECISION_TIME) * _DECISIONS_LAST)
    at = midnight(day, desk) + _DECISIONS_FROM + within
    event = desk.events[new_event(state, desk, TableCode.DECISIONS, at, NULL_TIME)]
    event.action = action
    event.flag = explored
    event.propensity = chance


@part
def known_when(day: int, key: Stream, desk: Record, late_share: float) -> int:
    """When a contact is entered: at once (NULL_TIME), or the next morning."""
    if uniform(key, day, Purpose.CONTACT_DELAY) < late_share:
        return midnight(day, desk) + NEXT_MORNING
    return NULL_TIME


@part
def late_share(is_visit: bool) -> float:
    """The share of contacts of a kind that are entered late."""
    return _VISITS_LATE if is_visit else _CONTACTS_LATE


@part
def note_contact(
    state: Record, desk: Record, at: int, known: int, action: int, outcome: int, point: int, chance: float
) -> None:
    """Log an outbound contact."""
    event = desk.events[new_event(state, desk, TableCode.CONTACTS, at, known)]
    event.action = action
    event.code = outcome
    event.point = point
    event.propensity = chance


@part
def note_inbound(state: Record, desk: Record, at: int, known: int, action: int, outcome: int) -> None:
    """Log a contact that the debtor made."""
    event = desk.events[new_event(state, desk, TableCode.CONTACTS, at, known)]
    event.action = action
    event.code = outcome
    event.point = state.phone if action != EMAIL else NO_POINT
    event.flag = 1


@part
def note_promise(state: Record, desk: Record, at: int, known: int) -> None:
    """Log the promise that is now open."""
    event = desk.events[new_event(state, desk, TableCode.PROMISES, at, known)]
    event.until = midnight(state.promise_due, desk)
    event.amount = state.promise_amount


@part
def note_restriction(
    state: Record, desk: Record, at: int, known: int, kind: int, action: int, point: int, until: int
) -> None:
    """Log a restriction; `action` and `point` are 0 where it holds for all."""
    event = desk.events[new_event(state, desk, TableCode.RESTRICTIONS, at, known)]
    event.code = kind
    event.action = action
    event.point = point
    event.until = until


@part
def note_payment(state: Record, desk: Record, at: int, known: int, amount: int) -> None:
    """Log a payment, or a reversal as a negative one."""
    event = desk.events[new_event(state, desk, TableCode.PAYMENTS, at, known)]
    event.amount = amount


@part
def note_charge(state: Record, desk: Record, at: int, kind: int, amount: int, due: int) -> None:
    """Log a charge, or a credit note as a negative one."""
    event = desk.events[new_event(state, desk, TableCode.CHARGES, at, NULL_TIME)]
    event.code = kind
    event.amount = amount
    event.until = due
