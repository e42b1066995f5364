"""Events over HTTP: good rows are kept, once; bad ones come back with their reasons."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sql

from serving.api import events
from serving.engine import Engine
from serving.store.database import Store
from serving.store.reading import read_histories
from tests.serving.api.conftest import ClientOf
from tests.serving.small import SETTINGS, request_of

ACCOUNT = {"account_id": "N1", "opened_at": "2026-01-01", "due_on": "2026-02-01", "balance": 10, "segment": "card"}
PAYMENT = {"account_id": "N1", "at": "2026-03-01T10:00:00+08:00", "amount": "12.50", "payment_id": "p1"}
CONTACT = {"account_id": "N1", "at": "2026-03-01", "channel": "call", "outcome": "promise"}
BATCH = {
    "accounts": [ACCOUNT],
    "payments": [PAYMENT, {**PAYMENT, "payment_id": "p2"}],
    "contacts": [CONTACT] * 2,
}


def test_a_batch_is_kept_once(client_of: ClientOf, store: Store) -> None:
    client = client_of()
    first = client.post("/v1/events", json=BATCH)
    assert first.status_code == 200, first.text
    kept = {"accounts": 1, "contacts": 2, "payments": 2}
    assert {name: number for name, number in first.json()["accepted"].items() if number} == kept
    assert (first.json()["rejects"], first.json()["arrival"]) == ([], 2)
    again = client.post("/v1/events", json=BATCH).json()
    assert not any(again["accepted"].values())
    assert {name: number for name, number in again["duplicates"].items() if number} == kept
    assert again["arrival"] == 2
    found = read_histories(store, ["N1"], SETTINGS).histories
    assert (len(found.payments.amount), len(found.contacts.at)) == (2, 2)


def test_bad_rows_come_back_and_good_ones_are_kept(client_of: ClientOf) -> None:
    bad = [{**PAYMENT, "payment_id": "p3", "at": "soon"}, {**PAYMENT, "payment_id": "p4", "account_id": "nobody"},
           {**PAYMENT, "amount": 99}]  # fmt: skip
    client = client_of()
    client.post("/v1/events", json=BATCH)
    answer = client.post("/v1/events", json={"payments": [*bad, {**PAYMENT, "payment_id": "p5"}]}).json()
    assert answer["accepted"]["payments"] == 1
    found = {(one["row"], one["column"]): one for one in answer["rejects"]}
    assert set(found) == {(1, "at"), (2, "account_id"), (3, "payment_id")}
    assert found[1, "at"]["value"] == "soon"
    assert all(set(one) == {"table", "row", "column", "value", "reason"} for one in answer["rejects"])


def test_what_a_full_disk_does_not_take_is_503_and_taken_once_there_is_room(client_of: ClientOf, store: Store) -> None:
    client, most = client_of(), [1]

    @sql.event.listens_for(store.engine, "checkout")
    def _limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {most[0]}")  # no less than there are: the file is full as it is

    bodies = [{"contacts": [CONTACT | {"contact_id": f"{batch}-{row}"} for row in range(1_000)]} for batch in range(3)]
    answer = [client.post("/v1/events", json=body) for body in ({"accounts": [ACCOUNT]}, *bodies)][-1]
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
    assert int(answer.headers["retry-after"]) > 0
    most[0] = 1_000_000
    client.post("/v1/events", json={"accounts": [ACCOUNT]})
    assert [client.post("/v1/events", json=body).status_code for body in bodies] == [200] * 3
    assert len(read_histories(store, ["N1"], SETTINGS).histories.contacts.at) == 3_000


def test_a_batch_of_nothing_is_a_batch(client_of: ClientOf) -> None:
    answer = client_of().post("/v1/events", json={}).json()
    assert (answer["arrival"], sum(answer["accepted"].values()), answer["rejects"]) == (1, 0, [])


def test_what_no_database_keeps_is_the_fault_of_its_row(client_of: ClientOf) -> None:
    client = client_of()
    client.post("/v1/events", json=BATCH)
    rows = [{**PAYMENT, "payment_id": one} for one in ("p\0", "p" * 3_000, "p4")]
    answer = client.post("/v1/events", json={"payments": rows}).json()
    assert answer["accepted"]["payments"] == 1
    assert [(one["row"], one["column"]) for one in answer["rejects"]] == [(1, "payment_id"), (2, "payment_id")]


def test_a_number_beyond_all_numbers_is_the_fault_of_its_row(client_of: ClientOf) -> None:
    client = client_of()
    client.post("/v1/events", json=BATCH)
    rows = [{**PAYMENT, "payment_id": f"p{amount}"[:9], "amount": amount} for amount in (1.5, 10**400)]
    answer = client.post("/v1/events", json={"payments": rows}).json()
    assert answer["accepted"]["payments"] == 1
    assert [(one["row"], one["column"]) for one in answer["rejects"]] == [(2, "amount")]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"payment": []}', b'{"payments": [{"amonut": 1}]}', b'{"payments": 1}',
                                  b'{"payments": [{"payment_id": "\\ud800"}]}'])  # fmt: skip
def test_another_shape_is_refused_whole(client_of: ClientOf, body: bytes) -> None:
    answer = client_of().post("/v1/events", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_more_rows_than_a_batch_holds_are_refused(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_ROWS", 3)
    answer = client_of().post("/v1/events", json=BATCH)
    assert answer.status_code == 400
    assert "at most 3 rows, got 5" in answer.json()["error"]["message"]


def test_the_histories_of_a_request_may_be_sent_as_events(client_of: ClientOf, engine: Engine) -> None:
    sent = request_of(["A00001", "A00002"])["histories"]
    answer = client_of().post("/v1/events", json=sent)
    assert answer.status_code == 200, answer.text
    assert not any(answer.json()["accepted"].values())
    assert answer.json()["rejects"] == []
