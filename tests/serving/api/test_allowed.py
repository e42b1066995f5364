"""`/v1/allowed`: what the rules say at the moment of dialling, with all that is known by then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.contract import CHANNELS
from features.units import DAY, HOUR, SECOND, format_instant, parse_instant
from serving.api.application import application
from serving.api.calls import Serving
from serving.client import Client
from serving.contact_rules.packs import named_packs, pack_called
from serving.contact_rules.rules import blocked_until
from serving.contact_rules.windows import hours_against
from serving.languages.language import language_called
from serving.scoring import not_live
from serving.store.database import Store
from serving.store.replay import last_answers, replay
from tests.serving.api.conftest import ClientOf
from tests.serving.api.test_client import client_over
from tests.serving.small import AS_OF, small_bundle, small_histories

#: 10:00 of a Wednesday in New York.
NOON = parse_instant("2026-06-10T14:00:00Z")


def asked(client: Any, *pairs: tuple[str, str], as_of: int | None = None) -> list[dict[str, Any]]:
    body: dict[str, Any] = {"pairs": [{"account_id": account, "channel": channel} for account, channel in pairs]}
    answer = client.post("/v1/allowed", json=body | ({} if as_of is None else {"as_of": format_instant(as_of)}))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["pairs"]
    assert [(one["account_id"], one["channel"]) for one in found] == list(pairs)
    return found


def send(client: Any, **tables: list[dict[str, Any]]) -> None:
    answer = client.post("/v1/events", json=tables)
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejects"] == []


def account(name: str, **more: str) -> dict[str, Any]:
    return {"account_id": name, "opened_at": "2026-01-01", "due_on": None, "balance": 900, "segment": "card", **more}


def calls(name: str, *at: int, outcome: str = "no_answer") -> list[dict[str, Any]]:
    return [{"account_id": name, "at": format_instant(one), "channel": "call", "outcome": outcome} for one in at]


def rules_of(found: dict[str, Any]) -> list[str]:
    return [one["rule"] for one in found["rules"]]


def test_the_words_of_rules_are_in_the_language_asked_for(client_of: ClientOf) -> None:
    client, night = client_of(now=AS_OF + 12 * HOUR), {}
    pairs = [("nobody", "call"), *((f"A{number:05d}", "sms") for number in range(40))]
    for tag in ("en", "zh-Hans"):
        body = {"pairs": [{"account_id": one, "channel": channel} for one, channel in pairs], "language": tag}
        night[tag] = [rule for pair in client.post("/v1/allowed", json=body).json()["pairs"] for rule in pair["rules"]]
    assert {one["rule"] for one in night["en"]} > {"unknown_account", "not_live"}
    for english, chinese in zip(night["en"], night["zh-Hans"], strict=True):
        assert chinese["words"] == language_called("zh-Hans").gettext(english["words"]) != english["words"]
        assert english | {"words": ""} == chinese | {"words": ""}
    wrong = {"pairs": [{"account_id": "A00000", "channel": "sms"}], "language": "tlh"}
    assert client.post("/v1/allowed", json=wrong).status_code == 400


def test_every_pair_is_allowed_when_no_rule_and_no_hours_forbid_it(client_of: ClientOf) -> None:
    histories, rows = small_histories(), np.arange(60)
    until = blocked_until(histories, rows, AS_OF, of_person=True)
    dead = set(not_live(histories, AS_OF)["account_id"])
    pairs = [(str(histories.accounts.account_id[row]), channel) for row in rows for channel in CHANNELS]
    found = iter(asked(client_of(), *pairs))
    n_allowed = 0
    for row, pack in zip(rows, map(pack_called, named_packs(histories, rows)), strict=True):
        zone = str(histories.timezones[row])
        for place, channel in enumerate(CHANNELS):
            one = next(found)
            closed = hours_against(AS_OF, zone, pack, channel)
            if one["account_id"] in dead:
                assert rules_of(one) == ["not_live"]
                continue
            assert one["allowed"] == (until[row, place] <= AS_OF and not closed)
            assert one["allowed"] == (not one["rules"])
            if one["allowed"]:
                assert parse_instant(one["next_allowed_at"]) == AS_OF
                n_allowed += 1
            elif one["next_allowed_at"] is not None:
                first = parse_instant(one["next_allowed_at"])
                assert first >= max(AS_OF + 1, until[row, place])
                assert parse_instant(one["not_before"]) <= first < parse_instant(one["not_after"])
                assert not hours_against(first, zone, pack, channel)
    assert 50 < n_allowed < len(pairs)


def test_what_was_done_since_the_queue_counts(client_of: ClientOf) -> None:
    client = client_of(NOON)
    send(client, accounts=[account("US", timezone="America/New_York", jurisdiction="us-reg-f")])
    week = [NOON - day * DAY for day in range(6, -1, -1)]
    send(client, contacts=calls("US", *(at - HOUR for at in week[:-1])))
    (before,) = asked(client, ("US", "call"))
    assert (before["allowed"], before["rules"]) == (True, [])
    assert (before["not_before"], before["not_after"]) == ("2026-06-10T08:00:00-04:00", "2026-06-10T21:00:00-04:00")
    send(client, contacts=calls("US", NOON - HOUR))
    (seven, other) = asked(client, ("US", "call"), ("US", "sms"))
    assert (seven["allowed"], rules_of(seven)) == (False, ["us-reg-f-7-in-7"])
    assert seven["rules"][0]["source"].startswith("12 CFR 1006.14")
    assert seven["rules"][0]["until"] == "2026-06-11T04:00:00Z"
    assert seven["next_allowed_at"] == "2026-06-11T08:00:00-04:00"
    assert other["allowed"]
    send(client, contacts=calls("US", NOON - HOUR // 2, outcome="promise"))
    (talked,) = asked(client, ("US", "call"))
    assert rules_of(talked) == ["us-reg-f-7-in-7", "us-reg-f-conversation"]
    assert talked["next_allowed_at"] == "2026-06-17T08:00:00-04:00"
    # What became known since is not of the moment before.
    assert asked(client, ("US", "call"), as_of=NOON - HOUR // 2)[0]["next_allowed_at"] == "2026-06-11T08:00:00-04:00"


def test_at_night_the_hours_forbid_and_say_when_they_open(client_of: ClientOf) -> None:
    client = client_of(NOON)
    send(client, accounts=[account("AU", timezone="Australia/Sydney", jurisdiction="au-accc-asic")])
    (call, visit) = asked(client, ("AU", "call"), ("AU", "visit"))
    assert (rules_of(call), rules_of(visit)) == (["au-workdays"], ["au-workdays", "au-visits"])
    assert call["next_allowed_at"] == "2026-06-11T07:30:00+10:00"
    assert call["rules"][0]["until"] == "2026-06-10T21:30:00Z"
    assert visit["next_allowed_at"] == "2026-06-11T09:00:00+10:00"


def test_a_persons_other_debts_count_where_the_rule_is_per_person(client_of: ClientOf) -> None:
    client = client_of(NOON)
    place = {"timezone": "Asia/Shanghai", "jurisdiction": "cn-gbt-45251-2025"}
    send(client, accounts=[account(name, person_id="P", **place) for name in ("C1", "C2")])
    send(client, accounts=[account("C3", person_id="Q", **place)])
    morning = parse_instant("2026-06-10T02:00:00Z")
    send(client, contacts=calls("C1", morning, morning + HOUR, outcome="refusal"))
    send(client, contacts=calls("C2", morning + HOUR // 2, outcome="third_party"))
    now = morning + 2 * HOUR
    first, second, other = asked(client, ("C1", "call"), ("C2", "call"), ("C3", "call"), as_of=now)
    assert rules_of(first) == rules_of(second) == ["cn-gbt-3-a-day"]
    assert second["next_allowed_at"] == "2026-06-11T08:00:00+08:00"
    assert other["allowed"]
    shown = client.get("/v1/accounts/C2", params={"as_of": format_instant(now)}).json()
    assert shown["why_blocked"] == "call: 3 calls a day that were answered (cn-gbt-3-a-day)"
    assert [one["channel"] for one in shown["actions"] if not one["allowed"]] == ["call"]
    queue = client.post("/v1/queue", json={"capacities": {"call": 500}, "as_of": format_instant(now)}).json()
    assert not {"C1", "C2"} & {row["account_id"] for row in queue["rows"]}


def test_a_score_goes_by_its_own_debt_so_that_it_can_be_replayed(client_of: ClientOf, store: Store) -> None:
    client = client_of(NOON)
    place = {"timezone": "Asia/Shanghai", "jurisdiction": "cn-gbt-45251-2025", "person_id": "P"}
    send(client, accounts=[account("C1", **place), account("C2", **place)])
    answered = [NOON - HOUR - minute * SECOND for minute in range(3)]
    send(client, contacts=calls("C1", *answered, outcome="refusal"))
    alone, both = (client.post("/v1/score", json={"account_ids": ids}).json() for ids in (["C2"], ["C1", "C2"]))
    assert alone["scores"][0] == both["scores"][1]
    queue = client.post("/v1/queue", json={"capacities": {"sms": 500}}).json()
    assert {"C1", "C2"} <= {row["account_id"] for row in queue["rows"]}
    for answer_id in last_answers(store, 3):
        found = replay(store, answer_id, lambda _: small_bundle())
        assert (found.differences, found.impossible) == ((), ())
        one = replay(store, answer_id, lambda _: small_bundle(), "C2")
        assert (one.same, one.differences) == (1, ())


def test_who_has_paid_is_not_known_or_restricted_is_not_to_be_contacted(client_of: ClientOf) -> None:
    client = client_of(NOON)
    here = {"timezone": "America/New_York"}
    send(client, accounts=[account("PAID", **here), account("DEAD", **here)])
    send(client, payments=[{"account_id": "PAID", "at": format_instant(NOON - HOUR), "amount": 900}])
    send(client, restrictions=[{"account_id": "DEAD", "at": format_instant(NOON - HOUR), "kind": "deceased"}])
    found = asked(client, ("PAID", "sms"), ("DEAD", "sms"), ("nobody", "sms"))
    assert [rules_of(one) for one in found] == [["not_live"], ["deceased"], ["unknown_account"]]
    assert [one["next_allowed_at"] for one in found] == [None] * 3
    assert not any(one["allowed"] for one in found)


@pytest.mark.parametrize(
    "body",
    [
        {"pairs": []},
        {"pairs": [{"account_id": "A00001", "channel": "phone"}]},
        {"pairs": [{"account_id": "A00001"}]},
        {"pairs": [{"account_id": "A00001", "channel": "call"}] * 1_001},
        {"pairs": [{"account_id": "A00001", "channel": "call"}], "as_of": "2126-01-01"},
        {"pairs": [{"account_id": "A00001", "channel": "call"}], "now": True},
    ],
)
def test_what_is_no_question_is_refused(client_of: ClientOf, body: dict[str, Any]) -> None:
    assert client_of().post("/v1/allowed", json=body).status_code == 400


def test_the_client_asks_too(client_of: ClientOf) -> None:
    recoup: Client = client_over(client_of())
    (one, two) = recoup.allowed([("A00001", "call"), ("nobody", "visit")]).pairs
    assert (one.account_id, one.channel, two.rules[0].rule) == ("A00001", "call", "unknown_account")


def test_without_a_store_there_is_nothing_to_ask(engine: Any) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    serving = Serving(lambda: engine, lambda: AS_OF)
    client = TestClient(Starlette(routes=[Mount("/v1", application(serving))]), base_url="http://recoup")
    body = {"pairs": [{"account_id": "A", "channel": "call"}]}
    assert client.post("/v1/allowed", json=body).json()["error"]["code"] == "no_store"
