"""What a training run costs beside the bare fits in it, and whether a million rows of 250 features fit in memory.

`recoup train` on a simulated portfolio, all of it, from packed histories to a bundle with its holdout, in CPU seconds;
against `lightgbm.train` alone on the same rows: as many fits of the same trees as the run makes. Then a sample as large
as asked: a million moments, the bytes of its matrix, and the most memory the process ever held.
"""

from __future__ import annotations

import resource
import sys
import tomllib

import msgspec
import numpy as np
from rich.progress import Progress

from experiments.benchmarks._report import Figure, measure, write_report
from experiments.world import WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import parse_settings
from training.fit import Learner, fit
from training.heads import Sample, fraction_paid
from training.moments import cut_time, is_paid, stride_for
from training.settings import TrainingSettings, read_training_settings
from training.train import Task, train, training_sample

ACCOUNTS, LARGE_ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 40_000, 360, 30
ROWS = 1_000_000


def main() -> int:
    """Run the benchmark."""
    settings, task = read_training_settings(), Task(HORIZON_DAYS, None, environment.now(), "", "")
    write_report("training", _usual(settings, task) + _large(settings, task))
    return 0


def _usual(settings: TrainingSettings, task: Task) -> list[Figure]:
    """A run of the usual size, beside its fits."""
    histories = _world(ACCOUNTS)
    with Progress(disable=True) as progress:
        _, whole = measure(lambda: train(histories, settings, task, progress), repeats=1)
    sample = _sample(histories, settings, task)
    _, bare = measure(lambda: _bare_heads(sample, settings), repeats=1)
    size = f"{len(sample.matrix):,} rows x {sample.matrix.shape[1]} features"
    return [
        Figure("CPU of a whole training run", whole.cpu, "s", size),
        Figure("CPU of a whole training run", whole.cpu / bare.cpu, "ratio", "lightgbm.train of its two heads alone"),
    ]


def _world(accounts: int) -> Histories:
    world = simulate(WorldSettings(accounts=accounts, days=DAYS, seed=1, truth_draws=0))
    return pack(portfolio_from_frames(world.frames, parse_settings(tomllib.loads(portfolio_toml(world.settings)), "")))


def _bare_heads(sample: Sample, settings: TrainingSettings) -> None:
    """The fits of the probability and the fraction, one for each fold and the final one, and nothing else."""
    paid = is_paid(sample.moments, settings.payment)
    rows = np.flatnonzero(paid)
    target, weight = fraction_paid(sample.moments.take(rows))
    probability = Learner("binary", settings.p_pay, sample.categories, settings.seed, settings.threads)
    fraction = Learner("gamma", settings.fraction, sample.categories, settings.seed, settings.threads)
    for _ in range(settings.folds.count + 1):
        fit(probability, sample.matrix, paid.astype(np.float64), None, lambda: None)
        fit(fraction, sample.matrix[rows], target, weight, lambda: None)


def _large(settings: TrainingSettings, task: Task) -> list[Figure]:
    """A run on a million moments."""
    histories = _world(LARGE_ACCOUNTS)
    moments = msgspec.structs.replace(settings.moments, max_moments=ROWS)
    settings = msgspec.structs.replace(settings, moments=moments)
    sample = _sample(histories, settings, task)
    n_rows, n_features = sample.matrix.shape
    size = sample.matrix.nbytes
    del sample
    with Progress(disable=True) as progress:
        _, cost = measure(lambda: train(histories, settings, task, progress), repeats=1)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = f"{n_rows:,} rows x {n_features} features"
    return [
        Figure("CPU of a large training run", cost.cpu, "s", rows),
        Figure("most memory held", most / 2**30, "GiB", rows),
        Figure("most memory held", most / size, "ratio", "the bytes of the features"),
    ]


def _sample(histories: Histories, settings: TrainingSettings, task: Task) -> Sample:
    cuts = cut_time(histories, task.horizon_days, task.until, task.now)
    stride = stride_for(histories, cuts, task.horizon_days, settings.moments.max_moments, settings.seed)
    return training_sample(histories, cuts, stride, settings, task.horizon_days)


if __name__ == "__main__":
    sys.exit(main())
