"""The queue against HiGHS; capacities, holds, and where every account ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from features.contract import CHANNELS
from features.histories import Histories
from features.settings import ChannelSettings
from features.units import parse_instant
from serving.contact_rules.packs import named_packs, pack_called, rule_packs
from serving.contact_rules.restrictions import FREE
from serving.contact_rules.rules import blocked_until, forbidden
from serving.contact_rules.windows import hours_against
from serving.day import Scenario
from serving.exploration import Exploration
from serving.languages.language import ENGLISH
from serving.queue import HELD_COLUMNS, NOT_REACHED, Queue, build_queue, with_reasons
from serving.scoring import Scorer, prepare_scorer, rows_of, score
from tests.serving.small import AS_OF, COSTS, KNOWN, NONE_KNOWN, SETTINGS, histories_of, random_frames, small_bundle
from tests.serving.small import small_histories as histories

CAPACITIES = st.dictionaries(st.sampled_from(CHANNELS), st.sampled_from([0, 1, 2, 7, 40, 1000]))
COLUMNS = [
    *("rank", "account_id", "channel", "not_before", "not_after", "best_hour", "right_party_rate", "calls_at_hour"),
    *("priority", "expected_net", "uplift", "band", "p_pay", "expected_amount", "balance", "stage", "propensity"),
    *("explored", "history", "why_channel", "would_change", "reasons"),
]


@cache
def scorer_of(known: bool) -> Scorer:
    return prepare_scorer(small_bundle(KNOWN if known else NONE_KNOWN))


@cache
def scores_of(known: bool) -> pd.DataFrame:
    return score(scorer_of(known), histories(), AS_OF)


def queue_of(known: bool, capacities: dict[str, int], scores: pd.DataFrame | None = None) -> Queue:
    return build_queue(scorer_of(known), scores_of(known) if scores is None else scores, histories(), AS_OF, capacities)


def allowed_channels() -> dict[str, list[str]]:
    """The channels that no restriction forbids, by account."""
    free = blocked_until(histories(), np.arange(len(histories())), AS_OF) == FREE
    named = zip(histories().accounts.account_id, free, strict=True)
    return {account: [name for name, is_free in zip(CHANNELS, row, strict=True) if is_free] for account, row in named}


def pairs_of(known: bool, capacities: dict[str, int]) -> list[tuple[str, str, float]]:
    """All pairs of account and channel that add something, and what they add, by plain loops."""
    pairs, allowed = [], allowed_channels()
    for row in scores_of(known).to_dict("records"):
        worked = [name for name in allowed[row["account_id"]] if capacities.get(name)]
        if known:
            candidates = [name for name in worked if name in KNOWN]
            pairs += [(row["account_id"], name, row[f"value_{name}"] - row["value_none"]) for name in candidates]
        else:
            fallback = [name for name in ["call", *CHANNELS] if name in worked][:1]
            pairs += [(row["account_id"], name, row[f"value_{name}"]) for name in fallback]
    return [pair for pair in pairs if pair[2] > 0]


@settings(max_examples=60)
@given(known=st.booleans(), capacities=CAPACITIES)
def test_no_other_queue_adds_more(known: bool, capacities: dict[str, int]) -> None:
    """Against the linear programme of the queue, which HiGHS solves: with places of channels alone it is whole."""
    rows, pairs = queue_of(known, capacities).rows, pairs_of(known, capacities)
    adds = {(account, name): gain for account, name, gain in pairs}
    value = sum(adds[pair] for pair in zip(rows["account_id"], rows["channel"], strict=True))
    accounts, names = sorted({pair[0] for pair in pairs}), sorted({pair[1] for pair in pairs})
    among = np.array([[account == one for account, _, _ in pairs] for one in accounts]
                     + [[channel == one for _, channel, _ in pairs] for one in names])  # fmt: skip
    limits = [1] * len(accounts) + [capacities[name] for name in names]
    best = linprog([-pair[2] for pair in pairs], among, limits, bounds=(0, 1)).fun if pairs else 0.0
    assert value == pytest.approx(-best, rel=1e-7)


@settings(max_examples=30)
@given(capacities=CAPACITIES)
def test_where_no_effect_is_known_each_channel_takes_those_of_whom_most_is_expected(capacities: dict[str, int]) -> None:
    rows = queue_of(False, capacities).rows
    pairs = sorted(pairs_of(False, capacities), key=lambda pair: (-pair[2], pair[0]))
    for name in CHANNELS:
        of_channel = [account for account, channel, _ in pairs if channel == name]
        assert rows.loc[rows["channel"] == name, "account_id"].tolist() == of_channel[: capacities.get(name, 0)]


@settings(max_examples=60)
@given(known=st.booleans(), capacities=CAPACITIES)
def test_capacities_and_holds_are_kept_and_every_account_ends_once(known: bool, capacities: dict[str, int]) -> None:
    queue, allowed = queue_of(known, capacities), allowed_channels()
    used = Counter(queue.rows["channel"])
    assert all(number <= capacities.get(name, 0) for name, number in used.items())
    assert queue.rows["account_id"].is_unique
    assert all(
        name in allowed[account] for account, name in zip(queue.rows["account_id"], queue.rows["channel"], strict=True)
    )
    live = set(scores_of(known)["account_id"])
    assert set(queue.held["account_id"]) == {account for account in live if not allowed[account]}
    assert not set(queue.held["account_id"]) & set(queue.rows["account_id"])
    counts = dict(queue.counts)
    assert counts.pop("live") == len(live) == sum(counts.values())
    assert set(counts) == {"queued", "held", *NOT_REACHED}


@given(known=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_the_order_of_the_scores_says_nothing(known: bool, seed: int) -> None:
    shuffled = scores_of(known).sample(frac=1, random_state=seed)
    first, second = (queue_of(known, {"call": 40, "sms": 10}, scores) for scores in (None, shuffled))
    pd.testing.assert_frame_equal(first.rows, second.rows)
    pd.testing.assert_frame_equal(first.held, second.held)


def test_the_rows_are_in_order_of_what_working_them_adds_less_the_price_of_the_place() -> None:
    queue = queue_of(True, {"call": 60, "sms": 10, "visit": 3})
    rows = queue.rows
    assert list(rows) == COLUMNS
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert (rows["uplift"] > 0).all()
    prices = queue.prices
    assert list(prices) == ["sms", "call"]
    assert (rows["uplift"] - rows["channel"].map(prices)).is_monotonic_decreasing
    values = scores_of(True).set_index("account_id").loc[rows["account_id"]]
    worth = [values[f"value_{name}"].iloc[place] for place, name in enumerate(rows["channel"])]
    assert rows["expected_net"].tolist() == worth


def value_of(queue: Queue) -> float:
    return float(queue.rows["uplift"].sum())


def test_a_price_is_what_one_more_place_adds() -> None:
    plan = {"call": 60, "sms": 10}
    queue = queue_of(True, plan)
    assert all(price > 0 for price in queue.prices.values())
    for name, price in queue.prices.items():
        more, less = (value_of(queue_of(True, {**plan, name: plan[name] + change})) for change in (1, -1))
        assert more - value_of(queue) <= price * (1 + 1e-9) <= (value_of(queue) - less) * (1 + 1e-6)
    assert queue_of(True, {"call": 1000, "sms": 1000}).prices == {"sms": 0, "call": 0}


def test_an_alternative_brings_what_its_queue_brings() -> None:
    plan, other, nothing = {"call": 20, "sms": 10}, {"call": 60, "sms": 10}, {"call": 0, "sms": 10}
    queue = queue_of(True, plan)
    scenarios = tuple(map(Scenario, (other, nothing, plan)))
    asked = build_queue(scorer_of(True), scores_of(True), histories(), AS_OF, plan, alternatives=scenarios)
    pd.testing.assert_frame_equal(asked.rows, queue.rows)
    for found, capacities in zip(asked.what_if, (other, nothing, plan), strict=True):
        expected = queue_of(True, capacities)
        assert found.capacities == capacities
        assert found.value == pytest.approx(value_of(expected))
        assert found.difference == pytest.approx(value_of(expected) - value_of(queue))
        counts = expected.rows["channel"].value_counts()
        assert found.rows == {name: counts.get(name, 0) for name in ("sms", "call")}
        assert found.prices == expected.prices
    assert asked.what_if[0].difference > 0 > asked.what_if[1].difference
    assert asked.what_if[2].difference == 0
    explored = Exploration(0.2, ("sms",), "")
    drawn = build_queue(scorer_of(True), scores_of(True), histories(), AS_OF, plan, explored, scenarios[:1])
    assert drawn.what_if == asked.what_if[:1]


def test_where_no_effect_is_known_the_order_is_by_the_money_expected_and_a_note_says_so() -> None:
    queue = queue_of(False, {"call": 50})
    assert set(queue.rows["channel"]) == {"call"}
    assert queue.rows["uplift"].isna().all()
    assert queue.rows["expected_net"].is_monotonic_decreasing
    assert "cannot tell what each channel achieves" in queue.notes[0]


def test_equal_gains_go_by_account_and_then_by_the_cheaper_channel() -> None:
    scores = scores_of(True).assign(value_none=0.0, value_call=5.0, value_sms=5.0)
    rows = queue_of(True, {"call": 3, "sms": 3}, scores).rows
    assert rows["account_id"].is_monotonic_increasing
    assert rows["channel"].tolist()[:3] == ["sms", "sms", "sms"]


def test_a_channel_that_is_switched_off_is_not_used() -> None:
    channels = tuple(ChannelSettings(name, COSTS[name], enabled=name != "call") for name in CHANNELS)
    without = histories_of(random_frames(), replace(SETTINGS, channels=channels))
    scorer = scorer_of(True)
    queue = build_queue(scorer, score(scorer, without, AS_OF), without, AS_OF, {"call": 50, "sms": 50})
    assert set(queue.rows["channel"]) == {"sms"}


def test_the_held_back_have_their_reason_and_when_contact_is_allowed_again() -> None:
    held = queue_of(True, {"call": 50}).held
    assert tuple(held) == HELD_COLUMNS
    assert (held["why"] != "").all()
    again = held["next_allowed_at"].dropna()
    assert 0 < len(again) < len(held)
    assert all(datetime.fromisoformat(text).timestamp() * 1e6 > AS_OF for text in again)


def test_an_account_without_channels_is_let_go_by_the_first_that_ends() -> None:
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    accounts = random_frames()["accounts"].iloc[:1].assign(account_id="A", placed_at=opened, opened_at=opened,
                                                           timezone="Asia/Shanghai")  # fmt: skip
    ends = dict.fromkeys(CHANNELS, "2026-06-01") | {"visit": "2026-05-01T22:00:00+08:00"}
    blocks = [
        {"account_id": "A", "at": opened, "kind": "channel_opt_out", "channel": name, "until": end}
        for name, end in ends.items()
    ]
    frames = {
        "accounts": accounts,
        "contacts": pd.DataFrame(),
        "payments": pd.DataFrame(),
        "restrictions": pd.DataFrame(blocks),
    }
    blocked = histories_of(frames)
    scorer = scorer_of(True)
    held = build_queue(scorer, score(scorer, blocked, AS_OF), blocked, AS_OF, {"call": 5}).held
    assert held["next_allowed_at"].tolist() == ["2026-05-02T09:00:00+08:00"]
    assert set(held["why"][0].split("; ")) == {
        f"{ENGLISH.channel(name)}: opted out (channel_opt_out)" for name in CHANNELS
    }


def test_the_window_is_that_of_the_accounts_zone_and_rule_pack() -> None:
    rows = queue_of(True, {"call": 1000}).rows
    accounts = histories().accounts
    zones = histories().timezones
    for place, row in zip(rows_of(histories(), rows["account_id"]), rows.to_dict("records"), strict=True):
        end = "19:00" if accounts.jurisdiction[place] == "nowhere" else "21:00"
        assert (row["not_before"][11:16], row["not_after"][11:16]) == ("09:00", end)
        offsets = {"Asia/Shanghai": "+08:00", "America/New_York": "-04:00", "Europe/Berlin": "+02:00"}
        assert row["not_after"].endswith(offsets[zones[place]])


@cache
def under_rules(seed: int) -> tuple[Histories, Queue]:
    """A queue of accounts under all rule packs, some of them of one person, in zones that may not be known."""
    draw, frames = np.random.default_rng(seed), random_frames(200, seed)
    accounts = frames["accounts"]
    names = draw.choice([*rule_packs(), "nowhere"], len(accounts))
    persons = np.array([f"P{number}" for number in draw.integers(0, len(accounts) // 2, len(accounts))], dtype=object)
    persons[draw.random(len(accounts)) < 0.3] = None
    somewhere = draw.choice(["UTC", "America/St_Johns", "Asia/Kolkata", "Australia/Sydney"], len(accounts))
    frames["accounts"] = accounts.assign(jurisdiction=names, person_id=persons, timezone=somewhere)
    contacts = frames["contacts"]
    recent = pd.Timestamp(AS_OF, unit="us", tz="UTC") - pd.to_timedelta(draw.exponential(3, len(contacts)), "D")
    frames["contacts"] = contacts.assign(at=recent)
    of = histories_of(frames)
    capacities = dict.fromkeys(CHANNELS, 30) | {"call": 60}
    return of, build_queue(scorer_of(True), score(scorer_of(True), of, AS_OF), of, AS_OF, capacities)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_row_of_the_queue_breaks_a_rule_and_every_account_held_back_has_one_that_does(seed: int) -> None:
    of, queue = under_rules(seed)
    assert len(queue.rows) > 20
    place = dict(zip(of.accounts.account_id, range(len(of)), strict=True))
    for row in queue.rows.to_dict("records"):
        one = np.array([place[row["account_id"]]])
        assert row["channel"] not in {rule.channel for rule in forbidden(of, one, AS_OF, of_person=True)[0]}
        zone, pack = str(of.timezones[one[0]]), pack_called(named_packs(of, one)[0])
        begin, end = (parse_instant(row[name]) for name in ("not_before", "not_after"))
        assert end > AS_OF
        for instant in (max(begin, AS_OF), (begin + end) // 2, end - 1):
            assert not hours_against(instant, zone, pack, row["channel"])
    told = set()
    for row in queue.held.to_dict("records"):
        one = np.array([place[row["account_id"]]])
        rules = forbidden(of, one, AS_OF, of_person=True)[0]
        assert row["why"] == "; ".join(dict.fromkeys(map(str, rules)))
        told |= {rule.rule for rule in rules}
        if row["next_allowed_at"] is not None:
            first = parse_instant(row["next_allowed_at"])
            until = blocked_until(of, one, AS_OF, of_person=True)[0]
            zone, pack = str(of.timezones[one[0]]), pack_called(named_packs(of, one)[0])
            free = [name for name, end in zip(CHANNELS, until, strict=True) if end <= first]
            assert any(not hours_against(first, zone, pack, name) for name in free)
            assert not any(
                end < first and not hours_against(first - 1, zone, pack, name)
                for name, end in zip(CHANNELS, until, strict=True)
            )
    assert told & {"au-3-a-week", "us-ma-2-in-7"}, "some are held by a limit, or the test says nothing"


def test_an_unknown_rule_pack_is_noted() -> None:
    assert any("there is no rule pack 'nowhere'" in note for note in queue_of(True, {"call": 1}).notes)


def test_reasons_fill_the_head_and_leave_the_rest_blank() -> None:
    queue = with_reasons(queue_of(True, {"call": 5}), ["+ one", "- two"])
    assert queue.rows["reasons"].tolist() == ["+ one", "- two", "", "", ""]


@pytest.mark.parametrize("known", [True, False])
def test_a_queue_may_be_empty(known: bool) -> None:
    queue = queue_of(known, {})
    assert len(queue.rows) == 0
    assert list(queue.rows) == COLUMNS
    assert queue.counts["no_channel"] == queue.counts["live"] - queue.counts["held"]
