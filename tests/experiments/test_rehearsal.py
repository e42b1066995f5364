"""The rehearsal: a month that nobody interferes with is the world's own, and no policy exceeds its places."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.rehearsal.measuring import worked
from experiments.rehearsal.policies import ByLadder, ByTruth, ByTurns, Policy
from experiments.rehearsal.working import Month, Orders
from experiments.world import WorldSettings, simulate
from experiments.world.codes import ACTIONS, AT_BEST, BY_HABIT, CALL, NONE
from features.contract import REACHED_OUTCOMES

WORLD = WorldSettings(accounts=300, days=120, seed=5, truth_draws=0)
DAYS = WORLD.horizon_days


@pytest.fixture(scope="module")
def month() -> Month:
    return Month(WORLD, 1, 2 * DAYS)


def test_a_month_by_the_ladder_is_what_follows_in_the_world(month: Month) -> None:
    found = worked(month, ByLadder(), None, DAYS)
    followed = simulate(WORLD, 1).truth["followed"].set_index("account_id")["paid_amount"]
    places = [int(account_id[1:]) for account_id in followed.index]
    assert found.paid[places].tolist() == followed.tolist()
    assert found.paid.sum() == followed.sum()
    assert found.paid.any()


@pytest.mark.parametrize("policy", [ByTurns(), ByTruth(np.full(WORLD.accounts, 0.2), 2, DAYS, 1)])
def test_no_day_has_more_of_a_channel_than_its_places(month: Month, policy: Policy) -> None:
    places = np.array([0, 2, 1, 5, 1, 1, 0])
    month.restart()
    for _ in range(3):
        orders = policy.orders(month, places)
        assert (np.bincount(orders.action, minlength=len(ACTIONS))[1:] <= places[1:]).all()
        assert (orders.action != NONE).any()
        assert not orders.action[~month.live].any()
        month.work(orders)


def test_a_second_month_begins_as_the_first_one_did(month: Month) -> None:
    places = np.array([0, 2, 1, 5, 1, 1, 0])
    first, second = (worked(month, ByTurns(), places, 5) for _ in range(2))
    assert first.figures() == second.figures()
    assert first.broken == 0


def test_a_call_is_made_at_the_hour_that_is_ordered(month: Month) -> None:
    month.restart()
    call_all = np.full(len(month.states), CALL, dtype=np.int64)
    for hour in (9, 20):
        month.work(Orders(call_all, np.full(len(call_all), hour, dtype=np.int64)))
    frame = month.happened()["contacts"]
    calls = frame[(frame["channel"] == "call") & (frame["direction"] == "outbound")]
    hour = calls["at"].dt.tz_convert("Asia/Shanghai").dt.hour
    assert set(hour) == {9, 20}
    assert (hour == 9).sum() > 50


def test_more_debtors_are_reached_at_the_hour_at_which_they_answer(month: Month) -> None:
    reached = []
    call_all = np.full(len(month.states), CALL, dtype=np.int64)
    for hour in (BY_HABIT, AT_BEST):
        month.restart()
        for _ in range(5):
            month.work(Orders(call_all, np.full(len(call_all), hour, dtype=np.int64)))
        reached.append(month.happened()["contacts"]["outcome"].isin(REACHED_OUTCOMES).sum())
    assert reached[1] > 1.3 * reached[0]
