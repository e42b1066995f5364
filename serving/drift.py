"""What monitoring finds of a model in use, and the limits by which it is judged.

`experiments.watch` makes reports, `serving.store.drift` keeps them, `serving.review.drift` tells what became of them:
these are the types that they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from serving.languages.language import translatable

_NotNegative = Annotated[float, msgspec.Meta(ge=0)]

#: What is said of a shift: beyond a limit and chance (`shifted`, `watch`), beyond a limit but not chance (`chance`), or
#: within (`stable`); the others are shown and not judged.
Verdict = Literal["shifted", "watch", "chance", "stable", "calendar", "ageing", "minor"]
#: Of what a limit was passed.
Of = Literal["psi", "expected_auc", "auc", "payers_more", "payers_less", "money_more", "money_less"]
#: It in words; `psi` and `auc` are the same in every language.
WHAT: Mapping[Of, str] = {
    "psi": translatable("{psi} of {name}"),
    "expected_auc": translatable("Expected {auc}"),
    "auc": translatable("{auc} reached, upper end of its interval"),
    "payers_more": translatable("Payers, actual / expected, lower end of the interval"),
    "payers_less": translatable("Payers, actual / expected, upper end of the interval"),
    "money_more": translatable("Money, actual / expected, lower end of the interval"),
    "money_less": translatable("Money, actual / expected, upper end of the interval"),
}
#: Limits from below: the others are passed by what is too much.
FLOORS: tuple[Of, ...] = ("expected_auc", "auc", "payers_less", "money_less")


class PsiLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the population stability index, and the share of the model's gain from which a feature is judged."""

    warn: _NotNegative
    shifted: _NotNegative
    least_gain: _NotNegative


class RankingLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the expected and the reached AUC may fall."""

    expected_auc_drop: _NotNegative
    auc_drop: _NotNegative


class RatioLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far from 1 the near end of the interval of actual by expected may lie."""

    payers: _NotNegative
    money: _NotNegative


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of monitoring, as `monitor.toml` states them."""

    psi: PsiLimits
    ranking: RankingLimits
    actual_by_expected: RatioLimits


@dataclass(frozen=True)
class Bins:
    """The shares of a column in its bins, and last of what is missing, at training and now, `(n + 1,)` each.

    Bin `b` of a quantity holds what is above edge `b - 1`, up to edge `b`; a category has no `edges`, and the `n`
    `values` of its bins. `as_old` says whether accounts count now as if they were as old as those at training.
    """

    training: tuple[float, ...]
    now: tuple[float, ...]
    edges: tuple[float, ...] | None = None
    values: tuple[str, ...] = ()
    as_old: bool = False


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
    bins: Bins | None = None

    def verdict(self, limits: PsiLimits) -> Verdict:
        """What is said of it.

        >>> limits = PsiLimits(warn=0.1, shifted=0.25, least_gain=0.01)
        >>> [Shift("any", psi, by_chance=0.2).verdict(limits) for psi in (0.05, 0.15, 0.22, 0.3)]
        ['stable', 'chance', 'watch', 'shifted']
        """
        if self.calendar or self.ageing:
            return "calendar" if self.calendar else "ageing"
        if self.gain is not None and self.gain < limits.least_gain:
            return "minor"
        if self.psi <= limits.warn:
            return "stable"
        if self.psi <= self.by_chance:
            return "chance"
        return "shifted" if self.psi > limits.shifted else "watch"


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

    `as_old` is for how many accounts they count, weighted to be as old as those of the reference. `reference_` is what
    was expected at training, `holdout_` what was reached on unseen time then; None where the bundle does not say so.
    `matures_at` is when the first outcome of unseen time should be known.
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
    reference_brier: float | None = None
    holdout_brier: float | None = None
    matures_at: str | None = None

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """Scores, then features, the most decisive first."""
        return (*self.scores, *self.features)


@dataclass(frozen=True)
class Passed:
    """A limit that was passed: of what, the figure, the limit, and whether it is one that only warns.

    `name` is that of the column where it is the limit of its index.
    """

    of: Of
    figure: float
    limit: float
    warns: bool = False
    name: str = ""

    @property
    def what(self) -> str:
        """Of what, for a person."""
        return WHAT[self.of].format(psi="PSI", auc="AUC", name=self.name)

    @property
    def text(self) -> str:
        """The line that a person reads.

        >>> Passed("psi", 0.4, 0.25, name="p_pay").text
        'PSI of p_pay 0.400, 0.150 beyond the limit 0.25'
        """
        return f"{self.what} {self.figure:.3f}, {abs(self.figure - self.limit):.3f} beyond the limit {self.limit:.3g}"


@dataclass(frozen=True)
class Judged:
    """A report, the limits it was judged by, and those that it passed."""

    report: Report
    limits: Limits
    passed: tuple[Passed, ...]
