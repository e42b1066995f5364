"""Rows out of tables at bulk speed, by a cursor of the driver's own.

Most of what reading rows costs is the objects that they become on the way. A few hundred are turned into arrays before
the next are made, so that their memory is used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sql

from serving.store.inserting import ASKED_IN_SQLITE, is_sqlite, json_list
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
    cursor = driver.cursor()
    try:
        if is_sqlite(connection):
            query = f"{chosen} IN (SELECT value FROM {ASKED_IN_SQLITE}){then}"  # noqa: S608 the same
            cursor.execute(query, (json_list(account_ids),))
        else:
            cursor.execute(f"{chosen} = ANY(%s){then}", (list(account_ids),), binary=True)
        batches = []
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            batches.append(record_batch(rows, schema))
    finally:
        cursor.close()
    return pa.Table.from_batches(batches, schema)
