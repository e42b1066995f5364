"""Histories: a portfolio as packed arrays, per account and in known-time order.

The tables are those of `features.events`. One account is a history of one, so that scoring one account and scoring a
million are the same code.

A row is known at `max(recorded_at, at)`: from when it was recorded, and never before it happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import DEFAULT_DIRECTION, DIRECTIONS, NO_CHANNEL, OUTCOMES, REACHED_OUTCOMES, RESTRICTIONS
from features.events import NO_POINT, Amounts, Contacts, Decisions, Points, Promises, Restrictions, owners
from features.overview import Overview, summarise
from features.portfolio import Portfolio
from features.settings import PortfolioSettings
from features.units import DAY, FOREVER, HOUR, NULL_TIME, Instants, Money, Rows, to_instants, to_money

Codes = npt.NDArray[np.int32]
Texts = npt.NDArray[np.object_]

#: Parts of the day, debtor-local, with the hour at which each begins.
DAYPARTS = (("morning", 0), ("afternoon", 12), ("evening", 17))
#: Parts of the week, debtor-local: Monday to Friday, and the rest.
WEEKPARTS = ("workday", "weekend")
#: Days of the month, debtor-local.
MONTHDAYS = tuple(str(day) for day in range(1, 32))
#: Whether a promise is due within three days of its making.
PROMISE_TERMS = ("quick", "later")
#: What a row is by its amount: above zero, below it, or neither. A row of no money is no payment: it must not pass for
#: the latest one.
SIGNS = {"payments": ("payment", "reversal", "nothing"), "charges": ("charge", "credit", "nothing")}

#: The columns of events that packing reads; of accounts it reads all.
PACKED_COLUMNS = {
    "contacts": ("account_id", "at", "recorded_at", "channel", "outcome", "direction", "cost", "contact_point"),
    "payments": ("account_id", "at", "recorded_at", "amount"),
    "promises": ("account_id", "made_at", "recorded_at", "due_on", "amount"),
    "charges": ("account_id", "at", "recorded_at", "amount"),
    "restrictions": ("account_id", "at", "recorded_at", "kind", "until", "channel", "contact_point"),
    "decisions": ("account_id", "at", "recorded_at", "channel", "propensity", "explored"),
}


class Accounts(NamedTuple):
    """The accounts, `(n_accounts,)` each; numeric attributes are `(n_accounts, n_numeric)` in the settings' order.

    `zone` is the position in the histories' `zones`; `categories`, `(n_accounts, n_category_columns)`, are the
    positions in their `levels`, -1 where there is no value.
    """

    account_id: Texts
    person_id: Texts
    jurisdiction: Texts
    zone: Codes
    opened_at: Instants
    placed_at: Instants
    due_on: Instants
    balance: Money
    commission_rate: npt.NDArray[np.float64]
    numeric: npt.NDArray[np.float64]
    categories: Codes


Table = TypeVar("Table", Contacts, Amounts, Promises, Restrictions, Decisions)


@dataclass(frozen=True)
class Histories:
    """All that is known of some accounts, packed.

    `zones` are the time zones of the accounts, `levels` the values of each column of `category_columns`, each sorted.
    `overview` says what the portfolio as a whole shows; None where only some of its accounts were given.
    """

    settings: PortfolioSettings
    zones: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    overview: Overview | None
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

    @property
    def timezones(self) -> Texts:
        """The time zone of each account, `(n_accounts,)`."""
        return np.array(self.zones, dtype=object)[self.accounts.zone]

    @cached_property
    def facts(self) -> npt.NDArray[np.int64]:
        """What the kernel reads of the accounts, `(n_accounts, 4)`: opened_at, placed_at, due_on, balance."""
        accounts = self.accounts
        return np.column_stack([accounts.opened_at, accounts.placed_at, accounts.due_on, accounts.balance])

    def take(self, rows: Rows) -> Histories:
        """The histories of the accounts at `rows`, `(n,)`, in that order; what is said of the portfolio stays."""
        return Histories(
            settings=self.settings,
            zones=self.zones,
            levels=self.levels,
            overview=self.overview,
            accounts=Accounts(**{name: column[rows] for name, column in self.accounts._asdict().items()}),
            contacts=take_events(self.contacts, rows),
            payments=take_events(self.payments, rows),
            charges=take_events(self.charges, rows),
            promises=take_events(self.promises, rows),
            restrictions=take_events(self.restrictions, rows),
            decisions=take_events(self.decisions, rows),
        )


def contact_kinds(channels: tuple[str, ...]) -> list[dict[str, str]]:
    """Every kind of contact there can be, in the order of its code: channel, outcome, direction, day and week part."""
    return [
        {"channel": channel, "outcome": outcome, "direction": direction, "daypart": daypart, "weekpart": weekpart}
        for channel in channels
        for outcome in OUTCOMES
        for direction in DIRECTIONS
        for daypart, _ in DAYPARTS
        for weekpart in WEEKPARTS
    ]


@lru_cache(maxsize=8)
def attempted_channels(channels: tuple[str, ...]) -> Codes:
    """The place of the channel by which each kind of contact attempts to reach the debtor, `(n_kinds,)`; else -1."""
    kinds = contact_kinds(channels)
    return np.array(
        [channels.index(kind["channel"]) if kind["direction"] == "outbound" else -1 for kind in kinds], dtype=np.int32
    )


def promise_kinds() -> list[dict[str, str]]:
    """Every kind of promise there can be, in the order of its code: how soon after its making it is due."""
    return [{"term": term} for term in PROMISE_TERMS]


def settlement_kinds() -> list[dict[str, str]]:
    """Every way in which a promise may have been settled: kept or broken, whether it has come due, how soon it was."""
    return [
        {"state": state, "due": due, "term": term}
        for state in ("kept", "broken")
        for due in ("yes", "no")
        for term in PROMISE_TERMS
    ]


def amount_kinds(table: str) -> list[dict[str, str]]:
    """Every kind of payment or charge there can be, in the order of its code: sign, day of the month."""
    return [{"sign": sign, "monthday": day} for sign in SIGNS[table] for day in MONTHDAYS]


def category_columns(settings: PortfolioSettings) -> tuple[str, ...]:
    """The columns of accounts that hold categories."""
    return ("segment", "portfolio", *settings.categorical)


def pack(portfolio: Portfolio, whole: bool = True) -> Histories:
    """Pack a checked portfolio. The order of its rows does not matter; audit columns stay behind.

    Args:
        portfolio: the portfolio.
        whole: whether it is all there is, so that what it shows as a whole means something; some accounts sent in a
            request are not.
    """
    settings = portfolio.settings.without_audit
    frame = portfolio.tables["accounts"].sort_values("account_id", ignore_index=True)
    levels, categories = _categories(frame, settings)
    zones, zone = _coded(frame["timezone"].fillna(settings.timezone))
    accounts = _accounts(frame, settings, zone, categories)
    n_accounts, channels = len(frame), list(settings.channel_names)
    account_ids = accounts.account_id.tolist()
    tables = {
        name: (frame, _codes(frame["account_id"], account_ids).astype(np.int64))
        for name, frame in portfolio.tables.items()
        if name != "accounts"
    }
    histories = Histories(
        settings=settings,
        zones=zones,
        levels=levels,
        overview=None,
        accounts=accounts,
        contacts=_contacts(*tables["contacts"], zone, zones, channels),
        payments=_amounts(*tables["payments"], zone, zones),
        charges=_amounts(*tables["charges"], zone, zones),
        promises=_promises(*tables["promises"], n_accounts),
        restrictions=_restrictions(*tables["restrictions"], n_accounts, channels),
        decisions=_decisions(*tables["decisions"], n_accounts, channels),
    )
    return replace(histories, overview=overview_of(histories)) if whole else histories


def category_values(histories: Histories, column: str) -> npt.NDArray[np.object_]:
    """The values of a categorical column, `(n_accounts,)`: `segment`, `portfolio` or a categorical attribute."""
    place = category_columns(histories.settings).index(column)
    # Code -1 takes the last of them: no value.
    return np.array([*histories.levels[place], None], dtype=object)[histories.accounts.categories[:, place]]


def having(histories: Histories, rows: Rows, where: Mapping[str, Sequence[str]]) -> npt.NDArray[np.bool_]:
    """Which of the accounts at `rows`, `(n,)`, have one of the values that are named of every column.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        where: the values by column: `jurisdiction`, or one that `category_values` takes.
    """
    found = np.ones(len(rows), dtype=np.bool_)
    for column, values in where.items():
        of_all = histories.accounts.jurisdiction if column == "jurisdiction" else category_values(histories, column)
        found &= pd.Index(of_all[rows]).isin(list(values))
    return found


def overview_of(histories: Histories, placed: npt.NDArray[np.bool_] | None = None) -> Overview:
    """What these accounts show as a whole; only those `placed`, `(n_accounts,)`, as placed, all where it is None."""
    accounts, contacts, payments = histories.accounts, histories.contacts, histories.payments
    kinds = contact_kinds(histories.settings.channel_names)
    return summarise(
        groups={
            "segment": category_values(histories, "segment"),
            "vintage": vintage(accounts.placed_at).astype(object),
        },
        placed=(
            accounts.placed_at,
            accounts.balance,
            np.ones(len(accounts.zone), dtype=np.bool_) if placed is None else placed,
        ),
        contacts=(owners(contacts.start), contacts.known, contacts.kind),
        payments=(
            owners(payments.start),
            payments.known,
            np.where(payments.at >= np.repeat(accounts.placed_at, np.diff(payments.start)), payments.amount, 0),
        ),
        attempted=np.array([kind["direction"] == "outbound" for kind in kinds]),
        reached=np.array([kind["direction"] == "outbound" and kind["outcome"] in REACHED_OUTCOMES for kind in kinds]),
    )


def vintage(placed_at: Instants) -> Instants:
    """The month of placement, `(n,)`, in months since January 1970, UTC."""
    return placed_at.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


#: So many instants or fewer are taken one by one: asking for one account must not cost what asking for many does.
_FEW = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_offset(instants: Instants, zone: Codes, zones: tuple[str, ...]) -> Instants:
    """How far local time is ahead of UTC, in microseconds, `(n,)`, at each instant in each of the `zones` (IANA)."""
    offset = np.zeros(len(instants), dtype=np.int64)
    if zones == ("UTC",):
        return offset
    if len(instants) <= _FEW:
        for place, (instant, code) in enumerate(zip(instants.tolist(), zone.tolist(), strict=True)):
            here = (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zones[code]))
            offset[place] = (here.utcoffset() or timedelta()) // timedelta(microseconds=1)
        return offset
    for code, name in enumerate(zones):
        rows = np.flatnonzero(zone == code)
        if name != "UTC" and len(rows):
            local = pd.DatetimeIndex(instants[rows].astype("datetime64[us]")).tz_localize("UTC").tz_convert(name)
            offset[rows] = local.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) - instants[rows]
    return offset


def _accounts(frame: pd.DataFrame, settings: PortfolioSettings, zone: Codes, categories: Codes) -> Accounts:
    opened_at = to_instants(frame["opened_at"])
    placed_at = to_instants(frame["placed_at"])
    rate = frame["commission_rate"].to_numpy(np.float64, na_value=np.nan)
    return Accounts(
        account_id=_texts(frame["account_id"]),
        person_id=_texts(frame["person_id"]),
        jurisdiction=_texts(frame["jurisdiction"]),
        zone=zone,
        opened_at=opened_at,
        placed_at=np.where(placed_at == NULL_TIME, opened_at, placed_at),
        due_on=to_instants(frame["due_on"]),
        balance=to_money(frame["balance"]),
        commission_rate=np.where(np.isnan(rate), settings.commission_rate, rate),
        numeric=_numeric(frame, settings.numeric),
        categories=categories,
    )


def _contacts(frame: pd.DataFrame, account: Rows, zone: Codes, zones: tuple[str, ...], channels: list[str]) -> Contacts:
    at = to_instants(frame["at"])
    local = at + utc_offset(at, zone[account], zones)
    daypart = np.searchsorted([begin for _, begin in DAYPARTS], local % DAY // HOUR, side="right") - 1
    # 1970-01-01 was a Thursday.
    weekpart = (local // DAY + 3) % 7 >= 5
    kind = _codes(frame["channel"], channels)
    kind = kind * len(OUTCOMES) + _codes(frame["outcome"], OUTCOMES)
    kind = kind * len(DIRECTIONS) + _codes(frame["direction"].fillna(DEFAULT_DIRECTION), DIRECTIONS)
    kind = kind * len(DAYPARTS) + daypart.astype(np.int32)
    kind = kind * len(WEEKPARTS) + weekpart
    columns = (_known(at, frame), at, kind, to_money(frame["cost"].fillna(0.0)), _points(frame["contact_point"]))
    return Contacts(*_packed(account, len(zone), *columns))


def _amounts(frame: pd.DataFrame, account: Rows, zone: Codes, zones: tuple[str, ...]) -> Amounts:
    at = to_instants(frame["at"])
    amount = to_money(frame["amount"])
    sign = np.select([amount > 0, amount < 0], [0, 1], default=2)
    local = (at + utc_offset(at, zone[account], zones)).astype("datetime64[us]")
    monthday = (local.astype("datetime64[D]") - local.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    kind = (sign * len(MONTHDAYS) + monthday).astype(np.int32)
    start, rows = _packed(account, len(zone), _known(at, frame), at, kind, amount)
    return Amounts(start, np.column_stack([rows, by_time(start, rows[:, 1])]))


def by_time(start: Rows, at: Instants) -> Rows:
    """The order in which the rows of each account happened, `(n,)`, as places counted from the account's first."""
    length = np.diff(start)
    account = owners(start)
    place = np.arange(len(at)) - np.repeat(start[:-1], length)
    # Few rows are recorded out of turn: only the accounts that have one are sorted.
    astray = (at[1:] < at[:-1]) & (account[1:] == account[:-1])
    rows = np.flatnonzero(np.isin(account, account[1:][astray]))
    place[rows] = place[rows][np.lexsort((at[rows], account[rows]))]
    return place


def _promises(frame: pd.DataFrame, account: Rows, n_accounts: int) -> Promises:
    at = to_instants(frame["made_at"])
    columns = (_known(at, frame), at, to_instants(frame["due_on"]), to_money(frame["amount"]))
    return Promises(*_packed(account, n_accounts, *columns))


def _restrictions(frame: pd.DataFrame, account: Rows, n_accounts: int, channels: list[str]) -> Restrictions:
    at = to_instants(frame["at"])
    kind, channel = _codes(frame["kind"], RESTRICTIONS), _codes(frame["channel"], channels)
    until = to_instants(frame["until"])
    until = np.where(until == NULL_TIME, FOREVER, until)
    columns = (_known(at, frame), at, kind, until, channel, _points(frame["contact_point"]))
    return Restrictions(*_packed(account, n_accounts, *columns))


def _decisions(frame: pd.DataFrame, account: Rows, n_accounts: int, channels: list[str]) -> Decisions:
    at = to_instants(frame["at"])
    explored = frame["explored"].fillna(False).to_numpy(bool)
    propensity = frame["propensity"].to_numpy(np.float64)
    columns = (_known(at, frame), at, _codes(frame["channel"], [*channels, NO_CHANNEL]))
    order = np.lexsort((explored, propensity, *reversed(columns), account))
    return Decisions(_starts(account, n_accounts), *(_rows(columns, order), propensity[order], explored[order]))


def _points(column: pd.Series[str]) -> Points:
    points = np.full(len(column), NO_POINT, dtype=np.int64)
    given = column.notna().to_numpy()
    points[given] = pd.util.hash_array(column[given].to_numpy(object)).view(np.int64)
    return points


def _known(at: Instants, frame: pd.DataFrame) -> Instants:
    """When each row became known; `NULL_TIME` is below every time, so that a null `recorded_at` leaves `at`."""
    return np.maximum(at, to_instants(frame["recorded_at"]))


def _packed(account: Rows, n_accounts: int, *columns: npt.NDArray[Any]) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Sort by account, then by the columns in turn: rows that tie differ in nothing, so that input order is gone."""
    order = np.lexsort((*reversed(columns), account))
    return _starts(account, n_accounts), _rows(columns, order)


def _starts(account: Rows, n_accounts: int) -> Rows:
    start = np.zeros(n_accounts + 1, dtype=np.int64)
    np.cumsum(np.bincount(account, minlength=n_accounts), out=start[1:])
    return start


def _rows(columns: tuple[npt.NDArray[Any], ...], order: Rows) -> npt.NDArray[np.int64]:
    rows = np.empty((len(order), len(columns)), dtype=np.int64)
    for place, column in enumerate(columns):
        rows[:, place] = column[order]
    return rows


def take_events(table: Table, rows: Rows) -> Table:
    """The events of the accounts at `rows`, `(n,)`, in that order."""
    begin, length = table.start[rows], np.diff(table.start)[rows]
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(length, out=start[1:])
    picked = np.arange(start[-1]) - np.repeat(start[:-1] - begin, length)
    return table._replace(start=start, **{name: getattr(table, name)[picked] for name in table._fields[1:]})


def _codes(column: pd.Series[str], values: Sequence[str]) -> Codes:
    """The position of each row's value among some that differ, `(n,)`; -1 where it is none of them."""
    # Large: one text after the other may be more than an array of plain strings holds.
    texts = pa.array(column, pa.large_string(), from_pandas=True)
    codes = pc.index_in(texts, pa.array(values, pa.large_string()), skip_nulls=True)
    return np.array(codes.fill_null(-1), dtype=np.int32)


def _texts(column: pd.Series[str]) -> Texts:
    values = column.to_numpy(object, copy=True)
    values[pd.isna(values)] = None
    return values


def _numeric(frame: pd.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    columns = [frame[name].to_numpy(np.float64, na_value=np.nan) for name in names]
    return np.column_stack(columns) if names else np.empty((len(frame), 0))


def _categories(frame: pd.DataFrame, settings: PortfolioSettings) -> tuple[tuple[tuple[str, ...], ...], Codes]:
    coded = [_coded(frame[name]) for name in category_columns(settings)]
    return tuple(values for values, _ in coded), np.column_stack([codes for _, codes in coded])


def _coded(column: pd.Series[str]) -> tuple[tuple[str, ...], Codes]:
    """The values of a column, sorted, and the position of each row's among them, `(n,)`, -1 where there is none."""
    values = tuple(sorted(column.dropna().unique().tolist()))
    return values, _codes(column, values)
