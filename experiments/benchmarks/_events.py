"""The data of the benchmark of features: a large portfolio, moments, and what every contestant is given of them.

Whoever is measured starts from the same typed columns in memory: events sorted by account and known time, with the
code of their kind, so that reading text, time zones and sorting are nobody's cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.catalog.grammar import WINDOWS, Count, DaysSince, Feature, Total, Where
from features.contract import CHANNELS, OUTCOMES, RESTRICTIONS, TABLES, TIME_KINDS, Column
from features.events import owners
from features.histories import Histories, amount_kinds, contact_kinds, pack
from features.portfolio import Portfolio
from features.settings import PortfolioSettings, table_columns
from features.units import DAY, MONEY_SCALE, NULL_TIME, Instants, Money, Rows, from_instants, parse_instant

Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]

BEGIN = parse_instant("2024-01-01")
ZONES = ("America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Europe/Berlin", "UTC")
#: Which share of the events lies in which table.
SHARES = {"contacts": 0.80, "payments": 0.09, "promises": 0.05, "charges": 0.05, "restrictions": 0.01}
#: Of an account with ten times the contacts, and of the rest as many as without these.
CONTACTED_SHARES = {"contacts": 0.98, "payments": 0.009, "promises": 0.005, "charges": 0.005, "restrictions": 0.001}
CHANNEL_SHARES = (0.35, 0.20, 0.35, 0.06, 0.03, 0.01)
#: In the order of the contract's outcomes: what is sent arrives or not, who is called answers or not.
SENT_SHARES = (0.38, 0.60, 0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0)
CALLED_SHARES = (0.0, 0.0, 0.62, 0.05, 0.08, 0.12, 0.07, 0.05, 0.01)
#: Tables whose events are what they are at every moment; what a promise has come to depends on the payments known then.
TALLIED = ("contacts", "payments", "charges")


@dataclass(frozen=True)
class Size:
    """How much data: events and moments per account are means, and the spread of events over accounts is wide."""

    accounts: int
    events: int = 60
    moments: int = 4
    days: int = 550
    seed: int = 7
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)


@dataclass(frozen=True)
class Events:
    """The events of one table, sorted by account and known time, `(n_events,)` each."""

    start: Rows
    account: Rows
    known: Instants
    at: Instants
    kind: Codes
    money: Money

    def slice(self, begin: int, end: int) -> Events:
        """The events of the accounts `begin` to `end`, these counted from 0."""
        start = self.start[begin : end + 1]
        some = slice(start[0], start[-1])
        return Events(
            start=start - start[0],
            account=self.account[some] - begin,
            known=self.known[some],
            at=self.at[some],
            kind=self.kind[some],
            money=self.money[some],
        )


@dataclass(frozen=True)
class Data:
    """What is asked of whom: each moment's account and instant, sorted by both, and the events of each table."""

    histories: Histories = field(repr=False)
    account: Rows
    as_of: Instants
    events: Mapping[str, Events]

    def first(self, accounts: int) -> Data:
        """The data of the first so many accounts alone."""
        histories = self.histories.take(np.arange(accounts))
        n = np.searchsorted(self.account, accounts)
        events = {table: each.slice(0, accounts) for table, each in self.events.items()}
        return Data(histories, self.account[:n], self.as_of[:n], events)

    def parts(self, accounts: int) -> list[tuple[slice, Rows, Instants, dict[str, Events]]]:
        """The data in runs of that many accounts: which moments they are, their accounts from 0, and the events."""
        found = []
        for begin in range(0, len(self.histories), accounts):
            end = min(begin + accounts, len(self.histories))
            first, last = np.searchsorted(self.account, [begin, end])
            events = {table: each.slice(begin, end) for table, each in self.events.items()}
            found.append((slice(first, last), self.account[first:last] - begin, self.as_of[first:last], events))
        return found


@dataclass(frozen=True)
class Slot:
    """One selection of a table's events, and the columns of the matrix that are asked of it.

    `kinds` says of each kind whether it is selected; `counts` and `totals` are columns by their days (None: ever).
    """

    table: str
    kinds: Flags
    counts: dict[int | None, int]
    totals: dict[int | None, int]
    since: list[int]


def settings_of() -> PortfolioSettings:
    """The portfolio's settings: the channels there are by default."""
    return PortfolioSettings("bench")


def windowed(features: Sequence[Feature]) -> tuple[str, ...]:
    """The names of the features that are declared as counts, totals or times since."""
    return tuple(
        feature.name
        for feature in features
        if isinstance(feature.measure, Count | Total | DaysSince) and feature.measure.events.table in TALLIED
    )


def slots_of(features: Sequence[Feature], channels: tuple[str, ...]) -> list[Slot]:
    """What is asked of each selection of events, with the place of each feature as its column."""
    found: dict[Where, Slot] = {}
    for column, feature in enumerate(features):
        measure = feature.measure
        if not isinstance(measure, Count | Total | DaysSince):
            raise TypeError(f"a rival computes counts, totals and times since, not {feature.name}")
        events = measure.events
        slot = found.setdefault(events, Slot(events.table, _kinds_of(events, channels), {}, {}, []))
        if isinstance(measure, DaysSince):
            slot.since.append(column)
        else:
            (slot.counts if isinstance(measure, Count) else slot.totals)[measure.days] = column
    return list(found.values())


def _kinds_of(events: Where, channels: tuple[str, ...]) -> Flags:
    kinds = contact_kinds(channels) if events.table == "contacts" else amount_kinds(events.table)
    return np.array([all(kind[name] in values for name, values in events.conditions) for kind in kinds])


def windows_of(slots: Sequence[Slot]) -> list[int]:
    """The windows, in days, that are asked for."""
    return [days for days in WINDOWS if any(days in slot.counts or days in slot.totals for slot in slots)]


def fill_from_cells(
    out: Matrix, cells: Mapping[str, npt.NDArray[Any]], as_of: Instants, slots: Mapping[int, Slot]
) -> None:
    """Fill one table's columns from its cells: a row for each moment, selection and shortest window that has events.

    Args:
        out: `(n_moments, n_columns)`.
        cells: columns `moment`, `slot`, `window` and in them `n` events, their `money`, and the `latest` of them.
        as_of: `(n_moments,)`.
        slots: the selections of the table, by what `slot` says.
    """
    windows = windows_of(list(slots.values()))
    place = np.full(max(slots) + 1, -1)
    place[list(slots)] = np.arange(len(slots))
    where = (cells["moment"], place[cells["slot"]], cells["window"])
    n, money, latest = (np.zeros((len(out), len(slots), len(windows) + 1), dtype=np.int64) for _ in range(3))
    n[where], money[where], latest[where] = cells["n"], cells["money"], cells["latest"]
    np.cumsum(n, axis=2, out=n)
    np.cumsum(money, axis=2, out=money)
    last = latest.max(axis=2)
    for slot, found in zip(range(len(slots)), slots.values(), strict=True):
        for columns, sums, unit in ((found.counts, n, 1), (found.totals, money, MONEY_SCALE)):
            for days, column in columns.items():
                out[:, column] = sums[:, slot, len(windows) if days is None else windows.index(days)] / unit
        for column in found.since:
            out[:, column] = np.where(last[:, slot] > 0, (as_of - last[:, slot]) / DAY, np.nan)


# ------------------------------------------------------------------------------------------------------ making it up


def make_data(size: Size) -> Data:
    """Draw a portfolio of that size and its moments, and pack it."""
    portfolio = _portfolio(size)
    histories = pack(portfolio)
    del portfolio
    rng = np.random.default_rng(size.seed + 1)
    account = np.repeat(np.arange(size.accounts), size.moments)
    as_of = np.sort(BEGIN + DAY * size.days // 20 + rng.integers(0, DAY * size.days, (size.accounts, size.moments)))
    return Data(histories, account, as_of.ravel(), {table: _events(histories, table) for table in TALLIED})


def _events(histories: Histories, table: str) -> Events:
    packed = getattr(histories, table)
    return Events(
        start=packed.start,
        account=owners(packed.start),
        known=np.ascontiguousarray(packed.known),
        at=np.ascontiguousarray(packed.at),
        kind=np.ascontiguousarray(packed.kind, dtype=np.int32),
        money=np.ascontiguousarray(packed.cost if table == "contacts" else packed.amount),
    )


def _portfolio(size: Size) -> Portfolio:
    settings = settings_of()
    rng = np.random.default_rng(size.seed)
    ids = np.array([f"A{row:07d}" for row in range(size.accounts)], dtype=object)
    busy = rng.gamma(2.0, 0.5, size.accounts)
    drawn = {"accounts": _accounts(ids, size, rng)}
    for table, share in size.shares.items():
        n = round(size.accounts * size.events * share)
        account = np.searchsorted(np.cumsum(busy / busy.sum())[:-1], rng.random(n))
        at = BEGIN + rng.integers(0, size.days * DAY, n)
        drawn[table] = {"account_id": ids[account], **_columns(table, at, rng), "recorded_at": _recorded(at, rng)}
    drawn["decisions"] = {}
    tables = {name: _frame(values, table_columns(TABLES[name], settings)) for name, values in drawn.items()}
    return Portfolio(settings, tables, pd.DataFrame())


def _accounts(ids: npt.NDArray[np.object_], size: Size, rng: np.random.Generator) -> dict[str, Any]:
    n = len(ids)
    opened = BEGIN - rng.integers(30, 400, n) * DAY
    return {
        "account_id": ids,
        "opened_at": from_instants(opened),
        "placed_at": from_instants(BEGIN + rng.integers(-30, size.days // 20 + 1, n) * DAY),
        "due_on": from_instants(opened + 30 * DAY),
        "balance": np.round(rng.gamma(2.0, 1_000.0, n), 2),
        "segment": _words(("card", "loan", "telecom", "utility"), rng.integers(0, 4, n)),
        "portfolio": _words(("east", "west"), rng.integers(0, 2, n)),
        "timezone": _words(ZONES, rng.integers(0, len(ZONES), n)),
    }


def _columns(table: str, at: Instants, rng: np.random.Generator) -> dict[str, Any]:
    """The columns of one table that are not the same in all."""
    n = len(at)
    if table == "contacts":
        channel = rng.choice(len(CHANNELS), n, p=CHANNEL_SHARES)
        called = np.isin(channel, [CHANNELS.index("call"), CHANNELS.index("visit")])
        sent, answer = (rng.choice(len(OUTCOMES), n, p=shares) for shares in (SENT_SHARES, CALLED_SHARES))
        return {
            "at": from_instants(at),
            "channel": _words(CHANNELS, channel),
            "outcome": _words(OUTCOMES, np.where(called, answer, sent)),
            "direction": _words((None, "outbound", "inbound"), rng.choice(3, n, p=[0.46, 0.46, 0.08])),
            "cost": np.array([0.04, 0.01, 0.9, 1.6, 25.0, 12.5])[channel],
        }
    if table == "restrictions":
        until = from_instants(at + rng.integers(10, 90, n) * DAY).where(pd.Series(rng.random(n) < 0.7))
        kinds = _words(RESTRICTIONS[1:], rng.integers(0, len(RESTRICTIONS) - 1, n))
        return {"at": from_instants(at), "kind": kinds, "until": until}
    amount = np.round(rng.gamma(1.5, 60.0, n) + 0.01, 2)
    if table == "promises":
        return {
            "made_at": from_instants(at),
            "due_on": from_instants(at + rng.integers(1, 21, n) * DAY),
            "amount": amount,
        }
    return {"at": from_instants(at), "amount": np.where(rng.random(n) < 0.04, -amount, amount)}


def _recorded(at: Instants, rng: np.random.Generator) -> pd.Series[pd.Timestamp]:
    """One row in twelve is recorded late, some of them later than the longest window."""
    n = len(at)
    delay = np.where(rng.random(n) < 0.1, rng.exponential(60 * DAY, n), rng.exponential(2 * DAY, n)).astype(np.int64)
    return from_instants(at + delay).where(pd.Series(rng.random(n) < 1 / 12))


def _words(words: Sequence[str | None], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    return np.array(words, dtype=object)[codes]


def _frame(values: Mapping[str, Any], columns: Sequence[Column]) -> pd.DataFrame:
    """A table with every column of the contract; what was not drawn is blank."""
    n = len(values["account_id"]) if values else 0
    missing, never = np.full(n, np.nan), from_instants(np.full(n, NULL_TIME))
    blank = {column.name: never if column.kind in TIME_KINDS else missing for column in columns}
    return pd.DataFrame({name: values.get(name, blank[name]) for name in blank})
