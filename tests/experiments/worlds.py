"""The worlds that the tests of this folder share; each is made once per session."""

from __future__ import annotations

from functools import cache

import pandas as pd

from experiments.world import World, WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features.histories import Histories, pack
from features.portfolio import Portfolio, portfolio_from_frames
from features.settings import parse_settings


@cache
def world() -> World:
    """A world with its truth: 2,000 accounts over 200 days."""
    return simulate(WorldSettings(accounts=2000, days=200, seed=11, truth_draws=48))


@cache
def portfolio() -> Portfolio:
    """Its tables, checked against the contract with the settings that are written beside them."""
    import tomllib

    settings = parse_settings(tomllib.loads(portfolio_toml(world().settings)), "small")
    return portfolio_from_frames(world().frames, settings)


@cache
def histories() -> Histories:
    """The same, packed."""
    return pack(portfolio())


@cache
def truth_wide(column: str) -> pd.DataFrame:
    """One column of the truth, a row per live account and a column per action."""
    return world().truth["actions"].pivot(index="account_id", columns="action", values=column)
