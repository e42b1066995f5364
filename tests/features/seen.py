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
from itertools import groupby
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
    """A promise as of a moment: `state` is kept, broken or open; `settled_at` is since when it is kept or broken."""

    made_at: datetime
    due_on: datetime
    amount: Decimal
    paid_within_3d: Decimal
    paid_in_time: Decimal
    paid_since: Decimal
    covered_at: datetime | None
    state: str
    settled_at: datetime | None

    @property
    def deadline(self) -> datetime:
        """The last instant at which it can be paid."""
        return self.due_on + GRACE

    @property
    def term(self) -> str:
        """Whether it is due within three days of its making."""
        return "quick" if self.due_on - self.made_at <= timedelta(days=3) else "later"


@dataclass(frozen=True)
class Seen:
    """What is known of one account strictly before a moment, and the portfolio around it."""

    account: Row
    portfolio: RawPortfolio
    as_of: datetime
    rows: Mapping[str, Sequence[Row]]

    @property
    def settings(self) -> PortfolioSettings:
        """The portfolio's settings."""
        return self.portfolio.settings

    @property
    def placed_at(self) -> datetime:
        """When the account came to collections."""
        return placed_at(self.account)

    @property
    def zone(self) -> ZoneInfo:
        """The debtor's time zone."""
        return ZoneInfo(self.account.get("timezone") or self.settings.timezone)

    def days_since(self, when: datetime | None) -> Fraction | None:
        """Days from an instant to the moment."""
        return None if when is None else in_days(self.as_of - when)

    def select(self, events: Where, days: int | None = None) -> list[Row]:
        """The rows that meet the conditions, of the `days` before the moment where they are given."""
        if events not in self._selected:
            self._selected[events] = [
                row
                for row, dimensions in self._described(events.table)
                if all(dimensions[name] in values for name, values in events.conditions)
            ]
        rows = self._selected[events]
        if days is None:
            return rows
        begin = self.as_of - timedelta(days=days)
        return [row for row in rows if begin <= happened_at(events.table, row) < self.as_of]

    @cached_property
    def _selected(self) -> dict[Where, list[Row]]:
        """What was selected before, since many features are windows on the same rows."""
        return {}

    @cached_property
    def _tables(self) -> dict[str, list[tuple[Row, Mapping[str, str]]]]:
        return {}

    def _described(self, table: str) -> list[tuple[Row, Mapping[str, str]]]:
        """The rows of a table, or of the settlements of promises, each with what it is in every dimension."""
        if table not in self._tables:
            rows = self.settlements if table == "settlements" else self.rows[table]
            self._tables[table] = [(row, self._dimensions(table, row)) for row in rows]
        return self._tables[table]

    def _dimensions(self, table: str, row: Row) -> Mapping[str, str]:
        if table == "contacts":
            local = row["at"].astimezone(self.zone)
            return {
                "channel": row["channel"],
                "outcome": row["outcome"],
                "direction": row.get("direction") or "outbound",
                "daypart": "morning" if local.hour < 12 else "afternoon" if local.hour < 17 else "evening",
                "weekpart": "weekend" if local.strftime("%a") in ("Sat", "Sun") else "workday",
            }
        if table in ("payments", "charges"):
            positive, negative = {"payments": ("payment", "reversal"), "charges": ("charge", "credit")}[table]
            sign = positive if row["amount"] > 0 else negative if row["amount"] < 0 else "nothing"
            return {"sign": sign, "monthday": str(row["at"].astimezone(self.zone).day)}
        if table == "promises":
            return {"term": settle(row, (), self.as_of).term}
        return {name: row[name] for name in ("state", "due", "term")}

    @cached_property
    def attempts(self) -> list[Row]:
        """The collector's contacts."""
        return [row for row in self.rows["contacts"] if (row.get("direction") or "outbound") == "outbound"]

    @cached_property
    def payments(self) -> list[Row]:
        """What was paid, oldest first, without reversals and rows of no money."""
        return sorted((row for row in self.rows["payments"] if row["amount"] > 0), key=lambda row: row["at"])

    @cached_property
    def promises(self) -> list[Promise]:
        """Every promise with what has become of it."""
        return [settle(row, self.rows["payments"], self.as_of) for row in self.rows["promises"]]

    @cached_property
    def settlements(self) -> list[Row]:
        """Kept promises, at the time at which they were covered, and broken ones, at the end of their grace."""
        return [
            {
                "at": promise.settled_at,
                "amount": promise.amount,
                "state": promise.state,
                "due": "yes" if promise.deadline < self.as_of else "no",
                "term": promise.term,
            }
            for promise in self.promises
            if promise.state != "open"
        ]

    def promised(self, state: str) -> list[Promise]:
        """The promises of one state."""
        return [promise for promise in self.promises if promise.state == state]

    @cached_property
    def moves(self) -> list[tuple[datetime, Decimal]]:
        """How much the balance moved at each instant since placement, oldest first."""
        moved: dict[datetime, Decimal] = {}
        for table, sign in (("charges", 1), ("payments", -1)):
            for row in self.rows[table]:
                if row["at"] >= self.placed_at:
                    moved[row["at"]] = moved.get(row["at"], Decimal(0)) + sign * row["amount"]
        return sorted(moved.items())

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
    return Seen(portfolio.account(account_id), portfolio, as_of, rows)


def placed_at(account: Row) -> datetime:
    """When an account came to collections."""
    when: datetime = account.get("placed_at") or account["opened_at"]
    return when


def settle(row: Row, payments: Sequence[Row], as_of: datetime) -> Promise:
    """Kept when net payments from the making to the deadline cover it, broken when that has passed, else open."""
    made_at, due_on, amount = row["made_at"], row["due_on"], row["amount"]
    deadline = due_on + GRACE
    since = [payment for payment in payments if payment["at"] >= made_at]
    in_time = [payment for payment in since if payment["at"] <= deadline]
    paid, paid_since = (total(payment["amount"] for payment in payments) for payments in (in_time, since))
    state = "kept" if paid >= amount else "broken" if as_of > deadline else "open"
    return Promise(
        made_at=made_at,
        due_on=due_on,
        amount=amount,
        paid_within_3d=total(payment["amount"] for payment in since if payment["at"] <= made_at + timedelta(days=3)),
        paid_in_time=paid,
        paid_since=paid_since,
        covered_at=covered_at(amount, since) if paid_since >= amount else None,
        state=state,
        settled_at={"kept": covered_at(amount, in_time) if state == "kept" else None, "broken": deadline}.get(state),
    )


def covered_at(amount: Decimal, payments: Sequence[Row]) -> datetime | None:
    """The first instant after all of whose payments the sum so far is at least an amount."""
    paid = Decimal(0)
    for instant, together in groupby(sorted(payments, key=lambda row: row["at"]), key=lambda row: row["at"]):
        paid += total(payment["amount"] for payment in together)
        if paid >= amount:
            when: datetime = instant
            return when
    return None


def total(amounts: Iterable[Decimal]) -> Decimal:
    """An exact sum of money."""
    return sum(amounts, Decimal(0))


def in_days(span: timedelta) -> Fraction:
    """An exact number of days."""
    return Fraction(span // timedelta(microseconds=1), 86_400_000_000)


def latest(instants: Iterable[datetime]) -> datetime | None:
    """The latest of some instants; `None` where there is none."""
    return max(instants, default=None)
