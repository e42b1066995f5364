"""Balance and charges: what is owed, what was added, and how it moved."""

from __future__ import annotations

from features.catalog.grammar import (
    Count,
    DaysSince,
    Derived,
    Feature,
    Quantity,
    Total,
    over,
    phrase,
    suffix,
    where,
    window,
)
from features.kernel import Ratio

FAMILY = "balance and charges"


def features() -> tuple[Feature, ...]:
    """Every feature of the balance and of charges."""
    found = [
        Feature(
            "balance", "amount", FAMILY, "Owed at the moment.", Quantity("balance"), "{value} owed", short="balance"
        ),
        Feature(
            "placed_balance", "amount", FAMILY, "Owed at placement.",
            Quantity("placed_balance"), "{value} owed at placement", short="balance at placement",
        ),
        Feature(
            "balance_to_placed", "ratio", FAMILY, "Owed at the moment by owed at placement.",
            Derived(Ratio.share, ("balance", "placed_balance")), "balance at {value} of that at placement",
            "nothing owed at placement", short="balance to placed balance",
        ),
        Feature(
            "credit_notes", "count", FAMILY, "Credit notes and write-downs so far.",
            Count(where("charges", sign="credit")), "{value} credit notes",
        ),
        Feature(
            "days_since_last_charge", "days", FAMILY, "Days since the latest charge.",
            DaysSince(where("charges", sign="charge")), "latest charge {value} days ago", "no charge so far",
        ),
        *(
            Feature(
                f"balance_change_{days}d", "amount", FAMILY,
                f"Net charges less net payments since placement, of the last {days} days.",
                Quantity(f"balance_change_{days}d"), phrase("balance up by {value} {over}", over=over(days)),
                below=phrase("balance down by {value} {over}", over=over(days)),
                short=phrase("change of the balance, {window}", window=window(days)),
            )
            for days in (30, 90)
        ),
        Feature(
            "charged_since_placed", "amount", FAMILY, "Charges less credit notes since placement.",
            Quantity("charged_since_placed"), "{value} charged since placement",
            below="{value} credited since placement, net of charges",
        ),
        Feature(
            "charged_share_of_placed_balance", "share", FAMILY, "Net charges since placement by the balance then.",
            Derived(Ratio.share, ("charged_since_placed", "placed_balance")),
            "{value} of the placed balance charged since placement", "nothing owed at placement",
            "{value} of the placed balance credited since placement", "share of placed balance charged since",
        ),
        Feature(
            "cures", "count", FAMILY,
            "How often the balance fell to zero or below since placement, once all of an instant is counted.",
            Quantity("cures"), "owed nothing {value} times since placement",
            short="cures since placement",
        ),
        Feature(
            "days_since_last_cure", "days", FAMILY, "Days since the balance last fell to zero or below.",
            Quantity("days_since_last_cure"), "owed nothing for the last time {value} days ago",
            "owed something ever since placement", short="days since the last cure",
        ),
    ]  # fmt: skip
    for days in (30, 90, None):
        found.append(
            Feature(
                f"charges{suffix(days)}", "count", FAMILY, f"Charges {over(days)}.",
                Count(where("charges", sign="charge"), days), phrase("{value} charges {over}", over=over(days)),
            )
        )  # fmt: skip
        found.append(
            Feature(
                f"net_charged{suffix(days)}", "amount", FAMILY, f"Charges less credit notes {over(days)}.",
                Total(where("charges"), days), phrase("{value} charged {over}", over=over(days)),
                below=phrase("{value} credited {over}, net of charges", over=over(days)),
            )
        )  # fmt: skip
    return tuple(found)
