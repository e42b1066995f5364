"""A randomised test of e-mails, 2008: are effects of an action found, and is a policy of them worth anything?

64,000 customers were sent, by lot, the men's e-mail, the women's, or none; visits and spending of the next two weeks
are known. Effects are learned from one half and asked about the other, several times over. Since the lot is known (one
in three each), the other half says without any model what the effects were, and what a policy would have brought:
its value by inverse propensity, against the best single arm as seen in the learning half.

`fit_outcomes` is under test: Recoup's learner of channel effects, given the lot's chances.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._snapshots import Snapshot, encode, keep, random_folds
from features.progress import bars, line
from training.bundle import Floats, Matrix
from training.calibration import fit_sigmoid, link_of
from training.decisions import Decided
from training.effects import Known, fit_effects
from training.fit import Learner, Rows, cross_fit, fit, raw_scores
from training.moments import Moments
from training.settings import read_training_settings

#: In the order of the arms' numbers; the first is the one that effects are measured against.
ARMS = ("none", "mens", "womens")
SEGMENTS = {"No E-Mail": 0, "Mens E-Mail": 1, "Womens E-Mail": 2}
PROPENSITY = 1 / 3
COLUMNS = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")
OUTCOMES = ("visit", "spend")
SEEDS = (1, 2, 3, 4, 5)
GROUPS = 10

Predict = Callable[[Matrix], Floats]


@dataclass(frozen=True)
class Trial:
    """A part of the test: who was there, `(n, n_columns)`, which arm they drew, and what followed, `(n,)`."""

    matrix: Matrix
    action: Rows
    outcome: Floats

    def take(self, rows: Rows) -> Trial:
        """Some of its customers."""
        return Trial(self.matrix[rows], self.action[rows], self.outcome[rows])


def fit_outcomes(
    matrix: Matrix, action: Rows, propensity: Floats, outcome: Floats, categories: tuple[int, ...], seed: int
) -> Predict:
    """Learn the outcome after each action, as `recoup train` does: whether there is any, times how much if so.

    Args:
        matrix: `(n, n_columns)` float32.
        action: `(n,)` which action was taken, from 0, which is to wait.
        propensity: `(n,)` the probability with which it was.
        outcome: `(n,)` what followed: 0 and 1, or an amount of at least 0.
        categories: which columns hold categories.
        seed: of the trees and folds.

    Returns:
        What predicts the outcome after each action, `(n, n_actions)`, for any matrix of the same columns.
    """
    settings = msgspec.structs.replace(read_training_settings(), seed=seed)
    n, n_actions, some = len(action), int(action.max()) + 1, outcome > 0
    none = np.zeros(n, dtype=np.int64)
    customers = Moments(np.arange(n), none, none, none)
    # Recoup's actions have waiting last. No decision stands apart as drawn at random: all were, by the chance given.
    decided = Decided(customers, (action - 1) % n_actions, propensity, none > 0, np.ones(n), some)
    fold = random_folds(n, settings.folds.count, seed)
    baseline = Learner("binary", settings.p_pay, categories, settings.seed, settings.threads)
    crossed = cross_fit(baseline, matrix, some.astype(np.float64), None, fold, _silent)
    link = link_of(crossed.raw, fit_sigmoid(crossed.raw, some))
    modifiers = tuple(column for column in range(matrix.shape[1]) if column not in categories)
    known = Known(matrix, modifiers, categories)
    fitted = fit_effects(known, decided, link(crossed.raw), n_actions, fold, settings, _silent)
    learner = Learner("gamma", settings.fraction, categories, seed, settings.threads)
    amount = fit(learner, matrix, outcome, None, _silent, np.flatnonzero(some))

    def predict(asked: Matrix) -> Floats:
        p = fitted(link(raw_scores(crossed.model, asked, settings.threads)), asked)
        return np.roll(p, 1, axis=1) * np.exp(raw_scores(amount, asked, settings.threads))[:, None]

    return predict


def _silent() -> None:
    """Show no progress for each tree: the halves are what is counted."""


def main() -> int:
    """Run the benchmark; without the real data it says so and does nothing."""
    folder = real_data("hillstrom_email")
    if folder is None:
        return 0
    snapshot, action, outcomes = _read(folder)
    figures = _truth(action, outcomes)
    steps: dict[str, dict[str, float]] = {}
    with bars() as progress, line(progress, "Halves", len(OUTCOMES) * len(SEEDS)) as advance:
        for name in OUTCOMES:
            trial = Trial(snapshot.matrix, action, outcomes[name])
            runs = []
            for seed in SEEDS:
                runs.append(_half_and_half(trial, snapshot.categories, seed))
                advance()
            for measure in runs[0]:
                found = np.array([run[measure] for run in runs])
                steps.setdefault(name, {})[measure] = float(found.mean())
                steps[name][f"{measure}_sd"] = float(found.std(ddof=1))
    keep("hillstrom", steps, {"seeds": SEEDS, "columns": COLUMNS})
    write_report("hillstrom", [*figures, *_figures(steps)])
    return 0


def _read(folder: Path) -> tuple[Snapshot, Rows, dict[str, Floats]]:
    table = pd.read_csv(folder / "hillstrom.csv.gz")
    action = np.array([SEGMENTS[segment] for segment in table["segment"]], dtype=np.int64)
    outcomes: dict[str, Floats] = {name: np.array(table[name], dtype=np.float64) for name in OUTCOMES}
    return encode(table[list(COLUMNS)], outcomes["visit"] > 0), action, outcomes


def _truth(action: Rows, outcomes: Mapping[str, Floats]) -> list[Figure]:
    """What the lot says of the arms as a whole."""
    figures = [Figure("customers", len(action), "customers", "a third in each arm")]
    for name, outcome in outcomes.items():
        for arm in (1, 2):
            effect, error = _effect(Trial(np.empty((len(action), 0), np.float32), action, outcome), arm)
            figures.append(
                Figure(f"{name}: effect of {ARMS[arm]}", effect, f"{name} a customer", f"± {1.96 * error:.2g}, 95 %")
            )
    return figures


def _effect(trial: Trial, arm: int) -> tuple[float, float]:
    """The effect of an arm by the lot alone, and its standard error."""
    had, had_not = trial.outcome[trial.action == arm], trial.outcome[trial.action == 0]
    error = np.sqrt(had.var(ddof=1) / len(had) + had_not.var(ddof=1) / len(had_not))
    return float(had.mean() - had_not.mean()), float(error)


def _half_and_half(trial: Trial, categories: tuple[int, ...], seed: int) -> dict[str, float]:
    """Learn from one half, measure on the other."""
    order = np.random.default_rng(seed).permutation(len(trial.action))
    train, test = (trial.take(np.sort(rows)) for rows in np.array_split(order, 2))
    propensity = np.full(len(train.action), PROPENSITY)
    predict = fit_outcomes(train.matrix, train.action, propensity, train.outcome, categories, seed)
    predicted = predict(test.matrix)
    found: dict[str, float] = {}
    for arm in (1, 2):
        effect = predicted[:, arm] - predicted[:, 0]
        measures = {**_by_group(test, arm, effect), "qini": qini(test, arm, effect)}
        found |= {f"{ARMS[arm]}_{name}": value for name, value in measures.items()}
    best = max(range(len(ARMS)), key=lambda arm: float(train.outcome[train.action == arm].mean()))
    return found | _policy(test, predicted.argmax(axis=1), best)


def _by_group(test: Trial, arm: int, effect: Floats) -> dict[str, float]:
    """Predicted against actual effect in ten groups by predicted effect.

    `slope` is that of actual on predicted effects (1 is calibrated, 0 no better than a constant), `error` their mean
    distance, `noise` what that distance would be if predictions were right, by the sampling error of the groups.
    """
    groups = np.array_split(np.argsort(effect, kind="stable"), GROUPS)
    predicted = np.array([effect[group].mean() for group in groups])
    actual, error = np.array([_effect(test.take(group), arm) for group in groups]).T
    centred = predicted - predicted.mean()
    return {
        "predicted": float(predicted.mean()),
        "actual": float(actual.mean()),
        "slope": float(centred @ actual / (centred @ centred)),
        "slope_error": float(np.sqrt((centred**2 * error**2).sum()) / (centred @ centred)),
        "error": float(np.abs(predicted - actual).mean()),
        "noise": float(np.sqrt(2 / np.pi) * error.mean()),
        "top_tenth": float(actual[-1]),
        "bottom_tenth": float(actual[0]),
    }


def qini(test: Trial, arm: int, effect: Floats) -> float:
    """The Qini coefficient (Radcliffe 2007): the area between the gain of working the best first, and of any order.

    The gain at a share of the customers is the outcome that the arm added among those so far, per customer of the arm:
    `sum(treated) - sum(others) * n_treated / n_others`, over all treated; the area is per share from 0 to 1.
    """
    both = np.flatnonzero((test.action == arm) | (test.action == 0))
    order = both[np.argsort(-effect[both], kind="stable")]
    treated, outcome = test.action[order] == arm, test.outcome[order]
    n_treated, n_other = np.cumsum(treated), np.cumsum(~treated)
    added = np.cumsum(outcome * treated) - np.cumsum(outcome * ~treated) * n_treated / np.maximum(n_other, 1)
    share = np.arange(1, len(order) + 1) / len(order)
    gain = added / treated.sum()
    return float(np.mean(gain - share * gain[-1]))


def _policy(test: Trial, chosen: Rows, best: int) -> dict[str, float]:
    """The value per customer of choosing arms one by one, and of the best single arm, by inverse propensity."""
    value = np.where(test.action == chosen, test.outcome, 0.0) / PROPENSITY
    constant = np.where(test.action == best, test.outcome, 0.0) / PROPENSITY
    gain = value - constant
    error = 1.96 * float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return {
        "policy_value": float(value.mean()),
        "best_arm_value": float(constant.mean()),
        "policy_gain": float(gain.mean()),
        "policy_gain_low": float(gain.mean()) - error,
        "policy_gain_high": float(gain.mean()) + error,
        "share_mens": float((chosen == 1).mean()),
        "share_womens": float((chosen == 2).mean()),
    }


def _figures(steps: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """The mean over the halves, and their standard deviation beside it."""
    against = f"{len(SEEDS)} halves, sd "
    ratios = ("slope", "slope_error", "share_mens", "share_womens")
    return [
        Figure(
            f"{outcome}: {name.replace('_', ' ')}",
            value,
            "ratio" if name.endswith(ratios) else f"{outcome} a customer",
            f"{against}{found[f'{name}_sd']:.2g}",
        )
        for outcome, found in steps.items()
        for name, value in found.items()
        if not name.endswith("_sd")
    ]


if __name__ == "__main__":
    sys.exit(main())
