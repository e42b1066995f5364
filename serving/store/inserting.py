"""Rows into tables at bulk speed: `executemany` in SQLite, COPY in PostgreSQL; what is there stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sql

from features.errors import StoreError
from serving.store.histories import key_column, tables
from serving.store.rows import StoredRows, stored_columns

#: Who writes histories in PostgreSQL takes turns by this lock, until the transaction ends: arrivals count up in the
#: order in which they are committed. SQLite has one writer anyway.
_TURN = 7326002


def is_sqlite(connection: sql.Connection) -> bool:
    """Whether a connection is one to SQLite."""
    return connection.dialect.name == "sqlite"


def take_turn(connection: sql.Connection) -> None:
    """Wait until no other transaction writes histories; none will before this one has ended."""
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")


def insert_new(connection: sql.Connection, rows: StoredRows, arrival: int) -> int:
    """Insert the rows whose key is not there yet; how many those were."""
    name, names = rows.table.name, [*stored_columns(rows.table.name), "arrival"]
    key = key_column(name)
    if key not in names:
        names.append(key)
    into, columns = f'"{name}"', ", ".join(f'"{column}"' for column in names)
    if is_sqlite(connection):
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {into} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 our own names
        return connection.exec_driver_sql(statement, _tuples(rows, arrival)).rowcount
    copied = _csv(rows, arrival)
    with _as_sqlalchemy_would(connection) as cursor:
        if _copy(cursor, f"{into} ({columns})", copied):
            return len(rows)
        # Some are there: the new ones are picked from a table aside.
        staged = f'"new_{name}"'
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} (LIKE {into}) ON COMMIT DELETE ROWS")
        _copy(cursor, f"{staged} ({columns})", copied)
        cursor.execute(
            f"INSERT INTO {into} ({columns}) SELECT {columns} FROM {staged} ON CONFLICT DO NOTHING"  # noqa: S608
        )
        n_new: int = cursor.rowcount
        return n_new


def _copy(cursor: Any, into: str, rows: bytes) -> bool:
    """Copy rows into a table; whether that went well, or else a key is there already and nothing was copied."""
    import psycopg

    cursor.execute("SAVEPOINT copying")
    try:
        with cursor.copy(f"COPY {into} FROM STDIN (FORMAT CSV)") as copy:
            copy.write(rows)
    except psycopg.errors.UniqueViolation:
        cursor.execute("ROLLBACK TO SAVEPOINT copying")
        return False
    cursor.execute("RELEASE SAVEPOINT copying")
    return True


def _tuples(rows: StoredRows, arrival: int) -> list[tuple[object, ...]]:
    n = len(rows)
    columns = [[None] * n if column.null_count == n else column.to_pylist() for column in rows.cells.columns]
    keys = [] if key_column(rows.table.name) in rows.cells.column_names else [rows.keys]
    return list(zip(*columns, [arrival] * n, *keys, strict=True))


def _csv(rows: StoredRows, arrival: int) -> bytes:
    cells = rows.cells.append_column("arrival", pa.array([arrival] * len(rows), pa.int64()))
    if key_column(rows.table.name) not in rows.cells.column_names:
        cells = cells.append_column("row_key", pa.array([f"\\x{key.hex()}" for key in rows.keys]))  # type: ignore[union-attr]
    buffer = BytesIO()
    options = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pa.csv.write_csv(cells, buffer, options)
    return buffer.getvalue()


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


def mark_changed(connection: sql.Connection, account_ids: Sequence[str], arrival: int) -> None:
    """Note that an arrival brought something of these accounts."""
    asked = asked_rows(is_sqlite(connection))
    statement = (
        f"INSERT INTO changes (account_id, arrival) SELECT value, :arrival FROM {asked} WHERE true "  # noqa: S608
        "ON CONFLICT (account_id) DO UPDATE SET arrival = excluded.arrival"
    )
    connection.execute(sql.text(statement), {"asked": json.dumps(sorted(account_ids)), "arrival": arrival})


def unknown_accounts(connection: sql.Connection, account_ids: Sequence[str]) -> list[str]:
    """Which of these accounts there are not: mostly none, so that there is little to fetch."""
    there = "SELECT 1 FROM changes WHERE account_id = asked.value"
    query = f"SELECT value FROM {asked_rows(is_sqlite(connection))} WHERE NOT EXISTS ({there})"  # noqa: S608
    return list(connection.execute(sql.text(query), {"asked": json.dumps(account_ids)}).scalars())


def asked_rows(sqlite: bool) -> str:
    """The rows of the argument `asked`, a JSON list of texts: one argument, however many there are."""
    if sqlite:
        return "json_each(:asked) AS asked"
    return "json_array_elements_text(CAST(:asked AS json)) AS asked(value)"


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
    table = tables[name]
    columns = [table.c[column] for column in stored_columns(name)]
    found = {}
    for first in range(0, len(keys), 500):
        some = keys[first : first + 500]
        query = sql.select(table.c[key_column(name)], table.c.arrival, *columns).where(
            table.c[key_column(name)].in_(some)
        )
        for key, arrival, *cells in connection.execute(query):
            found[bytes(key) if name != "accounts" else key] = (arrival, tuple(cells))
    return found
