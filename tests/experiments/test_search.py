"""The search: it goes on where it stopped, several processes share it, and what does badly is given up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from experiments.studies.search import Tried, best, gain, search
from tests.experiments import trying
from training.settings import read_training_settings


def start(root: Path, folder: Path, trials: int, kill_at: int = 0) -> subprocess.Popen[bytes]:
    arguments = [str(folder), str(trials), str(kill_at)]
    return subprocess.Popen([sys.executable, "-m", "tests.experiments.trying", *arguments], cwd=root)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    """Twelve trials in one go: ten at random, then some from what was learned."""
    return trying.run(tmp_path_factory.mktemp("whole"), 12)


def test_a_killed_search_goes_on_to_what_it_would_have_found(root: Path, tmp_path: Path, whole: list[Tried]) -> None:
    # Within the sixth trial or later: some were given up, so that not every trial has three folds.
    assert start(root, tmp_path, 12, kill_at=16).wait(timeout=120) == -signal.SIGKILL
    before = search(trying.wanted(), tmp_path, 0, None, lambda _: None, lambda: None)
    assert 5 <= len(before) < 12
    assert before == whole[: len(before)]
    assert trying.run(tmp_path, 12) == whole


def test_a_search_that_is_done_is_not_done_again(tmp_path: Path, whole: list[Tried]) -> None:
    assert trying.run(tmp_path, 2) == whole[:2]
    told: list[int] = []
    assert trying.run(tmp_path, 2, lambda: told.append(1)) == whole[:2]
    assert told == []


def test_two_processes_at_once_share_the_trials(root: Path, tmp_path: Path) -> None:
    both = [start(root, tmp_path, 8) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    tried = trying.run(tmp_path, 8)
    assert [trial.place for trial in tried] == list(range(8))
    study = optuna.load_study(study_name="formula", storage=f"sqlite:///{tmp_path}/studies.db")
    assert len(study.trials) == 8
    assert len({trial.user_attrs["process"] for trial in study.trials}) == 2
    assert not list(tmp_path.glob("*.working")), "a claim ends with its process"


def test_ctrl_c_leaves_a_trial_to_be_tried_again(tmp_path: Path, whole: list[Tried]) -> None:
    left = iter(range(4))

    def interrupt() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trying.run(tmp_path, 3, interrupt)
    assert trying.run(tmp_path, 3) == whole[:3]


def test_the_first_trial_is_where_the_settings_stand(whole: list[Tried]) -> None:
    assert whole[0].settings == read_training_settings().p_pay


def test_what_does_worse_than_the_median_is_given_up(whole: list[Tried]) -> None:
    pruned = [trial for trial in whole if trial.pruned]
    assert pruned
    assert all(len(trial.losses) < 3 for trial in pruned)
    assert not any(trial.pruned for trial in whole[:6]), "so many are tried as a whole first"
    found = best(whole)
    assert found is not None
    assert found.loss < min(trial.loss for trial in pruned)


def test_no_trial_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    assert search(trying.wanted(), tmp_path, 5, 0.0, lambda _: None, lambda: None) == []


def test_a_gain_is_told_from_chance_by_how_far_folds_differ() -> None:
    same, spread = gain([1.0, 1.0, 1.0], [0.9, 0.89, 0.91]), gain([1.0, 1.0, 1.0], [0.5, 1.1, 1.1])
    assert same.is_told
    assert not spread.is_told
    assert same.mean == pytest.approx(spread.mean)
