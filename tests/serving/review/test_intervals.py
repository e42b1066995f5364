"""Intervals hold what they are of as often as they claim, and few of many are coloured by chance."""

from __future__ import annotations

import numpy as np
import pytest

from serving.review.intervals import (
    beyond_noise,
    differences_between,
    money_ratios,
    payers_ratios,
    share_ratios,
    sum_ratios,
    unlike_the_rest,
)

WORLDS = 3_000


@pytest.mark.parametrize("accounts", [5, 40, 400])
@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.3])
def test_payers_are_covered_as_claimed(accounts: int, ratio: float) -> None:
    """Of unequal chances, all of them off by a factor; on average over worlds of other chances."""
    draw = np.random.default_rng([accounts, round(ratio * 10)])
    p = draw.beta(1.2, 6, (WORLDS, accounts))
    payers = (draw.random(p.shape) < np.minimum(p * ratio, 1)).sum(axis=1).astype(np.float64)
    truth = np.minimum(p * ratio, 1).sum(axis=1) / p.sum(axis=1)
    found = payers_ratios(payers, p.sum(axis=1), (p * (1 - p)).sum(axis=1))
    assert 0.935 <= ((found.low <= truth) & (truth <= found.high)).mean() <= 0.985
    if ratio == 1.0:
        assert (found.p_value < 0.05).mean() <= 0.065


@pytest.mark.parametrize("accounts", [200, 1_000])
def test_money_is_covered_as_claimed(accounts: int) -> None:
    """Of chances and sizes that differ, and skewed payments."""
    draw = np.random.default_rng(accounts)
    p, size = draw.beta(1.5, 6, (WORLDS, accounts)), draw.lognormal(5, 1, (WORLDS, accounts))
    paid = (draw.random(p.shape) < p) * size * draw.gamma(2, 0.5, p.shape)
    expected = p * size
    squares = ((paid**2).sum(axis=1), (expected**2).sum(axis=1), (paid * expected).sum(axis=1))
    found = money_ratios(paid.sum(axis=1), expected.sum(axis=1), squares)
    told = ~np.isnan(found.low)
    assert told.mean() > 0.95
    assert 0.935 <= ((found.low <= 1) & (found.high >= 1))[told].mean() <= 0.97


def test_outcomes_of_a_person_that_go_together_widen_the_interval() -> None:
    """Every person owes three debts and pays all of them or none."""
    draw = np.random.default_rng(5)
    p = draw.beta(1.5, 6, (WORLDS, 100))
    payers = 3.0 * (draw.random(p.shape) < p).sum(axis=1)
    predicted, variance = 3 * p.sum(axis=1), 3 * (p * (1 - p)).sum(axis=1)
    covers = {}
    for spread in (1.0, 3.0):
        found = payers_ratios(payers, predicted, variance, spread)
        covers[spread] = ((found.low <= 1) & (found.high >= 1)).mean()
    assert covers[1.0] < 0.8
    assert 0.935 <= covers[3.0] <= 0.97


def persons(draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of persons with one to four debts each: how many debts, and what share of them each is disposed to pay."""
    debts = draw.choice([1.0, 2, 3, 4], (WORLDS, n), p=[0.5, 0.3, 0.15, 0.05])
    return debts, draw.beta(0.6, 5.4, (WORLDS, n))


def squares_of(above: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(each.sum(axis=1) for each in (above**2, below**2, above * below))


@pytest.mark.parametrize("n", [30, 120, 600])
def test_shares_are_covered_as_claimed_where_debts_of_a_person_go_together(n: int) -> None:
    """Of one share of all in truth, a tenth; persons are drawn anew in each world."""
    draw = np.random.default_rng(n)
    debts, disposed = persons(draw, n)
    cured = draw.binomial(debts.astype(int), disposed).astype(np.float64)
    found = share_ratios(cured.sum(axis=1), debts.sum(axis=1), squares_of(cured, debts))
    assert 0.92 <= ((found.low <= 0.1) & (found.high >= 0.1)).mean() <= 0.98
    again, half = share_ratios(cured.sum(axis=1), debts.sum(axis=1), squares_of(cured, debts)), WORLDS // 2
    first, second = (
        type(found)(*(getattr(again, name)[part] for name in ("value", "low", "high", "p_value")))
        for part in (slice(half), slice(half, 2 * half))
    )
    assert (differences_between(first, second) < 0.05).mean() <= 0.065


@pytest.mark.parametrize("n", [60, 600])
def test_ratios_of_sums_are_covered_as_claimed(n: int) -> None:
    """What persons cost by what they pay: most pay nothing, a few much, and who costs more pays more."""
    draw = np.random.default_rng(n)
    worth = draw.gamma(1.5, 1.0, (WORLDS, n))
    cost = draw.poisson(3 * worth) * 0.5
    paid = (draw.random((WORLDS, n)) < 0.3) * worth * draw.gamma(2.0, 20.0, (WORLDS, n))
    found = sum_ratios(cost.sum(axis=1), paid.sum(axis=1), squares_of(cost, paid))
    told = ~np.isnan(found.low)
    truth = (1.5 * 3 * 0.5) / (1.5 * 0.3 * 40)
    assert told.mean() > 0.9
    assert 0.93 <= ((found.low <= truth) & (found.high >= truth))[told].mean() <= 0.975


def test_nobody_and_everybody_have_an_interval_too() -> None:
    counts, of, nothing = np.array([0.0, 40.0, 0.0]), np.array([40.0, 40.0, 0.0]), np.zeros(3)
    found = share_ratios(counts, of, (counts, of, counts))
    assert found.low[0] == 0
    assert 0.05 < found.high[0] < 0.12
    assert found.high[1] == 1
    assert 0.88 < found.low[1] < 0.95
    assert np.isnan(found.high[2])
    assert np.isnan(sum_ratios(nothing, of, (nothing, of, nothing)).low).all()


def test_few_of_many_are_coloured_by_chance_and_those_that_are_off_are() -> None:
    draw = np.random.default_rng(7)
    false, tables, found_off = 0, 300, 0
    for _ in range(tables):
        p = draw.beta(2, 8, (40, 300))
        truth = p * np.where(np.arange(40) == 11, 1.6, 1.0)[:, None]
        payers = (draw.random(p.shape) < truth).sum(axis=1).astype(np.float64)
        beyond = beyond_noise(payers_ratios(payers, p.sum(axis=1), (p * (1 - p)).sum(axis=1)).p_value)
        found_off += int(beyond[11])
        false += int(np.delete(beyond, 11).any())
    assert found_off > 0.95 * tables
    assert false < 0.12 * tables


@pytest.mark.parametrize("level", [0.8, 1.0, 1.4])
def test_what_is_off_everywhere_is_no_matter_of_one_row(level: float) -> None:
    draw = np.random.default_rng(8)
    false, tables, found_off = 0, 300, 0
    for _ in range(tables):
        p = draw.beta(2, 8, (12, 300))
        for off in (1.0, 1.7):
            truth = p * level * np.where(np.arange(12) == 5, off, 1.0)[:, None]
            payers = (draw.random(p.shape) < truth).sum(axis=1).astype(np.float64)
            apart = beyond_noise(unlike_the_rest(payers, p.sum(axis=1)))
            if off == 1.0:
                false += int(apart.any())
            else:
                found_off += int(apart[5])
    assert found_off > 0.9 * tables
    assert false < 0.07 * tables


def test_a_row_without_a_rest_is_unlike_nothing() -> None:
    assert np.isnan(unlike_the_rest(np.array([5.0]), np.array([9.0]))).all()
    assert np.isnan(unlike_the_rest(np.array([0.0, 0.0]), np.array([3.0, 4.0]))).all()
    assert np.isnan(unlike_the_rest(np.array([1.0, 2.0]), np.array([0.0, 4.0]))).all()


def test_extremes_are_told_without_a_warning() -> None:
    counts = np.array([0.0, 3.0, 0.0, 1.0])
    predicted, variance = np.array([0.0, 3.0, 2.0, 0.01]), np.array([0.0, 0.0, 1.0, 0.0099])
    found = payers_ratios(counts, predicted, variance)
    assert np.isnan(found.value[0])
    assert found.high[1] == np.inf
    assert found.low[2] == 0
    assert found.low[3] > 1
    nothing = np.zeros(2)
    money = money_ratios(nothing, np.array([0.0, 5.0]), (nothing, nothing, nothing))
    assert np.isnan(money.low).all()
    assert money.value[1] == 0
