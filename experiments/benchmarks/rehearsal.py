"""Simulated worlds: a month worked day by day by turns, by the house's ladder, by probability, by Recoup, by the truth.

Recoup's model is trained on what was known when the month begins. All policies have the same places a day for each
channel: what the ladder, which has none, uses of them on average. A month later work goes on by the ladder for as long
again, so that what was set in motion is paid to whom it belongs. Money is what was paid less what was reversed, by all
accounts. Chance is shared by all policies, and intervals (95 %) are over the accounts of all worlds.

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
from experiments.rehearsal.measuring import Worked, shares, together, worked
from experiments.rehearsal.policies import (
    ByLadder,
    ByProbability,
    ByRecoup,
    ByTruth,
    ByTurns,
    Policy,
    Waiting,
)
from experiments.rehearsal.working import Month
from experiments.world import WorldSettings
from experiments.world.writing import portfolio_toml
from features import environment
from features.histories import pack
from features.portfolio import portfolio_from_frames
from features.progress import bars, line
from features.settings import PortfolioSettings, QueueRules, parse_settings
from serving.scoring import Scorer, prepare_scorer
from training.settings import read_training_settings
from training.train import Task, train

ACCOUNTS, DAYS, HORIZON_DAYS, DRAWS, THREADS = 6_000, 360, 30, 24, 2
LADDER, WAITING, ORACLE = "by the ladder", "waiting", "the oracle"
#: Recoup's queue as it is, and under rules that a portfolio may have: a debtor rests two days after a contact; and a
#: payer is worth more than what he pays, as where a team is measured by how many debts it recovers.
RECOUP = {
    "Recoup": QueueRules(),
    "Recoup with rest": QueueRules(rest_days=2),
    "Recoup for many payers": QueueRules(rest_days=2, payer_worth=200.0),
}
OTHERS = ("by turns", LADDER, "by probability", ORACLE)


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
    parser.add_argument("--only", default=",".join((*OTHERS, *RECOUP)))
    chosen = parser.parse_args(arguments)
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    names = [name for name in (*OTHERS, *RECOUP) if name == LADDER or name in chosen.only.split(",")]
    with bars() as progress, line(progress, "Days", len(seeds) * (len(names) + 1) * chosen.days) as advance:
        months = [_rehearse(WorldSettings(chosen.accounts, DAYS, seed), names, chosen.days, advance) for seed in seeds]
    write_report("rehearsal", _figures(months, names))
    return 0


def _rehearse(world: WorldSettings, names: Sequence[str], days: int, advance: Callable[[], object]) -> Rehearsed:
    month = Month(world, THREADS, 2 * days)
    settings = parse_settings(tomllib.loads(portfolio_toml(world)), "simulated")
    scorer = _trained(month, settings)
    policies: dict[str, Policy] = {
        WAITING: Waiting(),
        "by turns": ByTurns(),
        LADDER: ByLadder(),
        "by probability": ByProbability(scorer, settings),
        **{name: ByRecoup(scorer, settings, rules) for name, rules in RECOUP.items()},
        ORACLE: ByTruth(month.commission, DRAWS, HORIZON_DAYS, THREADS),
    }
    ladder = worked(month, policies[LADDER], None, days, advance)
    places = np.ceil(ladder.used / days).astype(np.int64)
    others = {
        name: worked(month, policies[name], places, days, advance) for name in (WAITING, *names) if name != LADDER
    }
    return Rehearsed(world.seed, {LADDER: ladder, **others})


def _trained(month: Month, settings: PortfolioSettings) -> Scorer:
    histories = pack(portfolio_from_frames(month.frames(), settings))
    task = Task(HORIZON_DAYS, month.morning, environment.now(), "", "")
    with Progress(disable=True) as progress:
        return prepare_scorer(train(histories, read_training_settings(), task, progress).bundle)


def _figures(months: Sequence[Rehearsed], names: Sequence[str]) -> list[Figure]:
    of = {name: together([month.by_policy[name] for month in months]) for name in (WAITING, *names)}
    worlds = f"{len(months)} worlds"
    figures = [
        Figure(f"{what}, {name}", value, unit, worlds)
        for name, month in of.items()
        for (what, unit), value in month.figures(of[WAITING]).items()
    ]
    for one in (name for name in RECOUP if name in of):
        for other in (name for name in OTHERS if name in of):
            for what, share in shares(of[one], of[other], of[WAITING]).items():
                told = f"{what}, {one} ({share.low:.2f} to {share.high:.2f})"
                figures.append(Figure(told, share.value, "ratio", other))
    return figures


if __name__ == "__main__":
    sys.exit(main())
