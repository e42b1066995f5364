"""The client against the service in-process: what it reads, and what it asks again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from serving import client as module
from serving.client import Client, ServiceError
from tests.serving.api.conftest import ClientOf
from tests.serving.small import request_of

Send = Callable[[httpx.Request], httpx.Response]


class Stub(httpx.BaseTransport):
    """The service in-process, which may fail before it is asked, or after."""

    def __init__(self, service: TestClient, failures: Iterator[Any]) -> None:
        self.service, self.failures, self.paths = service, failures, list[str]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        failure = next(self.failures, None)
        if isinstance(failure, httpx.Response):
            return failure
        if failure is httpx.ConnectError:
            raise failure("refused")
        found = self.service.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        if failure is not None:
            raise failure("cut off after it was taken")
        return httpx.Response(found.status_code, content=found.content, headers={"content-type": "application/json"})


def client_over(service: TestClient, *failures: Any, waits: list[float] | None = None, retries: int = 5) -> Client:
    slept = [] if waits is None else waits
    return Client("http://recoup", "key", transport=Stub(service, iter(failures)), sleep=slept.append, retries=retries)


def test_a_queue_is_read_page_after_page(client_of: ClientOf) -> None:
    service = client_of()
    held: list[str] = []
    with client_over(service) as recoup:
        whole = list(recoup.queue(capacities={"call": 40}))
        paged = list(recoup.queue(capacities={"call": 40}, limit=7, held=lambda one: held.append(one.account_id)))
    assert [row.rank for row in whole] == list(range(1, 41))
    assert [(row.account_id, row.p_pay) for row in paged] == [(row.account_id, row.p_pay) for row in whole]
    assert len(held) == len(set(held)) > 7


def test_what_is_told_comes_in_a_language(client_of: ClientOf) -> None:
    with client_over(client_of()) as recoup:
        row = next(iter(recoup.queue(capacities={"call": 1}, language="zh-Hans")))
        account_id = row.account_id
        told = [recoup.account(account_id, language=tag)["history"] for tag in (None, "zh-Hans")]
        scored = [
            recoup.score([account_id], reasons=True, language=tag).scores[0]["reasons"] for tag in (None, "zh-Hans")
        ]
    assert row.history == told[1] != told[0]
    assert row.why_channel.startswith("电话增收")
    assert row.would_change
    assert scored[0] != scored[1]


def test_events_are_sent_in_batches_accounts_first(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    account = {"opened_at": "2026-01-01", "due_on": None, "balance": 10, "segment": "card"}
    ids = ["N1", "N2", "N3"]
    payments = [{"account_id": name, "at": "2026-03-01", "amount": 1} for name in (*ids, "nobody")]
    tables: dict[str, list[dict[str, Any]]] = {
        "payments": payments,
        "accounts": [{"account_id": name, **account} for name in ids],
    }
    recoup = client_over(client_of())
    taken = recoup.events(tables)
    assert {name: number for name, number in taken.accepted.items() if number} == {"accounts": 3, "payments": 3}
    assert [(one.table, one.row, one.column) for one in taken.rejects] == [("payments", 4, "account_id")]
    assert sum(recoup.events(tables).duplicates.values()) == 6


def test_what_failed_for_now_is_asked_again_and_nothing_is_taken_twice(client_of: ClientOf) -> None:
    waits: list[float] = []
    busy = httpx.Response(429, headers={"Retry-After": "3"}, json={})
    gone = httpx.Response(503, json={"error": {"code": "store", "message": "gone", "detail": None}})
    recoup = client_over(client_of(), busy, gone, httpx.ConnectError, httpx.ReadError, waits=waits)
    payment = {"account_id": "A00001", "at": "2026-03-01", "amount": 1}
    taken = recoup.events({"payments": [payment]})
    # The fourth attempt was taken before the connection broke: the fifth finds it there.
    assert (taken.accepted["payments"], taken.duplicates["payments"]) == (0, 1)
    assert waits == [3.0, 0.5, 1.0, 2.0]


def test_what_does_not_pass_is_an_error(client_of: ClientOf) -> None:
    service = client_of()
    gone = httpx.Response(503, json={"error": {"code": "store", "message": "gone", "detail": None}})
    with pytest.raises(ServiceError, match="gone") as unavailable:
        client_over(service, *[gone] * 3, retries=2).model()
    assert (unavailable.value.status, unavailable.value.code) == (503, "store")
    with pytest.raises(ServiceError, match="not reached"):
        client_over(service, *[httpx.ConnectError] * 3, retries=2).model()
    with pytest.raises(ServiceError, match="one of card") as bad:
        list(client_over(service).queue(segment="boat"))
    assert (bad.value.status, bad.value.code) == (400, "bad_request")


def test_an_override_is_not_asked_again_where_it_may_have_been_taken(client_of: ClientOf) -> None:
    service = client_of()
    said: dict[str, Any] = {"recommended": "call", "chosen": "none", "reason": "on holiday"}
    with pytest.raises(ServiceError, match="not reached"):
        client_over(service, httpx.ReadError).override("A00001", **said)
    recoup = client_over(service, httpx.ConnectError)
    assert recoup.override("A00001", **said).override_id == 2
    assert [one.override_id for one in recoup.overrides("A00001")] == [1, 2]
    assert recoup.end_override(1).ended_at == recoup.end_override(1).ended_at is not None
    assert [one.ended_at is None for one in recoup.overrides("A00001")] == [False, True]


def test_scores_and_the_model_are_read(client_of: ClientOf) -> None:
    recoup = client_over(client_of())
    found = recoup.score(histories=request_of(["A00001"])["histories"])
    assert {row["account_id"] for row in found.scores} | {one.account_id for one in found.not_scored} == {"A00001"}
    assert recoup.model().model == found.model == "small/1"
