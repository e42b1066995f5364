"""Flows: what was paid of each placement over months, moves between stages, and two models' orders of one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from starlette.responses import Response

from features.errors import SettingsError
from serving.api.answering import records
from serving.languages.language import translatable
from serving.review.flows import LAST_MONTH, liquidation, months_of_swaps, roll_rates, swap_set
from serving.review.months import in_words
from serving.review.pages.cells import Cell, CellWriter, Column, Grid, cell_writer
from serving.review.pages.curves import Square, square
from serving.review.pages.files import csv_file, excel_file, table_named
from serving.review.pages.months import ALL, month_asked
from serving.review.pages.sections import SECTIONS
from serving.review.pages.visit import ROOT, Visit
from serving.review.pages.writing import UNKNOWN
from serving.review.reading import reached
from serving.review.tables import Table

PATH = "/flows"
#: So many months since the placement are shown, and so many placements are drawn; a file has all.
_AGES, _DRAWN = 13, 6
#: The room that a curve's name takes.
_NAME_WIDTH, _NAME_HEIGHT = 64, 14
NOT_SCORED = "not scored"
#: What stands for it in words.
_NO_LONGER = translatable("no longer scored")
_TENTHS = tuple(map(str, range(1, 10)))


@dataclass(frozen=True)
class Curve:
    """The liquidation curve of a placement month: `points` of a polyline, where it ends, and the height of its name."""

    vintage: int
    points: str
    x: float
    y: float
    name_y: float


@dataclass(frozen=True)
class SwapsAsked:
    """Which swap set is shown: of one of `months` or all, and how many tenths of the accounts are the top."""

    months: tuple[int, ...]
    month: int | None
    tenths: int
    choices: tuple[int, ...] = tuple(range(1, 10))

    @property
    def query(self) -> dict[str, str]:
        """As a query has it."""
        return {"swap_month": in_words(self.month) if self.month else ALL, "tenths": str(self.tenths)}


@dataclass(frozen=True)
class Curves:
    """Liquidation curves on axes of share and age: `ticks` are the ages with where they are from the left."""

    box: Square
    ticks: tuple[tuple[int, float], ...]
    curves: tuple[Curve, ...]


def show(visit: Visit) -> Response:
    """The page."""
    chosen = _swaps_asked(visit)
    tables = _tables(visit, chosen)
    rolls = tables["roll_rates"].rows
    months = sorted({int(month) for month in rolls["month"]})
    # A table of moves is of one month.
    month = month_asked(visit.call.query.get("month", ""), months, months) or next(iter(months[-1:]), None)
    placed, writer = tables["liquidation"].rows, cell_writer(visit)
    share = writer.write.share(chosen.tenths / 10)
    return visit.page(
        "flows.html",
        tables=tables,
        placements=liquidation_grid(writer, placed),
        chart=liquidation_chart(placed),
        months=months,
        month=month,
        rolls=rolls_grid(writer, rolls[rolls["month"] == month]),
        swaps=writer.grid(
            SECTIONS["swap_set"].columns,
            records(tables["swap_set"].rows),
            {"set": visit.language.say(translatable("Among the first {share}"), share=share)},
        ),
        swaps_asked=chosen,
        sections=SECTIONS,
        reached=reached(visit.call.store),
        month_in_query=in_words,
        files={name: f"{ROOT}{PATH}.csv?{urlencode({'table': name, **chosen.query})}" for name in tables},
        book=f"{ROOT}{PATH}.xlsx?{urlencode(chosen.query)}",
    )


def export_csv(visit: Visit) -> Response:
    """The table that the query names, as CSV."""
    tables, name = _tables(visit, _swaps_asked(visit)), visit.call.query.get("table", "liquidation")
    return csv_file(f"{name}.csv", table_named(tables, name).rows)


def export_excel(visit: Visit) -> Response:
    """All tables of the page as an Excel file, a sheet each."""
    return excel_file("flows.xlsx", _tables(visit, _swaps_asked(visit)), visit.call.now)


def _tables(visit: Visit, chosen: SwapsAsked) -> dict[str, Table]:
    store = visit.call.store
    swaps = swap_set(store, chosen.month or 0, chosen.month or LAST_MONTH, chosen.tenths)
    return {"liquidation": liquidation(store), "roll_rates": roll_rates(store), "swap_set": swaps}


def _swaps_asked(visit: Visit) -> SwapsAsked:
    """Which swap set a query asks for.

    Raises:
        SettingsError: there is none of that month, or the top is no number of tenths.
    """
    months, query = months_of_swaps(visit.call.store), visit.call.query
    tenths = query.get("tenths") or "2"
    if tenths not in _TENTHS:
        raise SettingsError(f"the top is of 1 to 9 tenths of the accounts, got {tenths[:50]!r}")
    return SwapsAsked(tuple(months), month_asked(query.get("swap_month") or ALL, months, months), int(tenths))


def liquidation_grid(writer: CellWriter, rows: pd.DataFrame) -> Grid:
    """A row for each placement month, the latest first: its rates by age, and the last of what scores expected."""
    ages = range(min(int(rows["age"].max()) + 1, _AGES)) if len(rows) else ()
    month = translatable("month {number}")
    by_age = (Column(str(age), writer.language.say(month, number=age), "cell") for age in ages)
    placed = []
    for _, curve in rows.groupby("vintage", sort=True):
        known = records(curve)
        rates = {str(row["age"]): _rate(writer, row) for row in known}
        placed.append({**dict.fromkeys(map(str, ages), Cell("")), **known[-1], **rates})
    return writer.grid((*SECTIONS["liquidation"].columns, *by_age), placed[::-1])


def _rate(writer: CellWriter, row: Mapping[str, Any]) -> Cell:
    below = "" if row["complete"] else writer.say(translatable("not over yet"))
    return Cell(writer.write.share(row["liquidation_rate"]), below)


def liquidation_chart(rows: pd.DataFrame) -> Curves | None:
    """The curves of the last placements of two whole months or more; None where there is no such placement."""
    rows = rows[rows["complete"].astype(bool)] if len(rows) else rows
    by_vintage = [(int(str(vintage)), curve) for vintage, curve in rows.groupby("vintage") if len(curve) > 1][-_DRAWN:]
    if not by_vintage:
        return None
    box = square([float(rate) for _, curve in by_vintage for rate in curve["liquidation_rate"]])
    oldest = max(int(curve["age"].max()) for _, curve in by_vintage)
    curves: list[Curve] = []
    for vintage, curve in by_vintage:
        across = (curve["age"] / oldest * box.top).tolist()
        rates = curve["liquidation_rate"].clip(lower=0).tolist()
        x, y = box.x(across[-1]), box.y(rates[-1])
        curves.append(Curve(vintage, box.path(across, rates), x, y, _free(x, y - 6, curves)))
    ticks = tuple((age, box.x(box.top * age / oldest)) for age in range(oldest + 1))
    return Curves(box, ticks, tuple(curves))


def _free(x: float, y: float, others: list[Curve]) -> float:
    """The height nearest above `y` at which a name that ends at `x` covers no other."""
    for other in sorted((one for one in others if abs(one.x - x) < _NAME_WIDTH), key=lambda one: -one.name_y):
        if abs(other.name_y - y) < _NAME_HEIGHT:
            y = other.name_y - _NAME_HEIGHT
    return y


def rolls_grid(writer: CellWriter, rows: pd.DataFrame) -> Grid:
    """A row for each stage of a month: its accounts, balance, and the move to each stage after."""
    after = [*sorted({*rows["stage_after"]} - {NOT_SCORED}), NOT_SCORED]
    moved = (Column(stage, f"→ {_stage(writer, stage)}", "cell") for stage in after)
    stages = [
        {
            "stage": Cell(_stage(writer, str(stage))),
            "accounts": int(of_stage["accounts"].sum()),
            "balance": float(of_stage["balance"].sum()),
            **dict.fromkeys(after, Cell(UNKNOWN)),
            **{row["stage_after"]: _move(writer, row) for row in records(of_stage)},
        }
        for stage, of_stage in rows.groupby("stage", sort=True)
    ]
    return writer.grid((*SECTIONS["roll_rates"].columns, *moved), stages)


def _stage(writer: CellWriter, stage: str) -> str:
    return writer.say(_NO_LONGER) if stage == NOT_SCORED else writer.cuts.value("stage", stage)


def _move(writer: CellWriter, row: Mapping[str, Any]) -> Cell:
    share = writer.write.share
    of_money = writer.language.say(translatable("money: {share}"), share=share(row["balance_share"]))
    return Cell(share(row["share"]), of_money)
