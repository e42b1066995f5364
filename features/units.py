"""The units that everything inside is held in: instants in microseconds, money in ten-thousandths.

Instants are `int64` microseconds since 1970-01-01 UTC. Money is `int64` ten-thousandths of the currency's main unit,
so that sums are exact and do not depend on the order of rows; it is a float in the main unit only at the edges.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.contract import END_YEAR, FIRST_YEAR
from features.errors import MomentError

Instants = npt.NDArray[np.int64]
Money = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
MONEY_SCALE = 10_000
#: A time that is not given (`NaT`); earlier than every instant.
NULL_TIME = int(np.iinfo(np.int64).min)
#: Later than every instant.
FOREVER = int(np.iinfo(np.int64).max)


def to_instants(times: pd.Series[pd.Timestamp]) -> Instants:
    """Turn a column of zoned timestamps into instants, `(n,)`; `NaT` becomes `NULL_TIME`."""
    return np.asarray(times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64))


def from_instants(instants: Instants) -> pd.Series[pd.Timestamp]:
    """Turn instants, `(n,)`, into a column of timestamps in UTC; `NULL_TIME` becomes `NaT`."""
    return pd.Series(instants.astype("datetime64[us]")).dt.tz_localize("UTC")


def to_money(amounts: npt.ArrayLike) -> Money:
    """Turn amounts in the main unit, `(n,)`, into ten-thousandths, rounded to the nearest."""
    return np.rint(np.asarray(amounts, dtype=np.float64) * MONEY_SCALE).astype(np.int64)


def from_money(money: Money) -> npt.NDArray[np.float64]:
    """Turn ten-thousandths, `(n,)`, into amounts in the main unit."""
    return money / MONEY_SCALE


def parse_instant(text: str) -> int:
    """Read one ISO 8601 time as an instant.

    A time without a zone is UTC, a date alone is the start of that day.

    >>> parse_instant("2026-03-01") == parse_instant("2026-03-01T08:00:00+08:00")
    True

    Raises:
        MomentError: the text is not an ISO 8601 time, or of no year that a portfolio may hold.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MomentError(
            f"a moment is an ISO 8601 date or time, got {text!r}; write it like 2026-03-01 or 2026-03-01T08:00:00+08:00"
        ) from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not FIRST_YEAR <= moment.year < END_YEAR:
        raise MomentError(f"a moment is in the years {FIRST_YEAR} to {END_YEAR - 1}, got {text!r}; check the year")
    return (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def format_instant(instant: int) -> str:
    """Write an instant as ISO 8601 in UTC, to the microsecond where it has some.

    >>> format_instant(parse_instant("2026-03-01"))
    '2026-03-01T00:00:00Z'
    """
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def format_day(instant: int) -> str:
    """Write the day of an instant, in UTC.

    >>> format_day(parse_instant("2026-03-01T23:00:00Z"))
    '2026-03-01'
    """
    return format_instant(instant)[:10]
