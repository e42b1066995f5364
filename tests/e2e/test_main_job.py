"""The main job as its first user runs it: the command, on a simulated portfolio and on portfolios with faults."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

RECOUP = Path(sys.executable).with_name("recoup")
SIZE = ("--accounts", "1500", "--days", "220")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def recoup(folder: Path, *arguments: str) -> Ended:
    """Run the command in a folder, as a person would."""
    environment = {**os.environ, "RECOUP_VAR": str(folder / "var"), "COLUMNS": "200"}
    done = subprocess.run(
        [RECOUP, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main")


@pytest.fixture(scope="module")
def first(place: Path) -> Ended:
    return recoup(place, "run", *SIZE)


@pytest.fixture(scope="module")
def world(place: Path, first: Ended) -> Path:
    assert first.code == 0, first.err
    return place / "var" / "simulated-1500-220-1"


@pytest.mark.slow
def test_the_main_job_ends_with_a_queue_and_figures(place: Path, first: Ended, world: Path) -> None:
    (results,) = (path.parent for path in place.rglob("queue.csv"))
    queue, held = pd.read_csv(results / "queue.csv"), pd.read_csv(results / "held.csv")
    scores = pd.read_parquet(results / "scores.parquet")
    assert (place / "var/store.db").is_file()
    assert queue["rank"].tolist() == list(range(1, len(queue) + 1))
    assert len(queue)
    assert set(queue["account_id"]) <= set(scores["account_id"])
    assert not set(queue["account_id"]) & set(held["account_id"])
    for said in (
        "AUC",
        "Brier",
        "money from the top 10 %",
        "money predicted, actual",
        "queue.csv",
        "mlflow ui",
        "make serve",
    ):
        assert said in first.out


@pytest.mark.slow
def test_a_second_run_reuses_what_is_there(place: Path, world: Path) -> None:
    accounts = world / "accounts.parquet"
    before = accounts.stat().st_mtime_ns
    again = recoup(place, "run", *SIZE)
    assert again.code == 0, again.err
    assert "already there" in again.out
    assert "it is reused" in again.out
    assert accounts.stat().st_mtime_ns == before
    assert recoup(place, "model", _model(place).replace("@champion", "/2")).code == 1


@pytest.mark.slow
def test_promises_are_optional(place: Path, world: Path, tmp_path: Path) -> None:
    part = _copy(world, tmp_path, without="promises")
    ended = recoup(place, "score", str(part), "--out", str(tmp_path / "scores.csv"), "--model", _model(place))
    assert ended.code == 0, ended.err
    assert len(pd.read_csv(tmp_path / "scores.csv"))


@pytest.mark.slow
def test_one_account_is_scored_as_among_all(place: Path, world: Path, tmp_path: Path) -> None:
    everyone = tmp_path / "all.parquet"
    at = ("--as-of", "2024-08-01", "--model", _model(place))
    assert recoup(place, "score", str(world), "--out", str(everyone), *at).code == 0
    one = pd.read_parquet(everyone).iloc[[3]].reset_index(drop=True)
    part = _copy(world, tmp_path, only=one["account_id"][0])
    ended = recoup(place, "score", str(part), "--out", str(tmp_path / "one.parquet"), *at)
    assert ended.code == 0, ended.err
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "one.parquet"), one, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing table", "payments"),
        ("empty file", "contacts.csv"),
        ("wrong types", "balance"),
        ("unknown channel", "channel"),
        ("no payment", "payments"),
        ("one account", "training needs"),
        ("no such folder", "nowhere"),
        ("damaged parquet", "payments.parquet"),
        ("unknown setting", "horizon"),
    ],
)
def test_a_fault_is_one_clear_line(place: Path, world: Path, tmp_path: Path, fault: str, said: str) -> None:
    ended = recoup(place, "train", str(_with_fault(world, tmp_path, fault)))
    assert ended.code == 1
    assert ended.err.strip().count("\n") == 0, ended.err
    assert ended.err.startswith("recoup: ")
    assert said in ended.err
    assert "internal error" not in ended.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("as_of", "said"),
    [("2099-01-01", "future"), ("1999-01-01", "no account is live"), ("soon", "ISO 8601")],
)
def test_a_wrong_moment_is_one_clear_line(place: Path, world: Path, tmp_path: Path, as_of: str, said: str) -> None:
    ended = recoup(
        place, "queue", str(world), "--as-of", as_of, "--out", str(tmp_path / "q.csv"), "--model", _model(place)
    )
    assert ended.code == 1
    assert ended.err.strip().count("\n") == 0, ended.err
    assert said in ended.err
    assert not (tmp_path / "q.csv").exists()


def _model(place: Path) -> str:
    (results,) = (path.parent for path in place.rglob("queue.csv"))
    return f"{results.name}@champion"


def _copy(world: Path, folder: Path, without: str = "", only: str = "") -> Path:
    """The portfolio in a folder of its own, without a table, or with one account only."""
    copy = folder / "portfolio"
    copy.mkdir(exist_ok=True)
    shutil.copy(world / "portfolio.toml", copy)
    for path in world.glob("*.parquet"):
        frame = pd.read_parquet(path)
        if path.stem != without:
            (frame[frame["account_id"] == only] if only else frame).to_parquet(copy / path.name)
    return copy


def _with_fault(world: Path, folder: Path, fault: str) -> Path:
    copy = _copy(world, folder, only="A0000001" if fault == "one account" else "")
    if fault == "missing table":
        (copy / "payments.parquet").unlink()
    elif fault == "empty file":
        (copy / "contacts.parquet").unlink()
        (copy / "contacts.csv").write_text("")
    elif fault == "wrong types":
        accounts = pd.read_parquet(copy / "accounts.parquet")
        accounts.assign(balance="much").to_parquet(copy / "accounts.parquet")
    elif fault == "unknown channel":
        contacts = pd.read_parquet(copy / "contacts.parquet")
        contacts.assign(channel="pigeon").to_parquet(copy / "contacts.parquet")
    elif fault == "no payment":
        (copy / "payments.parquet").unlink()
        with gzip.open(copy / "payments.csv.gz", "wt") as file:
            file.write("account_id,at,amount\n")
    elif fault == "damaged parquet":
        whole = (copy / "payments.parquet").read_bytes()
        (copy / "payments.parquet").write_bytes(whole[: len(whole) // 2])
    elif fault == "unknown setting":
        with (copy / "portfolio.toml").open("a") as file:
            file.write("\n[horizon]\ndays = 3\n")
    return folder / "nowhere" if fault == "no such folder" else copy
