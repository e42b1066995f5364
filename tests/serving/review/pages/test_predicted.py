"""Predicted against actual as a page: the tables' own figures, filters, files, and the accounts behind a figure."""

from __future__ import annotations

import csv
import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from starlette.testclient import TestClient

from serving.languages.language import ENGLISH, LANGUAGES
from serving.review.accounts import accounts_of
from serving.review.pages import predicted
from serving.review.pages.curves import Square, square
from serving.review.pages.cuts import CUTS, ONE_OF
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.review.pages.writing import Writing
from serving.review.reading import BY, Where
from serving.review.tables import against_actual
from serving.store.database import Store
from tests.serving.review.pages.conftest import BrowserOf

MONTH, IN_QUERY = 202603, "2026-03"
PAGE = f"{ROOT}/predicted"
#: Of the store that is rolled up.
N_ACCOUNTS = 150

WRITING = Writing(ENGLISH, ZoneInfo("UTC"), 0)


def rows_on(page: str) -> list[list[str]]:
    """The cells of the first table, row by row, as people see them."""
    table = page.partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r'<tr role="row"[^>]*>(.*?)</tr>', table, re.DOTALL)
    return [[_text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def _text(cell: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", cell).split())


def table_of(answer: Any) -> pd.DataFrame:
    assert answer.status_code == 200, answer.text
    return pd.DataFrame(csv.DictReader(io.StringIO(answer.text[1:])))


def test_the_page_shows_the_figures_of_the_table(browser: TestClient, rolled: Store) -> None:
    table = against_actual(rolled, "band", Where(MONTH, MONTH)).rows
    *rows, whole = rows_on(browser.get(PAGE, params={"month": IN_QUERY}).text)
    assert [row[:3] for row in rows] == [
        [row["band"], f"{row['accounts']:,}", f"{row['balance']:,.0f}"] for row in table.to_dict("records")
    ]
    for shown, row in zip(rows, table.to_dict("records"), strict=True):
        assert shown[4].split() == [f"{row['actual_payers']:,}", WRITING.share(row["pay_rate"])]
        assert f"{row['payers_low']:.2g}"[:3] in shown[5]
        assert ("beyond noise" in shown[5]) == row["payers_beyond"]
    assert whole[1] == f"{table['accounts'].sum():,}"


@pytest.mark.parametrize(
    ("query", "by", "where"),
    [
        ({"by": "segment"}, "segment", Where(MONTH, MONTH)),
        ({"only": "segment:card"}, "band", Where(MONTH, MONTH, cut="segment", value="card")),
        ({"only": "channel:"}, "band", Where(MONTH, MONTH, cut="channel", value="")),
        ({"by": "stage", "worked": "yes", "arm": "score"}, "stage", Where(MONTH, MONTH, worked=True, arm="score")),
        ({"by": "arm", "role": "challenger"}, "arm", Where(MONTH, MONTH, role="challenger")),
        ({"by": "vintage", "month": "all", "model": "small/1"}, "vintage", Where(model="small/1")),
        ({"by": "month", "month": "all", "worked": "no"}, "month", Where(worked=False)),
    ],
)
def test_filters_are_those_of_the_table(
    browser: TestClient, rolled: Store, query: dict[str, str], by: str, where: Where
) -> None:
    query = {"month": IN_QUERY, **query}
    expected = against_actual(rolled, by, where).rows
    assert len(expected)
    assert len(rows_on(browser.get(PAGE, params=query).text)) == len(expected) + 1
    found = table_of(browser.get(f"{PAGE}.csv", params=query))
    assert found[by].tolist() == expected[by].astype(str).tolist()
    for name in ("accounts", "actual_amount", "predicted_payers"):
        assert found[name].astype(float).tolist() == pytest.approx(expected[name].tolist())
    book = browser.get(f"{PAGE}.xlsx", params=query)
    assert book.content.startswith(b"PK")


@pytest.mark.parametrize("by", CUTS)
def test_a_number_leads_to_the_accounts_behind_it(browser: TestClient, by: str) -> None:
    page = browser.get(PAGE, params={"month": IN_QUERY, "by": by, "worked": "yes"}).text
    rows = rows_on(page)[:-1]
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*predicted/accounts[^"]*)"', page)]
    assert len(links) == len(rows)
    for row, link in zip(rows, links, strict=True):
        behind = browser.get(link)
        assert behind.status_code == 200, behind.text
        assert f"{row[1]} account" in behind.text
        whole = table_of(browser.get(link.replace("/accounts?", "/accounts.csv?")))
        assert f"{len(whole):,}" == row[1]
        assert (whole["contacts"].astype(float) > 0).all()
        assert browser.get(link.replace("/accounts?", "/accounts.xlsx?")).content.startswith(b"PK")


def test_accounts_follow_page_by_page(browser: TestClient, rolled: Store) -> None:
    expected = accounts_of(rolled, Where(MONTH, MONTH, arm="score"), limit=1000)["account_id"].tolist()
    assert len(expected) > 100
    address, found = f"{PAGE}/accounts?month={IN_QUERY}&by=arm&value=score", []
    while address:
        page = browser.get(address).text
        found += [row[0] for row in rows_on(page)]
        after = re.search(r'rel="next" href="([^"]*)"', page)
        address = after[1].replace("&amp;", "&") if after else ""
    assert found == expected


def test_a_csv_file_holds_all_accounts_and_an_excel_file_says_that_it_does_not(
    browser: TestClient, rolled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"month": IN_QUERY, "by": "arm", "value": "score"}
    assert "file holds" not in browser.get(f"{PAGE}/accounts", params=query).text
    expected = accounts_of(rolled, Where(MONTH, MONTH, arm="score"), limit=1000)["account_id"].tolist()
    monkeypatch.setattr(predicted, "MOST", 20)
    said = "The CSV file holds all of them, the Excel file the first 20."
    assert said in browser.get(f"{PAGE}/accounts", params=query).text
    # Parts that end before, with and after the last account.
    for part in (7, len(expected) - 1, len(expected), len(expected) + 1):
        monkeypatch.setattr(predicted, "PART", part)
        answer = browser.get(f"{PAGE}/accounts.csv", params=query)
        assert table_of(answer)["account_id"].tolist() == expected
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.text.count("observation_id") == 1
    wrong = browser.get(f"{PAGE}/accounts.csv", params={"month": IN_QUERY, "by": "worked", "value": "x"})
    assert (wrong.status_code, wrong.headers["content-type"].partition(";")[0]) == (400, "text/html")


def test_a_value_leads_to_its_own_band_table(browser: TestClient, rolled: Store) -> None:
    page = browser.get(PAGE, params={"month": IN_QUERY, "by": "segment"}).text
    links = re.findall(r'<th role="rowheader"[^>]*><a href="([^"]*)"', page)
    asked = parse_qs(urlsplit(links[0].replace("&amp;", "&")).query)
    assert (asked["only"], asked["by"]) == (["segment:card"], ["band"])
    shown = rows_on(browser.get(links[0].replace("&amp;", "&")).text)
    assert len(shown) == len(against_actual(rolled, "band", Where(MONTH, MONTH, cut="segment", value="card")).rows) + 1


def test_two_cuts_at_once_are_said_not_to_be_kept(browser: TestClient) -> None:
    query = {"month": IN_QUERY, "by": "stage", "only": "segment:card"}
    page = browser.get(PAGE, params=query).text
    assert "kept by one of these at a time" in page
    assert not rows_on(page)
    assert table_of(browser.get(f"{PAGE}.csv", params=query)).empty
    assert browser.get(f"{PAGE}/accounts", params={**query, "value": "1 early"}).status_code == 200


def test_curves_stand_beside_their_tables(browser: TestClient) -> None:
    page = browser.get(PAGE, params={"month": IN_QUERY}).text
    assert page.count("<svg") == page.count("</svg>") == 2
    calibration = table_of(browser.get(f"{PAGE}.csv", params={"month": IN_QUERY, "table": "calibration"}))
    assert page.count('class="point') == len(calibration)
    gain = table_of(browser.get(f"{PAGE}.csv", params={"month": IN_QUERY, "table": "gain"}))
    assert float(gain["payers"].iloc[-1]) == pytest.approx(1)
    assert "<svg" not in browser.get(PAGE, params={"month": IN_QUERY, "only": "segment:card"}).text


@pytest.mark.parametrize(
    "query",
    [
        {"month": "2031-01"}, {"month": "never"}, {"by": "hair"}, {"role": "pet"}, {"worked": "maybe"},
        {"only": "hair:red"},
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(browser: TestClient, query: dict[str, str]) -> None:
    assert browser.get(PAGE, params=query).status_code == 400


def test_odd_values_are_no_fault(browser: TestClient) -> None:
    evil = '"><img src=x>'
    for query in ({"only": f"segment:{evil}"}, {"model": evil}, {"arm": evil}, {"only": "vintage:209999"}):
        page = browser.get(PAGE, params=query)
        assert page.status_code == 200
        assert "No matured outcome is of this month" in page.text
        assert evil not in page.text
    for query in ({"value": evil}, {"value": "A", "after": "x"}, {"by": "segment"}, {"by": "vintage", "value": "x"}):
        assert browser.get(f"{PAGE}/accounts", params=query).status_code == 200, query
    for query in ({"by": "worked", "value": evil}, {"by": "month", "value": evil}):
        assert browser.get(f"{PAGE}/accounts", params=query).status_code == 400


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_cut_is_good_to_read_in_every_language(browser: TestClient, tag: str) -> None:
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    for by in CUTS:
        page = browser.get(PAGE, params={"by": by, "month": "all"})
        assert page.status_code == 200, page.text
        assert rows_on(page.text)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_without_an_outcome_it_says_what_is_missing(browser_of: BrowserOf, empty_store: Store, tag: str) -> None:
    browser = browser_of(to=empty_store)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    page = browser.get(PAGE)
    assert page.status_code == 200, page.text
    assert 'class="empty"' in page.text
    assert ("no score was given yet" in page.text) == (tag == "en")


def test_the_page_offers_every_cut_that_tables_have() -> None:
    assert {*CUTS, "role", "p_pay"} == {*BY}
    assert {*ONE_OF} < {*CUTS}


def test_curves_stay_in_their_box() -> None:
    for box in (square([0.004]), square([0.3, 0.9]), square([]), Square(0.1)):
        for share in (0.0, box.top / 3, box.top, 5.0):
            assert box.left <= box.x(share) <= box.right
            assert box.above <= box.y(share) <= box.bottom


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_month_that_is_open_says_when_its_first_outcome_comes(browser: TestClient, tag: str) -> None:
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    page = browser.get(PAGE, params={"month": "2026-06"}).text
    assert not rows_on(page)
    month, day = (r"Jun 2026", r"\d+ Jul") if tag == "en" else ("2026年6月", r"7月\d+日")
    assert re.search(rf'class="empty">[^<]*{month}[^<]*{day}[^<]*<', page)
    assert re.search(r"no outcome of|尚无成熟", page)
