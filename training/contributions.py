"""What a model goes by: the mean absolute contribution of each feature, and of each family of features.

Contributions are exact (TreeSHAP, Lundberg et al. 2020, as LightGBM computes it) and in log-odds: those of a row add up
to its raw score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from training.bundle import Matrix


def mean_contributions(
    model: Any, matrix: Matrix, names: Sequence[str], families: Mapping[str, str], threads: int = 1
) -> pd.DataFrame:
    """How far each feature moves the raw score on average over rows.

    Args:
        model: a LightGBM booster.
        matrix: `(n, n_features)` float32, the rows to explain.
        names: the features, in the order of the columns.
        families: the family of each feature.
        threads: how many threads LightGBM may use.

    Returns:
        A row per feature, `feature`, `family`, `contribution`, the largest first.
    """
    # The last column is the mean raw score, which is no feature's.
    each = np.asarray(model.predict(matrix, pred_contrib=True, num_threads=threads))[:, :-1]
    table = pd.DataFrame(
        {
            "feature": list(names),
            "family": [families[name] for name in names],
            "contribution": np.abs(each).mean(axis=0),
        }
    )
    return table.sort_values("contribution", ascending=False, kind="stable", ignore_index=True)


def by_family(contributions: pd.DataFrame) -> pd.DataFrame:
    """The features and the share of all contributions of each family, the largest first."""
    table = contributions.groupby("family", sort=True).agg(
        features=("feature", "size"), contribution=("contribution", "sum")
    )
    table["share"] = table["contribution"] / (table["contribution"].sum() or 1.0)
    return table.sort_values("contribution", ascending=False, kind="stable").reset_index()
