"""A portfolio larger than memory, split by account into partitions that are not: each a small portfolio of its own.

Every table is read and checked piece by piece, and its rows dealt into buckets on disk (`features.partitions.tables`).
Neighbouring buckets then make up partitions, as many as fit; the accounts of a partition come before those of the next.
What is kept, what is set aside and what is refused is the same as when all is in memory: `features.checking` judges
here as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.checking import joined_rejects, require_tables, to_frame
from features.contract import TABLES
from features.partitions.shuffle import ranges
from features.partitions.steps import Steps
from features.partitions.tables import SplitTable, noted, remember, split_accounts, split_events
from features.portfolio import Portfolio
from features.raw import RawTables
from features.reading import folder_files, n_rows
from features.settings import PortfolioSettings

#: What the interpreter and the libraries take before there is any data.
BASE_BYTES = 480_000_000
_LEAST_BYTES = 20_000_000
#: What a row takes where it takes most, packed and with its features computed: beside this, twice what it is on disk.
_ROW_BYTES = {name: 5_500 if name == "accounts" else 400 for name in TABLES}
#: What a row of a file is, before it was read.
_USUAL_BYTES = 100
#: Buckets for each partition that is expected: how closely partitions come to what fits.
_BUCKETS_PER_PARTITION = 8
_MAX_BUCKETS = 4_096


def data_bytes(memory: int) -> int:
    """How much of `memory` bytes, which the process as a whole may take, is left for data."""
    return max(memory - BASE_BYTES, _LEAST_BYTES)


def expected_bytes(folder: Path) -> int:
    """About how much memory the data of a folder takes as a feature table is made of them, all at once."""
    files = folder_files(folder, TABLES)
    return sum(n_rows(path) * (_ROW_BYTES[name] + 2 * _USUAL_BYTES) for name in files for path in files[name])


def n_buckets(expected: int, n_bytes: int) -> int:
    """Into how many buckets to deal data that take `expected` bytes, of which `n_bytes` may be in memory."""
    return min(_MAX_BUCKETS, _BUCKETS_PER_PARTITION * math.ceil(expected / n_bytes))


@dataclass(frozen=True)
class Partitions:
    """A portfolio on disk, split by account.

    `spans` has the first bucket of each partition, and the one after its last.
    """

    settings: PortfolioSettings
    tables: Mapping[str, SplitTable]
    spans: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        """The number of partitions."""
        return len(self.spans)

    def portfolio(self, partition: int) -> Portfolio:
        """The accounts of a partition with all their rows, in any order; `rejects` has the rejects of all."""
        tables = {name: to_frame(table.kept(*self.spans[partition])) for name, table in self.tables.items()}
        return Portfolio(self.settings, tables, joined_rejects(()))

    def rejects(self) -> pd.DataFrame:
        """What was set aside of the whole portfolio, in the order of tables, files and rows."""
        return joined_rejects(piece for table in self.tables.values() for piece in table.rejects())


def split(raw: RawTables, settings: PortfolioSettings, steps: Steps, n: int, n_bytes: int) -> Partitions:
    """Split a portfolio into partitions, each table as a step that is done once.

    Args:
        raw: its tables; of one that was split before, no piece is taken.
        settings: say which channels and attributes there are.
        steps: where the rows are kept.
        n: the number of buckets.
        n_bytes: how much data may be in memory.

    Raises:
        PortfolioError: a required table or column is missing, or nothing of a table can be used.
    """
    require_tables(raw)
    tables = {name: SplitTable(table, settings, steps.folder / name, n) for name, table in TABLES.items()}
    accounts = tables["accounts"]

    def work_accounts(_: Path) -> dict[str, Any]:
        bounds = split_accounts(accounts, raw["accounts"], n_bytes)
        return {**noted(accounts), "bounds": bounds}

    def work_events(folder: Path) -> dict[str, Any]:
        split_events(tables[folder.name], raw.get(folder.name, ()), accounts, bounds, n_bytes)
        return noted(tables[folder.name])

    note = steps.do("accounts", work_accounts)
    bounds: list[str] = note["bounds"]
    remember(accounts, note)
    for name, table in tables.items():
        if name != "accounts":
            remember(table, steps.do(name, work_events))
    weights = [table.rows.counts * (_ROW_BYTES[name] + 2 * table.rows.row_bytes) for name, table in tables.items()]
    return Partitions(settings, tables, tuple(ranges(np.sum(weights, axis=0), n_bytes)))
