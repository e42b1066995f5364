"""Drift: what has moved is found, what has not is left alone, and intervals hold what they should."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.progress import Progress

from experiments.watch.drift import (
    MOST_WEIGHT,
    SMALLEST_SHARE,
    effective_size,
    judge,
    matured,
    metrics,
    money_ratio,
    payers_ratio,
    psi,
    shift,
    weights_as,
)
from experiments.watch.monitoring import matured_moment, monitor_model
from features.errors import SettingsError
from features.histories import Histories
from features.units import DAY, format_instant, parse_instant
from serving.drift import Limits, Report
from serving.scoring import Scorer, prepare_scorer
from tests.training.world import histories, quick_settings, task
from training.metrics import auc, expected_auc, expected_brier
from training.reference import Column, distribution, shares_in
from training.settings import read_sections
from training.train import Trained, train

LIMITS = read_sections(Limits, "experiments.watch", "monitor.toml", None)
_SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=12)


@cache
def trained() -> Trained:
    return train(histories(), quick_settings(), task(), Progress(disable=True))


@cache
def scorer() -> Scorer:
    return prepare_scorer(replace(trained().bundle, label="small/1"))


def _as_of() -> int:
    return trained().cuts.data_end // DAY * DAY


@cache
def _clean() -> Report:
    return _monitored(histories())


@cache
def _doubled() -> Report:
    doubled = histories().accounts._replace(numeric=histories().accounts.numeric * 2)
    return _monitored(replace(histories(), accounts=doubled))


def _monitored(of: Histories) -> Report:
    return monitor_model(scorer(), of, _as_of(), 1, lambda _: None)


# ------------------------------------------------------------------------------------------------- before outcomes


@given(_SHARES, st.data())
def test_the_index_is_that_of_a_plain_loop(expected: list[float], data: st.DataObject) -> None:
    actual = data.draw(st.lists(st.floats(0, 1), min_size=len(expected), max_size=len(expected)))
    slow = 0.0
    for one, other in zip(expected, actual, strict=True):
        e, a = max(one, SMALLEST_SHARE), max(other, SMALLEST_SHARE)
        slow += a * np.log(a) - a * np.log(e) + e * np.log(e) - e * np.log(a)
    found = psi(np.array(expected), np.array(actual))
    assert found == pytest.approx(slow, abs=1e-9)
    assert found >= -1e-12
    assert psi(np.array(actual), np.array(expected)) == pytest.approx(found, abs=1e-9)


def test_an_empty_bin_is_large_and_finite() -> None:
    assert psi(np.array([1.0, 0.0]), np.array([0.9, 0.1])) == pytest.approx(
        0.1 * np.log(1000) + 0.1 * np.log(1 / 0.9), rel=0.01
    )


def test_without_a_shift_chance_alone_is_exceeded_about_once_in_a_thousand_times() -> None:
    draw = np.random.default_rng(1)
    beyond, n_draws = 0, 2000
    for _ in range(n_draws):
        before, now = (draw.gamma(2, size=size).astype(np.float32) for size in (400, 250))
        bins = distribution(before)
        found = shift("any", bins, now, 400)
        beyond += found.psi > found.by_chance
    # The formula is for large samples: among so few accounts it is simulated at 2.5 in a thousand.
    assert beyond / n_draws < 0.005


def test_a_shift_is_beyond_chance_also_among_few_accounts() -> None:
    draw = np.random.default_rng(2)
    before, now = draw.gamma(2, size=400).astype(np.float32), 2 * draw.gamma(2, size=250).astype(np.float32)
    bins = distribution(before)
    found = shift("any", bins, now, 400)
    assert found.psi > max(found.by_chance, LIMITS.psi.shifted)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_weights_give_a_column_the_shares_of_its_reference(before: list[int], now: list[int]) -> None:
    column, bins = np.array(now, dtype=np.float32), distribution(np.array(before, dtype=np.float32))
    weights = weights_as(column, bins)
    assert weights.mean() == pytest.approx(1)
    assert 1 <= effective_size(weights) <= len(now) + 1e-9
    there = shares_in(column, bins) > 0
    wanted = np.minimum(np.array(bins.shares), MOST_WEIGHT * shares_in(column, bins))
    if wanted.any():
        assert shares_in(column, bins, weights) == pytest.approx(np.where(there, wanted, 0.0) / wanted.sum())


def _aged(n: int, oldest: float, draw: np.random.Generator) -> tuple[Column, Column, Column]:
    """Ages up to the oldest, what grows with them, and what does not."""
    age = draw.uniform(0, oldest, n)
    grown, size = age + draw.normal(0, 10, n), draw.gamma(2, size=n)
    return age.astype(np.float32), grown.astype(np.float32), size.astype(np.float32)


def test_what_only_grew_older_has_not_moved_and_what_doubled_has() -> None:
    draw = np.random.default_rng(8)
    (age_then, grown_then, size_then), (age, grown, size) = _aged(2000, 150, draw), _aged(1500, 250, draw)
    weights = weights_as(age, distribution(age_then))
    assert shift("grown", distribution(grown_then), grown, 2000).psi > LIMITS.psi.shifted
    older = shift("grown", distribution(grown_then), grown, 2000, weights)
    assert older.psi < max(LIMITS.psi.warn, older.by_chance)
    doubled = shift("size", distribution(size_then), 2 * size, 2000, weights)
    assert doubled.psi > max(LIMITS.psi.shifted, doubled.by_chance)


def test_what_differs_only_among_accounts_of_one_age_has_not_moved() -> None:
    # Two thirds came when the portfolio began, of another kind; the others are younger. All are 100 days older now.
    draw = np.random.default_rng(9)
    first = draw.random(2000) < 2 / 3
    age_then = np.where(first, 150, draw.uniform(0, 150, 2000)).astype(np.float32)
    age_now = np.where(first, 250, draw.uniform(0, 250, 2000)).astype(np.float32)
    kind = np.where(first, draw.gamma(9, size=2000), draw.gamma(2, size=2000)).astype(np.float32)
    bins, weights = distribution(kind), weights_as(age_now, distribution(age_then))
    assert psi(np.array(bins.shares), shares_in(kind, bins, weights)) > LIMITS.psi.warn
    assert shift("kind", bins, kind, 2000, weights).psi == pytest.approx(0, abs=1e-6)


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]), min_size=2, max_size=6))
def test_the_expected_ranking_is_that_over_all_outcomes(chances: list[float]) -> None:
    # Won pairs by all pairs, each averaged over every outcome there can be with its probability.
    p = np.array(chances)
    won = pairs = brier = 0.0
    for outcome in product([False, True], repeat=len(p)):
        paid = np.array(outcome)
        weight = float(np.prod(np.where(paid, p, 1 - p)))
        payer, other = p[paid][:, None], p[~paid][None, :]
        pairs += weight * payer.size * other.size
        won += weight * float((payer > other).sum() + 0.5 * (payer == other).sum())
        brier += weight * float(((p - paid) ** 2).mean())
    assert expected_auc(p) == pytest.approx(won / pairs)
    assert expected_brier(p) == pytest.approx(brier)


def test_the_expected_auc_is_close_to_the_mean_of_what_is_reached() -> None:
    # The ratio of two expectations is not the expectation of the ratio, but close to it among some hundred accounts.
    draw = np.random.default_rng(3)
    p = draw.beta(1, 8, 400)
    reached = [auc(p, draw.random(400) < p) for _ in range(300)]
    assert expected_auc(p) == pytest.approx(np.mean(reached), abs=0.01)


# -------------------------------------------------------------------------------------------------- after outcomes


def test_the_interval_of_payers_covers_what_was_expected() -> None:
    draw = np.random.default_rng(4)
    p = draw.beta(1, 12, 500)
    found = [payers_ratio(p, draw.random(500) < p) for _ in range(400)]
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= 0.94


@pytest.mark.parametrize(("n", "least"), [(60, 0.93), (2000, 0.93)])
def test_the_interval_of_money_covers_what_was_expected(n: int, least: float) -> None:
    # Amounts with a long tail, and a handful of payments in the smaller case.
    draw = np.random.default_rng(5)
    p, usual = draw.beta(1, 12, n), draw.gamma(2, 50, n)
    found = []
    for _ in range(400):
        amount = np.where(draw.random(n) < p, usual * draw.lognormal(-0.32, 0.8, n), 0.0)
        found.append(money_ratio(p, p * usual, amount))
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= least
    assert all(0 <= one.low <= one.high for one in found)


def test_of_no_payment_the_interval_says_how_much_could_have_been() -> None:
    found = money_ratio(np.full(10, 0.1), np.full(10, 5.0), np.zeros(10))
    assert (found.ratio, found.low) == (0.0, 0.0)
    # One payer expected, of 50: none seen, and up to 3.7 of them not excluded.
    assert found.high == pytest.approx(3.69, abs=0.01)


def test_bands_add_up_to_the_whole() -> None:
    draw = np.random.default_rng(6)
    p, band = draw.random(200), np.array(list("AB"), dtype=object)[draw.integers(0, 2, 200)]
    found = matured("then", p, p * 10, band, draw.random(200) < p, draw.gamma(1, 10, 200))
    assert sum(one.payers.actual for one in found.bands) == found.whole.payers.actual
    assert sum(one.money.expected for one in found.bands) == pytest.approx(found.whole.money.expected)
    assert found.auc_low < found.auc < found.auc_high


# ------------------------------------------------------------------------------------------------------- the world


def test_an_attribute_that_doubled_is_caught_and_one_that_did_not_is_not() -> None:
    limits = replace_psi(least_gain=0.0)
    name = "PSI of attribute_utilisation"
    assert name in {one.what for one in judge(_doubled(), limits) if not one.warns}
    assert name not in {one.what for one in judge(_clean(), limits)}


def test_accounts_that_grew_older_are_told_and_are_no_shift() -> None:
    report = _clean()
    age = next(one for one in report.features if one.ageing)
    assert age.name == "days_since_placed"
    assert age.psi > LIMITS.psi.shifted
    assert report.as_old < report.accounts
    assert not [one.text for one in judge(report, LIMITS) if not one.warns and one.what.startswith("PSI")]


def replace_psi(**changes: float) -> Limits:
    document = msgspec.to_builtins(LIMITS)
    document["psi"] |= changes
    return msgspec.convert(document, Limits)


def test_what_the_model_hardly_uses_is_shown_and_not_judged() -> None:
    report = _doubled()
    named = {one.what for one in judge(report, replace_psi(least_gain=1.0))}
    assert not any("attribute" in name for name in named)
    assert {one.name for one in report.features} == set(scorer().bundle.manifest.features)


def test_the_calendar_is_never_a_shift() -> None:
    # At one moment there is one month: whatever it is, it is not how a year was.
    report = _clean()
    calendar = {one.name for one in report.features if one.calendar}
    assert "calendar_month" in calendar
    assert not any(name in one.what for one in judge(report, replace_psi(least_gain=0.0)) for name in calendar)


def test_outcomes_that_matured_are_of_unseen_time_and_were_known() -> None:
    report, cut = _clean(), trained().cuts.until
    assert report.matured is not None
    then = matured_moment(histories(), 30, _as_of())
    assert report.matured.as_of == format_instant(then)
    assert cut <= then <= _as_of() - 30 * DAY
    earlier = monitor_model(scorer(), histories(), cut + 10 * DAY, 1, lambda _: None)
    assert earlier.matured is None
    # It says when the first of them should be known, and then they are.
    assert earlier.matures_at is not None
    for days, is_known in ((-1, False), (2, True)):
        at = parse_instant(earlier.matures_at) + days * DAY
        assert (monitor_model(scorer(), histories(), at, 1, lambda _: None).matured is not None) == is_known


def test_a_level_that_fell_passes_the_limit_and_a_right_one_does_not() -> None:
    draw = np.random.default_rng(7)
    p, band = draw.beta(1, 6, 3000), np.full(3000, "A", dtype=object)
    report = replace(_clean(), scores=(), features=(), expected_auc=1.0, holdout_auc=None)
    for factor, wanted in ((1.0, set()), (0.5, {"payers", "money"}), (2.0, {"payers", "money"})):
        paid = draw.random(3000) < p * factor
        found = matured("then", p, p * 10, band, paid, np.where(paid, 10.0, 0.0))
        passed = judge(replace(report, matured=found), LIMITS)
        assert {one.of.partition("_")[0] for one in passed} == wanted


def test_a_fallen_ranking_passes_the_limit() -> None:
    report = _clean()
    quiet = replace(report, scores=(), features=(), matured=None)
    assert judge(quiet, LIMITS) == ()
    assert [one.what for one in judge(replace(quiet, reference_auc=0.99), LIMITS)] == ["Expected AUC"]
    assert report.matured is not None
    whole = replace(report.matured, auc=0.5, auc_high=0.55)
    named = {one.what for one in judge(replace(quiet, matured=whole, holdout_auc=0.8), LIMITS)}
    assert "AUC reached, upper end of its interval" in named


def test_metrics_are_numbers() -> None:
    report = _clean()
    found = metrics(report, judge(report, LIMITS))
    assert all(np.isfinite(value) for value in found.values())
    assert {"psi/p_pay", "expected_auc", "matured/all/payers_actual_by_expected", "limits_passed"} <= set(found)


def test_an_unknown_limit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[psi]\nshifts = 0.3\n")
    with pytest.raises(SettingsError, match=r"shifts.*experiments/watch/monitor.toml"):
        read_sections(Limits, "experiments.watch", "monitor.toml", path)
