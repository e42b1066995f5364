"""Histories: a portfolio as packed arrays, per account and in known-time order.

Every table of events is in compressed-row form: the events of account `i` are rows `start[i]` to `start[i + 1]`,
sorted by the time at which each became known. One account is a history of one, so that scoring one account and
scoring a million are the same code.

A row is known at `max(recorded_at, at)`: from when it was recorded, and never before it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.contract import DEFAULT_DIRECTION, DIRECTIONS, NO_CHANNEL, OUTCOMES, RESTRICTIONS
from features.portfolio import Portfolio
from features.settings import PortfolioSettings
from features.units import DAY, FOREVER, HOUR, NULL_TIME, Instants, Money, Rows, to_instants, to_money

Codes = npt.NDArray[np.int32]
Texts = npt.NDArray[np.object_]

#: Parts of the day, debtor-local, with the hour at which each begins.
DAYPARTS = (("morning", 0), ("afternoon", 12), ("evening", 17))
#: What a row is by its amount: above zero, below it, or neither. A row of no money is no payment: it must not pass for
#: the latest one.
SIGNS = {"payments": ("payment", "reversal", "nothing"), "charges": ("charge", "credit", "nothing")}


class Contacts(NamedTuple):
    """Contacts; `kind` is the position in `contact_kinds`, `cost` is money.

    `point` is the number or address where a restriction names it (-1: another, or not known).
    """

    start: Rows
    known: Instants
    at: Instants
    kind: Codes
    cost: Money
    point: Codes


class Amounts(NamedTuple):
    """Payments or charges; `kind` is the position in `SIGNS` of the table, `amount` is money with its sign."""

    start: Rows
    known: Instants
    at: Instants
    kind: Codes
    amount: Money


class Promises(NamedTuple):
    """Promises to pay; `at` is when the promise was made."""

    start: Rows
    known: Instants
    at: Instants
    due_on: Instants
    amount: Money


class Restrictions(NamedTuple):
    """Restrictions; `kind` is the position in `RESTRICTIONS`, `channel` in the channels (-1: all).

    `point` is a code for the number or address that contacts share (-1: none).
    """

    start: Rows
    known: Instants
    at: Instants
    until: Instants
    kind: Codes
    channel: Codes
    point: Codes


class Decisions(NamedTuple):
    """Logged decisions; `channel` is the position in the actions (`none` comes after the channels)."""

    start: Rows
    known: Instants
    at: Instants
    channel: Codes
    propensity: npt.NDArray[np.float64]
    explored: npt.NDArray[np.bool_]


class Accounts(NamedTuple):
    """The accounts, `(n_accounts,)` each; attributes are `(n_accounts, n_attributes)` in the settings' order."""

    account_id: Texts
    person_id: Texts
    portfolio: Texts
    segment: Texts
    jurisdiction: Texts
    timezone: Texts
    opened_at: Instants
    placed_at: Instants
    due_on: Instants
    balance: Money
    commission_rate: npt.NDArray[np.float64]
    numeric: npt.NDArray[np.float64]
    categorical: Texts


Table = TypeVar("Table", Contacts, Amounts, Promises, Restrictions, Decisions)


@dataclass(frozen=True)
class Histories:
    """All that is known of some accounts, packed."""

    settings: PortfolioSettings
    accounts: Accounts
    contacts: Contacts
    payments: Amounts
    charges: Amounts
    promises: Promises
    restrictions: Restrictions
    decisions: Decisions

    def __len__(self) -> int:
        """The number of accounts."""
        return len(self.accounts.account_id)

    @property
    def last_known(self) -> int:
        """The instant at which the latest row of all became known; `NULL_TIME` where there is none."""
        tables = (
            self.contacts,
            self.payments,
            self.charges,
            self.promises,
            self.restrictions,
            self.decisions,
        )
        latest = [int(table.known.max()) for table in tables if len(table.known)]
        latest += [int(self.accounts.placed_at.max())] if len(self) else []
        return max(latest, default=NULL_TIME)

    def take(self, rows: Rows) -> Histories:
        """The histories of the accounts at `rows`, `(n,)`, in that order."""
        return Histories(
            settings=self.settings,
            accounts=Accounts(**{name: column[rows] for name, column in self.accounts._asdict().items()}),
            contacts=_take(self.contacts, rows),
            payments=_take(self.payments, rows),
            charges=_take(self.charges, rows),
            promises=_take(self.promises, rows),
            restrictions=_take(self.restrictions, rows),
            decisions=_take(self.decisions, rows),
        )


def contact_kinds(channels: tuple[str, ...]) -> list[dict[str, str]]:
    """Every kind of contact there can be, in the order of its code: channel, outcome, direction, part of the day."""
    return [
        {"channel": channel, "outcome": outcome, "direction": direction, "daypart": daypart}
        for channel in channels
        for outcome in OUTCOMES
        for direction in DIRECTIONS
        for daypart, _ in DAYPARTS
    ]


def amount_kinds(table: str) -> list[dict[str, str]]:
    """Every kind of payment or charge there can be, in the order of its code."""
    return [{"sign": sign} for sign in SIGNS[table]]


def pack(portfolio: Portfolio) -> Histories:
    """Pack a checked portfolio. The order of its rows does not matter."""
    settings = portfolio.settings
    accounts = _accounts(portfolio.tables["accounts"], settings)
    position = pd.Index(accounts.account_id)
    channels = list(settings.channel_names)
    points = _points(portfolio)
    tables = {
        name: (frame, position.get_indexer(pd.Index(frame["account_id"].to_numpy(object))).astype(np.int64))
        for name, frame in portfolio.tables.items()
        if name != "accounts"
    }
    return Histories(
        settings=settings,
        accounts=accounts,
        contacts=_contacts(*tables["contacts"], accounts.timezone, channels, points),
        payments=_amounts(*tables["payments"], len(position)),
        charges=_amounts(*tables["charges"], len(position)),
        promises=_promises(*tables["promises"], len(position)),
        restrictions=_restrictions(*tables["restrictions"], len(position), channels, points),
        decisions=_decisions(*tables["decisions"], len(position), channels),
    )


def utc_offset(instants: Instants, zones: Texts) -> Instants:
    """How far local time is ahead of UTC, in microseconds, `(n,)`, at each instant in each zone (IANA names)."""
    offset = np.zeros(len(instants), dtype=np.int64)
    for zone in pd.unique(zones):
        if zone != "UTC":
            rows = np.flatnonzero(zones == zone)
            local = pd.DatetimeIndex(instants[rows].astype("datetime64[us]")).tz_localize("UTC").tz_convert(zone)
            offset[rows] = local.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) - instants[rows]
    return offset


def _accounts(frame: pd.DataFrame, settings: PortfolioSettings) -> Accounts:
    frame = frame.sort_values("account_id", ignore_index=True)
    opened_at = to_instants(frame["opened_at"])
    placed_at = to_instants(frame["placed_at"])
    rate = frame["commission_rate"].to_numpy(np.float64, na_value=np.nan)
    return Accounts(
        account_id=_texts(frame["account_id"]),
        person_id=_texts(frame["person_id"]),
        portfolio=_texts(frame["portfolio"]),
        segment=_texts(frame["segment"]),
        jurisdiction=_texts(frame["jurisdiction"]),
        timezone=_texts(frame["timezone"].fillna(settings.timezone)),
        opened_at=opened_at,
        placed_at=np.where(placed_at == NULL_TIME, opened_at, placed_at),
        due_on=to_instants(frame["due_on"]),
        balance=to_money(frame["balance"]),
        commission_rate=np.where(np.isnan(rate), settings.commission_rate, rate),
        numeric=_numeric(frame, settings.numeric),
        categorical=_categorical(frame, settings.categorical),
    )


def _contacts(frame: pd.DataFrame, account: Rows, zones: Texts, channels: list[str], points: list[str]) -> Contacts:
    at = to_instants(frame["at"])
    hour = (at + utc_offset(at, zones[account])) % DAY // HOUR
    daypart = np.searchsorted([begin for _, begin in DAYPARTS], hour, side="right") - 1
    kind = _codes(frame["channel"], channels)
    kind = kind * len(OUTCOMES) + _codes(frame["outcome"], OUTCOMES)
    kind = kind * len(DIRECTIONS) + _codes(frame["direction"].fillna(DEFAULT_DIRECTION), DIRECTIONS)
    kind = kind * len(DAYPARTS) + daypart.astype(np.int32)
    columns = (_known(at, frame), at, kind, to_money(frame["cost"].fillna(0.0)), _codes(frame["contact_point"], points))
    return Contacts(*_packed(account, len(zones), *columns))


def _amounts(frame: pd.DataFrame, account: Rows, n_accounts: int) -> Amounts:
    at = to_instants(frame["at"])
    amount = to_money(frame["amount"])
    sign = np.select([amount > 0, amount < 0], [0, 1], default=2).astype(np.int32)
    return Amounts(*_packed(account, n_accounts, _known(at, frame), at, sign, amount))


def _promises(frame: pd.DataFrame, account: Rows, n_accounts: int) -> Promises:
    at = to_instants(frame["made_at"])
    columns = (_known(at, frame), at, to_instants(frame["due_on"]), to_money(frame["amount"]))
    return Promises(*_packed(account, n_accounts, *columns))


def _restrictions(
    frame: pd.DataFrame, account: Rows, n_accounts: int, channels: list[str], points: list[str]
) -> Restrictions:
    at = to_instants(frame["at"])
    kind, channel = _codes(frame["kind"], RESTRICTIONS), _codes(frame["channel"], channels)
    until = to_instants(frame["until"])
    until = np.where(until == NULL_TIME, FOREVER, until)
    columns = (_known(at, frame), at, until, kind, channel, _codes(frame["contact_point"], points))
    return Restrictions(*_packed(account, n_accounts, *columns))


def _decisions(frame: pd.DataFrame, account: Rows, n_accounts: int, channels: list[str]) -> Decisions:
    at = to_instants(frame["at"])
    explored = frame["explored"].fillna(False).to_numpy(bool)
    columns = (_known(at, frame), at, _codes(frame["channel"], [*channels, NO_CHANNEL]))
    return Decisions(*_packed(account, n_accounts, *columns, frame["propensity"].to_numpy(np.float64), explored))


def _points(portfolio: Portfolio) -> list[str]:
    """Every number or address that a restriction names, sorted; those of other contacts need no code."""
    return sorted(portfolio.tables["restrictions"]["contact_point"].dropna().unique())


def _known(at: Instants, frame: pd.DataFrame) -> Instants:
    """When each row became known; `NULL_TIME` is below every time, so that a null `recorded_at` leaves `at`."""
    return np.maximum(at, to_instants(frame["recorded_at"]))


def _packed(account: Rows, n_accounts: int, *columns: npt.NDArray[Any]) -> tuple[Any, ...]:
    """Sort by account, then by the columns in turn: rows that tie differ in nothing, so that input order is gone."""
    order = np.lexsort((*reversed(columns), account))
    start = np.zeros(n_accounts + 1, dtype=np.int64)
    np.cumsum(np.bincount(account, minlength=n_accounts), out=start[1:])
    return (start, *(np.ascontiguousarray(column[order]) for column in columns))


def _take(table: Table, rows: Rows) -> Table:
    begin, length = table.start[rows], np.diff(table.start)[rows]
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(length, out=start[1:])
    picked = np.arange(start[-1]) - np.repeat(start[:-1] - begin, length)
    return table._replace(start=start, **{name: getattr(table, name)[picked] for name in table._fields[1:]})


def _codes(column: pd.Series[str], values: tuple[str, ...] | list[str]) -> Codes:
    return pd.Index(values).get_indexer(pd.Index(column.to_numpy(object))).astype(np.int32)


def _texts(column: pd.Series[str]) -> Texts:
    values = column.to_numpy(object, copy=True)
    values[pd.isna(values)] = None
    return values


def _numeric(frame: pd.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    columns = [frame[name].to_numpy(np.float64, na_value=np.nan) for name in names]
    return np.column_stack(columns) if names else np.empty((len(frame), 0))


def _categorical(frame: pd.DataFrame, names: tuple[str, ...]) -> Texts:
    columns = [_texts(frame[name]) for name in names]
    return np.column_stack(columns) if names else np.empty((len(frame), 0), dtype=object)
