"""Flows as a page: liquidation, roll rates and the swap set as their tables have them, files, and empty states."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from serving.languages.language import LANGUAGES
from serving.review.flows import liquidation, roll_rates, swap_set
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.review.rollup import roll_up
from serving.store.database import Store, open_store
from tests.serving.review.pages.conftest import BrowserOf
from tests.serving.review.rolled import NOW, filled
from tests.serving.small import SETTINGS

PAGE = f"{ROOT}/flows"


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with months of scores, rolled up."""
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('flows_page')}/store.db")
    filled(opened, n_accounts=80)
    roll_up(opened, SETTINGS, NOW)
    yield opened
    opened.close()


@pytest.fixture
def browser(browser_of: BrowserOf, rolled: Store) -> TestClient:
    """Somebody at the pages over that store."""
    return browser_of(to=rolled, now=NOW)


def rows_of(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table, as people see them."""
    table = page.partition(f'aria-labelledby="{section}"')[2].partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(" ".join(re.sub(r"<[^>]*>", " ", cell).split())) for cell in row] for row in cells]


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
        rates = [cell.removesuffix(" not over yet") for cell in row[3:-2] if cell]
        assert rates == [share(rate) for rate in curve["liquidation_rate"]]
        assert row[3 + len(rates) - 1].endswith("not over yet")
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
