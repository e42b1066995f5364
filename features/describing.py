"""The contract and the catalogue in words, printed from what the code goes by.

`python -m features.describing` prints the tables of `docs/data-contract.md`, `recoup features --describe` the feature
dictionary in `docs/features.md`; tests hold the pages against them.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from features.catalog import catalogue
from features.catalog.grammar import Feature
from features.contract import AMOUNT_LIMIT, CHANNELS, DIRECTIONS, OUTCOMES, RESTRICTIONS, TABLES, Column, Table
from features.settings import PortfolioSettings


def contract_in_words() -> str:
    """Every table with its columns, and the words that may stand in them, as Markdown."""
    parts = [_table(table) for table in TABLES.values()]
    words = {"Channels": CHANNELS, "Outcomes": OUTCOMES, "Directions": DIRECTIONS, "Restrictions": RESTRICTIONS}
    parts += [f"{heading}: {', '.join(f'`{word}`' for word in values)}." for heading, values in words.items()]
    return "\n\n".join(parts) + "\n"


def catalogue_in_words(settings: PortfolioSettings) -> str:
    """The feature dictionary of a portfolio with these channels and attributes, family by family, as Markdown."""
    families: dict[str, list[Feature]] = {}
    for feature in catalogue(settings):
        families.setdefault(feature.family, []).append(feature)
    return "\n\n".join(_family(name, features) for name, features in families.items()) + "\n"


def _family(name: str, features: list[Feature]) -> str:
    columns = ("feature", "in short", "unit", "window", "meaning", "from", "reason")
    head = [f"## {name.capitalize()} ({len(features)})", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*head, *(_feature(feature) for feature in features)])


def _feature(feature: Feature) -> str:
    window = f"{feature.window_days} days" if feature.window_days else ""
    below = f" (below zero: {feature.below.format(value='…')})" if feature.below else ""
    reason = feature.reason.format(value="…") + below + (f" / {feature.absent.format()}" if feature.absent else "")
    cells = (f"`{feature.name}`", feature.label.format(), feature.unit, window, feature.sentence, feature.reads, reason)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _table(table: Table) -> str:
    need = "" if table.required else " (optional)"
    rows = [f"| `{column.name}` | {_need(column)} | {_meaning(column)} |" for column in table.columns]
    head = [f"### `{table.name}`{need}", "", table.meaning, "", "| column | | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows])


def _need(column: Column) -> str:
    if not column.required:
        return "optional"
    return "may be blank" if column.nullable else "needed"


def _meaning(column: Column) -> str:
    """The meaning, with the numbers that are allowed; the limit beyond which an amount is damage goes unsaid."""
    interval = column.interval
    if interval is None or interval.low < 0:
        return column.meaning
    shown = replace(interval, high=math.inf) if interval.high >= AMOUNT_LIMIT else interval
    return f"{column.meaning} A number {shown}."


if __name__ == "__main__":
    sys.stdout.write(contract_in_words())
