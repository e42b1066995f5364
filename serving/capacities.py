"""Capacities: how many actions a day each channel can take; stated, from the portfolio, or one collector's day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.errors import SettingsError
from features.settings import PortfolioSettings

#: What one collector's day holds, where nothing else is stated.
ONE_COLLECTOR: Mapping[str, int] = {
    "sms": 1000,
    "email": 1000,
    "call": 250,
    "letter": 100,
    "visit": 1,
    "legal_letter": 5,
}


#: More actions a day than there are people.
MOST = 10_000_000_000


@dataclass(frozen=True)
class Capacities:
    """Places a day by channel, and what a person should know of where they come from."""

    by_channel: Mapping[str, int]
    notes: tuple[str, ...]


def parse_capacities(texts: Sequence[str]) -> dict[str, int]:
    """Read capacities as they are written on the command line, one in each text.

    >>> parse_capacities(["call=250", "visit=5"])
    {'call': 250, 'visit': 5}

    Raises:
        SettingsError: a text is not CHANNEL=NUMBER, or a channel is named twice.
    """
    found: dict[str, int] = {}
    for text in texts:
        channel, equals, number = (part.strip() for part in text.partition("="))
        if not channel or not equals or not (number.isascii() and number.isdigit()):
            raise SettingsError(
                f"a capacity is CHANNEL=NUMBER, a whole number of at least 0 like call=250, got {text!r}"
            )
        if channel in found:
            raise SettingsError(f"a channel has one capacity, got {channel!r} twice; name it once")
        found[channel] = int(number)
    return found


def resolve_capacities(stated: Mapping[str, int], settings: PortfolioSettings) -> Capacities:
    """The capacity of every channel: as stated, else as the portfolio has it; one collector's day if none has any.

    Raises:
        SettingsError: a capacity is stated for a channel that the portfolio does not have, or is below 0.
    """
    for channel, number in stated.items():
        if channel not in settings.actions:
            raise SettingsError(
                f"a capacity is for one of the portfolio's channels, {', '.join(settings.actions)}; got {channel!r}"
            )
        if not 0 <= number <= MOST:
            raise SettingsError(f"a capacity is a whole number from 0 to {MOST:,}, got {number} for {channel}")
    own = {
        channel.name: channel.daily_capacity
        for channel in settings.channels
        if channel.enabled and channel.daily_capacity is not None
    }
    capacities = own | dict(stated)
    if capacities:
        return Capacities(capacities, _note_of_rest(capacities, settings))
    capacities = {name: number for name, number in ONE_COLLECTOR.items() if name in settings.actions}
    listed = ", ".join(f"{name}={number}" for name, number in capacities.items())
    note = f"no capacity is stated, so that of one collector's day holds: {listed}"
    return Capacities(capacities, (note, *_note_of_rest(capacities, settings)))


def alternatives_to(
    plan: Capacities, asked: Sequence[Mapping[str, int]], settings: PortfolioSettings
) -> list[dict[str, int]]:
    """The capacities of each alternative: those that it states, the others as planned.

    Raises:
        SettingsError: one states a capacity that cannot be.
    """
    return [dict(resolve_capacities({**plan.by_channel, **stated}, settings).by_channel) for stated in asked]


def _note_of_rest(capacities: Mapping[str, int], settings: PortfolioSettings) -> tuple[str, ...]:
    rest = [name for name in settings.actions if name not in capacities]
    return (f"not worked, since no capacity is stated: {', '.join(rest)}",) if rest else ()
