"""`recoup compare` and `recoup promote` for models of labels: asked about the same unseen labels, never about money."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress

from features.units import format_instant, from_instants, parse_instant
from recoup import main
from tests.training.world import NOW, histories, portfolio, quick_settings, task
from training.bundle import LABEL
from training.labels import labels_from_frame, pack_labels, train_on_labels
from training.moments import cut_time, is_paid, sample_moments
from training.registry import open_model
from training.tracking import log_training
from training.train import Trained

UNTIL = "2024-06-01"


def labels() -> pd.DataFrame:
    """Whether each account paid within 30 days, every 16 days of the world."""
    cuts = cut_time(histories(), 30, None, NOW)
    moments = sample_moments(histories(), cuts.begin, cuts.test_end, 16, 30, cuts.data_end, 1)
    paid = is_paid(moments, quick_settings().payment).astype(int)
    account_id = histories().accounts.account_id[moments.account]
    return pd.DataFrame({"account_id": account_id, "as_of": from_instants(moments.as_of), "label": paid})


def learned(frame: pd.DataFrame) -> Trained:
    kept, _ = labels_from_frame(frame, portfolio().tables["accounts"], NOW)
    of_labels = replace(task(parse_instant(UNTIL)), target=LABEL)
    found = train_on_labels(
        histories(), pack_labels(kept, histories()), quick_settings(), of_labels, Progress(disable=True)
    )
    return replace(found, holdout=None)  # without plots, which would take most of the time


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portfolio and its labels as a user has them."""
    folder = tmp_path_factory.mktemp("portfolio")
    for name, frame in portfolio().tables.items():
        frame.to_parquet(folder / f"{name}.parquet")
    (folder / "portfolio.toml").write_text('name = "small"\n[attributes]\nnumeric = ["utilisation"]\n')
    labels().to_csv(folder.parent / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def registry(folder: Path) -> str:
    """Two equal versions of small-labels, and one that learned coins."""
    uri = f"sqlite:///{folder.parent}/mlflow.db"
    honest = learned(labels())
    coins = learned(labels().assign(label=np.random.default_rng(1).integers(0, 2, len(labels()))))
    for trained in (honest, honest, coins):
        log_training(trained, uri, "key", "the-folder")
    return uri


def test_versions_of_labels_are_compared_promoted_and_refused(
    registry: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(folder.parent))
    on = [str(folder), "--labels", str(folder.parent / "labels.csv")]
    assert main(["promote", "small-labels/2"]) == 1
    assert "compare the-folder --a small-labels/1 --b small-labels/2 --labels FILE" in capsys.readouterr().err

    assert main(["compare", *on, "--b", "2"]) == 0
    said = capsys.readouterr().out
    assert "b: small-labels/2" in said
    assert "accounts have label 1" in said
    assert main(["promote", "small-labels/2"]) == 0
    assert open_model("small-labels@champion", registry).label == "small-labels/2"

    assert main(["promote", "3", "--portfolio", *on]) == 1
    output, error = capsys.readouterr()
    assert "AUC no worse" in error
    assert "money" not in output[output.index("The gate") :]
    assert "small-labels/2 stays" in error

    assert main(["promote", "--rollback", "small-labels"]) == 0
    assert open_model("small-labels@champion", registry).label == "small-labels/1"


def test_what_was_learned_decides_what_it_is_compared_on(
    registry: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(folder.parent))
    named = ["--a", "small-labels/1", "--b", "small-labels/2"]
    assert main(["compare", str(folder), *named]) == 1
    assert "models of labels are compared with --labels" in capsys.readouterr().err
    early = labels()[labels()["as_of"] < pd.Timestamp(format_instant(parse_instant(UNTIL)))]
    early.to_csv(tmp_path / "early.csv", index=False)
    assert main(["compare", str(folder), *named, "--labels", str(tmp_path / "early.csv")]) == 1
    assert "labels that neither has learned from, but none is of 2024-06-01" in capsys.readouterr().err
    assert main(["promote", "small-labels/2", "--labels", str(tmp_path / "early.csv")]) != 0
    assert "with --portfolio" in capsys.readouterr().err
