"""A whole portfolio into the store, and out of it again.

load(store, source, settings, received_at, ...) -> Loaded
export(store, out, ...) -> counts by table
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sql

from features.checking import Checked, check_raw, joined_rejects
from features.contract import SETTINGS_FILE, TABLES, Table
from features.errors import RecoupError, StoreError
from features.portfolio import raw_tables
from features.settings import PortfolioSettings
from serving.store.database import Store
from serving.store.events import Taking
from serving.store.histories import tables
from serving.store.inserting import take_turn
from serving.store.portfolio import keep_settings, settings_toml, stored_settings
from serving.store.reading import pack_all
from serving.store.rows import StoredRows, cells_of_stored, checked_cells, stored_columns, stored_rows

#: Rows that are written in one transaction: what stops a load loses no more than these, and they come again.
_ROWS_AT_ONCE = 20_000

#: Hears what is done now, and how many steps of how many are done.
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Loaded:
    """What became of a portfolio: rows of each table that were added, that were there before, and those set aside."""

    added: Mapping[str, int]
    there: Mapping[str, int]
    rejects: pd.DataFrame


def load(store: Store, source: str | Path, settings: PortfolioSettings, received_at: int, on_step: OnStep) -> Loaded:
    """Take in a portfolio, and pack its accounts; doing it again, or going on after a stop, adds no row twice.

    Args:
        store: a store that holds nothing, or the portfolio of this name.
        source: a folder, or the URL of a database.
        settings: the portfolio's.
        received_at: the present, an instant.
        on_step: hears of progress.

    Raises:
        PortfolioError: the portfolio, or one of its tables, cannot be used at all.
        StoreError: the store holds another portfolio, or cannot be written.
    """
    checked = check_raw(raw_tables(source, settings, lambda table: on_step(f"Reading {table}", 0, 0)), settings)
    keep_settings(store, settings)
    added, there = dict.fromkeys(checked, 0), dict.fromkeys(checked, 0)
    rejects = [some for found in checked.values() for some in found.rejects]
    for name, found in checked.items():
        done = 0
        for rows, located in _pieces(TABLES[name], found, settings):
            with store.writing() as connection:
                take_turn(connection)
                taking = Taking(connection, settings, received_at)
                taking.keep(TABLES[name], located, rows)
                taken = taking.finish()
            added[name] += taken.accepted[name]
            there[name] += taken.duplicates[name]
            rejects += taking.rejects
            done += len(rows)
            on_step(f"Writing {name}", done, len(found.rows))
    pack_all(store, settings, lambda done, total: on_step("Packing accounts", done, total))
    return Loaded(added, there, joined_rejects(rejects))


def _pieces(table: Table, found: Checked, settings: PortfolioSettings) -> Iterator[tuple[StoredRows, Checked]]:
    """A table in pieces, account by account: rows of one account then lie together. Keys are those of the whole."""
    rows = stored_rows(table, found.rows, settings)
    order = pc.sort_indices(rows.cells.column("account_id")).to_numpy()
    for first in range(0, len(order), _ROWS_AT_ONCE):
        some = order[first : first + _ROWS_AT_ONCE]
        yield rows.take(some.tolist()), Checked(found.rows.take(some), (), found.lost)


def export(store: Store, out: Path, on_step: OnStep) -> dict[str, int]:
    """Write what the store holds as a portfolio's folder: Parquet, with its portfolio.toml.

    Args:
        store: the store.
        out: the folder, which must not be there yet.
        on_step: hears of progress.

    Returns:
        How many rows of each table.

    Raises:
        StoreError: the store holds no portfolio, or cannot be read.
        RecoupError: the folder is there, or cannot be written.
    """
    settings = stored_settings(store)
    if settings is None:
        raise StoreError("the store holds no portfolio; load one with recoup load")
    if out.exists():
        raise RecoupError(f"an export goes to a folder of its own, {out} is there; choose another name")
    new = out.with_name(f".{secrets.token_hex(4)}-{out.name}")
    try:
        new.mkdir(parents=True)
        (new / SETTINGS_FILE).write_text(settings_toml(settings), "utf-8")
        counts = {}
        with store.reading() as connection:
            for place, name in enumerate(TABLES):
                on_step(f"Writing {name}", place, len(TABLES))
                counts[name] = _write_table(connection, TABLES[name], settings, new / f"{name}.parquet")
        os.replace(new, out)
    except OSError as error:
        raise RecoupError(f"{out} cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return counts


def _write_table(connection: sql.Connection, table: Table, settings: PortfolioSettings, path: Path) -> int:
    source = tables[table.name]
    query = sql.select(*(source.c[column] for column in stored_columns(table.name)))
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
    n_rows, empty = 0, checked_cells(table, cells_of_stored(table.name, []), settings)
    with pq.ParquetWriter(path, empty.schema, compression="zstd") as writer:
        for rows in result.partitions():
            writer.write_table(checked_cells(table, cells_of_stored(table.name, rows), settings))
            n_rows += len(rows)
    return n_rows
