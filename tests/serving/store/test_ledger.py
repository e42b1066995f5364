"""What is recorded is there, every bit of it, and nothing of it is ever changed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from features.errors import StoreError
from features.histories import Histories
from serving.scoring import Scorer
from serving.store.database import Store
from serving.store.ledger import (
    allowed_of,
    answers,
    blocked_bits,
    inputs,
    packed_matrix,
    record,
    row_digests,
    scores,
    settings_used,
    unpacked_matrix,
)
from serving.store.schema import metadata
from tests.serving.store.scored import answer_of, live_rows, queued, scored_of


def test_every_figure_is_there_to_the_last_bit(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 50))
    answer_id = record(store, answer_of(scorer), given)
    with store.reading() as connection:
        rows = connection.execute(sql.select(scores).order_by(scores.c.position)).all()
    assert [row.position for row in rows] == [*range(50)]
    assert {row.answer_id for row in rows} == {answer_id}
    assert [row.account_id for row in rows] == given.account_id.tolist()  # type: ignore[union-attr]
    for name in ("p_pay", "expected_amount", "uplift", "priority", "balance", "commission_rate"):
        assert [getattr(row, name) for row in rows] == getattr(given, name).tolist()
    assert b"".join(row.p_by_action for row in rows) == given.p_by_action.tobytes()
    assert b"".join(row.value_by_action for row in rows) == given.value_by_action.tobytes()
    assert [row.features_digest for row in rows] == row_digests(given.features)
    blocked = np.array([row.blocked for row in rows])
    assert np.array_equal(allowed_of(blocked, given.allowed.shape[1]), given.allowed)
    assert (~given.allowed).any(), "some actions must be blocked for this to say anything"


def test_what_is_not_known_is_null(store: Store, blind_scorer: Scorer, histories: Histories) -> None:
    record(store, answer_of(blind_scorer), scored_of(blind_scorer, histories, live_rows(histories, 3)))
    with store.reading() as connection:
        assert connection.execute(sql.select(scores.c.uplift, scores.c.rank)).all() == [(None, None)] * 3


def test_a_queue_keeps_what_it_chose(store: Store, scorer: Scorer, histories: Histories) -> None:
    record(store, answer_of(scorer, purpose="queue"), queued(scored_of(scorer, histories, live_rows(histories, 2))))
    with store.reading() as connection:
        found = sql.select(scores.c.rank, scores.c.channel, scores.c.propensity, scores.c.explored)
        assert connection.execute(found).all() == [(1, "sms", 0.95, False), (2, "sms", 0.05, True)]


def test_features_are_kept_only_where_the_store_has_no_histories(
    store: Store, scorer: Scorer, histories: Histories
) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 5))
    record(store, answer_of(scorer), given)
    answer_id = record(store, answer_of(scorer, source="features", arrival=None), given)
    with store.reading() as connection:
        [(kept_for, features)] = connection.execute(sql.select(inputs)).all()
    assert kept_for == answer_id
    assert unpacked_matrix(features).tobytes() == given.features.tobytes()


def test_settings_are_kept_once(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 1))
    first = answer_of(scorer)
    other = replace(first, settings=replace(first.settings, commission_rate=0.5))
    for answer in (first, first, other):
        record(store, answer, given)
    with store.reading() as connection:
        assert connection.execute(sql.select(sql.func.count()).select_from(settings_used)).scalar_one() == 2


def test_an_answer_that_cannot_be_written_whole_is_not_written(
    store: Store, scorer: Scorer, histories: Histories
) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 3))
    with pytest.raises(StoreError):
        record(store, answer_of(scorer), replace(given, rules=["default", None, "default"]))  # type: ignore[list-item]
    with store.reading() as connection:
        assert connection.execute(sql.select(answers)).all() == []


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=20))
def test_blocked_bits_hold_every_action(allowed: list[list[bool]]) -> None:
    mask = np.array(allowed)
    assert np.array_equal(allowed_of(blocked_bits(mask), 7), mask)


@given(st.integers(0, 5), st.integers(0, 5), st.binary(min_size=100, max_size=100))
def test_packed_features_come_back_with_every_bit(n: int, width: int, content: bytes) -> None:
    matrix = np.frombuffer(content, np.float32)[: n * width].reshape(n, width)
    assert unpacked_matrix(packed_matrix(matrix)).tobytes() == matrix.tobytes()


def test_the_migrations_make_the_tables_as_they_are_written(store: Store) -> None:
    mine = {"answers", "scores", "inputs", "settings_used", "overrides", "erasures"}

    def is_mine(thing: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in mine

    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_mine, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert mine <= set(metadata.tables)


def test_nothing_but_erasing_changes_or_deletes_rows_of_the_ledger() -> None:
    ledger = "answers|scores|inputs|settings_used"
    statement = re.compile(rf"(update|delete)\(\s*({ledger})\b|(UPDATE|DELETE FROM)\s+({ledger})\b")
    found = {file.name for file in Path("serving").rglob("*.py") if statement.search(file.read_text("utf-8"))}
    assert found == {"erasing.py"}
