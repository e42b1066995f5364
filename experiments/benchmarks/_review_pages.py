"""How long the service takes to answer with each page of the review, in the process that answers it.

page_times(store, now) -> figures
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlencode

import numpy as np
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from experiments.benchmarks._report import Figure, measure
from experiments.benchmarks._service import REGISTRY, prepare_world
from experiments.watch.drift import judge, psi
from features.units import DAY, format_instant
from serving.api.calls import Serving
from serving.drift import Bins, Judged, Limits, Report, Shift
from serving.engine import make_engine, warm_up
from serving.guard.keys import Scope
from serving.review.pages.application import application
from serving.review.pages.table import PAGES
from serving.review.pages.visit import ROOT
from serving.store.database import Store
from serving.store.drift import keep_report
from training.bundle import Bundle
from training.leaks import gain_shares
from training.reference import Distribution
from training.registry import open_model
from training.settings import read_sections

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
    ("/drift", {"minor": "shown"}),
    ("/drift/column", {"name": "p_pay"}),
    ("/queue", {"page": "3", "segment": "card"}),
    # The first time, this makes a queue of histories that are in memory.
    ("/queue", {"as_of": "2026-07-20T08:00:00Z"}),
)
_TIMES = 5
#: A model has been watched for so many days.
_WATCHED_DAYS = 365


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
    _watch(store, engine.scorer.bundle, now)
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


def _watch(store: Store, bundle: Bundle, now: int) -> None:
    """Keep a report of monitoring a day, of all that the model reads, in a world that moves by chance."""
    draw, limits = np.random.default_rng(1), read_sections(Limits, "experiments.watch", "monitor.toml", None)
    reference, gain = bundle.reference, gain_shares(bundle)

    def shift(name: str, of: Distribution, gain: float | None) -> Shift:
        training = np.array(of.shares)
        now = training * draw.lognormal(sigma=0.3, size=len(training))
        now /= now.sum()
        bins = Bins(of.shares, tuple(now.round(6).tolist()), of.edges, () if of.edges else tuple(map(str, of.shares)))
        return Shift(name, psi(training, now), 0.02, gain, bins=bins)

    for day in range(_WATCHED_DAYS):
        as_of = now - (_WATCHED_DAYS - 1 - day) * DAY
        report = Report(
            as_of=format_instant(as_of), model=bundle.label, accounts=reference.accounts, as_old=reference.accounts,
            scores=tuple(shift(name, of, None) for name, of in reference.scores.items()),
            features=tuple(shift(name, of, gain[name]) for name, of in reference.features.items()),
            expected_auc=0.78 + 0.01 * draw.normal(), expected_brier=0.05, reference_auc=reference.expected_auc,
            holdout_auc=bundle.manifest.holdout.get("auc"), matured=None,
        )  # fmt: skip
        keep_report(store, Judged(report, limits, judge(report, limits)), as_of)
