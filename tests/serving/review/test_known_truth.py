"""In simulated worlds whose truth is known, intervals cover as they claim, and a segment that is off is found."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.world import World, WorldSettings, simulate
from experiments.world.simulation import POLICY_ACTION
from experiments.world.writing import portfolio_toml
from features.compute import standing
from features.histories import pack
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings, parse_settings
from features.units import DAY, from_money
from serving.review.reading import Where
from serving.review.rollup import roll_up
from serving.review.tables import against_actual
from serving.store.database import Store, open_store
from serving.store.ledger import record
from tests.serving.review.rolled import answer_of, scored_at_random
from tests.serving.store.test_histories import send

CUTS = ("segment", "stage", "vintage", "band")
SEEDS = (3, 4, 5, 6)


def rolled_world(folder: Path, world: World, off: tuple[str, float] | None = None) -> Store:
    """A store with the world, a score of every live account at its end by the truth, and what followed.

    Predictions of the segment `off` are those of the truth times its factor.
    """
    settings = parse_settings(tomllib.loads(portfolio_toml(world.settings)), "world")
    store = open_store(f"sqlite:///{folder}/store.db")
    truth = world.truth["actions"]
    truth = truth[truth["action"] == POLICY_ACTION].set_index("account_id")
    followed = world.truth["followed"].set_index("account_id").loc[truth.index]
    frames = {name: world.frames[name] for name in ("accounts", "contacts", "payments")}
    assert send(store, frames, settings).rejects.empty
    _score(store, world, settings, truth, off)
    paid = followed[followed["paid_amount"] != 0]
    at = pd.Timestamp(world.as_of + DAY, unit="us", tz="UTC")
    payments = pd.DataFrame({"account_id": paid.index, "at": at, "amount": paid["paid_amount"].to_numpy()})
    last = {"account_id": truth.index[:1], "at": at + pd.Timedelta(days=60), "channel": "sms", "outcome": "sent"}
    assert send(store, {"payments": payments, "contacts": pd.DataFrame(last)}, settings).rejects.empty
    roll_up(store, settings, world.as_of + 90 * DAY)
    return store


def _score(
    store: Store, world: World, settings: PortfolioSettings, truth: pd.DataFrame, off: tuple[str, float] | None
) -> None:
    histories = pack(portfolio_from_frames(world.frames, settings))
    ids = truth.index.tolist()
    rows = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(ids)).astype(np.int64)
    balance, _ = standing(histories, rows, np.full(len(rows), world.as_of))
    segment = world.frames["accounts"].set_index("account_id")["segment"].loc[ids]
    factor = np.where(segment == off[0], off[1], 1.0) if off else np.ones(len(ids))
    p = truth["p_pay"].to_numpy(float) * factor
    order = np.argsort(np.argsort(-p))
    given = replace(
        scored_at_random(ids, np.random.default_rng(1)), p_pay=p, balance=from_money(balance),
        expected_amount=truth["expected_amount"].to_numpy(float) * factor,
        band=["ABCDEFGHIJ"[place] for place in order * 10 // len(ids)],
    )  # fmt: skip
    record(store, answer_of(world.as_of, False, "champion", settings), given)


@pytest.mark.slow
def test_intervals_cover_the_truth_and_a_segment_that_is_off_is_found(tmp_path: Path) -> None:
    payers, money, false = [], [], 0
    for seed in SEEDS:
        world = simulate(WorldSettings(accounts=1_500, days=150, seed=seed, truth_draws=24))
        folders = [tmp_path / f"{seed}-{name}" for name in ("right", "off")]
        store = rolled_world(folders[0], world)
        for cut in CUTS:
            rows = against_actual(store, cut, Where()).rows
            payers += ((rows["payers_low"] <= 1) & (rows["payers_high"] >= 1)).tolist()
            told = rows[rows["money_low"].notna()]
            money += ((told["money_low"] <= 1) & (told["money_high"] >= 1)).tolist()
            false += int(rows["payers_beyond"].sum())
        store.close()
        # Which one is not written down here: it is drawn, and looked for in the table alone.
        segments = sorted(world.frames["accounts"]["segment"].unique())
        draw = np.random.default_rng(seed)
        hidden = str(draw.choice(segments))
        store = rolled_world(folders[1], world, (hidden, 0.5))
        rows = against_actual(store, "segment", Where()).rows
        coloured = set(rows.loc[rows["payers_beyond"], "segment"])
        assert hidden in coloured
        false += len(coloured - {hidden})
        store.close()
    assert len(payers) > 80
    assert np.mean(payers) > 0.9
    assert np.mean(money) > 0.88
    assert false <= 2
