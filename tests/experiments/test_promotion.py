"""`recoup compare` and `recoup promote` on real bundles: who becomes champion, who does not, and the way back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.progress import Progress

from experiments.champion.unseen import Asked, check_pair, compare_on
from features import environment
from features.errors import BundleError, HistoryError, MomentError
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.units import parse_instant
from recoup import main
from serving.review.pages.models import CHECKS
from tests.training.world import NOW, histories, portfolio, quick_settings, task
from training.bundle import Bundle, Link
from training.registered import read_registry
from training.registry import client_for, former_champions, open_model
from training.tracking import log_training
from training.train import Trained, train

UNTIL = "2024-06-01"


def trained_on(of: Portfolio | None = None) -> Trained:
    packed = histories() if of is None else pack(of)
    return train(packed, quick_settings(), task(parse_instant(UNTIL)), Progress(disable=True))


def with_shuffled_payments() -> Portfolio:
    """The portfolio with every payment made by another account: nothing is left to be learned."""
    payments = portfolio().tables["payments"]
    account = np.random.default_rng(1).permutation(payments["account_id"].to_numpy())
    return replace(portfolio(), tables={**portfolio().tables, "payments": payments.assign(account_id=account)})


def with_shifted_links(bundle: Bundle) -> Bundle:
    """The bundle, promising twice as much: it ranks as before."""
    link = bundle.links.p_pay
    twice = Link(link.raw, tuple(min(2 * value, 1.0) for value in link.value))
    return replace(bundle, links=replace(bundle.links, p_pay=twice))


@pytest.fixture(scope="module")
def made() -> Trained:
    # Without plots, which would take most of the time.
    return replace(trained_on(), holdout=None)


@pytest.fixture(scope="module")
def shuffled() -> Trained:
    return replace(trained_on(with_shuffled_payments()), holdout=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portfolio as a user has it."""
    folder = tmp_path_factory.mktemp("portfolio")
    for name, frame in portfolio().tables.items():
        frame.to_parquet(folder / f"{name}.parquet")
    (folder / "portfolio.toml").write_text('name = "small"\n[attributes]\nnumeric = ["utilisation"]\n')
    return folder


@pytest.fixture(scope="module")
def first(made: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with one version, small/1. MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("first")
    log_training(made, f"sqlite:///{folder}/mlflow.db", "first", "here")
    return folder


@pytest.fixture
def store(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registry of the test's own that begins like the first; the bundles lie where they were."""
    shutil.copy(first / "mlflow.db", tmp_path)
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    return f"sqlite:///{tmp_path}/mlflow.db"


def register(store: str, of: Trained) -> str:
    return log_training(of, store, "key", "the-folder").label


def champion(store: str) -> str:
    return open_model("small@champion", store).label


def test_an_equal_model_is_compared_promoted_and_rolled_back(
    store: str, made: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register(store, made) == "small/2"
    assert main(["promote"]) == 1
    assert "recoup compare the-folder --a small/1 --b small/2" in capsys.readouterr().err
    assert main(["compare", str(folder), "--out", str(tmp_path / "c.json")]) == 0
    said = capsys.readouterr().out
    assert "small/1" in said
    assert "top 10 % of b" in said
    kept = json.loads((tmp_path / "c.json").read_text())
    assert kept["figures"]["auc"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert kept["figures"]["auc"]["a"]["value"] == pytest.approx(made.bundle.manifest.holdout["auc"])
    assert champion(store) == "small/1"

    assert main(["promote", "--by", "ann"]) == 0
    assert champion(store) == "small/2"
    assert former_champions("small", store) == ("1",)
    run_id = client_for(store).get_model_version("small", "2").tags["promoted_on_run"]
    run = client_for(store).get_run(run_id)
    assert (run.data.tags["a"], run.data.tags["b"]) == ("small/1", "small/2")
    assert run.data.metrics["auc/difference"] == 0
    capsys.readouterr()
    assert main(["promote", "2"]) == 0
    assert "champion already" in capsys.readouterr().out
    assert main(["promote"]) == 1  # who was promoted is no challenger any more
    assert "challenger" in capsys.readouterr().err

    assert main(["promote", "--rollback"]) == 0
    assert champion(store) == "small/1"
    assert main(["promote", "--rollback", "small"]) == 1
    assert "no version of small was champion before" in capsys.readouterr().err
    assert champion(store) == "small/1"
    back, kept = read_registry("small", store).promotions
    assert (kept.kind, kept.before, kept.after, kept.by, kept.comparison) == ("promoted", "1", "2", "ann", run_id)
    assert (back.kind, back.before, back.after, back.by) == ("rolled_back", "2", "1", environment.user())
    assert len(kept.checks) == 11
    assert all(check.passed for check in kept.checks)
    assert {check.name for check in kept.checks} == {*CHECKS}


def test_a_model_that_learned_nothing_is_refused(
    store: str, shuffled: Trained, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(store, shuffled)
    assert main(["promote", "small/2", "--portfolio", str(folder)]) == 1
    output, error = capsys.readouterr()
    assert "FAIL" in output
    assert "AUC no worse" in error
    assert "small/1 stays" in error
    (kept,) = read_registry("small", store).promotions
    assert (kept.kind, kept.came_about, kept.after) == ("refused", False, "2")
    assert "AUC no worse" in {check.name for check in kept.failed}
    assert champion(store) == "small/1"
    assert former_champions("small", store) == ()


def test_a_model_that_promises_too_much_is_refused(
    store: str, made: Trained, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(store, replace(made, bundle=with_shifted_links(made.bundle)))
    assert main(["promote", "2", "--portfolio", str(folder)]) == 1
    assert "money predicted / actual; calibration error" in capsys.readouterr().err
    assert champion(store) == "small/1"


def test_a_comparison_with_another_champion_decides_nothing(
    store: str, made: Trained, shuffled: Trained, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(store, made)
    register(store, shuffled)
    assert main(["compare", str(folder), "--a", "3", "--b", "2"]) == 0
    assert main(["promote", "2"]) == 1
    assert "--a small/1 --b small/2" in capsys.readouterr().err


def test_a_comparison_that_was_changed_in_the_store_decides_nothing(
    store: str, made: Trained, folder: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(store, made)
    assert main(["compare", str(folder)]) == 0
    for kept in first.rglob("comparison.json"):
        kept.write_text(kept.read_text().replace("1", "2", 1))
    assert main(["promote"]) == 1
    assert "sha256" in capsys.readouterr().err
    assert champion(store) == "small/1"


@pytest.mark.parametrize(
    ("b", "said"),
    [
        ("9", "there is no model small with '9'"),
        ("challenger", "there is no model small with 'challenger'"),
        ("1", "got small/1 twice"),
    ],
)
def test_a_version_that_is_not_there_is_one_clear_line(
    first: Path, folder: Path, b: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(first))
    assert main(["compare", str(folder), "--b", b]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def ask(a: Bundle, of: Histories, since: str | None = None, **changes: Any) -> None:
    """Compare a bundle with one whose manifest says something else."""
    b = replace(a, label="b", manifest=replace(a.manifest, **changes))
    check_pair(a, b)
    moment = None if since is None else parse_instant(since)
    compare_on(of, (a, b), Asked(of.settings, moment, NOW, "digest"), Progress(disable=True))


def test_other_questions_are_not_compared(made: Trained) -> None:
    with pytest.raises(BundleError, match="same horizon, got 30 days of  and 14 days of b"):
        ask(made.bundle, histories(), horizon_days=14)
    other = {**made.bundle.manifest.settings, "payment": {"above_amount": 5.0, "above_share": 0.0}}
    with pytest.raises(BundleError, match="take for a payment"):
        ask(made.bundle, histories(), settings=other)


def test_features_that_are_not_there_are_not_compared(made: Trained) -> None:
    with pytest.raises(BundleError, match="days_since_eclipse"):
        ask(made.bundle, histories(), features=("days_past_due", "days_since_eclipse"))


def test_a_column_that_the_portfolio_keeps_for_audits_is_not_read(made: Trained) -> None:
    settings = made.bundle.manifest.portfolio
    kept = replace(histories(), settings=replace(settings, audit=("gender",)))
    reading = replace(settings, categorical=("gender",))
    with pytest.raises(BundleError, match="gender, which this portfolio keeps for audits"):
        ask(made.bundle, kept, portfolio=reading, features=("days_past_due", "attribute_gender"))


def test_time_that_is_not_unseen_is_not_compared(made: Trained) -> None:
    with pytest.raises(MomentError, match="neither model has learned from, got 2024-05-01"):
        ask(made.bundle, histories(), since="2024-05-01")
    with pytest.raises(HistoryError, match="none has since 2024-09-15"):
        ask(made.bundle, histories(), trained_until="2024-09-15T00:00:00Z")
    with pytest.raises(HistoryError, match="none has since 2099"):
        ask(made.bundle, histories(), since="2099-01-01")
