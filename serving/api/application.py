"""The application: every endpoint of the table as a route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api.answering import answered, error_response, on_http_error, read_body
from serving.api.calls import Call, Endpoint, Serving
from serving.api.endpoints import ENDPOINTS


def application(serving: Serving) -> Starlette:
    """The API as an application, to be mounted at `/v1`."""
    # One at a time, beside the event loop: health checks are answered while scores are computed.
    turn = asyncio.Semaphore(1)
    paths = dict.fromkeys(one.path for one in ENDPOINTS)
    routes = [_route([one for one in ENDPOINTS if one.path == path], serving, turn) for path in paths]
    return Starlette(routes=routes, exception_handlers={HTTPException: _on_http_error, ClientDisconnect: _on_gone})


def _route(endpoints: Sequence[Endpoint], serving: Serving, turn: asyncio.Semaphore) -> Route:
    """The route of a path: one, whatever its methods, so that a refusal names all of them."""
    by_method = {one.method: _answering(one, serving, turn) for one in endpoints}
    # HEAD is a GET whose answer is not sent.
    by_method |= {"HEAD": by_method["GET"]} if "GET" in by_method else {}

    async def answer(request: Request) -> Response:
        return await by_method[request.method](request)

    return Route(endpoints[0].path, answer, methods=list(by_method))


def _answering(
    endpoint: Endpoint, serving: Serving, turn: asyncio.Semaphore
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        body = await read_body(request) if endpoint.method == "POST" else b""
        async with turn:
            return await run_in_threadpool(answered, endpoint.answer, _call(serving, request, body), endpoint.path)

    return answer


def _call(serving: Serving, request: Request, body: bytes) -> Call:
    state = request.scope.get("state", {})
    return Call(
        serving=serving,
        engine=serving.engine(),
        now=serving.now(),
        body=body,
        path=request.path_params,
        query=request.query_params,
        request_id=state.get("request_id", ""),
        key_id=state.get("key_id"),
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return on_http_error(error, request.url.path)


async def _on_gone(_: Request, __: Exception) -> Response:
    # Nobody reads it; the server wants an answer all the same.
    return error_response(400, "bad_request", "the body must arrive whole; the connection was closed before its end")
