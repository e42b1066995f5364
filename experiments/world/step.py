"""One day of one account: the only place where the world moves, for what happens and for every future of the truth.

In order: the night passes; what was recorded late becomes known; charges are posted; an account may be recalled; a
promise may turn out broken; the policy may review the account, and act; the debtor may call; may pay; an earlier
payment may be reversed.
"""

from __future__ import annotations

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.codes import (
    AT_BEST,
    BY_HABIT,
    CALL,
    CHANCE,
    CLOSED,
    CREDIT_NOTE,
    EMAIL,
    FOREVER,
    INTEREST,
    LEGAL_LETTER,
    LETTER,
    NO_ANSWER,
    NO_POINT,
    NONE,
    POLICY,
    PROMISE,
    RIGHT_PARTY,
    SERVICE_FEE,
    SMS,
    THIRD_PARTY,
    VISIT,
    WRONG_NUMBER,
)
from experiments.world.compiled import part
from experiments.world.contacting import contact, point_used, talk
from experiments.world.debtors import (
    ANSWERING,
    DECEASED_TYPE,
    DIALLING_UP_TO,
    FIRST_HOUR,
    FRAUD_TYPE,
    N_HOURS,
)
from experiments.world.journal import (
    MINUTE,
    known_when,
    late_share,
    midnight,
    note_charge,
    note_contact,
    note_decision,
    note_inbound,
    note_payment,
    note_promise,
    note_restriction,
)
from experiments.world.market import BUSINESS_INVOICE, CREDIT_NOTE_RATE, CREDIT_NOTE_SHARE, INTEREST_RATE
from experiments.world.paying import amount_paid, any_of, drift, wishes
from experiments.world.policy import REVIEW_DAYS, choose, ladder, stage_of
from experiments.world.restricting import NOTHING, restriction_from
from experiments.world.state import Record
from features.contract import PROMISE_GRACE_DAYS
from features.units import HOUR, MONEY_SCALE, NULL_TIME

#: How a payment comes about on a day: by chance, not at all, or for certain.
BY_CHANCE, NEVER, SURELY = 0, 1, 2

_CENT = MONEY_SCALE // 100
_REVIEW_DAYS_BARRED = 7
#: The debtor calls: chance a day, and how much more when reminded.
_INBOUND, _INBOUND_REMINDED = 0.0006, 0.004
_INBOUND_BY_EMAIL = 0.15
#: Share of payments recorded late, and by how many days at most; they are entered at 6:00.
_PAID_LATE, _PAID_LATE_DAYS, _ENTERED = 0.25, 3, 6 * HOUR
#: Share of payments that are reversed, after 2-9 days.
_REVERSED, _REVERSED_AFTER, _REVERSED_WITHIN = 0.025, 2, 8
#: Nobody pays before the day's decisions are carried out, so that a day's payment follows the day's action.
_PAID_FROM, _PAID_UNTIL = 9 * HOUR, 23 * HOUR + 30 * MINUTE
_CHARGED_FROM, _RECALLED = 3 * HOUR, HOUR
_FEE_DUE_DAYS = 15


@part
def step(state: Record, day: int, today: Record, key: Stream, order: int, paying: int, desk: Record) -> float:
    """Move one account by one day, `today` in the calendar.

    `order` is an action to take today whatever the policy would choose, or POLICY. `paying` says how a payment comes
    about. What happens is on the desk afterwards. Returns the chance of a payment today given everything else; `state`
    is then that of the next morning.
    """
    desk.written = 0
    if state.closed == 1:
        return 0.0
    drift(state, day, today, key)
    _become_known(state, day)
    if day >= state.close_day:
        return _recall(state, day, desk)
    if state.balance > 0:
        _charge(state, day, key, desk)
    _settle_promise(state, day)
    free_from = _PAID_FROM
    if order != POLICY or (state.known_balance > 0 and day >= state.next_review):
        free_from = _review(state, day, today, key, order, desk)
    if free_from == _PAID_FROM and state.balance > 0:
        free_from = _inbound(state, day, today, key, desk)
    chance = 0.0
    if state.balance > 0:
        chance = _pay(state, day, today, key, paying, free_from, desk)
    if state.reversal_day == day:
        _reverse(state, day, key, desk)
    return chance


@part
def _become_known(state: Record, day: int) -> None:
    """Let the payments entered this morning be seen."""
    amount = state.pending[day % 4]
    if amount != 0:
        state.pending[day % 4] = 0
        _see_payment(state, day, amount)


@part
def _see_payment(state: Record, day: int, amount: int) -> None:
    state.known_balance -= amount
    state.promise_known += amount
    if amount > 0:
        state.last_paid = day


@part
def _recall(state: Record, day: int, desk: Record) -> float:
    state.closed = 1
    if state.known_balance > 0:
        at = midnight(day, desk) + _RECALLED
        note_restriction(state, desk, at, NULL_TIME, CLOSED, 0, NO_POINT, NULL_TIME)
    return 0.0


@part
def _charge(state: Record, day: int, key: Stream, desk: Record) -> None:
    """Post interest, a recurring fee or a credit note where one is due."""
    amount, kind, due = 0, INTEREST, NULL_TIME
    since = day - state.placed_day
    if state.charge_every > 0 and since > 0 and since % state.charge_every == 0:
        if state.charge_amount > 0:
            amount, kind = state.charge_amount, SERVICE_FEE
            due = midnight(day + _FEE_DUE_DAYS, desk)
        else:
            amount = int(state.balance * INTEREST_RATE) // _CENT * _CENT
    elif state.segment == BUSINESS_INVOICE and uniform(key, day, Purpose.CREDIT_NOTE) < CREDIT_NOTE_RATE:
        amount, kind = -(int(state.balance * CREDIT_NOTE_SHARE) // _CENT * _CENT), CREDIT_NOTE
    if amount != 0:
        state.balance += amount
        state.known_balance += amount
        at = midnight(day, desk) + _CHARGED_FROM + int(uniform(key, day, Purpose.CHARGE_TIME) * HOUR)
        note_charge(state, desk, at, kind, amount, due)


@part
def _settle_promise(state: Record, day: int) -> None:
    """Close a promise that is kept, or past its grace; a broken one calls for a review."""
    if state.promise_open == 0:
        return
    if state.promise_known >= state.promise_amount:
        state.promise_open = 0
    elif day >= state.promise_due + PROMISE_GRACE_DAYS:
        state.promise_open = 0
        state.last_broken = day
        state.next_review = day


@part
def _review(state: Record, day: int, today: Record, key: Stream, order: int, desk: Record) -> int:
    """Decide, log the decision, act; returns the time of day from which a payment can follow."""
    ladder(state, day, desk)
    action, explored = order, 0
    if order == POLICY:
        action, explored = choose(state, day, key, desk)
    chance = desk.chances[CHANCE, action]
    note_decision(state, day, key, desk, action, explored, chance)
    wait = REVIEW_DAYS[stage_of(state, day)]
    if day < state.barred_until:
        wait = _REVIEW_DAYS_BARRED
    elif uniform(key, day, Purpose.NEXT_REVIEW) < 0.5:
        wait += 1
    state.next_review = day + wait
    if action == NONE:
        return _PAID_FROM
    ordered = desk.hour if order == CALL else BY_HABIT
    return _act(state, day, today, key, action, ordered, chance, desk)


@part
def _hour(state: Record, day: int, key: Stream, ordered: int) -> int:
    """The hour of an action, counted from the first of the day: as ordered, or when diallers dial."""
    hour = 0
    if ordered == AT_BEST:
        for other in range(1, N_HOURS):
            if ANSWERING[state.hours, other] > ANSWERING[state.hours, hour]:
                hour = other
    elif ordered != BY_HABIT:
        hour = ordered - FIRST_HOUR
    else:
        draw = uniform(key, day, Purpose.HOUR)
        while hour < N_HOURS - 1 and draw >= DIALLING_UP_TO[hour]:
            hour += 1
    return hour


@part
def _act(
    state: Record, day: int, today: Record, key: Stream, action: int, ordered: int, chance: float, desk: Record
) -> int:
    """Carry out an action at its hour; returns the time of day after it."""
    hour = _hour(state, day, key, ordered)
    time = (FIRST_HOUR + hour) * HOUR + int(uniform(key, day, Purpose.MINUTE) * (HOUR - 2 * MINUTE))
    point = point_used(state, action)
    outcome = contact(state, day, today, key, action, FIRST_HOUR + hour)
    at = midnight(day, desk) + time
    known = known_when(day, key, desk, late_share(action == VISIT))
    note_contact(state, desk, at, known, action, outcome, point, chance)
    if outcome == PROMISE:
        note_promise(state, desk, at, known)
    _remember(state, day, action, outcome)
    _restrict(state, day, key, action, outcome, point, (at, known), desk)
    return time + 5 * MINUTE


@part
def _restrict(
    state: Record, day: int, key: Stream, action: int, outcome: int, point: int, when: tuple[int, int], desk: Record
) -> None:
    """Enter what a contact gives rise to, right after it; `when` it was, and when it is known."""
    kind, for_action, for_point, until_day = restriction_from(state, day, key, action, outcome, point)
    if kind != NOTHING:
        until = NULL_TIME if until_day == FOREVER else midnight(until_day, desk)
        note_restriction(state, desk, when[0] + MINUTE, when[1], kind, for_action, for_point, until)


@part
def _remember(state: Record, day: int, action: int, outcome: int) -> None:
    """Keep what the rules look back on."""
    if action == SMS:
        state.last_sms = day
    elif action == LETTER:
        state.last_letter = day
    elif action == LEGAL_LETTER:
        state.last_legal = day
    elif action == VISIT:
        state.last_visit = day
    elif action == CALL:
        state.unanswered = state.unanswered + 1 if outcome == NO_ANSWER else 0
    spoken = action in (CALL, VISIT)
    if spoken and outcome not in (NO_ANSWER, WRONG_NUMBER, THIRD_PARTY):
        state.last_reached = day


@part
def _inbound(state: Record, day: int, today: Record, key: Stream, desk: Record) -> int:
    """Let the debtor call or write; returns the time of day from which a payment can follow."""
    unable = state.debtor_type in (DECEASED_TYPE, FRAUD_TYPE)
    chance = state.willingness * (_INBOUND + _INBOUND_REMINDED * state.reminded)
    draw = uniform(key, day, Purpose.INBOUND)
    if unable or day < state.barred_until or draw >= chance:
        return _PAID_FROM
    action = EMAIL if draw < chance * _INBOUND_BY_EMAIL and state.has_email == 1 else CALL
    outcome = talk(state, day, today, key, action)
    time = FIRST_HOUR * HOUR + int(uniform(key, day, Purpose.INBOUND_TIME) * N_HOURS * HOUR)
    at = midnight(day, desk) + time
    known = known_when(day, key, desk, late_share(False))
    note_inbound(state, desk, at, known, action, outcome)
    if outcome == PROMISE:
        note_promise(state, desk, at, known)
    elif outcome == RIGHT_PARTY and action == CALL:
        state.last_reached = day
    return time + 5 * MINUTE


@part
def _pay(state: Record, day: int, today: Record, key: Stream, paying: int, free_from: int, desk: Record) -> float:
    """Let the debtor pay, or not; returns the chance of it."""
    wish = wishes(state, day, today)
    chance = any_of(wish)
    if paying == NEVER or (paying == BY_CHANCE and uniform(key, day, Purpose.PAY) >= chance):
        return chance
    amount = amount_paid(state, day, key, wish)
    time = free_from + int(uniform(key, day, Purpose.PAY_TIME) * (_PAID_UNTIL - free_from))
    at, known = midnight(day, desk) + time, NULL_TIME
    state.balance -= amount
    state.promise_paid += amount
    state.net += amount
    if state.first_paid == NULL_TIME:
        state.first_paid = at
    if uniform(key, day, Purpose.PAY_DELAY) < _PAID_LATE:
        delay = 1 + int(uniform(key, day, Purpose.DELAY_DAYS) * _PAID_LATE_DAYS)
        known = midnight(day + delay, desk) + _ENTERED
        state.pending[(day + delay) % 4] += amount
    else:
        _see_payment(state, day, amount)
    note_payment(state, desk, at, known, amount)
    if state.reversal_day < day and uniform(key, day, Purpose.REVERSAL) < _REVERSED:
        after = _REVERSED_AFTER + int(uniform(key, day, Purpose.REVERSAL_DAY) * _REVERSED_WITHIN)
        state.reversal_day, state.reversal_amount = day + after, amount
    return chance


@part
def _reverse(state: Record, day: int, key: Stream, desk: Record) -> None:
    """Take an earlier payment back; it is entered at once."""
    at = midnight(day, desk) + _PAID_FROM + int(uniform(key, day, Purpose.REVERSAL_TIME) * 8 * HOUR)
    amount = state.reversal_amount
    state.balance += amount
    state.promise_paid -= amount
    state.net -= amount
    _see_payment(state, day, -amount)
    note_payment(state, desk, at, NULL_TIME, -amount)
