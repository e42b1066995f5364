"""Raw tables: cells as they came, piece by piece, with the file they came from and the number of every row.

Folders and databases are read into these, and frames are turned into them: one set of checks serves all. The pieces
of a table may be read while they are taken, once, so that a table larger than memory is a raw table like any other.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import isnan
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from features.cells import spelled
from features.errors import PortfolioError
from features.units import Rows

#: Arrow guesses a type from the first value and bends the others to it (a time to its date, a truth to 1.0):
#: it is asked only where all values are of one of these types.
_UNIFORM = frozenset({str, int, float, bool, bytes, datetime.date, datetime.datetime, pd.Timestamp, decimal.Decimal})


@dataclass(frozen=True)
class Malformed:
    """A row that could not be split into cells: its number, the start of its text, its lines, and why."""

    row: int
    text: str
    n_lines: int
    reason: str


@dataclass(frozen=True)
class RawPart:
    """A piece of a table, of one file: the columns that were asked for, `(n,)` each, and each row's number, from 1.

    Pieces follow each other in the order of the files and of their rows.
    """

    file: str
    names: tuple[str, ...]  # of every column that the file has, asked for or not
    cells: pa.Table
    rows: Rows
    malformed: tuple[Malformed, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many rows the piece has, the malformed ones included."""
        return len(self.rows) + len(self.malformed)


RawTables: TypeAlias = Mapping[str, Iterable[RawPart]]


def check_names(file: str, names: Sequence[str]) -> None:
    """Refuse a table that has two columns of one name, with `PortfolioError`."""
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise PortfolioError(f"{file}: a column needs a name of its own, got {', '.join(twice)} more than once")


def raw_from_frames(
    frames: Mapping[str, pd.DataFrame], wanted: Mapping[str, Sequence[str]]
) -> dict[str, tuple[RawPart, ...]]:
    """Turn frames of native values into raw tables; a row's number is its place, its index says nothing.

    Raises:
        PortfolioError: a frame has the name of no table, or two columns of one name.
    """
    unknown = sorted(set(frames) - set(wanted))
    if unknown:
        raise PortfolioError(f"the tables are {', '.join(wanted)}; got {', '.join(unknown)}")
    return {name: (_part_from_frame(name, frame, wanted[name]),) for name, frame in frames.items()}


def _part_from_frame(name: str, frame: pd.DataFrame, wanted: Sequence[str]) -> RawPart:
    names = tuple(str(column) for column in frame.columns)
    check_names(name, names)
    cells = {str(column): _column(series) for column, series in frame.items() if str(column) in wanted}
    return RawPart(name, names, pa.table(cells), np.arange(1, len(frame) + 1))


def _column(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    if series.dtype == object:
        return cells_of([None if _is_null(value) else value for value in series])
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return pa.array(series.dt.tz_convert(None).to_numpy())
    cells = series.array if isinstance(series.dtype, pd.api.extensions.ExtensionDtype) else series.to_numpy()
    return pa.array(cells, from_pandas=True)


def _is_null(value: object) -> bool:
    """Whether a cell of a frame stands for no value: None, NaN, NaT, NA."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and isnan(value))


def cells_of(values: Sequence[Any], types: Set[type] | None = None) -> pa.Array:
    """Any values as cells: of their own type where that is one and the same, else spelled out as text.

    `types` are those of the values that are not None, for who has looked already.
    """
    if types is None:
        types = set(map(type, values)) - {type(None)}
    if types <= _UNIFORM and len(types) <= 1:
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError):
            pass  # too large a number, or text that is no Unicode: spelled out, it can be judged and shown
    return spelled(values)
