"""Requests: histories as JSON in the contract's words, read strictly and turned into the raw tables that are checked.

The shape of a request is strict: an unknown table or column, a nested value or NaN is an error of the whole request.
The rows are not: what is wrong with a row is for the checks of `features.checking` to say, as it is for a file.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from features.contract import NO_CHANNEL, TABLES, Column
from features.raw import RawPart, RawTables, cells_of
from features.settings import PortfolioSettings, table_columns

#: What a cell may hold.
Cell = str | int | float | bool | None


class Features(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Features that are given, column by column: `values` row by row, or `matrix`, which is much quicker to read.

    `matrix` is the base64 text of a little-endian float32 matrix, row by row. Both are in the order of the bundle's
    features; what is missing is null in `values`, NaN in `matrix`.
    """

    account_id: list[str]
    balance: list[float]
    commission_rate: list[float | None] | None = None
    values: list[list[float | None]] | None = None
    matrix: bytes | None = None


class ScoreRequest(Protocol):
    """The body of a request for scores; its class is made for a portfolio's columns by `request_types`."""

    as_of: str | None
    account_ids: list[str] | None
    histories: Any
    features: Features | None
    reasons: bool


class QueueRequest(Protocol):
    """The body of a request for a queue."""

    as_of: str | None
    histories: Any
    capacities: dict[str, int]
    reasons: bool


#: The columns of every table, by its name.
Columns = Mapping[str, tuple[Column, ...]]


@dataclass(frozen=True)
class RequestTypes:
    """The decoders of a portfolio's requests, the columns of its tables, and the rows of its answers."""

    score: msgspec.json.Decoder[Any]
    queue: msgspec.json.Decoder[Any]
    columns: Columns
    score_row: type[msgspec.Struct]


def request_types(settings: PortfolioSettings) -> RequestTypes:
    """Make the types of requests from the contract and the portfolio's attributes."""
    columns = {table.name: table_columns(table, settings) for table in TABLES.values()}
    # A request without accounts asks nothing; any other table may well be empty.
    tables: list[tuple[Any, ...]] = [
        (name, _list_of(f"{name}_row", names)) if name == "accounts" else (name, _list_of(f"{name}_row", names), [])
        for name, names in columns.items()
    ]
    histories = _struct("histories", tables)
    as_of, reasons = ("as_of", str | None, None), ("reasons", bool, False)
    ways = [("account_ids", list[str] | None, None), ("features", Features | None, None)]
    score = _struct("score_request", [as_of, *ways, ("histories", histories | None, None), reasons])
    queue = _struct("queue_request", [as_of, ("histories", histories), ("capacities", dict[str, int], {}), reasons])
    return RequestTypes(
        msgspec.json.Decoder(score), msgspec.json.Decoder(queue), columns, score_row(settings.channel_names)
    )


def score_row(channels: tuple[str, ...]) -> type[msgspec.Struct]:
    """The type of a score in an answer: the contract's columns, `reasons` where they were asked for."""
    number = float | None
    fields: list[tuple[Any, ...]] = [("account_id", str), ("as_of", str), ("model", str), ("p_pay", float)]
    fields += [("expected_amount", number), ("best_channel", str), ("uplift", number), ("priority", number)]
    fields += [("band", str)]
    for what in ("p_pay", "value"):
        fields += [(f"{what}_{action}", number) for action in (*channels, NO_CHANNEL)]
    fields += [("channel_support", str), ("reasons", str | msgspec.UnsetType, msgspec.UNSET)]
    return msgspec.defstruct("score_row", fields, gc=False)


def _struct(name: str, fields: Sequence[Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True, gc=False)


def _list_of(name: str, columns: Sequence[Column]) -> Any:
    """The type of a list of rows, each cell of which may be left out."""
    return types.GenericAlias(list, (_struct(name, [(column.name, Cell, None) for column in columns]),))


def raw_tables(histories: Any, columns: Columns) -> RawTables:
    """The tables of a request as raw tables; a row's place in the request is its number in the rejects."""
    return {name: _parts(name, getattr(histories, name), of_table) for name, of_table in columns.items()}


def _parts(table: str, rows: Sequence[Any], columns: Sequence[Column]) -> tuple[RawPart, ...]:
    """The one part of a table; none where it has no rows. An optional column that no row has is left out."""
    if not rows:
        return ()
    cells = {column.name: [getattr(row, column.name) for row in rows] for column in columns}
    required = {column.name for column in columns if column.required}
    given = {name: cells_of(_alike(of_rows)) for name, of_rows in cells.items() if name in required or _any(of_rows)}
    return (RawPart(table, tuple(cells), pa.table(given), np.arange(1, len(rows) + 1)),)


def _any(cells: Sequence[Cell]) -> bool:
    return any(cell is not None for cell in cells)


def _alike(cells: list[Cell]) -> list[Cell]:
    """The cells of a column; whole numbers among others become floats, so that the column has one type."""
    found = set(map(type, cells)) - {type(None)}
    return [float(cell) if type(cell) is int else cell for cell in cells] if found == {int, float} else cells
