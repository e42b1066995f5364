"""Drift as pages: the sentence at the top, what moved and how, alerts, other models, files, and empty states."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import replace
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.units import DAY, format_instant
from serving.api.calls import Call, Serving
from serving.engine import make_engine
from serving.languages.language import LANGUAGES, language_called
from serving.models.shadow import Shadow
from serving.review.drift import Bin
from serving.review.pages.columns import ColumnWords, features_of
from serving.review.pages.drift import show
from serving.review.pages.lines import lines
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT, Visit
from serving.review.pages.writing import Writing
from serving.store.database import Store
from serving.store.drift import keep_report
from tests.serving.review.drifted import FIRST, judged_report, matured_report, watched
from tests.serving.review.pages.conftest import BrowserOf, rows_of
from tests.serving.small import SETTINGS, small_bundle

PAGE, COLUMN = f"{ROOT}/drift", f"{ROOT}/drift/column"
LAST = FIRST + 39 * DAY


@pytest.fixture
def browser(browser_of: BrowserOf, empty_store: Store) -> TestClient:
    """Somebody at the pages over a store with the reports of two models."""
    watched(empty_store)
    watched(empty_store, "small/0", days=3)
    return browser_of(to=empty_store, now=LAST + DAY)


def standing(page: str) -> str:
    found = re.search(r'<div class="(alert|fine|other) standing" role="status">(.*?)</div>', page, re.DOTALL)
    assert found is not None
    return f"{found[1]}: " + " ".join(re.sub(r"<[^>]*>", " ", found[2]).split())


def moved_in(page: str) -> list[list[str]]:
    return rows_of(page.replace('aria-label="Which scores and features moved"', 'aria-labelledby="moved"'), "moved")


def test_a_glance_says_whether_the_model_is_within_its_limits(browser: TestClient) -> None:
    page = browser.get(PAGE).text
    assert standing(page) == (
        "alert: ▲ Beyond its limits since 6 Apr. The last 4 reports say so. PSI of Balance 0.300 at worst, limit "
        "0.250, since 6 Apr Warning: PSI of Segment 0.140 at worst, limit 0.100, since 6 Apr See "
        "whether what moved has a reason that is known, such as another portfolio or other data; then train anew, and "
        "have the challenger compared."
    )
    earlier = browser.get(PAGE, params={"as_of": format_instant(FIRST + 8 * DAY)}).text
    assert standing(earlier) == "fine: ✓ Within its limits since 1 Mar. The last 9 reports say so."
    ended = browser.get(PAGE, params={"as_of": format_instant(FIRST + 20 * DAY)}).text
    assert standing(ended) == "fine: ✓ Within its limits since 17 Mar. The last 5 reports say so."


def test_what_moved_comes_first_and_says_how(browser: TestClient) -> None:
    page = browser.get(PAGE).text
    rows = moved_in(page)
    assert [row[0] for row in rows] == [
        *("Balance balance", "Segment segment", "Chance to pay p_pay", "Expected amount expected_amount"),
        "Payments, last 30 days payments_30d",
    ]
    assert [row[1] for row in rows] == ["▲ shifted", "△ watch", "✓ stable", "✓ stable", "✓ stable"]
    assert rows[0][2:4] == ["0.300", "0.030"]
    assert rows[0][6] == "above 1,200: 8.0% → 16%"
    assert rows[1][6] == "loan: 40% → 48%"
    others = page.partition('aria-label="Features that are shown and not judged"')[2]
    assert all(text in others for text in ("follows the calendar", "grows older"))
    assert "hardly used" not in others
    (link,) = re.findall(r'href="([^"]*minor=shown[^"]*)"', page)
    assert "1 feature that the model hardly uses" in page
    every = browser.get(link.replace("&amp;", "&")).text
    assert "hardly used" in every.partition('aria-label="Features that are shown and not judged"')[2]


def test_expected_stands_beside_reached(browser: TestClient) -> None:
    auc, brier = rows_of(browser.get(PAGE).text, "performance")
    assert auc[1:] == ["0.761", "0.790", "0.760 0.740 – 0.780", "0.780", "0.770"]
    assert brier[1:] == ["0.081", "0.080", "0.085", "0.082", "0.083"]
    early = browser.get(PAGE, params={"as_of": format_instant(FIRST)}).text
    assert [row[3] for row in rows_of(early, "performance")] == ["–", "–"]
    assert "No outcome of time that the model has not learned from is known yet" in early


def test_every_alert_is_told_with_its_spell(browser: TestClient) -> None:
    rows = rows_of(browser.get(PAGE).text, "alerts")
    assert [(row[0].split()[-1], row[1], row[2], row[3], row[4]) for row in rows] == [
        ("balance", "▲ breach", "6 Apr 08:00", "not ended", "4"),
        ("segment", "△ warning", "6 Apr 08:00", "not ended", "4"),
        ("balance", "△ warning", "1 Apr 08:00", "6 Apr 08:00", "5"),
        ("payments_30d", "▲ breach", "13 Mar 08:00", "17 Mar 08:00", "4"),
        ("payments_30d", "△ warning", "11 Mar 08:00", "13 Mar 08:00", "2"),
    ]
    quiet = browser.get(PAGE, params={"as_of": format_instant(FIRST + 3 * DAY)}).text
    assert "No limit was passed in 4 reports." in quiet


def test_another_model_is_chosen_and_another_column_shown(browser: TestClient) -> None:
    page = browser.get(PAGE, params={"model": "small/0"}).text
    assert "Report of model small/0 as of 3 Mar 08:00" in page
    page = browser.get(COLUMN, params={"name": "balance"}).text
    rows = rows_of(page, "distribution")
    assert [row[0] for row in rows] == ["up to 100", "100 – 250", "250 – 1,200", "above 1,200", "not known"]
    assert [row[3] for row in rows] == ["-8.0", "0", "0", "+8.0", "0"]
    assert "as if they were as old as those at training" in page
    assert page.count('<rect class="bar-now"') == 5
    counts = rows_of(browser.get(COLUMN, params={"name": "payments_30d"}).text, "distribution")
    assert [row[0] for row in counts] == ["0", "1", "2 – 4", "≥ 5", "not known"]


def test_models_in_service_are_named_as_such_and_the_champion_comes_first(empty_store: Store) -> None:
    for label, days in (("small/1", 3), ("small/2", 5), ("small/3", 9)):
        watched(empty_store, label, days)
    champion, challenger = (make_engine(replace(small_bundle(), label=label)) for label in ("small/1", "small/2"))
    serving = Serving(lambda: champion, lambda: LAST, empty_store, shadow=Shadow(lambda: challenger))
    visit = Visit(Call(serving, champion, LAST), language_called("en"), "/drift")
    page = bytes(show(visit).body).decode()
    assert [" ".join(text.split()) for text in re.findall(r'<option value="small/.*?>(.*?)</option>', page)] == [
        *("small/3", "small/2 (challenger)", "small/1 (champion)"),
    ]
    assert "Report of model small/1" in page


def test_what_is_said_of_another_model_is_not_taken_for_the_one_in_service(
    browser_of: BrowserOf, empty_store: Store
) -> None:
    watched(empty_store, "small/0", days=9)
    found = standing(browser_of(to=empty_store, now=LAST).get(PAGE).text)
    assert found.startswith(
        "other: Model small/1, which is in service, has no report yet. Model small/0, which is not in service: Beyond "
        "its limits since 6 Mar."
    )
    assert "train anew" not in found
    watched(empty_store, "small/1", days=3)
    browser = browser_of(to=empty_store, now=LAST)
    assert standing(browser.get(PAGE).text).startswith("alert: ▲ Beyond its limits")
    assert standing(browser.get(PAGE, params={"model": "small/0"}).text).startswith(
        "other: Model small/0, which is not in service: Beyond"
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"{PAGE}?model=none/9", "a model is one that has reports"),
        (f"{COLUMN}?name=none", "a column is a score or a feature of model small/1"),
        (f"{PAGE}?as_of=yesterday", "yesterday"),
        (f"{PAGE}.csv?table=none", "a file holds one of drift"),
    ],
)
def test_what_is_not_there_is_told(browser: TestClient, address: str, said: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 400
    assert said in answer.text


def test_tables_are_taken_home(browser: TestClient) -> None:
    page = browser.get(PAGE).text
    files = {link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*drift\.csv[^"]*)"', page)}
    assert len(files) == 4
    for link in files:
        answer = browser.get(link)
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))) > 2
    one = browser.get(f"{PAGE}.csv?table=drift_distributions&column=segment").text.lstrip("\ufeff")
    assert [row["bin"] for row in csv.DictReader(io.StringIO(one))] == ["card", "loan"]
    book = browser.get(f"{PAGE}.xlsx?model=small%2F1")
    with zipfile.ZipFile(io.BytesIO(book.content)) as parts:
        names = re.findall(r'<sheet name="(\w+)"', parts.read("xl/workbook.xml").decode())
    assert names == ["about", "drift", "drift_distributions", "drift_performance", "drift_alerts"]


@pytest.mark.parametrize("path", [PAGE, COLUMN])
def test_where_no_report_was_made_it_says_how_one_is(browser_of: BrowserOf, empty_store: Store, path: str) -> None:
    answer = browser_of(to=empty_store).get(path)
    assert answer.status_code == 200
    assert "no report of drift was made yet" in answer.text
    assert "call recoup monitor" in answer.text
    answer = browser_of(to=empty_store).get(f"{PAGE}.csv")
    assert answer.status_code == 400
    assert "recoup monitor" in answer.text


def test_one_report_alone_and_an_old_one(browser_of: BrowserOf, empty_store: Store) -> None:
    keep_report(empty_store, judged_report(FIRST, matured=matured_report(FIRST - 40 * DAY, 0.7)), FIRST)
    page = browser_of(to=empty_store, now=FIRST + 9 * DAY).get(PAGE).text
    assert "it is 9 days old" in page
    assert "The last report says so." in page
    assert "Payers, actual / expected, upper end of the interval 0.78 at worst, limit 0.90" in standing(page)
    assert "less than predicted, beyond noise" in page


def test_moments_within_a_second_are_told_apart(browser_of: BrowserOf, empty_store: Store) -> None:
    for as_of, psi in ((FIRST + 1, 0.3), (FIRST + 250_000, 0.02)):
        keep_report(empty_store, judged_report(as_of, psi={"balance": psi}), FIRST + DAY)
    browser = browser_of(to=empty_store, now=FIRST + DAY)
    page = browser.get(PAGE).text
    first, second = re.findall(r'<option value="(2026[^"]*)"', page)[::-1]
    assert "Within its limits" in page
    assert "Beyond its limits" in browser.get(PAGE, params={"as_of": first}).text
    assert "Within its limits" in browser.get(PAGE, params={"as_of": second}).text


def test_what_a_store_holds_is_escaped(browser_of: BrowserOf, empty_store: Store) -> None:
    name = '<script>alert("x")</script>'
    keep_report(empty_store, judged_report(FIRST, model=name), FIRST)
    answer = browser_of(to=empty_store, now=FIRST + DAY).get(f"{PAGE}?model={quote(name)}")
    assert answer.status_code == 200
    assert "<script" not in answer.text


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("path", [PAGE, f"{COLUMN}?name=balance", f"{COLUMN}?name=segment"])
def test_pages_are_whole_in_every_language(browser: TestClient, tag: str, path: str) -> None:
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    page = browser.get(path).text
    assert f'<html lang="{tag}">' in page
    assert "{" not in page.partition("<main")[2]
    if tag == "zh-Hans":
        words = re.sub(r"<code>.*?</code>|<option.*?</option>|<[^>]*>", " ", page.partition("<main")[2])
        assert not re.search(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}", words)


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("balance", "Balance", "余额"),
        ("payments_30d", "Payments, last 30 days", "近30天还款次数"),
        ("stage", "Stage", "阶段"),
        ("last_payment_amount", "Amount of the latest payment", "最近一次还款金额"),
        ("kept_promise_rate", "Share of promises kept", "承诺兑现率"),
        ("paid_share_of_placed_balance", "Share of placed balance paid since", "委案金额已还比例"),
        ("attribute_none", "attribute_none", "attribute_none"),
    ],
)
def test_a_column_is_named_as_people_do(name: str, english: str, chinese: str) -> None:
    for tag, told in (("en", english), ("zh-Hans", chinese)):
        writing = Writing(language_called(tag), ZoneInfo("UTC"), FIRST)
        assert ColumnWords(features_of(SETTINGS), language_called(tag), writing).column(name) == told


@given(
    st.sampled_from(["balance", "payments_30d", "stage", "segment_paid_share", "last_promise_kept", "none"]),
    st.floats(-1e9, 1e9), st.floats(0, 1e9), st.booleans(), st.sampled_from(list(LANGUAGES)),
)  # fmt: skip
def test_every_bin_has_words(name: str, low: float, width: float, is_below: bool, tag: str) -> None:
    language = language_called(tag)
    writing = Writing(language, ZoneInfo("UTC"), FIRST)
    words = ColumnWords(features_of(SETTINGS), language, writing)
    assert words.column(name)
    infinite = float("inf")
    for begins, ends in ((low, low + width), (-infinite, low), (low, infinite), (low, low)):
        told = words.bin(name, Bin(0.5, 0.5, begins, ends, is_below and ends < infinite))
        assert told
        assert "inf" not in told
        assert "nan" not in told


@given(st.lists(st.tuples(st.integers(0, 10**15), st.floats(0, 50)), min_size=1, max_size=20), st.booleans())
def test_a_chart_holds_all_of_its_points(points: list[tuple[int, float]], from_zero: bool) -> None:
    box = lines([points], [0.25], from_zero)
    assert box.low <= min(0.25, *(value for _, value in points)) + 1e-9
    assert box.high >= max(0.25, *(value for _, value in points)) - 1e-9
    assert not from_zero or box.low == 0
    assert 2 <= len(box.grid) <= 8
    for at, value in points:
        assert box.left <= box.x(at) <= box.right
        assert 0 <= box.y(value) <= box.bottom
