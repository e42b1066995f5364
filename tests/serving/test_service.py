"""The service as a user starts it: a process of its own on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from features.contract import SETTINGS_FILE
from serving.api.answering import MAX_BODY_BYTES
from serving.scoring import prepare_scorer, score
from serving.starting import keep_bundle, wait_until_ready
from tests.serving.small import AS_OF, request_of, small_bundle, small_histories
from training.bundle import MANIFEST, P_PAY, read_bundle, write_bundle

SECONDS_TO_START = 180


@dataclass(frozen=True)
class Running:
    """A service that runs, with the file its words go to."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


@pytest.fixture(scope="module")
def running(bundle_folder: Path, portfolio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [
        "--port",
        str(port),
        "--model",
        str(bundle_folder),
        "--settings",
        str(portfolio_folder / SETTINGS_FILE),
    ]
    environment = os.environ | {"RECOUP_VAR": str(folder / "var")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "recoup", "serve", *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
    service = Running(process, f"http://127.0.0.1:{port}", folder / "log")
    try:
        assert wait_until_ready(service.url, SECONDS_TO_START), service.log.read_text()
        yield service
    finally:
        process.terminate()
        process.wait(30)


def test_its_scores_are_those_of_the_batch(running: Running) -> None:
    ids = small_histories().accounts.account_id.tolist()
    rows = httpx.post(f"{running.url}/v1/score", json=request_of(ids), timeout=60).json()["scores"]
    batch = score(prepare_scorer(small_bundle()), small_histories(), AS_OF)
    assert [row["account_id"] for row in rows] == batch["account_id"].tolist()
    for name in (name for name in batch if batch[name].dtype == float):
        assert [row[name] for row in rows] == batch[name].tolist()


def test_it_makes_queues_and_says_what_it_serves(running: Running) -> None:
    scores = score(prepare_scorer(small_bundle()), small_histories(), AS_OF)
    account_id = scores[scores["best_channel"] == "call"]["account_id"].iloc[0]
    queue = httpx.post(
        f"{running.url}/v1/queue", json=request_of([account_id], capacities={"call": 1}), timeout=60
    ).json()
    assert [row["account_id"] for row in queue["rows"]] == [account_id]
    assert httpx.get(f"{running.url}/v1/model").json()["model"] == "small-bundle"


def test_health_and_metrics(running: Running) -> None:
    assert httpx.get(f"{running.url}/livez").status_code == 200
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    httpx.post(f"{running.url}/v1/score", json=request_of(["A00001"]), timeout=60)
    metrics = httpx.get(f"{running.url}/metrics").text
    assert 'endpoint="POST /v1/score"' in metrics


def test_bad_requests_are_refused_and_harm_nobody(running: Running) -> None:
    bad = httpx.post(f"{running.url}/v1/score", content=b'{"as_of": NaN}')
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "bad_request")
    large = httpx.post(f"{running.url}/v1/score", content=b" " * (MAX_BODY_BYTES + 1), timeout=60)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    assert httpx.post(f"{running.url}/v1/score", json=request_of(["A00001"]), timeout=60).status_code == 200


def test_ctrl_c_stops_it_with_exit_code_0(running: Running) -> None:
    # The last test of the running service.
    deadline = time.monotonic() + 20
    while "Serving model" not in running.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    words = running.log.read_text()
    assert f"Serving model small-bundle on {running.url}/v1" in words
    assert "Stopped." in words
    assert "A00001" not in words


def test_the_bundle_is_laid_down_once_and_anew_where_it_is_damaged(tmp_path: Path) -> None:
    write_bundle(small_bundle(), tmp_path / "registered")
    bundle = read_bundle(tmp_path / "registered")
    folder = keep_bundle(bundle, tmp_path / "kept")
    first = (folder / MANIFEST).stat().st_mtime_ns
    assert keep_bundle(bundle, tmp_path / "kept") == folder
    assert (folder / MANIFEST).stat().st_mtime_ns == first
    (folder / P_PAY).write_text("damaged")
    keep_bundle(bundle, tmp_path / "kept")
    assert read_bundle(folder).digest == bundle.digest
