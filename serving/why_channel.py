"""Why this channel against the next best, and what would change it, in one line each.

Both are told from the numbers that chose: what each channel adds to waiting, and what its place costs at the prices of
the queue (`serving.allocation`). At these prices every account has what adds most less its place; so the price at which
another channel would take over, or the account would leave the queue, follows exactly, the other prices held. Where
something else decided - a rule, a draw, a right to a place, an effect that is not known - a line says that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.histories import Texts
from features.units import FOREVER, Instants, Rows
from serving.contact_rules.rules import Forbidden
from serving.languages.language import Language, local_day, translatable
from training.bundle import Floats

Mask = npt.NDArray[np.bool_]


class Right(IntEnum):
    """Why an account comes before all others, whatever it adds."""

    NONE = 0
    BROKEN_PROMISE = 1
    UNSEEN = 2


#: What a place of a channel is called; that of a portfolio's own goes by its name.
_PLACES: Mapping[str, str] = {
    "sms": translatable("an SMS's place"),
    "email": translatable("an e-mail's place"),
    "call": translatable("a call's place"),
    "letter": translatable("a letter's place"),
    "visit": translatable("a visit's place"),
    "legal_letter": translatable("a legal letter's place"),
}
_RIGHTS: Mapping[int, str] = {
    Right.BROKEN_PROMISE: translatable("comes first: a promise was broken since the day before"),
    Right.UNSEEN: translatable("comes first: not seen for long"),
}
#: A price that is written as nothing is none.
_LEAST = 0.005
_NOBODY = -1


@dataclass(frozen=True)
class Offers:
    """What was chosen among for `n` rows of a queue, and by what.

    Attributes:
        channels: the `n_channels` names, in the order of everything below; calls of several parts of the day come
            one after the other.
        hours: of each of them the hours, debtor-local, from one up to another; None for the whole day, and `(0, 0)`
            for what others leave of it.
        adds: `(n, n_channels)` what each channel adds to waiting, or is expected to bring where no effect is known;
            NaN where that cannot be told.
        charge: `(n, n_channels)` what a place costs at the prices of the queue, all that it takes together.
        open: `(n, n_channels)` whether it could be chosen: worked, allowed and of known effect.
        worked: `(n_channels,)` whether it has places, and may be chosen at all.
        blocked: `(n, n_channels)` until when contact rules forbid it.
        closed: `(n, n_channels)` whether the ladder closes it, whether or not rules forbid it, too.
        chosen: `(n,)` the channel that a row has; `by_rule` the one that it has without a draw.
        explored: `(n,)` whether it was drawn.
        right: `(n,)` the `Right` by which it comes first.
        usual: the channel that is taken first where no effect is known; None where effects are.
        beside: whether there are capacities beside those of channels, so that a place is not all that an action takes.
        has_money: false where the model learned labels: what is added then is a probability.
        zone: `(n,)` the debtors' time zones.
        as_of: the moment.
    """

    channels: tuple[str, ...]
    hours: tuple[tuple[int, int] | None, ...]
    adds: Floats
    charge: Floats
    open: Mask
    worked: Mask
    blocked: Instants
    closed: Mask
    chosen: Rows
    by_rule: Rows
    explored: Mask
    right: Rows
    usual: int | None
    beside: bool
    has_money: bool
    zone: Texts
    as_of: int

    def barred(self) -> Rows:
        """The channel that a rule keeps from being first or second choice, `(n,)`; -1 where there is none.

        One that the ladder closes, too, is not open once the rule ends: that is for `shut`.
        """
        net, barred = self.adds - self.charge, (self.blocked > self.as_of) & ~self.closed
        if self.usual is not None:
            return np.where(barred[:, self.usual] & self.worked[self.usual], self.usual, _NOBODY)
        held = self.worked & barred & ~np.isnan(net)
        best = np.where(held, net, -np.inf).argmax(axis=1)
        _, second = self.runner_up()
        row = np.arange(len(net))
        return np.where(held[row, best] & (net[row, best] > second), best, _NOBODY)

    def shut(self) -> Rows:
        """The channel that the ladder keeps from being first or second choice, `(n,)`; -1 where there is none."""
        row, net = np.arange(len(self.chosen)), self.adds - self.charge
        if self.usual is not None:
            return np.where(self.closed[:, self.usual] & self.worked[self.usual], self.usual, _NOBODY)
        held = self.worked & self.closed & ~np.isnan(net)
        best = np.where(held, net, -np.inf).argmax(axis=1)
        _, second = self.runner_up()
        return np.where(held[row, best] & (net[row, best] > second), best, _NOBODY)

    def runner_up(self) -> tuple[Rows, Floats]:
        """The second choice at the prices, `(n,)`, -1 where it is to wait, and what it is worth less its place."""
        row = np.arange(len(self.chosen))
        net = np.where(self.open, self.adds - self.charge, -np.inf)
        net[row, self.chosen] = -np.inf
        best = net.argmax(axis=1)
        worth = net[row, best]
        return np.where(worth > 0, best, _NOBODY), np.maximum(worth, 0.0)

    def limit(self) -> Floats:
        """The price of a place at which the second choice is as good, `(n,)`."""
        return self.adds[np.arange(len(self.chosen)), self.chosen] - self.runner_up()[1]

    def most_of_others(self) -> Rows:
        """Of the other channels that are open the one that adds most, whatever its place costs, `(n,)`; -1 for none."""
        adds = np.where(self.open, self.adds, -np.inf)
        adds[np.arange(len(self.chosen)), self.chosen] = -np.inf
        best = adds.argmax(axis=1)
        return np.where(np.isfinite(adds[np.arange(len(best)), best]), best, _NOBODY)


class _Row(NamedTuple):
    """What a line is told from; channels are positions, -1 for none."""

    chosen: int
    adds: float
    charge: float
    other: int
    other_adds: float
    other_charge: float
    second: int
    limit: float
    barred: int
    barred_worth: float
    barred_until: int
    shut: int
    shut_worth: float
    by_rule: int
    explored: bool
    right: int
    zone: str
    rules: Sequence[Forbidden]

    @property
    def is_full(self) -> bool:
        """Whether another channel would add more, were its places not worth more elsewhere."""
        return self.other != _NOBODY and self.other_adds > self.adds and self.other_charge >= _LEAST


@dataclass(frozen=True)
class Lines:
    """The lines of `n` rows: why each has its channel, and what would change it."""

    why_channel: list[str]
    would_change: list[str]


def lines_of(offers: Offers, rules: Sequence[Sequence[Forbidden]], language: Language) -> Lines:
    """Tell of each row why it has its channel, and what would change it.

    Args:
        offers: what was chosen among.
        rules: `(n,)` what contact rules forbid each account; needed where `offers.barred()` names a channel.
        language: that of the lines.
    """
    told = _Told(offers, language)
    rows = _rows(offers, rules)
    return Lines([told.why(row) for row in rows], [told.change(row) for row in rows])


def _rows(offers: Offers, rules: Sequence[Sequence[Forbidden]]) -> list[_Row]:
    row = np.arange(len(offers.chosen))
    other, barred, shut = offers.most_of_others(), offers.barred(), offers.shut()
    columns = (
        offers.chosen,
        offers.adds[row, offers.chosen],
        offers.charge[row, offers.chosen],
        other,
        offers.adds[row, other],
        offers.charge[row, other],
        offers.runner_up()[0],
        offers.limit(),
        barred,
        (offers.adds - offers.charge)[row, barred],
        offers.blocked[row, barred],
        shut,
        (offers.adds - offers.charge)[row, shut],
        offers.by_rule,
        offers.explored,
        offers.right,
    )
    return [_Row(*each) for each in zip(*(column.tolist() for column in columns), offers.zone, rules, strict=True)]


@dataclass(frozen=True)
class _Told:
    """How lines of a queue are worded."""

    offers: Offers
    language: Language

    def why(self, row: _Row) -> str:
        """Why a row has its channel."""
        say, name = self.language.say, self._name
        if row.explored:
            if row.chosen == row.by_rule:
                return say("drawn at random, to learn; by rule it is the same")
            return say("drawn at random, to learn; by rule {channel}", channel=name(row.by_rule))
        told = [] if self.offers.usual is None else [self._usual(row)]
        told += [say(_RIGHTS[row.right])] if row.right else []
        if self.offers.usual is None:
            told += [self._compared(row), *self._others(row)]
        return self.language.joined(told)

    def change(self, row: _Row) -> str:
        """What would change that."""
        if row.explored and row.chosen != row.by_rule:
            return self.language.say("another draw")
        told = []
        if row.barred != _NOBODY and (self.offers.usual is not None or row.barred_worth > row.adds - row.charge):
            told.append(self._unbarred(row))
        if row.shut != _NOBODY and (self.offers.usual is not None or row.shut_worth > row.adds - row.charge):
            told.append(self.language.say("{channel} once the ladder opens it", channel=self._name(row.shut)))
        if row.right:
            return self.language.joined([*told, self._end_of_right(row)])
        if row.is_full:
            told.append(self._were_it_cheaper(row))
        if not row.is_full or row.second != row.other:
            told.append(self._at_price(row))
        return self.language.joined(told)

    def _compared(self, row: _Row) -> str:
        say, values = self.language.say, {"channel": self._name(row.chosen), "gain": self._worth(row.adds)}
        is_beside = row.other != _NOBODY and not row.is_full
        if not is_beside:
            told = say("{channel} adds {gain}", **values)
        else:
            other = {"other": self._name(row.other), "other_gain": self._worth(row.other_adds)}
            told = say("{channel} adds {gain}, {other} {other_gain}", **values, **other)
        pairs = [(row.chosen, row.charge)] + [(row.other, row.other_charge)] * (is_beside and row.other_adds > 0)
        prices = [
            say("{price} for {place}", price=self._worth(price), place=self._place(channel))
            for channel, price in pairs
            if price >= _LEAST
        ]
        if prices:
            told = say("{compared} (less {prices})", compared=told, prices=self.language.gettext(", ").join(prices))
        if not row.is_full:
            return told
        full = {"other": self._name(row.other), "gain": self._worth(row.other_adds)}
        price = self._worth(row.other_charge)
        if self.offers.beside:
            said = say(
                "{other} would add {gain}, but capacity is full: what it takes is worth {price} elsewhere",
                **full,
                price=price,
            )
        else:
            said = say(
                "{other} would add {gain}, but capacity is full: its place is worth {price} elsewhere",
                **full,
                price=price,
            )
        return self.language.joined([told, said])

    def _others(self, row: _Row) -> list[str]:
        """What keeps other channels from being chosen."""
        say = self.language.say
        if row.barred != _NOBODY:
            return [say("{channel} is blocked: {rule}", channel=self._name(row.barred), rule=self._rule(row))]
        if row.shut != _NOBODY:
            return [say("the ladder does not open {channel}", channel=self._name(row.shut))]
        if row.other != _NOBODY:
            return []
        if self._unknown:
            return [say("no other is open; effect not known: {channels}", channels=self._unknown)]
        return [say("no other is open")]

    @cached_property
    def _unknown(self) -> str:
        """The channels that are worked and of unknown effect."""
        unknown = np.flatnonzero(self.offers.worked & np.isnan(self.offers.adds).all(axis=0))
        return self.language.gettext(", ").join(map(self._name, unknown.tolist()))

    def _usual(self, row: _Row) -> str:
        say, usual = self.language.say, self.offers.usual
        assert usual is not None  # noqa: S101 it is asked for there alone
        if self.offers.channels[row.chosen] == self.offers.channels[usual]:
            return say("the usual channel, since what each achieves is not known")
        if row.barred != _NOBODY:
            return say("the usual {channel} is blocked: {rule}", channel=self._name(usual), rule=self._rule(row))
        if row.shut != _NOBODY:
            return say("the ladder does not open the usual {channel}", channel=self._name(usual))
        return say("the usual {channel} is not worked", channel=self._name(usual))

    def _at_price(self, row: _Row) -> str:
        """The price of a place at which another choice is better."""
        say, leaves = self.language.say, row.second == _NOBODY
        if row.limit < row.charge - _LEAST:
            # Actions are whole: a few of the last places are given to who is next.
            if leaves:
                return say("at today's prices it is worth no more than its place")
            return say("at today's prices {other} is worth as much", other=self._name(row.second))
        values = {"place": self._place(row.chosen), "price": self._worth(row.limit)}
        if row.charge < _LEAST:
            if leaves:
                return say("leaves the queue once {place} costs more than {price} (places are left)", **values)
            values["other"] = self._name(row.second)
            return say("{other} instead once {place} costs more than {price} (places are left)", **values)
        values["now"] = self._worth(row.charge)
        if leaves:
            return say("leaves the queue once {place} costs more than {price} (now {now})", **values)
        values["other"] = self._name(row.second)
        return say("{other} instead once {place} costs more than {price} (now {now})", **values)

    def _were_it_cheaper(self, row: _Row) -> str:
        """The price of a place at which a channel whose places are taken would be better."""
        return self.language.say(
            "{other} instead once {place} costs less than {price} (now {now})",
            other=self._name(row.other),
            place=self._place(row.other),
            price=self._worth(row.other_adds - (row.adds - row.charge)),
            now=self._worth(row.other_charge),
        )

    def _unbarred(self, row: _Row) -> str:
        """From when on a better channel may be chosen."""
        channel = self._name(row.barred)
        if row.barred_until == FOREVER:
            return self.language.say("{channel}, were it not blocked", channel=channel)
        today = local_day(self.offers.as_of, row.zone)
        day = self.language.day(local_day(row.barred_until, row.zone), today)
        return self.language.say("{channel} from {day} on, when it is no longer blocked", channel=channel, day=day)

    def _end_of_right(self, row: _Row) -> str:
        if row.right == Right.BROKEN_PROMISE:
            return self.language.say("from tomorrow on it comes by what it adds")
        return self.language.say("after any contact it comes by what it adds")

    def _rule(self, row: _Row) -> str:
        """The rule that forbids a row's barred channel for longest."""
        name = self.offers.channels[row.barred]
        against = [one for one in row.rules if one.channel in ("", name)]
        longest = max(against, key=lambda one: one.until)
        return self.language.say("{words} ({rule})", words=longest.in_words(self.language), rule=longest.rule)

    def _name(self, channel: int) -> str:
        return self._within(channel, self.language.channel(self.offers.channels[channel]))

    def _place(self, channel: int) -> str:
        if self.offers.beside:
            return self.language.say("all that {channel} takes", channel=self._name(channel))
        name = self.offers.channels[channel]
        if name in _PLACES:
            return self._within(channel, self.language.gettext(_PLACES[name]))
        return self.language.say("a place of {channel}", channel=self.language.channel(name))

    def _within(self, channel: int, what: str) -> str:
        """A channel or its place, with the hours where it has some of its own."""
        hours = self.offers.hours[channel]
        if hours is None:
            return what
        if hours == (0, 0):
            return self.language.say("{what} at other hours", what=what)
        begin, end = (f"{hour}:00" for hour in hours)
        return self.language.say("{what} from {begin} to {end}", what=what, begin=begin, end=end)

    def _worth(self, value: float) -> str:
        return self.language.gain(value) if self.offers.has_money else self.language.share(value)
