"""Calls of a Portuguese bank, 2008 to 2010: how much a random split flatters, and what a leak looks like.

Rows are calls in the order of their dates, without an id of the client. The model learns the first 80 % and is asked
about the last 20 %, against a random split of the same sizes; then both again with the duration of the call, which is
known only after it. Marital status is left out, as no model may decide by it. What is exercised of Recoup: learner,
calibration, measures.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy.special import expit

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._snapshots import Snapshot, auc_interval, calibrated, encode, keep, learned
from training.metrics import ranking_and_calibration
from training.settings import read_training_settings

LEARNED_SHARE = 0.8
SEED = 1
NEVER_CALLED = 999
LEAK = "duration"


def main() -> int:
    """Run the benchmark; without the real data it says so and does nothing."""
    folder = real_data("uci_bank_marketing")
    if folder is None:
        return 0
    table = pd.read_csv(folder / "bank-additional-full.csv.gz").drop(columns="marital")
    outcome = (table.pop("y") == "yes").to_numpy()
    table["pdays"] = table["pdays"].mask(table["pdays"] == NEVER_CALLED)
    honest, leaking = encode(table.drop(columns=LEAK), outcome), encode(table, outcome)
    n_learned = int(len(outcome) * LEARNED_SHARE)
    in_time = np.arange(len(outcome))
    at_random = np.random.default_rng(SEED).permutation(len(outcome))
    steps: dict[str, dict[str, float]] = {}
    for split, order in {"later calls": in_time, "random split": at_random}.items():
        for columns, snapshot in {"known before the call": honest, "with its duration, a leak": leaking}.items():
            steps[f"{split}, {columns}"] = _measured(snapshot, order[:n_learned], order[n_learned:])
    rate = {"learned": outcome[:n_learned].mean(), "asked": outcome[n_learned:].mean()}
    keep("bank_marketing", steps, {f"rate_{name}": value for name, value in rate.items()})
    write_report("bank_marketing", _figures(steps, rate))
    return 0


def _measured(snapshot: Snapshot, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    learner, outcome = snapshot.learner(), snapshot.outcome[test]
    raw = learned(snapshot, learner, train, test)
    p = calibrated(snapshot, learner, train, test, read_training_settings().folds.count)
    low, high = auc_interval(raw, outcome)
    return {
        **ranking_and_calibration(p, outcome),
        "auc_low": low,
        "auc_high": high,
        "raw_calibration_error": ranking_and_calibration(expit(raw), outcome)["calibration_error"],
        "predicted_to_actual": float(p.sum() / outcome.sum()),
        "raw_predicted_to_actual": float(expit(raw).sum() / outcome.sum()),
    }


def _figures(steps: dict[str, dict[str, float]], rate: dict[str, float]) -> list[Figure]:
    figures = [Figure(f"subscribed, of calls {name}", value, "rate") for name, value in rate.items()]
    for name, found in steps.items():
        figures += [
            Figure(f"AUC, {name}", found["auc"], "AUC"),
            Figure(f"AUC, {name}, 2.5 % of bootstrap", found["auc_low"], "AUC"),
            Figure(f"AUC, {name}, 97.5 % of bootstrap", found["auc_high"], "AUC"),
            Figure(f"calibration error, {name}", found["calibration_error"], "rate"),
            Figure(f"calibration error, {name}, raw", found["raw_calibration_error"], "rate"),
            Figure(f"predicted to actual, {name}", found["predicted_to_actual"], "ratio"),
            Figure(f"predicted to actual, {name}, raw", found["raw_predicted_to_actual"], "ratio"),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
