"""Fairness: what a model does to groups of accounts, on time that it has not learned from.

A group is a value of an audit column. Audit columns are read from the checked portfolio, beside the histories, which
do not hold them: no model can. Intervals are of a bootstrap by account, since moments of one account are not
independent; the cut at the top tenth stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.bootstrap import Ranking, account_weights, ranking, weighted_auc
from training.bundle import Floats

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

#: Groups of fewer accounts are pooled, and no verdict is given on any group of fewer.
SMALLEST_GROUP = 100
WHOLE, POOLED, MISSING = "(all)", "(rare)", "(missing)"
#: A group selected at less than this share of the rate of the most selected one is flagged (29 CFR 1607.4 D).
FOUR_FIFTHS = 0.8
#: The share of moments that is selected by priority.
SELECTED = 0.1
REPEATS = 400
BINS = 10


@dataclass(frozen=True)
class Audited:
    """Scored moments, `(n,)` each: `selected` are the top tenth by priority, `contacted` those with a best channel."""

    account: Rows
    p_pay: Floats
    expected_amount: Floats
    selected: Flags
    contacted: Flags
    paid: Flags
    net_amount: Floats


@dataclass(frozen=True)
class Interval:
    """A figure, with the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether chance alone hardly gives it."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Group:
    """One group: how many, its figures by name, how they differ from the whole, and its ratios of selection rates.

    A ratio is to the most selected group; `flagged` names those below four fifths, `certain` those of them whose whole
    interval is.
    """

    value: str
    accounts: int
    moments: int
    figures: dict[str, Interval]
    differences: dict[str, Interval] = field(default_factory=dict)
    ratios: dict[str, Interval] = field(default_factory=dict)
    flagged: tuple[str, ...] = ()
    certain: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnAudit:
    """One audit column: the whole, and its groups, the largest first."""

    column: str
    whole: Group
    groups: tuple[Group, ...]


def top_tenth(priority: Floats, value: Floats) -> Flags:
    """The best tenth by priority, ties by value, then by place, `(n,)`; at least one."""
    order = np.lexsort((-value, -priority))
    chosen = np.zeros(len(priority), dtype=np.bool_)
    chosen[order[: max(1, int(len(order) * SELECTED))]] = True
    return chosen


def pool(values: Texts, smallest: int = SMALLEST_GROUP) -> Texts:
    """The group of each account, `(n_accounts,)`, from its value (None or NaN where there is none).

    >>> pool(np.array(["a", "a", "b", None], dtype=object), smallest=2).tolist()
    ['a', 'a', '(rare)', '(missing)']
    """
    given = ~np.asarray(pd.isna(values), dtype=np.bool_)
    names, place, count = np.unique(values[given].astype(str), return_inverse=True, return_counts=True)
    groups = np.full(len(values), MISSING, dtype=object)
    groups[given] = np.where(count < smallest, POOLED, names.astype(object))[place]
    return groups


def audit_column(column: str, group: Texts, of: Audited, seed: int) -> ColumnAudit:
    """Audit one column.

    Args:
        column: its name.
        group: `(n,)`, the group of each moment's account.
        of: the scored moments.
        seed: of the bootstrap.
    """
    masks = {WHOLE: np.ones(len(group), dtype=np.bool_)} | {name: group == name for name in _by_size(group, of)}
    asked = {name: _Asked.of(of, mask) for name, mask in masks.items()}
    found = {name: one.figures(np.ones(len(one.paid))) for name, one in asked.items()}
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in asked}
    for weight in account_weights(of.account, REPEATS, seed):
        for name, one in asked.items():
            drawn[name].append(one.figures(weight[masks[name]]))
    groups = {name: _group(name, masks[name], of, found, drawn) for name in masks}
    return ColumnAudit(column, groups.pop(WHOLE), tuple(_with_ratios(groups, found, drawn)))


@dataclass(frozen=True)
class _Asked:
    """The moments of one group, ready to be asked for figures under any weights, `(n,)` each."""

    p_pay: Floats
    expected_amount: Floats
    selected: Flags
    contacted: Flags
    paid: Flags
    net_amount: Floats
    order: Ranking
    bin: Rows

    @classmethod
    def of(cls, all_of: Audited, rows: Flags) -> _Asked:
        p_pay = all_of.p_pay[rows]
        place = np.empty(len(p_pay), dtype=np.int64)
        place[np.argsort(p_pay, kind="stable")] = np.arange(len(p_pay))
        return cls(
            p_pay, all_of.expected_amount[rows], all_of.selected[rows], all_of.contacted[rows], all_of.paid[rows],
            all_of.net_amount[rows], ranking(p_pay), place * BINS // max(len(p_pay), 1),
        )  # fmt: skip

    def figures(self, weight: Floats) -> dict[str, float]:
        """Every figure of the group; NaN where it is not defined."""
        paying, others = weight * self.paid, weight * ~self.paid
        return {
            "selection_rate": _share(self.selected, weight),
            "contact_rate": _share(self.contacted, weight),
            "predicted_payers": float(weight @ self.p_pay),
            "actual_payers": float(paying.sum()),
            "payers_predicted_by_actual": _by(float(weight @ self.p_pay), float(paying.sum())),
            "calibration_error": self._calibration_error(weight),
            "auc": weighted_auc(self.order, self.paid, weight),
            "false_negative_rate": _share(~self.selected, paying),
            "false_positive_rate": _share(self.selected, others),
            "predicted_amount": float(weight @ self.expected_amount),
            "actual_amount": float(weight @ self.net_amount),
            "money_predicted_by_actual": _by(float(weight @ self.expected_amount), float(weight @ self.net_amount)),
        }

    def _calibration_error(self, weight: Floats) -> float:
        off = np.bincount(self.bin, weights=weight * (self.p_pay - self.paid), minlength=BINS)
        return _by(np.abs(off).sum(), weight.sum())


#: The figures that are compared with those of the whole; totals are not.
COMPARED = (
    "selection_rate", "contact_rate", "payers_predicted_by_actual", "calibration_error", "auc", "false_negative_rate",
    "false_positive_rate", "money_predicted_by_actual",
)  # fmt: skip
RATES = ("selection_rate", "contact_rate")


def _group(
    name: str, mask: Flags, of: Audited, found: Mapping[str, Mapping[str, float]],
    drawn: Mapping[str, list[dict[str, float]]],
) -> Group:  # fmt: skip
    own, whole = drawn[name], drawn[WHOLE]
    figures = {key: _interval(value, [draw[key] for draw in own]) for key, value in found[name].items()}
    differences = {
        key: _interval(
            found[name][key] - found[WHOLE][key],
            [one[key] - all_of[key] for one, all_of in zip(own, whole, strict=True)],
        )
        for key in COMPARED
        if name != WHOLE
    }
    return Group(name, len(np.unique(of.account[mask])), int(mask.sum()), figures, differences)


def _with_ratios(
    groups: Mapping[str, Group], found: Mapping[str, Mapping[str, float]], drawn: Mapping[str, list[dict[str, float]]]
) -> Iterator[Group]:
    """The groups with their ratios of selection rates; those that are too small are not judged, nor set the mark."""
    judged = [name for name, group in groups.items() if group.accounts >= SMALLEST_GROUP]
    best = {rate: max(judged, key=lambda name: found[name][rate], default="") for rate in RATES}
    for name, group in groups.items():
        if name not in judged:
            yield group
            continue
        ratios = {
            rate: _interval(
                _by(found[name][rate], found[best[rate]][rate]),
                [_by(one[rate], top[rate]) for one, top in zip(drawn[name], drawn[best[rate]], strict=True)],
            )
            for rate in RATES
        }
        flagged = tuple(rate for rate, ratio in ratios.items() if ratio.value < FOUR_FIFTHS)
        certain = tuple(rate for rate in flagged if ratios[rate].high < FOUR_FIFTHS)
        yield Group(name, group.accounts, group.moments, group.figures, group.differences, ratios, flagged, certain)


def _by_size(group: Texts, of: Audited) -> list[str]:
    names = np.unique(group.astype(str)).tolist()
    return sorted(names, key=lambda name: (-len(np.unique(of.account[group == name])), name))


def _interval(value: float, drawn: list[float]) -> Interval:
    known = np.array(drawn)[np.isfinite(drawn)]
    if not len(known) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _share(flags: Flags, weight: Floats) -> float:
    return _by(float(weight @ flags), float(weight.sum()))


def _by(part: float | np.float64, whole: float | np.float64) -> float:
    return float(part / whole) if whole > 0 else float("nan")
