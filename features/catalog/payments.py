"""Payments: how often, how much, how long ago, how regular, and on which day of the month."""

from __future__ import annotations

from features.catalog.grammar import Count, DaysSince, Derived, Feature, Quantity, Total, over, phrase, suffix, where
from features.kernel import Ratio

FAMILY = "payments"
WINDOWS = (30, 90, 180, None)
PAYMENT = where("payments", sign="payment")
REVERSAL = where("payments", sign="reversal")


def features() -> tuple[Feature, ...]:
    """Every feature of payments."""
    return (*_windowed(), *_reversed(), *_sizes(), *_gaps(), *_paydays(), *_shares())


def _windowed() -> list[Feature]:
    found: list[Feature] = []
    for days in WINDOWS:
        found.append(
            Feature(
                f"payments{suffix(days)}", "count", FAMILY, f"Payments {over(days)}.",
                Count(PAYMENT, days), phrase("{value} payments {over}", over=over(days)),
            )
        )  # fmt: skip
        found.append(
            Feature(
                f"paid{suffix(days)}", "amount", FAMILY, f"Money paid {over(days)}, net of reversals.",
                Total(where("payments"), days), phrase("{value} paid {over}", over=over(days)),
                below=phrase("{value} taken back {over}, net of payments", over=over(days)),
            )
        )  # fmt: skip
    return found


def _reversed() -> list[Feature]:
    return [
        *(
            Feature(
                f"payment_reversals{suffix(days)}", "count", FAMILY, f"Payments reversed {over(days)}.",
                Count(REVERSAL, days), phrase("{value} payments reversed {over}", over=over(days)),
            )
            for days in (180, None)
        ),
        Feature(
            "days_since_last_reversal", "days", FAMILY, "Days since the latest reversal.",
            DaysSince(REVERSAL), "latest reversal {value} days ago", "no reversal so far",
        ),
    ]  # fmt: skip


def _sizes() -> list[Feature]:
    return [
        _quantity(
            "last_payment_amount", "amount", "What was paid at the instant of the latest payment.",
            "latest payment was {value}", short="amount of the latest payment",
        ),
        _quantity(
            "largest_payment", "amount", "The largest payment.", "largest payment was {value}", short="largest payment"
        ),
        Feature(
            "mean_payment", "amount", FAMILY, "Money paid so far, net of reversals, by payments.",
            Derived(Ratio.share, ("paid", "payments")),
            "each payment came to {value} on average, net of reversals", "no payment so far",
            "{value} taken back for each payment, net", "paid for each payment, on average",
        ),
        _quantity(
            "token_payments", "count", "Payments below a twentieth of the balance at placement.",
            "{value} token payments", "",
        ),
        Feature(
            "token_payment_share", "share", FAMILY, "Share of payments that were token payments.",
            Derived(Ratio.share, ("token_payments", "payments")), "{value} of payments were token payments",
            "no payment so far", short="share of token payments",
        ),
    ]  # fmt: skip


def _gaps() -> list[Feature]:
    return [
        Feature(
            "days_since_last_payment", "days", FAMILY, "Days since the latest payment.",
            DaysSince(PAYMENT), "latest payment {value} days ago", "no payment so far",
        ),
        _quantity(
            "days_since_first_payment", "days", "Days since the first payment.", "first paid {value} days ago",
            short="days since the first payment",
        ),
        _quantity(
            "payment_gap_days", "days", "Mean days from one payment to the next; those of one instant are one.",
            "a payment every {value} days", "not paid at two times so far", "days between payments, on average",
        ),
        _quantity(
            "longest_payment_gap_days", "days", "Most days from one payment to the next.",
            "at most {value} days between payments", "not paid at two times so far", "days between payments, at most",
        ),
        Feature(
            "payment_regularity", "ratio", FAMILY,
            "Mean days between payments by the most there were; 1 is like a clock.",
            Derived(Ratio.share, ("payment_gap_days", "longest_payment_gap_days")),
            "usual gap between payments at {value} of the longest", "not paid at two times so far",
            short="usual to longest gap between payments",
        ),
        Feature(
            "payment_overdue_days", "days", FAMILY, "Days since the latest payment beyond the mean gap of payments.",
            Derived(Ratio.excess, ("days_since_last_payment", "payment_gap_days"), 1.0),
            "{value} days later than the usual gap between payments", "not paid at two times so far",
            "{value} days earlier than the usual gap between payments", "days beyond the usual gap between payments",
        ),
    ]  # fmt: skip


def _paydays() -> list[Feature]:
    """The day of the month on which an account pays, debtor-local; two days to either side are around the same day."""
    return [
        _quantity(
            "usual_payday", "ordinal",
            "Of the days of the month on which payments were made, the one with most payments within two days of it "
            "(the 31st and the 1st are neighbours); of equals the one last paid on.",
            "usually pays around day {value} of the month", "fewer than two payments", "usual payday of the month",
        ),
        _quantity(
            "payday_share", "share", "Share of payments within two days of the usual payday.",
            "{value} of payments around the usual day", "fewer than two payments",
        ),
        _quantity(
            "days_to_payday", "days",
            "Whole days to the next usual payday, 0 on the day itself; a shorter month has it on its last day.",
            "usual payday in {value} days", "fewer than two payments", "days to the usual payday",
        ),
    ]  # fmt: skip


def _shares() -> list[Feature]:
    return [
        Feature(
            "paid_since_placed", "amount", FAMILY, "Money paid since placement, net of reversals.",
            Quantity("paid_since_placed"), "{value} paid since placement",
            below="{value} taken back since placement, net of payments",
        ),
        Feature(
            "paid_share_of_placed_balance", "share", FAMILY, "Money paid since placement by the balance then.",
            Derived(Ratio.share, ("paid_since_placed", "placed_balance")),
            "{value} of the placed balance paid since", "nothing owed at placement",
            "{value} of the placed balance taken back since",
        ),
        Feature(
            "last_payment_share_of_balance", "share", FAMILY, "The latest payment by the balance.",
            Derived(Ratio.share, ("last_payment_amount", "balance")), "latest payment was {value} of the balance",
            "no payment so far", short="latest payment, share of balance",
        ),
        Feature(
            "paid_trend", "amount", FAMILY, "Money paid in the last 90 days above the pace of the last 180.",
            Derived(Ratio.excess, ("paid_90d", "paid_180d"), 0.5),
            "{value} more paid in the last 90 days than the pace of half a year",
            below="{value} less paid in the last 90 days than the pace of half a year",
            short="paid, last 90 days above half a year's pace",
        ),
    ]  # fmt: skip


def _quantity(
    name: str, unit: str, sentence: str, reason: str, absent: str = "no payment so far", short: str = ""
) -> Feature:
    return Feature(name, unit, FAMILY, sentence, Quantity(name), reason, absent, short=short)
