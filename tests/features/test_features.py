"""The whole catalogue against its slow second reading, bit for bit, and the invariants that hold for every feature."""

from __future__ import annotations

import copy
import csv
import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog.grammar import Derived
from features.compute import FeatureSet, feature_matrix, known_categories, prepare, standing
from features.errors import SettingsError
from features.histories import Histories, overview_of, pack
from features.portfolio import read_portfolio
from features.selection import own_history
from features.settings import PortfolioSettings
from tests.features import oracle
from tests.features.seen import EVENT_TABLES, RawPortfolio, Row, happened_at, known_at, seen
from tests.features.strategies import (
    CATEGORIES,
    MICROSECOND,
    SETTINGS,
    Case,
    Question,
    asked,
    assert_same_histories,
    cases,
    edges_of,
    instant,
    long_history,
    money,
    packed,
    portfolios,
)

Matrix = npt.NDArray[np.float32]


@cache
def whole_catalogue(portfolio_settings: PortfolioSettings) -> FeatureSet:
    return prepare(portfolio_settings, categories=CATEGORIES)


def matrix(histories: Histories, questions: Sequence[Question]) -> Matrix:
    """Every feature for every question."""
    return feature_matrix(histories, *asked(histories, questions), whole_catalogue(histories.settings))


def expected(
    portfolio: RawPortfolio, questions: Sequence[Question], categories: Mapping[str, tuple[str, ...]] = CATEGORIES
) -> Matrix:
    """Every feature for every question, by the second reading."""
    features = whole_catalogue(portfolio.settings).features
    rows = [
        oracle.features_of(seen(portfolio, question.account_id, question.as_of), features, categories)
        for question in questions
    ]
    return np.array([[row[feature.name] for feature in features] for row in rows], dtype=np.float32)


@cache
def of_the_account_alone(portfolio_settings: PortfolioSettings) -> FeatureSet:
    """Every feature that other accounts have no part in."""
    names = whole_catalogue(portfolio_settings).names
    return prepare(portfolio_settings, own_history(portfolio_settings, names), CATEGORIES)


def bits(values: Matrix) -> npt.NDArray[np.uint32]:
    """The bits of each number; all NaN alike."""
    return np.where(np.isnan(values), np.float32(np.nan), values).astype(np.float32).view(np.uint32)


def assert_same(got: Matrix, wanted: Matrix, names: Sequence[str]) -> None:
    """Equal bit for bit, or a list of the values that differ."""
    assert got.shape == wanted.shape
    differ = np.argwhere(bits(got) != bits(wanted))
    found = [f"row {row}: {names[column]} is {got[row, column]}, not {wanted[row, column]}" for row, column in differ]
    assert not found, "\n".join(found[:20])


# ------------------------------------------------------------------------------------------------- the second reading


@settings(max_examples=100)
@given(cases())
def test_every_feature_is_what_its_sentence_says(case: Case) -> None:
    names = whole_catalogue(case.portfolio.settings).names
    assert_same(matrix(packed(case.portfolio), case.questions), expected(case.portfolio, case.questions), names)


@settings(max_examples=30)
@given(cases())
def test_the_balance_is_owed_and_a_live_account_is_placed_owing_and_not_closed(case: Case) -> None:
    histories = packed(case.portfolio, whole=False)
    balance, live = standing(histories, *asked(histories, case.questions))
    now = [seen(case.portfolio, question.account_id, question.as_of) for question in case.questions]
    assert balance.tolist() == [money(oracle.balance(each)) for each in now]
    assert live.tolist() == [oracle.live(each) for each in now]


def test_a_history_of_2000_events_is_what_its_sentences_say() -> None:
    portfolio = long_history(2_000, SETTINGS[1])
    moments = [Question("a", datetime(2025, 12, 31, tzinfo=UTC)), Question("a", datetime(2025, 3, 9, 7, tzinfo=UTC))]
    names = whole_catalogue(portfolio.settings).names
    assert_same(matrix(packed(portfolio), moments), expected(portfolio, moments), names)


def test_a_history_of_20000_events_is_scored_at_300_moments() -> None:
    # `make bench-features` measures what a moment of such a history costs.
    portfolio = long_history(20_000, SETTINGS[0], days=3_600)
    histories, features = packed(portfolio), whole_catalogue(SETTINGS[0])
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    account, as_of = asked(histories, [Question("a", begin + timedelta(days=12 * week)) for week in range(1, 301)])
    found = feature_matrix(histories, account, as_of, features)
    assert not np.isnan(found[1:, features.names.index("broken_promise_paid_share")]).any()


def test_thousands_of_promises_are_settled_by_thousands_of_payments() -> None:
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    account: Row = {"account_id": "a", "opened_at": begin, "balance": Decimal(10**6), "segment": "cards"}
    payments: list[Row] = [
        {"account_id": "a", "at": begin + timedelta(hours=hour), "amount": Decimal(1 + hour % 7)}
        for hour in range(3_000)
    ]
    promises: list[Row] = [
        {
            "account_id": "a",
            "made_at": payment["at"],
            "due_on": payment["at"] + timedelta(days=hour % 90),
            "amount": Decimal(100 * (1 + hour % 50)),
        }
        for hour, payment in enumerate(payments)
    ]
    portfolio = RawPortfolio(SETTINGS[0], {"accounts": [account], "payments": payments, "promises": promises})
    histories, features = packed(portfolio), whole_catalogue(SETTINGS[0])
    moments = np.array([instant(begin + timedelta(days=days)) for days in range(90, 190)])
    found = feature_matrix(histories, np.zeros(len(moments), np.int64), moments, features)
    settled = [features.names.index(name) for name in ("promises_kept", "promises_broken", "promises_open")]
    assert (found[-1, settled[:2]] > 500).all()
    assert found[moments > instant(payments[-1]["at"])][:, settled].sum(axis=1).tolist() == [3_000.0] * 65


# --------------------------------------------------------------------------------------------------------- invariants


@settings(max_examples=25)
@given(cases(), st.integers(0, 1))
def test_a_row_known_at_or_after_the_moment_changes_nothing(case: Case, later: int) -> None:
    # Otherwise training would see what nobody could know when the score was needed.
    as_of = case.questions[0].as_of
    questions = [replace(question, as_of=as_of) for question in case.questions]
    known, unknown = dict(case.portfolio.tables), dict(case.portfolio.tables)
    for table in EVENT_TABLES:
        rows = case.portfolio.tables[table]
        known[table] = [row for row in rows if known_at(table, row) < as_of]
        late = [
            {**row, "recorded_at": max(as_of, happened_at(table, row)) + later * MICROSECOND, "amount": Decimal("7.77")}
            for row in rows
        ]
        unknown[table] = [*rows, *late]
    names = whole_catalogue(case.portfolio.settings).names
    before = matrix(packed(replace(case.portfolio, tables=known)), questions)
    assert_same(matrix(packed(replace(case.portfolio, tables=unknown)), questions), before, names)


@settings(max_examples=15)
@given(cases())
def test_another_account_changes_nothing(case: Case) -> None:
    # What is of the account alone is a function of its own rows; that is what lets accounts be split over machines.
    tables = {
        table: [*rows, *({**row, "account_id": other} for other in ("0", "zz") for row in rows)]
        for table, rows in case.portfolio.tables.items()
    }
    first = case.portfolio.tables["accounts"][0]
    tables["accounts"] = [*case.portfolio.tables["accounts"], *({**first, "account_id": name} for name in ("0", "zz"))]
    features = of_the_account_alone(case.portfolio.settings)
    crowded = packed(replace(case.portfolio, tables=tables), whole=False)
    alone = packed(case.portfolio, whole=False)
    got = feature_matrix(crowded, *asked(crowded, case.questions), features)
    assert_same(got, feature_matrix(alone, *asked(alone, case.questions), features), features.names)


@settings(max_examples=15)
@given(cases())
def test_an_account_sent_in_a_request_has_the_values_that_it_has_in_the_portfolio(case: Case) -> None:
    # A request holds one account, and does not say what its segment pays.
    histories, features = packed(case.portfolio), of_the_account_alone(case.portfolio.settings)
    account_id = case.questions[0].account_id
    questions = [question for question in case.questions if question.account_id == account_id]
    tables = {
        name: [row for row in rows if row["account_id"] == account_id] for name, rows in case.portfolio.tables.items()
    }
    request = packed(replace(case.portfolio, tables=tables), whole=False)
    got = feature_matrix(request, *asked(request, questions), features)
    assert_same(got, feature_matrix(histories, *asked(histories, questions), features), features.names)
    with pytest.raises(SettingsError, match="needs the whole portfolio, got some of its accounts"):
        feature_matrix(request, *asked(request, questions), prepare(histories.settings, ("segment_paid_share",)))


@settings(max_examples=20)
@given(cases(), st.data())
def test_some_accounts_in_any_order_and_number_have_the_rows_they_had(case: Case, data: st.DataObject) -> None:
    # A partition, a page of a queue and a request for one account all score accounts taken out of a portfolio.
    histories = packed(case.portfolio)
    account, as_of = asked(histories, case.questions)
    taken = np.array(data.draw(st.lists(st.sampled_from(sorted(set(account.tolist()))), min_size=1, max_size=6)))
    again = [(place, moment) for place in range(len(taken)) for moment in np.unique(as_of)]
    places, moments = np.array(again, dtype=np.int64).T.copy()
    features = whole_catalogue(case.portfolio.settings)
    got = feature_matrix(histories.take(taken), places, moments, features)
    assert_same(got, feature_matrix(histories, taken[places], moments, features), features.names)


@settings(max_examples=20)
@given(cases(), st.randoms(use_true_random=False))
def test_moments_do_not_see_each_other(case: Case, chance: random.Random) -> None:
    # One moment is the online path, many are the batch: the same bits, in any order, asked twice or once.
    histories, names = packed(case.portfolio), whole_catalogue(case.portfolio.settings).names
    questions = [*case.questions, *case.questions]
    chance.shuffle(questions)
    one_by_one = np.concatenate([matrix(histories, [question]) for question in questions])
    assert_same(matrix(histories, questions), one_by_one, names)


@settings(max_examples=20)
@given(portfolios(), st.data())
def test_moments_that_follow_each_other_are_what_each_is_alone(portfolio: RawPortfolio, data: st.DataObject) -> None:
    # What is older than the longest window is carried from one moment of an account to the next one.
    histories, features = packed(portfolio), whole_catalogue(portfolio.settings)
    edges = [Question(name, at) for name, moments in edges_of(portfolio).items() for at in moments]
    picked = data.draw(st.lists(st.sampled_from(edges), min_size=1, max_size=40))
    far = data.draw(st.lists(st.integers(1, 900), max_size=5))
    picked += [Question(each.account_id, each.as_of + timedelta(days=days)) for each in picked[:3] for days in far]
    picked.sort(key=lambda each: each.as_of)
    # Account by account; then all in ascending order, so that accounts take turns.
    for questions in (sorted(picked, key=lambda each: each.account_id), picked):
        one_by_one = np.concatenate([matrix(histories, [question]) for question in questions])
        assert_same(matrix(histories, questions), one_by_one, features.names)


def test_the_moments_of_a_long_history_are_what_each_is_alone() -> None:
    histories = packed(long_history(1_500, SETTINGS[0], days=1_200))
    days = np.array([0, 0, 1, *range(3, 1_500, 10), 1_500, 4_000, 10, 9, 9, 800, 801])
    moments = instant(datetime(2025, 1, 1, tzinfo=UTC)) + days * 86_400_000_000
    features = whole_catalogue(SETTINGS[0])
    account = np.zeros(len(moments), dtype=np.int64)
    alone = [feature_matrix(histories, account[:1], moments[[place]], features) for place in range(len(moments))]
    assert_same(feature_matrix(histories, account, moments, features), np.concatenate(alone), features.names)


@st.composite
def accounts_of_years(draw: st.DrawFn) -> RawPortfolio:
    """One account over three years: few amounts, so that sums tie, payments taken back, rows recorded late or too late.

    Promises are made, kept, broken and carried; some payments reach behind those that were carried.
    """
    chance = draw(st.randoms(use_true_random=False))
    begin, n_rows = datetime(2022, 1, 1, tzinfo=UTC), draw(st.sampled_from((4, 15, 60)))
    account: Row = {
        "account_id": "a",
        "opened_at": begin,
        "placed_at": begin + timedelta(days=chance.choice((0, 200))),
        "balance": Decimal(chance.choice((0, 50, 400))),
        "segment": "cards",
    }
    late, reversals = chance.choice((0, 0.1, 0.5)), chance.choice((0, 0.1, 0.4))

    def row(time: str, scale: int) -> dict[str, Any]:
        at = begin + timedelta(days=chance.randrange(1_000), hours=12 * chance.randrange(2))
        amount = Decimal(scale * chance.choice((50, 50, 100)))
        known = {"recorded_at": at + timedelta(days=chance.choice((1, 30, 250, 500)))} if chance.random() < late else {}
        return {"account_id": "a", time: at, "amount": amount, **known}

    signs = [-1 if chance.random() < reversals else 1 for _ in range(2 * n_rows)]
    promises = [row("made_at", 1) for _ in range(n_rows)]
    for promise in promises:
        promise["due_on"] = promise["made_at"] + timedelta(days=chance.choice((0, 3, 20, 20, 400)))
    payments, charges = [row("at", sign) for sign in signs[:n_rows]], [row("at", sign) for sign in signs[n_rows:]]
    tables: dict[str, Sequence[Row]] = {"accounts": [account], "promises": promises}
    return RawPortfolio(SETTINGS[0], {**tables, "payments": payments, "charges": charges})


@settings(max_examples=25)
@given(accounts_of_years(), st.integers(5, 90))
def test_what_is_carried_over_years_is_what_each_moment_alone_gives(portfolio: RawPortfolio, step: int) -> None:
    # Promises carried may be paid late, taken back or reached behind; then all that was carried is worked out anew.
    histories, features = packed(portfolio), whole_catalogue(SETTINGS[0])
    moments = instant(datetime(2022, 2, 1, tzinfo=UTC)) + np.arange(0, 1_600, step) * 86_400_000_000
    account = np.zeros(len(moments), dtype=np.int64)
    alone = [feature_matrix(histories, account[:1], moments[[place]], features) for place in range(len(moments))]
    assert_same(feature_matrix(histories, account, moments, features), np.concatenate(alone), features.names)


@pytest.mark.parametrize("recorded", [260, 500])
def test_a_payment_recorded_late_covers_a_promise_carried_earlier(recorded: int) -> None:
    # Covered after 250 days, then known to be after 220: while that is in the longest window, and when it is carried.
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    day = [begin + timedelta(days=days) for days in range(600)]
    account: Row = {"account_id": "a", "opened_at": begin, "balance": Decimal(900), "segment": "cards"}
    promise: Row = {"account_id": "a", "made_at": day[0], "due_on": day[5], "amount": Decimal(100)}
    paid: Row = {"account_id": "a", "at": day[250], "amount": Decimal(100)}
    late: Row = {**paid, "at": day[220], "recorded_at": day[recorded]}
    tables = {"accounts": [account], "promises": [promise], "payments": [paid, late]}
    histories = packed(RawPortfolio(SETTINGS[0], tables))
    asked_at = (4, 5, 200, 255, recorded, recorded + 1, 599)
    moments = np.array([instant(day[days]) for days in asked_at])
    features = prepare(SETTINGS[0], ("promise_days_late",))
    found = feature_matrix(histories, np.zeros(len(moments), np.int64), moments, features)
    np.testing.assert_array_equal(found[:, 0], np.array([np.nan, np.nan, 195, 245, 245, 215, 215], np.float32))


@settings(max_examples=25)
@given(cases(), st.data())
def test_a_selection_holds_the_same_columns(case: Case, data: st.DataObject) -> None:
    # A bundle lists the features that it uses, in its own order; what it leaves out must not matter.
    histories, features = packed(case.portfolio), whole_catalogue(case.portfolio.settings)
    names = tuple(data.draw(st.lists(st.sampled_from(features.names), min_size=1, max_size=8, unique=True)))
    question = asked(histories, case.questions)
    got = feature_matrix(histories, *question, prepare(histories.settings, names, CATEGORIES))
    every = feature_matrix(histories, *question, features)
    assert_same(got, every[:, [features.names.index(name) for name in names]], names)


def test_each_feature_alone_is_its_column() -> None:
    # A derived feature brings its inputs along, and leaves them out of the matrix.
    histories = packed(long_history(200, SETTINGS[1]))
    moments = np.array([1_741_503_600_000_000, 1_760_000_000_000_000])
    features = whole_catalogue(SETTINGS[1])
    every = feature_matrix(histories, np.array([0, 0]), moments, features)
    of_a_kind = {(feature.family, type(feature.measure)): feature for feature in features.features}
    chosen = [feature for feature in features.features if isinstance(feature.measure, Derived)]
    for feature in (*chosen, *of_a_kind.values()):
        alone = prepare(SETTINGS[1], (feature.name,), CATEGORIES)
        assert alone.names == (feature.name,)
        got = feature_matrix(histories, np.array([0, 0]), moments, alone)
        assert_same(got, every[:, [features.names.index(feature.name)]], (feature.name,))


def test_a_name_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(SettingsError, match="a feature must be in the catalogue, got web_chat"):
        prepare(SETTINGS[0], ("calls", "web_chat"))


@settings(max_examples=8)
@given(cases())
def test_what_goes_in_is_left_as_it_was(case: Case) -> None:
    histories = packed(case.portfolio)
    account, as_of = asked(histories, case.questions)
    before, account_before, as_of_before = copy.deepcopy(histories), account.copy(), as_of.copy()
    feature_matrix(histories, account, as_of, whole_catalogue(case.portfolio.settings))
    assert_same_histories(histories, before)
    np.testing.assert_array_equal(account, account_before)
    np.testing.assert_array_equal(as_of, as_of_before)


@pytest.mark.parametrize("n_moments", [0, 1, 7])
@pytest.mark.parametrize("names", [None, ("calls", "broken_promise_share", "segment")])
def test_the_matrix_is_float32_with_rows_in_one_piece(n_moments: int, names: tuple[str, ...] | None) -> None:
    # LightGBM reads rows; a column-major or double matrix would be copied for every request.
    features = prepare(SETTINGS[0], names)
    histories = packed(long_history(40, SETTINGS[0]))
    got = feature_matrix(histories, np.zeros(n_moments, np.int64), np.full(n_moments, 1_760_000_000_000_000), features)
    assert got.shape == (n_moments, len(features.names))
    assert got.dtype == np.float32
    assert got.flags.c_contiguous


# ---------------------------------------------------------------------------------------------------------- real data


@pytest.mark.real_data
def test_real_accounts_are_what_their_sentences_say(real_data: Path) -> None:
    folder = real_data / "road_fines"
    chance = random.Random(20130618)
    every = pack(read_portfolio(folder), whole=False)
    rows = np.array(sorted(chance.sample(range(len(every)), 200)))
    # The portfolio around each account is the 200, since the second reading reads no more.
    histories = replace(every.take(rows), overview=overview_of(every.take(rows)))
    chosen = set(histories.accounts.account_id)
    portfolio = RawPortfolio(histories.settings, {name: list(_read(folder, name, chosen)) for name in _TIMES})
    questions = [
        Question(account["account_id"], _some_day(portfolio, account, chance))
        for account in portfolio.tables["accounts"]
        for _ in range(3)
    ]
    categories = known_categories(histories)
    features = prepare(histories.settings, categories=categories)
    got = feature_matrix(histories, *asked(histories, questions), features)
    assert_same(got, expected(portfolio, questions, categories), features.names)


#: The tables of the road fines, with their columns of time.
_TIMES = {
    "accounts": ("opened_at", "placed_at", "due_on"),
    "contacts": ("at",),
    "payments": ("at",),
    "charges": ("at",),
    "restrictions": ("at",),
}


def _read(folder: Path, name: str, account_ids: set[str]) -> Iterator[Row]:
    with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            if cells["account_id"] in account_ids:
                row: dict[str, Any] = {column: cell or None for column, cell in cells.items()}
                for column in _TIMES[name]:
                    row[column] = row[column] and datetime.fromisoformat(row[column]).replace(tzinfo=UTC)
                for column in {"balance", "amount", "points"} & set(row):
                    row[column] = row[column] and Decimal(row[column])
                yield row


def _some_day(portfolio: RawPortfolio, account: Row, chance: random.Random) -> datetime:
    """A day on which something happened to the account, or one near it: dates without a time of day tie often."""
    days: list[datetime] = [account["placed_at"]]
    days += [
        row["at"]
        for table in _TIMES
        if table != "accounts"
        for row in portfolio.tables[table]
        if row["account_id"] == account["account_id"]
    ]
    return chance.choice(days) + timedelta(days=chance.choice([0, 0, 1, 7, 30, 90, 180, 400]))
