"""Cells of tables: every kind of column is written in one way, and says what goes with it."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from serving.languages.language import LANGUAGES, language_called
from serving.review import pages
from serving.review.pages.cells import KINDS, WORDS, Cell, CellWriter, Column, Grid
from serving.review.pages.marks import Mark
from serving.review.pages.sections import SECTIONS
from serving.review.pages.visit import environment_of
from serving.review.pages.writing import Writing
from tests.serving.review.rolled import NOW


def writer(tag: str = "en") -> CellWriter:
    return CellWriter(Writing(language_called(tag), ZoneInfo("UTC"), NOW))


def columns() -> Iterator[Column]:
    """Every column that a module of the pages, or the report, has."""
    for section in SECTIONS.values():
        yield from section.columns
    for module in pkgutil.iter_modules(pages.__path__, "serving.review.pages."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, tuple):
                yield from (one for one in value if isinstance(one, Column))


def test_every_column_is_of_a_kind_that_is_written_and_every_kind_is_of_a_column() -> None:
    kinds = {each.kind for column in columns() for each in (column, column.below) if each}
    kinds |= {"figure", "own", "cell"}
    assert kinds == {*KINDS, "figure", "own", "cell"}
    assert {*WORDS} < {*KINDS, "own"}
    figures = {"number", "money", "gain", "change", "share", "points", "ratio", "decimal", "limit", "range"}
    assert {*KINDS} - {*WORDS} == figures, "a kind that holds words is in WORDS: it does not stand at the right"


def test_a_column_more_is_a_line() -> None:
    rows = [{"account_id": "A1", "paid": 12.5}, {"account_id": "A2", "paid": math.nan}]
    grid = writer().grid([Column("account_id", "Account", "account"), Column("paid", "Paid", "money")], rows)
    assert [[cell.text for cell in row.cells] for row in grid.rows] == [["A1", "12.50"], ["A2", "–"]]
    assert grid.rows[0].cells[0].link == "/review/account?id=A1"
    assert [column.styles for column in grid.columns] == ["", "figure"]
    assert grid.header == 0


def test_a_portfolios_own_names_are_left_alone_and_words_are_translated() -> None:
    row = {"segment": "open", "state": "open"}
    grid = writer("zh-Hans").grid([Column("segment", "Segment", "text"), Column("state", "Open", "word")], [row])
    assert [cell.text for cell in grid.rows[0].cells] == ["open", language_called("zh-Hans").gettext("open")]
    assert grid.rows[0].cells[1].text != "open"


def test_a_figure_says_its_range_and_whether_it_is_beyond_noise() -> None:
    column = Column("ratio", "Ratio", "ratio", "low", "high", "beyond")
    cell = writer().cell(column, {"ratio": 1.5, "low": 1.2, "high": 1.9, "beyond": True})
    assert (cell.text, cell.below) == ("1.50", "1.20 – 1.90")
    assert cell.mark == Mark("beyond good", "▲", "more than predicted, beyond noise:")
    cell = writer().cell(column, {"ratio": 1.5, "low": None, "high": math.nan, "beyond": False})
    assert (cell.below, cell.mark) == ("", None)


def test_what_is_known_of_no_row_is_left_out_where_it_may_be() -> None:
    both = [Column("now", "Now"), Column("before", "Before", optional=True)]
    rows: list[dict[str, Any]] = [{"now": 1, "before": math.nan}, {"now": 2}]
    assert [column.name for column in writer().grid(both, rows).columns] == ["now"]
    assert len(writer().grid(both, [*rows, {"now": 3, "before": 2}]).columns) == 2


def test_all_together_stand_out_and_lead_nowhere() -> None:
    column = Column("band", "Band", "cut", link="bands")
    grid = writer().grid([column], [{"band": "A", "bands": "/a"}, {"cut": "all"}])
    assert [(row.style, row.cells[0]) for row in grid.rows] == [
        ("", Cell("A", mark=Mark("band band-a"), link="/a")),
        ("whole", Cell("together")),
    ]


@pytest.mark.parametrize(("verdict", "sign", "style"), [
    ("shifted", "▲", "bad"), ("watch", "△", "watch"), ("stable", "✓", "good"), ("chance", "", "soft"),
])  # fmt: skip
@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_verdict_has_a_sign_a_colour_and_its_word(tag: str, verdict: str, sign: str, style: str) -> None:
    cell = writer(tag).cell(Column("verdict", "Verdict", "verdict"), {"verdict": verdict})
    assert cell.mark is not None
    assert cell.mark.sign == sign
    assert style in cell.mark.style.split()
    assert (cell.text == "stable") == ((tag, verdict) == ("en", "stable"))
    assert cell.text


def printed(grid: Grid, **options: object) -> str:
    macros = environment_of(language_called("en")).get_template("tables.html").module
    text: str = macros.table(grid, label="Any", **options)  # type: ignore[attr-defined]
    return text


def test_it_is_printed_with_its_roles_and_no_text_is_markup() -> None:
    evil = '"><script>'
    grid = writer().grid(
        [Column("name", evil, "text", link="to", heard="heard"), Column("n", "Number", apart="apart")],
        [{"name": evil, "to": evil, "heard": evil, "n": 1, "apart": True}],
    )
    page = printed(grid)
    assert "<script" not in page
    assert page.count('role="cell"') == page.count('role="rowheader"') == page.count('role="row"') - 1 == 1
    assert page.count("data-label=") == 2
    assert "unlike the rest" in page
    wide = printed(grid, kind="dense", scrolls=True)
    assert "data-label" not in wide
    assert 'role="group" aria-label="Any" tabindex="0"' in wide
