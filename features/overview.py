"""What a portfolio as a whole shows: which kinds of contact occur, and what its segments and vintages paid, day by day.

An account's features come from its own rows; a few rates compare it with its like. They are kept as sums per group and
day of known time, small enough to travel with any part of the portfolio, so that an account has the same numbers in
every part. `combine` adds up the overviews of parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.units import DAY, FOREVER, Instants, Money, Rows

Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

#: What is summed for each group and day: balance placed, money paid since placement, attempts, and those of them that
#: reached the right party.
MEASURES = ("placed", "paid", "attempts", "right_party")


@dataclass(frozen=True, eq=False)
class Daily:
    """Sums per group and UTC day, sorted by group and day: only days on which something became known have a row.

    `keys` are the groups; `start` is `(n_groups + 1,)`, `day` `(n,)` days since 1970, `sums` `(n, n_measures)`: money
    or counts of that day alone.
    """

    keys: tuple[str | int | None, ...]
    start: Rows
    day: Rows
    sums: npt.NDArray[np.int64]

    @cached_property
    def _running(self) -> tuple[npt.NDArray[np.int64], Rows, int, int]:
        """What was summed up before each row, whatever its group; the rows' places in order; first day and span."""
        running = np.zeros((len(self.day) + 1, len(MEASURES)), dtype=np.int64)
        np.cumsum(self.sums, axis=0, out=running[1:])
        first = int(self.day.min()) if len(self.day) else 0
        span = int(self.day.max()) - first + 2 if len(self.day) else 2
        place = np.repeat(np.arange(len(self.keys)), np.diff(self.start)) * span + (self.day - first)
        return running, place, first, span

    @cached_property
    def by_day(self) -> dict[object, npt.NDArray[np.float64]]:
        """Room for what is worked out of a day once: most who ask, ask about today. It goes when these sums go."""
        return {}

    def positions(self, keys: Rows) -> Rows:
        """Where each of some keys that are numbers is among the groups, `(n,)`; -1 where it is not."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        mine = np.array(self.keys, dtype=np.int64)
        place = np.minimum(mine.searchsorted(keys), len(mine) - 1)
        return np.where(mine[place] == keys, place, -1)

    def known_before(self, group: Rows, day: Rows) -> npt.NDArray[np.int64]:
        """Each group's sums over all days before a day: `(..., n_measures)`.

        Args:
            group: positions in `keys`, of a shape that goes with that of `day`.
            day: days since 1970.
        """
        running, place, first, span = self._running
        end = place.searchsorted(group * span + np.minimum(np.maximum(day - first, 0), span - 1))
        return np.asarray(running[end] - running[self.start[group]])


@dataclass(frozen=True, eq=False)
class Overview:
    """What a portfolio as a whole shows.

    `first_contact` is `(n_kinds,)`: when the first contact of each kind became known, `FOREVER` where there is none.
    `groups` are the daily sums by `segment` and by `vintage` (month of placement).
    """

    first_contact: Instants
    groups: Mapping[str, Daily]


def summarise(
    groups: Mapping[str, Texts],
    placed: tuple[Instants, Money, npt.NDArray[np.bool_]],
    contacts: tuple[Rows, Instants, Rows],
    payments: tuple[Rows, Instants, Money],
    attempted: Flags,
    reached: Flags,
) -> Overview:
    """Sum up what some accounts show.

    Args:
        groups: the group of each account, `(n_accounts,)`, in each grouping.
        placed: when each account came to collections, with which balance, and whether that is counted.
        contacts: of each contact the account, when it became known, and its kind.
        payments: of each payment the account, when it became known, and its amount.
        attempted: `(n_kinds,)` which kinds of contact are attempts.
        reached: `(n_kinds,)` which of them reached the right party.
    """
    first_contact = np.full(len(attempted), FOREVER, dtype=np.int64)
    np.minimum.at(first_contact, contacts[2], contacts[1])
    events = (
        (np.flatnonzero(placed[2]), placed[0][placed[2]], {"placed": placed[1][placed[2]]}),
        (payments[0], payments[1], {"paid": payments[2]}),
        (contacts[0], contacts[1], {"attempts": attempted[contacts[2]], "right_party": reached[contacts[2]]}),
    )
    return Overview(first_contact, {name: _daily(of_account, events) for name, of_account in groups.items()})


def combine(overviews: Sequence[Overview]) -> Overview:
    """The overview of a portfolio, from those of its parts; each account is in one of them."""
    first_contact = np.minimum.reduce([overview.first_contact for overview in overviews])
    names = overviews[0].groups
    return Overview(first_contact, {name: _added([part.groups[name] for part in overviews]) for name in names})


def _daily(of_account: Texts, events: Sequence[tuple[Rows, Instants, Mapping[str, npt.NDArray[Any]]]]) -> Daily:
    """Sum the events by the group of their account and the day on which they became known."""
    group, keys = pd.factorize(of_account, use_na_sentinel=False)
    frames = [
        pd.DataFrame({"group": group[account], "day": known // DAY}).assign(
            **{name: np.asarray(amount, dtype=np.int64) for name, amount in measured.items()}
        )
        for account, known, measured in events
    ]
    return _summed(tuple(keys), [frame.groupby(["group", "day"], as_index=False).sum() for frame in frames])


def _added(parts: Sequence[Daily]) -> Daily:
    keys = tuple(dict.fromkeys(key for part in parts for key in part.keys))
    frames = []
    for part in parts:
        group = np.array([keys.index(key) for key in part.keys], dtype=np.int64)
        frame = pd.DataFrame(part.sums, columns=list(MEASURES))
        frames.append(frame.assign(group=np.repeat(group, np.diff(part.start)), day=part.day))
    return _summed(keys, frames)


def _summed(keys: tuple[Any, ...], frames: Sequence[pd.DataFrame]) -> Daily:
    """The sums of all frames by group and day, groups in the order of their keys, `None` first."""
    order = sorted(range(len(keys)), key=lambda place: (keys[place] is not None, keys[place]))
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys))
    # A missing column must not become a float on its way to zero: sums of money are whole numbers.
    every = pd.concat([frame.reindex(columns=["group", "day", *MEASURES], fill_value=0) for frame in frames])
    summed = every.assign(group=rank[every["group"]]).groupby(["group", "day"], as_index=False).sum()
    start = np.searchsorted(summed["group"], np.arange(len(keys) + 1))
    sums = summed[list(MEASURES)].to_numpy(np.int64)
    return Daily(tuple(keys[place] for place in order), start, summed["day"].to_numpy(np.int64), sums)
