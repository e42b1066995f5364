"""What comes of a contact, and what it does to the debtor."""

from __future__ import annotations

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.codes import (
    ADDRESS,
    CALL,
    DELIVERED,
    DISPUTE,
    EMAIL,
    EMAIL_ADDRESS,
    NO_ANSWER,
    NO_POINT,
    PHONE_2,
    PROMISE,
    REFUSAL,
    RIGHT_PARTY,
    SENT,
    SMS,
    THIRD_PARTY,
    VISIT,
    WRONG_NUMBER,
)
from experiments.world.compiled import part
from experiments.world.debtors import (
    ANSWERING,
    AT_ONCE_WEIGHT,
    DECEASED_TYPE,
    DISPUTE_RATE,
    FIRST_HOUR,
    LATE_ONLY,
    MOST_FATIGUE,
    MOST_PRESSURE,
    MOST_REMINDED,
    PRESSURE_OF_ATTEMPT,
    PRESSURE_OF_TALK,
    PROMISE_RATE,
    REFUSAL_RATE,
    REMINDER_OF_ATTEMPT,
    REMINDER_OF_TALK,
    WEARINESS_OF_ATTEMPT,
    WEARINESS_OF_TALK,
)
from experiments.world.paying import rounded
from experiments.world.state import Record

#: Somebody picks up at a wrong number, and says so.
_WRONG_NUMBER_SAID = 0.35
#: Colleague, parent, flatmate instead of the debtor, on the phone and at the door.
_THIRD_PARTY_CALL, _THIRD_PARTY_VISIT = 0.12, 0.25
#: How weariness keeps a debtor from answering.
_WEARY_OF_ANSWERING = 0.12
#: Visits find somebody in more often than calls do.
_HOME, _HOME_LATE = 0.45, 0.30
_DELIVERED_SMS, _DELIVERED_EMAIL, _DELIVERED_POST = 0.94, 0.85, 0.80
#: Face to face more is promised.
_VISIT_PROMISES = 1.4
#: "I'll pay at once": due the next day. Others name their next payday, or any day within two weeks.
_AT_ONCE, _ON_PAYDAY = 0.25, 0.60
_LONGEST_PROMISE = 14
_PROMISED_IN_FULL = 0.25


@part
def point_used(state: Record, action: int) -> int:
    """The contact point that an action goes to."""
    if action in (CALL, SMS):
        return int(state.phone)
    return EMAIL_ADDRESS if action == EMAIL else ADDRESS


@part
def _phone_wrong(state: Record) -> bool:
    if state.phone == NO_POINT:
        return True
    return bool(state.phone_2_wrong == 1 if state.phone == PHONE_2 else state.phone_1_wrong == 1)


@part
def affect(state: Record, action: int, reminder: float, pressure: float, weariness: float) -> None:
    """Let a contact work on the debtor's mind, within bounds."""
    if action == SMS:
        reminder *= state.sms_response
    elif action == EMAIL:
        reminder *= state.email_response
    state.reminded = min(MOST_REMINDED, state.reminded + reminder)
    state.pressure = min(MOST_PRESSURE, state.pressure + pressure)
    state.fatigue = min(MOST_FATIGUE, state.fatigue + weariness)


@part
def talk(state: Record, day: int, today: Record, key: Stream, action: int) -> int:
    """Speak with the debtor; returns the outcome. A promise made is open from now on."""
    kind = state.debtor_type
    affect(state, action, REMINDER_OF_TALK[action], PRESSURE_OF_TALK[action], WEARINESS_OF_TALK[action])
    disputes = DISPUTE_RATE[kind]
    refuses = disputes + REFUSAL_RATE[kind] * (1.0 + 0.1 * state.fatigue)
    promises = PROMISE_RATE[kind] * (_VISIT_PROMISES if action == VISIT else 1.0)
    draw = uniform(key, day, Purpose.TALK)
    if draw < disputes:
        return DISPUTE
    if draw < refuses:
        return REFUSAL
    if state.promise_open == 0 and state.balance > 0 and draw < refuses + promises:
        _promise(state, day, today, key)
        return PROMISE
    return RIGHT_PARTY


@part
def _promise(state: Record, day: int, today: Record, key: Stream) -> None:
    """Promise a day within two weeks, and all of the balance or a round part of it."""
    draw = uniform(key, day, Purpose.PROMISE_DAY)
    to_payday = (state.payday - today.day_of_month) % 30
    state.promise_weight = 1.0
    if draw < _AT_ONCE:
        wait = 1
        state.promise_weight = AT_ONCE_WEIGHT
    elif draw < _ON_PAYDAY and 2 <= to_payday <= _LONGEST_PROMISE:
        wait = to_payday
    else:
        wait = 2 + int(uniform(key, day, Purpose.PROMISE_LENGTH) * (_LONGEST_PROMISE - 1))
    state.promise_open = 1
    state.promise_due = day + wait
    state.promise_paid = 0
    state.promise_known = 0
    state.promise_amount = state.balance
    if uniform(key, day, Purpose.PROMISE_SHARE) >= _PROMISED_IN_FULL:
        share = 0.15 + 0.45 * uniform(key, day, Purpose.PROMISE_PART)
        state.promise_amount = rounded(state.balance * share, state.balance)


@part
def _call(state: Record, day: int, today: Record, key: Stream, action: int, hour: int) -> int:
    if _phone_wrong(state):
        return WRONG_NUMBER if uniform(key, day, Purpose.WRONG_NUMBER) < _WRONG_NUMBER_SAID else NO_ANSWER
    chance = state.answering * ANSWERING[state.hours, hour - FIRST_HOUR]
    chance /= 1.0 + _WEARY_OF_ANSWERING * state.fatigue
    if uniform(key, day, Purpose.ANSWER) >= chance:
        return NO_ANSWER
    other = uniform(key, day, Purpose.THIRD_PARTY) < _THIRD_PARTY_CALL
    if other or state.debtor_type == DECEASED_TYPE:
        return THIRD_PARTY
    return talk(state, day, today, key, action)


@part
def _visit(state: Record, day: int, today: Record, key: Stream, action: int) -> int:
    if state.address_wrong == 1:
        return WRONG_NUMBER
    home = _HOME_LATE if state.hours == LATE_ONLY else _HOME
    if uniform(key, day, Purpose.ANSWER) >= home:
        return NO_ANSWER
    other = uniform(key, day, Purpose.THIRD_PARTY) < _THIRD_PARTY_VISIT
    if other or state.debtor_type == DECEASED_TYPE:
        return THIRD_PARTY
    return talk(state, day, today, key, action)


@part
def _message(state: Record, day: int, key: Stream, action: int) -> int:
    if action == SMS:
        wrong, delivered = _phone_wrong(state), _DELIVERED_SMS
    elif action == EMAIL:
        wrong, delivered = state.email_wrong == 1 or state.has_email == 0, _DELIVERED_EMAIL
    else:
        wrong, delivered = state.address_wrong == 1, _DELIVERED_POST
    if wrong or uniform(key, day, Purpose.DELIVERY) >= delivered:
        return SENT
    return DELIVERED


@part
def contact(state: Record, day: int, today: Record, key: Stream, action: int, hour: int) -> int:
    """Carry out an outbound action at an hour of the day; returns the outcome."""
    if action == CALL:
        outcome = _call(state, day, today, key, action, hour)
    elif action == VISIT:
        outcome = _visit(state, day, today, key, action)
    else:
        outcome = _message(state, day, key, action)
    if outcome not in (SENT, WRONG_NUMBER) and not (action == CALL and _phone_wrong(state)):
        attempt = REMINDER_OF_ATTEMPT[action]
        affect(state, action, attempt, PRESSURE_OF_ATTEMPT[action], WEARINESS_OF_ATTEMPT[action])
    return outcome
