"""Drift: how far a model's world has moved from the one it was trained in, and what came of what it said.

Before outcomes are known: the population stability index of features and scores, and what the probabilities promise of
their own ranking (`training.metrics.expected_auc`). After: actual by expected payers and money, with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from serving.drift import Band, Bins, Limits, Matured, Of, Passed, PsiLimits, Ratio, Report, Shift
from training.bundle import BANDS, Floats
from training.metrics import auc, auc_sampling_error, calibration_error, expected_auc, expected_brier
from training.reference import Column, Distribution, bins_of, shares_in

Flags = npt.NDArray[np.bool_]

#: A share below this counts as this, in both distributions: an empty bin would make the index infinite.
SMALLEST_SHARE = 1e-4
#: Shares are kept to so many digits, as those at training are.
DIGITS = 6
#: An index is a shift only where it is beyond this quantile of what chance gives among so many accounts.
CHANCE = 0.999
#: No account counts for more than so many, where accounts are weighted to be as old as those of the reference.
MOST_WEIGHT = 5.0
#: Standard errors to either end of a 95 % interval.
TWO_SIDED = 1.96


def psi(expected: Floats, actual: Floats) -> float:
    """The population stability index of two distributions over the same bins, `(n_bins,)` shares each.

    The sum of `(a - e) ln(a / e)`: the symmetric Kullback-Leibler divergence, which grows from 0 (Siddiqi, 2006).
    """
    e, a = np.maximum(expected, SMALLEST_SHARE), np.maximum(actual, SMALLEST_SHARE)
    return float(((a - e) * np.log(a / e)).sum())


def psi_by_chance(n_bins: int, n_expected: float, n_actual: float) -> float:
    """What the index of two samples of one distribution exceeds once in a thousand times.

    It is then close to `(1 / n + 1 / m)` times a chi-squared of `n_bins - 1` degrees (Yurdakul and Naranjo, 2020).
    """
    from scipy.stats import chi2

    return float(chi2.ppf(CHANCE, max(n_bins - 1, 1)) * (1 / max(n_expected, 1) + 1 / max(n_actual, 1)))


def weights_as(column: Column, bins: Distribution) -> Floats:
    """What each value of a column, `(n,)`, is to count for, so that they are distributed as a reference is.

    Its bins' shares at training by those now (post-stratification; Holt and Smith 1979), at most `MOST_WEIGHT`, and
    one on average. A bin that is empty now stays empty.
    """
    place, now = bins_of(column, bins), shares_in(column, bins)
    weights = np.minimum(np.array(bins.shares)[place] / now[place], MOST_WEIGHT)
    return weights / weights.mean() if weights.any() else np.ones(len(column))


def effective_size(weights: Floats) -> float:
    """How many accounts of equal weight tell as much as these, `(n,)` (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def shift(name: str, bins: Distribution, column: Column, n_expected: int, weights: Floats | None = None) -> Shift:
    """How far a column has moved from its reference, as it is or weighted, whichever is less.

    What moves only as accounts grow older has not moved among accounts of one age. What differs only among accounts of
    one age (those that were there when a portfolio began are older now) has not moved as a whole.

    Args:
        name: the column's.
        bins: its reference distribution.
        column: `(n,)`, its values now.
        n_expected: how many accounts the reference is of.
        weights: `(n,)`, what each value counts for, so that accounts are as old as then; only as it is when None.
    """
    found = _shift(name, bins, column, n_expected, np.ones(len(column)))
    if weights is None:
        return found
    older = _shift(name, bins, column, n_expected, weights)
    if older.psi >= found.psi or older.bins is None:
        return found
    return replace(older, bins=replace(older.bins, as_old=True))


def payers_ratio(p_pay: Floats, paid: Flags) -> Ratio:
    """Actual by expected payers among accounts, `(n,)`, each once.

    The interval takes the count for a Poisson (Garwood, 1936), whose variance is never below that of the true sum of
    unequal coins: it covers 95 % or more.
    """
    from scipy.stats import chi2

    actual, expected = int(paid.sum()), float(p_pay.sum())
    low = float(chi2.ppf(0.025, 2 * actual)) / 2 if actual else 0.0
    return _ratio(actual, expected, low, float(chi2.ppf(0.975, 2 * actual + 2)) / 2)


def money_ratio(p_pay: Floats, expected: Floats, actual: Floats) -> Ratio:
    """Actual by expected money of accounts, `(n,)`, each once.

    The interval takes the total for a sum of amounts, each paid a Poisson number of times (Fay and Feuer, 1997): it is
    as wide as the largest amounts make it, and widens where payments are few. What is reversed counts as nothing paid.
    """
    from scipy.stats import chi2

    paid = np.maximum(actual, 0.0)
    total, squares = float(paid.sum()), float((paid**2).sum())
    # What one payment more may bring: the largest there was, or the usual one that was expected.
    usual = float(expected.sum() / p_pay.sum()) if p_pay.sum() > 0 else 0.0
    largest = max(float(paid.max(initial=0.0)), usual)
    low = squares / (2 * total) * float(chi2.ppf(0.025, 2 * total**2 / squares)) if total else 0.0
    if not largest:
        return _ratio(0.0, float(expected.sum()), 0.0, 0.0)
    more, more_squares = total + largest, squares + largest**2
    high = more_squares / (2 * more) * float(chi2.ppf(0.975, 2 * more**2 / more_squares))
    return _ratio(float(actual.sum()), float(expected.sum()), low, high)


def matured(
    as_of: str, p_pay: Floats, expected: Floats, band: npt.NDArray[np.object_], paid: Flags, actual: Floats
) -> Matured:
    """Hold the scores of one moment against what followed; `(n,)` each, every account once."""

    def of(name: str, rows: Flags) -> Band:
        money = money_ratio(p_pay[rows], expected[rows], actual[rows])
        return Band(name, int(rows.sum()), payers_ratio(p_pay[rows], paid[rows]), money)

    found = auc(p_pay, paid)
    error = TWO_SIDED * auc_sampling_error(found, paid)
    return Matured(
        as_of=as_of,
        whole=of("all", np.ones(len(band), dtype=np.bool_)),
        bands=tuple(of(name, band == name) for name in BANDS if (band == name).any()),
        auc=found,
        auc_low=found - error,
        auc_high=min(found + error, 1.0),
        expected_auc=expected_auc(p_pay),
        brier=float(((p_pay - paid) ** 2).mean()),
        expected_brier=expected_brier(p_pay),
        calibration_error=calibration_error(p_pay, paid),
    )


def judge(report: Report, limits: Limits) -> tuple[Passed, ...]:
    """The limits that a report passes, and those that warn."""
    found = [passed for one in report.shifts for passed in _judge_shift(one, limits.psi)]
    floor = report.reference_auc - limits.ranking.expected_auc_drop
    if report.expected_auc < floor:
        found.append(Passed("expected_auc", report.expected_auc, floor))
    if report.matured is not None:
        found += _judge_matured(report.matured, report.holdout_auc, limits)
    return tuple(found)


def metrics(report: Report, passed: Sequence[Passed]) -> Mapping[str, float]:
    """The report as metrics of an experiment, by name; what is not a number is left out."""
    found = {
        "accounts": float(report.accounts),
        "accounts_as_old": report.as_old,
        "expected_auc": report.expected_auc,
        "expected_brier": report.expected_brier,
        "limits_passed": float(sum(not one.warns for one in passed)),
        **{f"psi/{one.name}": one.psi for one in report.shifts},
    }
    if report.matured is not None:
        names = ("auc", "brier", "calibration_error")
        found |= {f"matured/{name}": float(getattr(report.matured, name)) for name in names}
        for band in (report.matured.whole, *report.matured.bands):
            found[f"matured/{band.band}/payers_actual_by_expected"] = band.payers.ratio
            found[f"matured/{band.band}/money_actual_by_expected"] = band.money.ratio
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _shift(name: str, bins: Distribution, column: Column, n_expected: int, weights: Floats) -> Shift:
    expected, shares = np.array(bins.shares), shares_in(column, bins, weights)
    n_bins = int((np.maximum(expected, shares) > SMALLEST_SHARE).sum())
    by_chance = psi_by_chance(n_bins, n_expected, effective_size(weights))
    found = Bins(bins.shares, tuple(np.round(shares, DIGITS).tolist()), bins.edges)
    return Shift(name, psi(expected, shares), by_chance, bins=found)


def _judge_shift(one: Shift, limits: PsiLimits) -> list[Passed]:
    """A shift beyond a limit, and beyond chance, of what the model goes by."""
    verdict = one.verdict(limits)
    if verdict == "shifted":
        return [Passed("psi", one.psi, limits.shifted, name=one.name)]
    return [Passed("psi", one.psi, limits.warn, warns=True, name=one.name)] if verdict == "watch" else []


def _judge_matured(found: Matured, holdout_auc: float | None, limits: Limits) -> list[Passed]:
    passed = []
    if holdout_auc is not None and found.auc_high < (floor := holdout_auc - limits.ranking.auc_drop):
        passed.append(Passed("auc", found.auc_high, floor))
    ratios: tuple[tuple[Ratio, float, Of, Of], ...] = (
        (found.whole.payers, limits.actual_by_expected.payers, "payers_more", "payers_less"),
        (found.whole.money, limits.actual_by_expected.money, "money_more", "money_less"),
    )
    for ratio, limit, more, less in ratios:
        if ratio.low > 1 + limit:
            passed.append(Passed(more, ratio.low, 1 + limit))
        if ratio.high < 1 - limit:
            passed.append(Passed(less, ratio.high, 1 - limit))
    return passed


def _ratio(actual: float, expected: float, low: float, high: float) -> Ratio:
    by = expected if expected > 0 else float("nan")
    return Ratio(float(actual), expected, actual / by, low / by, high / by)
