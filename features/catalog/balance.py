"""Balance and charges: what is owed, what was added, and how it moved."""

from __future__ import annotations

from features.catalog.contacts import over, suffix
from features.catalog.grammar import Count, DaysSince, Derived, Feature, Quantity, Total, where
from features.catalog.ratios import difference, share

FAMILY = "balance and charges"


def features() -> tuple[Feature, ...]:
    """Every feature of the balance and of charges."""
    found = [
        Feature("balance", "amount", FAMILY, "Owed at the moment.", Quantity("balance"), "{value} owed"),
        Feature(
            "placed_balance", "amount", FAMILY, "Owed at placement.",
            Quantity("placed_balance"), "{value} owed at placement",
        ),
        Feature(
            "balance_to_placed", "ratio", FAMILY, "Owed at the moment by owed at placement.",
            Derived(share, ("balance", "placed_balance")), "balance at {value} of that at placement",
            "nothing owed at placement",
        ),
        Feature(
            "credit_notes", "count", FAMILY, "Credit notes and write-downs so far.",
            Count(where("charges", sign="credit")), "{value} credit notes",
        ),
        Feature(
            "days_since_last_charge", "days", FAMILY, "Days since the latest charge.",
            DaysSince(where("charges", sign="charge")), "latest charge {value} days ago", "no charge so far",
        ),
        Feature(
            "net_charged_less_paid_90d", "amount", FAMILY, "Net charges less net payments of the last 90 days.",
            Derived(difference, ("net_charged_90d", "paid_90d")), "charges less payments of the last 90 days: {value}",
        ),
    ]  # fmt: skip
    for days in (30, 90, None):
        found.append(
            Feature(
                f"charges{suffix(days)}", "count", FAMILY, f"Charges {over(days)}.",
                Count(where("charges", sign="charge"), days), f"{{value}} charges {over(days)}",
            )
        )  # fmt: skip
        found.append(
            Feature(
                f"net_charged{suffix(days)}", "amount", FAMILY, f"Charges less credit notes {over(days)}.",
                Total(where("charges"), days), f"{{value}} charged {over(days)}",
            )
        )  # fmt: skip
    return tuple(found)
