"""Calls by the hour: where capacities count the calls of some hours, the day is planned in parts.

The hours that count towards the same capacities are one part: those that are named, and the rest of the day. What a
call adds in a part is its effect times how much likelier the right party is to be reached then than in the hours that
are left altogether, by the rates of `features.hours`. That is an assumption: that a call works by reaching the right
party, so that twice the chance of it is twice the effect. What it costs is the same at every hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from features.histories import Histories
from features.hours import HOURS
from features.settings import NamedCapacity
from features.units import Rows
from serving.best_hour import whole_hours
from serving.contact_rules.windows import Window, instant_of
from training.bundle import Bundle, Floats

Mask = npt.NDArray[np.bool_]


def parts_of_day(capacities: Sequence[NamedCapacity]) -> Mask:
    """The hours of each part, `(n_parts, 24)`, by their first hour; one part, the day, where no hours are named.

    >>> evening = NamedCapacity("evening", 40, hours=(18, 21))
    >>> [np.flatnonzero(part).tolist() for part in parts_of_day([evening])][1]
    [18, 19, 20]
    """
    counted = [hours_of(one).tolist() for one in capacities if one.hours is not None]
    counted_by = [tuple(of_one[hour] for of_one in counted) for hour in range(HOURS)]
    return np.array([[one == part for one in counted_by] for part in dict.fromkeys(counted_by)])


def hours_of(capacity: NamedCapacity) -> Mask:
    """The hours whose calls a capacity counts, `(24,)`."""
    begin, end = capacity.hours or (0, HOURS)
    hour = np.arange(HOURS)
    return (begin <= hour) & (hour < end)


def relative_reach(
    bundle: Bundle, histories: Histories, rows: Rows, as_of: int, windows: Sequence[Window], parts: Mask
) -> Floats:
    """How likely a call in each part reaches the right party, as a multiple of that in all hours that are left.

    1 where nobody was called yet in the hours of a part.

    Args:
        bundle: whose table of hours counts.
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: the moment; only what was known strictly before it counts.
        windows: `(n,)` when each of them may be called.
        parts: `(n_parts, 24)` the hours of each part.

    Returns:
        `(n, n_parts)`, NaN where no hour of a part is left.
    """
    left = hours_left(windows, as_of)
    rates, _ = bundle.rates_by_hour(histories, rows, as_of)
    everywhere = _mean(rates, left)
    found = np.ones((len(rows), len(parts)))
    for place, part in enumerate(parts):
        np.divide(_mean(rates, left & part), everywhere, out=found[:, place], where=everywhere > 0)
    return np.where((left[:, None, :] & parts).any(axis=2), np.where(np.isnan(found), 1.0, found), np.nan)


def hours_left(windows: Sequence[Window], as_of: int) -> Mask:
    """The hours of the debtor's day that lie in each window as a whole, from a moment on, `(n, 24)`.

    Where none does, it is the hour in which what is left of the window begins.
    """
    found = np.zeros((len(windows), HOURS), dtype=np.bool_)
    of_window: dict[Window, list[int]] = defaultdict(list)
    for place, window in enumerate(windows):
        of_window[window].append(place)
    for window, members in of_window.items():
        found[np.ix_(members, [begin.hour for begin in whole_hours(window, as_of)] or [_begin(window, as_of)])] = True
    return found


def _begin(window: Window, as_of: int) -> int:
    late = max(as_of - instant_of(window.not_before), 0)
    return (window.not_before + timedelta(microseconds=late)).hour


def _mean(rates: Floats, hours: Mask) -> Floats:
    """The mean of the rates that are known at these hours, `(n,)`; NaN where none is."""
    known = hours & ~np.isnan(rates)
    total, count = np.where(known, rates, 0.0).sum(axis=1), known.sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(rates), np.nan), where=count > 0))
