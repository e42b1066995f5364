"""The small portfolio in a store, and the API over it."""

from __future__ import annotations

from starlette.testclient import TestClient

from features.portfolio import wanted_columns
from features.raw import raw_from_frames
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import Engine, make_engine
from serving.models.shadow import Shadow
from serving.store.database import Store
from serving.store.events import take_in
from tests.serving.small import AS_OF, SETTINGS, random_frames, small_bundle


def filled(store: Store) -> Store:
    """The store, with every row of the small portfolio."""
    take_in(store, raw_from_frames(random_frames(), wanted_columns(SETTINGS)), SETTINGS, AS_OF)
    return store


def client_over(store: Store | None, engine: Engine | None = None, shadow: Shadow | None = None) -> TestClient:
    """The API over a store; the present is the moment that the tests score as of."""
    found = engine or make_engine(small_bundle())
    serving = Serving(lambda: found, lambda: AS_OF, store, shadow)
    return TestClient(application(serving), raise_server_exceptions=False)
