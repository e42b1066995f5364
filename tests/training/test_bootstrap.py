"""The bootstrap by account: a weight is a moment written out so often, and all moments of an account go together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.bootstrap import (
    account_weights,
    ranking,
    weighted_auc,
    weighted_calibration_error,
    weighted_top_tenth_share,
)
from training.metrics import auc, calibration_error, money

#: Score (few values, so that there are ties), whether paid, what was paid, and how often the row counts.
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 900), st.integers(0, 3)), min_size=1, max_size=60
)


@settings(max_examples=60)
@given(ROWS)
def test_a_weighted_measure_is_that_of_the_rows_written_out(rows: list[tuple[int, bool, int, int]]) -> None:
    score, paid, amount, times = (np.array(column) for column in zip(*rows, strict=True))
    p, amount = score / 6, np.where(paid, amount, 0).astype(np.float64)
    out = np.repeat(np.arange(len(rows)), times)
    weight = times.astype(np.float64)
    if not 0 < paid[out].sum() < len(out):
        return
    assert weighted_auc(ranking(p), paid, weight) == pytest.approx(auc(p[out], paid[out]))
    found = weighted_calibration_error(ranking(p), p, paid, weight)
    assert found == pytest.approx(calibration_error(p[out], paid[out]))
    share = money(p[out], amount[out], paid[out])["top_tenth_money_share"]
    assert weighted_top_tenth_share(ranking(-p), amount, weight) == pytest.approx(share)


def test_all_moments_of_an_account_are_drawn_together() -> None:
    account = np.array([7, 7, 7, 2, 9, 9])
    for weight in account_weights(account, 50, 1):
        assert all(len(set(weight[account == one])) == 1 for one in (2, 7, 9))
        assert sum(weight[np.flatnonzero(account == one)[0]] for one in (2, 7, 9)) == 3


def test_repeated_moments_say_no_more_than_one() -> None:
    # An account written down ten times is still one account: the interval must not shrink.
    generator = np.random.default_rng(1)
    paid = generator.random(400) < 0.3
    once = [weight @ paid / weight.sum() for weight in account_weights(np.arange(400), 300, 1)]
    tenfold = np.repeat(np.arange(400), 10)
    ten = [weight @ paid[tenfold] / weight.sum() for weight in account_weights(tenfold, 300, 1)]
    assert np.std(ten) == pytest.approx(np.std(once))
