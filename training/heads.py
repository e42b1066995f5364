"""The two heads: the probability of a payment, and the fraction of the balance that is paid where anything is.

The expected amount is their product with the balance (a two-part model): units stay right, and a large balance that
never pays is told from a small one that does. Both are calibrated on predictions held out by account.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from features.compute import FeatureSet
from features.progress import line
from features.units import Rows, from_money
from training.bundle import Floats, Level, Link, Matrix
from training.calibration import UNKNOWN, fit_sigmoid, link_of, money_level, probability_level
from training.fit import CrossFitted, Learner, cross_fit, raw_scores
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
class Head:
    """A model, the link of its raw scores, and where its level stands."""

    model: Any
    link: Link
    level: Level


@dataclass(frozen=True)
class Heads:
    """The models of payment and money; `p_pay` (held out) and `amount_if_paid` are `(n,)`, of the sample's moments.

    There is no `fraction` where labels were learned, and amounts are NaN. `crossed` says `p_pay` of other moments, too.
    """

    probability: Head
    fraction: Head | None
    p_pay: Floats
    amount_if_paid: Floats
    crossed: CrossFitted

    def held_out(self, matrix: Matrix, fold: Rows, threads: int) -> Floats:
        """The probability at any moments, `(n,)`, by models that did not see the fold of their account."""
        return self.probability.link(self.crossed.held_out(matrix, fold, threads))


def fit_heads(sample: Sample, fold: Rows, horizon_days: int, settings: TrainingSettings, progress: Progress) -> Heads:
    """Fit the probability on all moments and the fraction on the paid ones; calibrate on predictions held out.

    Args:
        sample: what to learn from.
        fold: `(n,)` the fold of each moment's account.
        horizon_days: how far outcomes look; levels are followed in periods of that length.
        settings: how.
        progress: where to show it.
    """
    paid = is_paid(sample.moments, settings.payment)
    probability, crossed = fit_probability(sample, paid, fold, horizon_days, settings, progress)
    fraction = _fit_fraction(sample, paid, fold, horizon_days, settings, progress)
    share = fraction.link(raw_scores(fraction.model, sample.matrix, settings.threads))
    amount = share * from_money(sample.moments.balance)
    return Heads(probability, fraction, probability.link(crossed.raw), amount, crossed)


def fit_probability(
    sample: Sample, paid: Flags, fold: Rows, horizon_days: int, settings: TrainingSettings, progress: Progress
) -> tuple[Head, CrossFitted]:
    """The head of what happened, `(n,)`, and what holds accounts out."""
    learner = Learner("binary", settings.p_pay, sample.categories, settings.seed, settings.threads)
    target, matrix = paid.astype(np.float64), sample.matrix
    with line(progress, "Probability", (settings.folds.count + 1) * settings.p_pay.trees) as advance:
        crossed = cross_fit(learner, matrix, target, None, fold, advance)
    raw = crossed.raw
    moments, section = sample.moments.take(sample.is_section), sample.is_section
    sigmoid = fit_sigmoid(raw[section], paid[section])
    level = probability_level(
        sigmoid(raw[section]), paid[section], moments.account, moments.as_of, horizon_days, UNKNOWN
    )  # fmt: skip
    head = Head(crossed.model, link_of(raw[section], sigmoid.shifted(level.value)), replace(level, value=0.0))
    return head, crossed


def _fit_fraction(
    sample: Sample, paid: Flags, fold: Rows, horizon_days: int, settings: TrainingSettings, progress: Progress
) -> Head:
    """The head, scaled so that held-out totals are right."""
    learner = Learner("gamma", settings.fraction, sample.categories, settings.seed, settings.threads)
    rows = np.flatnonzero(paid)
    matrix, moments = sample.matrix[rows], sample.moments.take(rows)
    target, weight = fraction_paid(moments)
    with line(progress, "Amount paid", (settings.folds.count + 1) * settings.fraction.trees) as advance:
        crossed = cross_fit(learner, matrix, target, weight, fold[rows], advance)
    raw = crossed.raw
    modelled = np.zeros(len(sample.moments))
    modelled[rows] = np.exp(raw) * from_money(moments.balance)
    # All money, net of the moments in which more was reversed than paid: no fraction above zero can hold those.
    section, of_section = sample.is_section, sample.moments.take(sample.is_section)
    actual = from_money(of_section.net_amount)
    level = money_level(modelled[section], actual, of_section.account, of_section.as_of, horizon_days, UNKNOWN)
    factor = float(np.exp(level.value))
    return Head(crossed.model, link_of(raw, lambda points: factor * np.exp(points)), replace(level, value=0.0))


def fraction_paid(moments: Moments) -> tuple[Floats, Floats]:
    """The fraction of the balance that followed each moment, and its weight, the balance by its mean; `(n,)` each."""
    balance = np.maximum(from_money(moments.balance), SMALLEST_BALANCE)
    return from_money(moments.net_amount) / balance, balance / balance.mean()
