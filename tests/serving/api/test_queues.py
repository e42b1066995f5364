"""Queues of the stored accounts: filters, pages of one and the same queue, what is kept of them, and fresh events."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sql
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from features.settings import NamedCapacity, QueueRules, Where
from features.stages import STAGES as STAGE_NAMES
from features.units import DAY, HOUR, format_instant
from serving.api.application import application
from serving.api.calls import Serving
from serving.api.cursors import Cursor, write_cursor
from serving.api.filters import STAGES
from serving.day import Scenario
from serving.engine import make_engine
from serving.exploration import Exploration
from serving.ladder.policy import shipped_ladders
from serving.languages.language import language_called
from serving.queue import build_queue
from serving.scoring import score
from serving.store.database import Store
from serving.store.histories import tables
from serving.store.ledger import answers, scores
from tests.serving.api.conftest import ClientOf
from tests.serving.small import AS_OF, SETTINGS, random_frames, request_of, small_bundle, small_histories

CAPACITIES = {"call": 40, "sms": 30, "email": 20}
REQUEST: dict[str, Any] = {"capacities": CAPACITIES}
#: After the moment of the small portfolio, by which more has been sent.
LATER = AS_OF + DAY


def pages(client: Any, **request: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = client.post("/v1/queue", json={**REQUEST, **request, "cursor": cursor})
        assert page.status_code == 200, page.text
        found.append(page.json())
        cursor = found[-1]["cursor"]
        if cursor is None:
            return found


def rows_of_pages(found: list[dict[str, Any]], name: str = "rows") -> list[dict[str, Any]]:
    return [row for page in found for row in page[name]]


def test_the_queue_of_the_store_is_that_of_the_histories(client_of: ClientOf, engine: Any) -> None:
    (page,) = pages(client_of())
    found = score(engine.scorer, small_histories(), AS_OF)
    expected = build_queue(engine.scorer, found, small_histories(), AS_OF, CAPACITIES)
    assert [(row["account_id"], row["channel"], row["p_pay"]) for row in page["rows"]] == list(
        zip(expected.rows["account_id"], expected.rows["channel"], expected.rows["p_pay"], strict=True)
    )
    assert {one["account_id"] for one in page["held"]} == set(expected.held["account_id"])
    assert page["totals"]["not_scored"] == len(small_histories()) - page["counts"]["live"]
    assert page["arrival"] == 1


def test_prices_and_what_other_capacities_would_bring_come_with_every_page(client_of: ClientOf, engine: Any) -> None:
    what_if = [{"call": 60}, {"call": 20, "sms": 200}]
    others = [{**CAPACITIES, **one} for one in what_if]
    scenarios = [Scenario(one) for one in others]
    found = score(engine.scorer, small_histories(), AS_OF)
    expected = build_queue(engine.scorer, found, small_histories(), AS_OF, CAPACITIES, alternatives=scenarios)
    several = pages(client_of(), what_if=what_if, limit=30)
    assert len(several) > 1
    for page in several:
        assert page["prices"] == expected.prices
        assert page["what_if"] == [asdict(one) for one in expected.what_if]
    assert [one["capacities"] for one in several[0]["what_if"]] == others
    assert pages(client_of())[0]["what_if"] == []


def test_named_capacities_rules_and_costs_are_asked_for_by_name(store: Store) -> None:
    named = (NamedCapacity("cards", 4, ("call",), Where(segment=("card",))), NamedCapacity("budget", 60, counts="cost"))
    engine = make_engine(small_bundle(), replace(SETTINGS, queue=QueueRules(capacities=named)))
    mounted = Starlette(routes=[Mount("/v1", application(Serving(lambda: engine, lambda: AS_OF, store)))])
    client = TestClient(mounted, base_url="http://recoup", raise_server_exceptions=False)
    asked = [{"cards": 9}, {"rules": "us-reg-f", "budget": 70.5}, {"cost.call": 2.5}]
    (page,) = pages(client, capacities={**CAPACITIES, "budget": 45.5}, what_if=asked)
    assert page["used"].keys() == {"cards", "budget"}
    assert page["used"]["cards"] <= 4
    assert page["used"]["budget"] <= 45.5
    assert {"cards", "budget"} < page["prices"].keys()
    cards, rules, cost = page["what_if"]
    plan = {**CAPACITIES, "cards": 4, "budget": 45.5}
    assert cards["capacities"] == {**plan, "cards": 9}
    assert (rules["rules"], rules["capacities"]) == ("us-reg-f", {**plan, "budget": 70.5})
    assert (cost["costs"], cost["rules"]) == ({"call": 2.5}, None)
    for one in page["what_if"]:
        # This model does not say how sure its effects are.
        assert {one[name] for name in ("low", "high", "day_low", "day_high")} == {None}
    unknown = client.post("/v1/queue", json={**REQUEST, "capacities": {"north": 1}})
    assert "or one of its own, cards, budget; got 'north'" in unknown.json()["error"]["message"]
    drawn = pages(client, exploration={"share": 0.2, "channels": ["sms"]})[0]
    assert drawn["used"]["budget"] <= 60
    assert any(row["explored"] for row in drawn["rows"])


def test_a_queue_keeps_to_a_ladder_that_is_shipped_and_to_no_file(client_of: ClientOf, engine: Any) -> None:
    default, found = shipped_ladders()["default"], score(engine.scorer, small_histories(), AS_OF)
    expected = build_queue(engine.scorer, found, small_histories(), AS_OF, CAPACITIES, ladder=default)
    (page,), (free,) = pages(client_of(), ladder="default"), pages(client_of(), ladder="none")
    assert [row["account_id"] for row in page["rows"]] == expected.rows["account_id"].tolist()
    assert page["counts"] == expected.counts
    told = [any(note.startswith("the ladder default") for note in one["notes"]) for one in (page, free)]
    assert told == [True, False]
    assert {row["stage"] for row in (*page["rows"], *page["held"])} <= {*STAGE_NAMES}
    refused = client_of().post("/v1/queue", json={**REQUEST, "ladder": "/etc/own.toml"})
    assert refused.status_code == 400
    assert "got the path of a file" in refused.json()["error"]["message"]


def test_what_is_told_is_in_the_language_asked_for(client_of: ClientOf, engine: Any) -> None:
    client, chinese = client_of(), language_called("zh-Hans")
    (page,) = pages(client, language="zh-Hans", reasons=True)
    (english,) = pages(client, reasons=True)
    found = score(engine.scorer, small_histories(), AS_OF)
    expected = build_queue(engine.scorer, found, small_histories(), AS_OF, CAPACITIES, language=chinese)
    told = ("history", "why_channel", "would_change")
    for name in told:
        assert [row[name] for row in page["rows"]] == expected.rows[name].tolist()
    assert [one["why"] for one in page["held"]] == expected.held["why"].tolist()
    assert page["notes"][-len(expected.notes) :] == list(expected.notes)
    assert len(page["notes"]) == len(english["notes"])
    assert not {*page["notes"]} & {*english["notes"]}
    for row, other in zip(page["rows"], english["rows"], strict=True):
        assert not [name for name in (*told, "reasons") if row[name] == other[name]]
        assert {name: row[name] for name in row if name not in (*told, "reasons")} == {
            name: other[name] for name in other if name not in (*told, "reasons")
        }


@pytest.mark.parametrize("is_kept", [False, True])
def test_pages_make_up_the_queue_whatever_comes_in_between(client_of: ClientOf, is_kept: bool) -> None:
    client = client_of()
    (whole,) = pages(client_of(), as_of=format_instant(AS_OF))
    found, cursor = [], None
    for number in range(100):
        # A payment that was known by then and arrives late: it would change the queue, were it not pinned. Each page
        # comes from the worker that keeps the queue, or else from one that has to work it out from what had arrived.
        client = client if is_kept else client_of()
        body = {**REQUEST, "as_of": format_instant(AS_OF), "limit": 17, "cursor": cursor}
        page = client.post("/v1/queue", json=body).json()
        found.append(page)
        late = {"account_id": whole["rows"][-1 - number]["account_id"], "at": "2026-03-02", "amount": 1e6}
        assert client.post("/v1/events", json={"payments": [late]}).json()["accepted"]["payments"] == 1
        cursor = page["cursor"]
        if cursor is None:
            break
    for name in ("rows", "held", "not_scored"):
        assert rows_of_pages(found, name) == whole[name]
        assert all(page["totals"][name] == len(whole[name]) for page in found)
    (anew,) = pages(client_of(), as_of=format_instant(AS_OF))
    assert anew["rows"] != whole["rows"]


def test_a_queue_that_is_kept_has_no_next_page_once_a_person_is_erased(client_of: ClientOf) -> None:
    client = client_of()
    first = client.post("/v1/queue", json={**REQUEST, "limit": 5}).json()
    assert client.delete(f"/v1/accounts/{first['rows'][-1]['account_id']}").status_code == 200
    answer = client.post("/v1/queue", json={**REQUEST, "limit": 5, "cursor": first["cursor"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "erased")


def test_a_cursor_that_was_changed_or_is_of_another_request_is_refused(client_of: ClientOf) -> None:
    client = client_of()
    cursor = client.post("/v1/queue", json={**REQUEST, "limit": 5}).json()["cursor"]
    other = cursor[:-4] + ("AAAA" if cursor[-4:] != "AAAA" else "BBBB")
    forged = write_cursor(Cursor(AS_OF, 1, 5, "another", "request"))
    for body in (
        {**REQUEST, "cursor": other},
        {**REQUEST, "cursor": "not one"},
        {**REQUEST, "cursor": "é"},
        {**REQUEST, "cursor": ""},
        {**REQUEST, "cursor": forged},
        {"capacities": {"call": 1}, "cursor": cursor},
    ):
        answer = client.post("/v1/queue", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cursor")
    assert client.post("/v1/queue", json={**REQUEST, "limit": 9, "cursor": cursor}).json()["rows"][0]["rank"] == 6


def test_filters_choose_accounts_before_they_are_ordered(client_of: ClientOf) -> None:
    client = client_of()
    accounts = random_frames()["accounts"].set_index("account_id")
    (cards,) = pages(client, segment="card", capacities={"call": 20})
    assert {accounts.loc[row["account_id"], "segment"] for row in cards["rows"]} == {"card"}
    # Twenty places for cards alone: not those of the twenty that are cards among all.
    assert len(cards["rows"]) == 20
    n_live = [pages(client, segment=one)[0]["counts"]["live"] for one in (["card"], ["loan", "telecom"])]
    assert sum(n_live) == pages(client)[0]["counts"]["live"]
    by_stage = [pages(client, stage=stage)[0]["counts"]["live"] for stage in STAGES]
    assert sum(by_stage) == sum(n_live)
    assert max(by_stage) < sum(n_live)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"segment": "boat"}, "a segment is one of card, loan, telecom; got 'boat'"),
        ({"stage": ["early", "dead"]}, "a stage is one of not_due, early"),
        ({"portfolio": "east"}, "no account has one"),
        ({"limit": 0}, "limit"),
        ({"language": "tlh"}, "language"),
        ({"what_if": [{"pigeon": 1}]}, "one of the portfolio's channels"),
        ({"what_if": [{"rules": "nowhere"}]}, "a what-if of rules names a pack"),
        ({"what_if": [{"cost.pigeon": 1}]}, "a what-if of a cost names"),
        ({"what_if": [{"call": "500"}]}, "states a number for all but rules"),
        ({"what_if": [{"call": True}]}, "what_if"),
        ({"what_if": [{"call": 1}] * 21}, "what_if"),
        ({"exploration": {"share": 0.5, "channels": ["sms"]}}, "from 0 to 0.2"),
        ({"exploration": {"share": 0.1, "channels": ["visit"]}}, "needs places"),
        ({"log_decisions": True, "as_of": "2026-01-01"}, "more than a day ago"),
    ],
)
def test_what_cannot_be_is_said(client_of: ClientOf, request_: dict[str, Any], message: str) -> None:
    answer = client_of().post("/v1/queue", json={**REQUEST, **request_})
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_broken_promise_is_ranked_by_in_the_next_queue(client_of: ClientOf) -> None:
    client = client_of(LATER)
    before = pages(client)[0]
    accounts = [row["account_id"] for row in before["rows"][:8]]
    promises = [{"account_id": account, "made_at": format_instant(AS_OF - 12 * DAY), "amount": 400,
                 "due_on": format_instant(AS_OF - 9 * DAY)} for account in accounts]  # fmt: skip
    refusals = [{"account_id": account, "at": format_instant(AS_OF), "channel": "call", "outcome": "refusal"}
                for account in accounts]  # fmt: skip
    assert client.post("/v1/events", json={"promises": promises, "contacts": refusals}).json()["rejects"] == []
    after = client_of(LATER + HOUR).post("/v1/queue", json=REQUEST).json()
    # The same histories, sent along: what the store's answer must agree with.
    sent = request_of(accounts, random_frames())
    sent["histories"]["promises"] += promises
    sent["histories"]["contacts"] += refusals
    sent["as_of"] = format_instant(LATER + HOUR)
    scores = client_of(LATER + HOUR).post("/v1/score", json=sent).json()["scores"]
    expected = {row["account_id"]: row["p_pay"] for row in scores}
    new, old = ({row["account_id"]: row["p_pay"] for row in page["rows"]} for page in (after, before))
    there = [account for account in accounts if account in new]
    assert {account: new[account] for account in there} == {account: expected[account] for account in there}
    assert any(expected[account] != old[account] for account in accounts)


def test_a_restriction_holds_back_in_the_next_queue(client_of: ClientOf) -> None:
    client = client_of()
    account = pages(client)[0]["rows"][0]["account_id"]
    dispute = {"account_id": account, "at": format_instant(AS_OF - HOUR), "kind": "dispute"}
    assert client.post("/v1/events", json={"restrictions": [dispute]}).status_code == 200
    after = pages(client)[0]
    assert account not in {row["account_id"] for row in after["rows"]}
    held = {"account_id": account, "why": "the debt is disputed (dispute)", "next_allowed_at": None}
    assert held in [{name: one[name] for name in held} for one in after["held"]]


def test_what_was_given_is_in_the_ledger(client_of: ClientOf, store: Store) -> None:
    page = client_of().post("/v1/queue", json={**REQUEST, "limit": 7}).json()
    with store.reading() as connection:
        (answer,) = connection.execute(sql.select(answers)).mappings().all()
        kept = connection.execute(sql.select(scores).order_by(scores.c.position)).mappings().all()
    assert (answer["purpose"], answer["source"], answer["arrival"], answer["as_of"]) == ("queue", "store", 1, AS_OF)
    assert len(kept) == 7
    for row, line in zip(page["rows"], kept, strict=True):
        for name in ("account_id", "rank", "channel", "p_pay", "expected_amount", "priority", "band", "balance"):
            assert row[name] == line[name], name
        assert line["propensity"] == 1
        values = np.frombuffer(line["value_by_action"], "<f8")
        assert values[answer["actions"].split(",").index(row["channel"])] == row["expected_net"]
        assert not line["blocked"] >> answer["actions"].split(",").index(row["channel"]) & 1


def decisions_of(store: Store) -> list[Any]:
    with store.reading() as connection:
        table = tables["decisions"]
        return list(connection.execute(sql.select(table).where(table.c.policy.is_not(None))).mappings())


def test_explored_queues_are_logged_as_decisions_once(client_of: ClientOf, store: Store) -> None:
    request: dict[str, Any] = {
        "exploration": {"share": 0.2, "channels": ["sms", "email"]},
        "log_decisions": True,
        "limit": 20,
    }
    rows = rows_of_pages(pages(client_of(), **request))
    again = rows_of_pages(pages(client_of(), **request))
    assert [row["account_id"] for row in again] == [row["account_id"] for row in rows]
    kept = {row["account_id"]: row for row in decisions_of(store)}
    assert len(decisions_of(store)) == len(rows) == len(kept)
    for row in rows:
        line = kept[row["account_id"]]
        assert (line["channel"], line["propensity"], line["explored"], line["at"]) == (
            row["channel"], row["propensity"], row["explored"], AS_OF,
        )  # fmt: skip
        assert line["policy"] == "queue by small/1, 0.2 of sms+email at random"
    assert any(row["explored"] for row in rows)
    seeded = rows_of_pages(pages(client_of(), exploration={**request["exploration"], "seed": "b"}))
    assert [row["channel"] for row in seeded] != [row["channel"] for row in rows]


def test_the_service_may_explore_and_log_by_itself(client_of: ClientOf, store: Store) -> None:
    exploring = Exploration(0.2, ("sms", "email"), "")
    rows = rows_of_pages(pages(client_of(exploration=exploring, log_decisions=True)))
    assert any(row["explored"] for row in rows)
    assert len(decisions_of(store)) == len(rows)
    plain = rows_of_pages(pages(client_of(exploration=exploring), exploration={"share": 0, "channels": ["sms"]}))
    assert not any(row["explored"] for row in plain)


def test_what_the_service_does_by_itself_refuses_no_request(client_of: ClientOf, store: Store) -> None:
    """A queue of last week is no decision of today, and one of calls alone has nothing to explore."""
    client = client_of(AS_OF + 7 * DAY, exploration=Exploration(0.2, ("sms", "email"), ""), log_decisions=True)
    rows = rows_of_pages(pages(client, as_of=format_instant(AS_OF)))
    assert rows
    assert not decisions_of(store)
    calls = rows_of_pages(pages(client, capacities={"call": 20}))
    assert calls
    assert not any(row["explored"] for row in calls)
