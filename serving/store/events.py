"""Taking in: rows are judged as those of a file are, and the good ones kept, once, in one transaction.

    take_in(store, tables, settings, received_at) -> TakenIn

`tables` are raw tables (`features.raw.RawTables`): those of a request come from `serving.requests.raw_tables`. When
`take_in` has returned, the rows are durable. What was sent before counts as a duplicate and changes nothing; a row
whose id is there with other content is set aside, and so is an account that is there and differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sql

from features.cells import Fault
from features.checking import (
    Checked,
    check_rows,
    joined_rejects,
    merged,
    of_known_accounts,
    row_schema,
    without,
)
from features.contract import TABLES, Table
from features.errors import PortfolioError
from features.raw import RawPart, RawTables
from features.settings import PortfolioSettings
from serving.store.database import Store
from serving.store.histories import arrivals
from serving.store.inserting import insert_new, mark_changed, mark_known, stored_with_keys, take_turn, unknown_accounts
from serving.store.rows import StoredRows, cells_of_stored, contents, stored_rows

_ACCOUNTS = TABLES["accounts"]
CHANGED = "repeats an id with other content; the row that came first counts"
_NONE = pa.chunked_array([], pa.string())
_NOTED = arrivals.insert()


@dataclass(frozen=True)
class TakenIn:
    """What became of a batch: rows of each table that were kept, that were there before, and those set aside.

    `arrival` is the batch's number; where nothing was kept, that of the last batch before. `latest` is when the
    latest of the good rows happened, an instant; None where there is none.
    """

    arrival: int
    accepted: Mapping[str, int]
    duplicates: Mapping[str, int]
    rejected: tuple[pa.Table, ...] = ()
    latest: int | None = None

    @property
    def n_rejects(self) -> int:
        """How many rows were set aside."""
        return sum(len(rejects) for rejects in self.rejected)

    @cached_property
    def rejects(self) -> pd.DataFrame:
        """The rows that were set aside: the columns of `REJECT_COLUMNS`, `row` counting from 1 within its table."""
        return joined_rejects(self.rejected)


def take_in(store: Store, tables: RawTables, settings: PortfolioSettings, received_at: int) -> TakenIn:
    """Check a batch of rows, keep the good ones, and return when they are durable.

    Args:
        store: the store, of one portfolio.
        tables: the rows of each table, any of which may be missing.
        settings: the portfolio's.
        received_at: when the batch came, an instant.

    Raises:
        PortfolioError: a table has another name, or lacks a required column.
        StoreError: the store cannot be written; nothing of the batch was kept.
    """
    unknown = sorted(set(tables) - set(TABLES))
    if unknown:
        raise PortfolioError(f"the tables are {', '.join(TABLES)}; got {', '.join(unknown)}")
    # All that can be done before the turn: others wait for it.
    ready = {table.name: _ready(table, tables.get(table.name, ()), settings) for table in TABLES.values()}
    with store.writing() as connection:
        take_turn(connection)
        taken = Taking(connection, settings, received_at).take(ready)
        if not any(taken.accepted.values()):
            connection.rollback()
        return taken


@dataclass(frozen=True)
class _Ready:
    """The rows of a table that are good so far, and the same as they are stored."""

    found: Checked
    rows: StoredRows


def _ready(table: Table, parts: Iterable[RawPart], settings: PortfolioSettings) -> _Ready:
    found = list(check_rows(table, parts, settings))
    return _as_stored(table, merged(found), settings) if found else _nothing(table, settings)


def _as_stored(table: Table, found: Checked, settings: PortfolioSettings) -> _Ready:
    rows = stored_rows(table, found.rows, settings) if len(found.rows) else StoredRows(table, found.rows, [])
    return _Ready(found, rows)


@lru_cache(maxsize=64)
def _nothing(table: Table, settings: PortfolioSettings) -> _Ready:
    return _as_stored(table, Checked(row_schema(table, settings).empty_table(), (), _NONE), settings)


def last_arrival(connection: sql.Connection) -> int:
    """The number of the last batch that was committed; 0 before the first."""
    return int(connection.exec_driver_sql("SELECT coalesce(max(arrival), 0) FROM arrivals").scalar_one())


class Taking:
    """One batch on its way into the store, in a transaction that has its turn; undone where it brings nothing new."""

    def __init__(self, connection: sql.Connection, settings: PortfolioSettings, received_at: int) -> None:
        self.connection, self.settings, self.received_at = connection, settings, received_at
        self.arrival = last_arrival(connection) + 1
        self.accepted: dict[str, int] = {}
        self.duplicates: dict[str, int] = {}
        self.rejects: list[pa.Table] = []
        self.changed: set[str] = set()
        self.marked: set[str] = set()
        self.happened: list[int] = []

    def take(self, ready: Mapping[str, _Ready]) -> TakenIn:
        """Keep the rows of all tables, each of which was checked by itself."""
        accounts = ready["accounts"]
        self.keep(_ACCOUNTS, accounts.found, accounts.rows)
        events = {name: rows for name, rows in ready.items() if name != "accounts"}
        asked = self._asked([each.found.rows.column("account_id") for each in events.values()])
        # Mostly all accounts are there, and all get a row: marking them says the one and saves the other.
        if asked and mark_known(self.connection, asked, self.arrival) < len(asked):
            unknown = unknown_accounts(self.connection, asked)
            known = pa.chunked_array([pa.array([*self.changed, *asked.difference(unknown)], pa.string())])
            events = {
                name: self._without_unknown(TABLES[name], each, known, accounts.found.lost)
                for name, each in events.items()
            }
        self.marked = asked
        for name, each in events.items():
            self.keep(TABLES[name], each.found, each.rows)
        return self.finish()

    def _asked(self, columns: Sequence[pa.ChunkedArray]) -> set[str]:
        """The accounts that rows are of, but for those that this batch has brought."""
        some = [column for column in columns if len(column)]
        return {account_id for column in some for account_id in column.unique().to_pylist()} - self.changed

    def _without_unknown(self, table: Table, ready: _Ready, known: pa.ChunkedArray, lost: pa.ChunkedArray) -> _Ready:
        found = of_known_accounts(table, ready.found, known, lost)
        return ready if found is ready.found else _as_stored(table, found, self.settings)

    def finish(self) -> TakenIn:
        """Note the batch, unless nothing of it was new."""
        if any(self.accepted.values()):
            mark_changed(self.connection, self.changed - self.marked, self.arrival)
            values = {"arrival": self.arrival, "received_at": self.received_at, "erased": 0}
            self.connection.execute(_NOTED, values)
        else:
            self.arrival -= 1
        latest = max(self.happened, default=None)
        return TakenIn(self.arrival, self.accepted, self.duplicates, tuple(self.rejects), latest)

    def keep(self, table: Table, found: Checked, rows: StoredRows) -> None:
        """Insert the rows that are new, and set aside those that repeat an id with other content.

        Args:
            table: the table.
            found: its good rows, of accounts that there are.
            rows: the same as they are stored.
        """
        self.accepted[table.name] = self.duplicates[table.name] = 0
        if len(rows):
            firsts = rows if len(set(rows.keys)) == len(rows) else rows.take(_firsts(rows.keys))
            n_new = insert_new(self.connection, firsts, self.arrival)
            kept, differs = np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
            if n_new < len(rows):
                kept, differs = self._held_against(table, rows)
                found = without(found, table, [Fault(table.id or "account_id", CHANGED, differs)])
            self.accepted[table.name] = n_new
            latest = pc.max(found.rows.column(table.time).cast(pa.int64())).as_py() if len(found.rows) else None
            self.happened.extend([] if latest is None else [latest])
            self.duplicates[table.name] = len(rows) - n_new - int(differs.sum())
            of_kept = rows.cells.column("account_id")
            of_kept = of_kept if kept.all() else of_kept.filter(pa.array(kept))
            self.changed.update(of_kept.unique().to_pylist())
        self.rejects.extend(found.rejects)

    def _held_against(self, table: Table, rows: StoredRows) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which rows are this batch's, and which differ from what is stored under their key."""
        stored = stored_with_keys(self.connection, table.name, list(dict.fromkeys(rows.keys)))
        there = [stored[key] for key in rows.keys]
        said = contents(cells_of_stored(table.name, [cells for _, cells in there]))
        differs = np.array([one != other for one, other in zip(contents(rows.cells), said, strict=True)])
        return np.array([arrival == self.arrival for arrival, _ in there]), differs


def _firsts(keys: Sequence[str | bytes]) -> list[int]:
    """The place of the first row with each key."""
    place: dict[str | bytes, int] = {}
    for row, key in enumerate(keys):
        place.setdefault(key, row)
    return list(place.values())
