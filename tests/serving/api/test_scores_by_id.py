"""Scores by id from the store: the bits of the batch, all of them in the ledger before they are sent."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql
from starlette.testclient import TestClient

from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import make_engine
from serving.models.shadow import Shadow
from serving.scoring import not_live, prepare_scorer, score
from serving.store import ledger
from serving.store.database import Store
from tests.parity.test_parity import as_table
from tests.serving.api.test_scores import features_request
from tests.serving.small import AS_OF, request_of, same_bits, small_bundle, small_histories

IDS = small_histories().accounts.account_id.tolist()


def client_over(store: Store | None, shadow: Shadow | None = None) -> TestClient:
    """The API over a store; the present is the moment that is scored as of."""
    engine = make_engine(small_bundle())
    serving = Serving(lambda: engine, lambda: AS_OF, store, shadow=shadow)
    return TestClient(application(serving), raise_server_exceptions=False)


def batch() -> pd.DataFrame:
    return score(prepare_scorer(small_bundle()), small_histories(), AS_OF)


def asked(client: TestClient, account_ids: list[str], **more: Any) -> dict[str, Any]:
    response = client.post("/score", json={"account_ids": account_ids, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def ledger_rows(store: Store) -> list[Any]:
    query = sql.select(ledger.answers, ledger.scores).join(
        ledger.scores, ledger.scores.c.answer_id == ledger.answers.c.answer_id
    )
    with store.reading() as connection:
        return list(connection.execute(query.order_by(ledger.scores.c.answer_id, ledger.scores.c.position)))


def test_scores_by_id_are_those_of_the_batch_bit_for_bit(filled_store: Store) -> None:
    answer = asked(client_over(filled_store), IDS)
    assert same_bits(as_table(answer["scores"], batch()), batch())
    assert answer["not_scored"] == not_live(small_histories(), AS_OF).to_dict("records")


def test_one_account_scores_as_among_all_and_again_from_what_was_packed(filled_store: Store) -> None:
    client, whole = client_over(filled_store), batch().set_index("account_id")
    for account_id in whole.index[:3].tolist() * 2:
        (row,) = asked(client, [account_id])["scores"]
        assert row["p_pay"] == whole.loc[account_id, "p_pay"]
        assert row["value_call"] == whole.loc[account_id, "value_call"]


def test_an_account_that_the_store_does_not_hold_is_named(filled_store: Store) -> None:
    answer = asked(client_over(filled_store), ["nobody", *batch()["account_id"][:1]])
    assert answer["not_scored"] == [{"account_id": "nobody", "why": "unknown"}]
    assert len(answer["scores"]) == 1


def test_every_score_is_in_the_ledger_under_the_number_of_its_answer(filled_store: Store) -> None:
    answer = asked(client_over(filled_store), IDS)
    rows = ledger_rows(filled_store)
    assert [row.account_id for row in rows] == [row["account_id"] for row in answer["scores"]]
    assert {row.answer_id for row in rows} == {answer["answer_id"]}
    assert {(row.source, row.role, row.purpose, row.model) for row in rows} == {
        ("store", "champion", "score", "small/1")
    }
    assert [row.p_pay for row in rows] == [row["p_pay"] for row in answer["scores"]]
    assert {row.arrival for row in rows} == {1}


@pytest.mark.parametrize(
    ("body", "source"),
    [(request_of(IDS[:5]), "request"), (features_request(), "features")],
    ids=["histories", "matrix"],
)
def test_what_a_caller_brought_is_recorded_too(filled_store: Store, body: dict[str, Any], source: str) -> None:
    answer = client_over(filled_store).post("/score", json=body).json()
    rows = ledger_rows(filled_store)
    assert [row.account_id for row in rows] == [row["account_id"] for row in answer["scores"]]
    assert {row.source for row in rows} == {source}


def test_what_cannot_be_recorded_is_not_sent(filled_store: Store) -> None:
    client = client_over(filled_store)
    asked(client, IDS[:3])
    with filled_store.writing() as connection:
        connection.execute(sql.text("DROP TABLE scores"))
    response = client.post("/score", json={"account_ids": IDS})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "store")


def test_without_a_store_ids_are_refused_and_nothing_is_recorded() -> None:
    client = client_over(None)
    response = client.post("/score", json={"account_ids": IDS[:1]})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "no_store")
    assert client.post("/score", json=request_of(IDS[:3])).json()["answer_id"] is None


def test_an_id_that_comes_twice_is_refused(filled_store: Store) -> None:
    response = client_over(filled_store).post("/score", json={"account_ids": ["A1", "A1"]})
    assert response.status_code == 400
    assert "named once" in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [{"account_ids": IDS[:9]}, features_request()], ids=["by id", "features"])
def test_the_challenger_scores_the_same_accounts_behind_the_answer(filled_store: Store, body: dict[str, Any]) -> None:
    challenger = make_engine(small_bundle(trees=6))
    shadow, stop = Shadow(lambda: challenger), threading.Event()
    answer = client_over(filled_store, shadow=shadow).post("/score", json=body).json()
    thread = threading.Thread(target=shadow.run, args=(stop,))
    thread.start()
    assert shadow.settle(30)
    stop.set()
    thread.join()
    rows = [row for row in ledger_rows(filled_store) if row.role == "challenger"]
    assert [row.account_id for row in rows] == [row["account_id"] for row in answer["scores"]]
    assert {row.bundle_sha256 for row in rows} == {challenger.scorer.bundle.digest}
    assert not np.array_equal([row.p_pay for row in rows], [row["p_pay"] for row in answer["scores"]])
