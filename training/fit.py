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

    def parameters(self) -> dict[str, Any]:
        """The parameters as LightGBM names them; the same result for any number of threads."""
        return {
            "objective": self.objective,
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


def held_out(
    learner: Learner,
    matrix: Matrix,
    target: Floats,
    weight: Floats | None,
    fold: Rows,
    on_tree: OnTree,
    predict: Callable[[Any, Rows], Floats] | None = None,
) -> Floats:
    """Raw scores for every row by a model that saw no row of its account's fold.

    Args:
        learner: how to fit.
        matrix: `(n, n_features)` float32.
        target: `(n,)`.
        weight: `(n,)` or None.
        fold: `(n,)`, the fold of each row's account.
        on_tree: called after each tree.
        predict: what to ask of a fold's model for its rows; their raw scores when None.

    Returns:
        `(n,)`, or whatever further shape `predict` gives each row.
    """
    parts: list[tuple[Rows, Floats]] = []
    for held in np.unique(fold):
        model = fit(learner, matrix, target, weight, on_tree, np.flatnonzero(fold != held))
        rows = np.flatnonzero(fold == held)
        raw = raw_scores(model, matrix[rows], learner.threads) if predict is None else predict(model, rows)
        parts.append((rows, raw))
    found = np.empty((len(matrix), *parts[0][1].shape[1:]))
    for rows, raw in parts:
        found[rows] = raw
    return found


def raw_scores(model: Any, matrix: Matrix, threads: int) -> Floats:
    """A booster's raw scores, `(n,)`."""
    return np.asarray(model.predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)
