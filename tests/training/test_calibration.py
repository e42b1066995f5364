"""Links: tables that stand for curves, and levels that follow the latest outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from training.bundle import Link
from training.calibration import exponential_link, sigmoid_link


def _outcomes(level: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    raw = generator.normal(-2, 1.5, n)
    return raw, generator.random(n) < expit(0.6 * raw + level)


def test_the_sigmoid_is_found_again() -> None:
    raw, paid = _outcomes(level=-0.5)
    link = sigmoid_link(raw, paid, np.ones(len(raw), dtype=bool))
    assert np.abs(link(raw) - expit(0.6 * raw - 0.5)).max() < 0.03


def test_the_level_is_that_of_the_latest_outcomes() -> None:
    # Payment levels drift: the mean probability must be the rate of the latest outcomes, not of all.
    raw, paid = _outcomes(level=-0.5)
    latest = np.arange(len(raw)) >= 15_000
    paid[latest] &= np.random.default_rng(2).random(latest.sum()) < 0.5
    link = sigmoid_link(raw, paid, latest)
    assert link(raw[latest]).mean() == pytest.approx(paid[latest].mean(), abs=1e-4)


def test_scores_without_signal_give_the_base_rate() -> None:
    generator = np.random.default_rng(3)
    raw, paid = generator.normal(size=5000), generator.random(5000) < 0.1
    paid[np.argsort(raw)[:200]] = True  # against the scores, so that the slope would be below zero
    link = sigmoid_link(raw, paid, np.ones(5000, dtype=bool))
    assert np.ptp(link(raw)) < 1e-9
    assert link(raw)[0] == pytest.approx(paid.mean(), abs=1e-4)


@given(st.lists(st.floats(-12, 12), min_size=2, max_size=50))
def test_a_table_stays_close_to_its_curve_and_rises(raws: list[float]) -> None:
    raw = np.sort(np.array(raws))
    link = exponential_link(raw, 2.0)
    assert np.allclose(link(raw), 2 * np.exp(raw), rtol=1e-3)
    assert np.all(np.diff(link(raw)) >= 0)


def test_a_link_is_flat_beyond_its_ends() -> None:
    link = Link((0.0, 1.0), (0.2, 0.4))
    assert link(np.array([-9.0, 0.5, 9.0])).tolist() == pytest.approx([0.2, 0.3, 0.4])
