"""What is known of an account strictly before a moment: the contract read a second time, over rows as they are given.

Slow, plain Python that shares no code with the kernel. Rows are dicts with aware datetimes, exact decimals and `None`
for what is blank; time is `datetime` and `zoneinfo`, money is `Decimal`, a number of days is a `Fraction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from features.catalog.grammar import Where
from features.settings import PortfolioSettings

Row = Mapping[str, Any]
GRACE = timedelta(days=3)
EVENT_TABLES = ("contacts", "payments", "promises", "charges", "restrictions", "decisions")


@dataclass(frozen=True)
class RawPortfolio:
    """A portfolio as its owner hands it over: rows by table, in any order."""

    settings: PortfolioSettings
    tables: Mapping[str, Sequence[Row]]

    def account(self, account_id: str) -> Row:
        """The row of one account."""
        return next(row for row in self.tables["accounts"] if row["account_id"] == account_id)


def happened_at(table: str, row: Row) -> datetime:
    """When the row's event happened."""
    when: datetime = row["made_at"] if table == "promises" else row["at"]
    return when


def known_at(table: str, row: Row) -> datetime:
    """From when the row counts: when it was recorded, and never before it happened."""
    at, recorded_at = happened_at(table, row), row.get("recorded_at")
    return at if recorded_at is None else max(at, recorded_at)


@dataclass(frozen=True)
class Promise:
    """A promise as of a moment: `state` is kept, broken or open."""

    made_at: datetime
    due_on: datetime
    amount: Decimal
    paid_in_time: Decimal
    state: str

    @property
    def deadline(self) -> datetime:
        """The last instant at which it can be paid."""
        return self.due_on + GRACE


@dataclass(frozen=True)
class Seen:
    """What is known of one account strictly before a moment."""

    account: Row
    settings: PortfolioSettings
    as_of: datetime
    rows: Mapping[str, Sequence[Row]]

    @property
    def placed_at(self) -> datetime:
        """When the account came to collections."""
        placed_at: datetime = self.account.get("placed_at") or self.account["opened_at"]
        return placed_at

    @property
    def zone(self) -> ZoneInfo:
        """The debtor's time zone."""
        return ZoneInfo(self.account.get("timezone") or self.settings.timezone)

    def days_since(self, when: datetime | None) -> Fraction | None:
        """Days from an instant to the moment."""
        return None if when is None else in_days(self.as_of - when)

    def select(self, events: Where, days: int | None = None) -> list[Row]:
        """The rows that meet the conditions, of the `days` before the moment where they are given."""
        rows = [row for row in self.rows[events.table] if self.meets(events, row)]
        if days is None:
            return rows
        begin = self.as_of - timedelta(days=days)
        return [row for row in rows if begin <= happened_at(events.table, row) < self.as_of]

    def meets(self, events: Where, row: Row) -> bool:
        """Whether every named dimension of the row has one of the given values."""
        return all(self.dimension(events.table, row, name) in values for name, values in events.conditions)

    def dimension(self, table: str, row: Row, name: str) -> str:
        """What a row is in one dimension of the catalogue's conditions."""
        if name == "direction":
            return row.get("direction") or "outbound"
        if name == "daypart":
            hour = row["at"].astimezone(self.zone).hour
            return "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"
        if name == "sign":
            positive, negative = {"payments": ("payment", "reversal"), "charges": ("charge", "credit")}[table]
            return positive if row["amount"] > 0 else negative if row["amount"] < 0 else "nothing"
        return str(row[name])

    @cached_property
    def attempts(self) -> list[Row]:
        """The collector's contacts."""
        return [row for row in self.rows["contacts"] if self.dimension("contacts", row, "direction") == "outbound"]

    @cached_property
    def payments(self) -> list[Row]:
        """What was paid, oldest first, without reversals and rows of no money."""
        return sorted((row for row in self.rows["payments"] if row["amount"] > 0), key=lambda row: row["at"])

    @cached_property
    def promises(self) -> list[Promise]:
        """Every promise with what has become of it."""
        return [settle(row, self.rows["payments"], self.as_of) for row in self.rows["promises"]]

    def promised(self, state: str) -> list[Promise]:
        """The promises of one state."""
        return [promise for promise in self.promises if promise.state == state]

    def active(self, kind: str) -> list[Row]:
        """The restrictions of one kind that hold at the moment."""
        return [
            row
            for row in self.rows["restrictions"]
            if row["kind"] == kind and (row.get("until") is None or self.as_of < row["until"])
        ]


def seen(portfolio: RawPortfolio, account_id: str, as_of: datetime) -> Seen:
    """Cut time: what counts for one account is its rows known strictly before the moment."""
    rows = {
        table: [
            row
            for row in portfolio.tables.get(table, ())
            if row["account_id"] == account_id and known_at(table, row) < as_of
        ]
        for table in EVENT_TABLES
    }
    return Seen(portfolio.account(account_id), portfolio.settings, as_of, rows)


def settle(row: Row, payments: Sequence[Row], as_of: datetime) -> Promise:
    """Kept when net payments from the making to the deadline cover it, broken when that has passed, else open."""
    deadline = row["due_on"] + GRACE
    paid = total(payment["amount"] for payment in payments if row["made_at"] <= payment["at"] <= deadline)
    state = "kept" if paid >= row["amount"] else "broken" if as_of > deadline else "open"
    return Promise(row["made_at"], row["due_on"], row["amount"], paid, state)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """An exact sum of money."""
    return sum(amounts, Decimal(0))


def in_days(span: timedelta) -> Fraction:
    """An exact number of days."""
    return Fraction(span // timedelta(microseconds=1), 86_400_000_000)


def latest(instants: Iterable[datetime]) -> datetime | None:
    """The latest of some instants; `None` where there is none."""
    return max(instants, default=None)
