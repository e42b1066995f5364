"""A question of a study: moments to learn from, and later, unseen moments to be asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.compute import feature_matrix
from features.errors import HistoryError
from features.histories import Histories
from training.bundle import Floats, Matrix
from training.fit import Learner, OnTree, Rows, fit, raw_scores
from training.heads import Sample
from training.moments import Cuts, Moments, is_paid, sample_moments, stride_for
from training.settings import TrainingSettings
from training.train import training_sample

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Question:
    """What is learned from, and what is asked; `later` is `(n_asked, n_features)`, in the sample's order of features.

    The same accounts may be in both, at different times, as they are when a model is used: what is asked is what later
    time brings, not what other accounts do.
    """

    learned: Sample
    asked: Moments
    later: Matrix

    def answer(
        self, settings: TrainingSettings, on_tree: OnTree, columns: Sequence[int] | None = None,
        rows: Rows | None = None,
    ) -> Floats:  # fmt: skip
        """Fit `p_pay` on some columns and rows, all where not given; its raw scores of the asked, `(n_asked,)`."""
        kept = np.arange(self.later.shape[1]) if columns is None else np.array(columns)
        categories = tuple(np.flatnonzero(np.isin(kept, self.learned.categories)).tolist())
        learner = Learner("binary", settings.p_pay, categories, settings.seed, settings.threads)
        paid = is_paid(self.learned.moments, settings.payment).astype(np.float64)
        model = fit(learner, np.ascontiguousarray(self.learned.matrix[:, kept]), paid, None, on_tree, rows)
        return raw_scores(model, np.ascontiguousarray(self.later[:, kept]), settings.threads)


def put(
    histories: Histories, cuts: Cuts, end: int, known_before: int, horizon_days: int, settings: TrainingSettings
) -> Question:
    """Draw what is learned from before a cut, and what is asked after it.

    Args:
        histories: packed histories of a whole portfolio.
        cuts: the cut, and what may be learned from before it.
        end: the last instant that is asked about.
        known_before: when the outcomes of what is asked are looked at.
        horizon_days: the horizon.
        settings: the moments and features, and the seed.

    Raises:
        HistoryError: too few paid before the cut, or outcomes after it are all alike.
    """
    stride = stride_for(histories, cuts, horizon_days, settings.moments.max_moments, settings.seed)
    learned = training_sample(histories, cuts, stride, settings, horizon_days)
    asked = sample_moments(
        histories, cuts.until, end, max(stride, horizon_days), horizon_days, known_before, settings.seed
    )  # fmt: skip
    paid = is_paid(asked, settings.payment)
    if not 0 < paid.sum() < len(paid):
        raise HistoryError(
            f"models are compared on later time, where some paid and some did not, got {paid.sum():,} payers in "
            f"{len(paid):,} moments after the cut whose outcome has matured; cut earlier, or give more history"
        )
    return Question(learned, asked, feature_matrix(histories, asked.account, asked.as_of, learned.features))
