"""What a training run costs beside the bare fits in it, and whether a million rows of 250 features fit in memory.

`recoup train` on a simulated portfolio, all of it, from packed histories to a bundle with its holdout, in CPU seconds;
against `lightgbm.train` alone: every fit that the run makes is noted, and made once more from the same matrix with the
same parameters: those of all heads, and those that are held out by account. What the ratio is above 1 is everything
else: moments, features, held-out predictions, calibration, effects, the look for leaks, the holdout. Then a sample as
large as asked: a million moments, the bytes of its matrix, and the most memory the process ever held.
"""

from __future__ import annotations

import resource
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import msgspec
from rich.progress import Progress

from experiments.benchmarks._report import Figure, measure, write_report
from experiments.world import WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import parse_settings
from training.heads import Sample
from training.moments import cut_time, stride_for
from training.settings import TrainingSettings, read_training_settings
from training.train import Task, train, training_sample

ACCOUNTS, LARGE_ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 40_000, 360, 30
ROWS = 1_000_000


def main() -> int:
    """Run the benchmark."""
    settings, task = read_training_settings(), Task(HORIZON_DAYS, None, environment.now(), "", "")
    write_report("training", _usual(settings, task) + _large(settings, task))
    return 0


@dataclass(frozen=True)
class Fit:
    """What a call of `lightgbm.train` was given, and what its data set was made of."""

    data: tuple[Any, ...]
    data_named: Mapping[str, Any]
    parameters: dict[str, Any]
    trees: int

    def again(self) -> None:
        """Make the same fit, and nothing else."""
        import lightgbm

        lightgbm.train(self.parameters, lightgbm.Dataset(*self.data, **self.data_named), self.trees)


@contextmanager
def noted_fits() -> Iterator[list[Fit]]:
    """Note every fit that is made meanwhile; noting costs nothing but the memory of its rows."""
    import lightgbm

    fits: list[Fit] = []
    made: dict[int, tuple[tuple[Any, ...], Mapping[str, Any]]] = {}

    def dataset(*given: Any, **named: Any) -> Any:
        found = real_dataset(*given, **named)
        made[id(found)] = (given, named)
        return found

    def train_noted(parameters: dict[str, Any], data: Any, num_boost_round: int, **named: Any) -> Any:
        fits.append(Fit(*made.pop(id(data)), dict(parameters), num_boost_round))
        return real_train(parameters, data, num_boost_round, **named)

    real_dataset, real_train = lightgbm.Dataset, lightgbm.train
    with mock.patch.multiple(lightgbm, Dataset=dataset, train=train_noted):
        yield fits


def _usual(settings: TrainingSettings, task: Task) -> list[Figure]:
    """A run of the usual size, beside its fits."""
    histories = _world(ACCOUNTS)
    with Progress(disable=True) as progress, noted_fits() as fits:
        _, whole = measure(lambda: train(histories, settings, task, progress), repeats=1)
    _, bare = measure(lambda: _make_again(fits), repeats=1)
    rows, columns = max((fit.data[0] for fit in fits), key=len).shape
    size = f"{rows:,} rows x {columns} features"
    return [
        Figure("CPU of a whole training run", whole.cpu, "s", size),
        Figure("CPU of its fits alone", bare.cpu, "s", f"{len(fits)} of them"),
        Figure("CPU of a whole training run", whole.cpu / bare.cpu, "ratio", "lightgbm.train, the same fits alone"),
    ]


def _make_again(fits: Sequence[Fit]) -> None:
    for fit in fits:
        fit.again()


def _world(accounts: int) -> Histories:
    world = simulate(WorldSettings(accounts=accounts, days=DAYS, seed=1, truth_draws=0))
    return pack(portfolio_from_frames(world.frames, parse_settings(tomllib.loads(portfolio_toml(world.settings)), "")))


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
