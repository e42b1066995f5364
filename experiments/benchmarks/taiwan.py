"""Credit cards in Taiwan, 2005: the learner's ranking, and what its calibration adds, by five-fold cross-validation.

One row per account: six months of repayment statuses, bills and payments; the outcome is the default of the next
month. Sex and marital status are left out, as no model may decide by them; what they would add is measured. What is
exercised of Recoup: learner, calibration, measures.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy.special import expit

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._snapshots import (
    Snapshot,
    auc_by_fold,
    bootstrap,
    calibrated,
    cross_validated,
    encode,
    gain_interval,
    keep,
    random_folds,
)
from training.bundle import Floats
from training.metrics import auc, calibration_error, ranking_and_calibration
from training.settings import read_training_settings

FOLDS, SEED = 5, 1
OUTCOME = "default.payment.next.month"
PROHIBITED = ("SEX", "MARRIAGE")


def main() -> int:
    """Run the benchmark; without the real data it says so and does nothing."""
    folder = real_data("uci_taiwan_credit")
    if folder is None:
        return 0
    table = pd.read_csv(folder / "UCI_Credit_Card.csv.gz").drop(columns="ID")
    outcome = (table.pop(OUTCOME) == 1).to_numpy()
    table["EDUCATION"] = table["EDUCATION"].astype(str)  # a code, not an amount
    full = encode(table, outcome)
    allowed = encode(table.drop(columns=list(PROHIBITED)), outcome)
    fold = random_folds(len(allowed), FOLDS, SEED)
    raw = cross_validated(allowed, allowed.learner(), fold)
    with_prohibited = cross_validated(full, full.learner(), fold)
    found = {"raw": expit(raw), "sigmoid": _calibrated(allowed, fold)}
    measured = {name: ranking_and_calibration(p, outcome) for name, p in found.items()}
    by_fold = auc_by_fold(raw, outcome, fold)
    low, high = gain_interval(with_prohibited, raw, outcome)
    figures = [
        Figure("accounts", len(outcome), "accounts", f"{int(outcome.sum())} in default"),
        Figure("AUC, mean of folds", float(by_fold.mean()), "AUC", f"{FOLDS} folds; about 0.78 is published"),
        Figure("AUC, sd over folds", float(by_fold.std(ddof=1)), "AUC"),
        Figure("AUC gained by sex and marital status", auc(with_prohibited, outcome) - auc(raw, outcome), "AUC"),
        Figure("AUC gained by them, 2.5 % of bootstrap", low, "AUC"),
        Figure("AUC gained by them, 97.5 % of bootstrap", high, "AUC"),
    ]
    for name, p in found.items():
        errors = np.array([calibration_error(p[fold == held], outcome[fold == held]) for held in range(FOLDS)])
        figures += [
            Figure(f"calibration error, {name}, mean of folds", float(errors.mean()), "rate", "ten equal groups"),
            Figure(f"calibration error, {name}, sd over folds", float(errors.std(ddof=1)), "rate"),
            Figure(f"Brier score, {name}", measured[name]["brier"], "score"),
        ]
    saved = (found["raw"] - outcome) ** 2 - (found["sigmoid"] - outcome) ** 2
    low, high = bootstrap(lambda rows: float(saved[rows].mean()), len(saved))
    figures += [
        Figure("Brier score saved by the sigmoid", float(saved.mean()), "score", "raw"),
        Figure("Brier score saved, 2.5 % of bootstrap", low, "score", "raw"),
        Figure("Brier score saved, 97.5 % of bootstrap", high, "score", "raw"),
    ]
    keep("taiwan", measured, {"folds": FOLDS, "seed": SEED, "auc_mean": by_fold.mean(), "auc_sd": by_fold.std(ddof=1)})
    write_report("taiwan", figures)
    return 0


def _calibrated(snapshot: Snapshot, fold: np.ndarray) -> Floats:
    """The calibrated probability of each row by a model, and a calibration, that saw no row of its fold."""
    found = np.empty(len(snapshot))
    for held in range(FOLDS):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        folds = read_training_settings().folds.count
        found[test] = calibrated(snapshot, snapshot.learner(), train, test, folds)
    return found


if __name__ == "__main__":
    sys.exit(main())
