"""`/v1/accounts/{id}`: the score of the batch, and contributions that add up to it exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from features.settings import QueueRules
from features.units import parse_instant
from serving.api.application import application
from serving.api.calls import Serving
from serving.contact_rules.rules import reasons_held
from serving.engine import Engine
from serving.history_lines import history_lines
from serving.ladder.policy import shipped_ladders
from serving.ladder.rungs import Closed, rungs_of
from serving.languages.language import ENGLISH, language_called
from serving.scoring import not_live, prepare_scorer, scored
from serving.store.database import Store
from tests.serving.api.conftest import ClientOf
from tests.serving.small import AS_OF, random_frames, small_bundle, small_histories
from training.bundle import P_PAY

LIVE = scored(prepare_scorer(small_bundle()), small_histories(), AS_OF, keep_features=True)


def shown(client_of: ClientOf, account_id: str, **query: str) -> dict[str, Any]:
    response = client_of().get(f"/v1/accounts/{account_id}", params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_account_has_its_score_and_contributions_that_add_up_to_it(client_of: ClientOf, place: int) -> None:
    answer = shown(client_of, LIVE.account_id[place])
    assert answer["score"]["p_pay"] == LIVE.predictions.p_pay[place]
    assert LIVE.features is not None
    raw = small_bundle().models[P_PAY].predict(LIVE.features[[place]], raw_score=True)[0]
    assert np.isclose(answer["base"] + sum(one["contribution"] for one in answer["contributions"]), raw)
    assert [one["value"] for one in answer["actions"]] == LIVE.choice.value[place].tolist()
    assert [one["allowed"] for one in answer["actions"]] == LIVE.allowed[place].tolist()
    assert answer["facts"]["balance"] == LIVE.balance[place]
    assert answer["answer_id"] is not None


def test_blocked_accounts_say_why(client_of: ClientOf) -> None:
    held = LIVE.account_id[~LIVE.allowed[:, :-1].any(axis=1)][:3]
    assert len(held)
    for account_id in held:
        answer = shown(client_of, account_id)
        assert answer["why_blocked"]
        assert answer["facts"]["restrictions"]
        assert answer["next_allowed_at"] is None or parse_instant(answer["next_allowed_at"]) > AS_OF


def test_an_account_shows_which_rungs_of_the_ladder_are_open_to_it(engine: Engine, store: Store) -> None:
    under = replace(engine, settings=replace(engine.settings, queue=QueueRules(ladder="default")))
    ladder, histories = shipped_ladders()["default"], small_histories()

    def client(one: Engine) -> TestClient:
        return TestClient(Starlette(routes=[Mount("/v1", application(Serving(lambda: one, lambda: AS_OF, store)))]))

    clients = [client(engine), client(under)]
    for row in LIVE.rows[:20]:
        free, shown = (one.get(f"/v1/accounts/{histories.accounts.account_id[row]}").json() for one in clients)
        assert free["rungs"] == []
        assert [one["rung"] for one in shown["rungs"]] == [rung.id for rung in ladder.rungs]
        why = rungs_of(ladder, histories, np.array([row]), AS_OF).why[0]
        assert [one["open"] for one in shown["rungs"]] == (why == Closed.OPEN).tolist()
        assert [one["why"] for one in shown["rungs"] if not one["open"]] == [Closed(w).words for w in why if w]


def test_what_is_told_is_in_the_language_asked_for(client_of: ClientOf) -> None:
    histories, chinese = small_histories(), language_called("zh-Hans")
    rows = LIVE.rows[[0, int((~LIVE.allowed[:, :-1].any(axis=1)).argmax())]]
    whys = reasons_held(histories, rows, AS_OF, of_person=True, language=chinese)
    lines = {one: history_lines(histories, rows, AS_OF, one) for one in (ENGLISH, chinese)}
    for place, row in enumerate(rows):
        answer, english = (
            shown(client_of, histories.accounts.account_id[row], **query) for query in ({"language": "zh-Hans"}, {})
        )
        assert (answer["history"], english["history"]) == (lines[chinese][place], lines[ENGLISH][place])
        assert answer["why_blocked"] == (whys[place] if english["why_blocked"] else None)
        # The portfolio's own words are the same in every language.
        pairs = [pair for pair in zip(answer["reasons"], english["reasons"], strict=True) if pair[1]["reason"]]
        assert all(
            one["reason"] != other["reason"] for one, other in pairs if not other["topic"].startswith("attribute_")
        )
        assert bool(place) == bool(english["why_blocked"])


def test_a_language_that_there_is_not_is_refused(client_of: ClientOf) -> None:
    refused = client_of().get(f"/v1/accounts/{LIVE.account_id[0]}", params={"language": "tlh"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "settings")


def test_what_was_not_known_yet_is_not_shown(client_of: ClientOf) -> None:
    account_id = LIVE.account_id[0]
    facts = shown(client_of, account_id, as_of="2025-01-01")["facts"]
    assert [facts[name] for name in ("contacts", "payments", "promises", "restrictions")] == [[], [], [], []]
    all_contacts = random_frames()["contacts"]
    assert shown(client_of, account_id)["facts"]["contacts"]
    assert (all_contacts["account_id"] == account_id).any()


def test_an_account_that_is_not_live_has_facts_and_no_score(client_of: ClientOf) -> None:
    other = not_live(small_histories(), AS_OF).iloc[0]
    answer = shown(client_of, other["account_id"])
    assert (answer["score"], answer["not_scored"], answer["actions"]) == (None, other["why"], [])
    assert answer["answer_id"] is None


def test_promises_are_kept_broken_or_open(client_of: ClientOf) -> None:
    states = {
        promise["state"]
        for account_id in LIVE.account_id[:40]
        for promise in shown(client_of, account_id)["facts"]["promises"]
    }
    assert states <= {"kept", "broken", "open"}
    assert len(states) > 1


def test_an_account_that_is_not_there_is_not_found(client_of: ClientOf) -> None:
    response = client_of().get("/v1/accounts/nobody")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_an_account_is_erased_and_the_ledger_keeps_its_figures(client_of: ClientOf) -> None:
    client, account_id = client_of(), LIVE.account_id[0]
    assert client.post("/v1/score", json={"account_ids": [account_id]}).json()["scores"]
    erased = client.delete(f"/v1/accounts/{account_id}")
    assert erased.status_code == 200
    assert erased.json()["ledger"] == 1
    assert erased.json()["histories"] > 0
    assert client.get(f"/v1/accounts/{account_id}").status_code == 404
    assert client.delete(f"/v1/accounts/{account_id}").status_code == 404
    again = client.post("/v1/score", json={"account_ids": [account_id]}).json()
    assert again["not_scored"] == [{"account_id": account_id, "why": "unknown"}]
