"""Rows out of tables at bulk speed: a cursor of the driver's own in SQLite, COPY in PostgreSQL.

Most of what reading rows costs is the objects that they become on the way. In SQLite those of a few hundred rows are
turned into arrays before the next are made, so that their memory is used again; of PostgreSQL there are none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sql

from serving.store.inserting import ASKED_IN_SQLITE, is_sqlite
from serving.store.rows import record_batch, stored_schema

_ROWS_AT_ONCE = 500


def select_rows(
    connection: sql.Connection, name: str, columns: Sequence[str], account_ids: Sequence[str], until: int | None
) -> pa.Table:
    """Some columns of a table, as `StoredRows.cells` has them, of the rows of some accounts, in any order.

    Args:
        connection: a transaction.
        name: the table.
        columns: their names.
        account_ids: whose rows.
        until: only rows that had arrived by then; all where it is None.
    """
    stored = stored_schema(name)
    schema = pa.schema([stored.field(column) for column in columns])
    chosen = f'SELECT {", ".join(columns)} FROM "{name}" WHERE account_id'  # noqa: S608 our own names
    then = "" if until is None else f" AND arrival <= {until:d}"
    driver: Any = connection.connection.driver_connection
    with_cursor = _from_sqlite if is_sqlite(connection) else _from_postgresql
    return with_cursor(driver.cursor(), chosen, then, account_ids, schema)


def _from_sqlite(cursor: Any, chosen: str, then: str, account_ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    query = f"{chosen} IN (SELECT value FROM {ASKED_IN_SQLITE}){then}"  # noqa: S608
    cursor.execute(query, (json.dumps(account_ids),))
    batches = []
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        batches.append(record_batch(rows, schema))
    cursor.close()
    return pa.Table.from_batches(batches, schema)


def _from_postgresql(cursor: Any, chosen: str, then: str, account_ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    with cursor, cursor.copy(f"COPY ({chosen} = ANY(%s){then}) TO STDOUT (FORMAT CSV)", (list(account_ids),)) as copy:
        copied = b"".join(copy)
    if not copied:
        return schema.empty_table()
    return pa.csv.read_csv(
        BytesIO(copied),
        pa.csv.ReadOptions(use_threads=False, column_names=schema.names),
        pa.csv.ParseOptions(newlines_in_values=True),
        # What is null has no quotes, and an empty text has.
        pa.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
