"""The ledger is read by account and by time, every row once, however it is cut into pages."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from features.histories import Histories
from serving.scoring import Scorer
from serving.store.database import Store
from serving.store.ledger import record
from serving.store.ledger_reading import COLUMNS, page_through, scores_of
from tests.serving.store.scored import answer_of, live_rows, queued, scored_of


@pytest.fixture
def numbers(store: Store, scorer: Scorer, histories: Histories) -> list[int]:
    """Six answers of seven accounts; the clock was set back before the fourth."""
    given = queued(scored_of(scorer, histories, live_rows(histories, 7)))
    return [record(store, answer_of(scorer, scored_at=at), given) for at in (10, 20, 30, 15, 40, 50)]


def _keys(frame: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(frame["answer_id"].tolist(), frame["position"].tolist(), strict=True))


@pytest.mark.parametrize("rows", [1, 3, 7, 14, 100])
def test_pages_hold_every_row_of_the_span_once(store: Store, numbers: list[int], rows: int) -> None:
    pages = list(page_through(store, 15, 50, rows))
    assert all(0 < len(page) <= rows for page in pages)
    assert all(list(page) == list(COLUMNS) for page in pages)
    within = [number for number, at in zip(numbers, (10, 20, 30, 15, 40, 50), strict=True) if 15 <= at < 50]
    assert _keys(pd.concat(pages)) == [(number, position) for number in within for position in range(7)]


def test_a_span_without_scores_has_no_pages(store: Store, numbers: list[int]) -> None:
    assert list(page_through(store, 51, 60)) == []


def test_an_account_over_time_the_latest_first(
    store: Store, numbers: list[int], scorer: Scorer, histories: Histories
) -> None:
    account_id = str(histories.accounts.account_id[live_rows(histories, 7)[2]])
    found = scores_of(store, account_id, limit=4)
    assert found["answer_id"].tolist() == numbers[::-1][:4]
    assert set(found["account_id"]) == {account_id}
    assert found["scored_at"].tolist() == [50, 40, 15, 30]
    rest = scores_of(store, account_id, before=numbers[2])
    assert rest["answer_id"].tolist() == numbers[1::-1]
    assert scores_of(store, "nobody").empty


def test_what_is_read_is_what_was_recorded(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = queued(scored_of(scorer, histories, live_rows(histories, 3)))
    record(store, answer_of(scorer, key_id="key-1", policy="greedy", seed=5, purpose="queue"), given)
    [page] = page_through(store, 0, 2**62)
    assert page["p_pay"].tolist() == given.p_pay.tolist()
    assert page["propensity"].tolist() == [0.95, 0.95, 0.05]
    first = page.iloc[0]
    assert (first["key_id"], first["policy"], first["seed"], first["purpose"]) == ("key-1", "greedy", 5, "queue")


def test_rows_without_a_queue_have_no_rank(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 2))
    record(store, answer_of(scorer), replace(given, chosen=None))
    [page] = page_through(store, 0, 2**62)
    assert page["rank"].isna().all()
