"""Backtests, ablation and learning curves: each model is asked about its own later time, and all about the same."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from experiments.families import families_of, remove_families
from experiments.studies.backtest import Backtested, backtest, over_time
from experiments.studies.learning import SHARES, learning_curve
from experiments.studies.question import Question, put
from features.errors import HistoryError
from features.units import DAY
from tests.training.world import NOW, histories, quick_settings, task
from training.holdout import during
from training.metrics import auc
from training.moments import cut_time, is_paid
from training.plots import qini, stability, write_figure
from training.train import Trained, train

HORIZON = 30


@cache
def question() -> Question:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    return put(histories(), cuts, cuts.test_end, cuts.data_end, HORIZON, quick_settings())


@cache
def two_cuts() -> list[Backtested]:
    return backtest(histories(), quick_settings(), task(), 2, 1, Progress(disable=True))


def trained_at(until: int) -> Trained:
    return train(histories(), quick_settings(), task(until), Progress(disable=True))


# --------------------------------------------------------------------------------------------------------- backtest


def test_each_cut_is_asked_about_the_horizon_after_it_alone() -> None:
    for one in two_cuts():
        as_of = one.holdout.moments.as_of
        assert as_of.min() >= one.origin.cuts.until
        assert as_of.max() < one.origin.cuts.until + HORIZON * DAY
        assert len(np.unique(one.holdout.moments.account)) == len(as_of)
    first, last = two_cuts()
    assert last.origin.cuts.until - first.origin.cuts.until == HORIZON * DAY
    assert over_time(two_cuts())["period"].tolist() == [first.name, last.name]


def test_a_cut_reached_what_training_until_then_reaches() -> None:
    # With a cut one horizon before the end, the whole later time of a training run is the stretch of the backtest.
    last = two_cuts()[-1]
    trained = trained_at(last.origin.cuts.until)
    assert trained.holdout is not None
    same = during(trained.holdout, last.origin.cuts.until, last.origin.end)
    assert same is not None
    assert same.metrics == last.holdout.metrics
    assert np.array_equal(same.p_pay, last.holdout.p_pay)


def test_parts_of_a_holdout_are_the_whole_and_measured_alike() -> None:
    whole = trained_at(two_cuts()[0].origin.cuts.until).holdout
    assert whole is not None
    begin, end = int(whole.moments.as_of.min()), int(whole.moments.as_of.max()) + 1
    again = during(whole, begin, end)
    assert again is not None
    assert again.metrics == whole.metrics
    assert again.bands.equals(whole.bands)
    parts = [during(whole, begin, begin + 20 * DAY), during(whole, begin + 20 * DAY, end)]
    assert sum(part.metrics["payers"] for part in parts if part) == whole.metrics["payers"]
    assert sum(part.bands["actual_amount"].sum() for part in parts if part) == pytest.approx(whole.net_amount.sum())
    assert during(whole, end, end + DAY) is None


def test_a_backtest_without_history_is_one_clear_error() -> None:
    begin = int(histories().accounts.placed_at.min())
    with pytest.raises(HistoryError, match="a backtest needs a history that holds 1 cuts"):
        backtest(histories(), quick_settings(), task(begin + 40 * DAY), 2, 1, Progress(disable=True))


# ------------------------------------------------------------------------------------- ablation and learning curves


def test_each_family_is_taken_away_once() -> None:
    told: list[int] = []
    whole, *without = remove_families(question(), quick_settings(), lambda: told.append(1))
    assert [step.families for step in without] == [(family,) for family in families_of(question())]
    assert len(told) == 1 + len(without)
    # What is taken away in turn is all there is.
    assert sum(whole.features - step.features for step in without) == whole.features
    assert all(step.gain == pytest.approx(step.auc - whole.auc) for step in without)
    assert all(step.gain_low <= step.gain_high for step in without)


def test_each_share_of_the_accounts_is_larger_and_the_last_is_all() -> None:
    points = learning_curve(histories(), question(), quick_settings(), lambda: None)
    assert all(less.accounts < more.accounts and less.payers < more.payers for less, more in pairwise(points))
    assert points[-1].share == SHARES[-1] == 1
    raw = question().answer(quick_settings(), lambda: None)
    assert points[-1].auc == auc(raw, is_paid(question().asked, quick_settings().payment))
    assert points[0].payers >= 30, "a share that cannot be learned from is left out"


def test_a_question_about_time_that_has_not_come_is_one_clear_error() -> None:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    with pytest.raises(HistoryError, match="models are compared on later time"):
        put(histories(), cuts, cuts.until - 1, cuts.data_end, HORIZON, quick_settings())


# ------------------------------------------------------------------------------------------------------------ plots


def test_plots_are_the_same_bytes_for_the_same_figures(tmp_path: Path) -> None:
    table = over_time(two_cuts())
    for name in ("a.png", "b.png"):
        write_figure(stability(table, "cut"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_gain_by_uplift_is_drawn_from_none_to_all() -> None:
    generator = np.random.default_rng(1)
    uplift = generator.normal(size=40)
    figure = qini(uplift, uplift + generator.normal(size=40))
    curve, straight = figure.axes[0].get_lines()
    for line in (curve, straight):
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        assert (x[0], x[-1], y[0]) == (0, 1, 0)
    assert np.asarray(curve.get_ydata())[-1] == pytest.approx(np.asarray(straight.get_ydata())[-1])
