"""Ageing: how old the debt is, which stage it has reached, and the date itself."""

from __future__ import annotations

from features.catalog.grammar import Calendar, Derived, Feature, Quantity
from features.catalog.ratios import bucket, stage

FAMILY = "ageing"


def features() -> tuple[Feature, ...]:
    """Every feature of age, stage and calendar."""
    return (
        Feature(
            "days_past_due", "days", FAMILY, "Days since the first missed due date; below zero before it.",
            Quantity("days_past_due"), "{value} days past due", "no due date",
        ),
        Feature(
            "bucket", "ordinal", FAMILY, "30-day bucket: 0 not due, 1 for 1-30 days past due, ..., at most 13.",
            Derived(bucket, ("days_past_due",)), "in bucket {value}", "no due date",
        ),
        Feature(
            "stage", "ordinal", FAMILY, "Stage: 1 early, 2 mid, 3 late; 4 front-end, 5 mid-end, 6 back-end.",
            Derived(stage, ("days_past_due",)), "stage: {value}", "no due date",
        ),
        Feature(
            "age_days", "days", FAMILY, "Days since the debt arose.", Quantity("age_days"), "debt is {value} days old",
        ),
        Feature(
            "days_since_placed", "days", FAMILY, "Days since the account came to collections.",
            Quantity("days_since_placed"), "in collections for {value} days",
        ),
        Feature(
            "commission_rate", "share", FAMILY, "Commission on what is collected.",
            Quantity("commission_rate"), "commission of {value}",
        ),
        _calendar("month", "Month of the moment, 1-12.", "month {value}"),
        _calendar("day", "Day of the month, 1-31.", "day {value} of the month"),
        _calendar("weekday", "Weekday, 0 (Monday) to 6.", "weekday {value}"),
    )  # fmt: skip


def _calendar(part: str, sentence: str, reason: str) -> Feature:
    return Feature(f"calendar_{part}", "ordinal", FAMILY, f"{sentence} Debtor-local.", Calendar(part), reason)
