"""Rows as they are stored, from rows that were checked, and back: whole numbers for times and money, texts as are.

A row's key says whether it was sent before. It is the row's id where it has one: ids are mostly given out in order,
and neighbours are quick to insert. Where a row has none, its key follows from all that it says, and from how many equal
rows came before it in the same batch: two payments of 20.00 within one second are two payments, and the same batch sent
again adds nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import TABLES, TIME_KINDS, Kind, Table
from features.settings import PortfolioSettings
from features.units import to_money
from serving.store.histories import KEY_BYTES, tables

#: No text holds a line break (the checks see to it), and none is empty: joined by it, cells can be told apart.
_BREAK = "\n"


@dataclass(frozen=True)
class StoredRows:
    """Rows of one table: `cells` has the columns of the table but for `arrival` and the key; `keys` is `(n,)`."""

    table: Table
    cells: pa.Table
    keys: Sequence[str | bytes]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.keys)

    def take(self, rows: Sequence[int]) -> StoredRows:
        """The rows at some places."""
        return StoredRows(self.table, self.cells.take(rows), [self.keys[row] for row in rows])


def stored_rows(table: Table, checked: pa.Table, settings: PortfolioSettings) -> StoredRows:
    """The rows as they are stored, with their keys; `checked` are good rows of `features.checking`."""
    cells = {column.name: _stored(checked.column(column.name), column.kind) for column in table.columns}
    if table.name == "accounts":
        cells["attributes"] = _attributes(checked, settings)
    # In one piece each: Arrow writes a table of many to CSV wrongly.
    stored = pa.table(cells).combine_chunks()
    return StoredRows(table, stored, _keys(table, stored))


def _stored(cells: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    if kind in TIME_KINDS:
        return cells.cast(pa.int64())
    if kind is Kind.AMOUNT:
        return pa.chunked_array([_money(chunk) for chunk in cells.chunks], pa.int64())
    return cells


def _money(amounts: pa.Array) -> pa.Array:
    values = amounts.to_numpy(zero_copy_only=False)
    blank = np.isnan(values)
    return pa.array(to_money(np.where(blank, 0.0, values)), mask=blank)


def _attributes(checked: pa.Table, settings: PortfolioSettings) -> pa.Array:
    names = settings.attributes
    if not names:
        return pa.nulls(len(checked), pa.string())
    values = zip(*(checked.column(name).to_pylist() for name in names), strict=True)
    return pa.array([_object(names, row) for row in values], pa.string())


def _object(names: Sequence[str], values: Sequence[object]) -> str | None:
    given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return json.dumps(given, ensure_ascii=False, sort_keys=True) if given else None


def contents(cells: pa.Table) -> list[str]:
    """All that each row says, as one text: the same for equal rows alone."""
    columns = [cells.column(name).cast(pa.string()) for name in cells.column_names]
    joined = pc.binary_join_element_wise(*columns, _BREAK, null_handling="replace", null_replacement="")
    texts: list[str] = joined.to_pylist()
    return texts


def _keys(table: Table, cells: pa.Table) -> list[str] | list[bytes]:
    if table.name == "accounts":
        account_ids: list[str] = cells.column("account_id").to_pylist()
        return account_ids
    ids = cells.column(table.id) if table.id else pa.nulls(len(cells), pa.string())
    if not ids.null_count:
        keys: list[bytes] = ids.cast(pa.binary()).to_pylist()
        return keys
    said, before = contents(cells), Counter[str]()
    keys = []
    for row_id, content in zip(ids.to_pylist(), said, strict=True):
        if row_id is None:
            before[content] += 1
            keys.append(_content_key(f"{content}{_BREAK}{before[content]}"))
        else:
            keys.append(row_id.encode())
    return keys


def _content_key(text: str) -> bytes:
    """A key that no id is: it begins with a byte that no text has."""
    return b"\xff" + blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def cells_of_stored(name: str, rows: Sequence[Sequence[object]]) -> pa.Table:
    """Rows as a database gave them, in the order of `stored_columns`, as cells again."""
    schema = stored_schema(name)
    return pa.Table.from_batches([record_batch(rows, schema)] if rows else [], schema)


def record_batch(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.RecordBatch:
    """Some rows as a database gave them, one at least, as arrays of these columns."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(_flags(column, field), field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _flags(column: Sequence[object], field: pa.Field) -> Sequence[object]:
    """SQLite keeps a flag as a number."""
    return [None if value is None else bool(value) for value in column] if pa.types.is_boolean(field.type) else column


def stored_schema(name: str) -> pa.Schema:
    """The columns of `StoredRows.cells` of a table."""
    columns = [(column.name, _ARROW[column.kind]) for column in TABLES[name].columns]
    return pa.schema([*columns, ("attributes", pa.string())] if name == "accounts" else columns)


def stored_columns(name: str) -> tuple[str, ...]:
    """Their names."""
    return tuple(column.name for column in tables[name].columns if column.name not in ("arrival", "row_key"))


_ARROW = {kind: pa.string() for kind in Kind} | {
    Kind.TIME: pa.int64(),
    Kind.END: pa.int64(),
    Kind.AMOUNT: pa.int64(),
    Kind.SHARE: pa.float64(),
    Kind.FLAG: pa.bool_(),
}


def checked_cells(table: Table, cells: pa.Table, settings: PortfolioSettings) -> pa.Table:
    """Stored rows as the checks give them: times and money in their usual form, attributes as columns of their own.

    Columns that `cells` lacks are left out.
    """
    there = [column for column in table.columns if column.name in cells.column_names]
    columns = {column.name: _usual(cells.column(column.name), column.kind) for column in there}
    if table.name == "accounts":
        given = [json.loads(text) if text else {} for text in cells.column("attributes").to_pylist()]
        for name in settings.attributes:
            kind = pa.float64() if name in settings.numeric else pa.string()
            columns[name] = pa.chunked_array([pa.array([row.get(name) for row in given], kind)])
    return pa.table(columns)


def _usual(cells: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    if kind in TIME_KINDS:
        return cells.cast(pa.timestamp("us", "UTC"))
    # Divided as a float, as `from_money` does.
    # The largest amounts have more digits than a float: the nearest one is what they were read from.
    return pc.divide(cells.cast(pa.float64(), safe=False), 10_000.0) if kind is Kind.AMOUNT else cells
