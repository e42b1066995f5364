"""Hostile portfolios: everything happens at one of few instants, a microsecond to either side, or a window apart.

Amounts come from a short list too, so that promises are covered exactly and payments tie. A moment is drawn from the
instants at which something may change for the account.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from features.contract import DIRECTIONS, NO_CHANNEL, OUTCOMES, RESTRICTIONS, TABLES, Column
from features.histories import Histories, category_columns, category_values, pack
from features.overview import Overview
from features.portfolio import portfolio_from_frames
from features.settings import DEFAULT_CHANNELS, ChannelSettings, PortfolioSettings, table_columns
from features.units import Instants, Rows
from tests.features.seen import EVENT_TABLES, GRACE, RawPortfolio, Row, happened_at, known_at, placed_at

MICROSECOND = timedelta(microseconds=1)
ZONES = ("America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "UTC")
#: Clock changes in New York and on Lord Howe (by half an hour), Shanghai's midnight, years beyond zone tables, and the
#: last of a month, from which thirty-one and ninety days lead to another 31st.
ANCHORS = (
    datetime(2025, 3, 9, 7, tzinfo=UTC),
    datetime(2025, 11, 2, 6, tzinfo=UTC),
    datetime(2025, 4, 5, 15, tzinfo=UTC),
    datetime(2025, 10, 4, 15, 30, tzinfo=UTC),
    datetime(2024, 2, 29, 16, tzinfo=UTC),
    datetime(2099, 7, 1, 16, tzinfo=UTC),
    datetime(1950, 1, 1, tzinfo=UTC),
    datetime(2024, 12, 31, 23, 30, tzinfo=UTC),
)
#: Windows and beyond the longest, the grace of promises, a month, parts of the day, and nothing at all.
STEPS = tuple(
    timedelta(days=days) + timedelta(hours=hours) + jitter * MICROSECOND
    for days in (0, 0, 3, 7, 27, 30, 31, 90, 180, 400)
    for hours in (0, 5, 12, 17)
    for jitter in (0, 0, -1, 1)
)
#: From a promise to its due date (which may be the start of the day it is made on), or to a restriction's end.
SPANS = (*(timedelta(0) for _ in STEPS[:32]), *(step for step in STEPS if step >= timedelta(0)))
#: From when it happened to when it was recorded: not given, before, at once, later.
DELAYS = (None, None, None, -30, 0, 1, 7, 120)
AMOUNTS = tuple(Decimal(text) for text in ("0.01", "2.50", "50", "100", "100.01", "1999.9999", "999999999999.99"))
PERSONS, POINTS = (None, "p1", "p2"), (None, "n1", "n2")
SETTINGS = (
    PortfolioSettings("plain"),
    PortfolioSettings(
        "furnished",
        commission_rate=0.15,
        timezone="Australia/Lord_Howe",
        numeric=("utilisation",),
        categorical=("employment",),
        audit=("gender",),
        channels=(*DEFAULT_CHANNELS, ChannelSettings("web_chat", cost=0.2)),
    ),
)
#: Known categories that leave out some of those that occur.
CATEGORIES = {"segment": ("cards",), "portfolio": ("east", "west"), "employment": ("none",)}


@dataclass(frozen=True)
class Question:
    """One account at one moment."""

    account_id: str
    as_of: datetime


@dataclass(frozen=True)
class Case:
    """A portfolio, and what is asked of it."""

    portfolio: RawPortfolio
    questions: tuple[Question, ...]


# ----------------------------------------------------------------------------------------------------------- strategies


Times = tuple[datetime, ...]


@st.composite
def times(draw: st.DrawFn) -> Times:
    """The instants of a portfolio: many that lie on, or a microsecond beside, each other's windows; or very few."""
    anchor = draw(st.sampled_from(ANCHORS))
    many = tuple(anchor + sign * step for step in STEPS for sign in (1, -1))
    if draw(st.booleans()):
        return many
    few = draw(st.lists(st.sampled_from(many), min_size=1, max_size=2))
    return tuple(at + step for at in few for step in (timedelta(0), timedelta(0), GRACE, GRACE + MICROSECOND))


def _signed() -> st.SearchStrategy[Decimal]:
    return st.sampled_from([*AMOUNTS, *AMOUNTS, *(-amount for amount in AMOUNTS), Decimal(0)])


def _or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def accounts(times: Times, settings: PortfolioSettings) -> st.SearchStrategy[dict[str, Any]]:
    """Accounts, all but for their names."""
    attributes = {
        **{name: _or_none(st.sampled_from([0.1, -1.5, 1e30])) for name in settings.numeric},
        **{name: st.sampled_from([None, "employed", "none"]) for name in settings.categorical},
        **{name: st.sampled_from([None, "f", "m"]) for name in settings.audit},
    }
    return st.fixed_dictionaries(
        {
            "opened_at": st.sampled_from(times).map(lambda at: at - timedelta(days=60)),
            "placed_at": _or_none(st.sampled_from(times)),
            "due_on": _or_none(st.sampled_from(times)),
            "balance": st.sampled_from([Decimal(0), *AMOUNTS]),
            "segment": st.sampled_from(["cards", "loans"]),
            "portfolio": st.sampled_from([None, "east"]),
            "person_id": st.sampled_from(PERSONS),
            "commission_rate": st.sampled_from([None, 0.0, 0.3]),
            "timezone": st.sampled_from([None, *ZONES]),
            **attributes,
        }
    )


def events(table: str, account_ids: list[str], times: Times, channels: tuple[str, ...]) -> st.SearchStrategy[Row]:
    """Rows of one table of events; half of what is optional is blank."""
    columns: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "contacts": {
            "channel": st.sampled_from(["call", *channels]),
            "outcome": st.sampled_from(["no_answer", *OUTCOMES]),
            "direction": st.sampled_from([None, *DIRECTIONS]),
            "cost": st.sampled_from([None, Decimal(0), Decimal("1.6"), Decimal("0.0001")]),
            "contact_point": st.sampled_from(POINTS),
        },
        "payments": {"amount": _signed()},
        "charges": {"amount": _signed()},
        "promises": {"due_on": st.sampled_from(SPANS), "amount": st.sampled_from(AMOUNTS)},
        "restrictions": {
            "kind": st.sampled_from(["dispute", *RESTRICTIONS]),
            "channel": st.sampled_from([None, *channels]),
            "until": _or_none(st.sampled_from(SPANS)),
        },
        "decisions": {
            "channel": st.sampled_from([NO_CHANNEL, *channels]),
            "propensity": st.sampled_from([0.05, 1.0]),
            "explored": st.sampled_from([None, True, False]),
        },
    }
    time = "made_at" if table == "promises" else "at"
    keys = {"account_id": st.sampled_from(account_ids), time: st.sampled_from(times), "delay": st.sampled_from(DELAYS)}
    return st.fixed_dictionaries({**keys, **columns[table]}).map(_dated)


def _dated(drawn: Mapping[str, Any]) -> Row:
    """Turn the spans that were drawn into instants, counted from when it happened."""
    row = {name: value for name, value in drawn.items() if name != "delay"}
    at: datetime = row["made_at"] if "made_at" in row else row["at"]
    ends = {name: at + row[name] for name in ("due_on", "until") if row.get(name) is not None}
    return {**row, **ends, "recorded_at": None if drawn["delay"] is None else at + timedelta(days=drawn["delay"])}


@st.composite
def stories(draw: st.DrawFn, account: Row, times: Times) -> list[tuple[str, Row]]:
    """What seldom comes about by chance: promises covered twice or no longer, cures, money that comes and goes at once.

    Each row comes with the name of its table.
    """
    begin, amount = draw(st.sampled_from(times)), draw(st.sampled_from(AMOUNTS[:6]))
    spans = draw(st.lists(st.sampled_from(SPANS), min_size=3, max_size=3).map(sorted))
    first, second, third = (begin + span for span in spans)
    owed = account["balance"] or amount

    def row(table: str, at: datetime, amount: Decimal) -> tuple[str, Row]:
        delay = draw(st.sampled_from(DELAYS))
        recorded_at = None if delay is None else at + timedelta(days=delay)
        time = {"made_at": at, "due_on": second} if table == "promises" else {"at": at}
        return table, {"account_id": account["account_id"], **time, "amount": amount, "recorded_at": recorded_at}

    told: dict[str, list[tuple[str, datetime, Decimal]]] = {
        "covered twice": [
            ("promises", begin, amount),
            ("payments", first, amount),
            ("payments", third, amount),
        ],
        "covered, taken back, covered": [
            ("promises", begin, amount),
            ("payments", first, amount),
            ("payments", second, -amount),
            ("payments", third, amount),
        ],
        "taken back after keeping": [
            ("promises", begin, amount),
            ("payments", first, amount),
            ("payments", second + GRACE + draw(st.sampled_from([timedelta(0), MICROSECOND])), -amount),
        ],
        "covered by what came in one instant": [
            ("promises", begin, amount),
            ("payments", first, amount),
            ("payments", first, -amount),
            ("payments", third, amount),
        ],
        "cured, charged again": [
            ("payments", max(begin, placed_at(account)), owed),
            ("charges", max(first, placed_at(account)), amount),
            ("payments", max(second, placed_at(account)), amount),
            ("payments", max(third, placed_at(account)), -amount),
        ],
    }
    return [row(*each) for each in told[draw(st.sampled_from(sorted(told)))]]


@st.composite
def portfolios(draw: st.DrawFn, max_rows: int = 8) -> RawPortfolio:
    """One to three accounts with up to `max_rows` rows in each table, any of which may be empty, and some stories."""
    instants, settings = draw(times()), draw(st.sampled_from(SETTINGS))
    account_ids = draw(st.sampled_from([["a1"], ["b", "a"], ["10", "9", "a"]]))
    rows: dict[str, list[Row]] = {
        "accounts": [{"account_id": name, **draw(accounts(instants, settings))} for name in account_ids]
    }
    for table in EVENT_TABLES:
        rows[table] = draw(st.lists(events(table, account_ids, instants, settings.channel_names), max_size=max_rows))
    for account in draw(st.lists(st.sampled_from(rows["accounts"]), max_size=2)):
        for table, row in draw(stories(account, instants)):
            rows[table].append(row)
    return RawPortfolio(settings, rows)


@st.composite
def cases(draw: st.DrawFn, max_rows: int = 8, max_questions: int = 12) -> Case:
    """A portfolio with moments at which something changes, in any order, some of them twice; or account by account."""
    portfolio = draw(portfolios(max_rows))
    asked = st.sampled_from([Question(name, at) for name, edges in edges_of(portfolio).items() for at in edges])
    questions = draw(st.lists(asked, min_size=1, max_size=max_questions))
    if draw(st.booleans()):
        questions.sort(key=lambda question: (question.account_id, question.as_of))
    return Case(portfolio, tuple(questions))


def edges_of(portfolio: RawPortfolio) -> dict[str, list[datetime]]:
    """The instants at which something may change, of each account, with a microsecond to either side."""
    found: dict[str, set[datetime]] = {}
    for account in portfolio.tables["accounts"]:
        found[account["account_id"]] = {
            account[name] for name in ("opened_at", "placed_at", "due_on") if account[name] is not None
        }
    for table in EVENT_TABLES:
        for row in portfolio.tables[table]:
            found[row["account_id"]].update(_edges_of_row(table, row))
    sides = (-MICROSECOND, timedelta(0), MICROSECOND)
    return {name: sorted({at + side for at in edges for side in sides}) for name, edges in found.items()}


def _edges_of_row(table: str, row: Row) -> Iterator[datetime]:
    at = happened_at(table, row)
    yield from (at, known_at(table, row))
    yield from (at + timedelta(days=days) for days in (7, 30, 90, 180))
    yield known_at(table, row) + timedelta(days=180)
    if table == "promises":
        yield from (row["due_on"], row["due_on"] + GRACE, row["due_on"] + GRACE + timedelta(days=90), at + GRACE)
    if row.get("until") is not None:
        yield row["until"]


# ------------------------------------------------------------------------------------------------ into typed histories


def frames(portfolio: RawPortfolio) -> dict[str, pd.DataFrame]:
    """The raw rows as frames; an optional column that is blank throughout, or a table without rows, is left out."""
    return {
        name: _frame(portfolio.tables.get(name, ()), table_columns(table, portfolio.settings))
        for name, table in TABLES.items()
        if table.required or portfolio.tables.get(name)
    }


def _frame(rows: Sequence[Row], columns: Iterable[Column]) -> pd.DataFrame:
    cells = {column: [row.get(column.name) for row in rows] for column in columns if rows}
    kept = {
        column.name: values
        for column, values in cells.items()
        if column.required or any(value is not None for value in values)
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in kept.items()})


def packed(portfolio: RawPortfolio, whole: bool = True) -> Histories:
    """The histories of a portfolio in which no row is bad."""
    checked = portfolio_from_frames(frames(portfolio), portfolio.settings)
    assert checked.rejects.empty, checked.rejects.to_string()
    return pack(checked, whole)


def asked(histories: Histories, questions: Iterable[Question]) -> tuple[Rows, Instants]:
    """The positions of the accounts and the instants that are asked about, `(n_questions,)` each."""
    position = {name: place for place, name in enumerate(histories.accounts.account_id)}
    pairs = [(position[question.account_id], instant(question.as_of)) for question in questions]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])


def instant(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


def money(amount: Decimal) -> int:
    """Ten-thousandths of the main unit."""
    return int(amount * 10_000)


def assert_same_histories(got: Histories, wanted: Histories) -> None:
    """Equal in every array, and in what is said of the portfolio."""
    assert (got.zones, got.levels) == (wanted.zones, wanted.levels)
    assert_same_rows(got, wanted)
    np.testing.assert_array_equal(got.accounts.zone, wanted.accounts.zone)
    np.testing.assert_array_equal(got.accounts.categories, wanted.accounts.categories)
    assert (got.overview is None) == (wanted.overview is None)
    if got.overview is not None and wanted.overview is not None:
        assert_same_overview(got.overview, wanted.overview)


def assert_same_rows(got: Histories, wanted: Histories) -> None:
    """Equal in every array but for the codes of zones and categories, which must mean the same."""
    assert got.settings == wanted.settings
    for table in ("accounts", *EVENT_TABLES):
        for name in getattr(got, table)._fields:
            one, other = getattr(getattr(got, table), name), getattr(getattr(wanted, table), name)
            assert one.dtype == other.dtype, f"{table}.{name}"
            if name not in ("zone", "categories"):
                np.testing.assert_array_equal(one, other, f"{table}.{name}")
    np.testing.assert_array_equal(got.timezones, wanted.timezones)
    for column in category_columns(got.settings):
        np.testing.assert_array_equal(category_values(got, column), category_values(wanted, column), column)


def assert_same_overview(got: Overview, wanted: Overview) -> None:
    """Equal in every array."""
    np.testing.assert_array_equal(got.first_contact, wanted.first_contact)
    assert list(got.groups) == list(wanted.groups)
    for name, one in got.groups.items():
        other = wanted.groups[name]
        assert one.keys == other.keys, name
        for column in ("start", "day", "sums"):
            mine, theirs = getattr(one, column), getattr(other, column)
            assert mine.dtype == theirs.dtype, f"{name}.{column}"
            np.testing.assert_array_equal(mine, theirs, f"{name}.{column}")


def long_history(n_events: int, settings: PortfolioSettings, days: int = 360) -> RawPortfolio:
    """One account with that many events in so many days, some recorded late; the same at every call."""
    chance = random.Random(n_events)
    begin, channels = datetime(2025, 1, 1, tzinfo=UTC), settings.channel_names
    account: Row = {
        "account_id": "a",
        "opened_at": begin - timedelta(days=90),
        "placed_at": begin,
        "due_on": begin - timedelta(days=60),
        "balance": Decimal("54321.09"),
        "segment": "cards",
        "timezone": "America/New_York",
    }
    rows: dict[str, list[Row]] = {"accounts": [account], **{table: [] for table in EVENT_TABLES}}
    for _ in range(n_events):
        table = chance.choices(EVENT_TABLES[:5], (60, 20, 8, 6, 6))[0]
        at = begin + timedelta(minutes=chance.randrange(days * 24 * 60))
        row = {"account_id": "a", "at": at, "amount": Decimal(chance.randrange(-2_000, 20_000)) / 100}
        if chance.random() < 0.3:
            row["recorded_at"] = at + timedelta(days=chance.randrange(20))
        if table == "contacts":
            row |= {"channel": chance.choice(channels), "outcome": chance.choice(OUTCOMES), "cost": Decimal("1.6")}
        elif table == "promises":
            row |= {"made_at": at, "due_on": at + timedelta(days=chance.randrange(15)), "amount": Decimal(5_000)}
        elif table == "restrictions":
            row |= {"kind": chance.choice(RESTRICTIONS), "until": at + timedelta(days=chance.randrange(60))}
        rows[table].append(row)
    return RawPortfolio(settings, rows)
