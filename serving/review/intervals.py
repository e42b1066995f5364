"""Actual over expected, with its interval, and which of many are beyond noise.

What is told of is the ratio of what was to be expected in truth to what was predicted: 1 where predictions are right on
average. Sums of an observation's own chance are all that enters; what shifts everybody at once (a law, a holiday) is no
chance but news, and shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: How often an interval holds what it is of.
LEVEL = 0.95
#: Below so many payers, counted by what they paid, a sum of money says nothing of its own spread.
FEWEST_PAYERS = 5


@dataclass(frozen=True)
class Ratios:
    """Ratios, the ends of their intervals, and the p-value of being 1, `(n,)` each; NaN where nothing can be told."""

    value: Floats
    low: Floats
    high: Floats
    p_value: Floats


def payers_ratios(payers: Floats, predicted: Floats, variance: Floats, spread: float = 1.0) -> Ratios:
    """Actual over predicted payers.

    The number of payers is a sum of Bernoulli variables with mean Σp and variance Σp(1 - p). A binomial with the same
    mean and variance stands for it, of `n = (Σp)² / Σp²` draws; the interval is Jeffreys', the 2.5 % and 97.5 % points
    of Beta(k + 1/2, n - k + 1/2), which holds with small counts too and is never empty (Brown, Cai and DasGupta 2001,
    Statistical Science 16, 101-133). Where outcomes of one person go together, k and n are divided by `spread`.

    Args:
        payers: `(n,)` how many paid.
        predicted: `(n,)` Σp.
        variance: `(n,)` Σp(1 - p).
        spread: by how much the variance is larger than that of independent outcomes.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = predicted**2 / (predicted - variance)
        chance, ratio = predicted / draws, payers / predicted
        hits = np.minimum(payers, draws) / spread
        rest = draws / spread - hits
        tail = (1 - LEVEL) / 2
        low, high = (special.betaincinv(hits + 0.5, rest + 0.5, each) / chance for each in (tail, 1 - tail))
        below = special.betainc(hits + 0.5, rest + 0.5, chance)
    # With nobody or everybody paying, nothing is too low or too high.
    low, high = np.where(payers <= 0, 0.0, low), np.where(rest <= 0, np.inf, high)
    return _told(ratio, low, high, 2 * np.minimum(below, 1 - below), predicted > 0)


def money_ratios(paid: Floats, expected: Floats, squares: tuple[Floats, Floats, Floats], spread: float = 1.0) -> Ratios:
    """Paid over expected money.

    The estimate of a ratio of sums, R = Σx / Σe, has the variance Σ(x - Re)² / (Σe)² (Cochran 1977, Sampling
    Techniques, 6.4). Payments are skewed, so the interval is symmetric for the logarithm of R, with Student's quantile
    of as many degrees of freedom as there are payers less one, where one who pays most of it all is hardly more than
    one: payers count as (Σx)² / Σx² (Kish 1965, Survey Sampling). Below `FEWEST_PAYERS` of these nothing is told.

    Args:
        paid: `(n,)` Σx.
        expected: `(n,)` Σe.
        squares: `(n,)` each, Σx², Σe² and Σxe.
        spread: by how much the variance is larger than that of independent outcomes.
    """
    paid_squared, expected_squared, both = squares
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio, payers = paid / expected, paid**2 / paid_squared
        around = np.maximum(paid_squared - 2 * ratio * both + ratio**2 * expected_squared, 0.0)
        error = np.sqrt(spread * around * payers / (payers - 1)) / paid
        freedom = np.maximum(payers - 1, 1)
        reach = np.exp(special.stdtrit(freedom, (1 + LEVEL) / 2) * error)
        low, high = ratio / reach, ratio * reach
        p_value = 2 * special.stdtr(freedom, -np.abs(np.log(ratio)) / error)
    is_told = (expected > 0) & (paid > 0) & (payers >= FEWEST_PAYERS)
    found = _told(ratio, low, high, p_value, is_told)
    return Ratios(np.where(expected > 0, ratio, np.nan), found.low, found.high, found.p_value)


def sum_ratios(above: Floats, below: Floats, squares: tuple[Floats, Floats, Floats]) -> Ratios:
    """One sum over another, such as contacts by accounts worked: `(n,)` each.

    As in `money_ratios`, by the spread of what each person adds: the squares are sums over persons, so that what a
    person's debts share is in them. Who counts is who is in both sums as (Σx)² / Σx² does; the smaller number holds.
    There is nothing that the ratio is held against: its p-value is NaN.

    Args:
        above: `(n,)` Σx.
        below: `(n,)` Σy.
        squares: `(n,)` each, of persons: Σx², Σy² and Σxy.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio, effective = above / below, np.minimum(above**2 / squares[0], below**2 / squares[1])
        error = np.sqrt(_around(ratio, squares) * effective / (effective - 1)) / above
        reach = np.exp(special.stdtrit(np.maximum(effective - 1, 1), (1 + LEVEL) / 2) * error)
        found = Ratios(ratio, ratio / reach, ratio * reach, np.full(len(ratio), np.nan))
    told = _told(found.value, found.low, found.high, found.p_value, (above > 0) & (effective >= FEWEST_PAYERS))
    return Ratios(np.where(below > 0, ratio, np.nan), told.low, told.high, told.p_value)


def share_ratios(above: Floats, below: Floats, squares: tuple[Floats, Floats, Floats]) -> Ratios:
    """One count over another that it is a part of, such as accounts cured of all: `(n,)` each.

    Wilson's score interval (1927, JASA 22, 209-212), with as many independent draws as would spread as much as the
    shares of persons do: n = R(1 - R) / V, where V is the ratio estimator's variance over persons (Korn and Graubard
    1998, Survey Methodology 24, 193-201), and never more than there are. Where nobody or everybody is a part of it, the
    spread is not seen, and the number of persons' draws, (Σy)² / Σy², stands for it.

    Args:
        above: `(n,)` Σx, how many.
        below: `(n,)` Σy, of how many.
        squares: `(n,)` each, of persons: Σx², Σy² and Σxy.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = above / below
        alike = below**2 / squares[1]
        seen = share * (1 - share) * below**2 / _around(share, squares) * (alike - 1) / alike
        draws = np.minimum(np.where((share > 0) & (share < 1), seen, alike), below)
        z = special.ndtri((1 + LEVEL) / 2)
        middle = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
        reach = z / (1 + z**2 / draws) * np.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2))
        low, high = np.maximum(middle - reach, 0.0), np.minimum(middle + reach, 1.0)
    return _told(share, low, high, np.full(len(share), np.nan), below > 0)


def _around(ratio: Floats, squares: tuple[Floats, Floats, Floats]) -> Floats:
    """Σ(x - Ry)², from the sums of squares and products."""
    above_squared, below_squared, both = squares
    return np.maximum(above_squared - 2 * ratio * both + ratio**2 * below_squared, 0.0)


def _told(value: Floats, low: Floats, high: Floats, p_value: Floats, is_told: Mask) -> Ratios:
    return Ratios(*(np.where(is_told, each, np.nan) for each in (value, low, high, p_value)))


def beyond_noise(p_values: Floats, false_share: float = 1 - LEVEL) -> Mask:
    """Which of many ratios, `(n,)`, are other than 1: on average at most `false_share` of them by chance alone.

    By Benjamini and Hochberg (1995, JRSS B 57, 289-300): a table of a hundred rows has five outside their own
    intervals by chance.

    >>> beyond_noise(np.array([0.001, 0.03, 0.04, np.nan, 0.9])).tolist()
    [True, False, False, False, False]
    """
    told = np.flatnonzero(~np.isnan(p_values))
    order = told[np.argsort(p_values[told], kind="stable")]
    holds = np.flatnonzero(p_values[order] <= false_share * np.arange(1, len(order) + 1) / max(len(order), 1))
    beyond = np.zeros(len(p_values), dtype=np.bool_)
    if len(holds):
        beyond[order[: holds[-1] + 1]] = True
    return beyond


def unlike_the_rest(payers: Floats, predicted: Floats, spread: float = 1.0) -> Floats:
    """The p-value of each row having the ratio of actual to predicted payers of all other rows together, `(n,)`.

    Of all who paid, as large a share belongs to the row as was predicted to, if both have the same ratio (Przyborowski
    and Wilenski 1940, Biometrika 31, 313-323); Jeffreys' posterior of that share tells how far it is from it, as in
    `payers_ratios`. It is careful, since payers spread less than the Poisson counts that it takes them for. NaN where a
    row or the rest predicts nothing, or nobody paid.

    Args:
        payers: `(n,)` how many paid.
        predicted: `(n,)` Σp.
        spread: by how much the variance is larger than that of independent outcomes.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = predicted / predicted.sum()
        hits, others = payers / spread, (payers.sum() - payers) / spread
        below = special.betainc(hits + 0.5, others + 0.5, share)
    is_told = (share > 0) & (share < 1) & (payers.sum() > 0)
    return np.where(is_told, 2 * np.minimum(below, 1 - below), np.nan)


def changes_between(before: Ratios, now: Ratios) -> Floats:
    """The p-value of each ratio being what it was before, `(n,)`; NaN where one of both is not told.

    The standard error of a logarithm follows from the width of its interval (Altman and Bland 2011, BMJ 343, d2304).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        width = 2 * special.ndtri((1 + LEVEL) / 2)
        errors = [np.log(each.high / each.low) / width for each in (before, now)]
        score = np.abs(np.log(now.value / before.value)) / np.hypot(*errors)
    return np.asarray(2 * special.ndtr(-score))


def differences_between(before: Ratios, now: Ratios) -> Floats:
    """The p-value of each share being what it was before, `(n,)`; NaN where one of both is not told.

    The standard error of a share follows from the width of its interval, as in `changes_between`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        width = 2 * special.ndtri((1 + LEVEL) / 2)
        error = np.hypot(*((each.high - each.low) / width for each in (before, now)))
        score = np.abs(now.value - before.value) / error
    return np.asarray(2 * special.ndtr(-score))


def predicted_range(predicted: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """What a sum of many independent outcomes is within, with `LEVEL`: the normal law of its mean and variance."""
    reach = special.ndtri((1 + LEVEL) / 2) * np.sqrt(variance)
    return np.maximum(predicted - reach, 0.0), predicted + reach


def share_interval(hits: Floats, of: Floats) -> tuple[Floats, Floats]:
    """The interval of a share, `(n,)` each, by Jeffreys' as in `payers_ratios`."""
    tail = (1 - LEVEL) / 2
    low, high = (special.betaincinv(hits + 0.5, of - hits + 0.5, each) for each in (tail, 1 - tail))
    return np.where(hits <= 0, 0.0, low), np.where(hits >= of, 1.0, high)
