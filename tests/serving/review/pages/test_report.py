"""The report to print: every table in words, in the language asked for, with figures that people read."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from features.units import DAY, parse_instant
from serving.languages.language import LANGUAGES, language_called
from serving.models.seen import read_seen
from serving.review.exporting import TABLES
from serving.review.models import tables_of
from serving.review.pages.columns import features_of
from serving.review.pages.report import report_page
from serving.review.pages.sections import SECTIONS
from serving.review.pages.writing import Writing
from serving.review.reading import Day, Missing, Month, reached
from serving.review.tables import Table
from serving.store.database import Store
from tests.serving.review.drifted import watched
from tests.serving.review.pages.conftest import rows_of
from tests.serving.review.pages.registries import written
from tests.serving.review.pages.test_chinese import english_in
from tests.serving.review.rolled import FIRST, NOW, begun
from tests.serving.small import SETTINGS

MONTH = 202603
HOSTILE = '=x"><script>alert(1)</script>'


def writing(tag: str = "en") -> Writing:
    return Writing(language_called(tag), ZoneInfo("Asia/Shanghai"), NOW)


@pytest.fixture(scope="module")
def tables(rolled: Store) -> dict[str, Table]:
    return {name: make(rolled, MONTH) for name, make in TABLES.items()}


def page_of(rolled: Store, tables: dict[str, Table], tag: str = "en") -> str:
    return report_page(tables, "small", MONTH, writing(tag), reached(rolled))


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_table_that_has_rows_is_there_in_words(rolled: Store, tables: dict[str, Table], tag: str) -> None:
    page = page_of(rolled, tables, tag)
    titles = [html.unescape(title) for title in re.findall(r"<h2[^>]*>([^<]*)</h2>", page)]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if "_" in title]
    printed = re.findall(r'<section class="printed" aria-labelledby="(\w+)">', page)
    left_out = {name for name, table in tables.items() if len(table.rows)} - {*printed}
    assert {*printed} <= {*tables}
    assert page.count("<table") == len(re.findall(r'tabindex="0">\s*<table', page)), "a keyboard scrolls what is wide"
    assert all(tables[name].rows.iloc[:, 0].nunique() == 1 for name in left_out), "of one kind, and said to be"
    said = page.partition('id="lacking"')[2]
    assert all(language_called(tag).gettext(SECTIONS[name].title) in html.unescape(said) for name in left_out)


def test_in_chinese_nothing_is_english(rolled: Store, tables: dict[str, Table]) -> None:
    page = page_of(rolled, tables, "zh-Hans").partition("</style>")[2]
    assert english_in(page) == []
    assert "账户" in page


def test_figures_are_as_people_write_them(rolled: Store, tables: dict[str, Table]) -> None:
    page = page_of(rolled, tables)
    cells = [text for section in TABLES for row in rows_of(page, section) for text in row]
    assert len(cells) > 300
    raw = re.compile(r"[1-9]\.\d{3}|0\.0*[1-9]\d\d|(?<![\d.])\d{5}|e[+-]\d|nan|None|True|False")
    assert not [text for text in cells if raw.search(text)]


def test_all_together_are_what_the_rows_sum_up_to(rolled: Store, tables: dict[str, Table]) -> None:
    page, bands = page_of(rolled, tables), tables["by_band"].rows
    whole, part = rows_of(page, "by_band")[-1], rows_of(page, "overview")[0]
    assert whole[0] == "together"
    assert whole[1] == writing().number(bands["accounts"].sum()) == part[1]
    assert whole[8] in part[8].split()
    assert whole[9] == "100%"


def test_of_money_that_was_taken_back_there_is_no_cost_per_unit(rolled: Store, tables: dict[str, Table]) -> None:
    bands = tables["by_band"]
    reversed_ones = replace(bands, rows=bands.rows.assign(actual_amount=-80.0))
    page = page_of(rolled, {**tables, "by_band": reversed_ones})
    assert rows_of(page, "by_band")[-1][-1] == "–"


def test_of_a_month_that_is_open_it_is_said_what_comes_when(rolled: Store, tables: dict[str, Table]) -> None:
    waiting = Missing("no outcome of {month} has matured yet: the first comes on {first}",
                      parts={"month": Month(202603), "first": Day(parse_instant("2026-05-13"))})  # fmt: skip
    open_month = {
        "overview": Table(tables["overview"].rows.assign(part="open"), "", waiting),
        "by_band": Table(tables["by_band"].rows.iloc[:0], ""),
        "by_segment": Table(tables["by_segment"].rows.iloc[:0], ""),
    }
    page = page_of(rolled, open_month)
    assert "Not there yet: no outcome of Mar 2026 has matured yet: the first comes on 13 May." in page
    assert "<li>Band, Segment: no matured outcome of this month</li>" in page
    assert "still open" in rows_of(page, "overview")[0][0]


def test_a_key_figure_is_marked_where_its_table_says_so(rolled: Store, tables: dict[str, Table]) -> None:
    figures = tables["key_figures"].rows
    ranges = {"low": 0.2, "high": 0.4, "low_before": 0.1, "high_before": np.nan}
    marked = figures.assign(value=0.3, value_before=0.5, **ranges, beyond=figures["figure"] == "kept rate")
    page = page_of(rolled, {"key_figures": Table(marked, "")})
    kept = {row[0]: row for row in rows_of(page, "key_figures")}
    assert kept["kept rate"][1:3] == ["▼ fell beyond noise: 30% 20% – 40%", "50%"]
    assert kept["intensity"][1:3] == ["0.30 0.20 – 0.40", "0.50"]


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_part_of_a_month_is_compared_with_nothing(empty_store: Store, tag: str) -> None:
    begun(empty_store)
    write = replace(writing(tag), now=FIRST + 46 * DAY)
    known = {name: make(empty_store, 202601) for name, make in TABLES.items()}
    page = report_page(known, "small", 202601, write, reached(empty_store))
    assert {len(row) for row in rows_of(page, "key_figures")} == {3}
    assert 'id="changes"' not in page
    if tag == "en":
        assert "Matured so far: 20 of 40 accounts." in page
        assert "20 of 40 accounts of Jan 2026 have matured so far; all have on 24 Feb" in page
    else:
        assert english_in(page.partition("</style>")[2]) == []
    waiting = {name: make(empty_store, 202602) for name, make in TABLES.items()}
    page = report_page(waiting, "small", 202602, write, reached(empty_store))
    assert 'id="key_figures"' not in page


@pytest.mark.parametrize("tag", LANGUAGES)
def test_what_the_registry_says_is_of_its_own_moment(tag: str, tmp_path: Path) -> None:
    registry = read_seen(written(tmp_path, NOW))
    assert registry is not None
    found = {f"model_{name}": table for name, table in tables_of(registry.registry, NOW).items()}
    page = html.unescape(report_page(found, "small", MONTH, writing(tag)))
    last = found["model_checks"].rows.iloc[0]
    if tag == "en":
        assert page.count("As the registry said on 1 Sept 08:00, Asia/Shanghai.") == 3
        assert f"Decided on small/{last['after']}, {writing().moment(last['at'])}." in page
        assert "Checks of the last decision by the gate" in page
    else:
        assert page.count("Asia/Shanghai") == 4


def test_what_is_missing_is_said_and_no_text_is_markup() -> None:
    hostile = pd.DataFrame({"agent_name": [HOSTILE, "b"], "cases": [1, 2], "rate": [0.123456789, np.nan]})
    page = report_page(
        {
            "unheard_of": Table(hostile, "all"),
            "by_band": Table(pd.DataFrame(columns=["band"]), "none", Missing("no outcome has matured yet")),
        },
        HOSTILE, MONTH, writing(),
    )  # fmt: skip
    assert "<script" not in page
    assert rows_of(page, "unheard_of") == [[HOSTILE, "1", "0.12"], ["b", "2", "–"]]
    assert "no outcome has matured yet" in page


def test_long_tables_are_cut_and_say_so() -> None:
    rows = pd.DataFrame({"name": [f"n{place}" for place in range(80)], "cases": range(80)})
    page = report_page({"long": Table(rows, "all")}, "small", MONTH, writing())
    assert len(rows_of(page, "long")) == 30
    assert "50 more rows are in the file long.csv" in page


@pytest.mark.parametrize("tag", LANGUAGES)
def test_drift_is_printed_in_words(empty_store: Store, tag: str) -> None:
    watched(empty_store)
    watched(empty_store, "small/2", days=35)
    tables = {name: TABLES[name](empty_store, 202604) for name in TABLES if name.startswith("drift")}
    page = report_page(tables, "small", 202604, writing(tag), features=features_of(SETTINGS))
    moved, expected, alerts = (rows_of(page, name) for name in ("drift", "drift_performance", "drift_alerts"))
    if tag == "en":
        assert moved[0] == ["Balance balance · small/1", "▲ shifted", "0.300", "0.030", "50%"]
        assert moved[2][:2] == ["Segment segment · small/1", "△ watch"]
        assert alerts[0] == [
            *("PSI of Balance balance · small/1", "▲ breach", "6 Apr 08:00", "not ended", "4", "0.300", "0.250"),
        ]
        assert expected[-1][:4] == ["4 Apr 08:00", "1,500", "0.763", "0.760"]
    else:
        assert english_in(page.partition("</style>")[2]) == []
    assert len(moved) == 10
    assert "drift_distributions" not in page
