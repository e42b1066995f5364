"""Drift: whether a model can still be trusted, from the reports of monitoring, and which columns moved how.

alerts_of(moments, passed), standing_of(moments, passed)     spells of reports in which a limit was passed
bins_in_order(bins)                                          a distribution at training and now, bin by bin
columns, distributions, performance, alerts                  the tables, of one report
labels_of(settings)                                          what its columns are called in these tables
of_month(name)                                               the same of the last report of each model in a month
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features.catalog import catalogue
from features.settings import PortfolioSettings
from features.units import format_instant
from serving.drift import FLOORS, Bins, Judged, Of, Passed
from serving.languages.language import ENGLISH, translatable
from serving.review.months import shifted
from serving.review.reading import Missing
from serving.review.tables import Table
from serving.store.database import Store
from serving.store.drift import PassedAt, list_models, list_reports, read_passed, read_report
from serving.store.portfolio import stored_settings

#: What makes reports.
MONITOR: Mapping[str, str] = {"command": "recoup monitor"}
NO_REPORT = Missing(
    translatable(
        "no report of drift was made yet: the service makes one soon after its start and each day; to have one now, "
        "call {command}"
    ),
    parts=MONITOR,
)

#: What scores are called; features go by their labels.
SCORES: Mapping[str, str] = {"p_pay": translatable("Chance to pay"), "expected_amount": translatable("Expected amount")}


@dataclass(frozen=True)
class Alert:
    """A limit that consecutive reports of a model passed; one that only warns, and the one beyond it, are two.

    `began` and `last` are the moments of the first and the last of the `reports`, `ended` that of the one after, None
    where there is none yet. `worst` is what went farthest beyond.
    """

    began: int
    last: int
    ended: int | None
    reports: int
    worst: Passed


@dataclass(frozen=True)
class Standing:
    """Whether the last report is beyond a limit, since when all reports have said so, and how many these are."""

    is_beyond: bool
    since: int
    reports: int


def alerts_of(moments: Sequence[int], passed: Sequence[PassedAt]) -> list[Alert]:
    """Every spell of consecutive reports in which a limit was passed: open ones first, then the latest.

    Args:
        moments: those of all reports of a model, rising.
        passed: what they passed.
    """
    place = {as_of: number for number, as_of in enumerate(moments)}
    of_limit: dict[tuple[Of, str, bool], list[PassedAt]] = {}
    for one in sorted(passed, key=lambda one: one.as_of):
        of_limit.setdefault((one.passed.of, one.passed.name, one.passed.warns), []).append(one)
    found = []
    for several in of_limit.values():
        numbers = np.array([place[one.as_of] for one in several])
        for spell in np.split(np.arange(len(several)), np.flatnonzero(np.diff(numbers) > 1) + 1):
            first, last = int(numbers[spell[0]]), int(numbers[spell[-1]])
            ended = moments[last + 1] if last + 1 < len(moments) else None
            worst = max((several[number].passed for number in spell), key=_severity)
            found.append(Alert(moments[first], moments[last], ended, len(spell), worst))
    return sorted(found, key=_order)


def _severity(passed: Passed) -> float:
    return -passed.figure if passed.of in FLOORS else passed.figure


def _order(alert: Alert) -> tuple[object, ...]:
    is_over = alert.ended is not None
    return is_over, -(alert.ended or 0), alert.worst.warns, -alert.began, alert.worst.of, alert.worst.name


def standing_of(moments: Sequence[int], passed: Sequence[PassedAt]) -> Standing:
    """How a model stands by its reports, of which there is at least one; what only warns is not beyond a limit."""
    beyond = {one.as_of for one in passed if not one.passed.warns}
    is_beyond, reports = moments[-1] in beyond, 0
    for as_of in reversed(moments):
        if (as_of in beyond) != is_beyond:
            break
        reports += 1
    return Standing(is_beyond, moments[-reports], reports)


# ------------------------------------------------------------------------------- distributions


@dataclass(frozen=True)
class Bin:
    """One bin: its shares, and what falls into it.

    Of a quantity what is above `low`, up to `high`, or below `high` where `is_below`; exactly that where both are the
    same; infinite at the ends. Of a category its `value`. Neither where it holds what is missing.
    """

    training: float
    now: float
    low: float = math.nan
    high: float = math.nan
    is_below: bool = False
    value: str | None = None

    @property
    def change(self) -> float:
        """By how much the share has grown."""
        return self.now - self.training

    @property
    def text(self) -> str:
        """What falls into it, for a table that a machine reads.

        >>> Bin(0.5, 0.4, low=-math.inf, high=3).text, Bin(0.5, 0.6, value="card").text, Bin(0, 0).text
        ('up to 3', 'card', 'missing')
        """
        if self.value is not None:
            return self.value
        if math.isnan(self.high):
            return "missing"
        if self.low == self.high:
            return f"exactly {self.high:g}"
        upper = "" if math.isinf(self.high) else f"below {self.high:g}" if self.is_below else f"up to {self.high:g}"
        return " ".join(filter(None, (f"above {self.low:g}" if math.isfinite(self.low) else "", upper))) or "any"


def bins_in_order(bins: Bins) -> list[Bin]:
    """The bins of a distribution that hold anything, then or now, what is missing last."""
    shares = list(zip(bins.training, bins.now, strict=True))
    if bins.edges is None:
        # A category of a report of long ago may have had more values than it has names.
        names = [*bins.values, *map(str, range(len(bins.values), len(shares) - 1))]
        found = [Bin(*both, value=name) for both, name in zip(shares, names, strict=False)]
    else:
        ends = [-math.inf, *bins.edges, math.inf]
        found = [_quantity(both, low, high, ends) for both, low, high in zip(shares, ends, ends[1:], strict=False)]
    return [one for one in (*found, Bin(*shares[-1])) if one.training or one.now]


def _quantity(both: tuple[float, float], low: float, high: float, ends: Sequence[float]) -> Bin:
    """A value that many accounts share has a bin of its own: its lower edge is the number just below it."""
    after = next((end for end in ends if end > high), math.inf)
    if low == _just_below(high):
        return Bin(*both, low=high, high=high)
    if math.isfinite(high) and high == _just_below(after):
        return Bin(*both, low=low, high=after, is_below=True)
    return Bin(*both, low=low, high=high)


def _just_below(value: float) -> float:
    """The float32 next below, as its shortest text reads back."""
    if not math.isfinite(value):
        return math.nan
    with np.errstate(over="ignore"):
        return float(str(np.nextafter(np.float32(value), np.float32(-np.inf))))


def most_changed(bins: Bins) -> Bin:
    """The bin whose share has changed most, that which grew where two changed alike."""
    return max(bins_in_order(bins), key=lambda one: (round(abs(one.change), 6), one.change))


# ------------------------------------------------------------------------------- tables


def labels_of(settings: PortfolioSettings | None) -> Mapping[str, str]:
    """What the scores and the features of a portfolio are called, in English, by name."""
    features = () if settings is None else catalogue(settings)
    return {**SCORES, **{feature.name: ENGLISH.say(feature.label) for feature in features}}


def columns(judged: Judged, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every score and feature of a report, in its order: scores first, then what the model goes by most.

    Columns: model, as_of, kind, column, label (what it is called; blank where the catalogue has it no more), psi,
    by_chance (what chance alone would hardly exceed), gain (share of the model's), verdict, most_changed (a bin),
    share_at_training, share_now (of that bin).
    """
    report, rows = judged.report, []
    for kind, shifts in (("score", report.scores), ("feature", report.features)):
        for one in shifts:
            most = None if one.bins is None else most_changed(one.bins)
            told = ("", math.nan, math.nan) if most is None else (most.text, most.training, most.now)
            gain = math.nan if one.gain is None else one.gain
            verdict = one.verdict(judged.limits.psi)
            named = (one.name, labels.get(one.name, ""))
            rows.append((report.model, report.as_of, kind, *named, one.psi, one.by_chance, gain, verdict, *told))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    *("model", "as_of", "kind", "column", "label", "psi", "by_chance", "gain", "verdict"),
    *("most_changed", "share_at_training", "share_now"),
)


def distributions(judged: Judged, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every bin of every score and feature of a report.

    Columns: model, as_of, column, label, bin (what falls into it), share_at_training, share_now, as_old (whether
    accounts count now as if they were as old as those at training).
    """
    report = judged.report
    rows = [
        (
            report.model,
            report.as_of,
            one.name,
            labels.get(one.name, ""),
            each.text,
            each.training,
            each.now,
            one.bins.as_old,
        )
        for one in report.shifts
        if one.bins is not None
        for each in bins_in_order(one.bins)
    ]
    return pd.DataFrame(rows, columns=list(_DISTRIBUTIONS))


_DISTRIBUTIONS = ("model", "as_of", "column", "label", "bin", "share_at_training", "share_now", "as_old")


def performance(store: Store, model: str, until: int) -> pd.DataFrame:
    """What each report up to a moment expected, and what was reached where outcomes had matured, a row each.

    Columns: model, as_of, accounts, expected_auc, expected_brier; scores_of (the moment of the scores that matured),
    auc, brier, payers_ratio, money_ratio (actual by expected).
    """
    rows = list_reports(store, model, until).drop(columns="made_at").rename(columns={"matured_as_of": "scores_of"})
    for name in ("as_of", "scores_of"):
        rows[name] = ["" if pd.isna(at) else format_instant(int(at)) for at in rows[name]]
    rows.insert(0, "model", model)
    return rows[list(_PERFORMANCE)]


_PERFORMANCE = (
    *("model", "as_of", "accounts", "expected_auc", "expected_brier", "scores_of", "auc", "brier", "payers_ratio"),
    "money_ratio",
)


def alerts(store: Store, model: str, until: int, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every alert of a model up to a moment.

    Columns: model, of (of what the limit is), column and label (of which, where it is of one), level (`breach` or
    `warning`), began, last_seen, ended (blank where it has not), reports (how many), worst_figure, limit.
    """
    moments = [int(at) for at in list_reports(store, model, until)["as_of"]]
    rows = [
        (
            *(model, one.worst.of, one.worst.name, labels.get(one.worst.name, "")),
            "warning" if one.worst.warns else "breach",
            *(format_instant(one.began), format_instant(one.last)),
            *("" if one.ended is None else format_instant(one.ended), one.reports),
            *(one.worst.figure, one.worst.limit),
        )
        for one in alerts_of(moments, read_passed(store, model, until))
    ]
    return pd.DataFrame(rows, columns=list(_ALERTS))


_ALERTS = (
    *("model", "of", "column", "label", "level", "began", "last_seen", "ended", "reports", "worst_figure", "limit"),
)  # fmt: skip


def tables_of(store: Store, model: str, as_of: int) -> dict[str, Table]:
    """Every table of a report.

    Raises:
        StoreError: there is no such report.
    """
    judged, counted = read_report(store, model, as_of), f"the report of {model} as of {format_instant(as_of)}"
    labels = labels_of(stored_settings(store))
    passed = alerts(store, model, as_of, labels)
    return {
        "drift": Table(columns(judged, labels), counted),
        "drift_distributions": Table(distributions(judged, labels), counted),
        "drift_performance": Table(performance(store, model, as_of), counted),
        "drift_alerts": Table(passed, counted, _NO_ALERT if passed.empty else None),
    }


#: The tables by their names, with the columns they have where there is no report.
TABLES: Mapping[str, tuple[str, ...]] = {
    "drift": _COLUMNS,
    "drift_distributions": _DISTRIBUTIONS,
    "drift_performance": _PERFORMANCE,
    "drift_alerts": _ALERTS,
}


def of_month(name: str) -> Callable[[Store, int], Table]:
    """The table of that name, of the last report of each model in a month by the portfolio's own time."""

    def make(store: Store, month: int) -> Table:
        settings = stored_settings(store)
        zone = ZoneInfo("UTC" if settings is None else settings.timezone)
        begins, ends = _start(month, zone), _start(shifted(month, 1), zone)
        found = []
        for model in list_models(store):
            moments = [int(at) for at in list_reports(store, model, ends - 1)["as_of"]]
            if moments and moments[-1] >= begins:
                found.append(tables_of(store, model, moments[-1])[name])
        if not found:
            missing = NO_REPORT if not list_models(store) else _NONE_IN_MONTH
            return Table(pd.DataFrame(columns=list(TABLES[name])), "no report of drift", missing)
        counted = "; ".join(one.counted for one in found)
        some = [one for one in found if len(one.rows)] or found[:1]
        return Table(pd.concat([one.rows for one in some], ignore_index=True), counted, some[0].missing)

    return make


_NONE_IN_MONTH = Missing(translatable("no report of drift is of this month"))
_NO_ALERT = Missing(translatable("no limit was passed so far"))


def _start(month: int, zone: ZoneInfo) -> int:
    return round(datetime(month // 100, month % 100, 1, tzinfo=zone).timestamp() * 1e6)
