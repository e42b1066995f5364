"""What the tests of the API with a store share: the small portfolio in a store, and the service over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import Engine
from serving.store.database import Store
from tests.serving.small import AS_OF
from tests.serving.stores import Stores, opened

ClientOf = Callable[..., TestClient]


@pytest.fixture
def store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    """A store with the small portfolio."""
    yield from opened(stores.sqlite(tmp_path / "store.db", filled=True))


@pytest.fixture
def client_of(engine: Engine, store: Store) -> ClientOf:
    """A client of the service over the store, now or at another instant."""

    def client(now: int = AS_OF, **settings: Any) -> TestClient:
        serving = Serving(lambda: engine, lambda: now, store, **settings)
        mounted = Starlette(routes=[Mount("/v1", application(serving))])
        return TestClient(mounted, base_url="http://recoup", raise_server_exceptions=False)

    return client
