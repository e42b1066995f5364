"""Reference distributions: what features and scores looked like at training, for drift to be measured against.

A column is kept as the shares of its values in bins. A quantity has its deciles as edges; a decile that occurs twice
is a value that many accounts share (no payment so far), and gets a bin of its own. A category has a bin for each of
its values. What is missing is a bin too. All of it is float32, as features are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[np.float32]

_DECILES = np.arange(1, 10) / 10
#: Shares are kept to so many digits: far finer than what a thousand accounts could tell.
_DIGITS = 6


@dataclass(frozen=True)
class Distribution:
    """The shares of one column in its bins, then of what is missing, `(n_bins + 1,)`.

    Bin `b` of a quantity holds what is above edge `b - 1`, up to edge `b`. A category's bins are its codes; it has no
    `edges`.
    """

    shares: tuple[float, ...]
    edges: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Reference:
    """The latest cross-section that a model was trained on: features and scores (`p_pay`, `expected_amount`) by name.

    `accounts` is how many there were, some at several moments; `expected_auc` is what held-out probabilities promise
    of their own ranking, `expected_brier` of their Brier score, where the bundle says so.
    """

    accounts: int = 0
    features: dict[str, Distribution] = field(default_factory=dict)
    scores: dict[str, Distribution] = field(default_factory=dict)
    expected_auc: float = 0.5
    expected_brier: float | None = None


def reference_of(
    columns: Mapping[str, Column], n_values: Mapping[str, int], scores: Mapping[str, Floats], n_accounts: int,
    expected_auc: float, expected_brier: float,
) -> Reference:  # fmt: skip
    """Describe a cross-section of `n` moments.

    Args:
        columns: each feature's values, `(n,)`.
        n_values: how many values each category has; other features are quantities.
        scores: the scores, `(n,)` each.
        n_accounts: how many accounts the moments are of.
        expected_auc: what the probabilities promise of their ranking.
        expected_brier: and of their Brier score.
    """
    return Reference(
        accounts=n_accounts,
        features={name: distribution(column, n_values.get(name)) for name, column in columns.items()},
        scores={name: distribution(score.astype(np.float32)) for name, score in scores.items()},
        expected_auc=round(expected_auc, _DIGITS),
        expected_brier=round(expected_brier, _DIGITS),
    )


def distribution(column: Column, n_values: int | None = None) -> Distribution:
    """The distribution of a column, `(n,)`; of a category where `n_values` says how many values it has."""
    edges = None if n_values is not None else _edges(column[~np.isnan(column)])
    n_bins = n_values if n_values is not None else len(edges or ()) + 1
    shares = shares_in(column, Distribution((0.0,) * (n_bins + 1), edges))
    return Distribution(tuple(np.round(shares, _DIGITS).tolist()), edges)


def shares_in(column: Column, bins: Distribution, weights: Floats | None = None) -> Floats:
    """The shares of a column, `(n,)`, in the bins of a distribution and of what is missing, `(n_bins + 1,)`.

    Each value counts as one, or for its weight, `(n,)`.
    """
    total = float(len(column) if weights is None else weights.sum())
    counts = np.bincount(bins_of(column, bins), weights=weights, minlength=len(bins.shares))
    return np.asarray(counts / (total or 1.0), dtype=np.float64)


def bins_of(column: Column, bins: Distribution) -> npt.NDArray[np.int64]:
    """The bin of each value of a column, `(n,)`; what is missing is in the last."""
    n_bins = len(bins.shares) - 1
    missing = np.isnan(column)
    place = np.full(len(column), n_bins, dtype=np.int64)
    if bins.edges is None:
        place[~missing] = column[~missing].astype(np.int64)
    else:
        place[~missing] = np.searchsorted(np.array(bins.edges, dtype=np.float32), column[~missing], side="left")
    return place


def _edges(values: Column) -> tuple[float, ...]:
    """The deciles of what is not missing, rising; just below a value that takes two of them there is one more."""
    if not len(values):
        return ()
    deciles = np.quantile(values, _DECILES, method="inverted_cdf").astype(np.float32)
    often = deciles[1:][deciles[1:] == deciles[:-1]]
    with np.errstate(over="ignore"):  # below the least of all numbers lies none
        below = np.nextafter(often, np.float32(-np.inf))
    edges = np.unique(np.concatenate([deciles, below]))
    # The shortest text that reads back as the same float32.
    return tuple(float(str(edge)) for edge in edges)
