"""A person who is erased is gone from the ledger; the figures stay, and those of others are untouched."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sql

from features.errors import ErasedError
from features.histories import Histories
from serving.scoring import Scorer
from serving.store.database import Store
from serving.store.erasing import erase as erase_account
from serving.store.erasing import erase_from_ledger, erasures
from serving.store.ledger import inputs, record, scores, unpacked_matrix
from serving.store.overrides import Override, list_overrides, write_override
from tests.serving.small import AS_OF
from tests.serving.store.scored import answer_of, live_rows, scored_of
from tests.serving.stores import fill


def erase(store: Store, account_id: str, at: int = 1) -> int:
    with store.writing() as connection:
        return erase_from_ledger(connection, account_id, at)


def rows_in(store: Store) -> list[sql.Row[tuple[object, ...]]]:
    with store.reading() as connection:
        return list(connection.execute(sql.select(scores).order_by(scores.c.answer_id, scores.c.position)).all())


def test_figures_stay_and_the_id_goes(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 6))
    for _ in range(2):
        record(store, answer_of(scorer), given)
    gone, before = str(given.account_id[1]), rows_in(store)
    assert erase(store, gone) == 2
    after = rows_in(store)
    assert gone not in {row.account_id for row in after}
    assert [row[:2] + row[3:] for row in after] == [row[:2] + row[3:] for row in before]
    renamed = {row.account_id for row in after} - {row.account_id for row in before}
    assert len(renamed) == 1, "one token, so that the rows of an account still belong together"
    with store.reading() as connection:
        assert connection.execute(sql.select(erasures)).all() == [(renamed.pop(), 1, 2)]


def test_features_of_requests_go_and_those_of_others_stay(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 6))
    record(store, answer_of(scorer, source="features"), given)
    erase(store, str(given.account_id[4]))
    with store.reading() as connection:
        matrix = unpacked_matrix(connection.execute(sql.select(inputs.c.features)).scalar_one())
    assert np.isnan(matrix[4]).all()
    others = [0, 1, 2, 3, 5]
    assert matrix[others].tobytes() == given.features[others].tobytes()


def test_overrides_lose_the_id_and_what_people_wrote(store: Store) -> None:
    for account_id in ("A1", "A2"):
        write_override(store, Override(account_id, 5, "sms", "call", f"{account_id} asked to be called"))
    assert erase(store, "A1") == 1
    found = list_overrides(store)
    assert found["reason"].tolist() == ["", "A2 asked to be called"]
    assert "A1" not in found["account_id"].tolist()
    assert found["chosen"].tolist() == ["call", "call"]


def test_erasing_again_or_nobody_changes_nothing(store: Store, scorer: Scorer, histories: Histories) -> None:
    given = scored_of(scorer, histories, live_rows(histories, 2))
    record(store, answer_of(scorer), given)
    assert erase(store, str(given.account_id[0])) == 1
    before = rows_in(store)
    assert erase(store, str(given.account_id[0])) == 0
    assert erase(store, "nobody") == 0
    assert rows_in(store) == before


def test_no_score_of_a_person_is_written_after_her_erasure(store: Store, scorer: Scorer, histories: Histories) -> None:
    """Her history was read before she was erased, and her score would be written after it."""
    fill(store)
    given = scored_of(scorer, histories, live_rows(histories, 3))
    read_before = answer_of(scorer, arrival=1)
    record(store, read_before, given)
    assert erase_account(store, str(given.account_id[1]), AS_OF).ledger == 1
    with pytest.raises(ErasedError, match="1 of these accounts were erased"):
        record(store, read_before, given)
    assert len(rows_in(store)) == 3
    others = scored_of(scorer, histories, live_rows(histories, 3)[[0, 2]])
    record(store, read_before, others)
    assert len(rows_in(store)) == 5
