"""Capacities: what there is of a day, by channel and by name; stated, from the portfolio, or one collector's day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.errors import SettingsError
from features.settings import MOST, PortfolioSettings
from serving.languages.language import ENGLISH, Language, translatable

#: What one collector's day holds, where nothing else is stated.
ONE_COLLECTOR: Mapping[str, int] = {
    "sms": 1000,
    "email": 1000,
    "call": 250,
    "letter": 100,
    "visit": 1,
    "legal_letter": 5,
}
#: What is written for a number: whole, or an amount.
_NUMBER = re.compile(r"[0-9]{1,11}(\.[0-9]+)?")


@dataclass(frozen=True)
class Capacities:
    """What there is of a day, by channel and by named capacity, and what a person should know of where it comes from.

    Of a channel it is places, whole numbers; of a named capacity actions, or money where it is a budget.
    """

    by_channel: Mapping[str, int]
    named: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def limits(self) -> dict[str, float]:
        """All of them, by name."""
        return {**self.by_channel, **self.named}


def parse_capacities(texts: Sequence[str]) -> dict[str, float]:
    """Read capacities as they are written on the command line, one in each text.

    >>> parse_capacities(["call=250", "budget=80.50"])
    {'call': 250, 'budget': 80.5}

    Raises:
        SettingsError: a text is not NAME=NUMBER, or a name comes twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not name or not equals or not _NUMBER.fullmatch(number):
            raise SettingsError(f"a capacity is NAME=NUMBER, a number of at least 0 like call=250, got {text!r}")
        if name in found:
            raise SettingsError(f"a capacity has one limit, got {name!r} twice; name it once")
        found[name] = float(number) if "." in number else int(number)
    return found


def resolve_capacities(
    stated: Mapping[str, float], settings: PortfolioSettings, language: Language = ENGLISH
) -> Capacities:
    """What there is of every capacity: as stated, else as the portfolio has it.

    Where no channel has any, that of one collector's day holds for channels.

    Raises:
        SettingsError: a capacity is stated that the portfolio does not have, or its limit cannot be.
    """
    own_named = {capacity.name: capacity for capacity in settings.queue.capacities}
    for name, number in stated.items():
        if name in own_named:
            own_named[name].check_limit(number, f"the capacity {name}")
        else:
            _check_channel(name, number, settings)
    named = {name: stated.get(name, capacity.limit) for name, capacity in own_named.items()}
    own = {
        channel.name: channel.daily_capacity
        for channel in settings.channels
        if channel.enabled and channel.daily_capacity is not None
    }
    by_channel = own | {name: int(number) for name, number in stated.items() if name not in named}
    if by_channel:
        return Capacities(by_channel, named, _note_of_rest(by_channel, settings, language))
    by_channel = {name: number for name, number in ONE_COLLECTOR.items() if name in settings.actions}
    listed = [
        language.say("{channel} {number}", channel=language.channel(name), number=language.number(number))
        for name, number in by_channel.items()
    ]
    told = translatable("no capacity of a channel is stated, so that of one collector's day holds: {capacities}")
    note = language.say(told, capacities=language.listed(listed))
    return Capacities(by_channel, named, (note, *_note_of_rest(by_channel, settings, language)))


def written(number: float) -> str:
    """A limit, or what is taken of it, as people write it.

    >>> written(1200.0), written(80.5)
    ('1,200', '80.50')
    """
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def _check_channel(name: str, number: float, settings: PortfolioSettings) -> None:
    """Refuse a capacity of no channel, or of no number of places, with `SettingsError`."""
    if name not in settings.actions:
        named = [capacity.name for capacity in settings.queue.capacities]
        others = f", or one of its own, {', '.join(named)}" if named else ""
        raise SettingsError(
            f"a capacity is for one of the portfolio's channels, {', '.join(settings.actions)}{others}; got {name!r}"
        )
    if not (0 <= number <= MOST and float(number).is_integer()):
        raise SettingsError(f"a capacity is a whole number from 0 to {MOST:,}, got {number} for {name}")


def _note_of_rest(capacities: Mapping[str, int], settings: PortfolioSettings, language: Language) -> tuple[str, ...]:
    rest = [language.channel(name) for name in settings.actions if name not in capacities]
    told = translatable("not worked, since no capacity is stated: {channels}")
    return (language.say(told, channels=language.listed(rest)),) if rest else ()
