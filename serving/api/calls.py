"""What a worker answers from, one request, and what an endpoint is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from features.as_of import check_moment
from features.errors import RecoupError
from features.units import parse_instant
from serving.engine import Engine
from serving.guard.keys import Scope as Scope  # noqa: PLC0414 endpoints take it from here
from serving.guard.metrics import Metrics
from serving.store.database import Store


class RequestError(RecoupError):
    """A request that is not what it must be."""


class NoStoreError(RecoupError):
    """A request that needs stored histories, of a service that has no store."""


@dataclass(frozen=True)
class Serving:
    """What a worker answers from.

    `engine` gives the engine that is in service now: it is asked once per request, so that no answer mixes two models.
    `now` gives the present as an instant; the entry point hands it in. `metrics` counts what Prometheus asks for.
    """

    engine: Callable[[], Engine]
    now: Callable[[], int]
    store: Store | None = None
    metrics: Metrics | None = None


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
        if self.serving.store is None:
            raise NoStoreError(
                "this needs stored histories, and the service was started without a store; start it with --store, or "
                "send the histories in the request"
            )
        return self.serving.store

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
    """What is sent back as JSON; `after` is done when it has been made, beside the answer."""

    content: Any
    status: int = 200
    after: Callable[[], None] | None = None


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: `answer` makes the answer of a call, in a thread."""

    method: str
    path: str
    scope: Scope
    summary: str
    answer: Callable[[Call], Answer]
