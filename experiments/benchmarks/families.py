"""What each family of features is worth, on simulated worlds and on real fines: AUC as families are added one by one.

Everything is learned from what was known before the cut and asked about later time. The steps are kept in MLflow, in
the experiments `families-simulated` and `families-road_fines`.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable

import numpy as np

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from experiments.families import ORDER, Step, add_families
from experiments.world import WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames, read_portfolio
from features.progress import bars, line
from features.settings import parse_settings
from features.units import parse_instant
from training.moments import cut_time
from training.settings import read_training_settings
from training.tracking import LoggedStep, log_steps

SEEDS = (1, 2, 3)
ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 360, 30
FINES_UNTIL, FINES_HORIZON_DAYS = "2009-07-01", 180


def main() -> int:
    """Run the benchmark; without the real data it says so and does the simulated worlds alone."""
    fines = real_data("road_fines")
    n_steps = len(ORDER) * (len(SEEDS) + (fines is not None))
    with bars() as progress, line(progress, "Families", n_steps) as advance:
        worlds = [_steps(_world(seed), HORIZON_DAYS, None, f"simulated, seed {seed}", advance) for seed in SEEDS]
        figures = _figures("simulated", worlds)
        if fines is not None:
            steps = _steps(
                pack(read_portfolio(fines)), FINES_HORIZON_DAYS, parse_instant(FINES_UNTIL), "road_fines", advance
            )
            figures += _figures("road_fines", [steps])
    write_report("families", figures)
    return 0


def _world(seed: int) -> Histories:
    world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=seed, truth_draws=0))
    declared = parse_settings(tomllib.loads(portfolio_toml(world.settings)), "simulated")
    return pack(portfolio_from_frames(world.frames, declared))


def _steps(
    histories: Histories, horizon_days: int, until: int | None, data: str, advance: Callable[..., None]
) -> tuple[Step, ...]:
    """Work the steps out, and keep them in MLflow."""
    settings = read_training_settings()
    cuts = cut_time(histories, horizon_days, until, environment.now())
    steps = add_families(histories, cuts, horizon_days, settings, advance)
    parameters = {"data": data, "horizon_days": horizon_days, "cuts": cuts.text, "seed": settings.seed}
    logged = [
        LoggedStep(
            f"+ {', '.join(step.families)}",
            {"auc": step.auc, "gain": step.gain, "gain_low": step.gain_low, "gain_high": step.gain_high},
            {"added": ", ".join(step.families), "features": step.features},
        )
        for step in steps
    ]
    experiment = f"families-{data.partition(',')[0]}"
    log_steps(logged, environment.tracking_uri(), experiment, f"families, {data}", parameters)
    return steps


def _figures(data: str, runs: list[tuple[Step, ...]]) -> list[Figure]:
    """The mean of the runs at each step; of several the least and the most gained, of one the bootstrap interval."""
    figures = []
    for same in zip(*runs, strict=True):
        added = ", ".join(same[0].families)
        auc, gain = (float(np.mean([getattr(step, name) for step in same])) for name in ("auc", "gain"))
        figures.append(Figure(f"{data}: AUC with {added}", auc, "AUC", f"{same[0].features} features"))
        if same[0] is runs[0][0]:
            continue
        figures.append(Figure(f"{data}: gained by {added}", gain, "AUC", "the families above"))
        if len(same) > 1:
            ends = [(min(step.gain for step in same), "least"), (max(step.gain for step in same), "most")]
            against = f"of {len(same)} worlds"
        else:
            ends, against = [(same[0].gain_low, "2.5 %"), (same[0].gain_high, "97.5 %")], "of the bootstrap"
        figures += [Figure(f"{data}: gained by {added}, {end}", value, "AUC", against) for value, end in ends]
    return figures


if __name__ == "__main__":
    sys.exit(main())
