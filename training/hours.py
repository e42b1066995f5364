"""The table by which an account's rates by hour are shrunk: what the portfolio's calls came to before the cut."""

from __future__ import annotations

import numpy as np

from features.histories import Histories, category_values
from features.hours import HourCounts, HourTable, count_calls
from features.units import Rows


def learn_hours(histories: Histories, until: int) -> HourTable:
    """Count the calls known before `until` by hour, of the portfolio and of each segment that was called."""
    attempts, reached = count_calls(histories, np.arange(len(histories)), until)
    segment = category_values(histories, "segment")
    of_segment = {name: segment == name for name in histories.levels[0]}
    return HourTable(
        _counts(attempts, reached),
        {name: _counts(attempts[rows], reached[rows]) for name, rows in of_segment.items() if attempts[rows].any()},
    )


def _counts(attempts: Rows, reached: Rows) -> HourCounts:
    """Of `(n, 24)` attempts and right-party contacts, the sums over accounts."""
    return HourCounts(tuple(attempts.sum(axis=0).tolist()), tuple(reached.sum(axis=0).tolist()))
