"""What the benchmarks on snapshots measure with: encoding, folds, and effects against a lot that is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import bank_marketing, hillstrom, superlender, taiwan
from experiments.benchmarks._snapshots import bootstrap, encode, random_folds
from experiments.benchmarks.hillstrom import Trial, _policy, fit_outcomes, qini


def _trial(n: int = 12_000) -> tuple[Trial, np.ndarray]:
    """A lot over three arms: the second adds 0.3 where the first of six columns is above zero, the third 0.1.

    With it the effects, `(n, 3)`.
    """
    generator = np.random.default_rng(7)
    matrix = generator.normal(size=(n, 6)).astype(np.float32)
    column = matrix[:, 0]
    effect = np.column_stack([np.zeros(n), np.where(column > 0, 0.3, 0.0), np.full(n, 0.1)])
    action = generator.integers(0, 3, n)
    outcome = generator.random(n) < 0.2 + effect[np.arange(n), action]
    return Trial(matrix, action, outcome.astype(np.float64)), effect


def test_texts_become_categories_and_blanks_are_missing() -> None:
    table = pd.DataFrame({"age": [30, 40, 50], "job": ["clerk", None, "nurse"]})
    found = encode(table, np.array([True, False, True]))
    assert found.categories == (1,)
    assert np.array_equal(found.matrix, np.array([[30, 0], [40, np.nan], [50, 1]]), equal_nan=True)


def test_folds_are_of_one_size() -> None:
    assert sorted(np.bincount(random_folds(103, 10, 1))) == [10] * 7 + [11] * 3


def test_the_bootstrap_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=2_000)
    low, high = bootstrap(lambda rows: float(values[rows].mean()), len(values))
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2_000), rel=0.15)


def test_effects_of_a_lot_are_found_again() -> None:
    trial, effect = _trial()
    predict = fit_outcomes(trial.matrix, trial.action, np.full(len(effect), 1 / 3), trial.outcome, (), 1)
    predicted = predict(trial.matrix)
    found = predicted - predicted[:, [0]]
    assert found.mean(axis=0) == pytest.approx(effect.mean(axis=0), abs=0.04)
    above = trial.matrix[:, 0] > 0
    assert found[above, 1].mean() > found[~above, 1].mean() + 0.05  # a pooled model shrinks what differs, but tells it


def test_the_qini_of_true_effects_is_that_of_their_areas() -> None:
    # Half of the customers gain 0.3, the rest nothing: the gain is 0.3 s up to s = 1/2, then 0.15, against 0.15 s.
    trial, effect = _trial(120_000)
    assert qini(trial, 1, effect[:, 1]) == pytest.approx(0.15 / 4, abs=0.005)
    assert qini(trial, 1, -effect[:, 1]) == pytest.approx(-0.15 / 4, abs=0.005)


def test_the_value_of_a_policy_is_what_it_would_bring() -> None:
    trial, effect = _trial(120_000)
    found = _policy(trial, effect.argmax(axis=1), 1)
    assert found["policy_value"] == pytest.approx(0.2 + (0.3 + 0.1) / 2, abs=0.01)
    assert found["best_arm_value"] == pytest.approx(0.2 + 0.15, abs=0.01)
    assert found["policy_gain_low"] < 0.05 < found["policy_gain_high"]


@pytest.mark.parametrize("main", [superlender.main, hillstrom.main, bank_marketing.main, taiwan.main])
def test_a_benchmark_says_where_its_data_are_missing(
    main: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RECOUP_REAL_DATA", raising=False)
    assert main() == 0
    assert "skipped" in capsys.readouterr().out
