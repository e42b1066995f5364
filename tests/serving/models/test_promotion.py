"""A promotion under load, and an MLflow that is killed: real processes, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.scoring import prepare_scorer, score
from serving.starting import wait_until_ready
from tests.serving.models.conftest import DAMAGED, Registry, versions
from tests.serving.small import AS_OF, free_port, request_of, small_histories

CLIENTS, SECONDS_TO_START, SECONDS_TO_FOLLOW = 4, 180, 60
#: A client's pause after an answer: enough is under way at any moment, and who follows the registry has a core, too.
SECONDS_BETWEEN = 0.02
N_ACCOUNTS = 20


@contextmanager
def process(arguments: list[str], folder: Path, log: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / log).open("ab") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=os.environ | more, stdout=file, stderr=file
        )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def mlflow_at(port: int, registry: Registry) -> Iterator[None]:
    store = ["--backend-store-uri", registry.uri, "--workers", "1"]
    # Without its runner of jobs, which is a number of processes more.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with process(["mlflow", "server", "--port", str(port), *store], registry.folder, "mlflow.log", **settings):
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/health").is_success, "MLflow starts", SECONDS_TO_START)
        yield


def until(is_so: Callable[[], bool], what: str, seconds: float = SECONDS_TO_FOLLOW) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not in {seconds} seconds: {what}")


@dataclass
class Load:
    """Clients that ask all the time, and what they were told: each answer's model, and whether its numbers are that."""

    url: str
    expected: dict[str, list[float]]
    request: dict[str, Any]
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self.stop.wait(SECONDS_BETWEEN):
                try:
                    self._check(client.post(f"{self.url}/v1/score", json=self.request))
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            self.wrong.append(answer.text)
            return
        found = answer.json()
        labels = {found["model"], *(row["model"] for row in found["scores"])}
        numbers = [row["p_pay"] for row in found["scores"]]
        if len(labels) != 1 or numbers != self.expected[found["model"]]:
            self.wrong.append(f"mixed: {labels}")
        self.seen[found["model"]] += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        clients = [threading.Thread(target=self.ask) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self.stop.set()
            for client in clients:
                client.join(60)


def load_on(url: str) -> Load:
    ids = small_histories().accounts.account_id[:N_ACCOUNTS].tolist()
    expected = {}
    for number, bundle in zip(("1", "2", "3"), versions(), strict=False):
        scores = score(prepare_scorer(bundle), small_histories(), AS_OF)
        expected[f"small/{number}"] = scores[scores["account_id"].isin(ids)]["p_pay"].tolist()
    assert expected["small/1"] != expected["small/2"] != expected["small/3"]
    return Load(url, expected, request_of(ids))


@pytest.mark.slow
def test_promotions_under_load_lose_no_request_and_mix_no_answer(registry: Registry, tmp_path: Path) -> None:
    port, mlflow_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    load = load_on(url)
    arguments = ["recoup", "serve", "--port", str(port), "--workers", "2", "--poll", "0.3"]
    settings = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow_port}", "RECOUP_VAR": str(tmp_path / "var")}

    def serves(number: str) -> bool:
        """Whether every worker does: each of several connections may reach another."""
        answers = [httpx.get(f"{url}/v1/model", timeout=30).json()["model"] for _ in range(12)]
        return set(answers) == {f"small/{number}"}

    def words() -> str:
        return (tmp_path / "service.log").read_text()

    with ExitStack() as stopping, mlflow_at(mlflow_port, registry):
        running = stopping.enter_context(process(arguments, tmp_path, "service.log", **settings))
        assert wait_until_ready(url, SECONDS_TO_START), words()
        with load.running():
            for number in ("2", "3", "1", "2"):
                registry.set_alias("champion", number)
                until(lambda number=number: serves(number), f"small/{number} is served")  # type: ignore[misc]
            registry.set_alias("champion", DAMAGED)
            until(lambda: f"small/{DAMAGED} is refused" in words(), "the damaged one is refused")
            assert serves("2")
            told = f"The registry&#39;s champion is small/{DAMAGED}"
            until(lambda: told in httpx.get(f"{url}/review/models", timeout=30).text, "the page of models says so")
        # It outlives the tracking server.
        service = stopping.pop_all()
    with service:
        until(lambda: "did not answer" in words(), "MLflow is missed")
        assert serves("2")
        registry.set_alias("champion", "3")
        with mlflow_at(mlflow_port, registry):
            until(lambda: serves("3"), "small/3 is served")
            # Once it is missed that is said once, and its return once.
            until(
                lambda: words().count("did not answer") == words().count("The registry answers again.") >= 1,
                "MLflow's return is said",
            )
        assert running.poll() is None
    assert load.wrong == []
    assert set(load.seen) == {"small/1", "small/2", "small/3"}
    print(sum(load.seen.values()), "answers:", dict(load.seen))  # noqa: T201
