"""A table as it is printed, on a page or in the report: its columns, and what a cell says by its column's kind.

    Column      a column: to add one is a line
    CellWriter  writes rows as cells, in the words of a language
    Grid        what comes of it, for the macro `table` in `templates/tables.html`

A kind is how a value is written: see `_TEXTS`, and `_OF_ROW` for what needs more of its row than the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from features.catalog.grammar import Feature
from serving.drift import Of, Verdict
from serving.languages.language import Language, translatable
from serving.review.overview import FIGURES
from serving.review.pages.columns import ColumnWords, features_of
from serving.review.pages.cuts import CutWords
from serving.review.pages.labels import Words
from serving.review.pages.marks import OF_WORDS, UNJUDGED, Mark, mark
from serving.review.pages.visit import ROOT, Visit
from serving.review.pages.writing import UNKNOWN, Writing

#: Kinds of columns that hold words; the others hold figures, which stand at the right.
WORDS = (
    "text", "word", "words", "english", "code", "cut", "part", "place", "set", "held", "column", "verdict", "alert",
    "level", "account", "band", "channel", "stage", "yes", "rung", "day", "moment", "local_moment", "own",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in the rows, its head, how it is written, and what goes with it.

    `own` is the kind of what a template writes itself. `low` and `high` are the columns of its range, `beyond` that of
    whether it is other than `par` (a column, 1 where it is blank) beyond noise, `apart` that of whether it is unlike
    the rest. `below` is one that stands below it in small. `link` is the column of the address that
    it leads to, `heard` that of what is said of the link. `unknown` stands where nothing is known. An `optional`
    column is left out where no row knows it. `style` is for styles, `short` its head on a phone.
    """

    name: str
    head: str
    kind: str = "number"
    low: str = ""
    high: str = ""
    beyond: str = ""
    par: str = ""
    apart: str = ""
    below: Column | None = None
    link: str = ""
    heard: str = ""
    unknown: str = UNKNOWN
    optional: bool = False
    style: str = ""
    short: str = ""

    @property
    def is_figure(self) -> bool:
        """Whether it holds figures."""
        return self.kind not in WORDS

    @property
    def styles(self) -> str:
        """The classes of its cells."""
        return " ".join(filter(None, ("figure" if self.is_figure else "", self.style)))


class Cell(NamedTuple):
    """A cell: its text, what stands below it, its mark, and where it leads to; a tuple, since a table has many."""

    text: str
    below: str = ""
    mark: Mark | None = None
    is_apart: bool = False
    link: str = ""
    heard: str = ""


@dataclass(frozen=True)
class Row:
    """A row of cells, one for each column; `of` is what it was written from, `style` how it is known to styles."""

    cells: tuple[Cell, ...]
    of: Mapping[str, Any]
    style: str = ""


@dataclass(frozen=True)
class Grid:
    """A table as it is printed; the heads of its columns are in the language of its cells."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()

    @property
    def header(self) -> int | None:
        """Which column says what a row is of: the first that holds words."""
        return next((place for place, column in enumerate(self.columns) if not column.is_figure), None)


@dataclass(frozen=True)
class CellWriter:
    """Writes rows as cells; columns of the model are named by `features`."""

    write: Writing
    features: Mapping[str, Feature] = field(default_factory=dict)

    @property
    def language(self) -> Language:
        """The language that is written in."""
        return self.write.language

    @cached_property
    def cuts(self) -> CutWords:
        """The words for cuts."""
        return CutWords(Words(self.language), self.write)

    @cached_property
    def names(self) -> ColumnWords:
        """The words for scores and features."""
        return ColumnWords(self.features, self.language, self.write)

    def say(self, text: str) -> str:
        """A text in the language."""
        return self.language.gettext(text)

    def grid(
        self, columns: Iterable[Column], rows: Iterable[Mapping[str, Any]], heads: Mapping[str, str] | None = None
    ) -> Grid:
        """A table of rows, which say of a column by its name; a row whose `cut` is `all` is that of all together.

        Args:
            columns: in order; what they are called is translated.
            rows: their values, by the names of columns. One that is a `Cell` stands as it is.
            heads: of columns that are called otherwise here, by their names; in the language.
        """
        known, heads = list(rows), heads or {}
        shown = tuple(
            replace(column, head=heads.get(column.name) or self.say(column.head), short=self.say(column.short))
            for column in columns
            if not column.optional or any(not _is_unknown(row.get(column.name)) for row in known)
        )
        return Grid(shown, tuple(self._row(shown, row) for row in known))

    def _row(self, columns: tuple[Column, ...], row: Mapping[str, Any]) -> Row:
        style = "whole" if row.get("cut") == "all" else row.get("style", "")
        return Row(tuple(self.cell(column, row) for column in columns), row, style)

    def cell(self, column: Column, row: Mapping[str, Any]) -> Cell:
        """A cell of a row."""
        value = row.get(column.name)
        if isinstance(value, Cell):
            return value
        if column.kind == "own":
            return Cell("")
        text, below = self._said(column, row, value)
        is_apart = bool(column.apart and row.get(column.apart))
        link = (column.link and row.get(column.link)) or ""
        if column.kind == "account":
            link = f"{ROOT}/account?{urlencode({'id': value})}"
        heard = (link and row.get(column.heard)) or ""
        return Cell(text, below, _mark(column, row, value), is_apart, link, heard)

    def text(self, kind: str, value: Any) -> str:
        """A value of a kind as it is written."""
        return UNKNOWN if _is_unknown(value) else _TEXTS[kind](self.write, value)

    def _said(self, column: Column, row: Mapping[str, Any], value: Any) -> tuple[str, str]:
        """What a cell says, and what stands below it."""
        if column.kind in _OF_ROW:
            return _OF_ROW[column.kind](self, column, row)
        kind = FIGURES[row["figure"]].written if column.kind == "figure" else column.kind
        text = self.say(column.unknown) if _is_unknown(value) else self.text(kind, value)
        below = self.between(kind, row.get(column.low), row.get(column.high)) if column.low else ""
        if column.below and not below and not _is_unknown(row.get(column.below.name)):
            below, _ = self._said(column.below, row, row[column.below.name])
        return text, below

    def between(self, kind: str, low: Any, high: Any) -> str:
        """A range of figures; blank where nothing can be told."""
        return "" if _is_unknown(low) or _is_unknown(high) else f"{self.text(kind, low)} – {self.text(kind, high)}"


def cell_writer(visit: Visit) -> CellWriter:
    """Writes in the language of a visit, by its portfolio's own time."""
    return CellWriter(visit.writing, features_of(visit.call.engine.settings))


def kind_of_limit(of: Of) -> str:
    """How a figure that has a limit is written."""
    return "decimal" if of in _DECIMALS else "ratio"


def _is_unknown(value: Any) -> bool:
    return value is None or value == "" or value != value  # noqa: PLR0124 only a NaN is not itself


def _mark(column: Column, row: Mapping[str, Any], value: Any) -> Mark | None:
    """The mark of a word, or of a figure where its table says that it is other than it should be, beyond noise."""
    if column.kind in OF_WORDS:
        return OF_WORDS[column.kind].get(value, UNJUDGED)
    if column.kind == "band" or (column.kind, column.name) == ("cut", "band"):
        return Mark(f"band band-{value.lower()}") if value and row.get("cut") != "all" else None
    if not column.beyond:
        return None
    better = FIGURES[row["figure"]].better if column.kind == "figure" else "more"
    than: Literal["predicted", "before"] = "before" if column.par.endswith("before") else "predicted"
    return mark(value, row.get(column.par) if column.par else 1.0, bool(row.get(column.beyond)), better, than)


# ------------------------------------------------------------------------------- what needs the value alone

_VERDICTS: Mapping[Verdict, str] = {
    "shifted": translatable("shifted"),
    "watch": translatable("watch"),
    "chance": translatable("may be chance"),
    "stable": translatable("stable"),
    "calendar": translatable("follows the calendar"),
    "ageing": translatable("grows older"),
    "minor": translatable("hardly used"),
}
#: What promotions were, and whether they came about.
_CODES: Mapping[str | bool, str] = {
    "first": translatable("first champion"),
    "promoted": translatable("promoted"),
    "rolled_back": translatable("brought back"),
    "refused": translatable("refused"),
    True: translatable("done"),
    False: translatable("did not come about"),
}
_LEVELS: Mapping[str, str] = {"breach": translatable("breach"), "warning": translatable("warning")}
_ANSWERS: Mapping[bool, str] = {True: translatable("yes"), False: translatable("no")}
_HELD: Mapping[bool, str] = {True: translatable("holds"), False: translatable("fails")}


def _coded(words: Mapping[Any, str]) -> Callable[[Writing, Any], str]:
    """A code by its word; one that has none stands as it is."""
    return lambda write, code: write.language.gettext(words.get(code, str(code)))


#: How a value of a kind is written, where something is known.
_TEXTS: Mapping[str, Callable[[Writing, Any], str]] = {
    # What is said as it is, such as a portfolio's own names; and words of ours.
    "text": lambda _, value: str(value),
    "word": lambda write, value: write.language.gettext(value),
    "words": lambda write, value: write.language.listed(
        [write.language.gettext(one) for one in re.split("[;,] ", value)]
    ),
    # What machines wrote, in English alone.
    "english": lambda _, value: Markup('<span lang="en">{}</span>').format(value),
    "code": _coded(_CODES),
    "verdict": _coded(_VERDICTS),
    "level": _coded(_LEVELS),
    "held": _coded(_HELD),
    "account": lambda _, value: str(value),
    "band": lambda _, value: str(value),
    "yes": _coded(_ANSWERS),
    "channel": lambda write, value: Words(write.language).action(value),
    "stage": lambda write, value: Words(write.language).stage(value),
    "day": Writing.day,
    "moment": Writing.moment,
    "local_moment": Writing.local_moment,
    "number": Writing.number,
    "money": Writing.money,
    "gain": Writing.gain,
    "change": lambda write, value: f"{'+' if value > 0 else ''}{write.money(value)}",
    "share": Writing.share,
    "points": lambda _, value: "0" if round(value, 4) == 0 else f"{value * 100:+.1f}",
    "ratio": Writing.ratio,
    "decimal": lambda _, value: f"{value:.3f}",
}


# ------------------------------------------------------------------------------- what needs more of its row

_PARTS: Mapping[str, tuple[str, str]] = {
    "matured": (translatable("matured"), translatable("what followed is known")),
    "open": (translatable("still open"), translatable("what follows is not known yet")),
}
#: Who is at the top, by whose order.
_SETS: Mapping[str, str] = {
    "both": translatable("by both"),
    "champion alone": translatable("by the champion alone"),
    "challenger alone": translatable("by the challenger alone"),
    "neither": translatable("by neither"),
}
#: Figures of drift that are no ratios.
_DECIMALS: tuple[Of, ...] = ("psi", "auc", "expected_auc")
_TextAndBelow = tuple[str, str]


def _cut(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    if row.get("cut") == "all":
        return of.cuts.value("all", ""), ""
    value = row[column.name]
    return of.cuts.value(column.name, "" if value is None else {True: "yes", False: "no"}.get(value, str(value))), ""


def _place(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    below = "" if row["cut"] == "all" else of.cuts.cut(row["cut"])
    return of.cuts.value(row["cut"], str(row[column.name])), below


def _part(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    text, below = _PARTS[row[column.name]]
    return of.say(text), of.say(below)


def _column(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.names.column(row[column.name]), _technical(row)


def _alert(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.names.told(row[column.name], row["column"]), _technical(row)


def _technical(row: Mapping[str, Any]) -> str:
    """What a column is called in the model, and that of which model it is where that is not said elsewhere."""
    code = Markup("<code>{}</code>").format(row["column"]) if row["column"] else ""
    return Markup(" · ").join(filter(None, (code, row.get("model"))))


def _set(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.say(_SETS[row[column.name]]), f"{row['champion']} / {row['challenger']}"


def _limit(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.text(kind_of_limit(row["of"]), row[column.name]), ""


def _range(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.between("share", row[column.low], row[column.high]) or UNKNOWN, ""


def _rung(of: CellWriter, column: Column, row: Mapping[str, Any]) -> _TextAndBelow:
    return of.text("yes", True) if row[column.name] else Words(of.language).rung(row["why"]), ""


_OF_ROW: Mapping[str, Callable[[CellWriter, Column, Mapping[str, Any]], _TextAndBelow]] = {
    "cut": _cut,
    "place": _place,
    "part": _part,
    "column": _column,
    "alert": _alert,
    "set": _set,
    "limit": _limit,
    "range": _range,
    "rung": _rung,
}
#: Every kind, but what a key figure says itself (`figure`), a `Cell` that is given (`cell`), and `own`.
KINDS = (*_TEXTS, *_OF_ROW)
