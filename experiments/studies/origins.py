"""Rolling origins: cuts one horizon apart, back in time, each with the stretch of later time it is asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from features.errors import HistoryError
from features.histories import Histories
from features.units import DAY
from training.moments import Cuts, cut_time

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """A cut: learned is what was known before `cuts.until`, asked about moments in `[cuts.until, end)`."""

    cuts: Cuts
    end: int


def rolling_origins(
    histories: Histories, horizon_days: int, count: int, end: int, now: int, asked_days: int | None = None
) -> tuple[Origin, ...]:
    """Cuts one horizon apart, the earliest first: as many as the history holds, `count` at most.

    Between what is learned and what is asked lies a gap of a horizon and the usual lag of recording, as for any cut:
    no outcome is learned from that was not known at the cut.

    Args:
        histories: packed histories.
        horizon_days: the horizon.
        count: how many cuts at most.
        end: where the last stretch ends.
        now: the present.
        asked_days: how long each stretch is; a horizon when None.
    """
    asked = (asked_days or horizon_days) * DAY
    found: list[Origin] = []
    for place in range(count):
        cut = (end - asked) // DAY * DAY - place * horizon_days * DAY
        try:
            cuts = cut_time(histories, horizon_days, cut, now)
        except HistoryError:
            break
        found.append(Origin(cuts, cut + asked))
    return tuple(reversed(found))


def usable(origins: tuple[Origin, ...], prepare: Callable[[Origin], T], fewest: int, asked: str) -> list[T]:
    """What `prepare` makes of each origin, without the earliest ones whose history is too thin for it.

    Raises:
        HistoryError: fewer than `fewest` are left.
    """
    found: list[T] = []
    for origin in reversed(origins):
        try:
            found.append(prepare(origin))
        except HistoryError:
            break
    if len(found) < fewest:
        raise HistoryError(
            f"{asked} needs a history that holds {fewest} cuts one horizon apart, with payments before and after each, "
            f"got one for {len(found)}; give more history, or a shorter --horizon"
        )
    return found[::-1]
