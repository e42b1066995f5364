"""Fitting: held-out scores come from models that did not see the account; trees stop where they no longer help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from training.bundle import Floats
from training.fit import Learner, cross_fit, fit, fold_models, held_out, raw_scores
from training.settings import TreeSettings

TREES = TreeSettings(
    trees=48, learning_rate=0.2, leaves=8, min_rows_per_leaf=5, row_share=0.8, feature_share=1.0, l2=1.0
)


def _rows(n: int, signal: float) -> tuple[np.ndarray, Floats, np.ndarray]:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(n, 5)).astype(np.float32)
    p = 1 / (1 + np.exp(2 - signal * matrix[:, 0]))
    return matrix, (generator.random(n) < p).astype(np.float64), np.arange(n) % 3


def _learner(objective: str = "binary") -> Learner:
    return Learner(objective, TREES, (), seed=1, threads=1)


def test_without_signal_fewer_trees_are_kept_than_with_it() -> None:
    plain = cross_fit(_learner(), *_arguments(_rows(600, signal=0.0))).model
    told = cross_fit(_learner(), *_arguments(_rows(6_000, signal=2.0))).model
    assert plain.num_trees() < told.num_trees() <= TREES.trees


@pytest.mark.parametrize("objective", ["binary", "gamma"])
def test_the_held_out_scores_are_those_of_models_of_that_size(objective: str) -> None:
    matrix, target, fold = _rows(1_200, signal=1.0)
    target = target if objective == "binary" else target + 0.1
    crossed = cross_fit(_learner(objective), matrix, target, None, fold, lambda: None)
    model, raw = crossed.model, crossed.raw
    size = model.num_trees()
    models = fold_models(_learner(objective), matrix, target, None, fold, lambda: None)
    expected = held_out(
        models, fold, lambda one, rows: np.asarray(one.predict(matrix[rows], raw_score=True, num_iteration=size))
    )  # fmt: skip
    assert np.allclose(raw, expected, atol=1e-9)
    assert np.array_equal(crossed.held_out(matrix, fold, 1), expected)
    whole = fit(_learner(objective), matrix, target, None, lambda: None)
    first = np.asarray(whole.predict(matrix, raw_score=True, num_iteration=size))
    assert np.allclose(raw_scores(model, matrix, 1), first, atol=1e-9)


def test_no_row_is_scored_by_a_model_that_saw_its_fold() -> None:
    matrix, target, fold = _rows(900, signal=1.0)
    flipped = np.where(fold == 0, 1 - target, target)
    size = TREES.trees
    scores = [
        held_out(
            fold_models(_learner(), matrix, each, None, fold, lambda: None),
            fold,
            lambda one, rows: np.asarray(one.predict(matrix[rows], raw_score=True, num_iteration=size)),
        )
        for each in (target, flipped)
    ]
    assert np.array_equal(scores[0][fold == 0], scores[1][fold == 0])
    assert not np.array_equal(scores[0][fold != 0], scores[1][fold != 0])


def _arguments(rows: tuple[np.ndarray, Floats, np.ndarray]) -> tuple[Any, Floats, None, Any, Callable[[], None]]:
    matrix, target, fold = rows
    return matrix, target, None, fold, lambda: None
