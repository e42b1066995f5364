"""The service as BentoML runs it: workers, health and metrics are BentoML's, `/v1` is the application of `serving.api`.

`recoup serve` starts it and says in the environment what it serves. The supervisor imports this module too, so that
nothing is loaded before a worker makes its `Recoup`; then the bundle is read, once per worker.

    RECOUP_BUNDLE     the folder of the bundle, or a reference to a registered model
    RECOUP_LABEL      the name and version that scores carry
    RECOUP_SETTINGS   a portfolio.toml; the bundle's own settings where it is not set
    RECOUP_WORKERS    how many workers
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features import environment
from features.settings import read_settings
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import Engine, make_engine, warm_up
from training.registry import open_model

with warnings.catch_warnings():
    # It imports what its own dependencies have deprecated; whoever makes warnings errors can do nothing about that.
    warnings.simplefilter("ignore", DeprecationWarning)
    from bentoml import asgi_app, service

Message = MutableMapping[str, Any]


class Mounted:
    """The place of the API in the service: empty in the supervisor, filled when a worker has loaded its bundle."""

    app: Callable[..., Awaitable[None]] | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Hand a request to the API."""
        if self.app is None:
            raise RuntimeError("a request came before the bundle was loaded")
        await self.app(scope, receive, send)


mounted = Mounted()


def engine_from_environment() -> Engine:
    """Load what the environment names, and score once, so that a worker is ready when it says so."""
    bundle = open_model(os.environ["RECOUP_BUNDLE"], environment.tracking_uri())
    bundle = replace(bundle, label=os.environ.get("RECOUP_LABEL") or bundle.label)
    path = os.environ.get("RECOUP_SETTINGS")
    settings = read_settings(Path(path), bundle.manifest.portfolio.name) if path else None
    engine = make_engine(bundle, settings)
    warm_up(engine)
    return engine


@service(
    name="recoup",
    workers=int(os.environ.get("RECOUP_WORKERS", "1")),
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
)
@asgi_app(mounted, path="/v1")
class Recoup:
    """Scores and queues for work-queue systems."""

    def __init__(self) -> None:
        engine = engine_from_environment()
        mounted.app = application(Serving(lambda: engine, environment.now))
