"""The service when things fail, each tried for real and counted.

    worker      one of two workers is killed under load
    ingest      the whole service is killed (-9) three times while four clients send events, and started again
    database    PostgreSQL is stopped under load, and started again
    disk        the disk of store, ledger and working files is full to the last byte while events and requests for
                scores come, and is not any more (a tmpfs, so that it takes root)
    registry    the tracking server is killed; scores go on, and it comes back
    clock       the clock is set back an hour (with Debian's libfaketime)
    promotion   the champion changes four times under load

What must hold: what was acknowledged is there, once; no answer mixes two models; the service recovers by itself. What
is asked of a figure stands beside it.

`--only worker,ingest,...` names what is tried.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import psutil

from experiments.benchmarks._postgresql import cluster
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._service import (
    HOME,
    REGISTRY,
    WORLD,
    Client,
    Load,
    Request,
    Served,
    clear,
    filled_store,
    free_port,
    load,
    post,
    prepare_world,
    recoup,
    running,
    serve,
)
from experiments.benchmarks.service import BATCH, Asked, asked_of_world, contacts
from training.registry import CHAMPION, client_for

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
MEBIBYTE = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    chosen = parser.parse_args(arguments).only.split(",")
    prepare_world()
    asked = asked_of_world()
    figures: list[Figure] = []
    try:
        for name in chosen:
            begin = time.monotonic()
            figures += PARTS[name](asked)
            print(f"{name}: tried in {time.monotonic() - begin:.0f} s")
    finally:
        write_report("service_faults", figures)
    return 0


def _one(asked: Asked, place: int = 0) -> bytes:
    account = asked.account_id[place % len(asked.account_id)]
    return msgspec.json.encode({"as_of": asked.as_of, "account_ids": [account]})


def _scores(asked: Asked, n: int) -> list[Request]:
    """Requests for the score of one account each."""
    return [post("/v1/score", _one(asked, place)) for place in range(n)]


def _worker_killed(asked: Asked) -> list[Figure]:
    """Four clients ask while a worker is killed: those it was answering lose their answer, nobody else does."""
    with serve(filled_store("worker")) as served:
        before = served.workers()
        back: list[float] = []

        def kill() -> None:
            max(before, key=_connections).kill()
            back.append(_seconds_until(lambda: _answers_again(served, before), 60))

        killing = threading.Timer(1.0, kill)
        killing.start()
        found = load(served, _scores(asked, 2_000))
        while killing.is_alive():
            found.include(load(served, _scores(asked, 200)))
        after = load(served, _scores(asked, 400))
    return [
        Figure("worker killed: requests without an answer (asked: 4 at most)", found.count(0), "requests", _of(found)),
        Figure("worker killed: answers of the kind 5xx (asked: 0)", found.count(500, 600), "requests", _of(found)),
        Figure("worker killed: until another answers in its place", back[0], "s"),
        Figure("worker killed: answered afterwards (asked: 1)", after.share(), "share", _of(after)),
    ]


def _of(found: Load) -> str:
    return f"of {found.n:,}: {found.in_words()}"


def _connections(worker: psutil.Process) -> int:
    """How many clients are connected to a worker."""
    return sum(link.status == psutil.CONN_ESTABLISHED for link in worker.net_connections("tcp"))


def _answers_again(served: Served, before: Sequence[psutil.Process]) -> bool:
    """Whether a worker that was not there before answers: some of several connections are with it."""
    clients = [Client(served.url) for _ in range(8)]
    try:
        for client in clients:
            client.send("GET", "/livez")
        return any(_connections(one) for one in served.workers() if one not in before)
    finally:
        for client in clients:
            client.connection.close()


#: Batches of events that are sent in one turn, more than are taken in until the service is killed.
_BATCHES = 160


def _killed_in_ingest(asked: Asked) -> list[Figure]:
    """Three times: events come from four clients, everything is killed, and started again on what is on the disk."""
    path = HOME / "killed.db"
    clear(path)
    turns = [contacts(asked, _BATCHES, name=f"t{turn}") for turn in range(3)]
    acknowledged: Counter[str] = Counter()
    missing = 0
    for turn, batches in enumerate(turns):
        with serve(f"sqlite:///{path}") as served:
            missing += _missing(path, acknowledged)
            Client(served.url).send("POST", "/v1/events", asked.body_of_accounts(5_000))
            killing = threading.Timer(1.0 + turn, _kill_all, args=(served,))
            killing.start()
            load(served, [_noting(acknowledged, f"t{turn}-{place}", body) for place, body in enumerate(batches)])
            killing.join()
    with serve(f"sqlite:///{path}") as served:
        missing += _missing(path, acknowledged)
        again = load(served, [post("/v1/events", body) for batches in turns for body in batches])
    rows = _rows_by_batch(path)
    sent = len(turns) * _BATCHES * BATCH
    return [
        Figure("killed in ingest: events acknowledged before a kill", acknowledged.total() * BATCH, "events",
               f"of {sent:,} sent, three kills"),
        Figure("killed in ingest: of those, not there after the start (asked: 0)", missing, "events"),
        Figure("killed in ingest: answered, when all were sent again (asked: 1)", again.share(), "share", _of(again)),
        Figure("killed in ingest: events there then", rows.total() / sent, "ratio", "sent (asked: 1)"),
        Figure("killed in ingest: events there twice (asked: 0)", rows.total() - _distinct(path), "events"),
    ]  # fmt: skip


def _noting(acknowledged: Counter[str], name: str, body: bytes) -> Request:
    def send(client: Client) -> int:
        status, _ = client.send("POST", "/v1/events", body)
        acknowledged[name] += status == 200
        return status

    return send


def _kill_all(served: Served) -> None:
    for one in served.family():
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)


def _missing(path: Path, acknowledged: Counter[str]) -> int:
    """How many of the events that were acknowledged a store does not hold."""
    rows = _rows_by_batch(path)
    return sum(BATCH - rows[name] for name, times in acknowledged.items() if times)


def _rows_by_batch(path: Path) -> Counter[str]:
    """How many contacts of each batch a store holds."""
    with closing(sqlite3.connect(path)) as connection:
        return Counter(name.rpartition("-")[0] for (name,) in connection.execute("SELECT contact_id FROM contacts"))


def _distinct(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(DISTINCT contact_id) FROM contacts").fetchone()[0])


def _database_gone(asked: Asked) -> list[Figure]:
    """PostgreSQL is stopped at once under load, stays away for five seconds, and is started again."""
    with cluster() as database, serve(database.url) as served:
        Client(served.url).send("POST", "/v1/events", asked.body_of_accounts(5_000))
        stopping = threading.Timer(1.0, database.stop)
        stopping.start()
        while_stopped = load(served, _scores(asked, 400))
        stopping.join()
        gone, end = Load(), time.monotonic() + 5
        while time.monotonic() < end:
            gone.include(load(served, _scores(asked, 50)))
        health = {path: Client(served.url).send("GET", path)[0] for path in ("/livez", "/readyz")}
        database.start()
        back = _seconds_until(lambda: Client(served.url).send("POST", "/v1/score", _one(asked))[0] == 200, 60)
        ready = _seconds_until(lambda: Client(served.url).send("GET", "/readyz")[0] == 200, 60)
        after = load(served, _scores(asked, 400))
    return [
        Figure("database stops: neither answered nor refused with 503 (asked: 0)",
               while_stopped.n - while_stopped.count(200) - while_stopped.count(503), "requests", _of(while_stopped)),
        Figure("database gone: refused with 503 (asked: 1)", gone.share(503), "share", _of(gone)),
        Figure("database gone: of those, without Retry-After (asked: 0)", gone.untold, "requests"),
        Figure("database gone: slowest refusal", gone.percentile(100) * 1e3, "ms", "4 clients"),
        Figure("database gone: lives (200) and is not ready (503)", float(list(health.values()) == [200, 503]),
               "yes or no", str(health)),
        Figure("database back: until scores are given again", back, "s"),
        Figure("database back: until it is ready, after that", ready, "s"),
        Figure("database back: answered afterwards (asked: 1)", after.share(), "share", _of(after)),
    ]  # fmt: skip


def _disk_full(asked: Asked) -> list[Figure]:
    """All that the service writes lies on a disk of its own: it fills up, to the last byte; then room is made."""
    with _small_disk(700) as disk:
        store, ballast = disk / "store.db", disk / "ballast"
        environment = {"RECOUP_VAR": str(disk), "MLFLOW_TRACKING_URI": REGISTRY}
        with serve(f"sqlite:///{store}", environment=environment) as served:
            Client(served.url).send("POST", "/v1/events", asked.body_of_accounts(2_000))
            workers = served.workers()
            _leave(disk, ballast, 40 * MEBIBYTE)
            acknowledged: Counter[str] = Counter()
            bodies = contacts(asked, 200, accounts=2_000, name="full")
            events = [_noting(acknowledged, f"full-{place}", body) for place, body in enumerate(bodies)]
            filling = load(served, events)
            _leave(disk, disk / "last", 0)
            full = load(served, [*events[:50], *_scores(asked, 200)])
            missing = _missing(store, acknowledged)
            health = {path: Client(served.url).send("GET", path)[0] for path in ("/livez", "/readyz", "/metrics")}
            died = len(set(workers) - set(served.workers()))
            workers[0].kill()
            time.sleep(12)  # so that another was started in its place, in vain
            beside = load(served, [post("/v1/score", _one(asked))] * 50)
            (disk / "last").unlink()
            ballast.unlink()
            room = _seconds_until(lambda: Client(served.url).send("POST", "/v1/events", bodies[-1])[0] == 200, 60)
            again = _seconds_until(lambda: _answers_again(served, workers), 60)
            after = load(served, [*events, *_scores(asked, 200)])
        rows = _rows_by_batch(store)
    return [
        Figure("disk fills: batches of events acknowledged", filling.count(200), "batches", _of(filling)),
        Figure("disk fills: neither taken nor refused with 503 (asked: 0)",
               filling.n - filling.count(200) - filling.count(503), "batches"),
        Figure("disk full: acknowledged events that are not there (asked: 0)", missing, "events"),
        Figure("disk full: neither answered nor refused with 503 (asked: 0)",
               full.n - full.count(200) - full.count(503), "requests", _of(full)),
        Figure("disk full: slowest answer or refusal", full.percentile(100) * 1e3, "ms", "4 clients"),
        Figure("disk full: refused without Retry-After (asked: 0)", filling.untold + full.untold, "requests"),
        Figure("disk full: workers that died (asked: 0)", died, "workers", f"health {health}"),
        Figure("disk full, and a worker is killed: neither answered nor refused with 503 (asked: 0)",
               beside.n - beside.count(200) - beside.count(503), "requests", _of(beside)),
        Figure("disk has room: until events are taken again", room, "s"),
        Figure("disk has room: until another answers in the place of the one that was killed", again, "s"),
        Figure("disk has room: answered afterwards (asked: 1)", after.share(), "share", _of(after)),
        Figure("disk has room: events there, once", rows.total() / (len(bodies) * BATCH), "ratio", "sent (asked: 1)"),
    ]  # fmt: skip


def _leave(disk: Path, ballast: Path, free: int) -> None:
    """Take up a disk's room with a file, but for so many bytes."""
    with ballast.open("wb") as file:
        size = shutil.disk_usage(disk).free - free
        if size > 0:
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def _small_disk(megabytes: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="recoup-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(command, check=True)  # noqa: S603
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _tracking(port: int) -> Iterator[Served]:
    """MLflow's server on what the benchmarks have registered."""
    program = str(Path(sys.executable).parent / "mlflow")
    command = [program, "server", "--backend-store-uri", REGISTRY, "--port", str(port), "--workers", "1"]
    # Without its runner of jobs: seven more processes, that do nothing here.
    more = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, port, "/health", HOME / "logs/mlflow-server.log", more) as served:
        yield served


def _registry_gone(asked: Asked) -> list[Figure]:
    """The tracking server is killed under load, and started again."""
    port = free_port()
    tracking = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    with _tracking(port) as server, serve(filled_store("registry"), environment=tracking) as served:
        killing = threading.Timer(1.0, _kill_all, args=(server,))
        killing.start()
        gone = load(served, _scores(asked, 2_000))
        killing.join()
        time.sleep(5)  # so that it is missed
        gone.include(load(served, _scores(asked, 500)))
        with _tracking(port):
            back = _seconds_until(lambda: len(set(_said(served))) == 1, 60)
            after = load(served, _scores(asked, 500))
        missed, returns = _said(served)
    return [
        Figure("registry gone: answered (asked: 1)", gone.share(), "share", _of(gone)),
        Figure("registry gone: times that is said (asked: 1 or more)", missed, "times", f"{returns} returns"),
        Figure("registry back: until it is seen", back, "s"),
        Figure("registry back: answered (asked: 1)", after.share(), "share", _of(after)),
    ]


def _said(served: Served) -> tuple[int, int]:
    """How often a service said that it misses the registry, and that it is back."""
    words = served.log.read_text("utf-8")
    return words.count("did not answer"), words.count("The registry answers again.")


def _clock_back(asked: Asked) -> list[Figure]:
    """The clock of the service goes back an hour; scores as of now, pages of a queue, and events go on."""
    if not FAKETIME.is_file():
        print("clock: not tried, libfaketime is not installed (apt-get install faketime)")
        return []
    setting = HOME.resolve() / "clock"
    setting.write_text("+0", "utf-8")
    fake = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    now = post("/v1/score", msgspec.json.encode({"account_ids": asked.account_id[:1]}))
    with serve(filled_store("clock"), environment=fake) as served:
        cursor, at_first = _queue(served, None)
        # One client, and few requests: a faked clock makes everything slow, threads that wait for each other most.
        before = load(served, [now] * 50, clients=1)
        setting.write_text("-3600", "utf-8")
        time.sleep(2)  # until its processes have looked again
        events = [post("/v1/events", one) for one in contacts(asked, 10, name="clock")]
        after = load(served, [now] * 50 + events, clients=1)
        _, next_page_at = _queue(served, cursor)
        _, at_last = _queue(served, None)
        ready = Client(served.url).send("GET", "/readyz")[0]
    hours = (_seconds_of(at_first) - _seconds_of(at_last)) / 3600
    return [
        Figure("clock back: by so much, as its answers say (asked: 1)", hours, "h"),
        Figure("clock back: answered before (asked: 1)", before.share(), "share", _of(before)),
        Figure("clock back: scores and events answered after (asked: 1)", after.share(), "share", _of(after)),
        Figure("clock back: the next page of a queue is as of the first's moment", float(next_page_at == at_first),
               "yes or no", at_first),
        Figure("clock back: it is ready", float(ready == 200), "yes or no"),
    ]  # fmt: skip


def _queue(served: Served, cursor: str | None) -> tuple[str, str]:
    """The cursor of the next page of a queue as of now, and the moment that it says it is as of."""
    body = {"capacities": {"call": 250}, "limit": 100, "cursor": cursor}
    status, content = Client(served.url).send("POST", "/v1/queue", msgspec.json.encode(body))
    if status != 200:
        raise RuntimeError(f"a queue must be answered, got {status}: {content[:300]!r}")
    answer = msgspec.json.decode(content)
    return answer["cursor"], answer["as_of"]


def _seconds_of(moment: str) -> float:
    return msgspec.convert(moment, type=datetime).timestamp()


#: How another version is trained: in little time, and so that it says something else.
_ANOTHER = "[moments]\nmax_moments = 20000\nmax_decisions = 20000\n\n[p_pay]\ntrees = 20\n"


def _promotions(asked: Asked) -> list[Figure]:
    """Two versions take turns as champion while four clients ask; every answer must be all of one version."""
    client = client_for(REGISTRY)
    name = client.search_registered_models()[0].name
    before = client.get_model_version_by_alias(name, CHAMPION).version
    if len(client.search_model_versions(f"name = '{name}'")) < 2:
        config = HOME / "another.toml"
        config.write_text(_ANOTHER, "utf-8")
        recoup("train", str(WORLD), "--config", str(config), "--brief")
    numbers = sorted((found.version for found in client.search_model_versions(f"name = '{name}'")), key=int)
    other = next(number for number in reversed(numbers) if number != before)
    body = msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:20]})
    answers: Counter[tuple[tuple[str, ...], str]] = Counter()
    swapped: list[float] = []

    def ask(client: Client) -> int:
        status, content = client.send("POST", "/v1/score", body)
        if status == 200:
            answer = msgspec.json.decode(content)
            labels = tuple(sorted({answer["model"], *(row["model"] for row in answer["scores"])}))
            answers[labels, str([row["p_pay"] for row in answer["scores"]])] += 1
        return status

    def change(served: Served) -> None:
        for wanted in (other, before) * 2:
            time.sleep(3)
            client.set_registered_model_alias(name, CHAMPION, wanted)
            swapped.append(_seconds_until(partial(_all_serve, served, f"{name}/{wanted}"), 60))

    with serve(filled_store("promotion")) as served:
        changing = threading.Thread(target=change, args=(served,))
        changing.start()
        found = load(served, [ask] * 5_000)
        while changing.is_alive():
            found.include(load(served, [ask] * 500))
        changing.join()
    client.set_registered_model_alias(name, CHAMPION, before)
    # Each version has its numbers: those that it gave most often.
    by_frequency = reversed(answers.most_common())
    usual: dict[tuple[str, ...], str] = {labels: given for (labels, given), _ in by_frequency if len(labels) == 1}
    mixed = sum(times for (labels, given), times in answers.items() if usual.get(labels) != given)
    return [
        Figure("promotion: answers failed (asked: 0)", found.n - found.count(200), "requests", _of(found)),
        Figure("promotion: versions met, with as many sets of numbers (asked: 2)", len(set(usual.values())), "versions",
               f"{len(swapped)} promotions"),
        Figure("promotion: answers that mix versions (asked: 0)", mixed, "answers", f"of {answers.total():,}"),
        Figure("promotion: until all workers answer by the new champion, at most", max(swapped), "s"),
    ]  # fmt: skip


def _all_serve(served: Served, label: str) -> bool:
    """Whether all workers do: each of several connections may reach another."""
    answers = [Client(served.url).send("GET", "/v1/model")[1] for _ in range(12)]
    return {msgspec.json.decode(answer)["model"] for answer in answers} == {label}


def _seconds_until(holds: Callable[[], bool], at_most: float) -> float:
    """How long it takes until something holds; infinite where it does not in time."""
    begin = time.monotonic()
    while time.monotonic() - begin < at_most:
        with suppress(OSError, http.client.HTTPException, psutil.Error):
            if holds():
                return time.monotonic() - begin
        time.sleep(0.1)
    return float("inf")


PARTS: Mapping[str, Callable[[Asked], list[Figure]]] = {
    "worker": _worker_killed,
    "ingest": _killed_in_ingest,
    "database": _database_gone,
    "disk": _disk_full,
    "registry": _registry_gone,
    "clock": _clock_back,
    "promotion": _promotions,
}

if __name__ == "__main__":
    sys.exit(main())
