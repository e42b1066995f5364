"""How long the service takes to answer with each page of the review, in the process that answers it.

page_times(store, now) -> figures
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from experiments.benchmarks._report import Figure, measure
from experiments.benchmarks._service import REGISTRY, prepare_world
from serving.api.calls import Serving
from serving.engine import make_engine, warm_up
from serving.guard.keys import Scope
from serving.review.pages.application import application
from serving.review.pages.table import PAGES
from serving.review.pages.visit import ROOT
from serving.store.database import Store
from training.registry import open_model

#: What pages are asked for beside what they show of themselves; all are asked for without, too.
ASKED: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("/account", {"id": "A0000042"}),
    ("/overview", {"month": "2026-03"}),
    ("/predicted", {"month": "all", "by": "month"}),
    ("/predicted", {"month": "all", "by": "agent"}),
    ("/predicted", {"month": "2026-03", "by": "band", "only": "segment:card"}),
    ("/predicted/accounts", {"month": "2026-03", "by": "segment", "value": "card"}),
    ("/predicted/accounts", {"month": "all", "by": "segment", "value": "card"}),
    ("/predicted/accounts", {"month": "all", "by": "agent", "value": "agent 7"}),
    ("/predicted/accounts", {"month": "all", "by": "band", "value": "J"}),
    # All are looked through, and none is found.
    ("/predicted/accounts", {"month": "all", "by": "agent", "value": "nobody"}),
    ("/predicted/accounts.csv", {"month": "2026-03", "by": "segment", "value": "card"}),
    ("/predicted/accounts.xlsx", {"month": "2026-03", "by": "segment", "value": "card"}),
    ("/queue", {"page": "3", "segment": "card"}),
    # The first time, this makes a queue of histories that are in memory.
    ("/queue", {"as_of": "2026-07-20T08:00:00Z"}),
)
_TIMES = 5


def page_times(store: Store, now: int) -> Iterator[Figure]:
    """Milliseconds of each page that a person may open, the least of some looks after the first, which makes a queue.

    Others on the same cores make a look longer, so what it costs of a core stands beside it.

    Args:
        store: a store that is rolled up.
        now: the present, an instant.
    """
    prepare_world()
    engine = make_engine(open_model("champion", REGISTRY))
    warm_up(engine)
    client = TestClient(
        Starlette(routes=[Mount(ROOT, application(Serving(lambda: engine, lambda: now, store)))]),
        base_url="http://127.0.0.1:3000", raise_server_exceptions=False, follow_redirects=False,
    )  # fmt: skip
    alone: list[tuple[str, Mapping[str, str]]] = [
        (page.path, {}) for page in PAGES if page.method == "GET" and page.scope is Scope.REVIEW and page.path
    ]
    for path, query in (*alone, *ASKED):
        name = f"page {path}{'?' if query else ''}{urlencode(query)}"

        def ask(path: str = path, query: Mapping[str, str] = query) -> int:
            return int(client.get(f"{ROOT}{path}", params=dict(query)).status_code)

        status, first = measure(ask, 1)
        _, again = measure(ask, _TIMES)
        if status != HTTPStatus.OK:
            name += f" ({HTTPStatus(status).phrase})"
        yield Figure(name, again.wall * 1000, "ms", "300")
        yield Figure(f"{name}, of a core", again.cpu * 1000, "CPU ms")
        yield Figure(f"{name}, the first time", first.wall * 1000, "ms")
