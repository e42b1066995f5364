"""The rehearsal: a month that nobody interferes with is the world's own, and no policy exceeds its places."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.rehearsal.measuring import worked
from experiments.rehearsal.policies import ByLadder, ByTruth, ByTurns, Policy
from experiments.rehearsal.working import Month
from experiments.world import WorldSettings, simulate
from experiments.world.codes import ACTIONS, NONE

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
        assert (np.bincount(orders, minlength=len(ACTIONS))[1:] <= places[1:]).all()
        assert (orders != NONE).any()
        assert not orders[~month.live].any()
        month.work(orders)


def test_a_second_month_begins_as_the_first_one_did(month: Month) -> None:
    places = np.array([0, 2, 1, 5, 1, 1, 0])
    first, second = (worked(month, ByTurns(), places, 5) for _ in range(2))
    assert first.figures() == second.figures()
    assert first.broken == 0
