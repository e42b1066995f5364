"""The one portfolio of a store: its name and settings, as a `portfolio.toml` says them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence

import sqlalchemy as sql

from features.errors import StoreError
from features.settings import (
    COLUMNS_OF_WHERE,
    ChannelSettings,
    NamedCapacity,
    PortfolioSettings,
    QueueRules,
    parse_settings,
)
from serving.store.database import Store
from serving.store.histories import portfolio


def stored_settings(store: Store) -> PortfolioSettings | None:
    """The settings of the portfolio that the store holds; None where it holds none yet.

    Raises:
        StoreError: the store cannot be read.
    """
    with store.reading() as connection:
        text = connection.execute(sql.select(portfolio.c.settings)).scalar_one_or_none()
    return None if text is None else parse_settings(tomllib.loads(text), "portfolio")


def keep_settings(store: Store, settings: PortfolioSettings) -> None:
    """Note whose portfolio the store holds, or what its settings are now.

    Raises:
        StoreError: it holds another portfolio, or rows of a channel that these settings do not know.
    """
    held = stored_settings(store)
    if held is not None:
        _check_same(held, settings)
    with store.writing() as connection:
        connection.execute(portfolio.delete())
        values = {"number": 1, "name": settings.name, "settings": settings_toml(settings)}
        connection.execute(portfolio.insert(), values)


def _check_same(held: PortfolioSettings, settings: PortfolioSettings) -> None:
    if held.name != settings.name:
        raise StoreError(
            f"a store holds one portfolio, this one holds {held.name}, got {settings.name}; name another store for it"
        )
    gone = [name for name in held.channel_names if name not in settings.channel_names]
    if gone:
        raise StoreError(
            f"a store's portfolio keeps its channels, the settings lack {', '.join(gone)}; "
            f"say enabled = false of a channel that is no longer used"
        )


def settings_toml(settings: PortfolioSettings) -> str:
    """Settings as the text of a `portfolio.toml`.

    >>> parse_settings(tomllib.loads(settings_toml(PortfolioSettings("east", 14))), "") == PortfolioSettings("east", 14)
    True
    """
    lines = [
        f"name = {_text(settings.name)}",
        f"horizon_days = {settings.horizon_days}",
        f"commission_rate = {settings.commission_rate!r}",
        f"timezone = {_text(settings.timezone)}",
    ]
    if settings.rules is not None:
        lines.append(f"rules = {_text(settings.rules)}")
    lines += ["", "[attributes]"]
    for use in ("numeric", "categorical", "audit"):
        lines.append(f"{use} = {_texts(getattr(settings, use))}")
    lines += _queue(settings.queue)
    return "\n".join([*lines, *(line for channel in settings.channels for line in _channel(channel))]) + "\n"


def _queue(rules: QueueRules) -> list[str]:
    lines = ["", "[queue]", f"broken_promise_first = {str(rules.broken_promise_first).lower()}"]
    if rules.unseen_days is not None:
        lines.append(f"unseen_days = {rules.unseen_days}")
    lines += [f"unseen_balance = {rules.unseen_balance!r}", f"unseen_share = {rules.unseen_share!r}"]
    lines += [f"rest_days = {rules.rest_days}", f"payer_worth = {rules.payer_worth!r}"]
    if rules.ladder is not None:
        lines.append(f"ladder = {_text(rules.ladder)}")
    return [*lines, *(line for capacity in rules.capacities for line in _capacity(capacity))]


def _capacity(capacity: NamedCapacity) -> list[str]:
    where = ", ".join(f"{column} = {_texts(getattr(capacity.where, column))}" for column in COLUMNS_OF_WHERE)
    lines = ["", "[[queue.capacities]]", f"name = {_text(capacity.name)}", f"limit = {capacity.limit!r}"]
    lines += [f"channels = {_texts(capacity.channels)}", f"where = {{ {where} }}"]
    if capacity.hours is not None:
        lines.append(f"hours = {_texts([f'{hour:02}:00' for hour in capacity.hours])}")
    return [*lines, f"counts = {_text(capacity.counts)}"]


def _channel(channel: ChannelSettings) -> list[str]:
    lines = ["", f"[channels.{channel.name}]", f"cost = {channel.cost!r}"]
    if channel.daily_capacity is not None:
        lines.append(f"daily_capacity = {channel.daily_capacity}")
    return lines if channel.enabled else [*lines, "enabled = false"]


def _texts(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _text(text: str) -> str:
    """A text as TOML writes it: as JSON does, but for one control sign that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
