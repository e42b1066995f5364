"""The contract in words: the tables of `docs/data-contract.md`, printed from what the code goes by.

`python -m features.describing` prints them; a test holds the page against it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from features.contract import AMOUNT_LIMIT, CHANNELS, DIRECTIONS, OUTCOMES, RESTRICTIONS, TABLES, Column, Table


def contract_in_words() -> str:
    """Every table with its columns, and the words that may stand in them, as Markdown."""
    parts = [_table(table) for table in TABLES.values()]
    words = {"Channels": CHANNELS, "Outcomes": OUTCOMES, "Directions": DIRECTIONS, "Restrictions": RESTRICTIONS}
    parts += [f"{heading}: {', '.join(f'`{word}`' for word in values)}." for heading, values in words.items()]
    return "\n\n".join(parts) + "\n"


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
