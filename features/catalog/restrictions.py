"""Restrictions: disputes, opt-outs, dead addresses and the like, active and past."""

from __future__ import annotations

from features.catalog.grammar import Feature, Quantity, Restricted

FAMILY = "restrictions"
ACTIVE = {
    "dispute": "active disputes",
    "deceased": "notes that the debtor is deceased",
    "fraud": "fraud notes",
    "bankruptcy": "bankruptcies",
    "vulnerable": "notes that the debtor is vulnerable",
    "breathing_space": "breathing spaces",
    "do_not_contact": "bans on contact",
    "channel_opt_out": "channels opted out of",
    "invalid_contact": "invalid contact points",
}


def features() -> tuple[Feature, ...]:
    """Every feature of restrictions; `closed` is none, since a closed account is not scored."""
    return (
        *(_active(kind, words) for kind, words in ACTIVE.items()),
        Feature(
            "restrictions_active", "count", FAMILY, "Kinds of restriction that are active, closed among them.",
            Quantity("restrictions_active"), "{value} kinds of restriction active",
        ),
        Feature(
            "disputes", "count", FAMILY, "Disputes so far.", Restricted("dispute", "ever"), "{value} disputes so far",
        ),
        Feature(
            "days_since_last_dispute", "days", FAMILY, "Days since the latest dispute began.",
            Restricted("dispute", "since"), "latest dispute began {value} days ago", "never disputed",
        ),
    )  # fmt: skip


def _active(kind: str, words: str) -> Feature:
    sentence = f"{words[0].upper()}{words[1:]} at the moment."
    return Feature(f"active_{kind}", "count", FAMILY, sentence, Restricted(kind, "active"), f"{{value}} {words}")
