"""The API in-process: what it answers, and what it refuses, always in one shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from features.contract import TABLES
from features.errors import BundleError
from serving.api import answering, scores
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import make_engine, warm_up
from serving.requests import request_types
from serving.scoring import prepare_scorer, score
from tests.serving.small import AS_OF, SETTINGS, request_of, small_bundle, small_histories
from training.bundle import LABEL, Bundle

IDS = [f"A{number:05d}" for number in range(12)]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(small_bundle(), AS_OF + 1) as found:
        yield found


def client_of(bundle: Bundle, now: int = AS_OF) -> TestClient:
    engine = make_engine(bundle)
    return TestClient(application(Serving(lambda: engine, lambda: now)), raise_server_exceptions=False)


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, whose shape and status are checked."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "detail"}
    found: dict[str, Any] = body["error"]
    return found


def test_a_score_has_the_contracts_columns_and_whole_floats(client: TestClient) -> None:
    answer = client.post("/score", json=request_of(IDS)).json()
    assert set(answer) == {"model", "as_of", "answer_id", "scores", "not_scored", "rejects", "notes"}
    assert (answer["model"], answer["as_of"]) == ("small/1", "2026-04-01T06:30:00Z")
    batch = score(prepare_scorer(small_bundle()), small_histories(), AS_OF).set_index("account_id")
    for row in answer["scores"]:
        assert ["account_id", *batch.columns] == list(row)
        for name in ("p_pay", "expected_amount", "uplift", "priority", "value_call"):
            assert row[name] == batch.loc[row["account_id"], name]


def test_reasons_come_on_request(client: TestClient) -> None:
    plain = client.post("/score", json=request_of(IDS)).json()["scores"]
    reasoned = client.post("/score", json=request_of(IDS, reasons=True)).json()["scores"]
    assert all("reasons" not in row for row in plain)
    assert all(row["reasons"][0] in "+-" for row in reasoned)


def test_a_model_of_labels_answers_without_money() -> None:
    blind = small_bundle(())
    models = {"p_pay.txt": blind.models["p_pay.txt"]}
    manifest = replace(blind.manifest, target=LABEL)
    of_labels = replace(blind, manifest=manifest, links=replace(blind.links, fraction=None), models=models)
    client = client_of(of_labels)
    assert client.get("/model").json()["target"] == "label"
    for row in client.post("/score", json=request_of(IDS)).json()["scores"]:
        assert row["p_pay"] > 0
        assert [row["expected_amount"], row["uplift"], row["value_call"]] == [None] * 3


def test_an_uplift_that_is_not_known_is_null() -> None:
    rows = client_of(small_bundle(())).post("/score", json=request_of(IDS)).json()["scores"]
    assert {row["uplift"] for row in rows} == {None}


def test_reasons_come_in_the_language_asked_for(client: TestClient) -> None:
    asked = request_of(IDS, reasons=True)
    english, chinese = (
        client.post("/score", json={**asked, **language}).json()["scores"] for language in ({}, {"language": "zh-Hans"})
    )
    for one, other in zip(english, chinese, strict=True):
        assert one["reasons"] != other["reasons"]
        assert re.search(r"^[+-] .*[\u4e00-\u9fff]", other["reasons"])
        assert {**one, "reasons": ""} == {**other, "reasons": ""}
    assert "language" in error_of(client.post("/score", json={**asked, "language": "tlh"}), 400)["message"]


def test_bad_rows_come_back_with_their_reasons_and_good_ones_are_scored(client: TestClient) -> None:
    request = request_of(IDS)
    request["histories"]["payments"].append({"account_id": "A00000", "at": "yesterday", "amount": 5})
    request["histories"]["contacts"].append({"account_id": "A00000", "at": "2026-01-01", "channel": "pigeon"})
    request["histories"]["accounts"][0]["balance"] = "much"
    answer = client.post("/score", json=request).json()
    found = {(reject["table"], reject["column"]) for reject in answer["rejects"]}
    assert {("payments", "at"), ("contacts", "channel"), ("accounts", "balance")} <= found
    assert set(answer["rejects"][0]) == {"table", "row", "column", "value", "reason"}
    assert "A00000" not in {row["account_id"] for row in answer["scores"]}
    assert len(answer["scores"]) + len(answer["not_scored"]) == len(IDS) - 1


def test_a_table_of_one_bad_row_does_not_refuse_the_account(client: TestClient) -> None:
    # As in a batch, where the same row is one among many good ones.
    request = request_of(IDS)
    bad = {"account_id": IDS[1], "at": "2026-01-01", "channel": "fax", "outcome": "sent"}
    request["histories"]["contacts"] = [bad]
    answer = client.post("/score", json=request)
    assert answer.status_code == 200, answer.text
    assert IDS[1] in {row["account_id"] for row in answer.json()["scores"]}
    assert [reject["column"] for reject in answer.json()["rejects"]] == ["channel"]


def test_accounts_that_are_not_live_are_named_with_why(client: TestClient) -> None:
    answer = client.post("/score", json=request_of(IDS) | {"as_of": "2025-01-01"}).json()
    assert answer["scores"] == []
    assert answer["not_scored"] == [{"account_id": account, "why": "not yet placed"} for account in IDS]


def test_only_accounts_are_needed(client: TestClient) -> None:
    request = request_of(IDS)
    request["histories"] = {"accounts": request["histories"]["accounts"]}
    assert client.post("/score", json=request).status_code == 200


def test_whole_numbers_and_texts_may_stand_for_amounts(client: TestClient) -> None:
    request = request_of(IDS[:2])
    first, second = request["histories"]["accounts"]
    first["balance"], second["balance"] = 1000, "1000.00"
    assert client.post("/score", json=request).json()["rejects"] == []


def test_a_queue_keeps_to_its_capacities_and_accounts_for_everyone(client: TestClient) -> None:
    answer = client.post("/queue", json=request_of(IDS, capacities={"call": 3}, reasons=True)).json()
    assert [row["rank"] for row in answer["rows"]] == [1, 2, 3]
    assert all(row["channel"] == "call" and row["reasons"] for row in answer["rows"])
    counts = answer["counts"]
    assert counts.pop("live") == sum(counts.values()) == len(IDS) - len(answer["not_scored"])
    assert any("no capacity is stated: SMS" in note for note in answer["notes"])


def test_the_model_says_what_it_is(client: TestClient) -> None:
    answer = client.get("/model").json()
    assert (answer["model"], answer["horizon_days"], answer["usual_channel"]) == ("small/1", 30, "call")
    assert answer["sha256"] == small_bundle().digest
    assert {channel["name"]: channel["cost"] for channel in answer["channels"]}["call"] == 1.6


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"as_of": "2026-01-01", "histories": {}}',
        b'{"as_of": 3, "histories": {"accounts": []}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": []}, "extra": 1}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": [], "kontakte": []}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": [{"account_id": "a", "colour": 1}]}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": [{"account_id": ["a"]}]}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": [{"account_id": "a", "balance": NaN}]}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": [{"account_id": "a", "balance": Infinity}]}}',
        b'{"as_of": "2026-01-01", "histories": {"accounts": {}}}',
        b"[" * 100_000,
        b'{"as_of": ' + b"[" * 100_000,
        b'{"as_of": "\xff\xfe"}',
    ],
)
def test_a_malformed_body_is_refused(client: TestClient, body: bytes) -> None:
    for path in ("/score", "/queue"):
        assert error_of(client.post(path, content=body), 400)["code"] == "bad_request"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"as_of": "soon"}, "moment", "a moment is an ISO 8601 date or time"),
        ({"as_of": "2030-01-01"}, "moment", "must not lie in the future"),
        ({"histories": {"accounts": []}}, "portfolio", "accounts has no row"),
        ({"histories": {"accounts": [{"account_id": "a"}]}}, "portfolio", "accounts has no usable row"),
    ],
)
def test_what_cannot_be_answered_is_said(client: TestClient, change: dict[str, Any], code: str, message: str) -> None:
    error = error_of(client.post("/score", json=request_of(IDS) | change), 400)
    assert error["code"] == code
    assert message in error["message"]


@pytest.mark.parametrize("capacities", [{"pigeon": 1}, {"call": -1}])
def test_a_capacity_that_cannot_be_is_refused(client: TestClient, capacities: dict[str, int]) -> None:
    assert error_of(client.post("/queue", json=request_of(IDS, capacities=capacities)), 400)["code"] == "settings"


def test_more_accounts_or_reasons_than_a_request_holds_are_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "MAX_ACCOUNTS", 11)
    monkeypatch.setattr(scores, "MAX_EXPLAINED", 3)
    assert "at most 11 accounts, got 12" in error_of(client.post("/score", json=request_of(IDS)), 400)["message"]
    with_reasons = client.post("/score", json=request_of(IDS[:4], reasons=True))
    assert "with reasons holds at most 3" in error_of(with_reasons, 400)["message"]


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MAX_BODY_BYTES", 1000)
    assert error_of(client.post("/score", content=b" " * 1001), 413)["code"] == "too_large"
    parts = (b" " * 100 for _ in range(11))
    assert error_of(client.post("/score", content=parts), 413)["code"] == "too_large"


def test_other_paths_and_methods_are_refused_in_the_same_shape(client: TestClient) -> None:
    assert error_of(client.get("/nowhere"), 404)["code"] == "not_found"
    assert error_of(client.get("/score"), 405)["detail"]["allow"] == "POST"


def test_a_fault_says_nothing_of_the_request(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of A00000")

    monkeypatch.setattr(scores, "scored", fail)
    error = error_of(client.post("/score", json=request_of(IDS)), 500)
    assert error["code"] == "internal"
    assert "secret" not in error["message"] + caplog.text
    assert "fault in answering /score: RuntimeError" in caplog.text


def test_an_engine_refuses_settings_that_are_not_the_bundles() -> None:
    with pytest.raises(BundleError, match="was trained on the channels"):
        make_engine(small_bundle(), replace(SETTINGS, channels=SETTINGS.channels[1:]))


def test_a_row_of_a_request_has_every_column_of_the_contract() -> None:
    columns = request_types(SETTINGS).columns
    assert set(columns) == set(TABLES)
    assert all(columns[name][: len(table.columns)] == table.columns for name, table in TABLES.items())
    assert [column.name for column in columns["accounts"]][-2:] == ["utilisation", "employment"]


def test_warming_up_answers_for_settings_with_attributes() -> None:
    warm_up(make_engine(small_bundle(), replace(SETTINGS, audit=("gender",))))
