"""The accounts behind a figure are as many, and pay as much, as the figure says."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from features.errors import SettingsError
from serving.review.accounts import COLUMNS, accounts_of
from serving.review.reading import Where
from serving.review.rollup import roll_up
from serving.review.tables import against_actual
from serving.store.database import Store, open_store
from tests.serving.review.rolled import NOW, filled
from tests.serving.small import SETTINGS


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with months of scores, rolled up."""
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('accounts')}/store.db")
    filled(opened)
    roll_up(opened, SETTINGS, NOW)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "where",
    [
        Where(),
        Where(202602, 202603),
        Where(cut="segment", value="card"),
        Where(cut="stage", value="no due date", role="challenger"),
        Where(worked=True, arm="rule"),
        Where(worked=False),
        Where(cut="channel", value="sms"),
    ],
)
def test_they_are_those_of_the_table(rolled: Store, where: Where) -> None:
    table = against_actual(rolled, "band", where).rows
    assert len(table)
    for row in table.to_dict("records"):
        found = accounts_of(rolled, where, row["band"], limit=10_000)
        assert len(found) == row["accounts"]
        assert found["paid"].sum() == pytest.approx(row["actual_amount"])
        assert found["p_pay"].sum() == pytest.approx(row["predicted_payers"])


def test_pages_follow_each_other(rolled: Store) -> None:
    pages, after = [], 0
    while len(page := accounts_of(rolled, Where(), limit=37, after=after)):
        pages.append(page)
        after = int(page["observation_id"].iloc[-1])
    whole = accounts_of(rolled, Where(), limit=10_000)
    pd.testing.assert_frame_equal(pd.concat(pages, ignore_index=True), whole)
    assert list(whole) == list(COLUMNS)


def test_open_ones_have_no_outcome(rolled: Store) -> None:
    found = accounts_of(rolled, Where(matured=False))
    assert len(found)
    assert found["paid"].isna().all()


def test_a_cut_that_there_is_not_is_refused(rolled: Store) -> None:
    with pytest.raises(SettingsError, match="a cut is one of"):
        accounts_of(rolled, Where(cut="hair", value="red"))
