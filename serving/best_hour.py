"""The best hour: when a call is likeliest to reach the right party, within the hours in which she may be called.

Rates by hour are those of `features.hours`: an account's own, drawn towards its segment's and the portfolio's. An hour
at which nobody was ever called has none, and is never the best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from features.histories import Histories
from features.units import HOUR, Rows
from serving.contact_rules.windows import Window, instant_of
from training.bundle import Bundle, Floats

Mask = npt.NDArray[np.bool_]

_HOUR = timedelta(hours=1)
#: Stand for rates that are not known: at hours that are never the best, and at those of which the first will do.
_UNKNOWN, _FIRST = -2.0, -1.0


@dataclass(frozen=True)
class BestHours:
    """The best hour of `n` accounts, `(n,)` each.

    `begin` is when it begins, debtor-local, None where none is known; `rate` the share of calls then that reach the
    right party, NaN likewise; `attempts` the account's own calls at that hour so far, on which the rate rests beside
    those of others.
    """

    begin: npt.NDArray[np.object_]
    rate: Floats
    attempts: Rows


def best_hours(
    bundle: Bundle,
    histories: Histories,
    rows: Rows,
    as_of: int,
    windows: Sequence[Window],
    asked: Mask,
    within: Mask | None = None,
) -> BestHours:
    """The best whole hour from a moment on within each account's window; of equal ones the first.

    Args:
        bundle: whose table of hours counts.
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: the moment; only what was known strictly before it counts.
        windows: `(n,)` when each of them may be contacted.
        asked: `(n,)` those of whom it is asked: others have none.
        within: `(n, 24)` the hours that each is planned for; where nobody was ever called at those, the best is the
            first of them, of no known rate. All hours where it is None.
    """
    found = BestHours(np.full(len(rows), None, dtype=object), np.full(len(rows), np.nan), np.zeros(len(rows), np.int64))
    places = np.flatnonzero(asked)
    rates, attempts = bundle.rates_by_hour(histories, rows[places], as_of)
    of_window: dict[Window, list[int]] = defaultdict(list)
    for each, place in enumerate(places.tolist()):
        of_window[windows[place]].append(each)
    for window, members in of_window.items():
        begins = whole_hours(window, as_of)
        hours = np.array([begin.hour for begin in begins], dtype=np.int64)
        known = np.nan_to_num(rates[members][:, hours], nan=_UNKNOWN)
        if within is not None:
            known = np.where(within[places[members]][:, hours], np.maximum(known, _FIRST), _UNKNOWN)
        for each, row in zip(members, known, strict=True):
            if row.max(initial=_UNKNOWN) == _UNKNOWN:
                continue
            begin, place = begins[int(row.argmax())], places[each]
            found.begin[place], found.rate[place] = begin, rates[each, begin.hour]
            found.attempts[place] = attempts[each, begin.hour]
    return found


def whole_hours(window: Window, as_of: int) -> list[datetime]:
    """The hours by the debtor's clock that lie in a window as a whole, and from a moment on: when each begins.

    >>> from features.units import parse_instant
    >>> from zoneinfo import ZoneInfo
    >>> zone = ZoneInfo("Asia/Shanghai")
    >>> window = Window(datetime(2026, 3, 1, 9, tzinfo=zone), datetime(2026, 3, 1, 21, tzinfo=zone))
    >>> [begin.hour for begin in whole_hours(window, parse_instant("2026-03-01T17:30:00+08:00"))]
    [18, 19, 20]
    """
    first = window.not_before.replace(minute=0, second=0, microsecond=0)
    begins = [first + number * _HOUR for number in range(25)]
    opens, closes = max(instant_of(window.not_before), as_of), instant_of(window.not_after)
    return [begin for begin in begins if opens <= instant_of(begin) and instant_of(begin) + HOUR <= closes]
