"""What monitoring and audits found, as tables for people and as JSON for machines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from experiments.watch.auditing import AuditReport
from experiments.watch.fairness import ColumnAudit, Group, Interval
from features.files import replacing
from serving.drift import Band, Ratio, Report, Shift

#: What a person sees of a group: the heading, and how it is written.
FIGURES = {
    "selection_rate": ("selected", "{:.1%}"),
    "contact_rate": ("contacted", "{:.1%}"),
    "payers_predicted_by_actual": ("payers p/a", "{:.2f}"),
    "calibration_error": ("ECE", "{:.3f}"),
    "auc": ("AUC", "{:.3f}"),
    "false_negative_rate": ("FNR", "{:.1%}"),
    "false_positive_rate": ("FPR", "{:.1%}"),
    "money_predicted_by_actual": ("money p/a", "{:.2f}"),
}
_TOP_SHIFTS = 10


def write_json(report: Report | AuditReport, path: Path) -> None:
    """Write a report; what is not defined is null."""
    content = msgspec.json.format(msgspec.json.encode(report), indent=1)
    with replacing(path) as temporary:
        temporary.write_bytes(content + b"\n")


def as_data(report: Report | AuditReport) -> dict[str, Any]:
    """The report as plain values; what is not defined is None."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))
    return found


def audit_table(audit: ColumnAudit) -> Table:
    """The groups of one column, a row each, predicted by actual as p/a; what differs from the whole is marked."""
    shown = Table("group", title=f"By {audit.column}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("accounts", *(title for title, _ in FIGURES.values())):
        shown.add_column(heading, justify="right")
    for group in (audit.whole, *audit.groups):
        shown.add_row(group.value, f"{group.accounts:,}", *(_cell(group, name) for name in FIGURES))
    return shown


def flag_lines(audit: ColumnAudit) -> list[str]:
    """A line for each ratio of selection rates below four fifths."""
    return [
        f"{audit.column} {group.value}: {rate.replace('_', ' ')} is {_span(group.ratios[rate])} of the most selected "
        f"group's, below four fifths" + ("" if rate in group.certain else ", which may be chance")
        for group in audit.groups
        for rate in group.flagged
    ]


def shifts_table(report: Report) -> Table:
    """The scores, and the features that the model goes by most."""
    title = f"Population stability index as of {report.as_of[:10]}"
    shown = Table("column", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("share of gain", "PSI", "by chance up to"):
        shown.add_column(heading, justify="right")
    for one in (*report.scores, *report.features[:_TOP_SHIFTS]):
        gain = "" if one.gain is None else f"{one.gain:.1%}"
        shown.add_row(one.name + _note(one), gain, f"{one.psi:.3f}", f"{one.by_chance:.3f}")
    return shown


def matured_table(report: Report) -> Table | None:
    """Actual by expected, in all and by band; None where nothing has matured."""
    if report.matured is None:
        return None
    title = f"What came of the scores of {report.matured.as_of[:10]}"
    shown = Table("band", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("accounts", "payers", "expected", "a/e", "money", "expected", "a/e"):
        shown.add_column(heading, justify="right")
    for band in (report.matured.whole, *report.matured.bands):
        shown.add_row(*_band_cells(band))
    return shown


def monitor_lines(report: Report) -> list[str]:
    """The ranking and the probabilities, before and after outcomes are known."""
    lines = [
        f"Expected of the {report.accounts:,} live accounts: AUC {report.expected_auc:.3f} "
        f"({report.reference_auc:.3f} at training), Brier score {report.expected_brier:.4f}; without concept drift.",
        f"Weighted to be as old as those at training, they count for {report.as_old:,.0f}; the smaller PSI counts.",
    ]
    if (found := report.matured) is None:
        return [*lines, "No outcome of time that the model has not learned from is known yet."]
    reached = "" if report.holdout_auc is None else f", {report.holdout_auc:.3f} on unseen time at training"
    return [
        *lines,
        f"Reached since {found.as_of[:10]}: AUC {found.auc:.3f} [{found.auc_low:.3f}, {found.auc_high:.3f}] (expected "
        f"{found.expected_auc:.3f}{reached}), Brier score {found.brier:.4f} (expected {found.expected_brier:.4f}), "
        f"calibration error {found.calibration_error:.4f}.",
    ]


def _cell(group: Group, name: str) -> str:
    figure = group.figures[name].value
    if not math.isfinite(figure):
        return "-"
    differs = name in group.differences and group.differences[name].excludes_zero
    return FIGURES[name][1].format(figure) + ("*" if differs else "")


def _band_cells(band: Band) -> list[str]:
    def cells(ratio: Ratio) -> list[str]:
        by = f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" if math.isfinite(ratio.ratio) else "-"
        return [f"{ratio.actual:,.0f}", f"{ratio.expected:,.0f}", by]

    return [band.band, f"{band.accounts:,}", *cells(band.payers), *cells(band.money)]


def _note(one: Shift) -> str:
    return " (calendar)" if one.calendar else " (ageing)" if one.ageing else ""


def _span(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
