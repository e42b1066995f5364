"""Contact rules: which restrictions forbid an account or a channel, until when, and in which hours one may contact.

A rule pack is a TOML file in `rule_packs/`, with its source and its date. Which one holds is said by the account's
jurisdiction, else by the portfolio's `rules`, else it is `default`. A name that has no file gets the strictest hours.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from features import kernel
from features.contract import RESTRICTIONS
from features.events import Restrictions
from features.histories import Histories, contact_kinds
from features.units import NULL_TIME, Instants, Rows

DEFAULT_PACK, UNKNOWN_PACK = "default", "unknown"
Mask = npt.NDArray[np.bool_]

#: What every channel is free of; earlier than every moment.
FREE = NULL_TIME
#: A day may lack its window (a zone has skipped whole days); several in a row never do.
_DAYS_AHEAD = 7


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


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}):
    """The hours of a day in which contact is allowed, debtor-local."""

    begin: str
    end: str


class RulePack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Contact rules of one place or trade, with where they are written and as of which date they were read."""

    name: str
    title: str
    source: str
    dated: date
    hours: Hours

    @property
    def opens(self) -> time:
        """When contact may begin."""
        return time.fromisoformat(self.hours.begin)

    @property
    def closes(self) -> time:
        """By when it has ended."""
        return time.fromisoformat(self.hours.end)


@dataclass(frozen=True)
class Window:
    """When an account may be contacted, `[not_before, not_after)`, debtor-local."""

    not_before: datetime
    not_after: datetime


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


def dead_until(histories: Histories, rows: Rows, as_of: int) -> Instants:
    """Until when each channel leads only to invalid numbers or addresses, `(n, n_channels)`; `FREE` where it does not.

    A number or address that is noted as invalid without a channel forbids those through which nothing else was tried.
    """
    channels = histories.settings.channel_names
    return kernel.dead_until(
        rows, as_of, histories.contacts, histories.restrictions, _attempted(channels),
        RESTRICTIONS.index("invalid_contact"), len(channels),
    )  # fmt: skip


@lru_cache(maxsize=8)
def _attempted(channels: tuple[str, ...]) -> npt.NDArray[np.int32]:
    """The channel by which each kind of contact attempts to reach the debtor, `(n_kinds,)`; -1 where it does not."""
    kinds = contact_kinds(channels)
    return np.array(
        [channels.index(kind["channel"]) if kind["direction"] == "outbound" else -1 for kind in kinds], dtype=np.int32
    )


def blocked_until(histories: Histories, rows: Rows, as_of: int) -> Instants:
    """Until when each channel is forbidden for the accounts at `rows`, `(n, n_channels)`; `FREE` where it is not."""
    until = dead_until(histories, rows, as_of)
    active = blocking_restrictions(histories, rows, as_of)
    ends = histories.restrictions.until[active.event]
    everything = _forbids_everything(histories.restrictions, active.event)
    np.maximum.at(until, active.place[everything], ends[everything, None])
    channel = histories.restrictions.channel[active.event]
    np.maximum.at(until, (active.place[~everything], channel[~everything]), ends[~everything])
    return until


def reasons_held(histories: Histories, rows: Rows, as_of: int) -> list[str]:
    """Why the accounts at `rows`, `(n,)`, are held back, in words; what forbids all contact before single channels."""
    table, channels = histories.restrictions, histories.settings.channel_names
    active = blocking_restrictions(histories, rows, as_of)
    everything = _forbids_everything(table, active.event)
    found: list[dict[str, None]] = [{} for _ in rows]
    for chosen in (everything, ~everything):
        for place, event in zip(active.place[chosen], active.event[chosen], strict=True):
            block, channel = BLOCKS[RESTRICTIONS[table.kind[event]]], table.channel[event]
            single = channel >= 0 and block.reach is not Reach.EVERYTHING
            found[place][f"{channels[channel]}: {block.words}" if single else block.words] = None
    for place, channel in np.argwhere(dead_until(histories, rows, as_of) > as_of):
        found[place][f"{channels[channel]}: {BLOCKS['invalid_contact'].words}"] = None
    return ["; ".join(words) or "no channel is enabled" for words in found]


def _forbids_everything(table: Restrictions, event: Rows) -> Mask:
    return _has_reach(table, event, Reach.EVERYTHING) | (table.channel[event] < 0)


def _has_reach(table: Restrictions, event: Rows, reach: Reach) -> Mask:
    return _kinds_of(reach)[table.kind[event]]


@lru_cache(maxsize=len(Reach))
def _kinds_of(reach: Reach) -> Mask:
    """Which kinds of restriction have that reach, `(n_kinds,)`."""
    return np.array([kind in BLOCKS and BLOCKS[kind].reach is reach for kind in RESTRICTIONS])


@lru_cache(maxsize=1)
def rule_packs() -> dict[str, RulePack]:
    """Every rule pack there is, by its name."""
    files = sorted(resources.files("serving").joinpath("rule_packs").iterdir(), key=lambda file: file.name)
    packs = [msgspec.convert(tomllib.loads(file.read_text("utf-8")), RulePack) for file in files if _is_toml(file.name)]
    return {pack.name: pack for pack in packs}


def _is_toml(name: str) -> bool:
    return name.endswith(".toml")


def named_packs(histories: Histories, rows: Rows) -> list[str]:
    """The name of the rule pack of each account at `rows`, `(n,)`, whether or not there is such a pack."""
    otherwise = histories.settings.rules or DEFAULT_PACK
    return [otherwise if name is None else str(name) for name in histories.accounts.jurisdiction[rows]]


def pack_called(name: str) -> RulePack:
    """The rule pack of that name; the one with the strictest hours where there is none."""
    return rule_packs().get(name, rule_packs()[UNKNOWN_PACK])


def warn_of_unknown_packs(names: list[str]) -> list[str]:
    """One line for each rule pack that is named and not there."""
    unknown = sorted(set(names) - set(rule_packs()))
    hours = rule_packs()[UNKNOWN_PACK].hours
    return [
        f"there is no rule pack {name!r}: the strictest hours hold, {hours.begin}-{hours.end} debtor-local, for "
        f"{names.count(name):,} accounts; the packs are {', '.join(sorted(set(rule_packs()) - {UNKNOWN_PACK}))}"
        for name in unknown
    ]


def window_from(instant: int, zone: str, pack: RulePack) -> Window:
    """The first window of contact that has not ended at an instant: that of its local day, else of a later one.

    >>> from features.units import parse_instant
    >>> window = window_from(parse_instant("2026-03-01T20:59:00+08:00"), "Asia/Shanghai", rule_packs()["default"])
    >>> window.not_before.isoformat(), window.not_after.isoformat()
    ('2026-03-01T09:00:00+08:00', '2026-03-01T21:00:00+08:00')
    """
    moment, local = _utc(instant), ZoneInfo(zone)
    today = moment.astimezone(local).date()
    for ahead in range(_DAYS_AHEAD):
        begin, end = _hours_on(today + timedelta(days=ahead), local, pack)
        if begin < end and moment < end:
            return Window(begin.astimezone(local), end.astimezone(local))
    raise ValueError(f"the rule pack {pack.name} leaves no hours of contact")


def _hours_on(day: date, zone: ZoneInfo, pack: RulePack) -> tuple[datetime, datetime]:
    """The hours of a local day, in UTC; where the clock is changed at their very ends, the narrower reading.

    In UTC, because datetimes of one zone are compared by the face of the clock.
    """
    opens, closes = (_readings(datetime.combine(day, wall), zone) for wall in (pack.opens, pack.closes))
    return max(opens), min(closes)


def _readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The two instants that a local time may mean: they differ where it is skipped or comes twice."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def first_allowed(instant: int, zone: str, pack: RulePack) -> datetime:
    """The first moment from an instant on at which contact is allowed, debtor-local."""
    begin = window_from(instant, zone, pack).not_before.astimezone(UTC)
    return max(_utc(instant), begin).astimezone(ZoneInfo(zone))


def _utc(instant: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant)
