"""A search with a loss that is a formula rather than a model, for tests of how the search itself is run."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.studies.search import Search, Tried, search
from experiments.studies.space import TreeSpace, read_tuning_settings
from experiments.studies.tuning import Problem
from training.fit import OnTree
from training.settings import TreeSettings, read_training_settings


@dataclass(frozen=True)
class Formula(Problem):
    """The loss is how far the learning rate lies from 0.05, in every fold; `on_fold` is told of each fold's place."""

    on_fold: Callable[[], None] = lambda: None

    def search(
        self, settings: TreeSettings, space: TreeSpace, patience: int, on_tree: OnTree
    ) -> Iterator[tuple[int, tuple[float, ...]]]:
        losses: tuple[float, ...] = ()
        for place, _ in enumerate(self.folds):
            self.on_fold()
            losses = (*losses, abs(settings.learning_rate - 0.05) + place / 1000)
            yield settings.trees, losses


def wanted(on_fold: Callable[[], None] = lambda: None) -> Search:
    """Three folds, from the default settings, in the default space."""
    problem = Formula("p_pay", (None, None, None), 1, 1, on_fold)  # type: ignore[arg-type] # no fold is looked at
    return Search("formula", problem, read_training_settings().p_pay, read_tuning_settings())


def run(folder: Path, trials: int, on_fold: Callable[[], None] = lambda: None) -> list[Tried]:
    """Search until there are so many trials."""
    return search(wanted(on_fold), folder, trials, None, lambda _: None, lambda: None)


def killed_at(fold: int) -> Callable[[], None]:
    """Ends the process, as `kill -9` does, at the start of so many folds."""
    left = iter(range(fold))

    def on_fold() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_fold


def with_another(folder: Path) -> Callable[[], None]:
    """Goes on when two processes are, or have been, at work in the folder at once."""
    met: list[bool] = []

    def on_fold() -> None:
        while not met:
            time.sleep(0.01)
            if len(list(folder.glob("*.working"))) > 1:
                met.append(True)

    return on_fold


if __name__ == "__main__":
    folder, trials, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run(folder, trials, killed_at(kill_at) if kill_at else with_another(folder))
