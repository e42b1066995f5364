"""Restrictions: disputes, opt-outs, dead addresses and the like, active and past."""

from __future__ import annotations

from features.catalog.grammar import Feature, Quantity, Restricted, phrase

FAMILY = "restrictions"
ACTIVE = {
    "dispute": "active disputes",
    "deceased": "notes that the debtor is deceased",
    "fraud": "fraud notes",
    "bankruptcy": "bankruptcies",
    "vulnerable": "notes that the debtor is vulnerable",
    "breathing_space": "breathing spaces",
    "do_not_contact": "bans on contact",
    "channel_opt_out": "notes of channels opted out of",
    "invalid_contact": "notes of invalid contact points",
}


#: Kinds that end: that there was one says something when it is over.
PAST = {
    "dispute": ("disputes", "disputes", "dispute"),
    "vulnerable": ("vulnerable_notes", "notes of vulnerability", "note of vulnerability"),
    "breathing_space": ("breathing_spaces", "breathing spaces", "breathing-space period"),
    "channel_opt_out": ("channel_opt_outs", "notes of channels opted out of", "opt-out of a channel"),
    "invalid_contact": ("invalid_contacts", "notes of invalid contact points", "invalid contact point"),
}


def features() -> tuple[Feature, ...]:
    """Every feature of restrictions; `closed` is none, since a closed account is not scored."""
    return (
        *(_active(kind, words) for kind, words in ACTIVE.items()),
        Feature(
            "restrictions_active", "count", FAMILY, "Kinds of restriction that are active.",
            Quantity("restrictions_active"), "{value} kinds of restriction active",
        ),
        *(feature for kind in PAST for feature in _past(kind)),
    )  # fmt: skip


def _past(kind: str) -> tuple[Feature, Feature]:
    name, plural, singular = PAST[kind]
    return (
        Feature(
            name, "count", FAMILY, f"{plural[0].upper()}{plural[1:]} so far.",
            Restricted(kind, "ever"), phrase("{value} {what} so far", what=plural),
        ),
        Feature(
            f"days_since_last_{kind}", "days", FAMILY, f"Days since the latest {singular} began.",
            Restricted(kind, "since"), phrase("latest {what} began {value} days ago", what=singular),
            phrase("no {what} so far", what=singular),
        ),
    )  # fmt: skip


def _active(kind: str, words: str) -> Feature:
    sentence = f"{words[0].upper()}{words[1:]} at the moment."
    return Feature(
        f"active_{kind}", "count", FAMILY, sentence, Restricted(kind, "active"), phrase("{value} {what}", what=words),
        short=phrase("active {what}", what=words),
    )  # fmt: skip
