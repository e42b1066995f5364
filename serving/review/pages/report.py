"""The report of a month to be printed: every table of the review, in the words of a language, as one page.

It is a page by itself: its styles are in it, and nothing is loaded. Tables of which nothing is known here are printed
with the names of their columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from features.catalog.grammar import Feature
from serving.api.answering import records
from serving.drift import Verdict
from serving.languages.language import translatable
from serving.review.overview import FIGURES
from serving.review.pages.columns import ColumnWords
from serving.review.pages.curves import square
from serving.review.pages.cuts import CUTS, CutWords
from serving.review.pages.drift import VERDICTS, told
from serving.review.pages.flows import NOT_SCORED, SETS, liquidation_chart, moves_of, placements_of
from serving.review.pages.labels import Words
from serving.review.pages.marks import Mark, mark
from serving.review.pages.sections import LIQUIDATION, ORDER, REGISTERED, ROLLS, SECTIONS, WORDS, Column, Section
from serving.review.pages.visit import environment_of, style
from serving.review.pages.writing import UNKNOWN, Writing
from serving.review.tables import Table

#: So many rows of a table are printed; a file has all.
_MOST = 30
#: So many months since the placement.
_AGES = 13
#: Cuts of whose table nothing is learned where all accounts have the same value.
_PLAIN = tuple(f"by_{cut}" for cut in CUTS if cut not in {"band", "month"})


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what stands below it, and its mark where it is other than it should be beyond noise."""

    text: str
    below: str = ""
    mark: Mark | None = None


@dataclass(frozen=True)
class Printed:
    """A table as it is printed: the head of each column, rows of cells, and what is said of it.

    The first column of a row says what it is of; `whole` says whether the last row is that of all together.
    """

    name: str
    title: str
    says: str = ""
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    whole: bool = False
    figures: Sequence[bool] = ()
    left_out: int = 0
    chart: Any = None

    def is_figure(self, place: int) -> bool:
        """Whether a column holds figures, which stand at the right; all but the first do where nothing is said."""
        return self.figures[place] if self.figures else place > 0


#: Every bin of every feature is for machines.
_FILES_ALONE = ("drift_distributions",)
#: What is known of the parts of a month.
_PARTS: Mapping[str, str] = {
    "matured": translatable("matured"),
    "open": translatable("still open"),
    "first": translatable("first champion"),
    "promoted": translatable("promoted"),
    "rolled_back": translatable("brought back"),
    "refused": translatable("refused"),
    "True": translatable("done"),
    "False": translatable("did not come about"),
}


def report_page(
    tables: Mapping[str, Table], name: str, month: int, write: Writing, until: int | None = None,
    features: Mapping[str, Feature] = MappingProxyType({}),
) -> str:  # fmt: skip
    """The tables of a month as one page to print, in the language and the time that `write` writes in.

    Args:
        tables: by their names, as `serving.review.exporting.TABLES` makes them.
        name: the portfolio's.
        month: as the number 202610.
        write: its `now` is when the report is made.
        until: windows that ended by then have matured; None where no outcome is known.
        features: those of the portfolio, by which columns are named.
    """
    language = write.language
    printer = Printer(write, month, ColumnWords(features, language, write))
    shown = [(title, table) for title, table in tables.items() if title not in _FILES_ALONE]
    ordered = sorted(shown, key=lambda one: ORDER.get(one[0], len(ORDER)))
    printed = [printer.printed(title, table) for title, table in ordered if len(table.rows)]
    kept = [one for one in printed if not (one.name in _PLAIN and len(one.rows) <= 2 and one.whole)]
    whole = records(tables["overview"].rows) if "overview" in tables else []
    return environment_of(language).get_template("report.html").render(
        write=write, until=until, name=name, month=month, style=style(), sections=kept,
        matured=next((row for row in whole if row["part"] == "matured"), None),
        total=sum(row["accounts"] for row in whole),
        # A cut of whose values there is one says what is said already.
        same=[language.gettext(SECTIONS[one.name].title) for one in printed if one not in kept],
        lacking=printer.lacking(ordered),
    )  # fmt: skip


@dataclass(frozen=True)
class Printer:
    """Makes tables of a month ready to be printed."""

    write: Writing
    month: int
    column: ColumnWords

    def title(self, name: str) -> str:
        """What a table is called."""
        if name in SECTIONS:
            title, is_cut = self._say(SECTIONS[name].title), SECTIONS[name].columns[0].kind == "cut"
            return f"{self._say('Predicted against actual')}{self._say(': ')}{title}" if is_cut else title
        return self._say({"liquidation": LIQUIDATION[0], "roll_rates": ROLLS[0]}.get(name, name.replace("_", " ")))

    def lacking(self, tables: Sequence[tuple[str, Table]]) -> list[tuple[str, list[str]]]:
        """What is missing, each with the titles of the tables that lack it."""
        found: dict[str, list[str]] = {}
        for name, table in tables:
            if table.missing is not None:
                what = self.write.missing(table.missing)
            elif table.rows.empty:
                what = self._say(translatable("no matured outcome of this month"))
            else:
                continue
            title = SECTIONS[name].title if name in SECTIONS else self.title(name)
            found.setdefault(what, []).append(self._say(title))
        return list(found.items())

    def printed(self, name: str, table: Table) -> Printed:
        """A table that has rows."""
        if name == "liquidation":
            return self._liquidation(table.rows)
        if name == "roll_rates":
            return self._rolls(table.rows)
        section = SECTIONS.get(name) or Section(name.replace("_", " "), "", _columns_of(table.rows))
        chosen = section.rows(table.rows)
        shown = chosen.iloc[:_MOST]
        columns = tuple(column for column in section.columns if column.name in shown and _is_told(column, shown))
        rows = [[self._cell(column, row) for column in columns] for row in records(shown)]
        is_cut = columns[0].kind == "cut"
        if is_cut:
            rows.append(self._together(table.rows, columns))
        heads = [self._say(column.head) for column in columns]
        left_out = len(chosen) - len(shown)
        figures = [column.kind not in WORDS for column in columns]
        says = [*self._moments(name, table.rows), self._say(section.says)]
        return Printed(name, self.title(name), " ".join(says), heads, rows, is_cut, figures, left_out,
                       self._chart(name, table.rows))  # fmt: skip

    def _moments(self, name: str, rows: pd.DataFrame) -> Iterator[str]:
        """Of which moment and which version a table of the registry is, which is none of the month."""
        say, write = self.write.language.say, self.write
        if name == "model_checks":
            last = rows.iloc[0]
            version, moment = f"{last['model']}/{last['after']}", write.moment(last["at"])
            yield say(translatable("Decided on {model}, {moment}."), model=version, moment=moment)
        if name in REGISTERED:
            moment = write.moment(write.now)
            yield say("As the registry said on {moment}, {zone}.", moment=moment, zone=write.zone.key)

    def _say(self, text: str) -> str:
        return self.write.language.gettext(text)

    @property
    def _cuts(self) -> CutWords:
        return CutWords(Words(self.write.language), self.write)

    def _cell(self, column: Column, row: Mapping[str, Any]) -> Cell:
        value = row[column.name]
        if column.kind == "place":
            below = "" if row["cut"] == "all" else self._cuts.cut(row["cut"])
            return Cell(self._cuts.value(row["cut"], str(row["value"])), below)
        if column.kind in ("column", "alert"):
            is_column = column.kind == "column"
            text = self.column.column(value) if is_column else told(self.column, value, row["column"])
            return Cell(text, f"{row['column']} · {row['model']}" if row["column"] else row["model"])
        if column.kind == "set":
            return Cell(self._say(SETS[value]), f"{row['champion']} / {row['challenger']}")
        if column.kind == "range":
            return Cell(self._range("share", column, row))
        kind = FIGURES[row["figure"]].written if column.kind == "figure" else column.kind
        return Cell(self._text(kind, column.name, value), self._range(kind, column, row), _mark(column, row))

    def _text(self, kind: str, name: str, value: Any) -> str:
        write = self.write
        if kind == "ended":
            return write.day(value) if value else self._say("not ended")
        if value is None or value == "" or value != value:  # noqa: PLR0124 only a NaN is not itself
            return UNKNOWN
        if kind == "cut":
            return self._cuts.value(name, {True: "yes", False: "no"}.get(value, str(value)))
        return _KINDS[kind](write, value)

    def _range(self, kind: str, column: Column, row: Mapping[str, Any]) -> str:
        low, high = row.get(column.low), row.get(column.high)
        if low is None or high is None:
            return ""
        return f"{self._text(kind, '', low)} – {self._text(kind, '', high)}"

    def _together(self, rows: pd.DataFrame, columns: tuple[Column, ...]) -> list[Cell]:
        """The row of all values together: sums, and the ratios of sums, whose ranges stand under the first table."""
        total = rows.sum(numeric_only=True)
        both = {
            "payers_ratio": ("actual_payers", "predicted_payers"),
            "money_ratio": ("actual_amount", "predicted_amount"),
            "cost_per_unit": ("cost", "actual_amount"),
        }
        found: dict[str, Any] = {
            name: total[above] / total[below] if total[below] > 0 else None for name, (above, below) in both.items()
        }
        worked = (rows["worked_share"] * rows["accounts"]).sum() / total["accounts"]
        found |= {"worked_share": worked, "cumulative_share": 1.0 if total["actual_amount"] > 0 else None}
        cells = [
            Cell(self._text(column.kind, column.name, found.get(column.name, total.get(column.name))))
            for column in columns[1:]
        ]
        return [Cell(self._say(translatable("together"))), *cells]

    def _chart(self, name: str, rows: pd.DataFrame) -> Any:
        if name == "calibration":
            return square(rows[["predicted", "actual", "high"]].fillna(0).to_numpy().ravel().tolist()), records(rows)
        return (square([1.0]), rows) if name == "gain" else None

    def _liquidation(self, rows: pd.DataFrame) -> Printed:
        write, say = self.write, self.write.language.say
        ages = list(range(min(int(rows["age"].max()) + 1, _AGES)))
        heads = [
            *map(self._say, ("Month of placement", "Accounts", "Amount placed")),
            *map(self._say, ("Expected by scores", "Paid in their windows")),
            *(say("month {number}", number=age) for age in ages),
        ]
        found = [
            [
                Cell(write.month(row["vintage"])),
                Cell(write.number(row["accounts"])), Cell(write.money(row["placed"])),
                Cell(write.share(row["expected_rate"])), Cell(write.share(row["scored_rate"])),
                *(self._rate(rate) for rate in row["rates"]),
            ]
            for row in placements_of(rows, ages)
        ]  # fmt: skip
        title, says = map(self._say, LIQUIDATION)
        return Printed("liquidation", title, says, heads, found[:_MOST], left_out=max(0, len(found) - _MOST),
                       chart=liquidation_chart(rows))  # fmt: skip

    def _rate(self, rate: Mapping[str, Any] | None) -> Cell:
        if rate is None:
            return Cell("")
        below = "" if rate["complete"] else self._say(translatable("not over yet"))
        return Cell(self.write.share(rate["liquidation_rate"]), below)

    def _rolls(self, rows: pd.DataFrame) -> Printed:
        """The moves of the report's month; of the last there are where that is not over yet."""
        write, say = self.write, self.write.language.say
        month = max((each for each in rows["month"] if each <= self.month), default=int(rows["month"].min()))
        of_month = rows[rows["month"] == month]
        stages = [*sorted({*of_month["stage_after"]} - {NOT_SCORED}), NOT_SCORED]
        heads = [
            *map(self._say, ("Stage", "Accounts", "Balance")),
            *(f"→ {self._stage(stage)}" for stage in stages),
        ]
        found = []
        for row in moves_of(of_month):
            moves = [row["moves"].get(stage) for stage in stages]
            cells = [
                Cell(write.share(move["share"]), say("money: {share}", share=write.share(move["balance_share"])))
                if move
                else Cell(UNKNOWN)
                for move in moves
            ]
            first = (self._stage(row["stage"]), write.number(row["accounts"]), write.money(row["balance"]))
            found.append([*map(Cell, first), *cells])
        title, says = map(self._say, ROLLS)
        return Printed("roll_rates", f"{title}{self._say(': ')}{write.month(month)}", says, heads, found)

    def _stage(self, value: str) -> str:
        return self._say("no longer scored") if value == NOT_SCORED else self._cuts.value("stage", value)


def _worded(write: Writing, value: Any) -> str:
    return write.language.gettext(str(value))


def _verdict(write: Writing, value: Verdict) -> str:
    return {"shifted": "▲ ", "watch": "△ "}.get(value, "") + _worded(write, VERDICTS[value])


def _held(write: Writing, value: bool) -> str:
    return f"{'✓' if value else '✗'} {_worded(write, 'holds' if value else 'fails')}"


#: How a value of a kind is written.
_KINDS: Mapping[str, Callable[[Writing, Any], str]] = {
    "part": lambda write, value: _worded(write, _PARTS.get(str(value), value)),
    "word": _worded,
    "formula": _worded,
    "text": _worded,
    "verdict": _verdict,
    "held": _held,
    "change": lambda write, value: f"{'+' if value > 0 else ''}{write.money(value)}",
    "number": Writing.number,
    "money": Writing.money,
    "share": Writing.share,
    "ratio": Writing.ratio,
    "day": Writing.day,
    "moment": Writing.moment,
    "decimal": lambda _, value: f"{value:.3f}",
    # Reports of drift are many of the same scores: their ratios are not marked.
    "plain": Writing.ratio,
}


def _mark(column: Column, row: Mapping[str, Any]) -> Mark | None:
    """The mark of a figure where its table says that it is other than it should be, beyond noise."""
    if not column.beyond:
        return None
    par = row[column.par] if column.par else 1.0
    better = FIGURES[row["figure"]].better if column.kind == "figure" else "more"
    return mark(row[column.name], par, bool(row[column.beyond]), better)


def _is_told(column: Column, rows: pd.DataFrame) -> bool:
    """Whether a column is printed: that of the month before only where the months compare."""
    return column.name != "value_before" or bool(rows[column.name].notna().any())


def _columns_of(rows: pd.DataFrame) -> tuple[Column, ...]:
    """Columns of a table of which nothing is known: by their names, numbers as ratios unless they are whole."""
    return tuple(_columns_by_type(rows))


def _columns_by_type(rows: pd.DataFrame) -> Iterator[Column]:
    for name in map(str, rows.columns):
        kind = rows[name].dtype.kind
        yield Column(name, name.replace("_", " "), "number" if kind in "iu" else "ratio" if kind == "f" else "text")
