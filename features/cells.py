"""One column of cells, read by its kind: the typed values, and which cells break which rule.

A cell is text (from CSV), or a native value (from Parquet, a database or a frame). Whether a cell is good,
and what it comes out as, depends on that cell alone, never on its neighbours: a clean column is read the
quick way, a mixed one the slow way, and both give the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import (
    DIRECTIONS,
    END_YEAR,
    FIRST_YEAR,
    NO_CHANNEL,
    NUMBER_KINDS,
    OUTCOMES,
    RESTRICTIONS,
    TEXT_KINDS,
    Column,
    Interval,
    Kind,
)
from features.errors import MomentError
from features.settings import zones
from features.units import parse_instant

Mask = npt.NDArray[np.bool_]

TIME_TYPE = pa.timestamp("us", "UTC")
BLANK = "is blank"
LINE_BREAK = "holds a line break; is a quote not closed?"
NO_TIME = "is not an ISO 8601 time like 2026-03-01 or 2026-03-01T08:00:00+08:00"
NUMBER_AS_TIME = "is a number, which says no time; write ISO 8601 like 2026-03-01"
OUTSIDE_YEARS = f"is not in the years {FIRST_YEAR} to {END_YEAR - 1}"
NO_NUMBER = "is not a finite number"
NO_FLAG = "is not true or false"
NO_ZONE = "is not an IANA time zone like Asia/Shanghai"
NO_CONTACT = f"is {NO_CHANNEL!r}, which is no contact"

_OFFSET = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?"
#: The extended form, which pandas reads fast; the other forms are rare and are read one by one.
_EXTENDED = rf"^\d{{4}}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{{1,9}})?)? ?{_OFFSET})?$"
_OTHER = (
    r"^(\d{8}T\d\d(\d\d(\d\d([.,]\d{1,9})?)?)?|\d{4}-W\d\d-\d"
    rf"|\d{{4}}-\d\d-\d\d[T ]\d\d(:\d\d:\d\d,\d{{1,9}})?){_OFFSET}$"
)
_DIGITS = r"^[+-]?\d+(\.\d*)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")
#: Beyond this a float no longer tells whole numbers apart.
_EXACT = 2.0**53


@dataclass(frozen=True)
class Fault:
    """The rows, `(n,)`, in which a column breaks one rule."""

    column: str
    reason: str
    rows: Mask


@dataclass(frozen=True)
class Values:
    """A column as it was read, `(n,)`: null where the cell is blank or breaks a rule."""

    array: pa.Array
    faults: tuple[Fault, ...]


def value_type(kind: Kind) -> pa.DataType:
    """The Arrow type that the values of a kind come out as."""
    if kind in TEXT_KINDS:
        return pa.string()
    if kind in NUMBER_KINDS:
        return pa.float64()
    return TIME_TYPE if kind is Kind.TIME else pa.bool_()


def read_cells(cells: pa.Array, column: Column, channels: Sequence[str]) -> Values:
    """Read the cells of one column, `(n,)`, as its kind says; `channels` are those the portfolio knows."""
    cells = plain(cells)
    if pa.types.is_floating(cells.type) and (column.kind in TEXT_KINDS or column.kind is Kind.NUMBER):
        cells = pc.if_else(pc.is_nan(cells), None, cells)  # where nothing can be NaN, it stands for "no value"
    if column.kind in NUMBER_KINDS:
        found = _numbers(cells, column.interval)
    elif column.kind is Kind.TIME:
        found = _times(cells)
    elif column.kind is Kind.FLAG:
        found = _flags(cells)
    else:
        found = _texts(cells, column.kind, channels)
    values, rules = found
    if not column.nullable:
        rules = [(BLANK, pc.is_null(cells)), *rules]
    faults = [Fault(column.name, reason, _mask(rows)) for reason, rows in rules]
    return Values(values, tuple(fault for fault in faults if fault.rows.any()))


_PLAIN = (
    pa.types.is_string,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_decimal,
    pa.types.is_timestamp,
)


def plain(cells: pa.Array) -> pa.Array:
    """The cells as numbers, flags, times, or text without surrounding blanks; blank text is null."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    kind = cells.type
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        cells = cells.cast(pa.string())
    elif pa.types.is_floating(kind):
        cells = cells.cast(pa.float64())
    elif pa.types.is_date(kind):
        cells = cells.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    elif not any(is_plain(kind) for is_plain in _PLAIN):
        cells = spelled(cells.to_pylist())
    return _trimmed(cells) if pa.types.is_string(cells.type) else cells


def _trimmed(text: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    empty = pc.equal(trimmed, "")
    return pc.if_else(empty, None, trimmed) if pc.any(empty).as_py() else trimmed


def spelled(values: Sequence[Any]) -> pa.Array:
    """Any values as text, `None` as null: what a rejected cell is shown as, and how odd types are read."""
    return pa.array([None if value is None else _spell(value) for value in values], pa.string())


def _spell(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    text = "true" if value is True else "false" if value is False else str(value)
    return text.encode("utf-8", "backslashreplace").decode()


def as_text(cells: pa.Array) -> pa.Array:
    """Plain cells as text; a float that is a whole number is written as one: so come ids with gaps."""
    if pa.types.is_string(cells.type):
        return cells
    if pa.types.is_floating(cells.type):
        whole = pc.and_(pc.equal(pc.floor(cells), cells), pc.less(pc.abs(cells), _EXACT))
        digits = pc.if_else(whole, cells, None).cast(pa.int64()).cast(pa.string())
        return pc.coalesce(digits, cells.cast(pa.string()))
    if pa.types.is_timestamp(cells.type) and cells.type.tz:
        cells = cells.cast(pa.timestamp(cells.type.unit, "UTC"))
    return cells.cast(pa.string())


_Rules = list[tuple[str, pa.Array]]


def _texts(cells: pa.Array, kind: Kind, channels: Sequence[str]) -> tuple[pa.Array, _Rules]:
    text = as_text(cells)
    if kind in (Kind.ID, Kind.TEXT):
        return text, [(LINE_BREAK, pc.match_substring(text, "\n"))]
    words = _words(kind, channels)
    unknown = pc.and_(pc.is_valid(text), pc.invert(pc.is_in(text, value_set=pa.array(words, pa.string()))))
    if kind is Kind.ZONE:
        return text, [(NO_ZONE, unknown)]
    rules = [(f"is not one of {', '.join(words)}", unknown)]
    return text, [(NO_CONTACT, pc.equal(text, NO_CHANNEL)), *rules] if kind is Kind.CHANNEL else rules


def _words(kind: Kind, channels: Sequence[str]) -> Sequence[str]:
    if kind is Kind.ZONE:
        return sorted(zones())
    words = {
        Kind.CHANNEL: tuple(channels),
        Kind.ACTION: (*channels, NO_CHANNEL),
        Kind.OUTCOME: OUTCOMES,
        Kind.DIRECTION: DIRECTIONS,
        Kind.RESTRICTION: RESTRICTIONS,
    }
    return words[kind]


def _numbers(cells: pa.Array, interval: Interval | None) -> tuple[pa.Array, _Rules]:
    if pa.types.is_string(cells.type):
        values = _numbers_of_text(cells)
    elif pa.types.is_boolean(cells.type) or pa.types.is_timestamp(cells.type):
        values = pa.nulls(len(cells), pa.float64())
    else:
        values = cells.cast(pa.float64(), safe=False)
    values = pc.if_else(pc.is_finite(values), values, None)
    rules: _Rules = [(NO_NUMBER, _unread(cells, values))]
    if interval is None:
        return values, rules
    below = pc.less_equal(values, interval.low) if interval.above else pc.less(values, interval.low)
    low = f"is not above {interval.low:g}" if interval.above else f"is below {interval.low:g}"
    return values, [*rules, (low, below), (f"is above {interval.high:g}", pc.greater(values, interval.high))]


def _numbers_of_text(text: pa.Array) -> pa.Array:
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        written = pc.match_substring_regex(text, _NUMBER)
        return pc.if_else(written, text, None).cast(pa.float64())


def _flags(cells: pa.Array) -> tuple[pa.Array, _Rules]:
    """Blank is false: only what says that it was explored counts as explored."""
    text = pc.ascii_lower(as_text(cells))
    true, false = (pc.is_in(text, value_set=pa.array(words)) for words in (_TRUE, _FALSE))
    unread = pc.and_(pc.is_valid(text), pc.invert(pc.or_(true, false)))
    return true, [(NO_FLAG, unread)]


def _times(cells: pa.Array) -> tuple[pa.Array, _Rules]:
    if pa.types.is_timestamp(cells.type):
        found = cells
    elif pa.types.is_string(cells.type):
        found = _times_of_text(cells)
    else:
        found = pa.nulls(len(cells), TIME_TYPE)
    unread = _unread(cells, found)
    native = not pa.types.is_string(cells.type)
    number = unread if native else pc.and_kleene(unread, pc.match_substring_regex(cells, _DIGITS))
    values, outside = _bounded(found)
    return values, [(NUMBER_AS_TIME, number), (NO_TIME, unread), (OUTSIDE_YEARS, outside)]


def _bounded(times: pa.Array) -> tuple[pa.Array, Mask]:
    """Times of any unit as microseconds, null where outside the years: out there, scaling may overflow."""
    per_second = _PER_SECOND[times.type.unit]
    ticks = times.cast(pa.timestamp(times.type.unit)).view(pa.int64()).fill_null(0).to_numpy()
    first, end = (
        int(np.datetime64(f"{year}-01-01", "s").astype(np.int64)) * per_second for year in (FIRST_YEAR, END_YEAR)
    )
    outside: Mask = (ticks < first) | (ticks >= end)
    ticks = np.where(outside, 0, ticks)
    micros = ticks // 1_000 if per_second > 1_000_000 else ticks * (1_000_000 // per_second)
    return pa.array(micros, mask=outside | _mask(pc.is_null(times))).cast(TIME_TYPE), outside


def _times_of_text(text: pa.Array) -> pa.Array:
    """ISO 8601 text as times: at once where every cell has a zone or none has, else cell by cell."""
    for clean in (pa.timestamp("us"), TIME_TYPE):
        try:
            return text.cast(clean)
        except pa.ArrowInvalid:
            continue
    return _times_of_mixed_text(text)


def _times_of_mixed_text(text: pa.Array) -> pa.Array:
    times = np.full(len(text), np.datetime64("NaT", "us"))
    extended = _mask(pc.match_substring_regex(text, _EXTENDED))
    if extended.any():
        cells = pd.Series(text.filter(pa.array(extended)).to_pylist(), dtype=object)
        read = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
        times[extended] = read.dt.tz_localize(None).to_numpy("datetime64[us]")
    other = _mask(pc.match_substring_regex(text, _OTHER)) & ~extended
    for row in np.flatnonzero(other):
        times[row] = _one_time(text[row].as_py())
    return pa.array(times)


def _one_time(text: str) -> np.datetime64:
    try:
        return np.datetime64(parse_instant(text), "us")
    except MomentError:
        return np.datetime64("NaT", "us")


def _unread(cells: pa.Array, values: pa.Array) -> pa.Array:
    """The rows that hold something of which nothing could be made."""
    return pc.and_(pc.is_valid(cells), pc.is_null(values))


def _mask(rows: pa.Array | Mask) -> Mask:
    """A column of truths as an array, null counting as false."""
    if isinstance(rows, np.ndarray):
        return rows
    return np.asarray(rows.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)
