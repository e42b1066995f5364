"""What the benchmarks on tables of one row per case share: encoding, folds, intervals, and the record in MLflow.

Such a snapshot exercises Recoup's learner, calibration and measures, but neither histories nor features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import environment
from training.bundle import Floats, Matrix
from training.calibration import fit_sigmoid
from training.fit import Learner, Rows, fit, fold_models, held_out, raw_scores
from training.metrics import auc
from training.settings import TreeSettings, read_training_settings
from training.tracking import LoggedStep, log_steps

Flags = npt.NDArray[np.bool_]

REPEATS = 500


@dataclass(frozen=True)
class Snapshot:
    """A table as a model reads it: `(n, n_columns)` float32, which columns hold categories, and the outcome, `(n,)`."""

    matrix: Matrix
    categories: tuple[int, ...]
    outcome: Flags

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.outcome)

    def learner(self, trees: TreeSettings | None = None) -> Learner:
        """Recoup's learner of a probability, with the settings of `p_pay` unless other trees are given."""
        settings = read_training_settings()
        return Learner("binary", trees or settings.p_pay, self.categories, settings.seed, settings.threads)


def encode(table: pd.DataFrame, outcome: Flags) -> Snapshot:
    """Take a table's numbers as they are, and its texts as categories; a blank is missing."""
    texts = [name for name in table.columns.astype(str) if not pd.api.types.is_numeric_dtype(table[name])]
    numbers = table.assign(**{name: _codes(table[name]) for name in texts})
    places = tuple(place for place, name in enumerate(table) if name in texts)
    return Snapshot(np.ascontiguousarray(numbers.to_numpy(np.float32)), places, outcome)


def _codes(texts: pd.Series[str]) -> pd.Series[float]:
    codes = pd.Series(texts.astype("category").cat.codes, index=texts.index).astype(np.float64)
    return codes.where(codes >= 0)


def random_folds(n: int, count: int, seed: int) -> Rows:
    """The fold of each row, `(n,)`, drawn at random; sizes differ by one at most."""
    return np.random.default_rng(seed).permutation(n) % count


def cross_validated(snapshot: Snapshot, learner: Learner, fold: Rows) -> Floats:
    """The raw score of each row by a model that saw no row of its fold."""
    models = fold_models(learner, snapshot.matrix, snapshot.outcome.astype(np.float64), None, fold, _silent)
    return held_out(models, fold, lambda model, rows: raw_scores(model, snapshot.matrix[rows], learner.threads))


def learned(snapshot: Snapshot, learner: Learner, train: Rows, test: Rows) -> Floats:
    """The raw scores of some rows by a model of others."""
    model = fit(learner, snapshot.matrix, snapshot.outcome.astype(np.float64), None, _silent, train)
    return raw_scores(model, snapshot.matrix[test], learner.threads)


def calibrated(snapshot: Snapshot, learner: Learner, train: Rows, test: Rows, folds: int) -> Floats:
    """The probabilities of some rows by a model of others, calibrated as `recoup train` does.

    A snapshot holds no time, through which the level could be followed.

    Args:
        snapshot: the table.
        learner: how to fit.
        train: positions to learn from.
        test: positions to ask about.
        folds: how many folds of `train` the calibration is fitted on.
    """
    part = Snapshot(snapshot.matrix[train], snapshot.categories, snapshot.outcome[train])
    raw = cross_validated(part, learner, random_folds(len(part), folds, learner.seed))
    return fit_sigmoid(raw, part.outcome)(learned(snapshot, learner, train, test))


def auc_by_fold(score: Floats, outcome: Flags, fold: Rows) -> Floats:
    """The AUC within each fold, `(n_folds,)`."""
    return np.array([auc(score[fold == held], outcome[fold == held]) for held in np.unique(fold)])


def bootstrap(measure: Callable[[Rows], float], n: int, seed: int = 1) -> tuple[float, float]:
    """The ends of the 95 % interval of a measure of drawn rows, by the percentiles of the bootstrap (Efron 1979)."""
    generator = np.random.default_rng(seed)
    found = [measure(generator.integers(0, n, n)) for _ in range(REPEATS)]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def auc_interval(score: Floats, outcome: Flags) -> tuple[float, float]:
    """The 95 % interval of an AUC."""
    return bootstrap(lambda rows: auc(score[rows], outcome[rows]), len(outcome))


def gain_interval(score: Floats, other: Floats, outcome: Flags) -> tuple[float, float]:
    """The 95 % interval of how far the AUC of one score lies above that of another, on the same rows."""
    return bootstrap(lambda rows: auc(score[rows], outcome[rows]) - auc(other[rows], outcome[rows]), len(outcome))


def keep(name: str, steps: Mapping[str, Mapping[str, float]], parameters: Mapping[str, object]) -> None:
    """Keep a benchmark's figures in MLflow: a run of the experiment `bench-NAME`, with a nested run for each step."""
    logged: Sequence[LoggedStep] = [LoggedStep(step, metrics, {"step": step}) for step, metrics in steps.items()]
    log_steps(logged, environment.tracking_uri(), f"bench-{name}", name, parameters)


def _silent() -> None:
    """Show no progress: these fits take seconds."""
