"""What a worker answers from, one request, and what an endpoint is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from features.as_of import check_moment
from features.errors import RecoupError
from features.units import parse_instant
from serving.api.books import Books
from serving.engine import Engine
from serving.exploration import Exploration
from serving.guard.keys import Scope as Scope  # noqa: PLC0414 endpoints take it from here
from serving.guard.metrics import Metrics
from serving.models.shadow import Shadow
from serving.requests import RequestTypes
from serving.store.database import Store


class RequestError(RecoupError):
    """A request that is not what it must be."""


class NoStoreError(RecoupError):
    """A request that needs stored histories, of a service that has no store."""


@dataclass(frozen=True)
class Serving:
    """What a worker answers from.

    `engine` gives the engine that is in service now: it is asked once per request, so that no answer mixes two models.
    `now` gives the present as an instant; the entry point hands it in. `exploration` holds for queues whose request
    says nothing of it; `log_decisions` says whether what queues chose is kept as decisions, likewise. `shadow` is
    handed the accounts of answers, for the challenger to score. `metrics` counts what Prometheus asks for. `registry`
    is the file that says what the registry holds, where an alias of it is followed.
    """

    engine: Callable[[], Engine]
    now: Callable[[], int]
    store: Store | None = None
    metrics: Metrics | None = None
    exploration: Exploration | None = None
    log_decisions: bool = False
    shadow: Shadow | None = None
    registry: Path | None = None

    @cached_property
    def books(self) -> Books:
        """What this worker keeps of the store between two queues.

        Raises:
            NoStoreError: the service has no store.
        """
        if self.store is None:
            raise NoStoreError(
                "this needs stored histories, and the service was started without a store; start it with --store, or "
                "send the histories in the request"
            )
        return Books(self.store)


@dataclass(frozen=True)
class Call:
    """One request, with all that it is answered from."""

    serving: Serving
    engine: Engine
    now: int
    body: bytes = b""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    key_id: str | None = None

    @property
    def store(self) -> Store:
        """The store of the histories.

        Raises:
            NoStoreError: the service has none.
        """
        return self.books.store

    @property
    def books(self) -> Books:
        """What this worker keeps of the store.

        Raises:
            NoStoreError: the service has none.
        """
        return self.serving.books

    def moment(self, as_of: str | None) -> int:
        """The moment that a request asks for; the present where it names none.

        Raises:
            MomentError: it is no moment, or lies in the future.
        """
        if as_of is None:
            return self.now
        moment = parse_instant(as_of)
        check_moment(moment, self.now)
        return moment


@dataclass(frozen=True)
class Answer:
    """What is sent back as JSON; `after` is done when it has been made, beside the answer.

    Content of another `media_type` is text as it is.
    """

    content: Any
    status: int = 200
    after: Callable[[], None] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True)
class Parameter:
    """What may stand in the query of a URL, or must stand in its path."""

    name: str
    type: Any
    meaning: str


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: `answer` makes the answer of a call, in a thread.

    The rest describes it: the types of the request's body and of the answer, which may depend on the portfolio, and
    what may stand in the URL.
    """

    method: str
    path: str
    scope: Scope
    summary: str
    answer: Callable[[Call], Answer]
    request: Callable[[RequestTypes], Any] | None = None
    answers: Callable[[RequestTypes], Any] = lambda _: Any
    parameters: tuple[Parameter, ...] = ()
    media_type: str = "application/json"
