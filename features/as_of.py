"""The moment that something is computed as of, the way a user gives it."""

from __future__ import annotations

from features.errors import MomentError
from features.units import DAY, NULL_TIME, format_instant, parse_instant

#: Stands for the start of the first UTC day after the last known row.
LATEST = "latest"


def read_moment(text: str, last_known: int, now: int) -> int:
    """The moment that is meant, ISO 8601 or `latest`, checked not to lie in the future.

    >>> day = parse_instant("2026-03-02")
    >>> read_moment("latest", day - 1, now=day + DAY) == day == read_moment("2026-03-02", day - 1, now=day)
    True

    Raises:
        MomentError: the text is no time, or lies in the future.
    """
    if text == LATEST:
        return now if last_known == NULL_TIME else min((last_known // DAY + 1) * DAY, now)
    moment = parse_instant(text)
    check_moment(moment, now)
    return moment


def check_moment(as_of: int, now: int) -> None:
    """Refuse a moment that has not come yet, with `MomentError`: what will be known by then is not known now."""
    if as_of > now:
        raise MomentError(
            f"as_of must not lie in the future, got {format_instant(as_of)} when it is {format_instant(now)}; "
            f"give a past moment, or the present one"
        )
