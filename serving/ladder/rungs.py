"""Which rungs of a ladder are open to which accounts as of a moment, and why the others are not.

What counts was known strictly before the moment. An attempt is a contact that the collector began, whatever came of it.
An account of which no due date is known is past due since its placement. Days between two attempts are days of the
debtor's calendar, so that what is done every two weeks is done on the same weekday.

A channel that cannot be used (switched off, opted out of, or leading to invalid numbers and addresses alone) is not
waited for: a rung that comes after it is open without it. A channel that the ladder does not name stays open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from features.compute import standing
from features.events import owners
from features.histories import Histories, attempted_channels, having, utc_offset
from features.stages import stage_numbers
from features.units import DAY, NULL_TIME, Instants, Rows, from_money
from serving.contact_rules.restrictions import restricted_until
from serving.ladder.policy import End, Ladder, Rung, Threshold, stage_number
from serving.languages.language import ENGLISH, Language, translatable

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Closed(IntEnum):
    """Why a rung is not open; of several reasons, the first."""

    OPEN = 0
    IMPOSSIBLE = 1
    USED_UP = 2
    TOO_EARLY = 3
    TOO_LITTLE = 4
    OTHERS_FIRST = 5
    TOO_SOON = 6

    @property
    def words(self) -> str:
        """What a person reads."""
        return _WORDS[self]


_WORDS = {
    Closed.OPEN: "open",
    Closed.IMPOSSIBLE: translatable("cannot be used"),
    Closed.USED_UP: translatable("used up"),
    Closed.TOO_EARLY: translatable("too early"),
    Closed.TOO_LITTLE: translatable("too little owed"),
    Closed.OTHERS_FIRST: translatable("others come first"),
    Closed.TOO_SOON: translatable("too soon after the last"),
}
#: Why the ladder closes a rung, where the contact rules do not.
_BY_LADDER = tuple(one for one in Closed if one not in {Closed.OPEN, Closed.IMPOSSIBLE})
#: Of a rung that is neither open nor closed for one of these, nothing is left that waiting would open.
_LEFT = (Closed.OPEN, Closed.TOO_EARLY, Closed.OTHERS_FIRST, Closed.TOO_SOON)


@dataclass(frozen=True)
class Ages:
    """How old accounts are and what they owe, `(n,)` each: their stage, time past due, balance in the main unit."""

    stage: Floats
    past_due: Instants
    balance: Floats

    def begun(self, one: Rung | End) -> Mask:
        """Which of them have come as far as a rung or the end begins, `(n,)`."""
        if one.from_stage is not None:
            return np.asarray(self.stage >= stage_number(one.from_stage))
        if one.from_days is not None:
            return np.asarray(self.past_due >= one.from_days * DAY)
        return np.ones(len(self.stage), dtype=np.bool_)


@dataclass(frozen=True)
class Rungs:
    """The rungs of a ladder for `n` accounts; `why`, `(n, n_rungs)`, is what of `Closed` holds of each.

    `unnamed` are the channels that may be chosen and that the ladder has no rung for.
    """

    ladder: Ladder
    why: npt.NDArray[np.int8]
    unnamed: tuple[str, ...]

    def channels(self, names: tuple[str, ...]) -> Mask:
        """Which of these actions are open, `(n, n_names)`: some rung of it is, or there is none."""
        found = np.ones((len(self.why), len(names)), dtype=np.bool_)
        for place, name in enumerate(names):
            of_channel = [number for number, rung in enumerate(self.ladder.rungs) if rung.channel == name]
            if of_channel:
                found[:, place] = (self.why[:, of_channel] == Closed.OPEN).any(axis=1)
        return found

    def shut(self, names: tuple[str, ...]) -> Mask:
        """Which of these actions the ladder itself closes, `(n, n_names)`: not those that cannot be used at all."""
        found = ~self.channels(names)
        for rung, why in zip(self.ladder.rungs, self.why.T, strict=True):
            if rung.channel in names:
                found[:, names.index(rung.channel)] &= why != Closed.IMPOSSIBLE
        return found

    @property
    def all_used(self) -> Mask:
        """Which accounts have no rung left that is open or will be without anything new, `(n,)`."""
        return ~np.asarray(np.isin(self.why, _LEFT).any(axis=1))

    def notes(self, language: Language = ENGLISH) -> list[str]:
        """How many accounts each rung is closed to by the ladder, and why, for people."""
        told = []
        for rung, why in zip(self.ladder.rungs, self.why.T, strict=True):
            counts = np.bincount(why, minlength=len(Closed))
            parts = [
                language.say("{number} {why}", number=language.number(counts[one]), why=language.gettext(one.words))
                for one in _BY_LADDER
                if counts[one]
            ]
            if parts:
                told.append(language.say("{rung} to {accounts}", rung=rung.id, accounts=language.listed(parts)))
        name, number = self.ladder.name, language.number(len(self.why))
        closed = language.joined(told) or language.gettext("no rung to anybody")
        closes = translatable("the ladder {name} (in {currency}) closes, of {number} accounts: {closed}")
        notes = [language.say(closes, name=name, currency=self.ladder.currency, number=number, closed=closed)]
        if self.unnamed:
            silent = language.listed([language.channel(one) for one in self.unnamed])
            notes.append(
                language.say("the ladder {name} says nothing of {channels}: they stay open", name=name, channels=silent)
            )
        return notes


def rungs_of(ladder: Ladder, histories: Histories, rows: Rows, as_of: int) -> Rungs:
    """Which rungs are open to the accounts at `rows`, `(n,)`, as of a moment.

    Args:
        ladder: the ladder; its channels and columns are those of the portfolio.
        histories: packed histories.
        rows: positions of accounts.
        as_of: the moment, an instant.
    """
    channels = histories.settings.channel_names
    ages, attempts = ages_of(histories, rows, as_of), _attempts(histories, rows, as_of)
    enabled = np.array([name in histories.settings.actions for name in channels])
    possible = (restricted_until(histories, rows, as_of, of_person=True) <= as_of) & enabled
    why = np.zeros((len(rows), len(ladder.rungs)), dtype=np.int8)
    for place, rung in enumerate(ladder.rungs):
        own = channels.index(rung.channel)
        others_first = np.zeros(len(rows), dtype=np.bool_)
        for name, times in rung.after.items():
            other = channels.index(name)
            others_first |= possible[:, other] & (attempts.number[:, other] < times)
        closed = {
            Closed.IMPOSSIBLE: ~possible[:, own],
            Closed.USED_UP: attempts.number[:, own] >= (rung.at_most or np.inf),
            Closed.TOO_EARLY: ~ages.begun(rung),
            Closed.TOO_LITTLE: ~reached(rung, histories, rows, ages),
            Closed.OTHERS_FIRST: others_first,
            Closed.TOO_SOON: attempts.days_since[:, own] < (rung.every_days or -np.inf),
        }
        why[:, place] = np.select(list(closed.values()), [int(one) for one in closed], Closed.OPEN)
    named = {rung.channel for rung in ladder.rungs}
    return Rungs(ladder, why, tuple(name for name in histories.settings.actions if name not in named))


def ages_of(histories: Histories, rows: Rows, as_of: int) -> Ages:
    """How old the accounts at `rows`, `(n,)`, are as of a moment, and what they owe."""
    accounts = histories.accounts
    due_on = np.where(accounts.due_on == NULL_TIME, accounts.placed_at, accounts.due_on)
    dated = replace(histories, accounts=accounts._replace(due_on=due_on))
    balance, _ = standing(histories, rows, np.full(len(rows), as_of))
    stage = stage_numbers(dated, rows, as_of).astype(np.float64)
    return Ages(stage, as_of - due_on[rows], from_money(balance))


def reached(threshold: Threshold, histories: Histories, rows: Rows, ages: Ages) -> Mask:
    """Which of the accounts at `rows`, `(n,)`, owe enough, or are old enough, for a threshold."""
    least = np.full(len(rows), threshold.least_balance, dtype=np.float64)
    days = np.full(len(rows), threshold.or_days or np.inf, dtype=np.float64)
    # The first that fits holds, so it is written last.
    for override in reversed(threshold.overrides):
        fits = having(histories, rows, override.where)
        least[fits], days[fits] = override.least_balance, override.or_days or np.inf
    enough: Mask = (ages.balance >= least) | (ages.past_due >= days * DAY)
    return enough


@dataclass(frozen=True)
class _Attempts:
    """Attempts through each channel, `(n, n_channels)`: how many, and days since the last, by the debtor's calendar."""

    number: npt.NDArray[np.int64]
    days_since: Floats


def _attempts(histories: Histories, rows: Rows, as_of: int) -> _Attempts:
    contacts, channels = histories.contacts, histories.settings.channel_names
    channel = attempted_channels(channels)[contacts.kind]
    counted = np.flatnonzero((contacts.known < as_of) & (channel >= 0))
    account = owners(contacts.start)[counted]
    pair = account * len(channels) + channel[counted]
    size = len(histories) * len(channels)
    last = np.full(size, NULL_TIME)
    np.maximum.at(last, pair, contacts.at[counted])
    number = np.bincount(pair, minlength=size).reshape(-1, len(channels))[rows]
    last = last.reshape(-1, len(channels))[rows]
    return _Attempts(number, _days_since(histories, rows, last, as_of))


def _days_since(histories: Histories, rows: Rows, last: Instants, as_of: int) -> Floats:
    zone = histories.accounts.zone[rows]
    today = (as_of + utc_offset(np.full(len(rows), as_of), zone, histories.zones)) // DAY
    days = np.full(last.shape, np.inf)
    for channel in range(last.shape[1]):
        there = np.flatnonzero(last[:, channel] != NULL_TIME)
        at = last[there, channel]
        days[there, channel] = today[there] - (at + utc_offset(at, zone[there], histories.zones)) // DAY
    return days
