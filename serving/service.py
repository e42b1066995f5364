"""The service as BentoML runs it: workers, health and metrics are BentoML's, `/v1` is the application of `serving.api`.

`recoup serve` starts it and says in the environment what it serves. The supervisor imports this module too, so that
nothing is loaded before a worker makes its `Recoup`; then each worker reads the bundle, and follows what is promoted.

    RECOUP_MODELS     the file that says which models are in service, and is followed
    RECOUP_BUNDLE     without that: the folder of the bundle that is served, or a reference to a registered model
    RECOUP_LABEL      the name and version that its scores carry
    RECOUP_SETTINGS   a portfolio.toml; the bundle's own settings where it is not set
    RECOUP_WORKERS    how many workers
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features import environment
from features.settings import read_settings
from serving.api.application import application
from serving.api.calls import Serving
from serving.engine import Engine
from serving.models.engines import UNNAMED, Engines, ready
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


def engines_from_environment() -> Callable[[], Engine]:
    """What gives the engine in service, which has scored once, so that a worker is ready when it says so."""
    path = os.environ.get("RECOUP_SETTINGS")
    settings = read_settings(Path(path), UNNAMED) if path else None
    if pointer := os.environ.get("RECOUP_MODELS"):
        engines = Engines(Path(pointer), settings)
        threading.Thread(target=engines.follow, args=(threading.Event(),), daemon=True).start()
        return engines.champion
    bundle = open_model(os.environ["RECOUP_BUNDLE"], environment.tracking_uri())
    engine = ready(replace(bundle, label=os.environ.get("RECOUP_LABEL") or bundle.label), settings)
    return lambda: engine


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
        mounted.app = application(Serving(engines_from_environment(), environment.now))
