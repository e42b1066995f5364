"""Requests: histories as JSON in the contract's words, read strictly and turned into the raw tables that are checked.

The shape of a request is strict: an unknown table or column, a nested value or NaN is an error of the whole request.
The rows are not: what is wrong with a row is for the checks of `features.checking` to say, as it is for a file.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from features.contract import NO_CHANNEL, TABLES, Column
from features.raw import RawPart, RawTables, cells_of
from features.settings import PortfolioSettings, table_columns

#: What a cell may hold.
Cell = str | int | float | bool | None
#: Alternatives that a request for a queue may ask about.
MAX_WHAT_IF = 20
#: The languages that what is told may be in: those of `serving.languages.language`.
LanguageTag = Literal["en", "zh-Hans"]
#: Rows of a page of a queue, unless the request says how many; and the most that it may say.
DEFAULT_PAGE, MAX_PAGE = 1_000, 10_000


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
    language: LanguageTag


class ExplorationRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which share of a queue is drawn at random among which channels; the day is the seed where none is given."""

    share: float
    channels: list[str]
    seed: str | None = None


class QueueRequest(Protocol):
    """The body of a request for a queue: of the accounts whose histories it brings, else of the stored ones."""

    as_of: str | None
    histories: Any
    capacities: dict[str, int | float]
    what_if: list[dict[str, int | float | str]]
    portfolio: str | list[str] | None
    segment: str | list[str] | None
    stage: str | list[str] | None
    reasons: bool
    language: LanguageTag
    limit: int
    cursor: str | None
    exploration: ExplorationRequest | None
    log_decisions: bool | None
    ladder: str | None


#: The columns of every table, by its name.
Columns = Mapping[str, tuple[Column, ...]]


@dataclass(frozen=True)
class RequestTypes:
    """The decoders of a portfolio's requests, the columns of its tables, and the rows of its answers."""

    score: msgspec.json.Decoder[Any]
    queue: msgspec.json.Decoder[Any]
    events: msgspec.json.Decoder[Any]
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
    as_of, told = ("as_of", str | None, None), [("reasons", bool, False), ("language", LanguageTag, "en")]
    ways = [("account_ids", list[str] | None, None), ("features", Features | None, None)]
    score = _struct("score_request", [as_of, *ways, ("histories", histories | None, None), *told])
    queue = _struct("queue_request", [as_of, *_queue_fields(histories), *told])
    events = _struct("events_request", [(name, of_rows, []) for name, of_rows, *_ in tables])
    of_score, of_queue, of_events = (msgspec.json.Decoder(one) for one in (score, queue, events))
    return RequestTypes(of_score, of_queue, of_events, columns, score_row(settings.channel_names))


def _queue_fields(histories: Any) -> list[Any]:
    """What a request for a queue holds beside the moment."""
    return [
        ("histories", histories | None, None),
        ("capacities", dict[str, int | float], {}),
        ("what_if", Annotated[list[dict[str, int | float | str]], msgspec.Meta(max_length=MAX_WHAT_IF)], []),
        *((name, str | list[str] | None, None) for name in ("portfolio", "segment", "stage")),
        ("limit", Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)], DEFAULT_PAGE),
        ("cursor", str | None, None),
        ("exploration", ExplorationRequest | None, None),
        ("log_decisions", bool | None, None),
        ("ladder", str | None, None),
    ]


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


def n_rows(histories: Any, columns: Columns) -> int:
    """How many rows a request brings, of all tables together."""
    return sum(len(getattr(histories, name)) for name in columns)


def _parts(table: str, rows: Sequence[Any], columns: Sequence[Column]) -> tuple[RawPart, ...]:
    """The one part of a table; none where it has no rows. An optional column that no row has is left out."""
    if not rows:
        return ()
    given = {}
    # The fields of a row are the columns, in their order.
    for column, cells in zip(columns, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True):
        found = set(map(type, cells)) - {type(None)}
        if found or column.required:
            given[column.name] = _cells(cells, found)
    names = tuple(column.name for column in columns)
    return (RawPart(table, names, pa.table(given), np.arange(1, len(rows) + 1)),)


def _cells(values: Sequence[Cell], found: Set[type]) -> pa.Array:
    """The cells of a column; whole numbers among others become floats, so that the column has one type."""
    if found == {int, float}:
        with suppress(OverflowError):  # beyond all floats: spelled out, it can be judged and shown
            return cells_of([float(value) if type(value) is int else value for value in values], {float})
    return cells_of(values, found)
