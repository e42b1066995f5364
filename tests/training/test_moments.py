"""Moments: the cross-section they are, and the time that divides them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.compute import standing
from features.errors import HistoryError
from features.histories import pack
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from features.units import DAY, parse_instant
from tests.training.world import NOW, histories
from training.moments import cut_time, entry_moments, recording_lag, sample_moments, stride_for

HORIZON = 30


def test_training_outcomes_were_known_by_the_cut() -> None:
    # Nobody could have learned at the cut from an outcome that was still open, or not yet recorded, then.
    cuts = cut_time(histories(), HORIZON, None, NOW)
    assert cuts.train_end + HORIZON * DAY + recording_lag(histories(), cuts.until) <= cuts.until <= cuts.test_end
    assert cuts.test_end + HORIZON * DAY <= cuts.data_end


def test_the_gap_is_a_horizon_at_least() -> None:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    train = sample_moments(histories(), cuts.begin, cuts.train_end, 7, HORIZON, cuts.until, 1)
    test = sample_moments(histories(), cuts.until, cuts.test_end, 30, HORIZON, cuts.data_end, 1)
    assert len(train)
    assert len(test)
    assert test.as_of.min() - train.as_of.max() >= HORIZON * DAY


def test_every_live_account_day_is_as_likely_as_any_other() -> None:
    # Over all phases, each live account-day is a moment exactly once: that is what "equal chance" means.
    begin, end = cut_time(histories(), HORIZON, None, NOW).begin, cut_time(histories(), HORIZON, None, NOW).train_end
    every_day = sample_moments(histories(), begin, end, 1, HORIZON, end, 1)
    stride = 5
    counts = [len(sample_moments(histories(), begin, end, stride, HORIZON, end, seed)) for seed in range(12)]
    assert np.mean(counts) == pytest.approx(len(every_day) / stride, rel=0.02)


def test_moments_of_an_account_lie_a_stride_apart() -> None:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    moments = sample_moments(histories(), cuts.begin, cuts.train_end, 9, HORIZON, cuts.until, 4)
    same = moments.account[1:] == moments.account[:-1]
    assert np.all(np.diff(moments.as_of)[same] % (9 * DAY) == 0)
    assert np.all(moments.as_of % DAY == 0)


def test_moments_are_live() -> None:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    moments = sample_moments(histories(), cuts.begin, cuts.train_end, 9, HORIZON, cuts.until, 4)
    balance, live = standing(histories(), moments.account, moments.as_of)
    assert live.all()
    assert np.array_equal(balance, moments.balance)


def test_the_stride_keeps_to_the_limit() -> None:
    cuts = cut_time(histories(), HORIZON, None, NOW)
    stride = stride_for(histories(), cuts, HORIZON, 2000, 1)
    moments = sample_moments(histories(), cuts.begin, cuts.train_end, stride, HORIZON, cuts.until, 1)
    assert len(moments) <= 2000 * 1.1


def test_entry_moments_come_after_the_day_of_placement() -> None:
    # A portfolio may hold dates alone: what happened on the day of placement is known when the day is over.
    moments = entry_moments(histories(), 0, NOW, HORIZON, NOW)
    placed = histories().accounts.placed_at[moments.account]
    assert np.all((moments.as_of > placed) & (moments.as_of <= placed + DAY))


def test_late_recording_is_waited_for() -> None:
    rows = [{"account_id": "A", "at": "2026-01-05", "amount": 1.0, "recorded_at": "2026-01-09"}]
    late = pack(portfolio_from_frames(_frames(rows), PortfolioSettings("late")))
    assert recording_lag(late, NOW) == 4 * DAY
    known = parse_instant("2026-01-09") + 1
    cuts = cut_time(late, 1, parse_instant("2026-06-01"), NOW)
    assert (cuts.train_end, cuts.data_end) == (known - 5 * DAY, known)


def test_too_short_a_history_is_one_clear_error() -> None:
    with pytest.raises(HistoryError, match="days of history, got"):
        cut_time(histories(), 400, None, NOW)


def test_no_payment_is_one_clear_error() -> None:
    with pytest.raises(HistoryError, match="needs payments"):
        cut_time(histories(), HORIZON, None, 0)


def _frames(payments: list[dict[str, object]]) -> dict[str, pd.DataFrame]:

    account = {"account_id": "A", "opened_at": "2026-01-01", "due_on": None, "balance": 10.0, "segment": "card"}
    return {"accounts": pd.DataFrame([account]), "contacts": pd.DataFrame(), "payments": pd.DataFrame(payments)}
