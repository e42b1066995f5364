"""A second reading of the catalogue's sentences, and of balance, live and outcomes: the tests' oracle.

Slow, plain Python over `tests.features.seen`; it shares no code with the kernel. A value becomes a float once, at the
very end: the nearest double, then the nearest float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np

from features.catalog.grammar import (
    Attribute,
    Calendar,
    Category,
    Count,
    DaysSince,
    Derived,
    Feature,
    Measure,
    Quantity,
    Restricted,
    Total,
)
from tests.features.seen import RawPortfolio, Seen, in_days, latest, seen, total

#: Counts, exact amounts and exact numbers of days; `None` is missing.
Value = int | float | Decimal | Fraction | None

RIGHT_PARTY = ("right_party", "promise", "refusal", "dispute")
#: What comes of an attempt that somebody answers; what is sent only arrives.
ANSWERED = ("wrong_number", "third_party", *RIGHT_PARTY)


def balance(now: Seen) -> Decimal:
    """What is owed: the balance at placement, and what was charged and paid from then on."""
    charged = total(row["amount"] for row in now.rows["charges"] if row["at"] >= now.placed_at)
    paid = total(row["amount"] for row in now.rows["payments"] if row["at"] >= now.placed_at)
    owed: Decimal = now.account["balance"] + charged - paid
    return owed


def live(now: Seen) -> bool:
    """Placed before the moment, something owed, and not closed."""
    return now.placed_at < now.as_of and balance(now) > 0 and not now.active("closed")


def paid_after(
    portfolio: RawPortfolio, account_id: str, as_of: datetime, horizon: timedelta, known_before: datetime
) -> Decimal:
    """What is paid, net, from the moment on and before the horizon's end, as far as it is known by then."""
    return total(
        row["amount"]
        for row in seen(portfolio, account_id, known_before).rows["payments"]
        if as_of <= row["at"] < as_of + horizon
    )


# ------------------------------------------------------------------------------- what the catalogue calls by its name


def no_answer_streak(now: Seen) -> Value:
    """Attempts without an answer since any other answer, or ever."""
    answered = latest(row["at"] for row in now.attempts if row["outcome"] in ANSWERED)
    unanswered = [row["at"] for row in now.attempts if row["outcome"] == "no_answer"]
    return sum(1 for at in unanswered if answered is None or at > answered)


def attempts_since_right_party(now: Seen) -> Value:
    """Attempts since the latest talk with the right party, or ever; the debtor may have called."""
    talked = latest(row["at"] for row in now.rows["contacts"] if row["outcome"] in RIGHT_PARTY)
    return sum(1 for row in now.attempts if talked is None or row["at"] > talked)


def days_since_first_contact(now: Seen) -> Value:
    """Days since the first contact of either side."""
    return now.days_since(min((row["at"] for row in now.rows["contacts"]), default=None))


def promises_broken_90d(now: Seen) -> Value:
    """Promises whose time ran out unpaid in the 90 days before the moment."""
    begin = now.as_of - timedelta(days=90)
    return sum(1 for promise in now.promised("broken") if begin <= promise.deadline < now.as_of)


def days_to_next_promise(now: Seen) -> Value:
    """Days to the earliest due date of an open promise."""
    due_on = min((promise.due_on for promise in now.promised("open")), default=None)
    return None if due_on is None else in_days(due_on - now.as_of)


def last_promise_kept(now: Seen) -> Value:
    """Whether the latest made of the settled promises was kept; of several made at once, whether any was."""
    settled = [promise for promise in now.promises if promise.state != "open"]
    made_at = latest(promise.made_at for promise in settled)
    return int(any(promise.state == "kept" for promise in settled if promise.made_at == made_at)) if settled else None


def broken_promise_paid_share(now: Seen) -> Value:
    """What was paid in time on broken promises, by their amount; a net reversal is nothing paid."""
    broken = now.promised("broken")
    if not broken:
        return None
    paid = total(max(promise.paid_in_time, Decimal(0)) for promise in broken)
    return Fraction(paid) / Fraction(total(promise.amount for promise in broken))


def last_payment_amount(now: Seen) -> Value:
    """What was paid at the instant of the latest payment."""
    last = [row["amount"] for row in now.payments if row["at"] == now.payments[-1]["at"]]
    return total(last) if last else None


def payment_gap_days(now: Seen) -> Value:
    """Mean days from one payment to the next."""
    times = [row["at"] for row in now.payments]
    return in_days(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None


def token_payments(now: Seen) -> Value:
    """Payments below a twentieth of the balance at placement."""
    return sum(1 for row in now.payments if row["amount"] * 20 < now.account["balance"])


def restrictions_active(now: Seen) -> Value:
    """Kinds of restriction that are active."""
    return sum(1 for kind in {row["kind"] for row in now.rows["restrictions"]} if now.active(kind))


def commission_rate(now: Seen) -> Value:
    """The account's rate, or the portfolio's."""
    own: float | None = now.account.get("commission_rate")
    return now.settings.commission_rate if own is None else own


QUANTITIES: Mapping[str, Callable[[Seen], Value]] = {
    "no_answer_streak": no_answer_streak,
    "attempts_since_right_party": attempts_since_right_party,
    "days_since_first_contact": days_since_first_contact,
    "promises_made": lambda now: len(now.promises),
    "promises_kept": lambda now: len(now.promised("kept")),
    "promises_broken": lambda now: len(now.promised("broken")),
    "promises_open": lambda now: len(now.promised("open")),
    "promises_broken_90d": promises_broken_90d,
    "open_promise_amount": lambda now: total(promise.amount for promise in now.promised("open")),
    "broken_promise_amount": lambda now: total(promise.amount for promise in now.promised("broken")),
    "days_to_next_promise": days_to_next_promise,
    "days_since_last_promise": lambda now: now.days_since(latest(promise.made_at for promise in now.promises)),
    "days_since_last_broken_promise": lambda now: now.days_since(
        latest(promise.deadline for promise in now.promised("broken"))
    ),
    "last_promise_kept": last_promise_kept,
    "broken_promise_paid_share": broken_promise_paid_share,
    "days_since_first_payment": lambda now: now.days_since(now.payments[0]["at"] if now.payments else None),
    "last_payment_amount": last_payment_amount,
    "largest_payment": lambda now: max((row["amount"] for row in now.payments), default=None),
    "payment_gap_days": payment_gap_days,
    "token_payments": token_payments,
    "balance": balance,
    "placed_balance": lambda now: now.account["balance"],
    "age_days": lambda now: now.days_since(now.account["opened_at"]),
    "days_since_placed": lambda now: now.days_since(now.placed_at),
    "days_past_due": lambda now: now.days_since(now.account.get("due_on")),
    "commission_rate": commission_rate,
    "restrictions_active": restrictions_active,
}


# ---------------------------------------------------------------------------------------- every measure of the grammar


def measured(measure: Measure, now: Seen, categories: Mapping[str, tuple[str, ...]]) -> Value:
    """The value of every measure but a derived one."""
    match measure:
        case Count(events, days):
            return len(now.select(events, days))
        case Total(events, days):
            column = "cost" if events.table == "contacts" else "amount"
            return total(row.get(column) or Decimal(0) for row in now.select(events, days))
        case DaysSince(events):
            return now.days_since(latest(row["at"] for row in now.select(events)))
        case Quantity(name):
            return QUANTITIES[name](now)
        case Restricted(kind, what):
            return restricted(kind, what, now)
    return stated(measure, now, categories)


def stated(measure: Measure, now: Seen, categories: Mapping[str, tuple[str, ...]]) -> Value:
    """What the account and the moment alone say."""
    match measure:
        case Attribute(column):
            attribute: float | None = now.account.get(column)
            return attribute
        case Category(column):
            known, value = categories.get(column, ()), now.account.get(column)
            return known.index(value) if value in known else None
        case Calendar(part):
            local = now.as_of.astimezone(now.zone)
            return {"month": local.month, "day": local.day, "weekday": local.weekday()}[part]
    raise AssertionError(f"no reading of {measure}")


def restricted(kind: str, what: str, now: Seen) -> Value:
    """Restrictions of one kind: active at the moment, ever, or days since the latest began."""
    rows = [row for row in now.rows["restrictions"] if row["kind"] == kind]
    if what == "since":
        return now.days_since(latest(row["at"] for row in rows))
    return len(now.active(kind) if what == "active" else rows)


def as_float32(value: Value) -> np.float32:
    """The nearest double, then the nearest float32."""
    return np.float32(np.nan) if value is None else np.float32(float(value))


def features_of(
    now: Seen, features: Iterable[Feature], categories: Mapping[str, tuple[str, ...]]
) -> dict[str, np.float32]:
    """Every feature of one account at one moment, derived ones from the others' float32 values."""
    every = list(features)
    plain = [feature for feature in every if not isinstance(feature.measure, Derived)]
    found = {feature.name: as_float32(measured(feature.measure, now, categories)) for feature in plain}
    for feature in every:
        if isinstance(feature.measure, Derived):
            inputs = (np.array([found[name]], dtype=np.float32) for name in feature.measure.inputs)
            found[feature.name] = np.float32(feature.measure.function(*inputs)[0])
    return found
