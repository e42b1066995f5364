"""One visit of a page: who comes, in which language, what was asked, and how it is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from features.errors import RecoupError
from serving.api.calls import Call
from serving.guard.sessions import Entrance
from serving.languages.language import ENGLISH, LANGUAGES, Language, language_called
from serving.review.pages import labels
from serving.review.pages.writing import Writing

#: Where the pages are mounted.
ROOT = "/review"
#: The cookie with the language that was chosen.
LANGUAGE_COOKIE = "recoup_language"
#: A page loads from this service alone, holds no script, and is shown in no frame of another.
SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    # A form says where it was sent from, to this service alone: see `serving.guard.access.refuse_foreign`.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: What a language calls itself.
OWN_NAMES: Mapping[str, str] = {"en": "English", "zh-Hans": "简体中文"}
_MOST_FIELDS = 30


class FormError(RecoupError):
    """A form that is not what a page of this service sends."""


@dataclass(frozen=True)
class Visit:
    """One visit: `path` is below `ROOT`, `entrance` is None where no guard stands before it."""

    call: Call
    language: Language
    path: str
    entrance: Entrance | None = None
    navigation: tuple[tuple[str, str], ...] = ()
    is_tls: bool = False

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The fields of the form that was sent.

        Raises:
            FormError: it is no form.
        """
        try:
            text = self.call.body.decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
        except ValueError:
            raise FormError("a form has a few fields of text; open the page anew") from None

    @property
    def here(self) -> str:
        """The address of this page, for the way back to it."""
        query = urlencode(dict(self.call.query))
        return f"{ROOT}{self.path}{'?' if query else ''}{query}"

    def at(self, **changes: Any) -> str:
        """The address of this page with other words in its query; None takes one out."""
        query = {**self.call.query, **changes}
        kept = urlencode({name: value for name, value in query.items() if value not in (None, "")})
        return f"{ROOT}{self.path}{'?' if kept else ''}{kept}"

    @cached_property
    def writing(self) -> Writing:
        """How figures and moments are written: those of the portfolio in its own time."""
        return Writing(self.language, ZoneInfo(self.call.engine.settings.timezone), self.call.now)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page made of its template."""
        write = self.writing
        shown = {"visit": self, "write": write, "word": labels.Words(self.language), **values}
        return html(self.language, template, status, **shown)

    def to(self, address: str) -> Response:
        """Go on to another page, after a form."""
        return RedirectResponse(address, 303, headers=dict(SECURITY))

    def keep(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        """Have the browser keep a cookie, until it is closed where no seconds are said; a blank one is taken away."""
        secure = self.is_tls or (self.entrance is not None and self.entrance.is_tls)
        same = {"path": ROOT, "secure": secure, "httponly": True, "samesite": "strict"}
        if value:
            response.set_cookie(name, value, max_age=seconds, **same)  # type: ignore[arg-type]
        else:
            response.delete_cookie(name, **same)  # type: ignore[arg-type]


def html(language: Language, template: str, status: int = 200, **values: Any) -> Response:
    """A template as an answer."""
    text = environment_of(language).get_template(template).render(**values)
    return Response(text, status, headers=dict(SECURITY), media_type="text/html")


def language_of(cookie: str, accepted: str) -> Language:
    """The language that was chosen, else the first that the browser accepts, else English.

    >>> language_of("", "de, zh-CN;q=0.8, en;q=0.5").tag, language_of("en", "zh-CN").tag, language_of("", "*").tag
    ('zh-Hans', 'en', 'en')
    """
    if cookie in LANGUAGES:
        return language_called(cookie)
    wanted = []
    for place, one in enumerate(accepted[:500].split(",")):
        tag, _, weight = one.strip().partition(";q=")
        wanted.append((-_weight(weight), place, tag.lower()))
    for order, _, tag in sorted(wanted):
        main = tag.partition("-")[0]
        found = {"en": "en", "zh": "zh-Hans"}.get(main)
        if found and order < 0:
            return language_called(found)
    return ENGLISH


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


@lru_cache(maxsize=len(LANGUAGES))
def environment_of(language: Language) -> Environment:
    """The templates in a language: `_` looks a text up, `say` fills it in, `counted` takes the one of a number."""
    found = Environment(
        loader=PackageLoader("serving.review.pages"), autoescape=True, undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.install_gettext_translations(language.translations)  # type: ignore[attr-defined]
    found.globals |= {
        "say": language.say, "counted": language.counted, "language": language, "root": ROOT, "static": static_address,
        "languages": OWN_NAMES,
    }  # fmt: skip
    return found


@lru_cache(maxsize=16)
def static_file(name: str) -> bytes | None:
    """A file that pages load; None where there is none of this name."""
    files = {one.name: one for one in resources.files("serving.review.pages").joinpath("static").iterdir()}
    return files[name].read_bytes() if name in files else None


def style() -> str:
    """The stylesheet of the pages, for one that is a file by itself."""
    return (static_file("review.css") or b"").decode()


@lru_cache(maxsize=16)
def static_address(name: str) -> str:
    """Where a file is loaded from: its address changes with its content, so that a browser may keep it."""
    content = static_file(name)
    if content is None:
        raise LookupError(f"pages have no file {name}")
    return f"{ROOT}/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
