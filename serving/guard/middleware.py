"""The guard around an application: id, key, rate, size, place, time, and an answer to whatever happens.

It is plain ASGI and the outermost layer, so that every answer has its headers, and what is refused costs next to
nothing. The application finds `request_id` and `key_id` in the request's state.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import msgspec

from features.errors import StoreError
from serving.guard import headers, ids, logs
from serving.guard.access import Asking, RefusedError, Rule, Rules, admit, refuse_foreign
from serving.guard.keys import Key, KeyRefusedError, KeyWatch, Scope
from serving.guard.limits import ClientGoneError, Limits, Message, Places, Rates, Receive
from serving.guard.metrics import CONTENT_TYPE, Metrics
from serving.guard.sessions import COOKIE, LASTS, Entrance, Sessions, session_digest, session_secret

Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: What a log calls a request whose sender closed the connection; nginx made the number known.
CLIENT_GONE = 499
_OTHER = "other"
_API = "/v1/"
_PAGES = "/review"
#: Who has no key yet shares a rate with all others who have none; keys are counted from 1.
_NOBODY = 0
logger = logging.getLogger(logs.NAME)


@dataclass(frozen=True)
class Refusal:
    """How a page says that it is refused."""

    status: int
    body: bytes
    headers: tuple[headers.Header, ...] = ()


@dataclass(frozen=True)
class Guarding:
    """What a guard goes by."""

    rules: Rules
    keys: KeyWatch
    limits: Limits
    places: Places
    #: None where no rate is kept.
    rates: Rates | None
    metrics: Metrics
    #: Writes the metrics of all workers.
    expose: Callable[[], bytes]
    #: The present, as an instant.
    now: Callable[[], int]
    #: Whether the service listens on this machine alone.
    open_without_keys: bool
    tls: bool = False
    sessions: Sessions = field(default_factory=lambda: Sessions(session_secret(None)))
    #: Keeps that a session is over: its digest, when it would have been, and the present.
    end_session: Callable[[bytes, int, int], None] = lambda *_: None
    #: Says to a person what a program is told as JSON; takes the request's scope.
    refused_page: Callable[[Message, RefusedError], Refusal] | None = None


class Exchange:
    """One request and its answer, as it goes out: headers added, status and bytes seen."""

    def __init__(self, scope: Message, send: Send, standard: list[headers.Header]) -> None:
        given: dict[bytes, bytes] = dict(scope["headers"])
        self.given, self._send = given, send
        self.request_id = ids.request_id(given.get(ids.HEADER))
        self.status, self.bytes_in = 0, 0
        self.key: Key | None = None
        self._standard = [(ids.HEADER, self.request_id.encode()), *standard]
        #: How a refusal is put where it is not JSON.
        self.in_words: Callable[[RefusedError], Refusal] | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": headers.with_headers(message.get("headers", ()), self._standard)}
        await self._send(message)

    def text(self, name: bytes) -> str:
        """A header of the request; empty where it has none."""
        return self.given.get(name, b"").decode("latin-1")

    async def answer(self, status: int, body: bytes, *more: headers.Header, kind: bytes = b"application/json") -> None:
        """Send a whole answer."""
        described = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        await self.send({"type": "http.response.start", "status": status, "headers": described})
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, error: RefusedError) -> None:
        """Answer with an error, where no answer has begun."""
        if self.status:
            return
        if self.in_words is not None:
            said = self.in_words(error)
            await self.answer(said.status, said.body, *said.headers, kind=b"text/html; charset=utf-8")
            return
        more: list[headers.Header] = [(b"www-authenticate", b"Bearer")] if error.status == 401 else []
        if error.retry_after is not None:
            more.append((b"retry-after", str(error.retry_after).encode()))
        content = {"error": {"code": error.code, "message": str(error), "detail": None}}
        await self.answer(error.status, msgspec.json.encode(content), *more)


class Guard:
    """An application that lets another answer what passes."""

    def __init__(self, app: Application, guarding: Guarding) -> None:
        self._app, self._with = app, guarding
        self._standard = [*headers.SECURITY.items(), *(headers.TLS.items() if guarding.tls else ())]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; what is not HTTP is closed, but for the start and the end of the worker."""
        if scope["type"] == "http":
            await self._answer(scope, receive, Exchange(scope, send, self._standard))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Message, receive: Receive, exchange: Exchange) -> None:
        started = perf_counter()
        ids.current.set(exchange.request_id)
        if self._with.refused_page is not None and f"{scope['path']}/".startswith(f"{_PAGES}/"):
            exchange.in_words = functools.partial(self._with.refused_page, scope)
        rule = self._with.rules.find(scope["method"], scope["path"])
        self._with.metrics.in_flight.inc()
        try:
            async with asyncio.timeout(self._with.limits.seconds):
                await self._let_answer(rule, scope, receive, exchange)
        except RefusedError as error:
            await exchange.refuse(error)
        except ClientGoneError:
            exchange.status = CLIENT_GONE
        except TimeoutError:
            await exchange.refuse(
                RefusedError(504, "timeout", f"not answered in {self._with.limits.seconds:g} seconds")
            )
        except Exception as error:  # noqa: BLE001 the outermost frame of a request
            logger.error("fault in answering: %s", logs.place_of(error))  # noqa: TRY400 its message may quote the request
            await exchange.refuse(
                RefusedError(500, "internal", "this is a fault in Recoup; the request was not answered")
            )
        finally:
            self._record(rule, exchange, perf_counter() - started)

    async def _let_answer(self, rule: Rule | None, scope: Message, receive: Receive, exchange: Exchange) -> None:
        if rule is None and not scope["path"].startswith(_API):
            raise RefusedError(404, "not_found", "there is nothing under this path; the API is under /v1")
        exchange.key = self._admit(rule, exchange)
        if exchange.key is not None and self._with.rates is not None:
            self._with.rates.take(exchange.key.number)
        if scope["path"] == "/metrics":
            # The files of all workers are read, beside the event loop.
            body = await asyncio.to_thread(self._with.expose)
            return await exchange.answer(200, body, kind=CONTENT_TYPE.encode())
        if scope["path"] == "/readyz" and not self._with.keys.reachable:
            raise RefusedError(503, "store", "the store cannot be reached", retry_after=2)
        if rule is not None and rule.scope is None and not rule.is_page:
            return await self._app(scope, receive, exchange.send)
        await self._answer_in_place(scope, receive, exchange)
        return None

    def _admit(self, rule: Rule | None, exchange: Exchange) -> Key | None:
        asking, with_ = _asking(exchange), self._with
        return admit(rule, asking, with_.keys.current, with_.open_without_keys, with_.now(), with_.sessions)

    def _sign_in(self, exchange: Exchange, token: str) -> str:
        """The session that stands for a key, which must be one for review."""
        keys, now = self._with.keys.current, self._with.now()
        refuse_foreign(_asking(exchange))
        if self._with.rates is not None:
            self._with.rates.take(_NOBODY)
        if keys is None:
            raise RefusedError(503, "store", "keys cannot be read from the store yet; try again", retry_after=2)
        try:
            key = keys.holder(token, now)
        except KeyRefusedError as error:
            raise RefusedError(401, "unauthorized", str(error)) from None
        if Scope.REVIEW not in key.scopes:
            raise RefusedError(403, "forbidden", f"pages need a key for the scope {Scope.REVIEW}; this one is not")
        return self._with.sessions.write(key, now)

    def _sign_out(self, exchange: Exchange) -> None:
        """End the session that a request came with, where it is one; raises `StoreError`."""
        keys, now, session = self._with.keys, self._with.now(), _asking(exchange).session
        if keys.current is None:
            raise StoreError("keys cannot be read from the store yet; try again")
        try:
            self._with.sessions.holder(session, keys.current, now)
        except KeyRefusedError:
            return
        self._with.end_session(session_digest(session), now + LASTS, now)
        # This worker knows at once, the others at their next look.
        keys.look()

    def _entrance(self, exchange: Exchange) -> Entrance:
        keys = self._with.keys.current
        is_open = self._with.open_without_keys and keys is not None and not keys.by_number
        sign_in, sign_out = functools.partial(self._sign_in, exchange), functools.partial(self._sign_out, exchange)
        return Entrance(exchange.key, is_open, sign_in, sign_out, self._with.tls)

    async def _answer_in_place(self, scope: Message, receive: Receive, exchange: Exchange) -> None:
        """Read the whole body, then take a place: whoever sends slowly takes none from the others."""
        body = await self._with.places.read_body(receive, _declared(exchange.text(b"content-length")))
        exchange.bytes_in = len(body)
        try:
            with self._with.places.place():
                key_id = exchange.key.key_id if exchange.key else None
                state: dict[str, Any] = {"request_id": exchange.request_id, "key_id": key_id}
                if exchange.in_words is not None:
                    state["entrance"] = self._entrance(exchange)
                state = {**scope.get("state", {}), **state}
                await self._app({**scope, "state": state}, _again(body, receive), exchange.send)
        finally:
            self._with.places.release(len(body))

    def _record(self, rule: Rule | None, exchange: Exchange, seconds: float) -> None:
        endpoint, metrics = rule.label if rule else _OTHER, self._with.metrics
        metrics.in_flight.dec()
        metrics.requested(endpoint, exchange.status, seconds)
        logs.log_request(
            endpoint=endpoint,
            status=exchange.status,
            ms=round(seconds * 1000, 3),
            bytes_in=exchange.bytes_in,
            key_id=exchange.key.key_id if exchange.key else None,
        )


def _asking(exchange: Exchange) -> Asking:
    text = exchange.text
    return Asking(text(b"authorization"), text(b"host"), text(b"origin"), headers.cookie(text(b"cookie"), COOKIE))


def _declared(content_length: str) -> int:
    """The length that a body is said to have; 0 where nothing sensible is said, since what arrives is counted."""
    return int(content_length) if len(content_length) < 20 and content_length.isdecimal() else 0


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that has been read, to be read once more; then what the connection says."""
    waiting = [body]

    async def receive_again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_again
