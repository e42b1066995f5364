"""The bootstrap by account: all moments of an account are drawn together, since they are not independent.

Accounts are drawn with replacement (the bootstrap of clusters; Davison and Hinkley, 1997, 3.8). A draw says how often
each moment counts, and the measures of `training.metrics` are worked out with those weights from an order that is
found once: they are what the measures themselves would give of the moments written out that often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.units import Rows
from training.bundle import Floats

Flags = npt.NDArray[np.bool_]

#: The ends of a 95 % interval, as quantiles of what the draws gave.
INTERVAL = (0.025, 0.975)


def account_weights(account: Rows, repeats: int, seed: int) -> Iterator[Floats]:
    """How often each moment counts in each of the draws, `(n,)`, given the account of each, `(n,)`."""
    accounts, which = np.unique(account, return_inverse=True)
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        drawn = generator.integers(0, len(accounts), len(accounts))
        yield np.bincount(drawn, minlength=len(accounts)).astype(np.float64)[which]


@dataclass(frozen=True)
class Ranking:
    """The rows in ascending order of a score, `(n,)`, and the places where a run of equal scores begins."""

    rows: Rows
    begin: Rows


def ranking(score: Floats) -> Ranking:
    """Order rows by their score, `(n,)`, equal ones as they come."""
    rows = np.argsort(score, kind="stable")
    ordered = score[rows]
    return Ranking(rows, np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])))


def weighted_auc(order: Ranking, paid: Flags, weight: Floats) -> float:
    """The area under the ROC curve of a ranking: how often a payer ranks above another, ties counting half.

    NaN where there is no payer, or nobody else.
    """
    ordered, happened = weight[order.rows], paid[order.rows]
    payers = np.add.reduceat(ordered * happened, order.begin)
    others = np.add.reduceat(ordered * ~happened, order.begin)
    below = np.cumsum(others) - others / 2
    pairs = float(payers.sum() * others.sum())
    return float(payers @ below) / pairs if pairs > 0 else float("nan")


def weighted_calibration_error(order: Ranking, p: Floats, paid: Flags, weight: Floats, bins: int = 10) -> float:
    """`training.metrics.calibration_error`: over `bins` groups of equal size, however often a row counts."""
    reached = _running(weight[order.rows])
    off = _running((weight * (p - paid))[order.rows])
    total = reached[-1]
    sizes = total // bins + (np.arange(bins) < total % bins)
    return float(np.abs(np.diff(np.interp(_running(sizes), reached, off))).sum() / total)


def weighted_top_tenth_share(order: Ranking, actual: Floats, weight: Floats) -> float:
    """The share of the money that the first tenth of an order, `(n,)`, brought."""
    reached, money = _running(weight[order.rows]), _running((weight * actual)[order.rows])
    return float(np.interp(max(1.0, reached[-1] // 10), reached, money) / money[-1])


def _running(values: Floats) -> Floats:
    """The sums of the first 0, 1, ... n values, `(n + 1,)`."""
    return np.concatenate([[0.0], np.cumsum(values)])
