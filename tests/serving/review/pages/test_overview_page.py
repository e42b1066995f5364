"""The overview as a page: its tables' own figures, what is open and what has matured, files, and empty states."""

from __future__ import annotations

import csv
import html
import io
import re
from dataclasses import replace

import pandas as pd
import pytest
import sqlalchemy as sql
from starlette.testclient import TestClient

from features.units import DAY, parse_instant
from serving.languages.language import LANGUAGES
from serving.review.overview import KEY_FIGURES, changes, key_figures, months_with_scores, parts, unlike_the_rest
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.review.rollup import roll_up
from serving.store.database import Store
from serving.store.rollups import rollup_progress
from tests.serving.review.pages.conftest import BrowserOf, rows_of
from tests.serving.review.rolled import FIRST, NOW, begun, frames_of, write_scores
from tests.serving.small import SETTINGS
from tests.serving.store.test_histories import send

MONTH, IN_QUERY = 202603, "2026-03"
PAGE = f"{ROOT}/overview"


def test_figures_are_those_of_the_tables(browser: TestClient, rolled: Store) -> None:
    page = browser.get(PAGE, params={"month": IN_QUERY}).text
    (matured,) = parts(rolled, MONTH).rows.to_dict("records")
    (shown,) = rows_of(page, "parts")
    assert shown[0].startswith("matured")
    assert shown[1] == f"{matured['accounts']:,.0f}"
    assert shown[4] == f"{matured['actual_payers']:,.0f}"
    assert shown[6].startswith(f"{matured['predicted_amount']:,.0f} {matured['predicted_amount_low']:,.0f} – ")
    assert shown[7] == f"{matured['actual_amount']:,.0f}"
    told = key_figures(rolled, MONTH).rows
    assert [(row[0], row[3]) for row in rows_of(page, "key-figures")] == [
        (one.name, one.formula) for one in KEY_FIGURES
    ]
    shown_first = rows_of(page, "key-figures")[0]
    assert shown_first[1].count("%") == 3
    assert shown_first[1].split()[0] == f"{told['value'][0] * 100:.{1 if told['value'][0] < 0.1 else 0}f}%"
    changed = changes(rolled, MONTH).rows
    found = rows_of(page, "changes")
    assert len(found) == min(len(changed), 12)
    assert [row[1].lstrip("+") for row in found if abs(float(row[1].replace(",", ""))) >= 100] == [
        f"{change:,.0f}" for change in changed["change"][:12] if abs(change) >= 100
    ]


def test_a_change_leads_to_its_band_table(browser: TestClient) -> None:
    page = browser.get(PAGE, params={"month": IN_QUERY}).text
    links = re.findall(r'href="([^"]*predicted[^"]*only=[^"]*)"', page)
    assert links
    for link in links:
        assert browser.get(html.unescape(link)).status_code == 200


def test_an_open_month_has_predictions_and_the_figures_of_the_last_that_is_known(
    browser: TestClient, rolled: Store
) -> None:
    months = months_with_scores(rolled)
    page = browser.get(PAGE).text
    assert f'value="{months[-1] // 100}-{months[-1] % 100:02d}" selected' in page
    (shown,) = rows_of(page, "parts")
    assert shown[0].startswith("still open")
    assert (shown[4], shown[5], shown[7]) == ("–", "–", "–")
    assert re.search(r"no outcome of Jun 2026 has matured yet: the first comes on \d+ Jul, once rows of that day", page)
    assert "these are of the last month of which all are" in page
    assert "Matured so far" not in page
    assert len(rows_of(page, "key-figures")) == len(KEY_FIGURES)


def test_files_hold_the_tables(browser: TestClient, rolled: Store) -> None:
    tables = {
        "overview": parts, "unlike_the_rest": unlike_the_rest, "key_figures": key_figures, "changes": changes,
    }  # fmt: skip
    for name, table in tables.items():
        answer = browser.get(f"{PAGE}.csv", params={"month": IN_QUERY, "table": name})
        assert answer.status_code == 200
        head, *found = csv.reader(io.StringIO(answer.text[1:]))
        assert head == list(table(rolled, MONTH).rows)
        assert len(found) == len(table(rolled, MONTH).rows)
    assert browser.get(f"{PAGE}.xlsx", params={"month": IN_QUERY}).content.startswith(b"PK")
    assert browser.get(f"{PAGE}.csv", params={"table": "hair"}).status_code == 400
    assert browser.get(PAGE, params={"month": "2031-01"}).status_code == 400


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_month_is_good_to_read_in_every_language(browser: TestClient, rolled: Store, tag: str) -> None:
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    for month in months_with_scores(rolled):
        page = browser.get(PAGE, params={"month": f"{month // 100}-{month % 100:02d}"})
        assert page.status_code == 200, page.text


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_part_of_a_month_is_compared_with_nothing(browser_of: BrowserOf, empty_store: Store, tag: str) -> None:
    begun(empty_store)
    browser = browser_of(to=empty_store, now=FIRST + 46 * DAY)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    page = ""
    for query in ({}, {"month": "2026-01"}):
        page = browser.get(PAGE, params=query).text
        found = rows_of(page, "key-figures")
        assert [len(row) for row in found] == [3] * len(KEY_FIGURES)
        assert "▲" not in str(found)
        assert 'data-label="Change"' not in page
        if tag == "en":
            assert "Matured so far: 20 of 40 accounts." in page
            assert "20 of 40 accounts of Jan 2026 have matured so far; all have on 24 Feb, once rows of that" in page
        else:
            assert "2026年1月的40户中迄今已成熟20户；全部成熟将在2月24日" in page
    assert len(rows_of(page, "parts")) == 2


def test_less_of_what_costs_is_better(browser: TestClient, rolled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = key_figures(rolled, MONTH)
    rose = figures.rows.assign(value=0.6, value_before=0.5, beyond=True)
    monkeypatch.setattr("serving.review.pages.overview.key_figures", lambda *_: replace(figures, rows=rose))
    page = browser.get(PAGE, params={"month": IN_QUERY}).text
    table = page.partition('aria-labelledby="key-figures"')[2].partition('aria-labelledby="changes"')[0]
    kinds = dict(zip([one.name for one in KEY_FIGURES], re.findall(r'class="beyond (\w+)"', table), strict=True))
    assert {name for name, kind in kinds.items() if kind == "bad"} == {
        "cost per unit", "calls per recovery", "days to collect",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind == "neutral"} == {"penetration", "intensity"}


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_first_days_say_what_is_missing(browser_of: BrowserOf, empty_store: Store, tag: str) -> None:
    def page(now: int) -> str:
        browser = browser_of(to=empty_store, now=now)
        browser.cookies.set(LANGUAGE_COOKIE, tag)
        answer = browser.get(PAGE)
        assert answer.status_code == 200, answer.text
        assert browser.get(f"{PAGE}.csv").status_code in (200, 400)
        text: str = answer.text
        return text

    assert 'class="empty"' in page(NOW)
    frames = frames_of(20)
    for name in ("contacts", "payments", "promises"):
        times = frames[name].columns.intersection(["at", "made_at"])[0]
        frames[name] = frames[name][frames[name][times] < pd.Timestamp("2026-01-20", tz="UTC")]
    send(empty_store, frames)
    write_scores(empty_store, frames["accounts"]["account_id"].tolist(), range(1))
    roll_up(empty_store, SETTINGS, FIRST + 20 * DAY)
    found = page(FIRST + 20 * DAY)
    assert ("11 Feb" if tag == "en" else "2月11日") in found
    assert parse_instant("2026-02-11") - FIRST > 36 * DAY
    assert len(rows_of(found, "parts")) == 1


@pytest.mark.parametrize("path", ["/overview", "/predicted", "/flows"])
@pytest.mark.parametrize("tag", LANGUAGES)
def test_it_is_said_when_figures_were_rolled_up_and_whether_scores_wait(
    browser_of: BrowserOf, empty_store: Store, path: str, tag: str
) -> None:
    begun(empty_store)
    browser = browser_of(to=empty_store, now=FIRST + 46 * DAY)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    waiting = "Scores given since are not in it yet." if tag == "en" else "此后给出的评分尚未计入。"
    of_when = "Rolled up" if tag == "en" else "汇总时间"
    said = "Rolled up 21 Feb 08:00, Asia/Shanghai." if tag == "en" else "汇总时间：2月21日 08:00，Asia/Shanghai。"
    roll_up(empty_store, SETTINGS, parse_instant("2026-02-21"))
    page = browser.get(f"{ROOT}{path}").text
    assert said in page
    assert waiting not in page
    write_scores(empty_store, frames_of(4)["accounts"]["account_id"].tolist(), range(47, 48))
    page = browser.get(f"{ROOT}{path}").text
    assert f"{said} {waiting}" in page
    with empty_store.writing() as connection:
        connection.execute(sql.update(rollup_progress).values(rolled_at=None))
    page = browser.get(f"{ROOT}{path}").text
    assert of_when not in page
    assert waiting not in page
