"""Simulated worlds: a month worked day by day by turns, by the house's ladder, by probability, by Recoup, by the truth.

Recoup's model is trained on what was known when the month begins. All policies have the same places a day for each
channel: what the ladder, which has none, uses of them on average. A month later work goes on by the ladder for as long
again, so that what was set in motion is paid to whom it belongs. Money is what was paid less what was reversed, by all
accounts; a recovery is a debt paid off after a call. Chance is shared by all policies.

`--seeds 1,2,3` names the worlds, `--accounts` their size; `--days` says how long a month is; `--only` names policies.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import Progress

from experiments.benchmarks._report import Figure, write_report
from experiments.rehearsal.measuring import Worked, compared, worked
from experiments.rehearsal.policies import (
    ByLadder,
    ByProbability,
    ByRecoup,
    ByTruth,
    ByTurns,
    Policy,
)
from experiments.rehearsal.working import Month
from experiments.world import WorldSettings
from experiments.world.writing import portfolio_toml
from features import environment
from features.histories import pack
from features.portfolio import portfolio_from_frames
from features.progress import bars, line
from features.settings import PortfolioSettings, parse_settings
from serving.scoring import Scorer, prepare_scorer
from training.settings import read_training_settings
from training.train import Task, train

ACCOUNTS, DAYS, HORIZON_DAYS, DRAWS, THREADS = 6_000, 360, 30, 24, 2
LADDER = "by the ladder"
POLICIES = ("by turns", LADDER, "by probability", "Recoup", "the oracle")


@dataclass(frozen=True)
class Rehearsed:
    """One world's month: what each policy achieved, by its name."""

    seed: int
    by_policy: dict[str, Worked]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark over the worlds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--only", default=",".join(POLICIES))
    chosen = parser.parse_args(arguments)
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    names = [name for name in POLICIES if name == LADDER or name in chosen.only.split(",")]
    with bars() as progress, line(progress, "Days", len(seeds) * len(names) * chosen.days) as advance:
        months = [_rehearse(WorldSettings(chosen.accounts, DAYS, seed), names, chosen.days, advance) for seed in seeds]
    write_report("rehearsal", _figures(months))
    return 0


def _rehearse(world: WorldSettings, names: Sequence[str], days: int, advance: Callable[[], object]) -> Rehearsed:
    month = Month(world, THREADS, 2 * days)
    settings = parse_settings(tomllib.loads(portfolio_toml(world)), "simulated")
    scorer = _trained(month, settings)
    policies: dict[str, Policy] = {
        "by turns": ByTurns(),
        LADDER: ByLadder(),
        "by probability": ByProbability(scorer, settings),
        "Recoup": ByRecoup(scorer, settings),
        "the oracle": ByTruth(month.commission, DRAWS, HORIZON_DAYS, THREADS),
    }
    ladder = worked(month, policies[LADDER], None, days, advance)
    places = np.ceil(ladder.used / days).astype(np.int64)
    others = {name: worked(month, policies[name], places, days, advance) for name in names if name != LADDER}
    return Rehearsed(world.seed, {name: ladder if name == LADDER else others[name] for name in names})


def _trained(month: Month, settings: PortfolioSettings) -> Scorer:
    histories = pack(portfolio_from_frames(month.frames(), settings))
    task = Task(HORIZON_DAYS, month.morning, environment.now(), "", "")
    with Progress(disable=True) as progress:
        return prepare_scorer(train(histories, read_training_settings(), task, progress).bundle)


def _figures(months: Sequence[Rehearsed]) -> list[Figure]:
    figures = []
    names = list(months[0].by_policy)
    for name in names:
        found = [month.by_policy[name].figures() for month in months]
        figures += [
            Figure(f"{what}, {name}{_range(values)}", float(np.mean(values)), unit, f"{len(months)} worlds")
            for what, unit in found[0]
            for values in [[one[what, unit] for one in found]]
        ]
    for one, other in compared(names):
        found_pairs = [month.by_policy[one].against(month.by_policy[other]) for month in months]
        for what in found_pairs[0]:
            values = [each[what] for each in found_pairs]
            figures.append(Figure(f"{what}, {one}{_range(values)}", float(np.mean(values)), "ratio", other))
    return figures


def _range(values: Sequence[float]) -> str:
    return f" ({min(values):,.3g} to {max(values):,.3g})" if len(values) > 1 else ""


if __name__ == "__main__":
    sys.exit(main())
