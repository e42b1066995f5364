"""Coming in with an access key, leaving, and the choice of a language."""

from __future__ import annotations

from starlette.responses import Response

from features.errors import StoreError
from serving.guard.access import RefusedError
from serving.guard.sessions import COOKIE, LASTS
from serving.languages.language import LANGUAGES
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT, Visit

_YEAR_SECONDS = 365 * 24 * 3_600


def show(visit: Visit) -> Response:
    """The page that asks for a key; where none is needed, the first page."""
    if visit.entrance is None or visit.entrance.is_open:
        return visit.to(ROOT)
    return _page(visit, visit.call.query.get("next", ""))


def enter(visit: Visit) -> Response:
    """Let in whoever has a key, to the page that was asked for first."""
    after = visit.form.get("next", "")
    if visit.entrance is None:
        return visit.to(ROOT)
    try:
        session = visit.entrance.sign_in(visit.form.get("key", "").strip())
    except RefusedError as error:
        return _page(visit, after, error)
    response = visit.to(page_or_first(after))
    visit.keep(response, COOKIE, session, LASTS // 1_000_000)
    return response


def leave(visit: Visit) -> Response:
    """End the session on every machine, and take it out of the browser."""
    response = visit.to(f"{ROOT}/sign-in")
    try:
        if visit.entrance is not None:
            visit.entrance.sign_out()
    except StoreError:
        # Who is at this browser is out; who holds a copy of the cookie is not, and that is said.
        response = visit.page("left.html", 503)
    visit.keep(response, COOKIE, "")
    return response


def choose_language(visit: Visit) -> Response:
    """Keep a language, and go back to the page on which it was chosen."""
    response = visit.to(page_or_first(visit.form.get("back", "")))
    if (tag := visit.form.get("language", "")) in LANGUAGES:
        visit.keep(response, LANGUAGE_COOKIE, tag, _YEAR_SECONDS)
    return response


def page_or_first(address: str) -> str:
    r"""The address of a page of this service; the first page where it leads elsewhere.

    >>> page_or_first("/review/account?id=A%2F1"), page_or_first("//evil.example/review"), page_or_first("/review\\x")
    ('/review/account?id=A%2F1', '/review', '/review')
    """
    path = address.partition("?")[0]
    inside = path == ROOT or (path.startswith(f"{ROOT}/") and not any(sign in path for sign in ("\\", "//", "..")))
    return address if inside and address.isprintable() and address.isascii() else ROOT


def _page(visit: Visit, after: str, error: RefusedError | None = None) -> Response:
    values = {"after": page_or_first(after) if after else "", "error": error}
    response = visit.page("sign_in.html", error.status if error else 200, **values)
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
