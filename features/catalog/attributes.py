"""Attributes of the account: its segment and portfolio, and the further columns that the settings name."""

from __future__ import annotations

from features.catalog.grammar import Attribute, Category, Feature

FAMILY = "attributes"


def features(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> tuple[Feature, ...]:
    """The account's segment and portfolio, and its own attributes; audit columns are never among them."""
    return (
        *(
            Feature(
                column, "category", FAMILY, f"The account's {column}.",
                Category(column), f"{column} {{value}}", f"{column} not known",
            )
            for column in ("segment", "portfolio")
        ),
        *(
            Feature(
                f"attribute_{column}", "ratio", FAMILY, f"The account's {column}.",
                Attribute(column), f"{_literal(column)} {{value}}", f"{column} not known",
            )
            for column in numeric
        ),
        *(
            Feature(
                f"attribute_{column}", "category", FAMILY, f"The account's {column}.",
                Category(column), f"{_literal(column)} {{value}}", f"{column} not known",
            )
            for column in categorical
        ),
    )  # fmt: skip


def _literal(column: str) -> str:
    """A column's name as part of a reason: braces, which a user's column may have, stand for themselves."""
    return column.replace("{", "{{").replace("}", "}}")
