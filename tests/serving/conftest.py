"""What the tests of this room share: the small portfolio, packed, as a folder and in stores, and its bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.benchmarks._postgresql import cluster, postgresql_binaries
from features.histories import Histories
from serving.engine import Engine, make_engine
from serving.scoring import Scorer, prepare_scorer
from serving.store.database import Store
from tests.serving.small import NONE_KNOWN, small_bundle, small_histories, write_small_bundle, write_small_portfolio
from tests.serving.stores import Stores, opened


@pytest.fixture(scope="session")
def histories() -> Histories:
    """The small portfolio, packed."""
    return small_histories()


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """A bundle that knows the effect of some channels."""
    return prepare_scorer(small_bundle())


@pytest.fixture(scope="session")
def blind_scorer() -> Scorer:
    """A bundle that knows the effect of no channel."""
    return prepare_scorer(small_bundle(NONE_KNOWN))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The small bundle, as the service scores by it."""
    return make_engine(small_bundle())


@pytest.fixture(scope="session")
def portfolio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small portfolio as a folder."""
    return write_small_portfolio(tmp_path_factory.mktemp("portfolio") / "small")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle as a folder."""
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "small-bundle")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server's first database."""
    if postgresql_binaries() is None:
        pytest.skip("no PostgreSQL here: initdb is neither on the path nor in /usr/lib/postgresql/*/bin")
    with cluster(durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Stores:
    """Where new stores come from."""
    return Stores(tmp_path_factory.mktemp("stores"), lambda: str(request.getfixturevalue("postgresql_server")))


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store of its own for each test, in SQLite and in PostgreSQL."""
    return stores.new(request.param, tmp_path / "store.db")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, in SQLite and in PostgreSQL."""
    yield from opened(store_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def filled_store(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> Iterator[Store]:
    """A store with the small portfolio, in SQLite and in PostgreSQL."""
    yield from opened(stores.new(request.param, tmp_path / "store.db", filled=True))
