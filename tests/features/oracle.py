"""A second reading of the catalogue's sentences, and of balance, live and outcomes: the tests' oracle.

Slow, plain Python over `tests.features.seen`; it shares no code with the kernel. A value becomes a float once, at the
very end: the nearest double, then the nearest float32. A derived one is worked out from the nearest doubles.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np

from features.catalog.grammar import (
    Attribute,
    Category,
    Count,
    DaysSince,
    Derived,
    Feature,
    GroupRate,
    Measure,
    Quantity,
    Restricted,
    Total,
)
from features.kernel import Ratio
from tests.features.seen import (
    Promise,
    RawPortfolio,
    Row,
    Seen,
    happened_at,
    in_days,
    known_at,
    latest,
    placed_at,
    seen,
    total,
)

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


def days_to_next_promise(now: Seen) -> Value:
    """Days to the earliest due date of an open promise."""
    due_on = min((promise.due_on for promise in now.promised("open")), default=None)
    return None if due_on is None else in_days(due_on - now.as_of)


def overdue(now: Seen) -> list[Promise]:
    """Promises a day or more past their due date that all that was paid since their making does not cover."""
    past = [promise for promise in now.promises if now.as_of - promise.due_on >= timedelta(days=1)]
    return [promise for promise in past if promise.paid_since < promise.amount]


def overdue_promise_days(now: Seen) -> Value:
    """Days since the earliest due date of an overdue promise."""
    return now.days_since(min((promise.due_on for promise in overdue(now)), default=None))


def days_late(now: Seen, promises: Iterable[Promise]) -> list[Fraction]:
    """Days from the due date until each promise was covered, if it is, or so far, if it is overdue."""
    late = overdue(now)
    until = [(promise, now.as_of if promise in late else promise.covered_at) for promise in promises]
    return [in_days(at - promise.due_on) for promise, at in until if at is not None]


def last_promise_days_late(now: Seen) -> Value:
    """Days late of the latest made of the promises covered or overdue; of several made at once, the most."""
    made_at = latest(promise.made_at for promise in now.promises if days_late(now, [promise]))
    return max(days_late(now, (promise for promise in now.promises if promise.made_at == made_at)), default=None)


def promise_days_late(now: Seen) -> Value:
    """Mean days late of the promises covered or overdue."""
    days = days_late(now, now.promises)
    return sum(days, Fraction(0)) / len(days) if days else None


def last_promise_amount(now: Seen) -> Value:
    """Money promised at the instant of the latest promise."""
    made_at = latest(promise.made_at for promise in now.promises)
    last = [promise.amount for promise in now.promises if promise.made_at == made_at]
    return total(last) if last else None


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


def broken_promise_streak(now: Seen) -> Value:
    """Broken promises made after the latest made of those that were kept, or ever."""
    kept = latest(promise.made_at for promise in now.promised("kept"))
    return sum(1 for promise in now.promised("broken") if kept is None or promise.made_at > kept)


def days_to_keep_promise(now: Seen) -> Value:
    """Mean days from the making of a kept promise to the instant at which it was covered."""
    kept = now.promised("kept")
    days = [in_days(promise.settled_at - promise.made_at) for promise in kept if promise.settled_at is not None]
    assert len(days) == len(kept)
    return sum(days, Fraction(0)) / len(days) if days else None


def last_payment_amount(now: Seen) -> Value:
    """What was paid at the instant of the latest payment."""
    last = [row["amount"] for row in now.payments if row["at"] == now.payments[-1]["at"]]
    return total(last) if last else None


def payment_gap_days(now: Seen) -> Value:
    """Mean days from one payment to the next; those of one instant are one."""
    times = sorted({row["at"] for row in now.payments})
    return in_days(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None


def longest_payment_gap_days(now: Seen) -> Value:
    """Most days from one payment to the next; those of one instant are one."""
    times = sorted({row["at"] for row in now.payments})
    return max((in_days(later - earlier) for earlier, later in pairwise(times)), default=None)


def paydays(now: Seen) -> list[int]:
    """The day of the month of each payment, debtor-local, oldest first."""
    return [row["at"].astimezone(now.zone).day for row in now.payments]


def around(day: int, days: Sequence[int]) -> int:
    """How many of some days of the month are within two days of one; the 31st and the 1st are neighbours."""
    return sum(1 for other in days if min(abs(day - other), 31 - abs(day - other)) <= 2)


def payday(now: Seen) -> int | None:
    """The day of the month with most payments around it, of equals the one last paid on; None below two payments."""
    days = paydays(now)
    if len(days) < 2:
        return None
    return max(reversed(days), key=lambda day: around(day, days))


def payday_share(now: Seen) -> Value:
    """Share of payments within two days of the usual payday."""
    day = payday(now)
    return None if day is None else Fraction(around(day, paydays(now)), len(now.payments))


def days_to_payday(now: Seen) -> Value:
    """Whole days to the next usual payday, which a shorter month has on its last day."""
    day = payday(now)
    if day is None:
        return None
    today = now.as_of.astimezone(now.zone).date()
    ahead = (today + timedelta(days=days) for days in range(62))
    return next((date - today).days for date in ahead if date.day == min(day, monthrange(date.year, date.month)[1]))


def since_placed(now: Seen, table: str) -> Value:
    """Net payments or net charges since placement."""
    return total(row["amount"] for row in now.rows[table] if row["at"] >= now.placed_at)


def balance_change(now: Seen, days: int) -> Value:
    """Net charges less net payments since placement, of the last days."""
    return total(amount for at, amount in now.moves if now.as_of - timedelta(days=days) <= at < now.as_of)


def cured_at(now: Seen) -> list[datetime]:
    """When the balance fell to zero or below since placement, once all of an instant is counted."""
    owed: Decimal = now.account["balance"]
    found = []
    for at, amount in now.moves:
        if owed > 0 >= owed + amount:
            found.append(at)
        owed += amount
    return found


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
    "promises_open": lambda now: len(now.promised("open")),
    "open_promise_amount": lambda now: total(promise.amount for promise in now.promised("open")),
    "days_to_next_promise": days_to_next_promise,
    "overdue_promises": lambda now: len(overdue(now)),
    "overdue_promise_amount": lambda now: total(promise.amount for promise in overdue(now)),
    "overdue_promise_days": overdue_promise_days,
    "last_promise_kept": last_promise_kept,
    "last_promise_amount": last_promise_amount,
    "broken_promise_paid_share": broken_promise_paid_share,
    "broken_promise_streak": broken_promise_streak,
    "days_to_keep_promise": days_to_keep_promise,
    "last_promise_days_late": last_promise_days_late,
    "promise_days_late": promise_days_late,
    "most_promise_days_late": lambda now: max(days_late(now, now.promises), default=None),
    "promises_paid_within_3d": lambda now: sum(1 for each in now.promises if each.paid_within_3d >= each.amount),
    "days_since_first_payment": lambda now: now.days_since(now.payments[0]["at"] if now.payments else None),
    "last_payment_amount": last_payment_amount,
    "largest_payment": lambda now: max((row["amount"] for row in now.payments), default=None),
    "payment_gap_days": payment_gap_days,
    "longest_payment_gap_days": longest_payment_gap_days,
    "token_payments": token_payments,
    "usual_payday": payday,
    "payday_share": payday_share,
    "days_to_payday": days_to_payday,
    "balance": balance,
    "placed_balance": lambda now: now.account["balance"],
    "balance_change_30d": lambda now: balance_change(now, 30),
    "balance_change_90d": lambda now: balance_change(now, 90),
    "paid_since_placed": lambda now: since_placed(now, "payments"),
    "charged_since_placed": lambda now: since_placed(now, "charges"),
    "cures": lambda now: len(cured_at(now)),
    "days_since_last_cure": lambda now: now.days_since(latest(cured_at(now))),
    "age_days": lambda now: now.days_since(now.account["opened_at"]),
    "days_since_placed": lambda now: now.days_since(now.placed_at),
    "days_past_due": lambda now: now.days_since(now.account.get("due_on")),
    "commission_rate": commission_rate,
    "restrictions_active": restrictions_active,
    "calendar_month": lambda now: now.as_of.astimezone(now.zone).month,
    "calendar_day": lambda now: now.as_of.astimezone(now.zone).day,
    "calendar_weekday": lambda now: now.as_of.astimezone(now.zone).weekday(),
}


# --------------------------------------------------------------------------------------- the accounts that are like it


def group_rate(measure: GroupRate, now: Seen) -> Value:
    """A rate of all accounts of the same segment or vintage, as of the last UTC midnight."""
    alike = {
        account["account_id"]: account
        for account in now.portfolio.tables["accounts"]
        if group_of(measure.group, account) == group_of(measure.group, now.account)
    }
    days = None if measure.whole == "placed" else measure.days
    whole = grouped(measure.whole, days, alike, now)
    return Fraction(grouped(measure.part, measure.days, alike, now)) / Fraction(whole) if whole > 0 else None


def group_of(group: str, account: Row) -> str | None:
    """The segment of an account, or its vintage: the UTC month in which it was placed."""
    if group == "vintage":
        return placed_at(account).astimezone(UTC).strftime("%Y-%m")
    segment: str | None = account["segment"]
    return segment


def grouped(what: str, days: int | None, accounts: Mapping[str, Row], now: Seen) -> Decimal:
    """A sum over accounts of what became known before the moment's UTC day, in so many days before it or ever."""
    today = now.as_of.astimezone(UTC).date()

    def counts(known: datetime) -> bool:
        day: date = known.astimezone(UTC).date()
        return day < today and (days is None or day >= today - timedelta(days=days))

    if what == "placed":
        return total(account["balance"] for account in accounts.values() if counts(placed_at(account)))
    table = "payments" if what == "paid" else "contacts"
    rows = [
        row
        for row in now.portfolio.tables.get(table, ())
        if row["account_id"] in accounts and counts(known_at(table, row))
    ]
    if what == "paid":
        return total(row["amount"] for row in rows if row["at"] >= placed_at(accounts[row["account_id"]]))
    attempts = [row for row in rows if (row.get("direction") or "outbound") == "outbound"]
    return Decimal(sum(1 for row in attempts if what == "attempts" or row["outcome"] in RIGHT_PARTY))


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
            return now.days_since(latest(happened_at(events.table, row) for row in now.select(events)))
        case Quantity(name):
            return QUANTITIES[name](now)
        case Restricted(kind, what):
            return restricted(kind, what, now)
    return stated(measure, now, categories)


def stated(measure: Measure, now: Seen, categories: Mapping[str, tuple[str, ...]]) -> Value:
    """What the account's columns say, or the accounts like it."""
    match measure:
        case Attribute(column):
            attribute: float | None = now.account.get(column)
            return attribute
        case Category(column):
            known, value = categories.get(column, ()), now.account.get(column)
            return known.index(value) if value in known else None
        case GroupRate():
            return group_rate(measure, now)
    raise AssertionError(f"no reading of {measure}")


def restricted(kind: str, what: str, now: Seen) -> Value:
    """Restrictions of one kind: active at the moment, ever, or days since the latest began."""
    rows = [row for row in now.rows["restrictions"] if row["kind"] == kind]
    if what == "since":
        return now.days_since(latest(row["at"] for row in rows))
    return len(now.active(kind) if what == "active" else rows)


def derived(ratio: Ratio, inputs: Sequence[float], weight: float) -> float:
    """A ratio of doubles, NaN where an input is missing."""
    if any(math.isnan(value) for value in inputs):
        return math.nan
    first, second = inputs[0], inputs[-1]
    match ratio:
        case Ratio.share:
            return first / second if second > 0 else math.nan
        case Ratio.shrunk_rate:
            return (first + 5 * weight) / (second + 5)
        case Ratio.excess:
            return first - weight * second
        case Ratio.bucket:
            return float(sum(1 for month in range(13) if first > 30 * month))
        case Ratio.stage:
            return float(sum(1 for day in (0, 5, 18, 28, 60, 120) if first > day))


def as_double(value: Value) -> float:
    """The nearest double."""
    return math.nan if value is None else float(value)


def features_of(
    now: Seen, features: Iterable[Feature], categories: Mapping[str, tuple[str, ...]]
) -> dict[str, np.float32]:
    """Every feature of one account at one moment, derived ones from the others' doubles."""
    every = list(features)
    found = {
        feature.name: as_double(measured(feature.measure, now, categories))
        for feature in every
        if not isinstance(feature.measure, Derived)
    }
    for feature in every:
        if isinstance(feature.measure, Derived):
            inputs = [found[name] for name in feature.measure.inputs]
            found[feature.name] = derived(feature.measure.ratio, inputs, feature.measure.weight)
    return {name: np.float32(value) for name, value in found.items()}
