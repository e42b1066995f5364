"""The rehearsal: a month that nobody interferes with is the world's own, and no policy exceeds its places."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.rehearsal.measuring import share_of, together, worked
from experiments.rehearsal.policies import ByLadder, ByTruth, ByTurns, Policy, Waiting
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
    assert first.paid_after.tolist() == second.paid_after.tolist()
    assert first.used.tolist() == second.used.tolist()
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


def test_nobody_is_contacted_while_everybody_waits(month: Month) -> None:
    found = worked(month, Waiting(), None, 5)
    assert found.used[1:].sum() == found.calls.sum() == found.cost.sum() == 0
    assert found.figures(found)["of it beyond waiting", "money"] == 0


def test_worlds_together_add_up(month: Month) -> None:
    one = worked(month, ByTurns(), np.array([0, 2, 1, 5, 1, 1, 0]), 5)
    both = together([one, one])
    assert both.paid.sum() == 2 * one.paid.sum()
    assert both.used.tolist() == (2 * one.used).tolist()


def test_what_the_office_knows_of_how_debtors_are_reached_is_in_its_tables(month: Month) -> None:
    month.restart()
    frames, (allowed, _) = month.frames(), month.look()
    accounts = frames["accounts"]["account_id"]
    for channel in ("email", "letter", "visit"):
        noted = frames["restrictions"].query("channel == @channel and kind != 'do_not_contact'")["account_id"]
        closed = accounts.isin(noted).to_numpy()
        assert closed.any()
        assert not allowed[closed, ACTIONS.index(channel)].any()


def test_intervals_of_ratios_cover_as_they_claim() -> None:
    # Money of two policies that share chance, and calls: 400 samples of 5,000 accounts, the true ratio being known.
    generator, covered = np.random.default_rng(7), 0
    for _ in range(400):
        paid = generator.random(5_000) < 0.3
        theirs = paid * generator.lognormal(size=5_000)
        mine = theirs * 1.5 + (generator.random(5_000) < 0.1) * generator.lognormal(size=5_000)
        truth = 1.5 + 0.1 / 0.3
        share = share_of([mine], [theirs])
        covered += share.low <= truth <= share.high
    assert 0.91 <= covered / 400 <= 0.98
