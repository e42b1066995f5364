"""Headers that every answer carries, errors among them, and cookies of a request. What is set by itself stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie

Header = tuple[bytes, bytes]

#: Answers are personal data for a program: kept by nobody, shown in no frame, and no page that loads anything.
SECURITY: Mapping[bytes, bytes] = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
#: Where the service speaks TLS, a browser is to use nothing else for a year.
TLS: Mapping[bytes, bytes] = {b"strict-transport-security": b"max-age=31536000"}


def with_headers(given: Iterable[Header], standard: Iterable[Header]) -> list[Header]:
    """The headers of an answer, and of the standard ones those that it lacks."""
    headers = list(given)
    names = {name.lower() for name, _ in headers}
    return headers + [header for header in standard if header[0] not in names]


def cookie(header: str, name: str) -> str:
    """The value of a cookie in a `Cookie` header; empty where there is none.

    >>> cookie("a=1; b=2", "b"), cookie("", "b")
    ('2', '')
    """
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
