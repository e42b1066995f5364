"""The two heads: the probability of a payment, and the fraction of the balance that is paid where anything is.

The expected amount is their product with the balance (a two-part model): units stay right, and a large balance that
never pays is told from a small one that does. Both are calibrated on predictions held out by account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from features.compute import FeatureSet
from features.progress import line
from features.units import Rows, from_money
from training.bundle import FRACTION, P_PAY, Floats, Link, Links, Matrix
from training.calibration import exponential_link, sigmoid_link
from training.fit import Learner, fit, held_out, raw_scores
from training.moments import Moments, is_paid
from training.settings import TrainingSettings

Flags = npt.NDArray[np.bool_]

#: A balance below this, in the main unit, counts as this where fractions of it are learned.
SMALLEST_BALANCE = 1.0


@dataclass(frozen=True)
class Sample:
    """Training moments with their features, `(n, n_features)` float32.

    `is_section` marks those that are a cross-section of the live accounts, `(n,)`; only they set levels. The others
    (the moments just after placement) are for fitting alone.
    """

    features: FeatureSet
    moments: Moments
    matrix: Matrix
    is_section: Flags

    @property
    def categories(self) -> tuple[int, ...]:
        """The columns that hold categories."""
        return tuple(place for place, feature in enumerate(self.features.features) if feature.is_category)


@dataclass(frozen=True)
class Heads:
    """The models of payment and money; `p_pay` (held out) and `amount_if_paid` are `(n,)`, of the sample's moments."""

    links: Links
    models: dict[str, Any]
    p_pay: Floats
    amount_if_paid: Floats


def fit_heads(sample: Sample, fold: Rows, settings: TrainingSettings, progress: Progress) -> Heads:
    """Fit the probability on all moments and the fraction on the paid ones; calibrate on predictions held out.

    Args:
        sample: what to learn from.
        fold: `(n,)` the fold of each moment's account.
        settings: how.
        progress: where to show it.
    """
    paid = is_paid(sample.moments, settings.payment)
    p_model, p_link, raw = fit_probability(sample, paid, fold, settings, progress)
    f_model, f_link = _fit_fraction(sample, paid, fold, settings, progress)
    fraction = f_link(raw_scores(f_model, sample.matrix, settings.threads))
    return Heads(
        links=Links(p_link, f_link),
        models={P_PAY: p_model, FRACTION: f_model},
        p_pay=p_link(raw),
        amount_if_paid=fraction * from_money(sample.moments.balance),
    )


def fit_probability(
    sample: Sample, paid: Flags, fold: Rows, settings: TrainingSettings, progress: Progress
) -> tuple[Any, Link, Floats]:
    """The model of what happened, its link, and the held-out raw scores, `(n,)`."""
    learner = Learner("binary", settings.p_pay, sample.categories, settings.seed, settings.threads)
    target = paid.astype(np.float64)
    with line(progress, "Probability", (settings.folds.count + 1) * settings.p_pay.trees) as advance:
        raw = held_out(learner, sample.matrix, target, None, fold, advance)
        model = fit(learner, sample.matrix, target, None, advance)
    section = sample.is_section
    latest = latest_moments(sample.moments, paid, section, settings.folds.latest_payers)
    return model, sigmoid_link(raw[section], paid[section], latest[section]), raw


def _fit_fraction(
    sample: Sample, paid: Flags, fold: Rows, settings: TrainingSettings, progress: Progress
) -> tuple[Any, Link]:
    """The model and its link, scaled so that held-out totals are right."""
    learner = Learner("gamma", settings.fraction, sample.categories, settings.seed, settings.threads)
    rows = np.flatnonzero(paid)
    matrix, moments = sample.matrix[rows], sample.moments.take(rows)
    balance = np.maximum(from_money(moments.balance), SMALLEST_BALANCE)
    target, weight = from_money(moments.net_amount) / balance, balance / balance.mean()
    with line(progress, "Amount paid", (settings.folds.count + 1) * settings.fraction.trees) as advance:
        raw = held_out(learner, matrix, target, weight, fold[rows], advance)
        model = fit(learner, matrix, target, weight, advance)
    section = sample.is_section
    modelled = float((np.exp(raw) * from_money(moments.balance))[section[rows]].sum())
    # All money, net of the moments in which more was reversed than paid: no fraction above zero can hold those.
    actual = float(from_money(sample.moments.net_amount[section]).sum())
    return model, exponential_link(raw, max(actual, 0.0) / modelled)


def latest_moments(moments: Moments, paid: Flags, among: Flags, payers: int) -> Flags:
    """The latest moments `among` some that hold so many paying accounts; all of them where there are fewer."""
    rows = np.flatnonzero(among & paid)
    rows = rows[np.argsort(-moments.as_of[rows], kind="stable")]
    _, first = np.unique(moments.account[rows], return_index=True)
    nth = np.sort(first)[min(payers, len(first)) - 1]
    return np.asarray(among & (moments.as_of >= moments.as_of[rows[nth]]))
