"""The report of a month to be printed: every table of the review, in the words of a language, as one page.

It is a page by itself: its styles are in it, and nothing is loaded. Tables of which nothing is known here are printed
with the names of their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from features.catalog.grammar import Feature
from serving.api.answering import records
from serving.languages.language import translatable
from serving.review.pages.cells import CellWriter, Column, Grid
from serving.review.pages.curves import square
from serving.review.pages.cuts import CUTS
from serving.review.pages.flows import liquidation_chart, liquidation_grid, rolls_grid
from serving.review.pages.sections import ORDER, REGISTERED, SECTIONS, Section
from serving.review.pages.visit import environment_of, style
from serving.review.pages.writing import Writing
from serving.review.reading import Reached
from serving.review.tables import Table

#: So many rows of a table are printed; a file has all.
_MOST = 30
#: Cuts of whose table nothing is learned where all accounts have the same value.
_PLAIN = tuple(f"by_{cut}" for cut in CUTS if cut not in {"band", "month"})


@dataclass(frozen=True)
class Printed:
    """A table as it is printed, what is said of it, and how many of its rows are left out."""

    name: str
    title: str
    grid: Grid
    says: str = ""
    left_out: int = 0
    chart: Any = None


#: What the row of all values together sums up, and which sums it has over one another.
_SUMS = (
    *("accounts", "balance", "predicted_payers", "actual_payers", "predicted_amount", "actual_amount", "contacts"),
    "cost",
)
_RATIOS: Mapping[str, tuple[str, str]] = {
    "predicted_rate": ("predicted_payers", "accounts"),
    "pay_rate": ("actual_payers", "accounts"),
    "payers_ratio": ("actual_payers", "predicted_payers"),
    "money_ratio": ("actual_amount", "predicted_amount"),
    "cost_per_unit": ("cost", "actual_amount"),
}
#: Every bin of every feature is for machines.
_FILES_ALONE = ("drift_distributions",)


def report_page(
    tables: Mapping[str, Table], name: str, month: int, write: Writing, reached: Reached | None = None,
    features: Mapping[str, Feature] = MappingProxyType({}),
) -> str:  # fmt: skip
    """The tables of a month as one page to print, in the language and the time that `write` writes in.

    Args:
        tables: by their names, as `serving.review.exporting.TABLES` makes them.
        name: the portfolio's.
        month: as the number 202610.
        write: its `now` is when the report is made.
        reached: how far its sums reach.
        features: those of the portfolio, by which columns are named.
    """
    language = write.language
    printer = Printer(CellWriter(write, features), month)
    shown = [(title, table) for title, table in tables.items() if title not in _FILES_ALONE]
    ordered = sorted(shown, key=lambda one: ORDER.get(one[0], len(ORDER)))
    printed = [printer.printed(title, table) for title, table in ordered if len(table.rows)]
    kept = [one for one in printed if not (one.name in _PLAIN and len(one.grid.rows) <= 2)]
    whole = records(tables["overview"].rows) if "overview" in tables else []
    return environment_of(language).get_template("report.html").render(
        write=write, reached=reached or Reached(), name=name, month=month, style=style(), sections=kept,
        matured=next((row for row in whole if row["part"] == "matured"), None),
        total=sum(row["accounts"] for row in whole),
        # A cut of whose values there is one says what is said already.
        same=[language.gettext(SECTIONS[one.name].title) for one in printed if one not in kept],
        lacking=printer.lacking(ordered),
    )  # fmt: skip


@dataclass(frozen=True)
class Printer:
    """Makes tables of a month ready to be printed."""

    writer: CellWriter
    month: int

    def title(self, name: str) -> str:
        """What a table is called."""
        section = SECTIONS.get(name)
        title = self._say(section.title if section else name.replace("_", " "))
        is_cut = name.startswith("by_")
        return f"{self._say('Predicted against actual')}{self._say(': ')}{title}" if is_cut else title

    def lacking(self, tables: Sequence[tuple[str, Table]]) -> list[tuple[str, list[str]]]:
        """What is missing, each with the titles of the tables that lack it."""
        found: dict[str, list[str]] = {}
        for name, table in tables:
            if table.missing is not None:
                what = self.writer.write.missing(table.missing)
            elif table.rows.empty:
                what = self._say(translatable("no matured outcome of this month"))
            else:
                continue
            title = self._say(SECTIONS[name].title) if name in SECTIONS else self.title(name)
            found.setdefault(what, []).append(title)
        return list(found.items())

    def printed(self, name: str, table: Table) -> Printed:
        """A table that has rows."""
        rows, title, left_out = table.rows, self.title(name), 0
        section = SECTIONS.get(name) or Section(title, "", tuple(_columns_of(rows)))
        if name == "liquidation":
            grid = liquidation_grid(self.writer, rows)
            left_out, grid = len(grid.rows) - _MOST, replace(grid, rows=grid.rows[:_MOST])
        elif name == "roll_rates":
            # The moves of the report's month; of the last there are where that is not over yet.
            month = max((each for each in rows["month"] if each <= self.month), default=int(rows["month"].min()))
            title = f"{title}{self._say(': ')}{self.writer.write.month(month)}"
            grid = rolls_grid(self.writer, rows[rows["month"] == month])
        else:
            chosen = section.rows(rows)
            whole = [_together(rows)] if name.startswith("by_") else []
            columns = (column for column in section.columns if column.name in rows)
            grid = self.writer.grid(columns, [*records(chosen.iloc[:_MOST]), *whole])
            left_out = len(chosen) - _MOST
        says = " ".join([*self._moments(name, rows), self._say(section.says)])
        return Printed(name, title, grid, says, max(0, left_out), _chart(name, rows))

    def _moments(self, name: str, rows: pd.DataFrame) -> Iterator[str]:
        """Of which moment and which version a table of the registry is, which is none of the month."""
        say, write = self.writer.language.say, self.writer.write
        if name == "model_checks":
            last = rows.iloc[0]
            version, moment = f"{last['model']}/{last['after']}", write.moment(last["at"])
            yield say(translatable("Decided on {model}, {moment}."), model=version, moment=moment)
        if name in REGISTERED:
            moment = write.moment(write.now)
            yield say("As the registry said on {moment}, {zone}.", moment=moment, zone=write.zone.key)

    def _say(self, text: str) -> str:
        return self.writer.say(text)


def _together(rows: pd.DataFrame) -> dict[str, Any]:
    """The row of all values together: sums, and the ratios of sums, whose ranges stand under the first table."""
    total = {name: float(rows[name].sum()) for name in _SUMS}
    ratios = {
        name: total[above] / total[below] if total[below] > 0 else None for name, (above, below) in _RATIOS.items()
    }
    worked = (rows["worked_share"] * rows["accounts"]).sum() / total["accounts"]
    so_far = 1.0 if total["actual_amount"] > 0 else None
    return {"cut": "all", **total, **ratios, "worked_share": worked, "cumulative_share": so_far}


def _chart(name: str, rows: pd.DataFrame) -> Any:
    if name == "calibration":
        return square(rows[["predicted", "actual", "high"]].fillna(0).to_numpy().ravel().tolist()), records(rows)
    if name == "liquidation":
        return liquidation_chart(rows)
    return (square([1.0]), rows) if name == "gain" else None


def _columns_of(rows: pd.DataFrame) -> Iterator[Column]:
    """Columns of a table of which nothing is known: by their names, numbers as ratios unless they are whole."""
    for name in map(str, rows.columns):
        kind = rows[name].dtype.kind
        yield Column(name, name.replace("_", " "), "number" if kind in "iu" else "ratio" if kind == "f" else "text")
