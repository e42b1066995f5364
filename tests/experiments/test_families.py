"""What families of features are worth: every family is added once, and each step is kept as a run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from mlflow import MlflowClient

from experiments.families import ORDER, add_families
from features.catalog import catalogue
from features.settings import PortfolioSettings
from tests.training.world import NOW, histories, quick_settings
from training.moments import cut_time
from training.tracking import LoggedStep, log_steps


def test_every_family_of_the_catalogue_is_added_once() -> None:
    families = {feature.family for feature in catalogue(PortfolioSettings("any"))}
    assert sorted(name for names in ORDER for name in names) == sorted(families)


def test_each_step_has_the_features_of_one_family_more() -> None:
    cuts = cut_time(histories(), 30, None, NOW)
    told: list[int] = []
    steps = add_families(histories(), cuts, 30, quick_settings(), lambda: told.append(1))
    assert [step.families for step in steps] == list(ORDER)
    assert len(told) == len(steps)
    assert all(later.features > earlier.features for earlier, later in pairwise(steps))
    assert all(0 <= step.auc <= 1 and step.gain_low <= step.gain_high for step in steps)
    assert all(abs(later.auc - earlier.auc - later.gain) < 1e-12 for earlier, later in pairwise(steps))
    assert steps[-1].auc > 0.6


def test_steps_are_kept_as_runs_of_a_run(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    steps = [LoggedStep(name, {"auc": auc}, {"added": name}) for name, auc in (("age", 0.6), ("payments", 0.7))]
    log_steps(steps, uri, "families-test", "families", {"data": "test"})
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("families-test")
    assert found is not None
    runs = {run.info.run_name: run for run in client.search_runs([found.experiment_id])}
    assert set(runs) == {"families", "age", "payments"}
    parent = runs["families"].info.run_id
    assert [metric.value for metric in client.get_metric_history(parent, "auc")] == [0.6, 0.7]
    assert runs["payments"].data.tags["mlflow.parentRunId"] == parent
    assert runs["age"].data.params == {"data": "test", "added": "age"}
    assert all(run.info.status == "FINISHED" for run in runs.values())
