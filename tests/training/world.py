"""A small simulated portfolio that training tests share; made once per session."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from rich.progress import Progress

from experiments.world import WorldSettings, simulate
from features.histories import Histories, pack
from features.portfolio import Portfolio, portfolio_from_frames
from features.settings import parse_settings
from training.settings import TrainingSettings, read_training_settings
from training.train import Task, Trained, train

#: Later than everything in the world.
NOW = 1_900_000_000_000_000


@cache
def portfolio() -> Portfolio:
    """The checked tables of a world of 1,500 accounts over 260 days."""
    world = simulate(WorldSettings(accounts=1500, days=260, seed=3, truth_draws=0))
    settings = parse_settings({"name": "small", "attributes": {"numeric": ["utilisation"]}}, "small")
    return portfolio_from_frames(world.frames, settings)


@cache
def histories() -> Histories:
    """The same, packed."""
    return pack(portfolio())


def quick_settings() -> TrainingSettings:
    """The default settings with few trees and moments."""
    quick = msgspec.to_builtins(read_training_settings())
    for head in ("p_pay", "fraction", "promise"):
        quick[head] |= {"trees": 15, "leaves": 6}
    quick["moments"] |= {"max_moments": 8000, "max_decisions": 8000}
    return msgspec.convert(quick, TrainingSettings)


def task(until: int | None = None, horizon_days: int = 30) -> Task:
    """Train over 30 days, until the default cut."""
    return Task(horizon_days, until, NOW, "digest", "commit")


@cache
def trained() -> Trained:
    """What these settings teach of these histories, until the default cut."""
    return train(histories(), quick_settings(), task(), Progress(disable=True))


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder, by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
