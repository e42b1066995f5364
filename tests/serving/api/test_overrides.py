"""Overrides over HTTP: kept with their reason, listed in pages."""

from __future__ import annotations

from typing import Any

import pytest

from features.units import DAY
from tests.serving.api.conftest import ClientOf
from tests.serving.small import AS_OF

OVERRIDE = {"account_id": "A00001", "recommended": "call", "chosen": "none", "reason": "promised by letter"}


def test_an_override_is_kept_and_listed(client_of: ClientOf) -> None:
    client = client_of()
    numbers = [
        client.post("/v1/overrides", json={**OVERRIDE, "account_id": account}).json()["override_id"]
        for account in ("A00001", "A00002", "A00001")
    ]
    kept = client.get("/v1/overrides", params={"account_id": "A00001"}).json()
    assert [one["override_id"] for one in kept["overrides"]] == [numbers[0], numbers[2]]
    assert kept["overrides"][0].items() >= {**OVERRIDE, "at": "2026-04-01T06:30:00Z", "answer_id": None}.items()
    assert kept["after"] is None
    first = client.get("/v1/overrides", params={"limit": 2}).json()
    rest = client.get("/v1/overrides", params={"limit": 2, "after": first["after"]}).json()
    assert [one["override_id"] for one in (*first["overrides"], *rest["overrides"])] == numbers


def test_an_override_is_ended_and_stays_in_the_list(client_of: ClientOf) -> None:
    client, later = client_of(), client_of(now=AS_OF + DAY)
    made = client.post("/v1/overrides", json=OVERRIDE).json()
    assert made["ended_at"] is None
    ended = later.delete(f"/v1/overrides/{made['override_id']}")
    assert (ended.status_code, ended.json()) == (200, made | {"ended_at": "2026-04-02T06:30:00Z"})
    assert client.delete(f"/v1/overrides/{made['override_id']}").json() == ended.json(), "once"
    assert client.get("/v1/overrides").json()["overrides"] == [ended.json()]
    assert client.delete("/v1/overrides/99").status_code == 404
    assert {client.delete(f"/v1/overrides/{given}").status_code for given in ("x", "-1", "9" * 30)} == {400}


@pytest.mark.parametrize(
    "change",
    [
        {"account_id": "nobody"},
        {"chosen": "pigeon"},
        {"chosen": "call"},
        {"reason": " "},
        {"reason": ""},
        {"reason": "a\x00b"},
        {"at": "2030-01-01"},
        {"answer_id": -1},
        {"why": "not a field"},
    ],
)
def test_what_is_no_override_is_refused(client_of: ClientOf, change: dict[str, Any]) -> None:
    client = client_of()
    assert client.post("/v1/overrides", json=OVERRIDE | change).status_code == 400
    assert client.get("/v1/overrides").json()["overrides"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=-1", "account_id=", "account_id=%00"])
def test_a_query_that_cannot_be_is_refused(client_of: ClientOf, query: str) -> None:
    assert client_of().get(f"/v1/overrides?{query}").status_code == 400
