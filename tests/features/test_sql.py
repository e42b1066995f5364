"""Counts, totals, times since and how late promises are against their reading in SQL, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from features.catalog.grammar import Count, DaysSince, Total
from features.compute import FeatureSet, feature_matrix, prepare
from features.histories import Histories, pack
from features.portfolio import read_portfolio
from features.settings import PortfolioSettings
from tests.features.sql import LATENESS, SqlOracle
from tests.features.strategies import SETTINGS, Case, Question, asked, cases, long_history, packed

Matrix = npt.NDArray[np.float32]


@cache
def read_in_sql(portfolio_settings: PortfolioSettings) -> FeatureSet:
    """The features that are declared as counts, totals or times since, and how late promises are."""
    every = prepare(portfolio_settings).features
    names = (feature.name for feature in every if isinstance(feature.measure, Count | Total | DaysSince))
    return prepare(portfolio_settings, (*names, *LATENESS))


@pytest.fixture(scope="module")
def oracle() -> SqlOracle:
    return SqlOracle()


def assert_same(oracle: SqlOracle, histories: Histories, questions: Sequence[Question]) -> None:
    """The kernel's values are those of the oracle, which holds the same rows, or a list of those that differ."""
    features = read_in_sql(histories.settings)
    got = feature_matrix(histories, *asked(histories, questions), features)
    wanted = oracle.values([(question.account_id, question.as_of) for question in questions], features.features)
    same = (got.view(np.uint32) == wanted.view(np.uint32)) | (np.isnan(got) & np.isnan(wanted))
    assert got.shape == wanted.shape
    assert not np.isnan(got[:, [isinstance(each.measure, Count | Total) for each in features.features]]).any()
    found = [
        f"{questions[row]}: {features.names[column]} is {got[row, column]}, in SQL {wanted[row, column]}"
        for row, column in np.argwhere(~same)
    ]
    assert not found, "\n".join(found[:20])


@settings(max_examples=60)
@given(case=cases())
def test_what_is_declared_is_what_sql_finds(oracle: SqlOracle, case: Case) -> None:
    oracle.load(case.portfolio)
    assert_same(oracle, packed(case.portfolio), case.questions)


def test_a_history_of_2000_events_is_what_sql_finds(oracle: SqlOracle) -> None:
    portfolio = long_history(2_000, SETTINGS[1])
    oracle.load(portfolio)
    moments = [datetime(2025, 1, 10, 5, tzinfo=UTC) + timedelta(days=40 * step) for step in range(10)]
    assert_same(oracle, packed(portfolio), [Question("a", moment) for moment in moments])


@pytest.mark.real_data
def test_real_accounts_are_what_sql_finds(oracle: SqlOracle, real_data: Path) -> None:
    folder = real_data / "road_fines"
    histories = pack(read_portfolio(folder))
    oracle.load_files(folder, histories.settings)
    chance = random.Random(20130618)
    questions = [
        Question(account_id, datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(5_000)))
        for account_id in chance.sample(list(histories.accounts.account_id), 2_000)
    ]
    assert_same(oracle, histories, questions)
