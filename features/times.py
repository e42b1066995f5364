"""ISO 8601 text, and native timestamps of any unit, as instants in UTC to the microsecond.

A time without a zone is UTC, and a date alone is the start of its day. A number is no time, and neither is a
word: "now" would read the clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import END_YEAR, FIRST_YEAR
from features.errors import MomentError
from features.units import parse_instant

TIME_TYPE = pa.timestamp("us", "UTC")

_OFFSET = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?"
#: The extended form, which pandas reads fast; the other forms are rare and are read one by one.
_EXTENDED = rf"^\d{{4}}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{{1,9}})?)? ?{_OFFSET})?$"
_OTHER = (
    r"^(\d{8}T\d\d(\d\d(\d\d([.,]\d{1,9})?)?)?|\d{4}-W\d\d-\d"
    rf"|\d{{4}}-\d\d-\d\d[T ]\d\d(:\d\d:\d\d,\d{{1,9}})?){_OFFSET}$"
)
#: The years that are taken for real, in seconds.
_YEARS = tuple(int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (FIRST_YEAR, END_YEAR))
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def in_microseconds(times: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Times of any unit in microseconds, null where outside the years, as scaling may overflow; and which are."""
    per_second = _PER_SECOND[times.type.unit]
    ticks = times.view(pa.int64())
    inside = pc.and_(pc.greater_equal(ticks, _YEARS[0] * per_second), pc.less(ticks, _YEARS[1] * per_second))
    if inside.true_count < len(ticks) - ticks.null_count:
        ticks = pc.if_else(inside, ticks, None)
    if per_second < _PER_SECOND["us"]:
        ticks = pc.multiply(ticks, _PER_SECOND["us"] // per_second)
    elif per_second > _PER_SECOND["us"]:
        micros = ticks.fill_null(0).to_numpy() // 1_000  # numpy rounds down, Arrow towards 1970
        ticks = pa.array(micros, mask=pc.is_null(ticks).to_numpy(zero_copy_only=False))
    return ticks.view(TIME_TYPE), pc.invert(inside)


def times_of_text(text: pa.Array) -> pa.Array:
    """ISO 8601 text as times: at once where every cell has a zone or none has, else cell by cell."""
    # A cell that cannot be read costs as much as forty that can: the first tells which form to try.
    first = text.drop_null()[:1]
    for clean in (pa.timestamp("us"), TIME_TYPE):
        try:
            first.cast(clean)
            return text.cast(clean)
        except pa.ArrowInvalid:
            continue
    return _times_of_mixed_text(text)


def _times_of_mixed_text(text: pa.Array) -> pa.Array:
    times = np.full(len(text), np.datetime64("NaT", "us"))
    extended = _matches(text, _EXTENDED)
    if extended.any():
        cells = pd.Series(text.filter(pa.array(extended)).to_pylist(), dtype=object)
        read = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
        times[extended] = read.dt.tz_localize(None).to_numpy("datetime64[us]")
    for row in np.flatnonzero(_matches(text, _OTHER)):
        times[row] = _one_time(text[row].as_py())
    return pa.array(times)


def _one_time(text: str) -> np.datetime64:
    try:
        return np.datetime64(parse_instant(text), "us")
    except MomentError:
        return np.datetime64("NaT", "us")


def _matches(text: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    matches = pc.match_substring_regex(text, pattern).fill_null(False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)
