"""What each family of features is worth: the AUC of `p_pay` on later time as families are added one by one.

Every step fits the same model on the same moments, with the columns of one family more, and is asked about the same
later, unseen moments. A step's gain depends on what was there before it: what two families both know counts for the
first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.bootstrap import INTERVAL, account_weights, ranking, weighted_auc
from features.catalog.grammar import Category, Feature
from features.compute import feature_matrix, known_categories, prepare
from features.errors import HistoryError
from features.histories import Histories
from features.selection import available
from training.bundle import Floats
from training.fit import Learner, fit, raw_scores
from training.metrics import auc
from training.moments import Cuts, entry_moments, is_paid, sample_moments, stride_for
from training.settings import TrainingSettings

Flags = npt.NDArray[np.bool_]

#: The order in which families are added: what a ledger knows, then what collecting adds.
ORDER = (
    ("balance and charges", "attributes"), ("payments",), ("contact history",), ("promises",), ("ageing",),
    ("restrictions",), ("portfolio",),
)  # fmt: skip
REPEATS = 200


@dataclass(frozen=True)
class Step:
    """A step: the families it adds, how many features there are then, and what they reach on later time.

    `gain` is the AUC above the step before, with the ends of its 95 % bootstrap interval over accounts.
    """

    added: tuple[str, ...]
    features: int
    auc: float
    gain: float
    gain_low: float
    gain_high: float


def add_families(
    histories: Histories, cuts: Cuts, horizon_days: int, settings: TrainingSettings, on_step: Callable[[], None]
) -> tuple[Step, ...]:
    """Fit `p_pay` on more and more families, and ask each fit about the moments after the cut.

    Args:
        histories: packed histories of a whole portfolio.
        cuts: what is learned from and what is asked about.
        horizon_days: the horizon.
        settings: the model, its moments and its seed.
        on_step: called after each step, for progress.

    Raises:
        HistoryError: no outcome after the cut has matured.
    """
    stride = stride_for(histories, cuts, horizon_days, settings.moments.max_moments, settings.seed)
    learned = sample_moments(
        histories, cuts.begin, cuts.train_end, stride, horizon_days, cuts.until, settings.seed
    )  # fmt: skip
    if settings.moments.entry:
        entries = entry_moments(histories, cuts.begin, cuts.train_end, horizon_days, cuts.until)
        learned = learned.and_then(entries)
    asked = sample_moments(
        histories, cuts.until, cuts.test_end, max(stride, horizon_days), horizon_days, cuts.data_end, settings.seed
    )  # fmt: skip
    if not len(asked):
        raise HistoryError("families are compared on later time, and no outcome after the cut has matured; cut earlier")
    names = available(histories, cuts.until)
    features = prepare(histories.settings, names, known_categories(histories, cuts.until))
    matrix = feature_matrix(histories, learned.account, learned.as_of, features)
    later = feature_matrix(histories, asked.account, asked.as_of, features)
    paid, paid_later = is_paid(learned, settings.payment).astype(np.float64), is_paid(asked, settings.payment)
    weights = list(account_weights(asked.account, REPEATS, settings.seed))
    steps: list[Step] = []
    families: tuple[str, ...] = ()
    before: Floats | None = None
    for added in ORDER:
        families += added
        columns = [place for place, feature in enumerate(features.features) if feature.family in families]
        chosen = [features.features[place] for place in columns]
        learner = Learner("binary", settings.p_pay, _categories(chosen), settings.seed, settings.threads)
        model = fit(learner, np.ascontiguousarray(matrix[:, columns]), paid, None, lambda: None)
        raw = raw_scores(model, np.ascontiguousarray(later[:, columns]), settings.threads)
        steps.append(_step(added, len(columns), raw, before, paid_later, weights))
        before = raw
        on_step()
    return tuple(steps)


def _categories(features: Sequence[Feature]) -> tuple[int, ...]:
    return tuple(place for place, feature in enumerate(features) if isinstance(feature.measure, Category))


def _step(
    added: tuple[str, ...], n_features: int, raw: Floats, before: Floats | None, paid: Flags, weights: Sequence[Floats],
) -> Step:  # fmt: skip
    found = auc(raw, paid)
    if before is None:
        return Step(added, n_features, found, 0.0, 0.0, 0.0)
    now, then = ranking(raw), ranking(before)
    gains = [weighted_auc(now, paid, weight) - weighted_auc(then, paid, weight) for weight in weights]
    low, high = np.quantile(gains, INTERVAL)
    return Step(added, n_features, found, found - auc(before, paid), float(low), float(high))
