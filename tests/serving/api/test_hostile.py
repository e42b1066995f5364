"""What no database keeps is the caller's mistake, in every way in and on both databases: never the store's fault."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.api.application import application
from serving.api.calls import Serving
from serving.api.cursors import Cursor, request_digest, write_cursor
from serving.engine import Engine, make_engine
from serving.store.database import Store
from tests.serving.api.test_scores import LIVE, features_request
from tests.serving.small import AS_OF, small_bundle

OVERRIDE = {"account_id": "A00001", "recommended": "call", "chosen": "none", "reason": "promised by letter"}
SMALLEST, LARGEST = -(2**63), 2**64 - 1  # what MessagePack can say


@pytest.fixture
def client(engine: Engine, filled_store: Store) -> TestClient:
    """The API over a filled store."""
    return TestClient(application(Serving(lambda: engine, lambda: AS_OF, filled_store)), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", {"account_ids": ["A00001", "A\0"]}),
        ("/score", features_request(account_id=["A\0", *LIVE.account_id[1:].tolist()])),
        ("/overrides", OVERRIDE | {"account_id": "A\0"}),
        ("/overrides", OVERRIDE | {"reason": "a\0b"}),
        ("/overrides", OVERRIDE | {"chosen": "\0"}),
        ("/queue", {"segment": "\0"}),
        ("/queue", {"portfolio": ["\0"]}),
        ("/queue", {"stage": "\0"}),
        ("/queue", {"capacities": {"\0": 1}}),
        ("/queue", {"as_of": "2026-01-01\0"}),
        ("/queue", {"exploration": {"share": 0.1, "channels": ["\0"]}}),
        ("/queue", {"cursor": "\0"}),
    ],
)
def test_nul_in_a_body_is_refused(client: TestClient, path: str, body: dict[str, Any]) -> None:
    assert client.post(path, json=body).status_code == 400


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/accounts/A%00"),
        ("DELETE", "/accounts/A%00"),
        ("GET", "/accounts/A00001?as_of=%00"),
        ("GET", "/overrides?account_id=A%00"),
        ("GET", "/overrides?after=%00"),
    ],
)
def test_nul_in_a_url_is_refused(client: TestClient, method: str, url: str) -> None:
    assert client.request(method, url).status_code == 400


@pytest.mark.parametrize("place", [{"as_of": LARGEST}, {"as_of": SMALLEST}, {"arrival": LARGEST}, {"offset": LARGEST},
                                   {"offset": -1}])  # fmt: skip
def test_a_cursor_with_numbers_that_nobody_wrote_is_refused(client: TestClient, place: dict[str, int]) -> None:
    bundle = small_bundle()
    request = make_engine(bundle).types.queue.decode(b"{}")
    said = {"as_of": AS_OF, "arrival": 1, "offset": 1} | place
    cursor = write_cursor(Cursor(**said, model=bundle.digest, request=request_digest(request)))
    answer = client.post("/queue", json={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cursor")
