"""What the tests of pages share: the small portfolio in a store, keys, and the pages with their guard around them."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from serving.api.calls import Serving
from serving.engine import Engine
from serving.guard.access import OPERATIONS, Rules
from serving.guard.keys import KeyWatch, Scope
from serving.guard.limits import Limits, Places
from serving.guard.metrics import exposition, make_metrics
from serving.guard.middleware import Guard, Guarding
from serving.guard.sessions import Sessions
from serving.models.shadow import Shadow
from serving.review.pages.application import application, refused_page
from serving.review.pages.table import RULES
from serving.review.pages.visit import ROOT
from serving.store.database import Store
from serving.store.keys import add_key, read_keys
from serving.store.sessions import end_session, read_ended_sessions
from tests.serving.review.rolled import NOW
from tests.serving.small import AS_OF
from tests.serving.stores import Stores, opened

ADDRESS = "http://127.0.0.1:3000"
BrowserOf = Callable[..., TestClient]


@pytest.fixture
def empty_store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    """A store with nothing in it."""
    yield from opened(stores.sqlite(tmp_path / "empty.db"))


@pytest.fixture
def store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    """A store with the small portfolio."""
    yield from opened(stores.sqlite(tmp_path / "store.db", filled=True))


def token_for(store: Store, *scopes: Scope, expires_at: int | None = None) -> str:
    """A key for some scopes."""
    return add_key(store, "manager", frozenset(scopes), AS_OF - 1, expires_at)


def guarded(
    engine: Engine, store: Store, now: int = AS_OF, registry: Path | None = None, shadow: Shadow | None = None,
    **settings: Any,
) -> Guard:  # fmt: skip
    """The pages with their guard; what it knows of keys is what the store has now."""
    pages = application(Serving(lambda: engine, lambda: now, store, registry=registry, shadow=shadow))
    watch = KeyWatch(lambda: read_keys(store), read_ended_sessions=lambda: read_ended_sessions(store))
    limits, metrics = Limits(), make_metrics()
    watch.look()
    guarding = Guarding(
        rules=Rules((*OPERATIONS, *RULES)), keys=watch, limits=limits, places=Places(limits, lambda: 0.0), rates=None,
        metrics=metrics, expose=lambda: exposition(metrics, None), now=lambda: now, open_without_keys=True,
        sessions=Sessions(b"s" * 32), end_session=functools.partial(end_session, store), refused_page=refused_page,
    )  # fmt: skip
    return Guard(Starlette(routes=[Mount(ROOT, pages)]), replace(guarding, **settings))


@pytest.fixture
def browser_of(engine: Engine, store: Store) -> BrowserOf:
    """Somebody at the pages, who goes where a page leads; signed in where a key is given."""

    def browser(token: str = "", now: int = AS_OF, to: Store | None = None, **settings: Any) -> TestClient:
        app: Any = guarded(engine, to or store, now, **settings)
        client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
        if token:
            entered = client.post(f"{ROOT}/sign-in", data={"key": token}, headers={"origin": ADDRESS})
            assert entered.status_code == 200, entered.text
        return client

    return browser


@pytest.fixture
def browser(browser_of: BrowserOf, rolled: Store) -> TestClient:
    """Somebody at the pages over the store that is rolled up."""
    return browser_of(to=rolled, now=NOW)


def rows_of(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table, as people see them."""
    table = page.partition(f'aria-labelledby="{section}"')[2].partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(" ".join(re.sub(r"<[^>]*>", " ", cell).split())) for cell in row] for row in cells]
