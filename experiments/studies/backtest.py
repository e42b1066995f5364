"""Rolling-origin backtest: what a model trained at each of several past cuts reached on the time that followed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
from rich.progress import Progress

from experiments.studies.origins import Origin, rolling_origins, usable
from features.errors import HistoryError
from features.histories import Histories
from features.progress import line
from features.units import format_day, format_instant
from training.holdout import Holdout, during
from training.metrics import stability
from training.moments import cut_time
from training.settings import TrainingSettings
from training.train import Task, train


@dataclass(frozen=True)
class Backtested:
    """A model trained at one origin, and what it reached on the stretch after it."""

    origin: Origin
    supported: tuple[str, ...]
    holdout: Holdout

    @property
    def name(self) -> str:
        """The day of the cut."""
        return format_day(self.origin.cuts.until)


def backtest(
    histories: Histories, settings: TrainingSettings, task: Task, count: int, horizons: int, progress: Progress
) -> list[Backtested]:
    """Train at cuts one horizon apart, back from the last whose later time has matured, and look at what followed.

    Args:
        histories: packed histories of a whole portfolio.
        settings: how each model is trained.
        task: the horizon, and where the last stretch ends (`until`, the end of what has matured when None).
        count: how many cuts at most; as many as the history holds, and at least one.
        horizons: how many horizons after each cut are looked at.
        progress: where to show it.

    Raises:
        HistoryError: the history holds no such cut.
    """
    horizon_days = task.horizon_days
    last = cut_time(histories, horizon_days, None, task.now).test_end
    end = last if task.until is None else min(task.until, last)
    origins = rolling_origins(histories, horizon_days, count, end, task.now, horizons * horizon_days)
    with line(progress, "Cuts", len(origins)) as advance:

        def tested(origin: Origin) -> Backtested:
            trained = train(histories, settings, replace(task, until=origin.cuts.until), progress)
            advance()
            part = trained.holdout and during(trained.holdout, origin.cuts.until, origin.end)
            if part is None or not part.paid.any():
                raise HistoryError(f"a backtest needs payments after the cut {format_instant(origin.cuts.until)}")
            return Backtested(origin, trained.bundle.manifest.supported, part)

        return usable(origins, tested, 1, "a backtest")


def over_time(tested: list[Backtested]) -> pd.DataFrame:
    """A row per cut: `period`, and the columns of `training.metrics.stability`."""
    return pd.DataFrame([{"period": one.name} | _stability(one.holdout) for one in tested])


def _stability(holdout: Holdout) -> dict[str, float]:
    return stability(
        holdout.p_pay, holdout.paid, holdout.expected_amount, holdout.net_amount, holdout.moments.account
    )  # fmt: skip
