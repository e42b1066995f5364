"""The head of promises: the probability that a promise is kept, at the moment it is made.

Learned from every promise of a live account that was open when it became known and whose time, grace included, was over
early enough for its payments to be known before the cut. Its features are those of the first moment at which it counts,
just after it became known, so that the promise itself is among them. Those that were covered by then, or over, leave
nothing to foretell.

What is unseen are the promises that became known from the cut on, as far as their outcome is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from features.compute import FeatureSet, feature_matrix, standing
from features.histories import Histories
from features.outcomes import promise_outcomes
from features.progress import line
from features.units import DAY, Instants, Rows
from training.bundle import PROMISE, Bundle, Link, PromiseSupport
from training.calibration import fit_sigmoid, link_of
from training.fit import Learner, fit, fold_models, held_out, raw_scores
from training.heads import Sample
from training.metrics import auc_error, ranking_and_calibration
from training.moments import Cuts, account_folds
from training.settings import TrainingSettings

#: Fewer promises than this that were kept, or that were broken, tell nothing apart.
FEWEST = 100


@dataclass(frozen=True)
class PromiseMoments:
    """Promises with their outcome, `(n,)` each: the account, the moment just after it became known, whether kept."""

    account: Rows
    as_of: Instants
    kept: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of promises."""
        return len(self.account)


def promise_moments(histories: Histories, begin: int, over_before: int, known_before: int) -> PromiseMoments:
    """The promises of live accounts that became known from `begin` on, open then, and over before an instant.

    Args:
        histories: packed histories.
        begin: the first instant at which a promise may become known.
        over_before: the instant before which its grace must have ended, earlier than the next by the time within
            which payments are recorded.
        known_before: what was known strictly before it says whether the promise was kept.
    """
    found = promise_outcomes(histories, known_before)
    _, live = standing(histories, found.account, found.as_of)
    rows = live & found.was_open & (found.as_of > begin) & (found.deadline < over_before)
    return PromiseMoments(found.account[rows], found.as_of[rows], found.kept[rows])


def with_promises(
    bundle: Bundle, histories: Histories, sample: Sample, cuts: Cuts, settings: TrainingSettings, progress: Progress
) -> Bundle:
    """The bundle with the head of promises where there are enough, and with how many there are in any case."""
    learned = promise_moments(histories, cuts.begin, _end(bundle, cuts.train_end), cuts.until)
    kept = int(learned.kept.sum())
    support = PromiseSupport(kept, len(learned) - kept, min(kept, len(learned) - kept) >= FEWEST)
    counted = replace(bundle, manifest=replace(bundle.manifest, promises=support))
    if not support.supported:
        return counted
    model, link = _fit(histories, learned, sample, settings, progress)
    return replace(counted, models={**bundle.models, PROMISE: model}, links=replace(bundle.links, promise=link))


def measure_promises(
    bundle: Bundle, histories: Histories, features: FeatureSet, cuts: Cuts, settings: TrainingSettings
) -> dict[str, float]:
    """What the head reached on the promises that became known from the cut on; nothing where there is none.

    Figures of one outcome alone, all kept or all broken, say nothing of ranking and leave it out.
    """
    unseen = promise_moments(histories, cuts.until, _end(bundle, cuts.test_end), cuts.data_end)
    if bundle.links.promise is None or not len(unseen):
        return {}
    p = bundle.predict_promise(feature_matrix(histories, unseen.account, unseen.as_of, features), settings.threads)
    figures = ranking_and_calibration(p, unseen.kept) | {
        "auc_error": auc_error(p, unseen.kept, unseen.account),
        "predicted_kept": float(p.sum()),
        "kept": float(unseen.kept.sum()),
        "promises": float(len(unseen)),
    }
    return {f"promise_{name}": value for name, value in figures.items() if np.isfinite(value)}


def _end(bundle: Bundle, last_moment: int) -> int:
    """Until when promises must be over: as long after the last moment as its own outcome takes to mature."""
    return last_moment + bundle.manifest.horizon_days * DAY


def _fit(
    histories: Histories, learned: PromiseMoments, sample: Sample, settings: TrainingSettings, progress: Progress
) -> tuple[object, Link]:
    """The model of all promises, and a sigmoid fitted on predictions held out by account."""
    learner = Learner("binary", settings.promise, sample.categories, settings.seed, settings.threads)
    matrix = feature_matrix(histories, learned.account, learned.as_of, sample.features)
    target = learned.kept.astype(np.float64)
    fold = account_folds(histories, settings.folds.count, settings.seed)[learned.account]
    with line(progress, "Promises", (settings.folds.count + 1) * settings.promise.trees) as advance:
        models = fold_models(learner, matrix, target, None, fold, advance)
        raw = held_out(models, fold, lambda model, rows: raw_scores(model, matrix[rows], settings.threads))
        model = fit(learner, matrix, target, None, advance)
    return model, link_of(raw, fit_sigmoid(raw, learned.kept))
