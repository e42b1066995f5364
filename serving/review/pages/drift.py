"""Drift: whether the model can still be trusted, what it is expected to reach, and which features moved how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from markupsafe import Markup
from starlette.responses import Response

from features.errors import SettingsError
from features.units import DAY, format_instant, parse_instant
from serving.api.answering import records
from serving.drift import Band, Judged, Matured, Ratio, Report, Shift, Verdict
from serving.languages.language import translatable
from serving.review.drift import (
    NO_REPORT,
    TABLES,
    Alert,
    Standing,
    alerts_of,
    bins_in_order,
    most_changed,
    standing_of,
    tables_of,
)
from serving.review.pages.cells import CellWriter, Column, Grid, cell_writer, kind_of_limit
from serving.review.pages.cuts import ROLES
from serving.review.pages.files import csv_file, excel_file, table_named
from serving.review.pages.lines import Lines, Point, lines, spark
from serving.review.pages.sections import OF_BANDS, SECTIONS
from serving.review.pages.visit import ROOT, Visit
from serving.review.tables import Table
from serving.store.database import Store
from serving.store.drift import list_models, list_reports, read_passed, read_report, read_shifts

PATH, COLUMN_PATH = "/drift", "/drift/column"
#: So many reports are drawn in the small lines of a table, are listed, and may be chosen in the form.
_SPARKS, _LISTED, _CHOSEN = 60, 60, 400
#: So many open alerts are named at the top, and so many are listed; a file has all.
_NAMED, _ALERTS_LISTED = 6, 100
#: A report that is so old says little of today.
_STALE = 3 * DAY
#: Figures of how well a model tells payers apart, and what they say.
_MEANS: Mapping[str, str] = {
    "AUC": translatable("how well payers are told from others; 0.5 is by lot, 1 without a mistake"),
    translatable("Brier score"): translatable("mean squared error of the probabilities; less is better"),
}
_PERFORMANCE = (
    Column("figure", translatable("Figure"), "word", below=Column("means", "", "word")),
    Column("now", translatable("Expected now"), "decimal"),
    Column("training", translatable("Expected at training"), "decimal"),
    Column("reached", translatable("Reached"), "decimal", "low", "high"),
    Column("expected", translatable("Expected of the same scores"), "decimal"),
    Column("holdout", translatable("Reached at training, on unseen time"), "decimal"),
)
_SHIFTS = (
    *SECTIONS["drift"].columns,
    Column("spark", "", "own"),
    Column("most", translatable("What changed most"), "text", style="most"),
)
_BINS = (
    Column("values", translatable("Values"), "text"),
    Column("training", translatable("At training"), "share"),
    Column("now", translatable("Now"), "share"),
    Column("change", translatable("Change"), "points"),
    Column("bars", "", "own", style="bars"),
)
_OVER_TIME = (
    Column("as_of", translatable("Report as of"), "moment"),
    Column("psi", "PSI", "decimal"),
    Column("by_chance", translatable("By chance up to"), "decimal"),
)
#: The others are shown and not judged.
_JUDGED: tuple[Verdict, ...] = ("shifted", "watch", "chance", "stable")
#: What moved comes first in a table, all else in the order of the report.
_FIRST: Mapping[Verdict, int] = {"shifted": 0, "watch": 1}


@dataclass(frozen=True)
class Shown:
    """The report of a page: of a model, as of a moment, with the reports up to it."""

    store: Store
    models: Mapping[str, int]
    model: str
    moments: tuple[int, ...]
    as_of: int

    @cached_property
    def judged(self) -> Judged:
        """The report, judged."""
        return read_report(self.store, self.model, self.as_of)

    @cached_property
    def reports(self) -> pd.DataFrame:
        """The reports up to it, a row each."""
        return list_reports(self.store, self.model, self.as_of)

    @cached_property
    def _passed(self) -> tuple[list[int], list[Any]]:
        return [int(at) for at in self.reports["as_of"]], read_passed(self.store, self.model, self.as_of)

    @property
    def alerts(self) -> list[Alert]:
        """Every alert up to it."""
        return alerts_of(*self._passed)

    @property
    def standing(self) -> Standing:
        """How the model stands by it."""
        return standing_of(*self._passed)

    @property
    def is_latest(self) -> bool:
        """Whether there is no later one."""
        return self.as_of == self.moments[-1]

    @property
    def query(self) -> dict[str, str]:
        """What names it in an address."""
        return {"model": self.model, "as_of": format_instant(self.as_of)}


def show(visit: Visit) -> Response:
    """The page."""
    shown = _shown(visit)
    if shown is None:
        return visit.page("drift.html", shown=None, missing=NO_REPORT)
    alerts, judged, writer = shown.alerts, shown.judged, cell_writer(visit)
    unfinished = [alert for alert in alerts if alert.ended is None]
    shifts = [(one, one.verdict(judged.limits.psi)) for one in judged.report.shifts]
    all_of_them = visit.call.query.get("minor") == "shown"
    matured = judged.report.matured
    return visit.page(
        "drift.html",
        shown=shown,
        report=judged.report,
        limits=judged.limits,
        roles=_roles(visit),
        choices=[(at, format_instant(at)) for at in sorted({*shown.moments[-_CHOSEN:], shown.as_of}, reverse=True)],
        standing=shown.standing,
        alerts=_alerts(writer, alerts[:_ALERTS_LISTED]),
        open=unfinished[:_NAMED],
        n_more=len(unfinished[_NAMED:]),
        told=lambda passed: writer.names.told(passed.of, passed.name),
        figure=lambda passed, value: writer.text(kind_of_limit(passed.of), value),
        days_old=(visit.call.now - shown.as_of) // DAY if shown.is_latest else 0,
        is_stale=shown.is_latest and visit.call.now - shown.as_of > _STALE,
        auc=_auc_chart(shown),
        brier=_brier_chart(shown),
        performance=writer.grid(_PERFORMANCE, _performance(judged.report)),
        past=writer.grid(SECTIONS["drift_performance"].columns, _past(shown.reports[-_LISTED:])),
        bands=None if matured is None else writer.grid(OF_BANDS, _bands(matured)),
        judged=_shifts(shown, writer, [one for one in shifts if one[1] in _JUDGED]),
        others=_shifts(
            shown, writer, [one for one in shifts if one[1] not in _JUDGED and (all_of_them or one[1] != "minor")]
        ),
        n_minor=sum(verdict == "minor" for _, verdict in shifts),
        all_of_them=all_of_them,
        files={name: _file(name, shown) for name in TABLES},
        book=f"{ROOT}{PATH}.xlsx?{urlencode(shown.query)}",
    )


def show_column(visit: Visit) -> Response:
    """The page of one score or feature: its distribution at training against now, and its index over time."""
    shown, name = _shown(visit), visit.call.query.get("name", "")
    if shown is None:
        return visit.page("drift.html", shown=None, missing=NO_REPORT)
    found = next((one for one in shown.judged.report.shifts if one.name == name), None)
    if found is None:
        raise SettingsError(f"a column is a score or a feature of model {shown.model}, got {name[:50]!r}")
    over_time = read_shifts(shown.store, shown.model, [name], shown.moments[0], shown.as_of)
    bins, writer = [] if found.bins is None else bins_in_order(found.bins), cell_writer(visit)
    verdict = found.verdict(shown.judged.limits.psi)
    in_words = [
        {"values": writer.names.bin(name, one), "training": one.training, "now": one.now, "change": one.change}
        for one in bins
    ]
    bars = {"bars": Markup('<span class="unseen">{}</span>').format(writer.say(translatable("As bars")))}
    return visit.page(
        "drift_column.html",
        shown=shown,
        limits=shown.judged.limits.psi,
        shift=found,
        words=writer.names.column(name),
        written=writer.text,
        verdict=writer.cell(Column("verdict", "", "verdict"), {"verdict": verdict}),
        is_judged=verdict in _JUDGED,
        bins=writer.grid(_BINS, in_words, bars),
        most=max((max(one.training, one.now) for one in bins), default=1.0),
        psi=_psi_chart(shown, over_time),
        past=writer.grid(_OVER_TIME, records(over_time[-_LISTED:].iloc[::-1])),
        alerts=[alert for alert in shown.alerts if alert.worst.of == "psi" and alert.worst.name == name],
        back=f"{ROOT}{PATH}?{urlencode(shown.query)}",
        file=_file("drift_distributions", shown, column=name),
    )


def export_csv(visit: Visit) -> Response:
    """The table that the query names, as CSV; of one column where the query names that too."""
    tables, stem = _exported(visit)
    name, column = visit.call.query.get("table", "drift"), visit.call.query.get("column", "")
    rows = table_named(tables, name).rows
    if column and "column" in rows:
        rows = rows[rows["column"] == column]
    return csv_file(f"{name}-{stem}.csv", rows)


def export_excel(visit: Visit) -> Response:
    """All tables of the page as an Excel file, a sheet each."""
    tables, stem = _exported(visit)
    return excel_file(f"drift-{stem}.xlsx", tables, visit.call.now)


def _file(name: str, shown: Shown, **more: str) -> str:
    return f"{ROOT}{PATH}.csv?{urlencode({**shown.query, 'table': name, **more})}"


def _exported(visit: Visit) -> tuple[dict[str, Table], str]:
    """Every table of the page, and the day of its report.

    Raises:
        SettingsError: there is no report.
    """
    shown = _shown(visit)
    if shown is None:
        raise SettingsError(f"a file is of a report of drift; {NO_REPORT.what}")
    return tables_of(shown.store, shown.model, shown.as_of), format_instant(shown.as_of)[:10]


def _shown(visit: Visit) -> Shown | None:
    """The report that the query names: the last of the model in service where it names none; None where there is none.

    Raises:
        SettingsError: there is no such model, or it has no report by then.
    """
    store, query = visit.call.store, visit.call.query
    models = list_models(store)
    if not models:
        return None
    in_service = visit.call.engine.label
    model = query.get("model") or (in_service if in_service in models else next(iter(models)))
    if model not in models:
        raise SettingsError(f"a model is one that has reports, {', '.join(models)}; got {model[:100]!r}")
    moments = tuple(int(at) for at in list_reports(store, model)["as_of"])
    # Who chooses another model has the moment of the one before in the form.
    asked = parse_instant(query["as_of"]) if query.get("as_of") else moments[-1]
    as_of = max((at for at in moments if at <= asked), default=moments[-1])
    return Shown(store, models, model, moments, as_of)


def _roles(visit: Visit) -> dict[str, str]:
    """What the models in service are, in words."""
    shadow = visit.call.serving.shadow
    challenger = None if shadow is None else shadow.challenger()
    roles = {} if challenger is None else {challenger.label: ROLES["challenger"]}
    roles[visit.call.engine.label] = ROLES["champion"]
    return {label: visit.language.gettext(role) for label, role in roles.items()}


def _shifts(shown: Shown, writer: CellWriter, shifts: Sequence[tuple[Shift, Verdict]]) -> Grid:
    """A row for each of some scores and features, what moved first, else in their order."""
    limits = shown.judged.limits.psi
    since = [at for at in shown.moments if at <= shown.as_of][-_SPARKS:][0]
    over_time = read_shifts(shown.store, shown.model, [one.name for one, _ in shifts], since, shown.as_of)
    by_name = {str(name): some["psi"].tolist() for name, some in over_time.groupby("name")}
    rows = [
        {
            "column": one.name,
            "verdict": verdict,
            "psi": one.psi,
            "by_chance": one.by_chance,
            "gain": one.gain,
            "most": _most(writer, one),
            "spark": spark(by_name[one.name], max(limits.shifted * 1.2, *by_name[one.name])),
            "address": f"{ROOT}{COLUMN_PATH}?{urlencode({**shown.query, 'name': one.name})}",
        }
        for one, verdict in sorted(shifts, key=lambda one: _FIRST.get(one[1], len(_FIRST)))
    ]
    return writer.grid(_SHIFTS, rows, {"spark": writer.language.say(translatable("{psi} over time"), psi="PSI")})


def _most(writer: CellWriter, one: Shift) -> str:
    """What changed most, then and now; blank where that is the same as it is written."""
    most = None if one.bins is None else most_changed(one.bins)
    then, now = ("", "") if most is None else (writer.text("share", each) for each in (most.training, most.now))
    return "" if most is None or then == now else f"{writer.names.bin(one.name, most)}{writer.say(': ')}{then} → {now}"


def _performance(report: Report) -> list[dict[str, Any]]:
    """What is expected of a model by each figure, and what it reached."""
    matured = report.matured
    auc, brier = (
        {"now": report.expected_auc, "training": report.reference_auc, "holdout": report.holdout_auc},
        {"now": report.expected_brier, "training": report.reference_brier, "holdout": report.holdout_brier},
    )
    if matured is not None:
        auc |= {"reached": matured.auc, "low": matured.auc_low, "high": matured.auc_high}
        auc |= {"expected": matured.expected_auc}
        brier |= {"reached": matured.brier, "expected": matured.expected_brier}
    return [{"figure": name, "means": _MEANS[name], **of} for name, of in zip(_MEANS, (auc, brier), strict=True)]


def _bands(matured: Matured) -> list[dict[str, Any]]:
    """All together, marked where they paid otherwise than predicted, and each band."""
    whole = {"payers_beyond": _is_beyond(matured.whole.payers), "money_beyond": _is_beyond(matured.whole.money)}
    return [{**_band(matured.whole), **whole, "cut": "all"}, *map(_band, matured.bands)]


def _band(one: Band) -> dict[str, Any]:
    payers, money = one.payers, one.money
    return {
        "band": one.band, "accounts": one.accounts, "predicted_payers": payers.expected,
        "actual_payers": payers.actual, "payers_ratio": payers.ratio, "payers_low": payers.low,
        "payers_high": payers.high, "predicted_amount": money.expected, "actual_amount": money.actual,
        "money_ratio": money.ratio, "money_low": money.low, "money_high": money.high,
    }  # fmt: skip


def _is_beyond(ratio: Ratio) -> bool:
    return ratio.low > 1 or ratio.high < 1


def _alerts(writer: CellWriter, alerts: Sequence[Alert]) -> Grid:
    rows = [
        {
            "of": alert.worst.of,
            "column": alert.worst.name,
            "level": "warning" if alert.worst.warns else "breach",
            "began": alert.began,
            "ended": alert.ended,
            "reports": alert.reports,
            "worst_figure": alert.worst.figure,
            "limit": alert.worst.limit,
        }
        for alert in alerts
    ]
    return writer.grid(SECTIONS["drift_alerts"].columns, rows)


def _points(rows: pd.DataFrame, at: str, name: str) -> list[Point]:
    """Where both are known, each moment once, the last report of it."""
    known = rows[rows[at].notna() & rows[name].notna()].drop_duplicates(at, keep="last").sort_values(at)
    return [(int(moment), float(value)) for moment, value in zip(known[at], known[name], strict=True)]


@dataclass(frozen=True)
class Figure:
    """A chart of what was expected, of what was reached by the scores of each moment, and levels across."""

    box: Lines
    expected: list[Point]
    reached: list[Point]
    levels: Mapping[str, float]


def _auc_chart(shown: Shown) -> Figure | None:
    report = shown.judged.report
    floor = report.reference_auc - shown.judged.limits.ranking.expected_auc_drop
    return _figure(shown.reports, "auc", {"training": report.reference_auc, "limit": floor})


def _brier_chart(shown: Shown) -> Figure | None:
    at_training = shown.judged.report.reference_brier
    return _figure(shown.reports, "brier", {} if at_training is None else {"training": at_training})


def _figure(rows: pd.DataFrame, name: str, levels: Mapping[str, float]) -> Figure | None:
    expected, reached = _points(rows, "as_of", f"expected_{name}"), _points(rows, "matured_as_of", name)
    if not expected and not reached:
        return None
    return Figure(lines([expected, reached], list(levels.values())), expected, reached, levels)


def _psi_chart(shown: Shown, over_time: pd.DataFrame) -> Figure | None:
    limits, points = shown.judged.limits.psi, _points(over_time, "as_of", "psi")
    chance = _points(over_time, "as_of", "by_chance")
    if not points:
        return None
    box = lines([points, chance], [limits.warn, limits.shifted], from_zero=True)
    return Figure(box, points, chance, {"warn": limits.warn, "limit": limits.shifted})


def _past(reports: pd.DataFrame) -> Sequence[dict[str, Any]]:
    """The reports, the latest first; what is not known is None."""
    return records(reports.iloc[::-1].rename(columns={"matured_as_of": "scores_of"}))
