"""Restrictions that come out of contacts, and how long they hold."""

from __future__ import annotations

import numpy as np

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.codes import (
    ADDRESS,
    BANKRUPTCY,
    BREATHING_SPACE,
    CALL,
    CHANNEL_OPT_OUT,
    DECEASED,
    DISPUTE,
    DISPUTED,
    DO_NOT_CONTACT,
    EMAIL,
    EMAIL_ADDRESS,
    FOREVER,
    FRAUD,
    INVALID_CONTACT,
    NO_ANSWER,
    NO_POINT,
    NONE,
    PHONE_1,
    PHONE_2,
    REFUSAL,
    SENT,
    THIRD_PARTY,
    VISIT,
    VULNERABLE,
    WRONG_NUMBER,
)
from experiments.world.compiled import part
from experiments.world.debtors import (
    DEBTOR_TYPES,
    DECEASED_TYPE,
    FRAUD_TYPE,
    LONG_TERM_UNABLE,
    SHORT_TERM_UNABLE,
)
from experiments.world.state import Record

#: No restriction at all.
NOTHING = -1
#: A wrong number is marked as such; the next call goes to the other number.
_WRONG_NUMBER_MARKED = 0.7
_EMAIL_BOUNCE_MARKED = 0.4
#: Relatives who answer say that the debtor has died.
_DEATH_SAID = 0.35
#: A dispute bars work until it is settled (days, least and most); of debts that are frauds it shows up as one.
_DISPUTE_BARS, _FRAUD_FOUND = 0.6, 0.5
_DISPUTE_DAYS, _BREATHING_DAYS, _VULNERABLE_DAYS = (20, 70), (30, 60), (60, 180)
#: Asking to be left alone: of refusals, rising with weariness; and per message or call by channel.
_LEAVE_ALONE = 0.03
_OPT_OUT = np.array([0.0, 0.003, 0.004, 0.0, 0.0, 0.0, 0.0])
_CALLS_OPT_OUT = 0.04  # of refusals on the phone
#: Hardship told in a conversation, by debtor type: vulnerable, breathing space, bankruptcy.
_HARDSHIP = np.zeros((len(DEBTOR_TYPES), 3))
_HARDSHIP[SHORT_TERM_UNABLE] = 0.008, 0.010, 0.001
_HARDSHIP[LONG_TERM_UNABLE] = 0.016, 0.012, 0.006
_VULNERABLE_UP_TO, _BREATHING_UP_TO, _BANKRUPT_UP_TO = _HARDSHIP.cumsum(axis=1).T.copy()


@part
def _days(between: tuple[int, int], day: int, key: Stream) -> int:
    """A number of days between two, ends included."""
    return between[0] + int(uniform(key, day, Purpose.BAR_LENGTH) * (between[1] - between[0] + 1))


@part
def _from_talk(state: Record, day: int, key: Stream, outcome: int) -> tuple[int, int]:
    """What a conversation brings to light, and until when it bars contact: dispute, fraud, hardship, a refusal."""
    draw = uniform(key, day, Purpose.BAR)
    kind, until_day = NOTHING, FOREVER
    if outcome == DISPUTE:
        if state.debtor_type == FRAUD_TYPE and draw < _FRAUD_FOUND:
            kind = FRAUD
        elif draw < _DISPUTE_BARS:
            kind, until_day = DISPUTED, day + _days(_DISPUTE_DAYS, day, key)
    elif outcome == REFUSAL and draw < _LEAVE_ALONE * (1.0 + state.fatigue):
        kind = DO_NOT_CONTACT
    else:
        told, debtor = uniform(key, day, Purpose.HARDSHIP), state.debtor_type
        if told < _VULNERABLE_UP_TO[debtor]:
            kind, until_day = VULNERABLE, day + _days(_VULNERABLE_DAYS, day, key)
        elif told < _BREATHING_UP_TO[debtor]:
            kind, until_day = BREATHING_SPACE, day + _days(_BREATHING_DAYS, day, key)
        elif told < _BANKRUPT_UP_TO[debtor]:
            kind = BANKRUPTCY
    return kind, until_day


@part
def _bar(state: Record, day: int, key: Stream, action: int, outcome: int) -> tuple[int, int]:
    """The restriction that bars all contact after this one, NOTHING when there is none, and until which day."""
    kind, until_day = NOTHING, FOREVER
    if outcome == THIRD_PARTY:
        if state.debtor_type == DECEASED_TYPE and uniform(key, day, Purpose.BAR) < _DEATH_SAID:
            kind = DECEASED
    elif action in (CALL, VISIT) and outcome not in (NO_ANSWER, WRONG_NUMBER):
        kind, until_day = _from_talk(state, day, key, outcome)
    if kind != NOTHING:
        state.barred_until = max(state.barred_until, until_day)
    return kind, until_day


@part
def _found_invalid(state: Record, day: int, key: Stream, action: int, outcome: int) -> bool:
    """Whether the contact point turns out not to be the debtor's, and is marked so."""
    marked = uniform(key, day, Purpose.WRONG_NOTED)
    if action == EMAIL:
        bounced = outcome == SENT and state.email_wrong == 1 and state.email_known_bad == 0
        return bool(bounced and marked < _EMAIL_BOUNCE_MARKED)
    return bool(outcome == WRONG_NUMBER and (action == VISIT or marked < _WRONG_NUMBER_MARKED))


@part
def _set_invalid(state: Record, point: int) -> None:
    if point in (PHONE_1, PHONE_2):
        state.phone = PHONE_2 if point == PHONE_1 and state.has_phone_2 == 1 else NO_POINT
    elif point == ADDRESS:
        state.address_known_bad = 1
    elif point == EMAIL_ADDRESS:
        state.email_known_bad = 1


@part
def _opts_out(state: Record, day: int, key: Stream, action: int, outcome: int) -> bool:
    """Whether the debtor forbids this channel from now on."""
    chance = _OPT_OUT[action] * (1.0 + 0.5 * state.fatigue)
    if action == CALL and outcome == REFUSAL:
        chance = _CALLS_OPT_OUT
    return bool(state.opted_out[action] == 0 and uniform(key, day, Purpose.OPT_OUT) < chance)


@part
def restriction_from(
    state: Record, day: int, key: Stream, action: int, outcome: int, point: int
) -> tuple[int, int, int, int]:
    """What a contact gives rise to: kind of restriction (NOTHING for none), action, contact point, until which day.

    The action and the contact point are 0 where it holds for all; the state is set accordingly.
    """
    kind, until_day = _bar(state, day, key, action, outcome)
    for_action, for_point = NONE, NO_POINT
    if kind == NOTHING:
        if point != NO_POINT and _found_invalid(state, day, key, action, outcome):
            _set_invalid(state, point)
            kind, for_point = INVALID_CONTACT, point
        elif _opts_out(state, day, key, action, outcome):
            state.opted_out[action] = 1
            kind, for_action = CHANNEL_OPT_OUT, action
    return kind, for_action, for_point, until_day
