"""The service as BentoML runs it: BentoML keeps the workers, and `serving.guard` is around all.

`/v1` is `serving.api`, for programs; `/review` is `serving.review.pages`, for people.

`recoup serve` starts it and says in the environment what it serves. The supervisor imports this module too, so that
nothing is loaded before a worker makes its `Recoup`; then each worker reads the bundle, and follows what is promoted.

    RECOUP_MODELS     the file that says which models are in service, and is followed
    RECOUP_BUNDLE     without that: the folder of the bundle that is served, or a reference to a registered model
    RECOUP_LABEL      the name and version that its scores carry
    RECOUP_SETTINGS   a portfolio.toml; the bundle's own settings where it is not set
    RECOUP_WORKERS    how many workers
    RECOUP_STORE      the store's URL
    RECOUP_GUARD      how it is guarded; closed without a key where it is not set
    RECOUP_QUEUES     what its queues explore, and whether they keep decisions; neither where it is not set
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features import environment
from features.settings import read_settings
from serving.api.application import application
from serving.api.calls import Serving
from serving.api.endpoints import ENDPOINTS
from serving.engine import Engine
from serving.guard import logs
from serving.guard import settings as guarding
from serving.guard.access import Rule
from serving.guard.metrics import Metrics, make_metrics, take_room_for_metrics
from serving.guard.middleware import Guard
from serving.models.engines import UNNAMED, Engines, InService, ready
from serving.models.seen import SEEN
from serving.models.shadow import Shadow
from serving.queue_settings import read_queue_settings
from serving.review.pages import application as pages
from serving.review.pages.table import RULES as PAGE_RULES
from serving.review.pages.visit import ROOT as PAGES_ROOT
from serving.store.database import Store, open_store
from training.registry import open_model

with warnings.catch_warnings():
    # It imports what its own dependencies have deprecated; whoever makes warnings errors can do nothing about that.
    warnings.simplefilter("ignore", DeprecationWarning)
    from bentoml import Service, asgi_app, service

Message = MutableMapping[str, Any]
#: The folder in which the workers keep their figures; BentoML sets it.
_METRICS = "PROMETHEUS_MULTIPROC_DIR"


class Mounted:
    """An application's place in the service: empty in the supervisor, filled when a worker has loaded its bundle."""

    app: Callable[..., Awaitable[None]] | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Hand a request on."""
        if self.app is None:
            raise RuntimeError("a request came before the bundle was loaded")
        await self.app(scope, receive, send)


mounted, mounted_pages = Mounted(), Mounted()


@dataclass(frozen=True)
class Models:
    """What a worker scores with: the engine in service.

    Where an alias is followed also the challenger's beside it, and the file that says what the registry holds.
    """

    engine: Callable[[], Engine]
    shadow: Shadow | None = None
    registry: Path | None = None


def models_from_environment() -> Models:
    """Load what the environment names, and score once, so that a worker is ready when it says so."""
    path = os.environ.get("RECOUP_SETTINGS")
    settings = read_settings(Path(path), UNNAMED) if path else None
    if pointer := os.environ.get("RECOUP_MODELS"):
        engines = Engines(Path(pointer), settings, _count_models)
        shadow = Shadow(engines.challenger)
        for work in (engines.follow, shadow.run):
            threading.Thread(target=work, args=(threading.Event(),), daemon=True).start()
        return Models(engines.champion, shadow, Path(pointer).with_name(SEEN))
    bundle = open_model(os.environ["RECOUP_BUNDLE"], environment.tracking_uri())
    engine = ready(replace(bundle, label=os.environ.get("RECOUP_LABEL") or bundle.label), settings)
    worker_metrics().serves({"champion": engine.label})
    return Models(lambda: engine)


@functools.cache
def worker_store() -> Store:
    """The store of this worker; the service's start has brought its tables up to date."""
    return open_store(environment.store_url(), migrate=False)


@functools.cache
def worker_metrics() -> Metrics:
    """The figures of this worker."""
    if folder := os.environ.get(_METRICS):
        take_room_for_metrics(Path(folder), os.getpid())
    return make_metrics()


def _count_models(found: InService) -> None:
    beside = {} if found.challenger is None else {"challenger": found.challenger.label}
    worker_metrics().serves({"champion": found.champion.label, **beside})


def guarded(app: Callable[..., Awaitable[None]]) -> Guard:
    """A worker's application with its guard around it."""
    logs.write_json_lines(sys.stderr)
    folder = os.environ.get(_METRICS)
    rules = (*(Rule(one.method, f"/v1{one.path}", one.scope) for one in ENDPOINTS), *PAGE_RULES)
    settings = guarding.read_settings(os.environ.get(guarding.VARIABLE))
    with_ = guarding.make_guarding(
        settings, rules, worker_store(), worker_metrics(), Path(folder) if folder else None, environment.now,
        pages.refused_page,
    )  # fmt: skip
    return Guard(app, with_)


class GuardedService(Service[Any]):  # type: ignore[misc]  # bentoml hands it out untyped
    """BentoML's service with the guard outermost, in place of BentoML's own middleware.

    Theirs counts by the path as it was sent, which holds ids and can be made to grow, and keeps a timer for each
    request until it would have run out.
    """

    def to_asgi(self, is_main: bool = True) -> Any:
        """The application that a worker serves."""
        app: Any = super().to_asgi(is_main)
        app.user_middleware.clear()
        return guarded(app)


@service(
    name="recoup",
    service_class=GuardedService,
    workers=int(os.environ.get("RECOUP_WORKERS", "1")),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@asgi_app(mounted, path="/v1")
@asgi_app(mounted_pages, path=PAGES_ROOT)
class Recoup:
    """Scores and queues for work-queue systems, and pages for people."""

    def __init__(self) -> None:
        models = models_from_environment()
        queues = read_queue_settings(os.environ.get("RECOUP_QUEUES"))
        serving = Serving(
            models.engine,
            environment.now,
            worker_store(),
            metrics=worker_metrics(),
            exploration=queues.exploration,
            log_decisions=queues.log_decisions,
            shadow=models.shadow,
            registry=models.registry,
        )
        mounted.app, mounted_pages.app = application(serving), pages.application(serving)
        # What is loaded now stays: looking through it for garbage again and again is in the way of requests.
        gc.collect()
        gc.freeze()
