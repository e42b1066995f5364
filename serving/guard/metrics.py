"""Figures for Prometheus: what a dashboard of the service needs, summed over its workers.

Labels are few and known beforehand: no path, id or text that a caller chose becomes one, so that nobody can make them
grow. The workers keep their figures in files of one folder (`PROMETHEUS_MULTIPROC_DIR`, which BentoML sets), and
whichever is asked sums them up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.guard.mapped import take_room

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: From a second to a month.
_LAGS = (1, 10, 60, 600, 3600, 6 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)

#: Of the files in which a worker keeps its figures: the bytes that all there can be take, by kind. What counts models
#: grows with every promotion; there is room for some hundred.
_ROOM = {"histogram": 1_048_576, "counter": 262_144, "gauge_livesum": 65_536, "gauge_livemax": 65_536}


@dataclass(frozen=True)
class Metrics:
    """The figures of one worker."""

    registry: CollectorRegistry
    requests: Histogram
    in_flight: Gauge
    scores: Counter
    events: Counter
    event_lag: Histogram
    ledger_lag: Histogram
    store_errors: Counter
    shadow_drops: Counter
    models: Gauge
    _in_service: set[tuple[str, str]] = field(default_factory=set)

    def requested(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered; `endpoint` is the label of a rule."""
        self.requests.labels(endpoint, status).observe(seconds)

    def scored(self, model: str, role: str, by_band: Mapping[str, int], lag: float) -> None:
        """Scores were given, so many in each band, and in the ledger `lag` seconds after they were asked for."""
        self.ledger_lag.observe(max(0.0, lag))
        for band, n in by_band.items():
            self.scores.labels(model, role, band).inc(n)

    def took_in(self, table: str, accepted: int, duplicates: int, rejected: int) -> None:
        """Events of a table were taken in, known already, or set aside."""
        for result, n in (("accepted", accepted), ("duplicate", duplicates), ("rejected", rejected)):
            self.events.labels(table, result).inc(n)

    def serves(self, by_role: Mapping[str, str]) -> None:
        """These models are in service now, by role, and no others."""
        for labels in [labels for labels in self._in_service if by_role.get(labels[1]) != labels[0]]:
            self._in_service.remove(labels)
            self.models.labels(*labels).set(0)
        for role, model in by_role.items():
            self._in_service.add((model, role))
            self.models.labels(model, role).set(1)


def take_room_for_metrics(folder: Path, pid: int) -> None:
    """Have the disk keep room for the figures of a worker that is to make them, by its process id.

    Raises:
        SettingsError: the disk has no such room.
    """
    for kind, n_bytes in _ROOM.items():
        take_room(folder / f"{kind}_{pid}.db", n_bytes)


def make_metrics() -> Metrics:
    """The figures of a worker, at zero; one call a process, since a second would count in the same files."""
    registry = CollectorRegistry()

    def counter(name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=registry)

    def histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, words, labels, registry=registry, buckets=buckets)

    return Metrics(
        registry=registry,
        requests=histogram(
            "recoup_request_seconds", "From a request's first byte to its answer.", _SECONDS, "endpoint", "status"
        ),
        in_flight=Gauge(
            "recoup_requests_in_flight", "Requests that are answered or wait.", registry=registry,
            multiprocess_mode="livesum",
        ),
        scores=counter("recoup_scores", "Scores given.", "model", "role", "band"),
        events=counter("recoup_events", "Rows of events that came in.", "table", "result"),
        event_lag=histogram("recoup_event_lag_seconds", "From an event to its row in the store.", _LAGS),
        ledger_lag=histogram("recoup_ledger_lag_seconds", "From a score to its row in the ledger.", _SECONDS),
        store_errors=counter("recoup_store_errors", "What the store did not do.", "what"),
        shadow_drops=counter("recoup_shadow_drops", "Answers that the challenger did not score, for want of time."),
        models=Gauge(
            "recoup_model", "1 for the model in service in a role.", ["model", "role"], registry=registry,
            multiprocess_mode="livemax",
        ),
    )  # fmt: skip


def exposition(metrics: Metrics, folder: Path | None) -> bytes:
    """The figures as Prometheus reads them: of all workers that share a folder, of this process where there is none."""
    if folder is None:
        return generate_latest(metrics.registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_dead_workers(folder: Path, is_alive: Callable[[int], bool]) -> None:
    """Remove what workers that are gone said of the present; what they counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = re.search(r"_(\d+)\.db$", file.name)
        if pid and not is_alive(int(pid[1])):
            file.unlink(missing_ok=True)


def figures_in_words() -> str:
    """The figures as a table in Markdown, for the page that describes them."""
    families = make_metrics().registry.collect()
    kinds = {"counter": "_total"}
    rows = [f"| `{one.name}{kinds.get(one.type, '')}` | {one.type} | {one.documentation} |" for one in families]
    return "\n".join(["| figure | kind | what it is |", "|---|---|---|", *rows])
