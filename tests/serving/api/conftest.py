"""What the tests of the API with a store share: the small portfolio in a store, and the service over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from features.contract import TABLES
from features.raw import raw_from_frames
from features.settings import table_columns
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import Engine, make_engine
from serving.store.database import Store, open_store
from serving.store.events import take_in
from tests.serving.small import AS_OF, SETTINGS, random_frames, small_bundle

ClientOf = Callable[..., TestClient]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The small bundle, ready to score."""
    return make_engine(small_bundle())


def fill(store: Store) -> None:
    """Bring the small portfolio into a store."""
    wanted = {name: [column.name for column in table_columns(table, SETTINGS)] for name, table in TABLES.items()}
    assert not len(take_in(store, raw_from_frames(random_frames(), wanted), SETTINGS, AS_OF).rejects)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with the small portfolio."""
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    fill(opened)
    yield opened
    opened.close()


@pytest.fixture
def client_of(engine: Engine, store: Store) -> ClientOf:
    """A client of the service over the store, now or at another instant."""

    def client(now: int = AS_OF, **settings: Any) -> TestClient:
        serving = Serving(lambda: engine, lambda: now, store, **settings)
        mounted = Starlette(routes=[Mount("/v1", application(serving))])
        return TestClient(mounted, base_url="http://recoup", raise_server_exceptions=False)

    return client
