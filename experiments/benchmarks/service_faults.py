"""The service when things fail, each tried for real and counted.

    worker      one of two workers is killed under load
    ingest      the whole service is killed (-9) while four clients send events; then it starts again
    database    PostgreSQL is stopped under load, and started again
    disk        the disk of the store is full while events come, and is not any more
    registry    the tracking server is killed; scores go on, and it comes back
    clock       the clock is set back an hour (with Debian's libfaketime)
    promotion   the champion changes four times under load

What must hold: what was acknowledged is there, once; no answer mixes two models; the service recovers by itself.

`--only worker,ingest,...` names what is tried.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from experiments.benchmarks._postgresql import cluster
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._service import (
    HOME,
    WORLD,
    Client,
    Served,
    free_port,
    load,
    post,
    prepare_world,
    recoup,
    running,
    serve,
)
from experiments.benchmarks.service import Asked, asked_of_world, contacts
from training.registry import CHAMPION, client_for

PARTS = ("worker", "ingest", "database", "disk", "registry", "clock", "promotion")
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    chosen = parser.parse_args(arguments).only.split(",")
    prepare_world()
    asked, store = asked_of_world(), f"sqlite:///{HOME}/store.db"
    recoup("load", str(WORLD), "--store", store)
    figures: list[Figure] = []
    trials: dict[str, Callable[[], list[Figure]]] = {
        "worker": lambda: _worker_killed(store, asked),
        "ingest": lambda: _killed_in_ingest(asked),
        "database": lambda: _database_gone(asked),
        "disk": lambda: _disk_full(asked),
        "registry": lambda: _registry_gone(store, asked),
        "clock": lambda: _clock_back(store, asked),
        "promotion": lambda: _promotions(store, asked),
    }
    for name in chosen:
        figures += trials[name]()
    write_report("service_faults", figures)
    return 0


def _one(asked: Asked, place: int = 0) -> bytes:
    account = asked.account_id[place % len(asked.account_id)]
    return msgspec.json.encode({"as_of": asked.as_of, "account_ids": [account]})


def _worker_killed(store: str, asked: Asked) -> list[Figure]:
    """Four clients ask while a worker is killed: those it was answering lose their answer, nobody else does."""
    with serve(store) as served:
        requests = [post("/v1/score", _one(asked, place)) for place in range(4_000)]
        victim = _workers(served)[0]
        threading.Timer(1.0, victim.kill).start()
        found = load(served, requests)
        back = _seconds_until(lambda: len(_workers(served)) == 2, 60)
        after = load(served, requests[:400])
    return [
        Figure("worker killed: requests without an answer", found.statuses.get(0, 0), "requests", f"of {found.n:,}"),
        Figure("worker killed: answers of the kind 5xx", _fives(found.statuses), "requests", f"of {found.n:,}"),
        Figure("worker killed: until there are two again, after the load", back, "s"),
        Figure("worker killed: answered afterwards", after.statuses.get(200, 0) / after.n, "share"),
    ]


def _workers(served: Served) -> list[psutil.Process]:
    """The processes that listen and answer: those that have loaded a model."""
    return [
        one
        for one in served.family()[1:]
        if one.status() != psutil.STATUS_ZOMBIE and "_bentoml_impl.worker" in " ".join(one.cmdline())
    ]


def _killed_in_ingest(asked: Asked) -> list[Figure]:
    """Three times: events come from four clients, everything is killed, and started again on what is on the disk."""
    path = HOME / "killed.db"
    _clear(path)
    acknowledged, sent = 0, 0
    for turn in range(3):
        with serve(f"sqlite:///{path}") as served:
            client = Client(served.url)
            client.send("POST", "/v1/events", asked.body_of_accounts(5_000))
            known: Counter[int] = Counter()
            batches = contacts(asked, 400, name=f"t{turn}")
            threading.Timer(1.5 + turn, _kill_all, args=(served,)).start()
            load(served, [_noting(known, place, body) for place, body in enumerate(batches)])
            sent += 400 * 1_000
            acknowledged += sum(known.values()) * 1_000
            wanted = [f"t{turn}-{place}-%" for place in known]
        missing = sum(_rows_like(path, pattern) != 1_000 for pattern in wanted)
        if missing:
            return [Figure("killed in ingest: acknowledged batches that are not there", missing, "batches")]
    with serve(f"sqlite:///{path}") as served:
        for turn in range(3):
            bodies = contacts(asked, 400, name=f"t{turn}")
            again = load(served, [post("/v1/events", body) for body in bodies])
            if set(again.statuses) != {200}:
                raise RuntimeError(f"events must be taken after a restart, got by status {again.statuses}")
    total, distinct = _count(path)
    return [
        Figure("killed in ingest: acknowledged events", acknowledged, "events", f"of {sent:,} sent, three kills"),
        Figure("killed in ingest: acknowledged events that are not there", 0, "events"),
        Figure("killed in ingest: events twice, after all were sent again", total - distinct, "events"),
        Figure("killed in ingest: events there, after all were sent again", total / sent, "share"),
    ]


def _noting(known: Counter[int], place: int, body: bytes) -> Callable[[Client], int]:
    def send(client: Client) -> int:
        status, _ = client.send("POST", "/v1/events", body)
        known[place] += status == 200
        return status

    return send


def _kill_all(served: Served) -> None:
    for one in served.family():
        one.send_signal(signal.SIGKILL)


def _rows_like(path: Path, pattern: str) -> int:
    with sqlite3.connect(path) as connection:
        query = "SELECT count(*) FROM contacts WHERE contact_id LIKE ?"
        return int(connection.execute(query, (pattern,)).fetchone()[0])


def _count(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as connection:
        total, distinct = connection.execute("SELECT count(*), count(DISTINCT contact_id) FROM contacts").fetchone()
    return int(total), int(distinct)


def _clear(path: Path) -> None:
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()


def _database_gone(asked: Asked) -> list[Figure]:
    """PostgreSQL stops for five seconds under load."""
    with cluster() as database, serve(database.url) as served:
        Client(served.url).send("POST", "/v1/events", asked.body_of_accounts(5_000))
        requests = [post("/v1/score", _one(asked, place)) for place in range(1_000)]
        load(served, requests[:200])
        database.stop()
        gone = load(served, requests[:200])
        database.start()
        back = _seconds_until(lambda: Client(served.url).send("POST", "/v1/score", _one(asked))[0] == 200, 60)
        after = load(served, requests)
    return [
        Figure("database gone: refused with 503", gone.statuses.get(503, 0) / gone.n, "share", str(gone.statuses)),
        Figure("database gone: slowest refusal", max(gone.seconds), "s"),
        Figure("database gone: until scores are given again, once it is back", back, "s"),
        Figure("database gone: answered afterwards", after.statuses.get(200, 0) / after.n, "share"),
    ]


def _disk_full(asked: Asked) -> list[Figure]:
    """The store lies on a disk of 48 MB of its own: events until it is full, then room is made."""
    with _small_disk(48) as disk, serve(f"sqlite:///{disk}/store.db") as served:
        client = Client(served.url)
        client.send("POST", "/v1/events", asked.body_of_accounts(2_000))
        statuses: Counter[int] = Counter()
        acknowledged = []
        for place, body in enumerate(contacts(asked, 200, accounts=2_000, name="full")):
            status, _ = client.send("POST", "/v1/events", body)
            statuses[status] += 1
            acknowledged += [place] if status == 200 else []
            if statuses[503] > 5:
                break
        livez = client.send("GET", "/livez")[0]
        there = sum(_rows_like(disk / "store.db", f"full-{place}-%") == 1_000 for place in acknowledged)
        subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)  # noqa: S603, S607
        body = contacts(asked, 1, accounts=2_000, name="room")[0]
        room = _seconds_until(lambda: client.send("POST", "/v1/events", body)[0] == 200, 60)
    return [
        Figure("disk full: batches acknowledged that are there", there / max(1, len(acknowledged)), "share",
               f"by status {dict(statuses)}"),
        Figure("disk full: the service lives", float(livez == 200), "yes or no"),
        Figure("disk full: until events are taken again, once there is room", room, "s"),
    ]  # fmt: skip


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
    backend = f"sqlite:///{HOME.resolve()}/var/mlflow.db"
    program = str(Path(sys.executable).parent / "mlflow")
    command = [program, "server", "--backend-store-uri", backend, "--port", str(port), "--workers", "1"]
    with running(command, port, "/health", HOME / "logs/mlflow-server.log", {}) as served:
        yield served


def _registry_gone(store: str, asked: Asked) -> list[Figure]:
    """The tracking server is killed under load, and started again."""
    port = free_port()
    tracking = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    requests = [post("/v1/score", _one(asked, place)) for place in range(1_000)]
    with _tracking(port) as server, serve(store, environment=tracking) as served:
        for one in server.family():
            one.kill()
        time.sleep(5)
        gone = load(served, requests)
        with _tracking(port):
            time.sleep(5)
            back = load(served, requests)
    return [
        Figure("registry gone: answered", gone.statuses.get(200, 0) / gone.n, "share"),
        Figure("registry back: answered", back.statuses.get(200, 0) / back.n, "share"),
    ]


def _clock_back(store: str, asked: Asked) -> list[Figure]:
    """The clock of the service goes back an hour; scores by id as of now, and events, go on."""
    if not Path(FAKETIME).is_file():
        print("clock: not tried, libfaketime is not installed (apt-get install faketime)")
        return []
    setting = HOME / "clock"
    setting.write_text("+0", "utf-8")
    fake = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(setting.resolve()),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    body = msgspec.json.encode({"account_ids": asked.account_id[:1]})
    with serve(store, environment=fake) as served:
        before = load(served, [post("/v1/score", body)] * 200)
        setting.write_text("-3600", "utf-8")
        events = [post("/v1/events", one) for one in contacts(asked, 5, name="clock")]
        after = load(served, [post("/v1/score", body)] * 200 + events)
    return [
        Figure("clock back: answered before", before.statuses.get(200, 0) / before.n, "share"),
        Figure("clock back: answered after", after.statuses.get(200, 0) / after.n, "share", str(after.statuses)),
    ]


def _promotions(store: str, asked: Asked) -> list[Figure]:
    """Two versions take turns as champion while four clients ask; every answer must be all of one version."""
    uri = f"sqlite:///{HOME.resolve()}/var/mlflow.db"
    recoup("recalibrate", str(WORLD))
    client = client_for(uri)
    name = client.search_registered_models()[0].name
    versions = sorted((found.version for found in client.search_model_versions(f"name = '{name}'")), key=int)[-2:]
    body = msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:20]})
    answers: Counter[tuple[str, str]] = Counter()
    swapped: list[float] = []

    def ask(client: Client) -> int:
        status, content = client.send("POST", "/v1/score", body)
        if status == 200:
            answer = msgspec.json.decode(content)
            labels = {answer["model"], *(row["model"] for row in answer["scores"])}
            answers["/".join(sorted(labels)), str([row["p_pay"] for row in answer["scores"]])] += 1
        return status

    def change(served: Served) -> None:
        for turn in range(4):
            time.sleep(4)
            wanted = versions[turn % 2]
            client.set_registered_model_alias(name, CHAMPION, wanted)
            swapped.append(_seconds_until(lambda wanted=wanted: _label(served).endswith(f"/{wanted}"), 60))  # type: ignore[misc]

    with serve(store) as served:
        changing = threading.Thread(target=change, args=(served,))
        changing.start()
        found = load(served, [ask] * 5_000)
        while changing.is_alive():
            more = load(served, [ask] * 500)
            found.statuses = dict(Counter(found.statuses) + Counter(more.statuses))
        changing.join()
    labels = Counter(label for label, _ in answers)
    return [
        Figure("promotion: answers failed", found.n - found.statuses.get(200, 0), "requests", f"of {found.n:,}"),
        Figure(
            "promotion: versions met, each with one set of numbers", len(answers), "pairs", f"{len(labels)} versions"
        ),
        Figure("promotion: answers that mix versions", len(answers) - len(labels), "pairs"),
        Figure("promotion: until the new champion answers, at most", max(swapped), "s"),
    ]


def _label(served: Served) -> str:
    return str(msgspec.json.decode(Client(served.url).send("GET", "/v1/model")[1])["model"])


def _fives(statuses: dict[int, int]) -> int:
    return sum(n for status, n in statuses.items() if status >= 500)


def _seconds_until(holds: Callable[[], bool], at_most: float) -> float:
    """How long it takes until something holds; infinite where it does not in time."""
    begin = time.monotonic()
    while time.monotonic() - begin < at_most:
        try:
            if holds():
                return time.monotonic() - begin
        except (OSError, psutil.Error):
            pass
        time.sleep(0.1)
    return float("inf")


if __name__ == "__main__":
    sys.exit(main())
