"""What the benchmarks of the service share: a simulated portfolio with its model, a real service, and its clients."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from serving.starting import wait_until_ready
from training.bundle import FORMAT

ACCOUNTS, DAYS, SEED = 12_000, 360, 1
#: Everything that stays between runs: the world, its model of this format of bundles, the store.
HOME = Path(f"var/bench/service-{FORMAT}")
WORLD = HOME / "world"
START_SECONDS = 180


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

    def cpu(self) -> float:
        """CPU seconds that all of its processes have taken so far."""
        return sum(_cpu(one) for one in self.family())

    def memory(self) -> int:
        """Bytes that its processes hold for themselves."""
        return sum(one.memory_full_info().uss for one in self.family())


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
    """The simulated portfolio and its model, made once; the folder of the portfolio."""
    size = ("--accounts", str(ACCOUNTS), "--days", str(DAYS), "--seed", str(SEED))
    recoup("simulate", *size, "--out", str(WORLD), "--replace")
    recoup("train", str(WORLD), "--reuse", "--brief")
    return WORLD


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
    """End a service as Ctrl-C does; kill what is left of it when that takes too long."""
    if process.poll() is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


@contextmanager
def serve(store: str, workers: int = 2, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Recoup's own service on a store."""
    port = free_port()
    arguments = ("serve", "--port", str(port), "--workers", str(workers), "--store", store)
    environment = {"RECOUP_VAR": str(HOME / "var")} | dict(environment or {})
    log = HOME / "logs" / f"recoup-{port}.log"
    with running([sys.executable, "-m", "recoup", *arguments], port, "/readyz", log, environment) as served:
        yield served


class Client:
    """One connection that stays open, with as little work of its own as can be."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        address = urlsplit(url)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request; its status and answer."""
        self.connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        return answer.status, answer.read()


@dataclass
class Load:
    """What clients met: seconds of every request, and how often each status came (0: no answer).

    `cpu` are CPU seconds of the service, `client_cpu` those of the clients, which share the machine with it.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    wall: float = 0.0
    cpu: float = 0.0
    client_cpu: float = 0.0

    def percentile(self, share: float) -> float:
        """The time within which so many of 100 requests were answered, in seconds."""
        return float(np.percentile(self.seconds, share))

    @property
    def n(self) -> int:
        """How many requests there were."""
        return sum(self.statuses.values())


def load(served: Served, requests: Sequence[Callable[[Client], int]], clients: int = 4) -> Load:
    """Send requests from several clients at once, each one after the other; each client takes its turn of them."""
    found, lock = Load(), threading.Lock()

    def work(mine: Sequence[Callable[[Client], int]]) -> None:
        client = Client(served.url)
        for request in mine:
            begin = time.perf_counter()
            try:
                status = request(client)
            except (OSError, http.client.HTTPException):
                status, client = 0, Client(served.url)
            took = time.perf_counter() - begin
            with lock:
                found.seconds.append(took)
                found.statuses[status] = found.statuses.get(status, 0) + 1

    threads = [threading.Thread(target=work, args=(requests[place::clients],)) for place in range(clients)]
    cpu, client_cpu, begin = served.cpu(), time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.wall, found.cpu = time.perf_counter() - begin, served.cpu() - cpu
    found.client_cpu = time.process_time() - client_cpu
    return found


def post(path: str, body: bytes) -> Callable[[Client], int]:
    """A request that posts a body; its status."""
    return lambda client: client.send("POST", path, body)[0]
