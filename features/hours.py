"""At which hour of the debtor's day calls reach the right party: rates shrunk from the general to the particular.

Few accounts are called often at any one hour, so that an account's own rate there is mostly chance, and the hour with
the highest one is mostly luck. Each rate is therefore drawn towards that of the larger group by so many attempts
(empirical Bayes; Efron and Morris, 1975): an account's hour towards its segment's, that towards the portfolio's, that
towards the portfolio's rate at any hour. Segments often hardly differ, and then are drawn hard: how hard is worked out
from how far they differ beyond chance. An hour at which neither the account nor anybody else was ever called has no
rate: nothing says what it would be.

Hours are those of the debtor's clock at the time of the call, 0 to 23. An attempt is a call to the debtor; it reached
the right party where its outcome says so, whatever came of the talk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalog.contacts import PRIOR_RIGHT_PARTY
from features.contract import REACHED_OUTCOMES
from features.events import owners
from features.histories import Histories, category_values, contact_kinds, take_events, utc_offset
from features.units import DAY, HOUR, Rows

Floats = npt.NDArray[np.float64]

HOURS = 24
#: An account's hour is drawn by so many attempts at the rate of its segment.
STRENGTH = 8
#: Segments are taken to differ by this at least: see `strength_of`.
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class HourCounts:
    """Attempts, and those of them that reached the right party, for each of the 24 hours."""

    attempts: tuple[int, ...] = (0,) * HOURS
    reached: tuple[int, ...] = (0,) * HOURS


@dataclass(frozen=True)
class HourTable:
    """What a portfolio's calls have come to by hour: of all accounts, and of those of each segment."""

    everyone: HourCounts = HourCounts()
    segments: dict[str, HourCounts] = field(default_factory=dict)


class HourRates(NamedTuple):
    """The rates of `n` accounts by hour, and the account's own attempts they rest on, `(n, 24)` each.

    A rate is NaN where nobody was ever called at that hour.
    """

    rates: Floats
    attempts: Rows


def count_calls(histories: Histories, rows: Rows, known_before: int) -> tuple[Rows, Rows]:
    """The calls of accounts by hour, and those that reached the right party, as known strictly before an instant.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        known_before: the instant.

    Returns:
        Attempts and right-party contacts, `(n, 24)` each.
    """
    kinds = contact_kinds(histories.settings.channel_names)
    is_call = np.array([kind["channel"] == "call" and kind["direction"] == "outbound" for kind in kinds])
    is_reached = np.array([kind["outcome"] in REACHED_OUTCOMES for kind in kinds])
    contacts = take_events(histories.contacts, rows)
    of_row = owners(contacts.start)
    called = is_call[contacts.kind] & (contacts.known < known_before)
    of_row, at, kind = of_row[called], contacts.at[called], contacts.kind[called]
    local = at + utc_offset(at, histories.accounts.zone[rows[of_row]], histories.zones)
    cell = of_row * HOURS + local % DAY // HOUR
    reached = cell[is_reached[kind]]
    attempts, right_party = (np.bincount(some, minlength=len(rows) * HOURS) for some in (cell, reached))
    return attempts.reshape(-1, HOURS), right_party.reshape(-1, HOURS)


def rates_by_hour(table: HourTable, histories: Histories, rows: Rows, as_of: int) -> HourRates:
    """The rate of reaching the right party by a call at each hour, as of a moment.

    Args:
        table: what the rates of segments and portfolio are learned from.
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: the moment; only what was known strictly before it counts.
    """
    attempts, reached = count_calls(histories, rows, as_of)
    prior, was_tried = _priors(table, category_values(histories, "segment")[rows])
    return HourRates(np.where(was_tried | (attempts > 0), shrunk(reached, attempts, prior), np.nan), attempts)


def shrunk(reached: npt.ArrayLike, attempts: npt.ArrayLike, prior: npt.ArrayLike, strength: float = STRENGTH) -> Floats:
    """A rate drawn towards a prior one by so many attempts, for arrays that broadcast.

    >>> shrunk([0, 4], [0, 8], [0.1, 0.1]).tolist()
    [0.1, 0.3]
    """
    return np.asarray((np.asarray(reached) + strength * np.asarray(prior)) / (np.asarray(attempts) + strength))


def strength_of(reached: Rows, attempts: Rows, rate: Floats) -> float:
    """How many attempts at the common rate say as much of a group's rate as the other groups do.

    Groups whose rates have the variance `share * rate * (1 - rate)` around the common rate are drawn towards it by
    `1 / share - 1` attempts (beta-binomial). The share is that part of the spread that chance does not explain, by the
    method of moments (DerSimonian and Laird, 1986), of all hours together.

    Args:
        reached: `(n_groups, 24)` right-party contacts.
        attempts: `(n_groups, 24)` attempts.
        rate: `(24,)` the common rate, above zero and below one.

    Returns:
        The number of attempts; that of `LEAST_SHARE`, nearly a million, where groups differ no more than by chance.
    """
    total = attempts.sum(axis=0)
    spread = ((reached - attempts * rate) ** 2 / (np.maximum(attempts, 1) * rate * (1 - rate))).sum()
    by_chance = (attempts > 0).sum() - (total > 0).sum()
    room = attempts.sum() - ((attempts**2).sum(axis=0) / np.maximum(total, 1)).sum()
    share = (spread - by_chance) / room if room > 0 else 0.0
    return float(1 / np.clip(share, LEAST_SHARE, 1) - 1)


def _priors(table: HourTable, segment: npt.NDArray[np.object_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The rates by hour of each account's segment, `(n, 24)`, and which hours were ever tried, `(24,)`.

    An account of no segment, or of one that was not there when the table was made, has those of the portfolio.
    """
    attempts, reached = np.array(table.everyone.attempts), np.array(table.everyone.reached)
    at_any_hour = shrunk(reached.sum(), attempts.sum(), PRIOR_RIGHT_PARTY)
    everyone = shrunk(reached, attempts, at_any_hour)
    place = {name: row for row, name in enumerate(table.segments)}
    rates = np.array([*_of_segments(list(table.segments.values()), everyone), everyone])
    return rates[[place.get(name, len(place)) for name in segment]], attempts > 0


def _of_segments(segments: list[HourCounts], everyone: Floats) -> Floats:
    """The rates of segments, `(n_segments, 24)`, drawn towards those of the portfolio, `(24,)`."""
    attempts, reached = (
        np.array([getattr(counts, name) for counts in segments], dtype=np.int64).reshape(-1, HOURS)
        for name in ("attempts", "reached")
    )
    return shrunk(reached, attempts, everyone, strength_of(reached, attempts, everyone))
