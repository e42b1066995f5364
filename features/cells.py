"""One column of cells, read by its kind: the typed values, and which cells break which rule.

A cell is text (from CSV), or a native value (from Parquet, a database or a frame). Whether a cell is good,
and what it comes out as, depends on that cell alone, never on its neighbours: a clean column is read the
quick way, a mixed one the slow way, and both give the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import (
    DIRECTIONS,
    END_YEAR,
    FIRST_YEAR,
    LONGEST_ID,
    NO_CHANNEL,
    NUMBER_KINDS,
    OUTCOMES,
    RESTRICTIONS,
    TEXT_KINDS,
    TIME_KINDS,
    Column,
    Interval,
    Kind,
)
from features.settings import zones
from features.times import TIME_TYPE, in_microseconds, times_of_text

Mask = npt.NDArray[np.bool_]

BLANK = "is blank"
LINE_BREAK = "holds a line break; is a quote not closed?"
NUL = "holds a NUL character, which databases do not keep"
TOO_LONG = f"is longer than {LONGEST_ID} characters"
NO_TIME = "is not an ISO 8601 time like 2026-03-01 or 2026-03-01T08:00:00+08:00"
NUMBER_AS_TIME = "is a number, which says no time; write ISO 8601 like 2026-03-01"
OUTSIDE_YEARS = f"is not in the years {FIRST_YEAR} to {END_YEAR - 1}"
NO_NUMBER = "is not a finite number"
NO_FLAG = "is not true or false"
NO_ZONE = "is not an IANA time zone like Asia/Shanghai"
NO_CONTACT = f"is {NO_CHANNEL!r}, which is no contact"

_DIGITS = r"^[+-]?\d+(\.\d*)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
#: A column of flags in which some are blank is often written as floats.
_TRUE, _FALSE = ("true", "t", "1", "1.0", "yes", "y"), ("false", "f", "0", "0.0", "no", "n")
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
    return TIME_TYPE if kind in TIME_KINDS else pa.bool_()


def absent_cells(kind: Kind, length: int) -> pa.Array:
    """What a column comes out as, `(length,)`, where the table has no such column: null, or false for a flag."""
    return pa.array(np.zeros(length, np.bool_)) if kind is Kind.FLAG else pa.nulls(length, value_type(kind))


def read_cells(cells: pa.Array, column: Column, channels: Sequence[str]) -> Values:
    """Read the cells of one column, `(n,)`, as its kind says; `channels` are those the portfolio knows."""
    cells = plain(cells)
    if pa.types.is_floating(cells.type) and (column.kind in TEXT_KINDS or column.kind is Kind.NUMBER):
        cells = pc.if_else(pc.is_nan(cells), None, cells)  # where nothing can be NaN, it stands for "no value"
    if column.kind in NUMBER_KINDS:
        values, rules = _numbers(cells, column.interval)
    elif column.kind in TIME_KINDS:
        values, rules = _times(cells, column.kind)
    elif column.kind is Kind.FLAG:
        values, rules = _flags(cells)
    else:
        values, rules = _texts(cells, column.kind, tuple(channels))
    if cells.null_count and not column.nullable:
        rules = [(BLANK, pc.is_null(cells)), *rules]
    return Values(values, tuple(Fault(column.name, reason, _mask(rows)) for reason, rows in rules))


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
    return pc.if_else(empty, None, trimmed) if empty.true_count else trimmed


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


#: Rules that are broken, each with the rows in which it is. On clean data, as most is, counts settle that none is.
_Rules = list[tuple[str, pa.Array]]


def _texts(cells: pa.Array, kind: Kind, channels: tuple[str, ...]) -> tuple[pa.Array, _Rules]:
    text = as_text(cells)
    if kind in (Kind.ID, Kind.TEXT):
        return text, [*_holding(text, "\n", LINE_BREAK), *_holding(text, "\0", NUL), *_too_long(text, kind)]
    words = _words(kind, channels)
    known = pc.is_in(text, value_set=words)
    if known.true_count == len(text) - text.null_count:
        return text, []
    unknown = pc.and_(pc.is_valid(text), pc.invert(known))
    if kind is Kind.ZONE:
        return text, [(NO_ZONE, unknown)]
    rules = [(f"is not one of {', '.join(words.to_pylist())}", unknown)]
    return text, [(NO_CONTACT, pc.equal(text, NO_CHANNEL)), *rules] if kind is Kind.CHANNEL else rules


def _holding(text: pa.Array, sign: str, reason: str) -> _Rules:
    """The rule that no cell holds a sign, if it is broken: mostly one look at all bytes says that it is not."""
    data = text.buffers()[2]
    if data is None or sign.encode() not in data.to_pybytes():
        return []
    return [(reason, pc.match_substring(text, sign))]


def _too_long(text: pa.Array, kind: Kind) -> _Rules:
    # No text has more characters than bytes.
    if kind is not Kind.ID or (pc.max(pc.binary_length(text)).as_py() or 0) <= LONGEST_ID:
        return []
    return [(TOO_LONG, pc.greater(pc.utf8_length(text), LONGEST_ID))]


@lru_cache(maxsize=64)
def _words(kind: Kind, channels: tuple[str, ...]) -> pa.Array:
    words: Mapping[Kind, Iterable[str]] = {
        Kind.CHANNEL: channels,
        Kind.ACTION: (*channels, NO_CHANNEL),
        Kind.OUTCOME: OUTCOMES,
        Kind.DIRECTION: DIRECTIONS,
        Kind.RESTRICTION: RESTRICTIONS,
        Kind.ZONE: sorted(zones()),
    }
    return pa.array(words[kind], pa.string())


def _numbers(cells: pa.Array, interval: Interval | None) -> tuple[pa.Array, _Rules]:
    if pa.types.is_string(cells.type):
        values = _numbers_of_text(cells)
    elif pa.types.is_boolean(cells.type) or pa.types.is_timestamp(cells.type):
        values = pa.nulls(len(cells), pa.float64())
    else:
        values = cells.cast(pa.float64(), safe=False)
    finite = pc.is_finite(values)
    if finite.true_count < len(values) - values.null_count:
        values = pc.if_else(finite, values, None)
    rules = _unread(NO_NUMBER, cells, values)
    return values, rules if interval is None else rules + _outside(values, interval)


def _outside(values: pa.Array, interval: Interval) -> _Rules:
    ends = pc.min_max(values).as_py()
    lowest, highest = ends["min"], ends["max"]
    rules: _Rules = []
    if lowest is not None and (lowest < interval.low or (interval.above and lowest == interval.low)):
        below = pc.less_equal(values, interval.low) if interval.above else pc.less(values, interval.low)
        rules.append((f"is not above {interval.low:g}" if interval.above else f"is below {interval.low:g}", below))
    if highest is not None and highest > interval.high:
        rules.append((f"is above {interval.high:g}", pc.greater(values, interval.high)))
    return rules


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
    return true, _unread(NO_FLAG, cells, pc.if_else(pc.or_(true, false), true, None))


def _times(cells: pa.Array, kind: Kind) -> tuple[pa.Array, _Rules]:
    is_text = pa.types.is_string(cells.type)
    if is_text:
        found = times_of_text(cells)
    else:
        found = cells if pa.types.is_timestamp(cells.type) else pa.nulls(len(cells), TIME_TYPE)
    rules = _unread(NO_TIME, cells, found)
    for _, unread in rules[:1]:
        number = pc.and_(unread, pc.match_substring_regex(cells, _DIGITS)) if is_text else unread
        rules = [(NUMBER_AS_TIME, number), *rules]
    values, outside = in_microseconds(found)
    if kind is Kind.END and outside.true_count:
        outside = pc.and_(outside, pc.less(pc.year(found), FIRST_YEAR))
    return values, [*rules, (OUTSIDE_YEARS, outside)] if outside.true_count else rules


def _unread(reason: str, cells: pa.Array, values: pa.Array) -> _Rules:
    """The rule that is broken by rows that hold something of which nothing could be made, if there are any."""
    if values.null_count == cells.null_count:
        return []
    return [(reason, pc.and_(pc.is_valid(cells), pc.is_null(values)))]


def _mask(rows: pa.Array) -> Mask:
    """A column of truths as an array, null counting as false."""
    return np.asarray(rows.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)
