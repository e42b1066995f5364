"""Real fines: does the history know more at notification than the account's columns do?

Everything is trained on what was known before July 2009 and tested on the fines notified after it, at the midnight
after their notification, on whether they were paid within 180 days. Recoup against a plain LightGBM on the account's
columns, once without and once with the days from the fine to its notification; intervals from a paired bootstrap.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from features import environment
from features.compute import feature_matrix, prepare
from features.histories import Histories, pack
from features.portfolio import read_portfolio
from features.units import DAY, from_money, parse_instant
from training.bundle import Floats
from training.metrics import auc
from training.moments import Cuts, Moments, cut_time, entry_moments
from training.settings import read_training_settings
from training.train import Task, train

CUT = "2009-07-01"
HORIZON_DAYS = 180
ACCOUNT_COLUMNS = ("placed_balance", "segment", "attribute_points", "attribute_article", "calendar_month")
REPEATS = 500


def main() -> int:
    """Run the benchmark; without the real data it says so and does nothing."""
    folder = real_data("road_fines")
    if folder is None:
        return 0
    histories = pack(read_portfolio(folder))
    settings = read_training_settings()
    task = Task(HORIZON_DAYS, parse_instant(CUT), environment.now(), "", "")
    with Progress() as progress:
        bundle = train(histories, settings, task, progress).bundle
    cuts = cut_time(histories, HORIZON_DAYS, task.until, task.now)
    test = entry_moments(histories, cuts.until, cuts.test_end, HORIZON_DAYS, cuts.data_end)
    features = prepare(histories.settings, bundle.manifest.features, bundle.manifest.categories)
    matrix = feature_matrix(histories, test.account, test.as_of, features)
    ours = bundle.predict(matrix, from_money(test.balance)).p_pay
    categories = bundle.manifest.categories
    plain = {lag: _plain(histories, cuts, test, categories, lag) for lag in (False, True)}
    write_report("road_fines", _figures(ours, plain, test.net_amount > 0))
    return 0


def _plain(
    histories: Histories, cuts: Cuts, test: Moments, categories: dict[str, tuple[str, ...]], with_lag: bool
) -> Floats:
    """A plain LightGBM on the account's columns, fitted at the notifications whose outcome was known by the cut."""
    import lightgbm

    features = prepare(histories.settings, ACCOUNT_COLUMNS, categories)

    def columns(moments: Moments) -> npt.NDArray[Any]:
        matrix = feature_matrix(histories, moments.account, moments.as_of, features)
        lag = (histories.accounts.placed_at - histories.accounts.opened_at)[moments.account] / DAY
        return np.column_stack([matrix, lag]) if with_lag else matrix

    known = entry_moments(histories, cuts.begin, cuts.train_end, HORIZON_DAYS, cuts.until)
    data = lightgbm.Dataset(columns(known), (known.net_amount > 0).astype(float), categorical_feature=[1, 3])
    parameters = {"objective": "binary", "learning_rate": 0.05, "num_threads": 2, "verbosity": -1, "seed": 1}
    model = lightgbm.train(parameters, data, 150)
    return np.asarray(model.predict(columns(test), num_threads=2))


def _figures(ours: Floats, plain: dict[bool, Floats], paid: npt.NDArray[np.bool_]) -> list[Figure]:
    generator = np.random.default_rng(1)
    draws = [generator.integers(0, len(paid), len(paid)) for _ in range(REPEATS)]
    figures = [
        Figure("fines tested", len(paid), "accounts", f"{int(paid.sum())} paid"),
        Figure("AUC at notification", auc(ours, paid), "AUC", "outcomes in 180 days"),
    ]
    for lag, scores in plain.items():
        against = "plain LightGBM on the account columns" + (" and days to notification" if lag else "")
        gain = [auc(ours[draw], paid[draw]) - auc(scores[draw], paid[draw]) for draw in draws]
        low, high = np.quantile(gain, [0.025, 0.975])
        figures += [
            Figure(f"AUC of {against}", auc(scores, paid), "AUC", "outcomes in 180 days"),
            Figure("AUC gained", auc(ours, paid) - auc(scores, paid), "AUC", against),
            Figure("AUC gained, 2.5 % of bootstrap", float(low), "AUC", against),
            Figure("AUC gained, 97.5 % of bootstrap", float(high), "AUC", against),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
