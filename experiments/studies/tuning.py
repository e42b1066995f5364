"""What settings of the trees reach on later time: the held-out loss of a head, over rolling folds of the training time.

Each fold is a cut inside the training time, learned from as at any cut and asked about the horizon that follows it, so
that nothing from after the cut of the whole is ever looked at. The loss is that of the raw model, before calibration:
the log loss of the probability, the gamma deviance of the fraction of the balance paid, weighted by the balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from experiments.studies.origins import Origin, rolling_origins, usable
from experiments.studies.question import Question, put
from experiments.studies.space import TreeSpace
from features.histories import Histories
from features.units import Rows
from training.bundle import Floats
from training.fit import Learner, OnTree
from training.heads import fraction_paid
from training.moments import Cuts, Moments, is_paid
from training.settings import TrainingSettings, TreeSettings

#: The objective of each head, and the metric that LightGBM keeps count of.
OBJECTIVES = {"p_pay": ("binary", "binary_logloss"), "fraction": ("gamma", "gamma_deviance")}


@dataclass(frozen=True)
class Fold:
    """What one fold learns from and is asked about, binned once for all trials."""

    learned: Any
    asked: Any
    #: LightGBM's metric is this many times the mean loss.
    scale: float
    categories: tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """The folds of a head, the earliest first, and what all its fits share."""

    head: str
    folds: tuple[Fold, ...]
    seed: int
    threads: int

    def curve(self, fold: Fold, settings: TreeSettings, patience: int | None, on_tree: OnTree) -> Floats:
        """The mean held-out loss of a fold after each tree, `(n_trees,)`.

        Args:
            fold: which.
            settings: the trees.
            patience: how many trees that bring nothing end the fit early; None fits them all.
            on_tree: called after each tree.
        """
        import lightgbm

        objective, metric = OBJECTIVES[self.head]
        learner = Learner(objective, settings, fold.categories, self.seed, self.threads)
        parameters = learner.parameters() | {"metric": metric, "feature_pre_filter": False}
        kept: dict[str, dict[str, list[float]]] = {}
        callbacks: list[Callable[..., Any]] = [lightgbm.record_evaluation(kept), lambda _: on_tree()]
        if patience is not None:
            callbacks.append(lightgbm.early_stopping(patience, verbose=False))
        lightgbm.train(
            parameters, fold.learned, num_boost_round=settings.trees, valid_sets=[fold.asked], valid_names=["asked"],
            callbacks=callbacks,
        )  # fmt: skip
        return np.array(kept["asked"][metric]) / fold.scale

    def losses(self, settings: TreeSettings, on_tree: OnTree) -> tuple[float, ...]:
        """The held-out loss of each fold with these settings as they are, the number of trees included."""
        return tuple(float(self.curve(fold, settings, None, on_tree)[-1]) for fold in self.folds)

    def search(
        self, settings: TreeSettings, space: TreeSpace, patience: int, on_tree: OnTree
    ) -> Iterator[tuple[int, tuple[float, ...]]]:
        """After each fold, the best number of trees so far and the loss of each fold so far at it."""
        tried = msgspec.structs.replace(settings, trees=space.most_trees(settings))
        ends_early = None if space.trees is None else patience
        curves: list[Floats] = []
        for fold in self.folds:
            curves.append(self.curve(fold, tried, ends_early, on_tree))
            yield best_trees(curves, space.fewest_trees(settings))


def best_trees(curves: Sequence[Floats], fewest: int) -> tuple[int, tuple[float, ...]]:
    """The number of trees, the same for all folds, at which their mean loss is least, and their losses at it.

    Fits end early, each after a number of its own: only numbers that every fold reached are compared.

    Args:
        curves: the loss of each fold after each tree.
        fewest: the least number of trees, where the fits reached so many.

    >>> best_trees([np.array([3.0, 2.0, 1.0, 4.0]), np.array([2.0, 2.0, 2.5])], 1)
    (3, (1.0, 2.5))
    """
    reached = min(len(curve) for curve in curves)
    both = np.array([curve[:reached] for curve in curves])
    first = min(fewest, reached) - 1
    place = first + int(both.mean(axis=0)[first:].argmin())
    return place + 1, tuple(both[:, place].tolist())


def pose(
    histories: Histories, cuts: Cuts, horizon_days: int, head: str, folds: int, settings: TrainingSettings, now: int
) -> Problem:
    """Draw the folds of a head: stretches of one horizon, back from the end of the training moments.

    Args:
        histories: packed histories of a whole portfolio.
        cuts: the cuts of training; nothing from after `cuts.until` is used.
        horizon_days: the horizon.
        head: `p_pay` or `fraction`.
        folds: how many at most; as many as the history holds, and at least two.
        settings: the moments, features, seed and threads.
        now: the present.

    Raises:
        HistoryError: the history holds fewer than two folds.
    """

    def fold(origin: Origin) -> Fold:
        question = put(histories, origin.cuts, origin.end - 1, cuts.until, horizon_days, settings)
        return _fold(question, head, settings)

    origins = rolling_origins(histories, horizon_days, folds, cuts.train_end, now)
    return Problem(head, tuple(usable(origins, fold, 2, "tuning")), settings.seed, settings.threads)


def _fold(question: Question, head: str, settings: TrainingSettings) -> Fold:
    import lightgbm

    categories = question.learned.categories
    objective, metric = OBJECTIVES[head]
    shared = Learner(objective, settings.p_pay, categories, settings.seed, settings.threads).parameters()
    # What a trial changes must change nothing of how features are binned.
    how: dict[str, Any] = {
        "categorical_feature": list(categories),
        "params": shared | {"metric": metric, "feature_pre_filter": False},
        "free_raw_data": False,
    }
    rows, target, weight = _target(question.learned.moments, head, settings)
    learned = lightgbm.Dataset(question.learned.matrix[rows], target, weight=weight, **how).construct()
    rows, target, weight = _target(question.asked, head, settings)
    asked = lightgbm.Dataset(question.later[rows], target, reference=learned, weight=weight, **how).construct()
    # LightGBM adds up the gamma deviance where it averages the log loss.
    scale = float(len(rows) if weight is None else weight.sum()) if metric == "gamma_deviance" else 1.0
    return Fold(learned, asked, scale, categories)


def _target(moments: Moments, head: str, settings: TrainingSettings) -> tuple[Rows, Floats, Floats | None]:
    """The rows that a head learns from, and their target and weight."""
    paid = is_paid(moments, settings.payment)
    if head == "p_pay":
        return np.arange(len(moments)), paid.astype(np.float64), None
    rows = np.flatnonzero(paid)
    return rows, *fraction_paid(moments.take(rows))
