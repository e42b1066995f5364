"""Attributes of the account: its segment and portfolio, and the further columns that the settings name."""

from __future__ import annotations

from features.catalog.grammar import Attribute, Category, Feature, phrase

FAMILY = "attributes"
TOLD, NOT_KNOWN, NAMED = "{column} {value}", "{column} not known", "{column}"


def features(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> tuple[Feature, ...]:
    """The account's segment and portfolio, and its own attributes; audit columns are never among them."""
    return (
        *(
            Feature(
                column, "category", FAMILY, f"The account's {column}.",
                Category(column), phrase(TOLD, column=column), phrase(NOT_KNOWN, column=column),
                short=phrase(NAMED, column=column),
            )
            for column in ("segment", "portfolio")
        ),
        *(
            Feature(
                f"attribute_{column}", "ratio", FAMILY, f"The account's {column}.",
                Attribute(column), phrase(TOLD, column=column), phrase(NOT_KNOWN, column=column),
                short=phrase(NAMED, column=column),
            )
            for column in numeric
        ),
        *(
            Feature(
                f"attribute_{column}", "category", FAMILY, f"The account's {column}.",
                Category(column), phrase(TOLD, column=column), phrase(NOT_KNOWN, column=column),
                short=phrase(NAMED, column=column),
            )
            for column in categorical
        ),
    )  # fmt: skip
