"""Limits: how often a debtor may be contacted, counted per debt and per person, and waits after a conversation.

What is counted are the contacts known strictly before the moment. A limit of N in so many days forbids its channels
where the N-th latest of them lies in these days, until it no longer does: nothing that may still come in makes that
sooner. Days are those of the debtor's calendar as the account says it now; around a change of the clock at midnight,
the reading holds that forbids longer.

Contacts of a person's other accounts count where a rule says so and these accounts are among the histories.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.contract import REACHED_OUTCOMES
from features.events import Contacts
from features.histories import Histories, contact_kinds
from features.jit import called, compiled
from features.units import DAY, NULL_TIME, Instants, Rows
from serving.contact_rules.packs import CHANNELS_ALL, Limit, RulePack, accounts_by_pack
from serving.contact_rules.restrictions import FREE, Mask
from serving.contact_rules.windows import readings, zones_of

#: Columns of the packed contacts (`features.events`).
_KNOWN, _AT, _KIND = 0, 1, 2
#: Fewer contacts were counted than a limit allows.
_NONE = NULL_TIME
#: A local day may begin so long before or after that of UTC, and be as much longer.
_SLACK_DAYS = 3
#: The begins of so many days are worked out at a time.
_SPAN = 64
#: Nobody was reached, of calls and visits; what is sent is taken to come to the debtor.
_NOT_MADE = ("no_answer", "wrong_number")


class Groups(NamedTuple):
    """Accounts counted together: those of group `i` are `member[start[i]:start[i + 1]]`, rows of the histories."""

    start: Rows
    member: Rows


def limited_until(histories: Histories, rows: Rows, as_of: Instants, of_person: bool) -> Instants:
    """Until when limits and waits forbid each channel, `(n, n_channels)`; `FREE` where none does.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: `(n,)` the moment of each.
        of_person: whether rules per person count the contacts of the person's other accounts too.
    """
    channels = histories.settings.channel_names
    until = np.full((len(rows), len(channels)), FREE)
    for pack, places in accounts_by_pack(histories, rows):
        if not pack.counters:
            continue
        ends = limit_ends(histories, rows[places], as_of[places], pack, of_person)
        of_pack = np.full((len(places), len(channels)), FREE)
        for end, limit in zip(ends.T, pack.counters, strict=True):
            for channel in forbidden_by(limit, channels):
                np.maximum(of_pack[:, channel], end, out=of_pack[:, channel])
        until[places] = of_pack
    return until


def limit_ends(histories: Histories, rows: Rows, as_of: Instants, pack: RulePack, of_person: bool) -> Instants:
    """Until when each counter of a pack forbids its channels, `(n, n_counters)`; `FREE` where it does not.

    The arguments are those of `limited_until`; all accounts are under the pack.
    """
    ends = np.full((len(rows), len(pack.counters)), FREE)
    for each in ("debt", "person"):
        of = [place for place, limit in enumerate(pack.counters) if limit.each == each]
        if not of or not len(rows):
            continue
        limits = tuple(pack.counters[place] for place in of)
        groups = _of_persons(histories, rows) if each == "person" and of_person else _of_debts(rows)
        oldest = _oldest(histories, groups, as_of, limits)
        ends[:, of] = np.column_stack(
            [
                _leaves(histories, rows, oldest[:, place], limit.days, limit.rolling, pack)
                for place, limit in enumerate(limits)
            ]
        )
    return np.where(ends > as_of[:, None], ends, FREE)


def counts_per_person(pack: RulePack) -> bool:
    """Whether a rule of a pack counts the contacts of all debts of a person."""
    return any(limit.each == "person" for limit in pack.counters)


def forbidden_by(limit: Limit, channels: tuple[str, ...]) -> Rows:
    """The positions of the channels that a limit forbids, among those of a portfolio."""
    named = limit.forbids or limit.channels or CHANNELS_ALL
    return np.flatnonzero([named == CHANNELS_ALL or name in named for name in channels])


def _oldest(histories: Histories, groups: Groups, as_of: Instants, limits: tuple[Limit, ...]) -> Instants:
    """The N-th latest of what each limit of N counts, `(n_groups, n_limits)`; `_NONE` where there are fewer of late."""
    contacts = histories.contacts
    since = as_of - (max(limit.days for limit in limits) + _SLACK_DAYS) * DAY
    counted = np.vstack([_counted(histories.settings.channel_names, limit) for limit in limits])
    maximum = np.array([limit.maximum for limit in limits], dtype=np.int64)
    return _nth_latest(groups, as_of, since, contacts, counted, maximum)


@lru_cache(maxsize=256)
def _counted(channels: tuple[str, ...], limit: Limit) -> Mask:
    """Which kinds of contact a limit counts, `(n_kinds,)`."""
    return np.array(
        [
            (not limit.channels or kind["channel"] in limit.channels)
            and _counts(limit.counts, kind["outcome"], kind["direction"])
            for kind in contact_kinds(channels)
        ]
    )


def _counts(counts: str, outcome: str, direction: str) -> bool:
    if counts == "conversations":
        return outcome in REACHED_OUTCOMES
    if direction != "outbound":
        return False
    if counts == "made":
        return outcome not in _NOT_MADE
    return counts == "attempts" or outcome == {"unanswered": "no_answer", "third_party": "third_party"}[counts]


def _of_debts(rows: Rows) -> Groups:
    return Groups(np.arange(len(rows) + 1), rows)


def _of_persons(histories: Histories, rows: Rows) -> Groups:
    """All accounts of the person of each account at `rows`; an account of no known person is alone."""
    person = pd.factorize(histories.accounts.person_id)[0].astype(np.int64)
    order = np.argsort(person, kind="stable")
    nobodys = int((person < 0).sum())
    starts = nobodys + np.concatenate([[0], np.cumsum(np.bincount(person[person >= 0], minlength=1))])
    of_row = person[rows]
    begin = np.where(of_row < 0, 0, starts[of_row])
    length = np.where(of_row < 0, 1, starts[of_row + 1] - begin)
    start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    place = np.arange(start[-1]) - np.repeat(start[:-1] - begin, length)
    alone = np.repeat(of_row < 0, length)
    return Groups(start, np.where(alone, np.repeat(rows, length), order[np.where(alone, 0, place)]))


def _leaves(histories: Histories, rows: Rows, oldest: Instants, days: int, rolling: bool, pack: RulePack) -> Instants:
    """When what happened at `oldest`, `(n,)`, lies in the last so many days no longer; `FREE` where nothing did."""
    until = np.full(len(rows), FREE)
    there = np.flatnonzero(oldest != _NONE)
    if rolling:
        until[there] = oldest[there] + days * DAY
        return until
    of_row = histories.accounts.zone[rows[there]]
    for code in np.unique(of_row):
        places = there[of_row == code]
        for zone in zones_of(histories.zones[code], pack):
            until[places] = np.maximum(until[places], _after_days(oldest[places], days, zone))
    return until


def _after_days(instants: Instants, days: int, zone: str) -> Instants:
    """The begin of the local day so many days after that of each instant, `(n,)`."""
    # Rounded, so that there are few different spans to be remembered.
    first = (int(instants.min()) // DAY - _SLACK_DAYS) // _SPAN * _SPAN
    last = -(-(int(instants.max()) // DAY + days + _SLACK_DAYS) // _SPAN) * _SPAN
    earliest, latest = _midnights(zone, first, last - first)
    return latest[np.searchsorted(earliest, instants, side="right") - 1 + days]


@lru_cache(maxsize=1024)
def _midnights(zone: str, first: int, n_days: int) -> tuple[Instants, Instants]:
    """When local days begin, `(n_days,)`, from day `first` since 1970 on: the earlier and the later reading."""
    epoch, begin = datetime(1970, 1, 1, tzinfo=UTC), datetime.combine(datetime(1970, 1, 1), time())  # noqa: DTZ001
    local = ZoneInfo(zone)
    pairs = [readings(begin + timedelta(days=first + day), local) for day in range(n_days)]
    both = np.array([[(one - epoch) // timedelta(microseconds=1) for one in pair] for pair in pairs], dtype=np.int64)
    return both.min(axis=1), both.max(axis=1)


@called
def _first_known(rows: npt.NDArray[np.int64], begin: int, end: int, instant: int) -> int:
    """The place of the first row that was not known before an instant."""
    while begin < end:
        middle = (begin + end) // 2
        if rows[middle, _KNOWN] < instant:
            begin = middle + 1
        else:
            end = middle
    return begin


@called
def _enter(latest: Instants, filled: int, maximum: int, at: int) -> int:
    """Keep an instant among the latest `maximum`, the earliest of them first; returns how many there are."""
    place = filled
    if filled == maximum:
        if at <= latest[0]:
            return filled
        place = 0
        while place + 1 < maximum and latest[place + 1] < at:
            latest[place] = latest[place + 1]
            place += 1
        latest[place] = at
        return filled
    while place > 0 and latest[place - 1] > at:
        latest[place] = latest[place - 1]
        place -= 1
    latest[place] = at
    return filled + 1


@compiled
def _nth_latest(
    groups: Groups, as_of: Instants, since: Instants, contacts: Contacts, counted: Mask, maximum: Rows
) -> Instants:
    """The `maximum`-th latest contact of those that are counted, for groups of accounts.

    Args:
        groups: `n` groups of accounts.
        as_of: `(n,)` the moment of each: what was known before it counts.
        since: `(n,)` what happened before does not.
        contacts: the contacts of the histories.
        counted: `(n_limits, n_kinds)` which kinds of contact a limit counts.
        maximum: `(n_limits,)`.

    Returns:
        `(n, n_limits)` instants, `_NONE` where fewer were counted.
    """
    n_limits = len(maximum)
    found = np.full((len(as_of), n_limits), _NONE, dtype=np.int64)
    latest = np.empty((n_limits, maximum.max()), dtype=np.int64)
    filled = np.zeros(n_limits, dtype=np.int64)
    for group in range(len(as_of)):
        filled[:] = 0
        for member in groups.member[groups.start[group] : groups.start[group + 1]]:
            begin = contacts.start[member]
            event = _first_known(contacts.rows, begin, contacts.start[member + 1], as_of[group]) - 1
            # What happened since was known since: in the order of known times nothing before is of interest.
            while event >= begin and contacts.rows[event, _KNOWN] >= since[group]:
                at, kind = contacts.rows[event, _AT], contacts.rows[event, _KIND]
                if at >= since[group]:
                    for limit in range(n_limits):
                        if counted[limit, kind]:
                            filled[limit] = _enter(latest[limit], filled[limit], maximum[limit], at)
                event -= 1
        for limit in range(n_limits):
            if filled[limit] == maximum[limit]:
                found[group, limit] = latest[limit, 0]
    return found
