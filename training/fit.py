"""Fitting LightGBM: one final model on all rows, and held-out predictions by account folds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from training.bundle import Floats, Matrix, with_action
from training.settings import TreeSettings

Rows = npt.NDArray[np.int64]
OnTree = Callable[[], None]

#: At so many sizes of a model, evenly apart, its held-out loss is looked at.
STAGES = 12


@dataclass(frozen=True)
class Learner:
    """How a model is fitted: objective, trees, which columns are categories, and what must be stated for one result."""

    objective: str
    trees: TreeSettings
    categories: tuple[int, ...]
    seed: int
    threads: int
    n_classes: int = 1

    def parameters(self) -> dict[str, Any]:
        """The parameters as LightGBM names them; the same result for any number of threads."""
        return {
            "objective": self.objective,
            "num_class": self.n_classes,
            "learning_rate": self.trees.learning_rate,
            "num_leaves": self.trees.leaves,
            "min_data_in_leaf": self.trees.min_rows_per_leaf,
            "bagging_fraction": self.trees.row_share,
            "bagging_freq": 1,
            "feature_fraction": self.trees.feature_share,
            "lambda_l2": self.trees.l2,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }


def fit(
    learner: Learner, matrix: Matrix, target: Floats, weight: Floats | None, on_tree: OnTree, rows: Rows | None = None
) -> Any:
    """Fit a LightGBM booster.

    Args:
        learner: how.
        matrix: `(n, n_features)` float32.
        target: `(n,)`.
        weight: `(n,)`, or None for equal weights.
        on_tree: called after each tree, for progress.
        rows: which rows to fit on; all when None.
    """
    import lightgbm

    if rows is not None:  # all rows need no copy, of which a large matrix leaves no room for another
        matrix, target, weight = matrix[rows], target[rows], None if weight is None else weight[rows]
    data = lightgbm.Dataset(
        matrix,
        label=target,
        weight=weight,
        categorical_feature=list(learner.categories),
        params={"verbosity": -1},
    )
    return lightgbm.train(
        learner.parameters(), data, num_boost_round=learner.trees.trees, callbacks=[lambda _: on_tree()]
    )


def fold_models(
    learner: Learner, matrix: Matrix, target: Floats, weight: Floats | None, fold: Rows, on_tree: OnTree
) -> dict[int, Any]:
    """For each fold, `(n,)` of the rows' accounts, a booster that saw no row of it; the rest is as in `fit`."""
    return {
        int(held): fit(learner, matrix, target, weight, on_tree, np.flatnonzero(fold != held))
        for held in np.unique(fold)
    }


def held_out(models: dict[int, Any], fold: Rows, predict: Callable[[Any, Rows], Floats]) -> Floats:
    """What the model that did not see them says of rows.

    Args:
        models: the model of each fold.
        fold: `(n,)`, the fold of each row's account.
        predict: what to ask of a model for rows, given as positions.

    Returns:
        `(n,)`, or whatever further shape `predict` gives each row.
    """
    parts = [(rows, predict(models[held], rows)) for held in models if len(rows := np.flatnonzero(fold == held))]
    found = np.empty((len(fold), *parts[0][1].shape[1:]))
    for rows, raw in parts:
        found[rows] = raw
    return found


@dataclass(frozen=True)
class CrossFitted:
    """A booster of all rows, those of each fold's others, and the raw scores of rows by those, `(n,)`."""

    model: Any
    folds: dict[int, Any]
    raw: Floats

    def held_out(self, matrix: Matrix, fold: Rows, threads: int) -> Floats:
        """The raw scores of any rows, `(n,)`, by the booster that did not see their fold."""
        trees = self.model.num_trees()

        def predict(model: Any, rows: Rows) -> Floats:
            return np.asarray(model.predict(matrix[rows], raw_score=True, num_iteration=trees, num_threads=threads))

        return held_out(self.folds, fold, predict)


def cross_fit(
    learner: Learner, matrix: Matrix, target: Floats, weight: Floats | None, fold: Rows, on_tree: OnTree
) -> CrossFitted:
    """Fit on all rows, and hold out every account once.

    All have as many trees as the held-out loss is least at, and at most those of the settings: what thousands of
    accounts bear, hundreds do not. The arguments are those of `fold_models`.
    """
    models = fold_models(learner, matrix, target, weight, fold, on_tree)
    ends = np.unique(np.linspace(0, learner.trees.trees, STAGES + 1).round().astype(np.int64))[1:].tolist()
    raw = held_out(models, fold, lambda model, rows: _by_stage(model, matrix[rows], ends, learner.threads))
    losses = [float(np.average(_loss(learner.objective, column, target), weights=weight)) for column in raw.T]
    best = int(np.argmin(losses))
    fewer = replace(learner, trees=msgspec.structs.replace(learner.trees, trees=ends[best]))
    model = fit(fewer, matrix, target, weight, on_tree)
    return CrossFitted(model, models, np.ascontiguousarray(raw[:, best]))


def _by_stage(model: Any, matrix: Matrix, ends: list[int], threads: int) -> Floats:
    """The raw scores of rows after so many trees, `(n, n_stages)`."""
    found = np.zeros((len(matrix), len(ends)))
    for place, (begin, end) in enumerate(itertools.pairwise([0, *ends])):
        found[:, place] = model.predict(
            matrix, raw_score=True, start_iteration=begin, num_iteration=end - begin, num_threads=threads
        )
    return np.cumsum(found, axis=1, out=found)


def _loss(objective: str, raw: Floats, target: Floats) -> Floats:
    """The loss of each raw score, `(n,)`: the log loss, or the gamma deviance but for what no score can change."""
    if objective == "binary":
        return np.asarray(np.logaddexp(0.0, raw) - target * raw)
    return np.asarray(raw + target * np.exp(-raw))


def raw_by_action(model: Any, matrix: Matrix, n_actions: int, threads: int) -> Floats:
    """The raw scores of rows under every action, `(n, n_actions)`, by a model whose last column is the action."""
    stacked = with_action(matrix, [0])
    found = np.empty((len(matrix), n_actions))
    for action in range(n_actions):
        stacked[:, -1] = action
        found[:, action] = raw_scores(model, stacked, threads)
    return found


def raw_scores(model: Any, matrix: Matrix, threads: int) -> Floats:
    """A booster's raw scores, `(n,)`."""
    return np.asarray(model.predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)
