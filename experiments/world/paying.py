"""Whether a debtor pays on a day, how much, and what becomes of a promise."""

from __future__ import annotations

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.compiled import part
from experiments.world.debtors import (
    BEFORE_RECOVERY,
    FATIGUE_KEPT,
    FULL_SHARE,
    KEEPING,
    PAYDAY_CURVE,
    PRESSURE_GAIN,
    PRESSURE_KEPT,
    PROMISE_DAYS,
    REMINDER_GAIN,
    REMINDER_KEPT,
    SELF_CURE,
    TOKEN_DAYS,
    TOKEN_RATE,
    WAITING_FOR_PROMISED_DAY,
    WEARINESS,
)
from experiments.world.state import Record
from features.units import MONEY_SCALE

_YUAN = MONEY_SCALE
#: Balances of which half the full payments are partial ones instead: nobody finds 30,000 at once as easily as 300.
_LARGE = 30_000.0 * _YUAN
#: Partial payments are round numbers.
_ROUND, _ROUND_SMALL = 100 * _YUAN, 10 * _YUAN
_SMALLEST_TOKEN = 20 * _YUAN


@part
def days_since_payday(state: Record, today: Record) -> int:
    """Days since the last payday, 0-30."""
    return int((today.day_of_month - state.payday) % 31)


@part
def drift(state: Record, day: int, today: Record, key: Stream) -> None:
    """Let a night pass: moods fade, and on payday the month's money is known."""
    state.reminded *= REMINDER_KEPT
    state.pressure *= PRESSURE_KEPT
    state.fatigue *= FATIGUE_KEPT
    if days_since_payday(state, today) == 0:
        luck = 0.3 + 1.4 * uniform(key, day, Purpose.LIQUIDITY)
        state.liquidity = 0.5 * state.liquidity + 0.5 * state.ability * luck


@part
def wishes(state: Record, day: int, today: Record) -> tuple[float, float, float]:
    """The chances that the debtor pays today unbound, as promised, and the monthly token."""
    kind = state.debtor_type
    since_payday = days_since_payday(state, today)
    money = state.liquidity * PAYDAY_CURVE[since_payday] * today.season
    if day < state.recovery_day:
        money *= BEFORE_RECOVERY
    urge = SELF_CURE[kind] * state.self_cure + REMINDER_GAIN[kind] * state.reminded
    urge += PRESSURE_GAIN[kind] * state.pressure
    unbound = state.willingness * money * urge / (1.0 + WEARINESS[kind] * state.fatigue)
    kept = 0.0
    if state.promise_open == 1 and state.promise_paid < state.promise_amount:
        place = day - state.promise_due + 1
        if 0 <= place < 4:
            means = min(1.0, 0.4 + 0.6 * money) * min(1.0, 0.5 + 0.5 * state.willingness)
            kept = KEEPING[kind] * PROMISE_DAYS[place] * state.promise_weight * means
        elif place < 0:
            unbound *= WAITING_FOR_PROMISED_DAY
    token = 0.0
    if since_payday < TOKEN_DAYS and state.pays_token == 1:
        token = TOKEN_RATE
    return min(unbound, 0.9), kept, token


@part
def any_of(wish: tuple[float, float, float]) -> float:
    """The chance that at least one of three independent wishes comes true."""
    return 1.0 - (1.0 - wish[0]) * (1.0 - wish[1]) * (1.0 - wish[2])


@part
def rounded(amount: float, balance: int) -> int:
    """A round amount of at least 10 that does not exceed the balance."""
    unit = _ROUND if amount >= 5 * _ROUND else _ROUND_SMALL
    return int(min(balance, max(1, int(amount / unit)) * unit))


@part
def amount_paid(state: Record, day: int, key: Stream, wish: tuple[float, float, float]) -> int:
    """How much is paid by a debtor who pays today; never more than the balance."""
    cause = uniform(key, day, Purpose.CAUSE) * (wish[0] + wish[1] + wish[2])
    share = uniform(key, day, Purpose.SHARE)
    if cause < wish[1]:
        return int(min(state.balance, state.promise_amount - state.promise_paid))
    if cause < wish[1] + wish[2]:
        token = max(float(_SMALLEST_TOKEN), state.balance * (0.01 + 0.02 * share))
        return rounded(token, state.balance)
    full = FULL_SHARE[state.debtor_type] / (1.0 + state.balance / _LARGE)
    if uniform(key, day, Purpose.FULL) < full:
        return int(state.balance)
    return rounded(state.balance * (0.05 + 0.60 * share * share), state.balance)
