"""Capacities: from flags, from the portfolio, from one collector's day."""

from __future__ import annotations

import pytest

from features.errors import SettingsError
from features.settings import ChannelSettings, PortfolioSettings
from serving.capacities import ONE_COLLECTOR, parse_capacities, resolve_capacities

PLAIN = PortfolioSettings("plain")
OWN = PortfolioSettings(
    "own",
    channels=(ChannelSettings("call", 1.0, 80), ChannelSettings("visit", 9.0), ChannelSettings("fax", enabled=False)),
)


@pytest.mark.parametrize("text", ["call", "call=", "=5", "call=-1", "call=many", "call=²", "call=1=2", ""])
def test_a_capacity_that_is_no_channel_and_whole_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="a capacity is NAME=NUMBER"):
        parse_capacities([text])


def test_a_channel_has_one_capacity() -> None:
    with pytest.raises(SettingsError, match="got 'call' twice"):
        parse_capacities(["call=1", "call=2"])


def test_what_is_stated_goes_before_the_portfolios_own() -> None:
    assert resolve_capacities({}, OWN).by_channel == {"call": 80}
    assert resolve_capacities({"call": 5, "visit": 0}, OWN).by_channel == {"call": 5, "visit": 0}


def test_channels_without_a_capacity_are_named() -> None:
    assert resolve_capacities({}, OWN).notes == ("not worked, since no capacity is stated: visit",)
    assert resolve_capacities({"call": 1, "visit": 1}, OWN).notes == ()


def test_where_nothing_is_stated_one_collectors_day_holds_and_a_note_says_so() -> None:
    found = resolve_capacities({}, PLAIN)
    assert found.by_channel == ONE_COLLECTOR
    assert found.notes[0].startswith(
        "no capacity of a channel is stated, so that of one collector's day holds: SMS 1,000, e-mail 1,000"
    )


def test_a_channel_that_the_portfolio_lacks_or_has_switched_off_is_refused() -> None:
    for channel in ("pigeon", "fax", "none"):
        with pytest.raises(SettingsError, match=f"one of the portfolio's channels, call, visit; got '{channel}'"):
            resolve_capacities({channel: 1}, OWN)
    with pytest.raises(SettingsError, match="from 0 to 10,000,000,000, got -1 for call"):
        resolve_capacities({"call": -1}, OWN)
    with pytest.raises(SettingsError, match="whole number from 0 to 10,000,000,000, got 2"):
        resolve_capacities({"call": 2.5}, OWN)
