"""The settings of a portfolio, as its `portfolio.toml` states them.

Unknown keys and values outside their range are errors: a misspelt setting must not pass for its default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from features.contract import CHANNELS, NO_CHANNEL, Column, Kind, Table, column_names, may
from features.errors import SettingsError

#: Zone files that stand for "whatever this machine is set to", which no portfolio can mean.
_MACHINE_ZONES = frozenset({"localtime", "Factory"})
#: Ten years: beyond, a horizon is a slip of the pen.
MAX_HORIZON_DAYS = 3_660
_CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: The columns of accounts by which a capacity may say whose actions it counts.
COLUMNS_OF_WHERE = ("portfolio", "segment", "jurisdiction")
#: More than there are people, and more money than there is.
MOST = 10_000_000_000
#: A what-if names rules as it names capacities.
_TAKEN = ("rules",)
_HOUR = re.compile(r"(\d\d):00")


def _require(holds: bool, key: str, rule: str, got: object) -> None:
    if not holds:
        raise SettingsError(f"{key} must be {rule}, got {got!r}")


@dataclass(frozen=True)
class ChannelSettings:
    """One channel: what an action costs, how many a day are possible, and whether it may be chosen.

    A channel that is not enabled stays known, since the past may hold contacts made through it.
    """

    name: str
    cost: float = 0.0
    daily_capacity: int | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse values outside their range with `SettingsError`."""
        where = f"channels.{self.name}"
        if self.name == NO_CHANNEL or not _CHANNEL_NAME.fullmatch(self.name):
            rule = f"lower-case letters, digits and _, starting with a letter, and not {NO_CHANNEL!r}"
            raise SettingsError(f"a channel's name is {rule}, got {self.name!r}")
        _require(0 <= self.cost < float("inf"), f"{where}.cost", "an amount of at least 0", self.cost)
        capacity = self.daily_capacity
        _require(
            capacity is None or 0 <= capacity <= MOST,
            f"{where}.daily_capacity",
            "a whole number from 0 to 10,000,000,000",
            capacity,
        )


@dataclass(frozen=True)
class Where:
    """Which accounts are meant, by their columns: of each that is named those with one of its values, else all."""

    portfolio: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    jurisdiction: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedCapacity:
    """A capacity beside those of channels: of a team, a portfolio, some hours, or a money budget.

    Attributes:
        name: how it is called in prices, flags and what-ifs.
        limit: how much there is of it a day: actions, or money in the portfolio's currency.
        channels: those whose actions it counts, all where none is named.
        where: the accounts whose actions it counts.
        hours: the hours of the debtor's day, `[begin, end)`, whose calls it counts; those of all hours where None.
        counts: `actions`, or `cost`, what they cost.
    """

    name: str
    limit: float
    channels: tuple[str, ...] = ()
    where: Where = Where()
    hours: tuple[int, int] | None = None
    counts: str = "actions"

    def __post_init__(self) -> None:
        """Refuse values outside their range with `SettingsError`."""
        if self.name in {NO_CHANNEL, *_TAKEN} or not _CHANNEL_NAME.fullmatch(self.name):
            rule = f"lower-case letters, digits and _, starting with a letter, and not {NO_CHANNEL!r} or 'rules'"
            raise SettingsError(f"a capacity's name is {rule}, got {self.name!r}")
        where = f"queue.capacities.{self.name}"
        _require(self.counts in {"actions", "cost"}, f"{where}.counts", "'actions' or 'cost'", self.counts)
        self.check_limit(self.limit, f"{where}.limit")
        if self.hours is not None:
            begin, end = self.hours
            _require(0 <= begin < end <= 24, f"{where}.hours", "the begin and the end of hours of one day", self.hours)
            calls = f"left out or ['call'], since only calls are planned by the hour, where {where}.hours are named"
            _require(self.channels in {(), ("call",)}, f"{where}.channels", calls, self.channels)

    @property
    def counts_money(self) -> bool:
        """Whether it is a budget."""
        return self.counts == "cost"

    def check_limit(self, limit: float, key: str) -> None:
        """Refuse a limit that cannot be, with `SettingsError`; `key` is how the message calls it."""
        whole = self.counts_money or float(limit).is_integer()
        what = "an amount" if self.counts_money else "a whole number"
        _require(0 <= limit <= MOST and whole, key, f"{what} from 0 to {MOST:,}", limit)


@dataclass(frozen=True)
class QueueRules:
    """Which accounts a queue works before all others, whatever working them adds, and what there is beside channels.

    Attributes:
        capacities: the named capacities.
        broken_promise_first: whether those come first who broke a promise since the day before.
        unseen_days: an account without any contact for so many days is due; None for no such rule.
        unseen_balance: that is so only where at least this is owed.
        unseen_share: the share of each channel's places that is kept for accounts that are due.
        rest_days: an account that was contacted in so many days past is left alone, unless it comes first.
        payer_worth: what a debtor who pays is worth beyond the commission on what he pays, in the portfolio's currency.
        ladder: the channel ladder that says which channels are open to an account, a name or the path of a file; None
            for no such rule.
    """

    broken_promise_first: bool = False
    unseen_days: int | None = None
    unseen_balance: float = 0.0
    unseen_share: float = 0.1
    rest_days: int = 0
    payer_worth: float = 0.0
    ladder: str | None = None
    capacities: tuple[NamedCapacity, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values outside their range with `SettingsError`."""
        days, balance, share = self.unseen_days, self.unseen_balance, self.unseen_share
        within = f"a whole number from 1 to {MAX_HORIZON_DAYS}"
        _require(days is None or 1 <= days <= MAX_HORIZON_DAYS, "queue.unseen_days", within, days)
        _require(0 <= balance < float("inf"), "queue.unseen_balance", "an amount of at least 0", balance)
        _require(0 <= share <= 1, "queue.unseen_share", "a share from 0 to 1", share)
        _require(self.ladder != "", "queue.ladder", "a ladder's name or the path of its file", self.ladder)
        rest = f"a whole number from 0 to {MAX_HORIZON_DAYS}"
        _require(0 <= self.rest_days <= MAX_HORIZON_DAYS, "queue.rest_days", rest, self.rest_days)
        worth = "an amount of at least 0"
        _require(0 <= self.payer_worth < float("inf"), "queue.payer_worth", worth, self.payer_worth)
        names = [capacity.name for capacity in self.capacities]
        twice = next((name for name in names if names.count(name) > 1), None)
        _require(twice is None, "queue.capacities", "of different names", twice)


DEFAULT_CHANNELS = tuple(ChannelSettings(name) for name in CHANNELS)


@dataclass(frozen=True)
class PortfolioSettings:
    """What holds for the whole portfolio, unless an account says otherwise.

    `channels` holds every known channel, also those not enabled; `actions` names those that may be chosen.
    """

    name: str
    horizon_days: int = 30
    commission_rate: float = 1.0
    timezone: str = "UTC"
    rules: str | None = None
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    channels: tuple[ChannelSettings, ...] = DEFAULT_CHANNELS
    queue: QueueRules = QueueRules()

    def __post_init__(self) -> None:
        """Refuse values outside their range with `SettingsError`."""
        _require(bool(self.name.strip()), "name", "text that is not blank", self.name)
        days = f"a whole number from 1 to {MAX_HORIZON_DAYS}"
        _require(1 <= self.horizon_days <= MAX_HORIZON_DAYS, "horizon_days", days, self.horizon_days)
        _require(0 <= self.commission_rate <= 1, "commission_rate", "a share from 0 to 1", self.commission_rate)
        _require(self.timezone in zones(), "timezone", "an IANA time zone like Asia/Shanghai", self.timezone)
        _check_attributes(self.attributes)
        for capacity in self.queue.capacities:
            _check_capacity(capacity, self.channel_names)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every further column of accounts that is read: numeric, categorical, audit."""
        return self.numeric + self.categorical + self.audit

    @cached_property
    def without_audit(self) -> PortfolioSettings:
        """The same with no audit column, as histories and models know it."""
        return replace(self, audit=())

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Every channel that the past may hold, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def actions(self) -> tuple[str, ...]:
        """The channels that may be chosen, in order, without `none`."""
        return tuple(channel.name for channel in self.channels if channel.enabled)


def table_columns(table: Table, settings: PortfolioSettings) -> tuple[Column, ...]:
    """The columns of a table in this portfolio: the contract's and, in accounts, the declared attributes."""
    if table.name != "accounts":
        return table.columns
    numbers = (may(name, Kind.NUMBER, "A declared numeric attribute.") for name in settings.numeric)
    texts = (may(name, Kind.TEXT, "A declared attribute.") for name in settings.categorical + settings.audit)
    # Declared, hence expected: an attribute that is not there is a misspelt name rather than an empty column.
    declared = (replace(attribute, required=True) for attribute in (*numbers, *texts))
    return (*table.columns, *declared)


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The names of all IANA time zones."""
    return frozenset(available_timezones()) - _MACHINE_ZONES


def read_settings(path: Path, default_name: str) -> PortfolioSettings:
    """Read a `portfolio.toml`.

    Raises:
        SettingsError: the file is missing or no TOML, or a setting is unknown or outside its range.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"the settings {path} cannot be read ({error.strerror}); give the path of a file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings {path} are not TOML in UTF-8: {error}") from None
    try:
        settings = parse_settings(document, default_name)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    ladder = settings.queue.ladder
    if ladder is None or not ladder.endswith(".toml"):
        return settings
    # The path of a file is one beside the settings, wherever they are read from.
    return replace(settings, queue=replace(settings.queue, ladder=str(path.absolute().parent / ladder)))


def parse_settings(document: Mapping[str, Any], default_name: str) -> PortfolioSettings:
    """Turn a parsed `portfolio.toml` into settings; `name` is `default_name` where it is absent.

    >>> parse_settings({"horizon_days": 14, "channels": {"visit": {"enabled": False}}}, "east").actions
    ('sms', 'email', 'call', 'letter', 'legal_letter')

    Raises:
        SettingsError: a setting is unknown, of the wrong type, or outside its range.
    """
    top = _Section(document, "")
    top.allow("name", "horizon_days", "commission_rate", "timezone", "rules", "attributes", "channels", "queue")
    attributes = top.section("attributes")
    attributes.allow("numeric", "categorical", "audit")
    return PortfolioSettings(
        name=top.text("name", default_name),
        horizon_days=top.whole("horizon_days", 30),
        commission_rate=top.number("commission_rate", 1.0),
        timezone=top.text("timezone", "UTC"),
        rules=top.text("rules", "") or None,
        numeric=attributes.names("numeric"),
        categorical=attributes.names("categorical"),
        audit=attributes.names("audit"),
        channels=_channels(top.section("channels")),
        queue=_queue(top.section("queue")),
    )


def _channels(section: _Section) -> tuple[ChannelSettings, ...]:
    names = (*CHANNELS, *(name for name in section.values if name not in CHANNELS))
    return tuple(_channel(name, section.section(name)) for name in names)


def _channel(name: str, section: _Section) -> ChannelSettings:
    section.allow("cost", "daily_capacity", "enabled")
    capacity = section.whole("daily_capacity", 0) if "daily_capacity" in section.values else None
    return ChannelSettings(name, section.number("cost", 0.0), capacity, section.flag("enabled", True))


def _queue(section: _Section) -> QueueRules:
    section.allow(
        "broken_promise_first",
        "unseen_days",
        "unseen_balance",
        "unseen_share",
        "rest_days",
        "payer_worth",
        "ladder",
        "capacities",
    )
    return QueueRules(
        broken_promise_first=section.flag("broken_promise_first", False),
        unseen_days=section.whole("unseen_days", 0) if "unseen_days" in section.values else None,
        unseen_balance=section.number("unseen_balance", 0.0),
        unseen_share=section.number("unseen_share", 0.1),
        ladder=section.text("ladder", "") if "ladder" in section.values else None,
        rest_days=section.whole("rest_days", 0),
        payer_worth=section.number("payer_worth", 0.0),
        capacities=tuple(map(_capacity, section.sections("capacities"))),
    )


def _capacity(section: _Section) -> NamedCapacity:
    section.allow("name", "limit", "channels", "where", "hours", "counts")
    for key in ("name", "limit"):
        _require(key in section.values, section.key(key), "given", None)
    where = section.section("where")
    where.allow(*COLUMNS_OF_WHERE)
    return NamedCapacity(
        name=section.text("name", ""),
        limit=section.number("limit", 0.0),
        channels=section.names("channels"),
        where=Where(**{column: where.names(column) for column in COLUMNS_OF_WHERE}),
        hours=_hours(section),
        counts=section.text("counts", "actions"),
    )


def _hours(section: _Section) -> tuple[int, int] | None:
    texts = section.names("hours")
    if "hours" not in section.values:
        return None
    found = [_HOUR.fullmatch(text) for text in texts]
    two = len(found) == 2 and all(found)
    _require(two, section.key("hours"), 'two whole hours of one day like ["18:00", "21:00"]', list(texts))
    begin, end = (int(one[1]) for one in found if one)
    return begin, end


@dataclass(frozen=True)
class _Section:
    """One table of the TOML file: its values, and its dotted name for messages."""

    values: Mapping[str, Any]
    name: str

    def key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def allow(self, *allowed: str) -> None:
        for key in self.values:
            if key not in allowed:
                raise SettingsError(f"unknown setting {self.key(key)!r}; allowed here: {', '.join(allowed)}")

    def section(self, key: str) -> _Section:
        value = self.values.get(key, {})
        _require(isinstance(value, Mapping), self.key(key), "a section of its own", value)
        return _Section(value, self.key(key))

    def sections(self, key: str) -> list[_Section]:
        """A list of sections, each by its place, counted from 1."""
        values = self.values.get(key, [])
        listed = isinstance(values, list) and all(isinstance(value, Mapping) for value in values)
        _require(listed, self.key(key), f"sections of their own, [[{self.key(key)}]]", values)
        return [_Section(value, f"{self.key(key)}[{place}]") for place, value in enumerate(values, 1)]

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        _require(isinstance(value, str), self.key(key), "text", value)
        return str(value)

    def whole(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        _require(type(value) is int, self.key(key), "a whole number", value)
        return int(value)

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        _require(type(value) in (int, float), self.key(key), "a number", value)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        _require(type(value) is bool, self.key(key), "true or false", value)
        return bool(value)

    def names(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        named = isinstance(value, list) and all(isinstance(name, str) for name in value)
        _require(named, self.key(key), "a list of texts", value)
        return tuple(value)


def _check_capacity(capacity: NamedCapacity, channels: tuple[str, ...]) -> None:
    """Refuse a capacity that has a channel's name, or counts a channel that the portfolio does not know."""
    if capacity.name in channels:
        raise SettingsError(f"a capacity's name is no channel's, got {capacity.name!r}; name it after what it counts")
    needed = ("call",) if capacity.hours else capacity.channels
    unknown = [name for name in needed if name not in channels]
    if unknown:
        raise SettingsError(
            f"the capacity {capacity.name} counts some of the channels {', '.join(channels)}, got {unknown[0]!r}"
        )


def _check_attributes(names: tuple[str, ...]) -> None:
    for place, name in enumerate(names):
        if not name or name != name.strip():
            raise SettingsError(f"an attribute is a column name without surrounding blanks, got {name!r}")
        if name in column_names():
            raise SettingsError(f"the attribute {name!r} has the name of a column of the contract; rename the column")
        if name in names[:place]:
            raise SettingsError(f"the attribute {name!r} is listed twice; list it once, under one use")
