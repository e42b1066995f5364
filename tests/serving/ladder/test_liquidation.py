"""Liquidation against plain sums, against rates that are known, and against what follows in simulated worlds."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from experiments.world import WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features.errors import HistoryError
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import parse_settings
from features.units import DAY
from serving.ladder.liquidation import (
    FEWEST_ACCOUNTS,
    N_BALANCES,
    N_BANDS,
    LiquidationTable,
    Rates,
    backtest,
    bands,
    credible,
    gamma_quantiles,
    group_rates,
    landmarks,
    landmarks_at,
    liquidation_table,
)
from tests.serving.small import AS_OF, COSTS, histories_of, random_frames, small_histories

HORIZON = 40
NOW = pd.Timestamp(AS_OF, unit="us", tz="UTC")


def known(frame: pd.DataFrame, before: pd.Timestamp) -> pd.DataFrame:
    """The rows that were known strictly before a moment."""
    recorded = frame.get("recorded_at", frame["at"]).fillna(frame["at"])
    return frame[np.maximum(recorded, frame["at"]) < before]


def test_landmarks_are_live_accounts_with_what_was_owed_paid_and_spent() -> None:
    frames, marks = random_frames(), landmarks(small_histories(), HORIZON, AS_OF)
    ids, placed = small_histories().accounts.account_id, frames["accounts"].set_index("account_id")["placed_at"]
    assert sorted(set((AS_OF - HORIZON * DAY - marks.as_of) % (30 * DAY))) == [0]
    assert marks.as_of.max() == AS_OF - HORIZON * DAY
    for place in range(0, len(marks), 23):
        account, at = ids[marks.account[place]], pd.Timestamp(int(marks.as_of[place]), unit="us", tz="UTC")
        end = at + pd.Timedelta(days=HORIZON)
        mine = {name: frame[frame["account_id"] == account] for name, frame in frames.items()}
        then = {name: known(mine[name], at) for name in ("payments", "charges")}
        since = {name: frame[frame["at"] >= placed[account]]["amount"].sum() for name, frame in then.items()}
        owed = mine["accounts"]["balance"].iloc[0] + since["charges"] - since["payments"]
        assert marks.balance[place] == pytest.approx(owed)
        assert marks.balance[place] > 0
        assert placed[account] < at
        assert marks.days[place] == pytest.approx((at - placed[account]) / pd.Timedelta(days=1))
        paid = known(mine["payments"], NOW)
        assert marks.paid[place] == pytest.approx(paid[paid["at"].between(at, end, "left")]["amount"].sum())
        made = known(mine["contacts"], NOW)
        within = made[made["at"].between(at, end, "left")]
        assert marks.spent[place] == pytest.approx(sum(map(COSTS.__getitem__, within["channel"])))


def test_rows_that_come_later_change_nothing() -> None:
    frames = random_frames()
    before = frames | {name: known(frames[name], NOW) for name in ("contacts", "payments", "charges")}
    assert len(before["payments"]) < len(frames["payments"])
    first, second = (landmarks(of, HORIZON, AS_OF) for of in (small_histories(), histories_of(before)))
    for name, values in vars(first).items():
        np.testing.assert_array_equal(values, getattr(second, name), name)


def test_a_history_that_tells_nothing_is_refused() -> None:
    frames = random_frames(40)
    with pytest.raises(HistoryError, match="2,000 days of work bring is told by accounts placed before") as error:
        landmarks(histories_of(frames), 2_000, AS_OF)
    assert "set a shorter horizon_days" in str(error.value)
    unpaid = histories_of(frames | {"payments": frames["payments"].iloc[:0]})
    with pytest.raises(HistoryError, match="none came from"):
        liquidation_table(landmarks(unpaid, HORIZON, AS_OF), HORIZON)
    assert backtest(small_histories(), HORIZON, AS_OF) is None


def test_what_says_much_keeps_its_rate_and_what_says_nothing_takes_that_of_its_like() -> None:
    of = np.array([0, 0, 0, 1])
    parent = Rates(np.array([0.1, 0.2]), np.array([500.0, 500.0]))
    found = credible(np.array([0.0, 0.3, 0.02, 0.2]), np.array([0.0, 1e6, 1e6, 40.0]), parent, of)
    assert found.mean[[0, 3]] == pytest.approx([0.1, 0.2])
    assert found.mean[1:3] == pytest.approx([0.3, 0.02], rel=0.01)
    assert found.shape[1] > 1e4 > found.shape[3] > found.shape[0]
    alike = credible(np.array([0.1, 0.1, 0.1, 0.2]), np.full(4, 1e5), parent, of)
    assert alike.mean == pytest.approx([0.1, 0.1, 0.1, 0.2])
    assert alike.shape.min() > 400, "where groups do not differ beyond chance, all of them speak of each"


def test_intervals_hold_the_rates_that_amounts_were_drawn_from() -> None:
    draw, inside, total = np.random.default_rng(4), 0, 0
    for _ in range(60):
        true = 0.1 * draw.gamma(4, 1 / 4, 8)
        group = np.repeat(np.arange(8), [900, 500, 300, 200, 120, 60, 30, 10])
        balance = draw.lognormal(0, 0.5, len(group))
        paid = balance * (draw.random(len(group)) < np.minimum(true[group] / 0.6, 1)) * 0.6
        found = group_rates(group, 8, np.arange(len(group)), balance, paid)
        low, high = (found.mean * gamma_quantiles(found.shape, share) for share in (0.025, 0.975))
        inside += int(((low <= true) & (true <= high)).sum())
        total += 8
    assert 0.9 <= inside / total <= 0.99


@cache
def world(seed: int, days: int, horizon: int) -> tuple[Histories, int]:
    """A world that goes on for a horizon after the moment that is given with it."""
    made = simulate(WorldSettings(3000, days + horizon, seed, truth_draws=0))
    settings = parse_settings(tomllib.loads(portfolio_toml(made.settings)), "world")
    frames = {name: frame for name, frame in made.frames.items() if name != "decisions"}
    return pack(portfolio_from_frames(frames, settings)), made.settings.start_instant + days * DAY


@pytest.mark.parametrize(("days", "horizon"), [(400, 180), (700, 90)])
def test_what_followed_lies_within_the_intervals_of_the_table(days: int, horizon: int) -> None:
    """A little rarer than 95 %: the past of a world is more like itself than like its future."""
    held, n_cells, of_bands, n_bands = 0, 0, 0, 0
    for seed in range(201, 207):
        histories, as_of = world(seed, days, horizon)
        table = liquidation_table(landmarks(histories, horizon, as_of), horizon)
        now = landmarks_at(histories, as_of, horizon, as_of + horizon * DAY)
        cell, band = table.cells(now.days, now.balance), bands(now.days)
        for group, n_groups, least in ((cell, N_BANDS * N_BALANCES, 20), (band, N_BANDS, FEWEST_ACCOUNTS)):
            total, paid = table.total(group, n_groups, cell, now.balance), np.bincount(group, now.paid, n_groups)
            enough = np.bincount(group, minlength=n_groups) >= least
            inside = ((paid >= total.low) & (paid <= total.high))[enough]
            if group is cell:
                held, n_cells = held + int(inside.sum()), n_cells + len(inside)
            else:
                of_bands, n_bands = of_bands + int(inside.sum()), n_bands + len(inside)
        assert table.supported[cell].mean() > 0.9
        assert (table.payers <= table.accounts).all()
    assert held / n_cells >= 0.85
    assert of_bands / n_bands >= 0.8


def test_work_costs_what_it_cost_those_before_and_a_band_nobody_was_seen_in_tells_nothing() -> None:
    histories, as_of = world(201, 400, 180)
    table: LiquidationTable = liquidation_table(landmarks(histories, 180, as_of), 180)
    now = landmarks_at(histories, as_of, 180, as_of + 180 * DAY)
    cost = table.cost[table.cells(now.days, now.balance)].sum()
    assert cost == pytest.approx(now.spent.sum(), rel=0.3)
    beyond = table.cells(np.array([400.0]), np.array([1000.0]))
    assert not table.supported[beyond].any()


def test_a_world_that_changes_does_not_pass_for_one_that_stays() -> None:
    histories, as_of = world(201, 700, 90)
    tested = backtest(histories, 90, as_of)
    assert tested is not None
    assert tested.failed.sum() <= 2
    # Payments dry up in the last ninety days.
    payments = histories.payments
    stopped = np.where(payments.at >= as_of - 90 * DAY, 0, payments.amount)
    rows = payments.rows.copy()
    rows[:, 3] = stopped
    dry = backtest(replace(histories, payments=payments._replace(rows=rows)), 90, as_of)
    assert dry is not None
    assert dry.failed.sum() >= 3
