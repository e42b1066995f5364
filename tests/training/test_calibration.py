"""Links: tables that stand for curves; levels that are followed through time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from features.units import DAY
from training.bundle import Level, Link
from training.calibration import (
    UNKNOWN,
    fit_sigmoid,
    link_of,
    money_level,
    probability_level,
    with_more_log_odds,
)

HORIZON = 30


def _outcomes(level: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    raw = generator.normal(-2, 1.5, n)
    return raw, generator.random(n) < expit(0.6 * raw + level)


def _drifting(
    shift: np.ndarray, n: int = 8_000, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions of 10 % for `n` accounts in each of some periods, whose log-odds are really off by `shift`."""
    generator = np.random.default_rng(seed)
    period = np.repeat(np.arange(len(shift)), n)
    p = np.full(len(period), 0.1)
    paid = generator.random(len(period)) < expit(logit(p) + shift[period])
    return p, paid, np.arange(len(period)), period * HORIZON * DAY


def test_the_sigmoid_is_found_again() -> None:
    raw, paid = _outcomes(level=-0.5)
    sigmoid = fit_sigmoid(raw, paid)
    assert np.abs(sigmoid(raw) - expit(0.6 * raw - 0.5)).max() < 0.03


def test_scores_without_signal_give_the_base_rate() -> None:
    generator = np.random.default_rng(3)
    raw, paid = generator.normal(size=5000), generator.random(5000) < 0.1
    paid[np.argsort(raw)[:200]] = True  # against the scores, so that the slope would be below zero
    p = fit_sigmoid(raw, paid)(raw)
    assert np.ptp(p) < 1e-9
    assert p[0] == pytest.approx(paid.mean(), abs=1e-4)


def test_a_level_that_has_moved_is_followed() -> None:
    level = probability_level(*_drifting(np.array([0.0, 0.0, 0.1, -0.1, 0.0, 0.9, 1.0])), HORIZON, UNKNOWN)
    assert level.value == pytest.approx(1.0, abs=0.12)
    assert level.step > 0


def test_a_level_that_stands_still_is_the_mean_of_all_periods() -> None:
    # Else the noise of the latest period alone, which is several times that of all, would be taken for the level.
    p, paid, account, as_of = _drifting(np.full(9, 0.3), n=1_500, seed=4)
    level = probability_level(p, paid, account, as_of, HORIZON, UNKNOWN)
    assert level.value == pytest.approx(logit(paid.mean()) - logit(0.1), abs=0.05)
    assert np.sqrt(level.variance) < 0.05


def test_the_error_of_a_level_is_what_it_says() -> None:
    found = [probability_level(*_drifting(np.full(6, 0.2), n=600, seed=seed), HORIZON, UNKNOWN) for seed in range(60)]
    off = np.array([(level.value - 0.2) / np.sqrt(level.variance) for level in found])
    assert 0.7 < np.sqrt((off**2).mean()) < 1.4


def test_moments_of_one_account_count_once() -> None:
    p, paid, account, as_of = _drifting(np.full(5, 0.2), n=1_000)
    alone = probability_level(p, paid, account, as_of, HORIZON, UNKNOWN)
    each, again = np.repeat(np.arange(len(p)), 4), np.repeat(account, 4)
    repeated = probability_level(p[each], paid[each], again, as_of[each], HORIZON, UNKNOWN)
    assert repeated.value == pytest.approx(alone.value)
    assert repeated.variance == pytest.approx(alone.variance)


def test_a_known_level_goes_on_from_where_it_stood() -> None:
    p, paid, account, as_of = _drifting(np.array([0.4]), n=2_000)
    sure, unsure = (probability_level(p, paid, account, as_of, HORIZON, Level(0.0, 1e-6, step)) for step in (0.0, 1.0))
    assert abs(sure.value) < 0.01
    assert unsure.value == pytest.approx(0.4, abs=0.2)


def test_a_period_without_payments_says_nothing_and_lets_the_level_drift() -> None:
    p, paid, account, as_of = _drifting(np.zeros(2), n=500)
    paid[as_of > 0] = False
    level = probability_level(p, paid, account, as_of, HORIZON, Level(0.1, 0.01, 0.05))
    first = as_of == 0
    before = probability_level(p[first], paid[first], account[first], as_of[first], HORIZON, Level(0.1, 0.01, 0.05))
    assert level.value == before.value
    assert level.variance == pytest.approx(before.variance + 0.05)


def test_money_that_is_modelled_by_half_is_doubled() -> None:
    generator = np.random.default_rng(5)
    actual = generator.gamma(0.5, 200, 20_000) * (generator.random(20_000) < 0.2)
    modelled, account = np.full(20_000, actual.mean() / 2), np.arange(20_000)
    as_of = (account % 8) * HORIZON * DAY
    level = money_level(modelled, actual, account, as_of, HORIZON, UNKNOWN)
    assert np.exp(level.value) == pytest.approx(2.0, rel=0.1)


@given(st.lists(st.floats(-12, 12), min_size=2, max_size=50))
def test_a_table_stays_close_to_its_curve_and_rises(raws: list[float]) -> None:
    raw = np.sort(np.array(raws))
    link = link_of(raw, lambda points: 2 * np.exp(points))
    assert np.allclose(link(raw), 2 * np.exp(raw), rtol=1e-3)
    assert np.all(np.diff(link(raw)) >= 0)


def test_more_log_odds_are_added_everywhere() -> None:
    link = link_of(np.array([-3.0, 3.0]), expit)
    raw = np.linspace(-4, 4, 9)
    assert np.allclose(with_more_log_odds(link, 0.5)(raw), expit(raw + 0.5), atol=1e-5)


def test_a_link_is_flat_beyond_its_ends() -> None:
    link = Link((0.0, 1.0), (0.2, 0.4))
    assert link(np.array([-9.0, 0.5, 9.0])).tolist() == pytest.approx([0.2, 0.3, 0.4])
