"""What the benchmarks of the service share: a simulated portfolio with its model, a real service, and its clients."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from features.errors import BundleError
from serving.starting import wait_until_ready
from training.bundle import FORMAT
from training.registry import open_model

ACCOUNTS, DAYS, SEED = 12_000, 360, 1
#: Everything that stays between runs: the world, its model of this format of bundles, the store.
HOME = Path(f"var/bench/service-{FORMAT}")
WORLD = HOME / "world"
REGISTRY = f"sqlite:///{HOME.resolve()}/var/mlflow.db"
START_SECONDS = 180
#: A connection that was idle for longer is opened anew, as the service closes those that are for five seconds.
IDLE_SECONDS = 3.0


@dataclass(frozen=True)
class Served:
    """A service that runs: its supervisor and workers are the process and all below it."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests, those that are still loading among them."""
        return [one for one in self.family()[1:] if "_bentoml_impl.worker" in _command(one)]

    def cpu(self) -> float:
        """CPU seconds that all of its processes have taken so far."""
        return sum(_cpu(one) for one in self.family())

    def memory(self) -> int:
        """Bytes that its processes hold for themselves."""
        return sum(one.memory_full_info().uss for one in self.family())


def _command(process: psutil.Process) -> str:
    """The command of a process; nothing where it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def recoup(*arguments: str, more: Mapping[str, str] | None = None) -> None:
    """Run one command to its end, with what the benchmarks keep as its var folder."""
    environment = os.environ | {"RECOUP_VAR": str(HOME / "var")} | dict(more or {})
    command = [sys.executable, "-m", "recoup", *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 our own command


def prepare_world() -> Path:
    """The simulated portfolio and its model; the folder of the portfolio.

    Both are made once: a model of the current format stays, whatever has changed in the code since it was trained, as
    what is measured is the service around it. Remove `HOME` to have it trained anew.
    """
    if not _is_trained():
        size = ("--accounts", str(ACCOUNTS), "--days", str(DAYS), "--seed", str(SEED))
        recoup("simulate", *size, "--out", str(WORLD), "--replace")
        recoup("train", str(WORLD), "--reuse", "--brief")
    return WORLD


def _is_trained() -> bool:
    if not (WORLD / "portfolio.toml").is_file():
        return False
    try:
        open_model("champion", REGISTRY)
    except BundleError:
        return False
    return True


def filled_store(name: str) -> str:
    """A store of this name with the whole portfolio and an empty ledger, whatever a run before has left; its URL."""
    filled, own = HOME / "filled.db", HOME / f"{name}.db"
    if not filled.is_file():
        loading = HOME / "loading.db"
        clear(loading)
        recoup("load", str(WORLD), "--store", f"sqlite:///{loading}")
        with closing(sqlite3.connect(loading)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        loading.rename(filled)
    clear(own)
    shutil.copyfile(filled, own)
    return f"sqlite:///{own}"


def clear(store: Path) -> None:
    """Remove a store of SQLite, with the files beside it."""
    for leftover in store.parent.glob(f"{store.name}*"):
        leftover.unlink()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, ready: str, log: Path, more: Mapping[str, str]) -> Iterator[Served]:
    """A service by its command, from when `ready` answers until the block ends."""
    url = f"http://127.0.0.1:{port}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=os.environ | dict(more), stdout=out, stderr=out)  # noqa: S603 our own
    served = Served(url, process, log)
    try:
        if not _answers(url, ready, process):
            raise RuntimeError(f"a service must answer within {START_SECONDS} s, {command[0]} did not; see {log}")
        yield served
    finally:
        stop(process)


def _answers(url: str, ready: str, process: subprocess.Popen[bytes]) -> bool:
    if ready == "/readyz":
        return wait_until_ready(url, START_SECONDS)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if Client(url).send("GET", ready)[0] < 500:
                return True
        except OSError:
            time.sleep(0.2)
    return False


def stop(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """End a service as a process manager does; kill what is left of it when that takes too long."""
    if process.poll() is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


@contextmanager
def serve(
    store: str, workers: int = 2, environment: Mapping[str, str] | None = None, model: str = "champion"
) -> Iterator[Served]:
    """Recoup's own service on a store; with a version in place of an alias, no challenger is scored beside it.

    Nothing is done beside its requests: no roll-up, and no watch over the model.
    """
    port = free_port()
    arguments = [
        *("serve", "--port", str(port), "--workers", str(workers), "--store", store, "--model", model),
        *("--rollup-minutes", "0", "--monitor-hours", "0"),
    ]
    environment = {"RECOUP_VAR": str(HOME / "var")} | dict(environment or {})
    log = HOME / "logs" / f"recoup-{port}.log"
    with running([sys.executable, "-m", "recoup", *arguments], port, "/readyz", log, environment) as served:
        yield served


class Client:
    """One connection that stays open, with as little work of its own as can be."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        address = urlsplit(url)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        #: Whether the last answer said when to come back.
        self.is_told_when = False
        self._last = time.monotonic()

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request; its status and answer."""
        if time.monotonic() - self._last > IDLE_SECONDS:
            self.connection.close()
        self.connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        self.is_told_when = answer.headers["Retry-After"] is not None
        content = answer.read()
        self._last = time.monotonic()
        return answer.status, content


Request = Callable[[Client], int]


@dataclass
class Load:
    """What clients met: of each status (0: no answer) the seconds of every request that ended so.

    `cpu` are CPU seconds of the service, `client_cpu` those of the clients, which share the machine with it.
    """

    by_status: dict[int, list[float]] = field(default_factory=dict)
    #: Answers with 429 or 503 that did not say when to come back.
    untold: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    client_cpu: float = 0.0

    def add(self, status: int, seconds: float, is_told_when: bool = True) -> None:
        """Note one request."""
        self.by_status.setdefault(status, []).append(seconds)
        self.untold += status in (429, 503) and not is_told_when

    def include(self, other: Load) -> None:
        """Note what was met at another time."""
        for status, seconds in other.by_status.items():
            self.by_status.setdefault(status, []).extend(seconds)
        self.untold, self.wall, self.cpu = self.untold + other.untold, self.wall + other.wall, self.cpu + other.cpu

    def percentile(self, share: float, status: int | None = None) -> float:
        """The time within which so many of 100 requests were answered, of all or with one status, in seconds."""
        chosen = [self.by_status.get(status, [])] if status is not None else self.by_status.values()
        seconds = [one for some in chosen for one in some]
        return float(np.percentile(seconds, share)) if seconds else float("nan")

    @property
    def statuses(self) -> dict[int, int]:
        """How often each status came."""
        return {status: len(seconds) for status, seconds in sorted(self.by_status.items())}

    @property
    def n(self) -> int:
        """How many requests there were."""
        return sum(self.statuses.values())

    def count(self, low: int, high: int | None = None) -> int:
        """How many ended with a status, or with one from `low` to before `high`."""
        return sum(n for status, n in self.statuses.items() if low <= status < (high or low + 1))

    def share(self, status: int = 200) -> float:
        """Which share ended with a status."""
        return self.count(status) / self.n

    def in_words(self) -> str:
        """How often each status came, for a table."""
        words = {0: "no answer"}
        return ", ".join(f"{words.get(status, status)}: {n:,}" for status, n in self.statuses.items())


def load(served: Served, requests: Iterable[Request], clients: int = 4) -> Load:
    """Send requests from several clients at once, each one after the other; whoever is free takes the next."""
    found, waiting, taking, noting = Load(), iter(requests), threading.Lock(), threading.Lock()

    def work() -> None:
        client = Client(served.url)
        while True:
            with taking:
                request = next(waiting, None)
            if request is None:
                return
            begin = time.perf_counter()
            try:
                status = request(client)
            except (OSError, http.client.HTTPException):
                status, client = 0, Client(served.url)
            took = time.perf_counter() - begin
            with noting:
                found.add(status, took, client.is_told_when)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    cpu, client_cpu, begin = served.cpu(), time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.wall, found.cpu = time.perf_counter() - begin, served.cpu() - cpu
    found.client_cpu = time.process_time() - client_cpu
    return found


def post(path: str, body: bytes) -> Request:
    """A request that posts a body; its status."""
    return lambda client: client.send("POST", path, body)[0]
