"""The search for settings: an Optuna study in a SQLite file, that goes on where it stopped, in one process or several.

What has been tried is kept. A trial whose process ended within it, however it ended, is tried again. The n-th trial
draws from a seed of its own, so that a search in one process gives the same trials whether or not it was stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from experiments.studies.claims import Claims
from experiments.studies.space import Range, TuningSettings, is_whole, typed_settings
from experiments.studies.tuning import Problem
from training.fit import OnTree
from training.settings import TreeSettings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

#: Seconds that a process waits for another's write to the study.
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Tried:
    """A trial that has ended: its place in the search, what was tried, and the loss of each fold it came to."""

    place: int
    settings: TreeSettings
    losses: tuple[float, ...]
    pruned: bool

    @property
    def loss(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class Gain:
    """By how much one loss is below another, over the same folds, with its standard error."""

    mean: float
    error: float
    needed: float

    @property
    def is_told(self) -> bool:
        """Whether it is more than the folds differ by chance: above the 97.5 % quantile of Student's t."""
        return self.mean > self.needed


def gain(before: Sequence[float], after: Sequence[float]) -> Gain:
    """How much lower the second losses are, fold by fold.

    Folds share much of what they learn from, so the error is rather too small.
    """
    from scipy.stats import t

    differences = np.array(before) - np.array(after)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    return Gain(float(differences.mean()), error, float(t.ppf(0.975, len(differences) - 1)) * error)


@dataclass(frozen=True)
class Search:
    """What is searched: a head's settings from where they stand, in a space, on the folds of a problem.

    `name` must tell apart what differs in any of it, since trials of one name are compared.
    """

    name: str
    problem: Problem
    start: TreeSettings
    tuning: TuningSettings

    @property
    def ranges(self) -> dict[str, Range]:
        """What is drawn."""
        return self.tuning.of(self.problem.head).drawn


def search(
    wanted: Search, folder: Path, trials: int, timeout: float | None, on_trial: Callable[[list[Tried]], None],
    on_tree: OnTree,
) -> list[Tried]:  # fmt: skip
    """Try settings until so many trials have ended, those of earlier and of other runs included.

    Args:
        wanted: what is searched.
        folder: where the studies are kept.
        trials: how many trials there are to be in the end.
        timeout: seconds after which no further trial is begun; None sets no end.
        on_trial: told of all trials ended so far, at the beginning and after each; one process at a time.
        on_tree: called after each tree.
    """
    end = float("inf") if timeout is None else time.monotonic() + timeout
    claims = Claims(folder)
    with claims.at_work():
        with claims.alone():
            study = _open(wanted, folder)
            on_trial(_ended(study))
        while (trial := _claim(study, claims, wanted, trials, end)) is not None:
            try:
                pruned = _run(trial, wanted, on_tree)
            except BaseException:  # Ctrl-C too: the trial is tried again
                _end(study, trial, claims, "FAIL")
                raise
            _end(study, trial, claims, "PRUNED" if pruned else "COMPLETE", lambda: on_trial(_ended(study)))
    return _ended(study)


def best(tried: Sequence[Tried]) -> Tried | None:
    """The trial with the least loss, the first among equals; None where none has come to its end."""
    return min(
        (trial for trial in tried if not trial.pruned), key=lambda trial: (trial.loss, trial.place), default=None
    )


def _open(wanted: Search, folder: Path) -> Study:
    import optuna

    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{folder.resolve()}/studies.db", engine_kwargs={"connect_args": {"timeout": PATIENCE_SECONDS}}
    )
    pruner = optuna.pruners.MedianPruner(n_startup_trials=wanted.tuning.trials_before_pruning)
    return optuna.create_study(
        storage=storage, study_name=wanted.name, pruner=pruner, direction="minimize", load_if_exists=True
    )


def _claim(study: Study, claims: Claims, wanted: Search, trials: int, end: float) -> Trial | None:
    """Begin the next trial; None where there are enough, ended or in work, or where it is too late."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    with claims.alone():
        found = study.get_trials(deepcopy=False)
        running = [trial for trial in found if trial.state == TrialState.RUNNING]
        lost = [trial for trial in running if not claims.is_held(trial.user_attrs.get("process", ""))]
        for trial in lost:
            study.tell(trial.number, state=TrialState.FAIL)
        counted = [trial for trial in found if trial.state.is_finished() and trial.state != TrialState.FAIL]
        counted += [trial for trial in running if trial not in lost]
        if len(counted) >= trials or time.monotonic() >= end:
            return None
        place = _first_free({int(trial.user_attrs["place"]) for trial in counted})
        study.sampler = TPESampler(seed=_seed(wanted.problem.seed, place), multivariate=True)
        if place == 0 and not any(trial.state == TrialState.WAITING for trial in found):
            study.enqueue_trial(_inside(wanted.start, wanted.ranges))
        begun = study.ask()
        begun.set_user_attr("process", claims.token)
        begun.set_user_attr("place", place)
        return begun


def _run(trial: Trial, wanted: Search, on_tree: OnTree) -> bool:
    """Fit fold after fold; true where the trial was given up before the last."""
    drawn = {name: _draw(trial, name, ends) for name, ends in wanted.ranges.items()}
    settings = typed_settings(wanted.start, drawn)
    space = wanted.tuning.of(wanted.problem.head)
    last = len(wanted.problem.folds) - 1
    for step, (trees, losses) in enumerate(wanted.problem.search(settings, space, wanted.tuning.patience, on_tree)):
        trial.report(float(np.mean(losses)), step)
        given_up = step < last and trial.should_prune()
        if step == last or given_up:
            tried = msgspec.to_builtins(msgspec.structs.replace(settings, trees=trees))
            trial.set_user_attr("ended", {"settings": tried, "losses": losses})
            return given_up
    raise AssertionError("a problem has folds")


def _end(study: Study, trial: Trial, claims: Claims, state: str, then: Callable[[], None] = lambda: None) -> None:
    from optuna.trial import TrialState

    with claims.alone():
        value = float(np.mean(trial.user_attrs["ended"]["losses"])) if state == "COMPLETE" else None
        study.tell(trial, value, state=TrialState[state])
        then()


def _ended(study: Study) -> list[Tried]:
    from optuna.trial import TrialState

    def tried(trial: FrozenTrial) -> Tried:
        ended = trial.user_attrs["ended"]
        settings = msgspec.convert(ended["settings"], TreeSettings)
        return Tried(trial.user_attrs["place"], settings, tuple(ended["losses"]), trial.state == TrialState.PRUNED)

    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted((tried(trial) for trial in ended), key=lambda trial: trial.place)


def _draw(trial: Trial, name: str, ends: Range) -> float:
    if is_whole(name):
        return float(trial.suggest_int(name, int(ends.low), int(ends.high), log=ends.log))
    return float(trial.suggest_float(name, ends.low, ends.high, log=ends.log))


def _inside(settings: TreeSettings, ranges: dict[str, Range]) -> dict[str, Any]:
    """Where the search starts: the settings as they stand, as far as they lie in the space."""
    stand = {name: getattr(settings, name) for name in ranges}
    return {name: value for name, value in stand.items() if ranges[name].low <= value <= ranges[name].high}


def _first_free(taken: set[int]) -> int:
    return next(place for place in range(len(taken) + 1) if place not in taken)


def _seed(seed: int, place: int) -> int:
    return int(np.random.SeedSequence((seed, place)).generate_state(1)[0])
