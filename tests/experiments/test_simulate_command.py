"""`recoup simulate` writes a whole world, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.world import writing
from features.portfolio import read_portfolio
from recoup import main

OPTIONS = ("--accounts", "120", "--days", "40", "--seed", "9", "--truth-draws", "2")


def simulate(folder: Path, *more: str) -> int:
    return main(["simulate", *OPTIONS, "--out", str(folder), *more])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "here" / "world"


def test_the_portfolio_can_be_read_and_the_truth_lies_beside_it(folder: Path) -> None:
    assert simulate(folder, "--start", "2023-05-01") == 0
    portfolio = read_portfolio(folder)
    assert portfolio.rejects.empty
    assert portfolio.settings.timezone == "Asia/Shanghai"
    assert portfolio.settings.audit == ("gender",)
    truth = {path.stem: pd.read_parquet(path) for path in (folder / "truth").glob("*.parquet")}
    assert set(truth) == {"actions", "followed", "payments", "accounts"}
    manifest = json.loads((folder / "truth" / "manifest.json").read_text())
    assert manifest["as_of"] == "2023-06-09T16:00:00Z"  # midnight in Shanghai, 40 days after the start
    assert manifest["settings"]["seed"] == 9
    assert manifest["rows"]["contacts"] == len(portfolio.tables["contacts"])


def test_the_same_world_is_not_made_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(folder) == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert simulate(folder) == 0
    assert "already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_another_world_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(folder) == 0
    assert simulate(folder, "--start", "2022-01-01") == 1
    assert "holds a world of other settings" in capsys.readouterr().err


def test_a_folder_with_something_else_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    assert simulate(folder) == 1
    assert "holds something else; name another one" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(folder: Path) -> None:
    folder.mkdir(parents=True)
    assert simulate(folder) == 0
    assert (folder / "accounts.parquet").is_file()


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)])
def test_whoever_stops_it_finds_nothing_half_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, code: int
) -> None:
    write = writing.write_parquet
    written: list[Path] = []

    def write_two_then_stop(frame: pd.DataFrame, path: Path) -> None:
        if len(written) == 2:
            raise stop
        written.append(path)
        write(frame, path)

    monkeypatch.setattr(writing, "write_parquet", write_two_then_stop)
    assert simulate(folder) == code
    assert len(written) == 2
    assert list(folder.parent.iterdir()) == []


def test_stopping_the_simulation_itself_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.world.simulation.truth_of", interrupted)
    assert simulate(folder) == 130
    assert not folder.exists()
