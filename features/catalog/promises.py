"""Promises to pay: made, open, kept and broken, as settled by the payments known at the moment."""

from __future__ import annotations

from features.catalog.grammar import Derived, Feature, Quantity
from features.catalog.ratios import share, shrunk_rate

FAMILY = "promises"


def features() -> tuple[Feature, ...]:
    """Every feature of promises."""
    return (
        _quantity("promises_made", "count", "Promises made so far.", "{value} promises made so far"),
        _quantity("promises_kept", "count", "Promises kept so far.", "{value} promises kept"),
        _quantity("promises_broken", "count", "Promises broken so far.", "{value} promises broken"),
        _quantity(
            "promises_broken_90d", "count", "Promises whose time ran out unpaid in the last 90 days.",
            "{value} promises broken in the last 90 days",
        ),
        _quantity(
            "promises_open", "count", "Promises not yet covered, and not yet due or within their grace.",
            "{value} open promises",
        ),
        _quantity(
            "open_promise_amount", "amount", "Money of open promises, whatever was paid on them.",
            "{value} promised and still open",
        ),
        _quantity("broken_promise_amount", "amount", "Money of broken promises.", "{value} promised and not paid"),
        _quantity(
            "days_to_next_promise", "days", "Days to the earliest due date of an open promise; below zero in grace.",
            "next promise due in {value} days", "no open promise",
        ),
        _quantity(
            "days_since_last_promise", "days", "Days since the latest promise was made.",
            "latest promise made {value} days ago", "no promise so far",
        ),
        _quantity(
            "days_since_last_broken_promise", "days", "Days since the time of the latest broken promise ran out.",
            "latest promise broken {value} days ago", "no broken promise",
        ),
        _quantity(
            "last_promise_kept", "flag",
            "Whether the latest made of the settled promises was kept; of several made at once, any.",
            "latest settled promise kept: {value}", "no settled promise",
        ),
        _quantity(
            "broken_promise_paid_share", "share",
            "Share of the money of broken promises that was paid in time, promise by promise.",
            "{value} of the money of broken promises was paid", "no broken promise",
        ),
        Feature(
            "kept_promise_rate", "share", FAMILY, "Share of promises made that were kept, shrunk to a prior of 20 %.",
            Derived(shrunk_rate, ("promises_kept", "promises_made")), "about {value} of promises kept",
        ),
        Feature(
            "broken_promise_share", "share", FAMILY, "Share of promises made that were broken.",
            Derived(share, ("promises_broken", "promises_made")), "{value} of promises broken", "no promise so far",
        ),
        Feature(
            "open_promise_share_of_balance", "share", FAMILY, "Money of open promises, by the balance.",
            Derived(share, ("open_promise_amount", "balance")), "{value} of the balance promised and still open",
            "nothing owed",
        ),
    )  # fmt: skip


def _quantity(name: str, unit: str, sentence: str, reason: str, absent: str = "") -> Feature:
    return Feature(name, unit, FAMILY, sentence, Quantity(name), reason, absent)
