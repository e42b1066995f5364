"""Stages: how far accounts have come, in words. What they mean is what the feature `stage` means."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from features.compute import FeatureSet, feature_matrix, prepare
from features.histories import Histories
from features.settings import PortfolioSettings
from features.units import Rows

#: In the order of the feature's values: before the due date; in the first cycle; after it.
STAGES = ("not due", "early", "mid", "late", "front-end", "mid-end", "back-end")


def stage_numbers(histories: Histories, rows: Rows, as_of: int) -> npt.NDArray[np.float32]:
    """The places in `STAGES` of the accounts at `rows`, `(n,)`, as of a moment; NaN where no due date is known."""
    return feature_matrix(histories, rows, np.full(len(rows), as_of), _stage(histories.settings))[:, 0]


def stages(histories: Histories, rows: Rows, as_of: int) -> npt.NDArray[np.object_]:
    """The stages of the accounts at `rows`, `(n,)`, as of a moment; None where no due date is known."""
    number = stage_numbers(histories, rows, as_of)
    # The place after the last is that of no due date.
    return np.array([*STAGES, None], dtype=object)[np.where(np.isnan(number), len(STAGES), number).astype(np.int64)]


@lru_cache(maxsize=4)
def _stage(settings: PortfolioSettings) -> FeatureSet:
    return prepare(settings, ("stage",))
