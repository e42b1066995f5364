"""What pages show: the API's own queue and account, filters, exports, overrides, and what stands where nothing is."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import msgspec
import pytest
import sqlalchemy as sql

from features.units import DAY, format_instant
from serving.api import accounts, queues
from serving.api.calls import Call, Serving
from serving.engine import Engine
from serving.languages.language import LANGUAGES
from serving.review.pages.chart import HEIGHT, WIDTH, line_chart
from serving.review.pages.files import _cell
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.store.database import Store
from serving.store.ledger import answers
from serving.store.overrides import list_overrides
from tests.serving.api.test_accounts import LIVE
from tests.serving.review.pages.conftest import ADDRESS, BrowserOf
from tests.serving.small import AS_OF


def given_by_api(engine: Engine, store: Store, **request: Any) -> dict[str, Any]:
    call = Call(Serving(lambda: engine, lambda: AS_OF, store), engine, AS_OF, body=msgspec.json.encode(request))
    found: dict[str, Any] = queues.answer(call).content
    return found


def rows_of_csv(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:])))


def accounts_on(page: str) -> list[str]:
    return re.findall(r'<th role="rowheader"[^>]*><a href="[^"]*">([^<]*)</a>', page)


def test_the_queue_is_that_of_the_api(browser_of: BrowserOf, engine: Engine, store: Store) -> None:
    expected = [row["account_id"] for row in given_by_api(engine, store)["rows"]]
    browser, found, number = browser_of(), [], 1
    while number <= 1 + len(expected) // 50:
        found += accounts_on(browser.get(f"{ROOT}/queue?page={number}").text)
        number += 1
    assert found == expected
    whole = rows_of_csv(browser.get(f"{ROOT}/queue.csv").text)
    assert [row["account_id"] for row in whole] == expected
    held = rows_of_csv(browser.get(f"{ROOT}/held.csv").text)
    assert [row["account_id"] for row in held] == [one["account_id"] for one in given_by_api(engine, store)["held"]]
    assert accounts_on(browser.get(f"{ROOT}/held").text) == [row["account_id"] for row in held][:50]


def test_looking_at_the_queue_leaves_nothing_in_the_ledger(browser_of: BrowserOf, store: Store) -> None:
    browser_of().get(f"{ROOT}/queue")
    with store.reading() as connection:
        assert not connection.execute(sql.select(sql.func.count()).select_from(answers)).scalar_one()


@pytest.mark.parametrize("query", [{"channel": "sms"}, {"segment": "card"}, {"band": "A", "segment": "loan"}])
def test_filters_keep_the_order_and_the_ranks(browser_of: BrowserOf, query: dict[str, str]) -> None:
    browser = browser_of()
    whole = rows_of_csv(browser.get(f"{ROOT}/queue.csv").text)
    kept = [row for row in whole if all(row[name] == value for name, value in query.items())]
    assert rows_of_csv(browser.get(f"{ROOT}/queue.csv", params=query).text) == kept
    page = browser.get(f"{ROOT}/queue", params=query).text
    assert accounts_on(page) == [row["account_id"] for row in kept][:50]


def test_a_filter_without_rows_says_so_and_any_page_number_is_one(browser_of: BrowserOf) -> None:
    browser = browser_of()
    assert "No row is of this" in browser.get(f"{ROOT}/queue?band=Z&channel=pigeon").text
    for number in ("0", "-1", "x", "9" * 30, "99"):
        assert accounts_on(browser.get(f"{ROOT}/queue", params={"page": number}).text)


def test_no_text_of_an_export_is_a_formula() -> None:
    assert [_cell(text) for text in ("=1+1", "+1", "-1", "@a", "\ta", "A-1", -1.5, None, float("nan"))] == [
        "'=1+1", "'+1", "'-1", "'@a", "'\ta", "A-1", -1.5, "", "",
    ]  # fmt: skip


@pytest.mark.parametrize("tag", LANGUAGES)
def test_an_account_shows_what_the_api_says_of_it(
    browser_of: BrowserOf, engine: Engine, store: Store, tag: str
) -> None:
    call = Call(Serving(lambda: engine, lambda: AS_OF, store), engine, AS_OF)
    browser = browser_of()
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    held = LIVE.account_id[~LIVE.allowed[:, :-1].any(axis=1)][0]
    for account_id in (LIVE.account_id[0], held):
        said = accounts.answer(Call(**{**vars(call), "path": {"id": account_id}, "query": {"language": tag}})).content
        page = browser.get(f"{ROOT}/account", params={"id": account_id})
        assert page.status_code == 200
        text = page.text.replace("&#39;", "'").replace("&gt;", ">").replace("&amp;", "&")
        assert said.history in text
        assert said.why_blocked is None or said.why_blocked in text
        n_facts = sum(len(getattr(said.facts, name)) for name in ("contacts", "payments", "promises", "restrictions"))
        assert page.text.count("<time ") == n_facts + 3
        assert all(one.reason[2:] in text for one in said.reasons[:5])


def test_scores_over_time_are_those_of_the_ledger_one_a_day(browser_of: BrowserOf) -> None:
    account_id = LIVE.account_id[0]
    pages = [
        browser_of(now=AS_OF + days * DAY).get(f"{ROOT}/account", params={"id": account_id}) for days in (0, 0, 1, 2)
    ]
    page = pages[-1]
    assert page.text.count("<circle") == 3
    assert "Chance to pay on 3 days" in page.text


def test_a_different_choice_is_kept_with_its_reason(browser_of: BrowserOf, store: Store) -> None:
    browser, account_id = browser_of(), LIVE.account_id[0]
    page = browser.get(f"{ROOT}/account", params={"id": account_id}).text
    form = dict(
        re.findall(
            r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.partition('action="/review/overrides"')[2]
        )
    )
    other = "sms" if form["recommended"] != "sms" else "call"
    sent = {**form, "chosen": other, "reason": "asked for it <b>"}
    after = browser.post(f"{ROOT}/overrides", data=sent, headers={"origin": ADDRESS})
    assert (after.status_code, after.url.path) == (200, f"{ROOT}/account")
    assert "asked for it &lt;b&gt;" in after.text
    (kept,) = list_overrides(store).to_dict("records")
    assert (kept["account_id"], kept["chosen"], kept["answer_id"]) == (account_id, other, int(form["answer_id"]))
    blank = browser.post(f"{ROOT}/overrides", data={**sent, "reason": "  "}, headers={"origin": ADDRESS})
    assert blank.status_code == 400
    assert "a reason that is not blank" in blank.text
    assert len(list_overrides(store)) == 1


def test_a_choice_is_ended_and_stays_on_the_page(browser_of: BrowserOf, store: Store) -> None:
    browser, account_id = browser_of(), LIVE.account_id[0]
    sent = {"account_id": account_id, "recommended": "call", "chosen": "sms", "reason": "asked for it"}
    shown = browser.post(f"{ROOT}/overrides", data=sent, headers={"origin": ADDRESS}).text
    assert shown.count('action="/review/overrides/end"') == 1
    form = {"account_id": account_id, "override_id": "1"}
    after = browser.post(f"{ROOT}/overrides/end", data=form, headers={"origin": ADDRESS})
    assert (after.status_code, after.url.path, after.url.params["id"]) == (200, f"{ROOT}/account", account_id)
    assert "Ended 1 Apr" in after.text
    assert "asked for it" in after.text
    assert "overrides/end" not in after.text
    assert list_overrides(store)["ended_at"].tolist() == [AS_OF]
    for number, status in (("2", 404), ("x", 400), ("", 400)):
        wrong = browser.post(f"{ROOT}/overrides/end", data=form | {"override_id": number}, headers={"origin": ADDRESS})
        assert wrong.status_code == status


@pytest.mark.parametrize("body", [b"\xff", b"a=" + b"&b=1" * 50, b"account_id=&answer_id=x", b""])
def test_a_form_that_is_none_is_refused(browser_of: BrowserOf, body: bytes) -> None:
    answer = browser_of().post(f"{ROOT}/overrides", content=body, headers={"origin": ADDRESS})
    assert answer.status_code == 400


def test_what_is_sent_is_shown_as_text(browser_of: BrowserOf) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    answer = browser_of().get(f"{ROOT}/account", params={"id": evil})
    assert answer.status_code == 404
    assert "<img src=x" not in answer.text
    assert "<img src=x" not in browser_of().get(f"{ROOT}/queue", params={"band": evil, "as_of": ""}).text


@pytest.mark.parametrize("tag", LANGUAGES)
def test_an_empty_store_says_what_is_missing_and_when_it_comes(
    browser_of: BrowserOf, empty_store: Store, tag: str
) -> None:
    browser = browser_of(to=empty_store)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    for path in ("/queue", "/held"):
        page = browser.get(f"{ROOT}{path}")
        assert page.status_code == 200, page.text
        assert 'class="empty"' in page.text


def test_a_moment_to_come_is_refused(browser_of: BrowserOf) -> None:
    answer = browser_of().get(f"{ROOT}/queue", params={"as_of": format_instant(AS_OF + DAY)})
    assert answer.status_code == 400


def test_a_chart_stays_in_its_box() -> None:
    for values in ([0.0], [1.0, 0.0], [0.3, 0.31, 0.001], [0.004] * 5):
        chart = line_chart(list(range(len(values))), values)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in chart.points)
        heights = [y for _, y in chart.points]
        assert [heights.index(y) for y in sorted(heights)] == [values.index(v) for v in sorted(values, reverse=True)]
