"""The pure functions that derived features are made of: columns `(n_moments,)` float32 in, one out."""

from __future__ import annotations

import numpy as np

from features.catalog.grammar import Column

#: How many pseudo-attempts, at what rate, a shrunk rate starts from: a rate over two attempts must not read as 0 or 1.
PRIOR_ATTEMPTS = np.float32(5.0)
PRIOR_RATE = np.float32(0.2)


def shrunk_rate(successes: Column, attempts: Column) -> Column:
    """Successes per attempt, shrunk to `PRIOR_RATE` by `PRIOR_ATTEMPTS` pseudo-attempts.

    >>> float(shrunk_rate(np.float32([0]), np.float32([0]))[0]) == float(PRIOR_RATE)
    True
    """
    return (successes + PRIOR_ATTEMPTS * PRIOR_RATE) / (attempts + PRIOR_ATTEMPTS)


def share(part: Column, whole: Column) -> Column:
    """Part of a whole; missing where the whole is zero or less.

    >>> share(np.float32([1, 1]), np.float32([4, 0])).tolist()
    [0.25, nan]
    """
    positive = whole > 0
    return np.where(positive, part / np.where(positive, whole, np.float32(1)), np.float32(np.nan)).astype(np.float32)


def difference(first: Column, second: Column) -> Column:
    """The first less the second."""
    return first - second


def weekly_change(last_week: Column, last_month: Column) -> Column:
    """Events of the last 7 days less 7/30 of those of the last 30: above zero where the pace rises."""
    return last_week - last_month * np.float32(7 / 30)


def bucket(days_past_due: Column) -> Column:
    """The 30-day bucket: 0 not yet due, 1 for 1-30 days past due, 2 for 31-60 ..., at most 13.

    >>> bucket(np.float32([-3, 1, 30, 31, 4000])).tolist()
    [0.0, 1.0, 1.0, 2.0, 13.0]
    """
    found = np.clip(np.ceil(days_past_due / np.float32(30)), np.float32(0), np.float32(13))
    return np.asarray(found + np.float32(0))  # minus zero becomes zero: it would be printed as "-0"


def stage(days_past_due: Column) -> Column:
    """The collection stage, on both ladders in turn.

    0 not due; in the first cycle 1 early (1-5), 2 mid (6-18), 3 late (19-28 days past due); after it 4 front-end
    (up to 60 days), 5 mid-end (up to 120), 6 back-end.

    >>> stage(np.float32([0, 5, 6, 28, 29, 70, 400])).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    """
    ends = np.array([0, 5, 18, 28, 60, 120], dtype=np.float32)
    found = np.searchsorted(ends, days_past_due, side="left").astype(np.float32)
    return np.where(np.isnan(days_past_due), days_past_due, found)
