"""The application: every page of the table as a route, and what a person is told where a page is refused."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from features.errors import RecoupError
from serving.api.answering import CODES, read_body
from serving.api.calls import Call, Serving
from serving.guard.access import RefusedError
from serving.guard.headers import cookie
from serving.guard.middleware import Refusal
from serving.languages.language import Language, translatable
from serving.review.pages.table import NAVIGATION, PAGES, STATIC, Page
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT, SECURITY, Visit, html, language_of, static_file

#: The kinds of the files that pages load.
_KINDS = {"css": "text/css", "svg": "image/svg+xml"}
#: What a person reads of an error, by its status, and what to do next. What exactly was wrong is said in English alone.
_ERRORS = {
    400: (
        translatable("This cannot be shown"),
        translatable("What was asked for is not there, or not written as it must be. Begin at the first page again."),
    ),
    403: (
        translatable("Not for this key"),
        translatable("Sign in with a key for review. Where a form was refused, open its page anew."),
    ),
    404: (translatable("There is no such page"), translatable("Check the address, or begin at the first page.")),
    405: (translatable("There is no such page"), translatable("Check the address, or begin at the first page.")),
    409: (
        translatable("This cannot be shown"),
        translatable("It needs stored accounts as they are now: open the page anew, or ask whoever runs Recoup."),
    ),
    413: (translatable("Too much was sent"), translatable("Go back, and send less at once.")),
    429: (translatable("Too many requests at once"), translatable("Wait a few seconds, then try again.")),
    503: (
        translatable("Not ready"),
        translatable("The store or the model cannot be reached. Wait a few seconds, then try again."),
    ),
    504: (
        translatable("Not answered in time"),
        translatable("Try again; where it lasts as long again, choose fewer accounts, or ask whoever runs Recoup."),
    ),
}
_FAULT = (
    translatable("A fault in Recoup"),
    translatable("Try again. Where it happens again, tell whoever runs Recoup when it did, and on which page."),
)

logger = logging.getLogger("recoup")


def application(serving: Serving) -> Starlette:
    """The pages as an application, to be mounted at `ROOT`."""
    # One at a time, beside the API's own: whoever looks holds up others who look, and nobody who works.
    turn = asyncio.Semaphore(1)
    paths = dict.fromkeys(page.path for page in PAGES)
    routes = [_route([page for page in PAGES if page.path == path], serving, turn) for path in paths]
    return Starlette(routes=[*routes, Route(STATIC, _static)], exception_handlers={HTTPException: _on_http_error})


def _route(pages: Sequence[Page], serving: Serving, turn: asyncio.Semaphore) -> Route:
    by_method = {page.method: page for page in pages}
    by_method |= {"HEAD": by_method["GET"]} if "GET" in by_method else {}

    async def answer(request: Request) -> Response:
        page = by_method[request.method]
        visit = _visit(request, page, serving, await read_body(request) if page.method == "POST" else b"")
        async with turn:
            return await run_in_threadpool(answered, page, visit)

    return Route(pages[0].path or "/", answer, methods=list(by_method))


def answered(page: Page, visit: Visit) -> Response:
    """The page, or the error that it ended in as a page."""
    try:
        return page.answer(visit)
    except HTTPException as error:
        return error_page(visit.language, error.status_code, error.detail, visit)
    except RecoupError as error:
        status, _ = CODES.get(type(error), (400, ""))
        return error_page(visit.language, status, str(error), visit)
    except Exception as error:  # noqa: BLE001 the outermost frame of a request
        # Only what and where: a message may quote what was sent.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("fault in page %s: %s, %s:%s", page.path, type(error).__name__, frame.filename, frame.lineno)  # noqa: TRY400
        return error_page(visit.language, 500, "", visit)


def error_page(language: Language, status: int, message: str, visit: Visit | None = None) -> Response:
    """An error as a page; with the navigation where there is a visit."""
    title, next_step = _ERRORS.get(status, _FAULT)
    return html(language, "error.html", status, visit=visit, title=title, next_step=next_step, message=message)


def refused_page(scope: MutableMapping[str, Any], error: RefusedError) -> Refusal:
    """What the guard says to a person: who has no key is asked for it, then led to the page that was asked for."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if error.status == 401:
        query = scope["query_string"].decode("latin-1")
        after = f"{scope['path']}{'?' if query else ''}{query}" if scope["method"] == "GET" else ROOT
        address = f"{ROOT}/sign-in?{urlencode({'next': after})}"
        response: Response = RedirectResponse(address, 303, headers=dict(SECURITY))
    else:
        # What is not there needs no more words than its title.
        said = "" if error.status == 404 else str(error)
        chosen = cookie(headers.get("cookie", ""), LANGUAGE_COOKIE)
        language = language_of(chosen, headers.get("accept-language", ""))
        response = error_page(language, error.status, said)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    own = {b"content-length", b"content-type"}
    more = tuple((name, value) for name, value in response.raw_headers if name not in own)
    return Refusal(response.status_code, bytes(response.body), more)


def _visit(request: Request, page: Page, serving: Serving, body: bytes) -> Visit:
    state = request.scope.get("state", {})
    call = Call(
        serving=serving,
        engine=serving.engine(),
        now=serving.now(),
        body=body,
        query=request.query_params,
        request_id=state.get("request_id", ""),
        key_id=state.get("key_id"),
    )
    cookie, accepted = request.cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", "")
    return Visit(
        call=call,
        language=language_of(cookie, accepted),
        path=page.path,
        entrance=state.get("entrance"),
        navigation=NAVIGATION,
        is_tls=request.headers.get("x-forwarded-proto", request.url.scheme) == "https",
    )


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    content = static_file(name)
    if content is None:
        raise HTTPException(404, "no page loads a file of this name")
    # Its address has its digest: what is kept is never out of date.
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, headers=kept, media_type=_KINDS[name.rpartition(".")[2]])


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    cookie, accepted = request.cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", "")
    return error_page(language_of(cookie, accepted), error.status_code, error.detail)
