"""From raw scores to calibrated values: fitted on held-out predictions, kept as a table.

A sigmoid (Platt, 1999) rather than an isotonic step function, which has too few steps where payers are rare. Its
slope is fitted on all held-out outcomes. Its level is followed through time, horizon by horizon, because payment levels
drift faster than rankings: what it was in each is an observation with an error of its own, and a local level model
(a random walk seen through noise; Harvey 1989, ch. 2) says where it stands now. Where levels hardly move beyond
chance that is nearly the mean of all; where they do it is nearly the latest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.units import DAY, Instants, Rows
from training.bundle import Floats, Level, Link

Flags = npt.NDArray[np.bool_]

#: Points of a table. At this many, straight lines between them stay within 1e-6 of the curve.
POINTS = 2_001
#: How far beyond the held-out raw scores the table reaches, in raw units.
MARGIN = 2.0
#: Variances by which a level may move from one horizon to the next; the likeliest is taken. The least is above zero: no
#: level stands still for good, and a few quiet periods would otherwise say that it does.
STEPS = np.geomspace(2.5e-4, 1.0, 25)
#: A level that nothing was seen of yet.
UNKNOWN = Level(0.0, 1e6, 0.0)


@dataclass(frozen=True)
class Sigmoid:
    """Probabilities from raw scores in log-odds."""

    slope: float
    level: float

    def __call__(self, raw: Floats) -> Floats:
        """The probability of each raw score."""
        return self.with_shifts(raw, np.zeros(1))

    def with_shifts(self, raw: Floats, by: Floats) -> Floats:
        """The probability of each raw score with so much more log-odds, `(n,)` each."""
        from scipy.special import expit

        return np.asarray(expit(self.slope * raw + self.level + by))

    def shifted(self, by: float) -> Sigmoid:
        """The same with so much more log-odds."""
        return Sigmoid(self.slope, self.level + by)


def fit_sigmoid(raw: Floats, paid: Flags) -> Sigmoid:
    """Slope and level by maximum likelihood; a slope below zero means no signal, and is taken as zero.

    Args:
        raw: `(n,)` held-out raw scores, log-odds.
        paid: `(n,)` what happened.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=np.inf, max_iter=1_000).fit(raw[:, None], paid)
    slope, level = max(float(model.coef_[0, 0]), 0.0), float(model.intercept_[0])
    return Sigmoid(slope, level if slope > 0 else _log_odds(float(paid.mean())))


def link_of(raw: Floats, curve: Callable[[Floats], Floats]) -> Link:
    """The table of a curve over the range of raw scores, `(n,)`."""
    points = np.linspace(raw.min() - MARGIN, raw.max() + MARGIN, POINTS)
    return Link(tuple(points.tolist()), tuple(np.asarray(curve(points)).tolist()))


def with_more_log_odds(link: Link, by: float) -> Link:
    """A link to probabilities, with so much more log-odds everywhere."""
    from scipy.special import expit, logit

    return Link(link.raw, tuple(expit(logit(np.array(link.value)) + by).tolist()))


def probability_level(p: Floats, paid: Flags, account: Rows, as_of: Instants, horizon_days: int, start: Level) -> Level:
    """How far the log-odds of payment stand from those predicted, by the end of these moments.

    Args:
        p: `(n,)` predicted by models that did not see the outcomes.
        paid: `(n,)` what happened.
        account: `(n,)` whose moments these are: those of one account are not independent.
        as_of: `(n,)` when.
        horizon_days: the length of a period.
        start: where the level stood before; `UNKNOWN` where nothing was seen of it.
    """

    def observe(rows: Rows) -> tuple[float, float]:
        return log_odds_shift(p[rows], paid[rows], np.ones(len(rows)), account[rows])

    return _follow(observe, as_of, horizon_days, start)


def log_odds_shift(p: Floats, paid: Flags, weight: Floats, account: Rows) -> tuple[float, float]:
    """What to add to the log-odds of `p` so that as many payments are expected as there were, and its variance.

    NaN, with an infinite variance, where all or none of those that count were payments. The arguments are `(n,)`;
    rows of one account are not independent.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    total = float(weight.sum())
    rate = float((weight * paid).sum()) / total if total > 0 else 0.0
    if not 0 < rate < 1:
        return np.nan, np.inf
    score = logit(np.clip(p, 1e-12, 1 - 1e-12))
    shift = float(brentq(lambda by: float((weight * expit(score + by)).sum()) / total - rate, -40, 40))
    shifted = expit(score + shift)
    slope = float((weight * shifted * (1 - shifted)).sum())
    return shift, _clustered(weight * (paid - shifted), account) / slope**2


def money_level(
    modelled: Floats, actual: Floats, account: Rows, as_of: Instants, horizon_days: int, start: Level
) -> Level:
    """How far the logarithm of money stands from what was modelled; the arguments are those of `probability_level`."""

    def observe(rows: Rows) -> tuple[float, float]:
        total, expected = float(actual[rows].sum()), float(modelled[rows].sum())
        if total <= 0 or expected <= 0:
            return np.nan, np.inf
        ratio = total / expected
        return float(np.log(ratio)), _clustered(actual[rows] - ratio * modelled[rows], account[rows]) / total**2

    return _follow(observe, as_of, horizon_days, start)


def _follow(observe: Callable[[Rows], tuple[float, float]], as_of: Instants, horizon_days: int, start: Level) -> Level:
    """Follow a level period by period, back from the latest moment; a period that tells nothing lets it drift."""
    age = (as_of.max() - as_of) // (horizon_days * DAY)
    periods = [np.flatnonzero(age == period) for period in range(int(age.max()), -1, -1)]
    seen = [observe(rows) if len(rows) else (np.nan, np.inf) for rows in periods]
    if start.variance < UNKNOWN.variance:
        return _filtered(seen, start)[0]
    ways = [_filtered(seen, Level(start.value, start.variance, float(step))) for step in STEPS]
    return max(ways, key=lambda way: way[1])[0]


def _filtered(seen: list[tuple[float, float]], start: Level) -> tuple[Level, float]:
    """The Kalman filter of a local level: where it stands after what was seen, and the log-likelihood of that.

    The first observation of a level that was unknown says where it is, and nothing of how likely its steps are.
    """
    value, variance, likelihood = start.value, start.variance, 0.0
    for shift, error in seen:
        variance += start.step
        if not (np.isfinite(shift) and 0 < error < np.inf):
            continue
        total = variance + error
        if variance < UNKNOWN.variance:
            likelihood -= 0.5 * (np.log(total) + (shift - value) ** 2 / total)
        gain = variance / total
        value += gain * (shift - value)
        variance *= 1 - gain
    return Level(float(value), float(variance), start.step), float(likelihood)


def _clustered(residual: Floats, account: Rows) -> float:
    """The variance of a sum of residuals, `(n,)`, whose rows of one account are not independent."""
    _, which = np.unique(account, return_inverse=True)
    return float((np.bincount(which, weights=residual) ** 2).sum())


def _log_odds(rate: float) -> float:
    from scipy.special import logit

    return float(logit(np.clip(rate, 1e-6, 1 - 1e-6)))
