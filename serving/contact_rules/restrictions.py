"""Restrictions: what was noted of an account, forbids a channel or all contact, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import kernel
from features.contract import RESTRICTIONS
from features.events import Restrictions
from features.histories import Histories, attempted_channels
from features.jit import laid_out
from features.units import NULL_TIME, Instants, Rows

Mask = npt.NDArray[np.bool_]

#: What every channel is free of; earlier than every moment.
FREE = NULL_TIME


class Reach(Enum):
    """What a kind of restriction forbids."""

    EVERYTHING = "all contact, whichever channel it names"
    CHANNEL_OR_ALL = "the channel that it names, all where it names none"
    CHANNEL = "the channel that it names, nothing where it names none"


@dataclass(frozen=True)
class Block:
    """What a kind of restriction forbids, and what a person reads."""

    words: str
    reach: Reach


#: `closed` is not among them: a closed account is not live. What is true of the debtor, and not of a way to reach her,
#: forbids all contact, whichever channel it was learned through. A number or address that is known to be invalid and
#: names no channel may be one of several: see `dead_until`.
BLOCKS = {
    "deceased": Block("the debtor is noted as deceased", Reach.EVERYTHING),
    "dispute": Block("the debt is disputed", Reach.EVERYTHING),
    "fraud": Block("fraud is suspected", Reach.EVERYTHING),
    "bankruptcy": Block("bankruptcy", Reach.EVERYTHING),
    "vulnerable": Block("the debtor is vulnerable: for a person to review", Reach.EVERYTHING),
    "breathing_space": Block("breathing space", Reach.EVERYTHING),
    "do_not_contact": Block("asked not to be contacted", Reach.CHANNEL_OR_ALL),
    "channel_opt_out": Block("opted out", Reach.CHANNEL_OR_ALL),
    "invalid_contact": Block("number or address known to be invalid", Reach.CHANNEL),
}


#: What leads to the same numbers or addresses: a number that is dead for calls is dead for messages.
SAME_POINTS = (("call", "sms"), ("letter", "visit", "legal_letter"))
#: What is true of the person whatever she owes, and so holds for her other debts too.
OF_PERSON = ("deceased", "bankruptcy", "vulnerable", "breathing_space")


@dataclass(frozen=True)
class Active:
    """The restrictions active at a moment, `(n_active,)`: whose (as a place among the rows asked for), and which."""

    place: Rows
    event: Rows


def active_restrictions(histories: Histories, rows: Rows, as_of: int) -> Active:
    """The restrictions on the accounts at `rows`, `(n,)`, that are known and not over as of a moment."""
    table = histories.restrictions
    begins, ends = table.start[rows], table.start[rows + 1]
    place = np.flatnonzero(begins < ends)
    visible = np.array([kernel.visible_end(table.rows, begins[one], ends[one], as_of) for one in place], dtype=np.int64)
    length = visible - begins[place]
    event = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - begins[place], length)
    place, active = np.repeat(place, length), as_of < table.until[event]
    return Active(place[active], event[active])


def blocking_restrictions(histories: Histories, rows: Rows, as_of: int) -> Active:
    """Those of the active restrictions that forbid a channel or all contact."""
    active, table = active_restrictions(histories, rows, as_of), histories.restrictions
    nowhere = _has_reach(table, active.event, Reach.CHANNEL) & (table.channel[active.event] < 0)
    forbids = ~nowhere & (table.kind[active.event] != RESTRICTIONS.index("closed"))
    return Active(active.place[forbids], active.event[forbids])


def of_other_debts(histories: Histories, rows: Rows, as_of: int) -> Active:
    """Active restrictions that were noted of another account of the same person, and hold of the person."""
    table, persons = histories.restrictions, histories.accounts.person_id
    of_person = np.isin(table.kind, [RESTRICTIONS.index(kind) for kind in OF_PERSON])
    noted = np.flatnonzero(of_person & (table.known < as_of) & (as_of < table.until))
    if not len(noted):
        return Active(rows[:0], rows[:0])
    account = np.searchsorted(table.start, noted, side="right") - 1
    by_person: dict[str, list[int]] = {}
    for place, person in enumerate(persons[account]):
        if person is not None:
            by_person.setdefault(person, []).append(place)
    hit = np.flatnonzero(pd.Index(list(by_person), dtype=object).get_indexer(pd.Index(persons[rows])) >= 0)
    pairs = [
        (row, noted[place])
        for row in hit.tolist()
        for place in by_person[persons[rows[row]]]
        if account[place] != rows[row]
    ]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Active(both[:, 0], both[:, 1])


def dead_until(histories: Histories, rows: Rows, as_of: int) -> Instants:
    """Until when each channel leads only to invalid numbers or addresses, `(n, n_channels)`; `FREE` where it does not.

    A number or address that is noted as invalid without a channel forbids those through which nothing else was tried;
    and a channel that was never tried where nothing else was tried through those of `SAME_POINTS`.
    """
    channels = histories.settings.channel_names
    own, groups = np.arange(len(channels)), _groups(channels)
    return np.maximum(*(_dead_until(histories, rows, as_of, of)[:, of] for of in (own, groups)))


def _dead_until(histories: Histories, rows: Rows, as_of: int, group: Rows) -> Instants:
    """Until when all that was tried is invalid, by groups of channels, `(n, n_channels)`; `group`: `(n_channels,)`."""
    attempted = attempted_channels(histories.settings.channel_names)
    of_kind = np.where(attempted < 0, -1, group[attempted]).astype(np.int32)
    return kernel.dead_until(
        laid_out(rows), as_of, histories.contacts, histories.restrictions, of_kind,
        RESTRICTIONS.index("invalid_contact"), len(group),
    )  # fmt: skip


def _groups(channels: tuple[str, ...]) -> Rows:
    """For each channel the place of the first that leads to the same numbers or addresses, `(n_channels,)`."""
    of = {name: group for group in SAME_POINTS for name in group}
    same = [[other in of.get(name, (name,)) for other in channels] for name in channels]
    return np.array([row.index(True) for row in same], dtype=np.int64)


def restricted_until(histories: Histories, rows: Rows, as_of: int, of_person: bool = False) -> Instants:
    """Until when restrictions forbid each channel for the accounts at `rows`; `FREE` where none does.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: the moment.
        of_person: whether what was noted of the person at her other accounts counts too.

    Returns:
        `(n, n_channels)` instants.
    """
    until = dead_until(histories, rows, as_of)
    active = blocking_restrictions(histories, rows, as_of)
    ends = histories.restrictions.until[active.event]
    everything = forbids_everything(histories.restrictions, active.event)
    np.maximum.at(until, active.place[everything], ends[everything, None])
    channel = histories.restrictions.channel[active.event]
    np.maximum.at(until, (active.place[~everything], channel[~everything]), ends[~everything])
    if of_person:
        others = of_other_debts(histories, rows, as_of)
        np.maximum.at(until, others.place, histories.restrictions.until[others.event][:, None])
    return until


def forbids_everything(table: Restrictions, event: Rows) -> Mask:
    """Which of the restrictions forbid all contact, `(n,)`."""
    return _has_reach(table, event, Reach.EVERYTHING) | (table.channel[event] < 0)


def _has_reach(table: Restrictions, event: Rows, reach: Reach) -> Mask:
    return _kinds_of(reach)[table.kind[event]]


@lru_cache(maxsize=len(Reach))
def _kinds_of(reach: Reach) -> Mask:
    """Which kinds of restriction have that reach, `(n_kinds,)`."""
    return np.array([kind in BLOCKS and BLOCKS[kind].reach is reach for kind in RESTRICTIONS])
