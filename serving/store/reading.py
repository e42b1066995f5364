"""Histories of stored accounts, ready to score.

    read_histories(store, account_ids, settings, until=None) -> Read(histories, arrival, missing)
    Book(store, settings).read() -> Read

What is read is bit for bit what packing the rows gives. Mostly it comes from what was packed before; an account of
which something came in since is packed anew, from its rows, and what was packed is kept for the next who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sql

from features.checking import to_frame
from features.contract import TABLES
from features.errors import StoreError
from features.histories import PACKED_COLUMNS, Histories, pack
from features.portfolio import Portfolio
from features.settings import PortfolioSettings
from serving.store.database import Store
from serving.store.events import last_arrival
from serving.store.histories import arrivals, changes, packed
from serving.store.inserting import ASKED_IN_POSTGRESQL, ASKED_IN_SQLITE, is_sqlite, json_list
from serving.store.packed import DIGEST_BYTES, PackedAccount, digest_bytes, fits, from_bytes, to_bytes
from serving.store.rows import checked_cells, stored_columns
from serving.store.selecting import select_rows

#: So many accounts are packed at a time.
_AT_ONCE = 2_000
#: Of each account what was packed of it as it is now, where there is that.
_PACKED = (
    "SELECT changes.account_id, changes.arrival, packed.texts, packed.history FROM changes LEFT JOIN packed "
    "ON packed.account_id = changes.account_id AND packed.arrival = changes.arrival "
    "WHERE changes.account_id IN (SELECT value FROM {})"
)
_PACKED_IN_SQLITE, _PACKED_IN_POSTGRESQL = map(_PACKED.format, (ASKED_IN_SQLITE, ASKED_IN_POSTGRESQL))
#: What was packed of an account is of use where nothing of it came in since.
_AS_OF_NOW = (packed.c.account_id == changes.c.account_id) & (packed.c.arrival == changes.c.arrival)


@dataclass(frozen=True)
class Read:
    """Histories as the store holds them after the batch `arrival`, sorted by account, each account once.

    `missing` are the accounts that were asked for and are not there.
    """

    histories: Histories
    arrival: int
    missing: tuple[str, ...]


def read_histories(
    store: Store, account_ids: Sequence[str], settings: PortfolioSettings, until: int | None = None
) -> Read:
    """The histories of some accounts (`whole=False`: they say nothing of the portfolio as a whole).

    Args:
        store: the store.
        account_ids: their names, in any order; one that comes twice counts once.
        settings: the portfolio's.
        until: only what had arrived by then, as when `arrival` was that number; all there is where it is None.

    Raises:
        StoreError: the store cannot be read.
    """
    asked = sorted(set(account_ids))
    with store.reading() as connection:
        arrival = last_arrival(connection)
        if until is None:
            found, anew = _latest(connection, asked, settings)
        else:
            found, anew = _from_rows(connection, asked, settings, until), {}
            arrival = until
    if anew:
        with suppress(StoreError):  # for the next who asks; who reads now has what she needs
            _keep(store, [(account, anew[account.account_id]) for account in found if account.account_id in anew])
    there = {account.account_id for account in found}
    missing = tuple(account_id for account_id in asked if account_id not in there)
    return Read(from_bytes(found, settings), arrival, missing)


def _latest(
    connection: sql.Connection, asked: Sequence[str], settings: PortfolioSettings
) -> tuple[list[PackedAccount], dict[str, int]]:
    """The accounts as they are now; and of those that had to be packed anew, the arrival they were packed as of."""
    digest = digest_bytes(settings)
    found, anew = [], {}
    for account_id, arrival, texts, history in _packed_of(connection, asked):
        if texts is not None and history is not None and fits(history, digest):
            found.append(PackedAccount(account_id, texts, history))
        else:
            anew[account_id] = arrival
    if anew:
        found += _from_rows(connection, list(anew), settings, None)
    return found, anew


def _packed_of(connection: sql.Connection, asked: Sequence[str]) -> Sequence[Any]:
    """Of each account its id, the arrival of what came last, and what was packed as of it, null where that is older."""
    # Every score by id comes by here: a text that is ready costs a fraction of a statement that is built.
    query = _PACKED_IN_SQLITE if is_sqlite(connection) else _PACKED_IN_POSTGRESQL
    return connection.exec_driver_sql(query, (json_list(asked),)).fetchall()


def _from_rows(
    connection: sql.Connection, account_ids: Sequence[str], settings: PortfolioSettings, until: int | None
) -> list[PackedAccount]:
    """Accounts packed from their rows; one that is not there, or was not by then, is left out."""
    found: list[PackedAccount] = []
    for first in range(0, len(account_ids), _AT_ONCE):
        portfolio = _portfolio_of(connection, account_ids[first : first + _AT_ONCE], settings, until)
        if len(portfolio.tables["accounts"]):
            found += to_bytes(pack(portfolio, whole=False))
    return found


def _portfolio_of(
    connection: sql.Connection, account_ids: Sequence[str], settings: PortfolioSettings, until: int | None
) -> Portfolio:
    """The rows of some accounts as a portfolio, with the columns that packing reads."""
    frames = {}
    for name, table in TABLES.items():
        columns = PACKED_COLUMNS.get(name) or stored_columns(name)
        cells = select_rows(connection, name, columns, account_ids, until)
        frames[name] = to_frame(checked_cells(table, cells, settings))
    return Portfolio(settings, frames, pd.DataFrame())


def _keep(store: Store, accounts: Sequence[tuple[PackedAccount, int]]) -> None:
    """Keep what was packed, unless something newer is there, or the account is gone."""
    rows = [
        {"account_id": account.account_id, "arrival": arrival, "texts": account.texts, "history": account.history}
        for account, arrival in accounts
    ]
    with store.writing() as connection:
        if is_sqlite(connection):
            from sqlalchemy.dialects.sqlite import insert as insert_sqlite

            statement = insert_sqlite(packed)
        else:
            from sqlalchemy.dialects.postgresql import insert as insert_postgresql

            statement = insert_postgresql(packed)  # type: ignore[assignment]
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["account_id"],
                set_={"arrival": new.arrival, "texts": new.texts, "history": new.history},
                where=packed.c.arrival <= new.arrival,
            ),
            rows,
        )


def pack_all(store: Store, settings: PortfolioSettings, on_packed: Callable[[int, int], None]) -> None:
    """Pack every account of which something came in since it was packed, or that was packed by other settings.

    Args:
        store: the store.
        settings: the portfolio's.
        on_packed: hears how many are packed, of how many; what is packed by then stays so, whatever stops the rest.

    Raises:
        StoreError: the store cannot be read or written.
    """
    by_others = sql.func.substr(packed.c.history, 1, DIGEST_BYTES) != digest_bytes(settings)
    query = sql.select(changes.c.account_id).select_from(changes.outerjoin(packed, _AS_OF_NOW))
    query = query.where(packed.c.account_id.is_(None) | by_others).order_by(changes.c.account_id)
    with store.reading() as connection:
        account_ids = list(connection.execute(query).scalars())
    for first in range(0, len(account_ids), _AT_ONCE):
        some = account_ids[first : first + _AT_ONCE]
        with store.reading() as connection:
            found, anew = _latest(connection, some, settings)
        _keep(store, [(account, anew[account.account_id]) for account in found if account.account_id in anew])
        on_packed(first + len(some), len(account_ids))


class Book:
    """All histories of a store, kept in the memory of who holds it, and brought up to date when they are asked for."""

    def __init__(self, store: Store, settings: PortfolioSettings) -> None:
        self._store, self._settings = store, settings
        self._accounts: dict[str, PackedAccount] = {}
        self._read = Read(from_bytes([], settings), 0, ())

    def read(self) -> Read:
        """The histories of all accounts as the store holds them now; the same object where nothing came since.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._store.reading() as connection:
            arrival = last_arrival(connection)
            if arrival == self._read.arrival:
                return self._read
            newer = changes.c.arrival > self._read.arrival
            changed = list(connection.execute(sql.select(changes.c.account_id).where(newer)).scalars())
            some_erased = (arrivals.c.arrival > self._read.arrival) & (arrivals.c.erased > 0)
            if connection.execute(sql.select(sql.func.count()).where(some_erased)).scalar_one():
                there = set(connection.execute(sql.select(changes.c.account_id)).scalars())
                self._accounts = {name: account for name, account in self._accounts.items() if name in there}
            anew: dict[str, int] = {}
            for first in range(0, len(changed), _AT_ONCE):
                found, packed_anew = _latest(connection, changed[first : first + _AT_ONCE], self._settings)
                self._accounts |= {account.account_id: account for account in found}
                anew |= packed_anew
        if anew:
            with suppress(StoreError):
                # An account whose own row is missing cannot be packed, and must not keep the others from being read.
                there = anew.keys() & self._accounts.keys()
                _keep(self._store, [(self._accounts[name], anew[name]) for name in sorted(there)])
        self._read = Read(from_bytes(list(self._accounts.values()), self._settings), arrival, ())
        return self._read
