"""`/v1/score`: by histories and by features in the request; always the bits of the batch."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from features.units import format_instant
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import make_engine
from serving.scoring import features_of, prepare_scorer, scored, table_of
from tests.serving.small import AS_OF, SETTINGS, request_of, small_bundle, small_histories

IDS = [f"A{number:05d}" for number in range(40)]
LIVE = scored(prepare_scorer(small_bundle()), small_histories(), AS_OF, np.arange(40), keep_features=True)


@pytest.fixture(scope="module")
def client() -> TestClient:
    engine = make_engine(small_bundle())
    return TestClient(application(Serving(lambda: engine, lambda: AS_OF)), raise_server_exceptions=False)


def features_request(**more: Any) -> dict[str, Any]:
    """A request with the features of the live accounts as a matrix."""
    assert LIVE.features is not None
    matrix = base64.b64encode(LIVE.features.astype("<f4").tobytes()).decode()
    features = {"account_id": LIVE.account_id.tolist(), "balance": LIVE.balance.tolist(), "matrix": matrix}
    features["commission_rate"] = LIVE.commission_rate.tolist()
    return {"as_of": format_instant(AS_OF), "features": features | more}


def refusal(client: TestClient, request: dict[str, Any]) -> str:
    response = client.post("/score", json=request)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["code"] == "bad_request"
    return str(response.json()["error"]["message"])


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of scores does not depend on contact rules."""
    left_out = ("best_channel", "uplift", "priority")
    return [{name: cell for name, cell in row.items() if name not in left_out} for row in rows]


def test_features_that_are_kept_are_those_that_are_computed() -> None:
    scorer = prepare_scorer(small_bundle())
    assert LIVE.features is not None
    assert np.array_equal(LIVE.features, features_of(scorer, small_histories(), LIVE.rows, AS_OF), equal_nan=True)


def test_features_in_a_request_score_as_the_histories_they_were_computed_from(client: TestClient) -> None:
    by_histories = client.post("/score", json=request_of(IDS)).json()["scores"]
    answer = client.post("/score", json=features_request()).json()
    # Contact rules are not known of features: the choice may differ, no other figure does.
    assert numbers(answer["scores"]) == numbers(by_histories)
    assert "no contact rule was applied" in answer["notes"][0]


def test_all_channels_that_are_enabled_may_be_chosen_for_features(client: TestClient) -> None:
    rows = client.post("/score", json=features_request()).json()["scores"]
    for row in rows:
        assert row["uplift"] == max(row[f"value_{name}"] for name in ("sms", "call", "none")) - row["value_none"]


def test_values_are_the_matrix_in_words(client: TestClient) -> None:
    assert LIVE.features is not None
    values = [[None if np.isnan(cell) else float(cell) for cell in row] for row in LIVE.features]
    by_values = client.post("/score", json=features_request(values=values, matrix=None)).json()
    assert by_values == client.post("/score", json=features_request()).json()


def test_a_commission_that_is_not_given_is_the_portfolios(client: TestClient) -> None:
    n = len(LIVE)
    stated = features_request(commission_rate=[SETTINGS.commission_rate] * n)
    rows = client.post("/score", json=stated).json()["scores"]
    assert client.post("/score", json=features_request(commission_rate=None)).json()["scores"] == rows
    assert client.post("/score", json=features_request(commission_rate=[None] * n)).json()["scores"] == rows


def test_an_account_that_owes_nothing_is_not_scored(client: TestClient) -> None:
    balance = [0.0, *LIVE.balance[1:]]
    answer = client.post("/score", json=features_request(balance=balance)).json()
    assert answer["not_scored"] == [{"account_id": LIVE.account_id[0], "why": "nothing owed"}]
    assert answer["scores"] == client.post("/score", json=features_request()).json()["scores"][1:]


def test_a_balance_is_read_to_the_ten_thousandth_as_in_a_history(client: TestClient) -> None:
    finer = (LIVE.balance + 0.00003).tolist()
    assert (
        client.post("/score", json=features_request(balance=finer)).json()
        == client.post("/score", json=features_request()).json()
    )


def test_features_have_reasons_too(client: TestClient) -> None:
    by_histories = client.post("/score", json=request_of(IDS, reasons=True)).json()["scores"]
    by_features = client.post("/score", json=features_request() | {"reasons": True}).json()["scores"]
    assert [row["reasons"] for row in by_features] == [row["reasons"] for row in by_histories]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": ""}, "bytes, got 0"),
        ({"matrix": None}, "either values, row by row, or matrix"),
        ({"values": []}, "either values, row by row, or matrix"),
        ({"values": [[1.0]], "matrix": None}, "features that /v1/model names"),
        ({"balance": [1.0]}, "one balance for each account_id, got 1"),
        ({"balance": [-1.0] * len(LIVE)}, "a balance is from 0"),
        ({"commission_rate": [2.0] * len(LIVE)}, "a commission_rate is from 0 to 1, got 2"),
        ({"account_id": ["A"] * len(LIVE)}, "named once in a request, got 'A'"),
        ({"matrix": "%"}, "the body must be JSON"),
        ({"colour": 1}, "the body must be JSON"),
    ],
)
def test_features_that_are_not_whole_are_refused(client: TestClient, change: dict[str, Any], message: str) -> None:
    assert message in refusal(client, features_request(**change))


def test_a_request_says_in_one_way_what_is_to_be_scored(client: TestClient) -> None:
    assert "got none" in refusal(client, {"as_of": format_instant(AS_OF)})
    assert "got histories and features" in refusal(client, request_of(IDS) | features_request())
    nobody = {"account_id": [], "balance": [], "matrix": ""}
    assert "at least one account" in refusal(client, {"features": nobody})


def test_the_moment_is_the_present_where_none_is_named(client: TestClient) -> None:
    named, unnamed = request_of(IDS), request_of(IDS)
    del unnamed["as_of"]
    assert client.post("/score", json=unnamed).json() == client.post("/score", json=named).json()


def test_the_table_has_the_columns_in_the_order_of_the_answer(client: TestClient) -> None:
    rows = client.post("/score", json=request_of(IDS)).json()["scores"]
    assert list(rows[0]) == list(table_of(LIVE))
