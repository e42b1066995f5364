"""From raw scores to calibrated values: fitted on held-out predictions, kept as a table.

A sigmoid (Platt, 1999) rather than an isotonic step function, which has too few steps where payers are rare. Its
slope is fitted on all held-out outcomes, its level on the latest ones: payment levels drift faster than rankings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from training.bundle import Floats, Link

#: Points of a table. At this many, straight lines between them stay within 1e-6 of the curve.
POINTS = 2_001
#: How far beyond the held-out raw scores the table reaches, in raw units.
MARGIN = 2.0


def sigmoid_link(raw: Floats, paid: npt.NDArray[np.bool_], latest: npt.NDArray[np.bool_]) -> Link:
    """Calibrate raw scores, `(n,)` log-odds, to probabilities of payment.

    Args:
        raw: held-out raw scores.
        paid: what happened.
        latest: which outcomes the level is set on.
    """
    slope, level = _platt(raw, paid)
    level = _level_for(slope * raw[latest], float(paid[latest].mean()), level)
    return _table(raw, lambda points: _sigmoid(slope * points + level))


def exponential_link(raw: Floats, factor: float) -> Link:
    """Turn the raw scores of a model with a log link, `(n,)`, into values, all scaled by `factor`."""
    return _table(raw, lambda points: factor * np.exp(points))


def _platt(raw: Floats, paid: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and level by maximum likelihood; a slope below zero means no signal, and is taken as zero."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=np.inf, max_iter=1_000).fit(raw[:, None], paid)
    return max(float(model.coef_[0, 0]), 0.0), float(model.intercept_[0])


def _level_for(sloped: Floats, rate: float, start: float) -> float:
    """The level at which the mean probability is `rate`; `start` where all or none of these outcomes were payments."""
    from scipy.optimize import brentq

    if not 0 < rate < 1:
        return start
    return float(brentq(lambda level: float(_sigmoid(sloped + level).mean()) - rate, start - 30, start + 30))


def _sigmoid(score: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(score))


def _table(raw: Floats, curve: Callable[[Floats], Floats]) -> Link:
    points = np.linspace(raw.min() - MARGIN, raw.max() + MARGIN, POINTS)
    return Link(tuple(points.tolist()), tuple(np.asarray(curve(points)).tolist()))
