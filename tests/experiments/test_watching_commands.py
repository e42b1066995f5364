"""The verbs `audit` and `monitor`, as their user runs them on a portfolio in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from rich.progress import Progress

from experiments.world.writing import portfolio_toml
from features.histories import pack
from features.units import DAY, format_instant
from recoup import main
from serving.store.database import Store, open_store
from serving.store.drift import list_models, list_reports, read_report
from tests.experiments.worlds import portfolio, world
from tests.training.world import NOW, quick_settings, task
from training.bundle import write_bundle
from training.moments import cut_time
from training.registry import client_for
from training.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portfolio as files, with a bundle of a model trained on it beside them."""
    folder = tmp_path_factory.mktemp("watched") / "small"
    folder.mkdir()
    for name, frame in world().frames.items():
        frame.to_parquet(folder / f"{name}.parquet")
    (folder / "portfolio.toml").write_text(portfolio_toml(world().settings), "utf-8")
    bundle = train(pack(portfolio()), quick_settings(), task(), Progress(disable=True)).bundle
    write_bundle(bundle, folder.parent / "bundle")
    return folder


@pytest.fixture
def model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    return str(folder.parent / "bundle")


def test_an_audit_tells_of_every_group_of_every_audit_column(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit.json"
    assert main(["audit", str(folder), "--model", model, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    (column,) = json.loads(out.read_text())["columns"]
    assert column["column"] == "gender"
    assert {group["value"] for group in column["groups"]} == {"female", "male"}
    assert all(group["value"] in shown for group in column["groups"])
    assert "By gender" in shown


def test_an_audit_refuses_time_that_was_learned_from(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    since = format_instant(cut_time(pack(portfolio()), 30, None, NOW).begin)
    assert main(["audit", str(folder), "--model", model, "--since", since]) == 1
    assert "the model has not learned from" in capsys.readouterr().err


def test_an_audit_without_audit_columns_says_how_to_name_them(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text(portfolio_toml(world().settings).replace('audit = ["gender"]', ""))
    assert main(["audit", str(folder), "--model", model, "--settings", str(bare)]) == 1
    assert "audit = [...]" in capsys.readouterr().err


def test_monitoring_ends_by_its_limits_and_keeps_a_series(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, tight = tmp_path / "wide.toml", tmp_path / "tight.toml"
    wide.write_text("[psi]\nshifted = 99\n[actual_by_expected]\npayers = 99\nmoney = 99\n[ranking]\nauc_drop = 1\n")
    tight.write_text("[psi]\nshifted = 0.0\nwarn = 0.0\nleast_gain = 0.0\n")
    moments = [world().as_of - days * 86_400_000_000 for days in (7, 0)]
    runs = [(moments[0], wide, 0), (moments[1], tight, 1)]
    for as_of, limits, code in runs:
        arguments = ["--as-of", format_instant(as_of), "--model", model, "--limits", str(limits)]
        assert main(["monitor", str(folder), *arguments, "--out", str(tmp_path / "report.json")]) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("recoup: model bundle as of ")
    assert "beyond the limit 0" in error
    assert json.loads((tmp_path / "report.json").read_text())["as_of"] == format_instant(moments[1])
    client = client_for(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("bundle")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"monitor bundle", *(f"monitor {format_instant(as_of)}" for as_of in moments)}
    series = client.get_metric_history(found["monitor bundle"].info.run_id, "psi/p_pay")
    assert [point.step for point in series] == [as_of // 86_400_000_000 for as_of in moments]
    assert all(run.info.status == "FINISHED" for run in found.values())


def test_a_store_is_watched_as_its_portfolio_is_and_keeps_the_reports(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, of_folder, of_store = f"sqlite:///{tmp_path}/store.db", tmp_path / "folder.json", tmp_path / "store.json"
    assert main(["load", str(folder), "--store", url]) == 0
    earlier, later = (format_instant(world().as_of - days * DAY) for days in (7, 0))
    wide = tmp_path / "wide.toml"
    wide.write_text("[psi]\nshifted = 99\n[actual_by_expected]\npayers = 99\nmoney = 99\n[ranking]\nauc_drop = 1\n")
    options = ["--model", model, "--limits", str(wide)]
    assert main(["monitor", str(folder), "--as-of", later, *options, "--out", str(of_folder)]) == 0
    with reopened(url) as store:
        assert list_models(store) == {}, "a portfolio's report is kept in no store that was not named"
    assert main(["monitor", url, "--as-of", later, *options, "--out", str(of_store)]) == 0
    assert json.loads(of_store.read_text()) == json.loads(of_folder.read_text())
    assert main(["monitor", str(folder), "--as-of", earlier, *options, "--store", url]) == 0
    monkeypatch.setenv("RECOUP_STORE", url)
    assert main(["monitor", "--as-of", earlier, *options]) == 0
    with reopened(url) as store:
        assert [format_instant(int(at)) for at in list_reports(store, "bundle")["as_of"]] == [earlier, later]
        kept = read_report(store, "bundle", world().as_of)
    assert kept.limits.psi.shifted == 99
    assert json.loads(msgspec.json.encode(kept.report)) == json.loads(of_store.read_text())
    capsys.readouterr()
    assert main(["monitor", f"sqlite:///{tmp_path}/none.db", *options]) == 1
    assert "no database file" in capsys.readouterr().err


@contextmanager
def reopened(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()
