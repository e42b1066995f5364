"""Flows as a page: liquidation, roll rates and the swap set as their tables have them, files, and empty states."""

from __future__ import annotations

import csv
import io

import pytest
from starlette.testclient import TestClient

from serving.languages.language import LANGUAGES
from serving.review.flows import LAST_MONTH, liquidation, roll_rates, swap_set
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.store.database import Store
from tests.serving.review.pages.conftest import BrowserOf, rows_of

PAGE = f"{ROOT}/flows"


def share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 or not value else f"{value:.1%}"


def test_liquidation_is_that_of_its_table(browser: TestClient, rolled: Store) -> None:
    table = liquidation(rolled).rows
    page = browser.get(PAGE).text
    shown = rows_of(page, "liquidation")
    vintages = sorted(table["vintage"].unique(), reverse=True)
    assert len(shown) == len(vintages)
    for row, vintage in zip(shown, vintages, strict=True):
        curve = table[table["vintage"] == vintage]
        assert row[1] == str(curve["accounts"].iloc[0])
        rates = [cell.removesuffix(" not over yet") for cell in row[5:] if cell]
        assert rates == [share(rate) for rate in curve["liquidation_rate"]]
        assert row[5 + len(rates) - 1].endswith("not over yet")
    whole = table[table["complete"]].groupby("vintage").size()
    assert page.count("<polyline") == min((whole > 1).sum(), 6)


def test_roll_rates_are_those_of_the_month(browser: TestClient, rolled: Store) -> None:
    table = roll_rates(rolled).rows
    for month in table["month"].unique():
        of_month = table[table["month"] == month]
        page = browser.get(PAGE, params={"month": f"{month // 100}-{month % 100:02d}"}).text
        shown = rows_of(page, "rolls")
        assert [int(row[1]) for row in shown] == of_month.groupby("stage")["accounts"].sum().tolist()
        told = [cell.split()[0] for row in shown for cell in row[3:] if cell != "–"]
        assert sorted(told) == sorted(share(value) for value in of_month["share"])
    assert browser.get(PAGE, params={"month": "2031-01"}).status_code == 400
    assert browser.get(PAGE, params={"month": "all"}).status_code == 200


def test_the_swap_set_is_that_of_its_table(browser: TestClient, rolled: Store) -> None:
    table = swap_set(rolled).rows
    shown = rows_of(browser.get(PAGE).text, "swaps")
    assert [(row[1], row[2]) for row in shown] == [
        (str(row["accounts"]), str(row["payers"])) for row in table.to_dict("records")
    ]


@pytest.mark.parametrize(("month", "tenths"), [("2026-03", 2), ("2026-03", 5), ("all", 9), ("all", 1)])
def test_the_swap_set_is_of_the_month_and_the_top_that_are_chosen(
    browser: TestClient, rolled: Store, month: str, tenths: int
) -> None:
    first, last = (0, LAST_MONTH) if month == "all" else (int(month.replace("-", "")),) * 2
    table = swap_set(rolled, first, last, tenths).rows
    query = {"swap_month": month, "tenths": str(tenths), "month": "2026-02"}
    page = browser.get(PAGE, params=query)
    assert [(row[1], row[2]) for row in rows_of(page.text, "swaps")] == [
        (str(row["accounts"]), str(row["payers"])) for row in table.to_dict("records")
    ]
    assert f"Among the first {tenths}0%" in page.text
    assert page.text.count('name="month" value="2026-02"') == 1, "the other choice of the page stays"
    for_file = browser.get(f"{PAGE}.csv", params=query | {"table": "swap_set"})
    found = list(csv.DictReader(io.StringIO(for_file.text[1:])))
    assert [int(row["accounts"]) for row in found] == table["accounts"].tolist()
    assert f"tenths={tenths}" in page.text.partition("flows.xlsx")[2][:60]


@pytest.mark.parametrize("query", [{"tenths": "0"}, {"tenths": "10"}, {"tenths": "x"}, {"swap_month": "1999-01"}])
def test_a_swap_set_that_there_is_not_is_refused(browser: TestClient, query: dict[str, str]) -> None:
    assert browser.get(PAGE, params=query).status_code == 400


def test_files_hold_the_tables(browser: TestClient, rolled: Store) -> None:
    for name, table in (("liquidation", liquidation), ("roll_rates", roll_rates), ("swap_set", swap_set)):
        answer = browser.get(f"{PAGE}.csv", params={"table": name})
        found = list(csv.DictReader(io.StringIO(answer.text[1:])))
        assert len(found) == len(table(rolled).rows)
        assert list(found[0]) == list(table(rolled).rows)
    assert browser.get(f"{PAGE}.xlsx").content.startswith(b"PK")
    assert browser.get(f"{PAGE}.csv", params={"table": "hair"}).status_code == 400


@pytest.mark.parametrize("tag", LANGUAGES)
def test_each_part_says_what_is_missing(browser_of: BrowserOf, store: Store, tag: str) -> None:
    browser = browser_of(to=store)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    page = browser.get(PAGE)
    assert page.status_code == 200, page.text
    assert page.text.count('class="empty"') == 3
