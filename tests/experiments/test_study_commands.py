"""The commands of the studies as their user gives them, and what they leave in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from mlflow.entities import Run
from rich.progress import Progress

import recoup
from experiments.studies.space import changed_toml
from tests.training.world import histories, portfolio, quick_settings, task
from training.registry import client_for
from training.settings import read_training_settings
from training.train import train


@dataclass(frozen=True)
class Place:
    """A folder with a portfolio and quick settings, where the commands are given."""

    folder: Path

    def give(self, *arguments: str) -> str:
        """What the command says, asked about this portfolio over 14 days."""
        options = (str(self.folder / "p"), "--config", str(self.folder / "quick.toml"), "--horizon", "14")
        environment = {"RECOUP_VAR": str(self.folder / "var"), "COLUMNS": "200"}
        result = CliRunner().invoke(recoup.command_line(), [*arguments, *options], env=environment)
        assert result.exit_code == 0, result.output
        return result.output

    def runs(self, experiment: str) -> dict[str, Run]:
        """The runs of an experiment by their names."""
        client = client_for(f"sqlite:///{self.folder}/var/mlflow.db")
        kept = client.get_experiment_by_name(experiment)
        assert kept is not None
        runs = client.search_runs([kept.experiment_id])
        names = {run.info.run_name: run for run in runs}
        assert len(names) == len(runs), "nothing is kept twice"
        return names


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("studies")
    (folder / "p").mkdir()
    for name, frame in portfolio().tables.items():
        frame.to_parquet(folder / "p" / f"{name}.parquet")
    (folder / "p/portfolio.toml").write_text('name = "small"\n[attributes]\nnumeric = ["utilisation"]\n')
    quick, default = msgspec.to_builtins(quick_settings()), msgspec.to_builtins(read_training_settings())
    (folder / "quick.toml").write_text(changed_toml(quick, default, "Quick."))
    (folder / "space.toml").write_text("folds = 2\n[p_pay]\ntrees = { low = 2, high = 20 }\n")
    return Place(folder)


def test_tuned_settings_train_and_their_trials_are_kept_once(place: Place) -> None:
    out = place.folder / "found.toml"
    for trials in (1, 2):
        command = ("tune", "--space", str(place.folder / "space.toml"), "--trials", str(trials), "--out", str(out))
        assert f"{trials} trials, 0 of them given up early" in place.give(*command)
    found = read_training_settings(out)
    assert found.fraction == quick_settings().fraction
    trained = train(histories(), found, task(), Progress(disable=True))
    assert trained.bundle.manifest.settings["p_pay"] == msgspec.to_builtins(found.p_pay)
    runs = place.runs("small-tuning")
    assert set(runs) == {"tune p_pay", "trial 0", "trial 1"}
    whole, first = runs["tune p_pay"], runs["trial 0"]
    assert whole.info.status == "FINISHED"
    assert {"gain", "gain_error"} < set(whole.data.metrics)
    assert {"data_digest", "commit", "seed", "study"} < set(whole.data.params)
    assert first.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert first.data.params["state"] == "complete"
    assert set(first.data.metrics) == {"loss", "loss_fold_0", "loss_fold_1"}


def test_a_backtest_keeps_a_run_for_each_cut_and_registers_nothing(place: Place) -> None:
    said = place.give("experiment", "backtest", "--folds", "1")
    runs = place.runs("small-backtest")
    (cut,) = set(runs) - {"backtest"}
    assert cut in said
    assert runs[cut].data.metrics["auc"] > 0.5
    client = client_for(f"sqlite:///{place.folder}/var/mlflow.db")
    kept = {found.path for found in client.list_artifacts(runs["backtest"].info.run_id)}
    assert kept == {"cuts.csv", "stability.png"}
    assert client.search_registered_models() == []


def test_the_other_studies_keep_a_run_for_each_step(place: Place) -> None:
    assert "100.00%" in place.give("experiment", "learning-curve")
    assert "1 of the accounts" in place.runs("small-learning-curve")
    assert "without payments" in place.give("experiment", "ablation")
    assert {"all", "without payments"} < set(place.runs("small-ablation"))
