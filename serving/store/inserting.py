"""Rows into tables at bulk speed: `executemany` in SQLite, COPY in PostgreSQL; what is there stays as it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import sqlalchemy as sql

from features.errors import StoreError
from serving.store.histories import key_column
from serving.store.rows import StoredRows, stored_columns

#: Who writes histories in PostgreSQL takes turns by this lock, until the transaction ends: arrivals count up in the
#: order in which they are committed. SQLite has one writer anyway.
_TURN = 7326002
#: SQLite took no more than 999 arguments for long.
_KEYS_AT_ONCE = 500

# Many accounts are one argument of a statement: a JSON list of their names.
ASKED_IN_SQLITE, ASKED_IN_POSTGRESQL = "json_each(?) AS asked", "json_array_elements_text(%s::json) AS asked(value)"
_MARKING = "ON CONFLICT (account_id) DO UPDATE SET arrival = excluded.arrival"
_MARK_SQLITE = f"INSERT INTO changes (account_id, arrival) SELECT value, ? FROM {ASKED_IN_SQLITE} WHERE true {_MARKING}"  # noqa: S608
_MARK_POSTGRESQL = f"INSERT INTO changes (account_id, arrival) SELECT value, %s FROM {ASKED_IN_POSTGRESQL} {_MARKING}"  # noqa: S608
_MARK_KNOWN_SQLITE = f"UPDATE changes SET arrival = ? WHERE account_id IN (SELECT value FROM {ASKED_IN_SQLITE})"  # noqa: S608
_MARK_KNOWN_POSTGRESQL = f"UPDATE changes SET arrival = %s FROM {ASKED_IN_POSTGRESQL} WHERE account_id = asked.value"  # noqa: S608
_UNKNOWN = "NOT EXISTS (SELECT 1 FROM changes WHERE account_id = asked.value)"
_UNKNOWN_SQLITE = f"SELECT value FROM {ASKED_IN_SQLITE} WHERE {_UNKNOWN}"  # noqa: S608
_UNKNOWN_POSTGRESQL = f"SELECT value FROM {ASKED_IN_POSTGRESQL} WHERE {_UNKNOWN}"  # noqa: S608


def is_sqlite(connection: sql.Connection) -> bool:
    """Whether a connection is one to SQLite."""
    return connection.dialect.name == "sqlite"


def take_turn(connection: sql.Connection) -> None:
    """Wait until no other transaction writes histories; none will before this one has ended."""
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")


def insert_new(connection: sql.Connection, rows: StoredRows, arrival: int) -> int:
    """Insert the rows whose key is not there yet; how many those were."""
    # A column in which no row has anything need not be said.
    names = [name for name in rows.cells.column_names if rows.cells.column(name).null_count < len(rows)]
    cells = rows.cells.select(names).append_column("arrival", pa.array(np.full(len(rows), arrival)))
    keys = None if key_column(rows.table.name) in names else rows.keys
    into = _into(rows.table.name, tuple(cells.column_names), keys is not None, is_sqlite(connection))
    if is_sqlite(connection):
        return connection.exec_driver_sql(into.insert, _tuples(cells, keys)).rowcount
    copied = _csv(cells, keys)
    with _as_sqlalchemy_would(connection) as cursor:
        if _copy(cursor, into.copy, copied):
            return len(rows)
        # Some are there: the new ones are picked from a table aside.
        cursor.execute(into.make_aside)
        _copy(cursor, into.copy_aside, copied)
        cursor.execute(into.insert)
        n_new: int = cursor.rowcount
        return n_new


class _Into(NamedTuple):
    """The statements that bring rows into a table."""

    insert: str
    copy: str
    make_aside: str
    copy_aside: str


@lru_cache(maxsize=256)
def _into(name: str, names: tuple[str, ...], keyed: bool, sqlite: bool) -> _Into:
    names = (*names, "row_key") if keyed else names
    into, aside, columns = f'"{name}"', f'"new_{name}"', ", ".join(f'"{column}"' for column in names)
    source = f"VALUES ({', '.join('?' * len(names))})" if sqlite else f"SELECT {columns} FROM {aside}"  # noqa: S608 our own names
    return _Into(
        insert=f"INSERT INTO {into} ({columns}) {source} ON CONFLICT DO NOTHING",
        copy=f"COPY {into} ({columns}) FROM STDIN (FORMAT CSV)",
        make_aside=f"CREATE TEMPORARY TABLE IF NOT EXISTS {aside} (LIKE {into}) ON COMMIT DELETE ROWS",
        copy_aside=f"COPY {aside} ({columns}) FROM STDIN (FORMAT CSV)",
    )


def _copy(cursor: Any, statement: str, rows: bytes) -> bool:
    """Copy rows into a table; whether that went well, or else a key is there already and nothing was copied."""
    import psycopg

    cursor.execute("SAVEPOINT copying")
    try:
        with cursor.copy(statement) as copy:
            copy.write(rows)
    except psycopg.errors.UniqueViolation:
        cursor.execute("ROLLBACK TO SAVEPOINT copying")
        return False
    cursor.execute("RELEASE SAVEPOINT copying")
    return True


def _tuples(cells: pa.Table, keys: Sequence[str | bytes] | None) -> list[tuple[object, ...]]:
    columns = [column.to_pylist() for column in cells.columns]
    if keys is not None:
        # The driver looks for an adapter of `bytes`, row by row, and of `bytearray` it does not.
        columns.append([*map(bytearray, keys)])  # type: ignore[arg-type]
    return list(zip(*columns, strict=True))


def _csv(cells: pa.Table, keys: Sequence[str | bytes] | None) -> bytes:
    if keys is not None:
        cells = cells.append_column("row_key", _bytea(pa.array(keys, pa.binary())))
    buffer = BytesIO()
    options = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pa.csv.write_csv(cells, buffer, options)
    return buffer.getvalue()


def _bytea(keys: pa.Array) -> pa.Array:
    """Bytes as PostgreSQL reads them: plain text for what it is, the rest by its digits."""
    if keys.buffers()[2].to_pybytes().isascii():
        return pc.replace_substring(keys.cast(pa.string()), "\\", "\\\\")
    return pa.array([f"\\x{key.hex()}" for key in keys.to_pylist()])


@contextmanager
def _as_sqlalchemy_would(connection: sql.Connection) -> Iterator[Any]:
    """A cursor of the driver's own, in the connection's transaction; its errors are told as the store's are."""
    import psycopg

    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        # What the server says after the first line may hold values.
        first_line = str(error).partition("\n")[0][:200]
        raise StoreError(f"the store did not do what it was asked ({first_line})") from error


def mark_changed(connection: sql.Connection, account_ids: Collection[str], arrival: int) -> None:
    """Note that an arrival brought something of these accounts, which are new or there."""
    if account_ids:
        statement = _MARK_SQLITE if is_sqlite(connection) else _MARK_POSTGRESQL
        connection.exec_driver_sql(statement, (arrival, json_list(account_ids)))


def mark_known(connection: sql.Connection, account_ids: Collection[str], arrival: int) -> int:
    """Note it of those of the accounts that are there; how many these are."""
    statement = _MARK_KNOWN_SQLITE if is_sqlite(connection) else _MARK_KNOWN_POSTGRESQL
    return connection.exec_driver_sql(statement, (arrival, json_list(account_ids))).rowcount


def unknown_accounts(connection: sql.Connection, account_ids: Collection[str]) -> list[str]:
    """Which of these accounts there are not."""
    query = _UNKNOWN_SQLITE if is_sqlite(connection) else _UNKNOWN_POSTGRESQL
    return list(connection.exec_driver_sql(query, (json_list(account_ids),)).scalars())


def json_list(texts: Collection[str]) -> str:
    """Texts as the one argument `asked` of a statement, however many there are."""
    return msgspec.json.encode(sorted(texts)).decode()


def among(connection: sql.Connection, column: sql.ColumnElement[Any], texts: Sequence[str]) -> sql.ColumnElement[bool]:
    """Whether a column has one of many texts: one argument of the statement, however many there are."""
    if is_sqlite(connection):
        each = sql.func.json_each(json.dumps(texts)).table_valued("value")
        return column.in_(sql.select(each.c.value))
    from sqlalchemy.dialects.postgresql import ARRAY

    return column == sql.any_(sql.bindparam(None, list(texts), type_=ARRAY(sql.Text)))


def stored_with_keys(
    connection: sql.Connection, name: str, keys: Sequence[str | bytes]
) -> dict[str | bytes, tuple[int, tuple[object, ...]]]:
    """The rows that are there under some keys: of each its arrival, and its cells."""
    key = key_column(name)
    columns = ", ".join(f'"{column}"' for column in (key, "arrival", *stored_columns(name)))
    query = f'SELECT {columns} FROM "{name}" WHERE "{key}"'  # noqa: S608 our own names
    found: dict[str | bytes, tuple[int, tuple[object, ...]]] = {}
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        some = tuple(keys[first : first + _KEYS_AT_ONCE])
        if is_sqlite(connection):
            rows = connection.exec_driver_sql(f"{query} IN ({', '.join('?' * len(some))})", some)
        else:
            rows = connection.exec_driver_sql(f"{query} = ANY(%s)", (list(some),))
        found |= {row_key: (arrival, tuple(cells)) for row_key, arrival, *cells in rows}
    return found
