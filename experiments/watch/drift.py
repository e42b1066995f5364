"""Drift: how far a model's world has moved from the one it was trained in, and what came of what it said.

Before outcomes are known: the population stability index of features and scores, and what the probabilities promise of
their own ranking (`training.metrics.expected_auc`). After: actual by expected payers and money, with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.bundle import BANDS, Floats
from training.metrics import auc, auc_sampling_error, calibration_error, expected_auc, expected_brier
from training.reference import Column, Distribution, bins_of, shares_in
from training.settings import NotNegative, Section

Flags = npt.NDArray[np.bool_]

#: A share below this counts as this, in both distributions: an empty bin would make the index infinite.
SMALLEST_SHARE = 1e-4
#: An index is a shift only where it is beyond this quantile of what chance gives among so many accounts.
CHANCE = 0.999
#: No account counts for more than so many, where accounts are weighted to be as old as those of the reference.
MOST_WEIGHT = 5.0
#: Standard errors to either end of a 95 % interval.
TWO_SIDED = 1.96


class PsiLimits(Section, frozen=True):
    """Limits of the population stability index, and the share of the model's gain from which a feature is judged."""

    warn: NotNegative
    shifted: NotNegative
    least_gain: NotNegative


class RankingLimits(Section, frozen=True):
    """How far the expected and the reached AUC may fall."""

    expected_auc_drop: NotNegative
    auc_drop: NotNegative


class RatioLimits(Section, frozen=True):
    """How far from 1 the near end of the interval of actual by expected may lie."""

    payers: NotNegative
    money: NotNegative


class Limits(Section, frozen=True):
    """The limits of monitoring, as `monitor.toml` states them."""

    psi: PsiLimits
    ranking: RankingLimits
    actual_by_expected: RatioLimits


@dataclass(frozen=True)
class Shift:
    """How far one column has moved: its index, what chance alone would hardly exceed, and its share of the gain.

    Scores have no share of the gain, and are always judged; a column that follows the calendar never is, nor is the age
    of accounts, which grows by itself.
    """

    name: str
    psi: float
    by_chance: float
    gain: float | None = None
    calendar: bool = False
    ageing: bool = False


@dataclass(frozen=True)
class Ratio:
    """Actual by expected, with the ends of its 95 % interval; NaN where nothing was expected."""

    actual: float
    expected: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """One band, or all of them: how many accounts, and actual by expected payers and money."""

    band: str
    accounts: int
    payers: Ratio
    money: Ratio


@dataclass(frozen=True)
class Matured:
    """What came of the scores of one earlier moment; `auc` is NaN where all outcomes are alike."""

    as_of: str
    whole: Band
    bands: tuple[Band, ...]
    auc: float
    auc_low: float
    auc_high: float
    expected_auc: float
    brier: float
    expected_brier: float
    calibration_error: float


@dataclass(frozen=True)
class Report:
    """All that monitoring found as of a moment; `matured` is None where no outcome of unseen time is known yet.

    `as_old` is for how many accounts they count, weighted to be as old as those of the reference. `reference_auc` is
    what was expected at training, `holdout_auc` what was reached on unseen time then.
    """

    as_of: str
    model: str
    accounts: int
    as_old: float
    scores: tuple[Shift, ...]
    features: tuple[Shift, ...]
    expected_auc: float
    expected_brier: float
    reference_auc: float
    holdout_auc: float | None
    matured: Matured | None


@dataclass(frozen=True)
class Passed:
    """A limit that was passed: of what, the figure, the limit, and whether it is one that only warns."""

    what: str
    figure: float
    limit: float
    warns: bool = False

    @property
    def text(self) -> str:
        """The line that a person reads.

        >>> Passed("PSI of p_pay", 0.4, 0.25).text
        'PSI of p_pay 0.400, 0.150 beyond the limit 0.25'
        """
        return f"{self.what} {self.figure:.3f}, {abs(self.figure - self.limit):.3f} beyond the limit {self.limit:.3g}"


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
    as_it_is = np.ones(len(column))
    ways = [as_it_is] if weights is None else [as_it_is, weights]
    return min((_shift(name, bins, column, n_expected, way) for way in ways), key=lambda one: one.psi)


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
    found = [passed for one in (*report.scores, *report.features) for passed in _judge_shift(one, limits.psi)]
    floor = report.reference_auc - limits.ranking.expected_auc_drop
    if report.expected_auc < floor:
        found.append(Passed("expected AUC", report.expected_auc, floor))
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
        **{f"psi/{one.name}": one.psi for one in (*report.scores, *report.features)},
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
    return Shift(name, psi(expected, shares), by_chance)


def _judge_shift(one: Shift, limits: PsiLimits) -> list[Passed]:
    """A shift beyond a limit, and beyond chance, of what the model goes by."""
    judged = not (one.calendar or one.ageing) and (one.gain is None or one.gain >= limits.least_gain)
    limit = limits.shifted if one.psi > limits.shifted else limits.warn
    if not judged or one.psi <= max(limit, one.by_chance):
        return []
    return [Passed(f"PSI of {one.name}", one.psi, limit, warns=limit < limits.shifted)]


def _judge_matured(found: Matured, holdout_auc: float | None, limits: Limits) -> list[Passed]:
    passed = []
    if holdout_auc is not None and found.auc_high < (floor := holdout_auc - limits.ranking.auc_drop):
        passed.append(Passed("upper end of the AUC's interval", found.auc_high, floor))
    ratios = (
        ("payers", found.whole.payers, limits.actual_by_expected.payers),
        ("money", found.whole.money, limits.actual_by_expected.money),
    )
    for name, ratio, limit in ratios:
        if ratio.low > 1 + limit:
            passed.append(Passed(f"lower end of actual by expected {name}", ratio.low, 1 + limit))
        if ratio.high < 1 - limit:
            passed.append(Passed(f"upper end of actual by expected {name}", ratio.high, 1 - limit))
    return passed


def _ratio(actual: float, expected: float, low: float, high: float) -> Ratio:
    by = expected if expected > 0 else float("nan")
    return Ratio(float(actual), expected, actual / by, low / by, high / by)
