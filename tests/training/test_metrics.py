"""Sampling errors, stability over time, and the gain by predicted uplift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from features.units import DAY
from training.metrics import auc, auc_draws, auc_error, by_month, qini_curve, stability


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_a_draw_is_the_auc_of_the_moments_of_accounts_drawn_anew(rows: list[tuple[int, bool, int]]) -> None:
    # A second implementation: the drawn rows are put together and given to another library. Few scores, so many ties.
    score, paid, account = (np.array(column) for column in zip(*rows, strict=True))
    found = auc_draws(score.astype(float), paid, account, seed=5, draws=4)
    accounts = np.unique(account)
    generator = np.random.default_rng(5)
    for value in found:
        drawn = accounts[generator.integers(0, len(accounts), len(accounts))]
        rows_drawn = np.concatenate([np.flatnonzero(account == one) for one in drawn])
        if 0 < paid[rows_drawn].sum() < len(rows_drawn):
            assert value == pytest.approx(roc_auc_score(paid[rows_drawn], score[rows_drawn]))
        else:
            assert np.isnan(value)


def test_the_error_of_the_auc_is_how_far_samples_of_the_same_world_differ() -> None:
    generator = np.random.default_rng(1)

    def sample() -> tuple[np.ndarray, np.ndarray]:
        paid = generator.random(1_000) < 0.2
        return generator.normal(size=1_000) + paid, paid

    spread = np.std([auc(*sample()) for _ in range(200)])
    assert auc_error(*sample(), np.arange(1_000)) == pytest.approx(spread, rel=0.25)


def test_rows_that_repeat_an_account_do_not_make_the_error_smaller() -> None:
    generator = np.random.default_rng(2)
    paid = generator.random(400) < 0.3
    score, account = generator.normal(size=400) + paid, np.arange(400)
    once = auc_error(score, paid, account)
    assert auc_error(np.tile(score, 4), np.tile(paid, 4), np.tile(account, 4)) == pytest.approx(once)


def test_what_cannot_be_told_is_missing() -> None:
    nobody = stability(np.array([0.1, 0.2]), np.array([False, False]), np.ones(2), np.zeros(2), np.arange(2))
    assert {name for name, value in nobody.items() if np.isnan(value)} == set(nobody) - {"moments", "payers"}
    assert np.isnan(auc_error(np.array([0.1, 0.2]), np.array([True, True]), np.arange(2)))


def test_each_month_has_its_own_moments() -> None:
    as_of = np.array([0, 30, 31, 40, 58]) * DAY
    paid = np.array([True, False, True, False, True])
    table = by_month(as_of, np.full(5, 0.5), paid, np.full(5, 10.0), paid * 20.0, np.arange(5))
    assert table["period"].tolist() == ["1970-01", "1970-02"]
    assert table["moments"].tolist() == [2, 3]
    assert table["payers_predicted_to_actual"].tolist() == [1.0, 0.75]
    assert table["money_predicted_to_actual"].tolist() == [1.0, 0.75]


def test_treating_all_gains_the_mean_effect_whatever_the_order() -> None:
    generator = np.random.default_rng(3)
    effect = generator.normal(size=50)
    ends = [qini_curve(generator.normal(size=50), effect)[1][-1] for _ in range(3)]
    assert ends == pytest.approx([effect.mean()] * 3)


def test_no_order_gains_more_than_that_of_the_effects_themselves() -> None:
    generator = np.random.default_rng(4)
    effect = generator.normal(size=50)
    _, most = qini_curve(effect, effect)
    _, some = qini_curve(generator.normal(size=50), effect)
    assert np.all(most >= some - 1e-12)
