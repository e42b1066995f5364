"""The portfolio around the account: what the accounts like it, of its segment and of its vintage, have paid so far.

These are the only features for which other accounts count. They are as of the last UTC midnight, and need the portfolio
as a whole: the histories of some accounts alone do not say what their segment pays.
"""

from __future__ import annotations

from features.catalog.grammar import Feature, GroupRate, over, phrase, suffix, window

FAMILY = "portfolio"
GROUPS = {"segment": "accounts of the segment", "vintage": "accounts placed in the same month"}
SHORT = {"segment": "the segment", "vintage": "the vintage"}


def features() -> tuple[Feature, ...]:
    """Every feature of the account's segment and vintage."""
    return (
        *(_paid(group, days) for group in GROUPS for days in (30, 90, None)),
        *(
            Feature(
                f"{group}_right_party_rate_90d", "share", FAMILY,
                f"Share of attempts on all {words} that reached the right party, of those known in the last 90 days.",
                GroupRate(group, "right_party", "attempts", 90),
                phrase("{value} of attempts on {whom} reached the right party {over}", whom=words, over=over(90)),
                phrase("no attempts on {whom} {over}", whom=words, over=over(90)),
                short=phrase("right-party rate of {whom}, {window}", whom=SHORT[group], window=window(90)),
            )
            for group, words in GROUPS.items()
        ),
    )  # fmt: skip


def _paid(group: str, days: int | None) -> Feature:
    words = GROUPS[group]
    return Feature(
        f"{group}_paid_share{suffix(days)}", "share", FAMILY,
        f"Money paid since placement by all {words}, as it became known {over(days)}, by their placed balance.",
        GroupRate(group, "paid", "placed", days),
        phrase("{whom} paid {value} of their placed balance {over}", whom=words, over=over(days)),
        phrase("nothing owed at placement by {whom}", whom=words),
        short=phrase("share paid by {whom}, {window}", whom=SHORT[group], window=window(days)),
    )  # fmt: skip
