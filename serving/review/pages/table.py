"""Which page is answered by what: the table that routes, the guard's rules and the navigation are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from serving.guard.access import Rule
from serving.guard.keys import Scope
from serving.languages.language import translatable
from serving.review.pages import account, drift, flows, held, overview, predicted, queue, sign_in
from serving.review.pages.visit import ROOT, Visit

#: The first page: where a person comes to who names none.
FIRST = "/overview"


@dataclass(frozen=True)
class Page:
    """What a path below `ROOT` is answered with: `scope` None is for everyone, `title` stands in the navigation."""

    method: str
    path: str
    answer: Callable[[Visit], Response]
    scope: Scope | None = Scope.REVIEW
    title: str | None = None


def first(visit: Visit) -> Response:
    """The first page."""
    return visit.to(f"{ROOT}{FIRST}")


PAGES: tuple[Page, ...] = (
    Page("GET", "", first),
    Page("GET", "/", first),
    Page("GET", "/overview", overview.show, title=translatable("Overview")),
    Page("GET", "/overview.csv", overview.export_csv),
    Page("GET", "/overview.xlsx", overview.export_excel),
    Page("GET", "/predicted", predicted.show, title=translatable("Predicted against actual")),
    Page("GET", "/predicted.csv", predicted.export_csv),
    Page("GET", "/predicted.xlsx", predicted.export_excel),
    Page("GET", "/predicted/accounts", predicted.show_accounts),
    Page("GET", "/predicted/accounts.csv", predicted.export_accounts_csv),
    Page("GET", "/predicted/accounts.xlsx", predicted.export_accounts_excel),
    Page("GET", "/flows", flows.show, title=translatable("Flows")),
    Page("GET", "/flows.csv", flows.export_csv),
    Page("GET", "/flows.xlsx", flows.export_excel),
    Page("GET", "/drift", drift.show, title=translatable("Drift")),
    Page("GET", "/drift.csv", drift.export_csv),
    Page("GET", "/drift.xlsx", drift.export_excel),
    Page("GET", "/drift/column", drift.show_column),
    Page("GET", "/queue", queue.show, title=translatable("Queue")),
    Page("GET", "/queue.csv", queue.export),
    Page("GET", "/held", held.show, title=translatable("Held back")),
    Page("GET", "/held.csv", held.export),
    Page("GET", "/account", account.show, title=translatable("Account")),
    Page("POST", "/overrides", account.override),
    Page("POST", "/overrides/end", account.end_override),
    Page("GET", "/sign-in", sign_in.show, scope=None),
    Page("POST", "/sign-in", sign_in.enter, scope=None),
    Page("POST", "/sign-out", sign_in.leave, scope=None),
    Page("POST", "/language", sign_in.choose_language, scope=None),
)
#: The files that pages load.
STATIC = "/static/{name}"
RULES: tuple[Rule, ...] = (
    *(Rule(page.method, f"{ROOT}{page.path}", page.scope, is_page=True) for page in PAGES),
    Rule("GET", f"{ROOT}{STATIC}", None),
)
NAVIGATION: tuple[tuple[str, str], ...] = tuple((page.path, page.title) for page in PAGES if page.title)
