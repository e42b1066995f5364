"""Fitting LightGBM: one final model on all rows, and held-out predictions by account folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.bundle import Floats, Matrix
from training.settings import TreeSettings

Rows = npt.NDArray[np.int64]
OnTree = Callable[[], None]


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

    chosen = np.arange(len(matrix)) if rows is None else rows
    data = lightgbm.Dataset(
        matrix[chosen],
        label=target[chosen],
        weight=None if weight is None else weight[chosen],
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


def raw_scores(model: Any, matrix: Matrix, threads: int) -> Floats:
    """A booster's raw scores, `(n,)`."""
    return np.asarray(model.predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)
