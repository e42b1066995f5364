"""All contact rules together: until when each channel is forbidden, by which rules, and when contact may be next.

A score speaks of an account by its own history, so that one account and a million give the same bits: the rules that
are applied to it look at no other account. The queue, and whoever is about to dial, look at the person's other
accounts too: that is `of_person`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from features.contract import RESTRICTIONS
from features.histories import Histories
from features.units import FOREVER, Instants, Rows
from serving.contact_rules.limits import forbidden_by, limit_ends, limited_until
from serving.contact_rules.packs import Forbidding, RulePack, accounts_by_pack
from serving.contact_rules.restrictions import (
    BLOCKS,
    FREE,
    Active,
    Reach,
    blocking_restrictions,
    dead_until,
    of_other_debts,
    restricted_until,
)
from serving.contact_rules.windows import first_allowed, instant_of
from serving.languages.language import ENGLISH, Language, translatable

#: Nothing forbids an account that may be contacted through no channel at all.
NO_CHANNEL_ENABLED = translatable("no channel is enabled")


@dataclass(frozen=True, order=True)
class Forbidden:
    """What a rule forbids: one channel, or all contact where it is blank; `until` is `FOREVER` where it has no end.

    What was noted of the person at another debt is `elsewhere`.
    """

    channel: str
    rule: str
    words: str
    source: str
    until: int
    elsewhere: bool = False

    def __str__(self) -> str:
        """What is said of it in English."""
        return self.said()

    def in_words(self, language: Language = ENGLISH) -> str:
        """The words that a person reads."""
        words = language.say(self.words)
        return language.say("{words}, as noted at another debt", words=words) if self.elsewhere else words

    def said(self, language: Language = ENGLISH) -> str:
        """The words, the name of the rule, and the channel where it is one."""
        rule = language.say("{words} ({rule})", words=self.in_words(language), rule=self.rule)
        channel = language.channel(self.channel)
        return language.say("{channel}: {rule}", channel=channel, rule=rule) if self.channel else rule


def blocked_until(histories: Histories, rows: Rows, as_of: int, of_person: bool = False) -> Instants:
    """Until when each channel is forbidden for the accounts at `rows`, `(n, n_channels)`; `FREE` where it is not.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        as_of: the moment; only what was known strictly before it counts.
        of_person: whether the person's other accounts among the histories count: their contacts for rules per person,
            and what was noted of the person there.
    """
    limited = limited_until(histories, rows, np.full(len(rows), as_of), of_person)
    return np.maximum(restricted_until(histories, rows, as_of, of_person), limited)


def forbidden(histories: Histories, rows: Rows, as_of: int, of_person: bool = False) -> list[list[Forbidden]]:
    """What each rule forbids the accounts at `rows`, `(n,)`, at a moment; what forbids all contact comes first.

    The arguments are those of `blocked_until`.
    """
    found: list[dict[Forbidden, None]] = [{} for _ in rows]
    for pack, places in accounts_by_pack(histories, rows):
        of_pack = rows[places]
        for place, one in (
            *_by_restrictions(histories, of_pack, as_of, pack, of_person),
            *_by_limits(histories, of_pack, as_of, pack, of_person),
        ):
            found[places[place]][one] = None
    order = {"": -1} | {name: place for place, name in enumerate(histories.settings.channel_names)}
    return [sorted(rules, key=lambda one: order[one.channel]) for rules in found]


def reasons_held(
    histories: Histories, rows: Rows, as_of: int, of_person: bool = False, language: Language = ENGLISH
) -> list[str]:
    """Why the accounts at `rows`, `(n,)`, are held back, in words; what forbids all contact before single channels."""
    return [
        language.joined(list(dict.fromkeys(one.said(language) for one in rules))) or language.say(NO_CHANNEL_ENABLED)
        for rules in forbidden(histories, rows, as_of, of_person)
    ]


def next_allowed(
    until: Instants, as_of: int, zone: str, pack: RulePack, channels: tuple[str, ...], enabled: npt.NDArray[np.bool_]
) -> datetime | None:
    """The first moment from `as_of` on at which some enabled channel is allowed, hours included; None if never.

    Args:
        until: `(n_channels,)` until when each channel is forbidden.
        as_of: the moment.
        zone: the debtor's time zone.
        pack: the rule pack.
        channels: the names of the channels.
        enabled: `(n_channels,)` which of them may be chosen at all.
    """
    first: datetime | None = None
    free = [max(int(end), as_of) if may else FOREVER for end, may in zip(until, enabled, strict=True)]
    for place in sorted(range(len(channels)), key=free.__getitem__):
        if free[place] == FOREVER or (first is not None and free[place] >= instant_of(first)):
            break
        begin = first_allowed(free[place], zone, pack, channels[place])
        first = begin if first is None else min(first, begin, key=instant_of)
    return first


def _by_restrictions(
    histories: Histories, rows: Rows, as_of: int, pack: RulePack, of_person: bool
) -> Iterator[tuple[int, Forbidden]]:
    """What restrictions forbid, with the place of the account."""
    table, channels = histories.restrictions, histories.settings.channel_names
    written = {one.kind: one for one in pack.restrictions}
    active = blocking_restrictions(histories, rows, as_of)
    for place, event in zip(active.place.tolist(), active.event.tolist(), strict=True):
        kind, channel = RESTRICTIONS[table.kind[event]], int(table.channel[event])
        single = channel >= 0 and BLOCKS[kind].reach is not Reach.EVERYTHING
        yield place, _restriction(kind, channels[channel] if single else "", int(table.until[event]), written)
    others = of_other_debts(histories, rows, as_of) if of_person else Active(rows[:0], rows[:0])
    for place, event in zip(others.place.tolist(), others.event.tolist(), strict=True):
        one = _restriction(RESTRICTIONS[table.kind[event]], "", int(table.until[event]), written)
        yield place, replace(one, elsewhere=True)
    dead = dead_until(histories, rows, as_of)
    for place, channel in np.argwhere(dead > as_of).tolist():
        yield place, _restriction("invalid_contact", channels[channel], int(dead[place, channel]), written)


def _restriction(kind: str, channel: str, until: int, written: dict[str, Forbidding]) -> Forbidden:
    rule = written.get(kind) or Forbidding(id=kind, words=BLOCKS[kind].words, source="", kind=kind)
    return Forbidden(channel, rule.id, rule.words, rule.source, until)


def _by_limits(
    histories: Histories, rows: Rows, as_of: int, pack: RulePack, of_person: bool
) -> Iterator[tuple[int, Forbidden]]:
    """What limits and waits forbid, channel by channel, with the place of the account."""
    if not pack.counters:
        return
    channels = histories.settings.channel_names
    ends = limit_ends(histories, rows, np.full(len(rows), as_of), pack, of_person)
    for place, counter in np.argwhere(ends != FREE).tolist():
        limit, end = pack.counters[counter], int(ends[place, counter])
        for channel in forbidden_by(limit, channels).tolist():
            yield place, Forbidden(channels[channel], limit.id, limit.words, limit.source, end)
