"""Accounts that come first: who they are, and that the queue gives them what there is before all others."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from features.contract import PROMISE_GRACE_DAYS
from features.histories import Histories
from features.settings import QueueRules, parse_settings
from features.units import DAY, format_instant, parse_instant
from serving.contact_rules.rules import blocked_until
from serving.due import due_accounts, just_broken, last_seen
from serving.exploration import Exploration
from serving.queue import Queue, build_queue
from serving.scoring import actions_of, allowed_actions, prepare_scorer, rows_of, score
from serving.store.portfolio import settings_toml
from tests.serving.small import AS_OF, KNOWN, SETTINGS, histories_of, random_frames, small_bundle, small_histories

SCORER = prepare_scorer(small_bundle(KNOWN))
BOTH = QueueRules(broken_promise_first=True, unseen_days=20, unseen_balance=500.0, unseen_share=0.3)


@cache
def histories() -> Histories:
    """The small portfolio; twenty accounts have just broken a promise."""
    frames = random_frames()
    due = format_instant(AS_OF - PROMISE_GRACE_DAYS * DAY)[:10]
    promises = [{"account_id": account, "made_at": "2026-03-20", "due_on": due, "amount": 1e6}
                for account in frames["accounts"]["account_id"][::15]]  # fmt: skip
    frames["promises"] = pd.concat([frames["promises"].astype(str), pd.DataFrame(promises).astype(str)])
    return histories_of(frames)


@cache
def scores() -> pd.DataFrame:
    return score(SCORER, histories(), AS_OF)


def histories_with(rules: QueueRules) -> Histories:
    """The same, under rules that let some come first."""
    return replace(histories(), settings=replace(SETTINGS, queue=rules))


def queue_of(rules: QueueRules, capacities: dict[str, int], exploration: Exploration | None = None) -> Queue:
    return build_queue(SCORER, scores(), histories_with(rules), AS_OF, capacities, exploration)


def may_have(histories: Histories) -> dict[str, set[str]]:
    """The channels of known effect through which each live account may be contacted."""
    actions = actions_of(SCORER.bundle, histories.settings)
    rows = rows_of(histories, scores()["account_id"])
    allowed = allowed_actions(blocked_until(histories, rows, AS_OF), AS_OF, actions) & actions.supported
    return {
        account: {name for name, one in zip(actions.names[:-1], row, strict=False) if one}
        for account, row in zip(scores()["account_id"], allowed, strict=True)
    }


def test_a_promise_is_just_broken_on_the_day_after_its_grace() -> None:
    frames = random_frames(3)
    promise = {"made_at": "2026-03-01", "due_on": "2026-03-20", "amount": 50}
    frames["promises"] = pd.DataFrame([{**promise, "account_id": "A00001"}, {**promise, "account_id": "A00002"}])
    frames["payments"] = pd.DataFrame([{"account_id": "A00002", "at": "2026-03-02", "amount": 80}])
    packed, due = histories_of(frames), parse_instant("2026-03-20T12:00:00")
    found = {day: just_broken(packed, due + day * DAY).tolist() for day in range(-20, 20)}
    assert {day: who for day, who in found.items() if any(who)} == {PROMISE_GRACE_DAYS: [False, True, False]}


def test_the_last_contact_is_the_latest_that_is_known() -> None:
    frames, as_of = random_frames(), pd.Timestamp(AS_OF, unit="us", tz="UTC")
    contacts = frames["contacts"]
    latest = contacts[contacts["at"] < as_of].groupby("account_id")["at"].max()
    seen = last_seen(small_histories(), AS_OF)
    for account, placed, at in zip(
        small_histories().accounts.account_id, small_histories().accounts.placed_at, seen, strict=True
    ):
        expected = latest[account].value // 1000 if account in latest.index else placed
        assert at == max(expected, placed)


def test_nobody_comes_first_unless_the_settings_say_so() -> None:
    rows = np.arange(len(small_histories()))
    due = due_accounts(small_histories(), rows, AS_OF)
    assert not due.broken.any()
    assert not due.unseen.any()
    assert due.notes() == []


def first_accounts(rules: QueueRules) -> tuple[set[str], set[str]]:
    histories = histories_with(rules)
    due = due_accounts(histories, rows_of(histories, scores()["account_id"]), AS_OF)
    ids = scores()["account_id"].to_numpy(object)
    return set(ids[due.broken]), set(ids[due.unseen])


@pytest.mark.parametrize("exploration", [None, Exploration(0.2, ("sms",), "")])
@pytest.mark.parametrize("places", [(60, 40), (25, 25), (6, 4), (0, 30), (0, 0)])
def test_who_is_due_comes_first_as_far_as_there_are_places(
    places: tuple[int, int], exploration: Exploration | None
) -> None:
    capacities = dict(zip(("call", "sms"), places, strict=True))
    broken, unseen = first_accounts(BOTH)
    rows = queue_of(BOTH, capacities, exploration if places[1] else None).rows
    accounts, allowed = rows["account_id"].tolist(), may_have(histories())
    assert all(number <= capacities[name] for name, number in Counter(rows["channel"]).items())
    could = {one for one in broken if allowed[one] & {name for name, number in capacities.items() if number}}
    n_first = next((place for place, one in enumerate(accounts) if one not in broken | unseen), len(accounts))
    by_right = sum(int(BOTH.unseen_share * number) for number in places)
    if len(could) + by_right <= sum(places) / 2:
        assert could <= set(accounts[:n_first])
        assert len((broken | unseen) & set(accounts[:n_first])) >= by_right
    elif exploration is None:
        # There is less than they may have: nobody else has any of it, but what none of them can have.
        assert could <= set(accounts) or n_first == len(accounts) == sum(places)


@pytest.mark.parametrize("places", [8, 12, 20])
def test_places_that_no_draw_took_go_to_those_who_come_first(places: int) -> None:
    rules = QueueRules(broken_promise_first=True)
    broken, _ = first_accounts(rules)
    allowed = may_have(histories())
    could = {one for one in broken if "call" in allowed[one]}
    # A call that is drawn takes no more than the one by rule: all that was kept free is given by rule.
    worked = queue_of(rules, {"call": places}, Exploration(0.2, ("call",), "")).rows["account_id"].tolist()
    assert len(worked) == places
    assert set(worked) <= could or could <= set(worked[: len(could)])


def test_who_comes_first_and_finds_no_place_is_beyond_capacity() -> None:
    dear = {f"value_{name}": scores()["value_none"] - 1.0 for name in ("sms", "call")}
    histories = histories_with(QueueRules(broken_promise_first=True))
    queue = build_queue(SCORER, scores().assign(**dear), histories, AS_OF, {"call": 3})
    could = {one for one in first_accounts(histories.settings.queue)[0] if "call" in may_have(histories)[one]}
    assert set(queue.rows["account_id"]) < could
    assert (queue.counts["queued"], queue.counts["beyond_capacity"]) == (3, len(could) - 3)


def test_a_note_says_who_comes_first_and_the_rest_is_as_ever() -> None:
    broken, unseen = first_accounts(BOTH)
    queue = queue_of(BOTH, {"call": 60, "sms": 40})
    assert f"{len(broken)} accounts broke a promise since the day before, and come first" in queue.notes
    assert f"{len(unseen)} accounts were not seen for long, and have a right to 30% of the places" in queue.notes
    plain = queue_of(QueueRules(), {"call": 60, "sms": 40})
    assert len(plain.rows) == len(queue.rows)
    # What is done for its own sake costs something.
    assert plain.rows["uplift"].sum() > queue.rows["uplift"].sum()


def contacted_within(days: int) -> set[str]:
    """The accounts with an outbound contact in so many days before the moment, as known by then."""
    contacts, begin = random_frames()["contacts"], AS_OF - days * DAY
    at, now = pd.to_datetime(contacts["at"], utc=True), pd.Timestamp(AS_OF, unit="us", tz="UTC")
    recent = (at >= pd.Timestamp(begin, unit="us", tz="UTC")) & (at < now) & (contacts["direction"] != "inbound")
    return set(contacts.loc[recent, "account_id"])


@pytest.mark.parametrize("exploration", [None, Exploration(0.2, ("sms",), "")])
@pytest.mark.parametrize("days", [1, 5, 20])
def test_who_was_contacted_lately_rests_unless_she_comes_first(days: int, exploration: Exploration | None) -> None:
    capacities, rules = {"call": 200, "sms": 200}, QueueRules(rest_days=days)
    queue, plain = queue_of(rules, capacities, exploration), queue_of(QueueRules(), capacities)
    contacted = contacted_within(days)
    assert not contacted & set(queue.rows["account_id"])
    assert contacted & set(plain.rows["account_id"])
    assert queue.counts["resting"] == len((contacted & set(scores()["account_id"])) - set(queue.held["account_id"]))
    assert sum(queue.counts.values()) == 2 * queue.counts["live"]
    broken, _ = first_accounts(replace(rules, broken_promise_first=True))
    first = queue_of(replace(rules, broken_promise_first=True), capacities)
    assert contacted & set(first.rows["account_id"]) <= broken


def test_what_a_payer_is_worth_trades_money_for_payers() -> None:
    # The plan is the best for what the order goes by: more of the one is to be had for less of the other alone.
    money, payers = [], []
    wide = scores().set_index("account_id")
    for worth in (0.0, 20.0, 200.0, 5_000.0):
        rows = queue_of(QueueRules(payer_worth=worth), {"call": 30, "sms": 20}).rows
        of_rows = wide.loc[rows["account_id"]]
        p_pay = [of_rows[f"p_pay_{channel}"].iloc[place] for place, channel in enumerate(rows["channel"])]
        payers.append(float((np.array(p_pay) - of_rows["p_pay_none"].to_numpy()).sum()))
        money.append(float(rows["uplift"].sum()))
    assert payers == sorted(payers)
    assert money == sorted(money, reverse=True)
    assert payers[0] < payers[-1]


@pytest.mark.parametrize("rules", [QueueRules(), BOTH, QueueRules(rest_days=2, payer_worth=12.5)])
def test_the_rules_are_kept_with_the_settings_of_a_store(rules: QueueRules) -> None:
    settings = replace(SETTINGS, queue=rules)
    assert parse_settings(tomllib.loads(settings_toml(settings)), "") == settings
