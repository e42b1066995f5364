"""Ageing: how old the debt is, which stage it has reached, and the date itself."""

from __future__ import annotations

from features.catalog.grammar import Derived, Feature, Quantity
from features.kernel import Ratio

FAMILY = "ageing"


def features() -> tuple[Feature, ...]:
    """Every feature of age, stage and calendar."""
    return (
        Feature(
            "days_past_due", "days", FAMILY, "Days since the first missed due date; below zero before it.",
            Quantity("days_past_due"), "{value} days past due", "no due date", "due in {value} days",
        ),
        Feature(
            "bucket", "ordinal", FAMILY,
            "30-day bucket: 0 not due, 1 up to 30 days past due, 2 up to 60 ..., at most 13.",
            Derived(Ratio.bucket, ("days_past_due",)), "in bucket {value}", "no due date", short="bucket",
        ),
        Feature(
            "stage", "ordinal", FAMILY,
            "Stage on both ladders: 0 not due; in the first cycle 1 early (up to 5 days past due), 2 mid (18), "
            "3 late (28); after it 4 front-end (60), 5 mid-end (120), 6 back-end.",
            Derived(Ratio.stage, ("days_past_due",)), "stage: {value}", "no due date", short="stage",
        ),
        Feature(
            "age_days", "days", FAMILY, "Days since the debt arose.", Quantity("age_days"), "debt is {value} days old",
            short="days since the debt arose",
        ),
        Feature(
            "days_since_placed", "days", FAMILY, "Days since the account came to collections.",
            Quantity("days_since_placed"), "in collections for {value} days", short="days in collections",
        ),
        Feature(
            "days_past_due_at_placement", "days", FAMILY, "Days past due when the account came to collections.",
            Derived(Ratio.excess, ("days_past_due", "days_since_placed"), 1.0),
            "came to collections {value} days past due", "no due date",
            "came to collections {value} days before it was due", "days past due at placement",
        ),
        Feature(
            "commission_rate", "share", FAMILY, "Commission on what is collected.",
            Quantity("commission_rate"), "commission of {value}", short="commission rate",
        ),
        _calendar("month", "Month of the moment, 1-12.", "month {value}", "month of the year"),
        _calendar("day", "Day of the month, 1-31.", "day {value} of the month", "day of the month"),
        _calendar("weekday", "Weekday, 0 (Monday) to 6.", "weekday {value}", "weekday"),
    )  # fmt: skip


def _calendar(part: str, sentence: str, reason: str, short: str) -> Feature:
    name = f"calendar_{part}"
    return Feature(name, "ordinal", FAMILY, f"{sentence} Debtor-local.", Quantity(name), reason, short=short)
