"""Settings: what a portfolio.toml may say, and what each refusal names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.contract import CHANNELS, TABLES
from features.errors import SettingsError
from features.settings import (
    ChannelSettings,
    PortfolioSettings,
    QueueRules,
    parse_settings,
    read_settings,
    table_columns,
    zones,
)

FULL = """
name = "cards-east"
horizon_days = 14
commission_rate = 0.15
timezone = "Asia/Shanghai"
rules = "cn-gbt-45251-2025"
[attributes]
numeric = ["utilisation"]
categorical = ["employment"]
audit = ["gender"]
[channels.call]
cost = 1.6
daily_capacity = 250
[channels.fax]
cost = 2
[channels.visit]
enabled = false
[queue]
broken_promise_first = true
unseen_days = 60
unseen_balance = 5000
"""


def test_defaults_are_those_of_the_contract() -> None:
    settings = parse_settings({}, "folder")
    assert settings == PortfolioSettings("folder")
    assert (settings.horizon_days, settings.commission_rate, settings.timezone) == (30, 1.0, "UTC")
    assert settings.channel_names == settings.actions == CHANNELS
    assert all(channel == ChannelSettings(channel.name) for channel in settings.channels)


def test_a_full_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "portfolio.toml"
    path.write_text(FULL, encoding="utf-8-sig")  # as some editors write it
    settings = read_settings(path, "folder")
    assert settings.name == "cards-east"
    assert (settings.horizon_days, settings.commission_rate) == (14, 0.15)
    assert (settings.timezone, settings.rules) == ("Asia/Shanghai", "cn-gbt-45251-2025")
    assert settings.attributes == ("utilisation", "employment", "gender")
    assert settings.channel_names == (*CHANNELS, "fax")
    assert ChannelSettings("call", 1.6, 250) in settings.channels
    assert settings.queue == QueueRules(True, 60, 5000.0, 0.1)


def test_a_channel_that_is_dropped_stays_known_to_the_past() -> None:
    settings = parse_settings({"channels": {"visit": {"enabled": False}}}, "folder")
    assert "visit" not in settings.actions
    assert "visit" in settings.channel_names


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"horizon": 30}, "'horizon'"),
        ({"attributes": {"number": []}}, "'attributes.number'"),
        ({"channels": {"call": {"price": 1}}}, "'channels.call.price'"),
        ({"queue": {"unseen": 1}}, "'queue.unseen'"),
    ],
)
def test_an_unknown_setting_is_named_beside_the_allowed_ones(document: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=f"unknown setting {named}; allowed here: "):
        parse_settings(document, "folder")


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"name": 5}, "name"),
        ({"name": "  "}, "name"),
        ({"horizon_days": 0}, "horizon_days"),
        ({"horizon_days": 3_661}, "horizon_days"),
        ({"horizon_days": 30.0}, "horizon_days"),
        ({"horizon_days": True}, "horizon_days"),
        ({"commission_rate": 1.01}, "commission_rate"),
        ({"commission_rate": -0.01}, "commission_rate"),
        ({"commission_rate": float("nan")}, "commission_rate"),
        ({"commission_rate": "0.1"}, "commission_rate"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "localtime"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"rules": 1}, "rules"),
        ({"attributes": ["utilisation"]}, "attributes"),
        ({"attributes": {"numeric": "utilisation"}}, "attributes.numeric"),
        ({"attributes": {"numeric": [1]}}, "attributes.numeric"),
        ({"channels": {"call": 1.6}}, "channels.call"),
        ({"channels": {"call": {"cost": -1}}}, "channels.call.cost"),
        ({"channels": {"call": {"cost": float("inf")}}}, "channels.call.cost"),
        ({"channels": {"call": {"cost": True}}}, "channels.call.cost"),
        ({"channels": {"call": {"daily_capacity": -1}}}, "channels.call.daily_capacity"),
        ({"channels": {"call": {"daily_capacity": 2.5}}}, "channels.call.daily_capacity"),
        ({"channels": {"call": {"enabled": 1}}}, "channels.call.enabled"),
        ({"queue": {"broken_promise_first": 1}}, "queue.broken_promise_first"),
        ({"queue": {"unseen_days": 0}}, "queue.unseen_days"),
        ({"queue": {"unseen_days": 2.5}}, "queue.unseen_days"),
        ({"queue": {"unseen_balance": -1}}, "queue.unseen_balance"),
        ({"queue": {"unseen_share": 1.5}}, "queue.unseen_share"),
    ],
)
def test_a_value_outside_its_range_is_named_with_what_was_got(document: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{key} must be .+, got "):
        parse_settings(document, "folder")


@pytest.mark.parametrize("name", ["none", "Call", "2nd", "sms-2", "", "p pay", "x" * 41])
def test_a_channel_name_must_do_as_part_of_a_column_name(name: str) -> None:
    with pytest.raises(SettingsError, match="a channel's name is"):
        parse_settings({"channels": {name: {}}}, "folder")


@pytest.mark.parametrize("table", TABLES)
def test_an_attribute_may_not_be_called_like_a_column_of_the_contract(table: str) -> None:
    for name in TABLES[table].column_names:
        with pytest.raises(SettingsError, match=f"{name!r} has the name of a column of the contract"):
            parse_settings({"attributes": {"categorical": [name]}}, "folder")


def test_an_attribute_has_one_use() -> None:
    # An audit attribute that is a feature too would make the audit a feature.
    with pytest.raises(SettingsError, match="'gender' is listed twice"):
        parse_settings({"attributes": {"categorical": ["gender"], "audit": ["gender"]}}, "folder")


@pytest.mark.parametrize("name", ["", " age", "age "])
def test_an_attribute_is_a_plain_name(name: str) -> None:
    with pytest.raises(SettingsError, match="an attribute is a column name"):
        parse_settings({"attributes": {"numeric": [name]}}, "folder")


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "none.toml", "folder")
    path = tmp_path / "portfolio.toml"
    path.write_text("horizon_days =", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"portfolio.toml are not TOML"):
        read_settings(path, "folder")
    path.write_bytes("name = 'caf\xe9'".encode("latin-1"))
    with pytest.raises(SettingsError, match="not TOML in UTF-8"):
        read_settings(path, "folder")
    path.write_text("horizon_days = 0", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"portfolio\.toml: horizon_days must be"):
        read_settings(path, "folder")


def test_settings_made_in_code_are_held_to_the_same_ranges() -> None:
    with pytest.raises(SettingsError, match="horizon_days"):
        PortfolioSettings("east", horizon_days=0)


def test_only_accounts_carry_attributes() -> None:
    settings = PortfolioSettings("east", numeric=("utilisation",), audit=("gender",))
    for table in TABLES.values():
        extra = table_columns(table, settings)[len(table.columns) :]
        assert [column.name for column in extra] == (["utilisation", "gender"] if table.name == "accounts" else [])


def test_zones_are_those_of_iana() -> None:
    assert {"UTC", "Asia/Shanghai", "Europe/Rome"} <= zones()
    assert not {"localtime", "Factory", "posixrules"} & zones()  # what they mean depends on the machine
