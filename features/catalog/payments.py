"""Payments: how often, how much, how long ago, how regular."""

from __future__ import annotations

from features.catalog.contacts import over, suffix
from features.catalog.grammar import Count, DaysSince, Derived, Feature, Quantity, Total, where
from features.catalog.ratios import difference, share

FAMILY = "payments"
WINDOWS = (30, 90, 180, None)
PAYMENT = where("payments", sign="payment")
REVERSAL = where("payments", sign="reversal")


def features() -> tuple[Feature, ...]:
    """Every feature of payments."""
    return (*_windowed(), *_dated(), *_shares())


def _windowed() -> list[Feature]:
    found: list[Feature] = []
    for days in WINDOWS:
        found.append(
            Feature(
                f"payments{suffix(days)}", "count", FAMILY, f"Payments {over(days)}.",
                Count(PAYMENT, days), f"{{value}} payments {over(days)}",
            )
        )  # fmt: skip
        found.append(
            Feature(
                f"paid{suffix(days)}", "amount", FAMILY, f"Money paid {over(days)}, net of reversals.",
                Total(where("payments"), days), f"{{value}} paid {over(days)}",
            )
        )  # fmt: skip
    return found


def _dated() -> list[Feature]:
    return [
        Feature(
            "payment_reversals", "count", FAMILY, "Payments reversed so far.",
            Count(REVERSAL), "{value} payments reversed",
        ),
        Feature(
            "days_since_last_payment", "days", FAMILY, "Days since the latest payment.",
            DaysSince(PAYMENT), "latest payment {value} days ago", "no payment so far",
        ),
        Feature(
            "days_since_last_reversal", "days", FAMILY, "Days since the latest reversal.",
            DaysSince(REVERSAL), "latest reversal {value} days ago", "no reversal so far",
        ),
        _quantity("days_since_first_payment", "days", "Days since the first payment.", "first paid {value} days ago"),
        _quantity(
            "last_payment_amount", "amount", "What was paid at the instant of the latest payment.",
            "latest payment was {value}",
        ),
        _quantity("largest_payment", "amount", "The largest payment.", "largest payment was {value}"),
        _quantity(
            "payment_gap_days", "days", "Mean days from one payment to the next.",
            "a payment every {value} days", "fewer than two payments",
        ),
        _quantity(
            "token_payments", "count", "Payments below a twentieth of the balance at placement.",
            "{value} token payments", "",
        ),
    ]  # fmt: skip


def _shares() -> list[Feature]:
    return [
        Feature(
            "paid_share_of_placed_balance", "share", FAMILY, "Money paid so far by the balance at placement.",
            Derived(share, ("paid", "placed_balance")), "{value} of the placed balance paid so far",
            "nothing owed at placement",
        ),
        Feature(
            "paid_share_of_placed_balance_90d", "share", FAMILY, "Money paid in 90 days by the balance at placement.",
            Derived(share, ("paid_90d", "placed_balance")), "{value} of the placed balance paid in the last 90 days",
            "nothing owed at placement",
        ),
        Feature(
            "last_payment_share_of_balance", "share", FAMILY, "The latest payment by the balance.",
            Derived(share, ("last_payment_amount", "balance")), "latest payment was {value} of the balance",
            "no payment so far",
        ),
        Feature(
            "payment_overdue_days", "days", FAMILY, "Days since the latest payment beyond the mean gap of payments.",
            Derived(difference, ("days_since_last_payment", "payment_gap_days")),
            "{value} days later than the usual gap between payments", "fewer than two payments",
        ),
    ]  # fmt: skip


def _quantity(name: str, unit: str, sentence: str, reason: str, absent: str = "no payment so far") -> Feature:
    return Feature(name, unit, FAMILY, sentence, Quantity(name), reason, absent)
