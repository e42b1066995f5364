"""Capacities of teams, of hours and of money: the queue against HiGHS, and what holds whatever they are."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp

from features.contract import CHANNELS
from features.errors import SettingsError
from features.histories import Histories
from features.settings import NamedCapacity, PortfolioSettings, QueueRules, Where, parse_settings
from serving.allocation import Capacity
from serving.capacities import resolve_capacities
from serving.contact_rules.rules import blocked_until
from serving.day import Scenario
from serving.exploration import MOST, Exploration, check_exploration, draw, plan_exploration
from serving.queue import Queue, build_queue
from serving.scoring import Scorer, prepare_scorer, rows_of, score
from serving.store.portfolio import settings_toml
from tests.serving.small import AS_OF, COSTS, KNOWN, NONE_KNOWN, SETTINGS, small_bundle, small_histories
from training.hours import learn_hours

TEAM = NamedCapacity("cards", 9, ("call",), Where(segment=("card",)))
OTHERS = NamedCapacity("others", 25, ("call", "sms"), Where(segment=("loan", "telecom"), jurisdiction=("default",)))
EVENING = NamedCapacity("evening", 7, hours=(18, 21))
NOON = NamedCapacity("noon", 4, hours=(11, 19))
BUDGET = NamedCapacity("budget", 61.35, counts="cost")
ALL = (TEAM, OTHERS, EVENING, NOON, BUDGET)
PLAN: dict[str, float] = {"call": 60, "sms": 30}


@cache
def scorer_of(known: bool = True) -> Scorer:
    bundle = small_bundle(KNOWN if known else NONE_KNOWN)
    return prepare_scorer(replace(bundle, hours=learn_hours(small_histories(), AS_OF)))


@cache
def scores_of(known: bool = True) -> pd.DataFrame:
    return score(scorer_of(known), small_histories(), AS_OF)


def histories_with(capacities: tuple[NamedCapacity, ...]) -> Histories:
    rules = QueueRules(capacities=capacities)
    return replace(small_histories(), settings=replace(SETTINGS, queue=rules))


def queue_of(capacities: tuple[NamedCapacity, ...], limits: dict[str, float] = PLAN, **more: Any) -> Queue:
    return build_queue(scorer_of(), scores_of(), histories_with(capacities), AS_OF, limits, **more)


def hours_of(not_before: str, not_after: str) -> list[int]:
    """The whole hours of a window that are left, by plain loops."""
    opens, closes = datetime.fromisoformat(not_before), datetime.fromisoformat(not_after)
    now = datetime.fromtimestamp(AS_OF / 1e6, opens.tzinfo)
    return [hour for hour in range(opens.hour, closes.hour) if opens.replace(hour=hour, minute=0) >= now]


@cache
def windows() -> dict[str, list[int]]:
    """The hours at which each account that may be called may be: from a queue of everyone."""
    scores = scores_of().assign(value_none=-1e9, value_call=1e9)
    rows = build_queue(scorer_of(), scores, small_histories(), AS_OF, {"call": 10_000}).rows
    return {row["account_id"]: hours_of(row["not_before"], row["not_after"]) for row in rows.to_dict("records")}


def counted(one: NamedCapacity, account: str, channel: str, hour: int | None) -> float:
    """What a capacity counts of an action, by plain rules; `hour` is one of its hours, for calls."""
    histories, place = small_histories(), rows_of(small_histories(), pd.Series([account]))[0]
    segment = histories.levels[0][histories.accounts.categories[place, 0]]
    of = {"segment": segment, "jurisdiction": histories.accounts.jurisdiction[place]}
    if any(getattr(one.where, name) and value not in getattr(one.where, name) for name, value in of.items()):
        return 0.0
    if one.channels and channel not in one.channels:
        return 0.0
    if one.hours and (channel != "call" or hour is None or not one.hours[0] <= hour < one.hours[1]):
        return 0.0
    return COSTS[channel] if one.counts_money else 1.0


def pairs_of(capacities: tuple[NamedCapacity, ...]) -> list[tuple[str, str, int | None, float]]:
    """Account, channel, an hour of the part of the day, and what that adds; by plain loops."""
    histories = small_histories()
    places = rows_of(histories, scores_of()["account_id"])
    free = blocked_until(histories, places, AS_OF) <= AS_OF
    rates, _ = scorer_of().bundle.rates_by_hour(histories, places, AS_OF)
    signature = {
        hour: tuple(one.hours is not None and one.hours[0] <= hour < one.hours[1] for one in capacities)
        for hour in range(24)
    }
    found: list[tuple[str, str, int | None, float]] = []
    for row, may, rate in zip(scores_of().to_dict("records"), free, rates, strict=True):
        for name in ("sms", "call"):
            if not may[CHANNELS.index(name)]:
                continue
            gain = row[f"value_{name}"] - row["value_none"]
            if name == "sms" or len(set(signature.values())) == 1:
                found.append((row["account_id"], name, None, gain))
                continue
            left = windows()[row["account_id"]]
            mean = np.nanmean([rate[hour] for hour in left])
            for part in set(signature.values()):
                hours = [hour for hour in left if signature[hour] == part]
                if hours:
                    reach = np.nanmean([rate[hour] for hour in hours]) / mean
                    found.append((row["account_id"], name, hours[0], (gain + COSTS[name]) * reach - COSTS[name]))
    return [pair for pair in found if pair[3] > 0]


def best_value(pairs: list[tuple[str, str, int | None, float]], limits: dict[str, float], named: Any) -> float:
    """The best that whole actions reach under all capacities, by HiGHS."""
    accounts = sorted({pair[0] for pair in pairs})
    rows = [[float(pair[0] == one) for pair in pairs] for one in accounts]
    rows += [[float(pair[1] == name) for pair in pairs] for name in limits]
    rows += [[counted(one, *pair[:3]) for pair in pairs] for one in named]
    most = [*[1.0] * len(accounts), *limits.values(), *(one.limit for one in named)]
    limited = LinearConstraint(np.array(rows), -np.inf, np.array(most))
    options = {"mip_rel_gap": 1e-7}
    found = milp([-pair[3] for pair in pairs], integrality=np.ones(len(pairs)), bounds=(0, 1), constraints=limited,
                 options=options)  # fmt: skip
    assert found.success
    return -float(found.fun)


def taken_of(queue: Queue, one: NamedCapacity) -> float:
    """How much of a capacity a queue takes, counted anew from its rows."""
    begins = queue.rows["best_hour"].tolist()
    hours = [datetime.fromisoformat(text).hour if isinstance(text, str) else None for text in begins]
    rows = zip(queue.rows["account_id"], queue.rows["channel"], hours, strict=True)
    return sum(counted(one, *row) for row in rows)


@pytest.mark.parametrize(
    "named",
    [(TEAM, OTHERS), (BUDGET,), (EVENING,), (NOON, EVENING), ALL],
    ids=lambda named: "+".join(one.name for one in named),
)
def test_no_other_queue_adds_more_than_a_little(named: tuple[NamedCapacity, ...]) -> None:
    queue, best = queue_of(named), best_value(pairs_of(named), PLAN, named)
    assert best * (1 - 0.003) <= queue.rows["uplift"].sum() <= best * (1 + 1e-6)
    for one in named:
        assert queue.used[one.name] == pytest.approx(taken_of(queue, one))
        assert queue.used[one.name] <= one.limit
    plain = queue_of(())
    assert queue.rows["uplift"].sum() < plain.rows["uplift"].sum() or {one.hours for one in named} - {None}


LIMITS = st.fixed_dictionaries(
    {"call": st.integers(0, 80), "sms": st.integers(0, 40), "cards": st.integers(0, 20), "others": st.integers(0, 30),
     "evening": st.integers(0, 30), "noon": st.integers(0, 30), "budget": st.floats(0, 120).map(lambda x: round(x, 2))}
)  # fmt: skip


@given(limits=LIMITS, share=st.sampled_from([None, 0.05, MOST]), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_no_capacity_is_exceeded_whatever_is_drawn(limits: dict[str, float], share: float | None, seed: int) -> None:
    exploration = Exploration(share, ("sms",), str(seed)) if share and limits["sms"] else None
    queue = queue_of(ALL, limits, exploration=exploration)
    used = Counter(queue.rows["channel"])
    assert all(used[name] <= limits[name] for name in ("call", "sms"))
    for one in ALL:
        assert taken_of(queue, one) <= limits[one.name] + 1e-9
        assert queue.used[one.name] == pytest.approx(taken_of(queue, one))
    assert queue.rows["account_id"].is_unique
    counts = dict(queue.counts)
    assert counts.pop("live") == sum(counts.values())


def test_without_named_hours_nothing_changes_and_with_them_the_best_hour_is_of_the_part() -> None:
    plain, wide = queue_of(()), queue_of((NamedCapacity("wide", 10_000),))
    pd.testing.assert_frame_equal(plain.rows, wide.rows)
    rows = queue_of((EVENING,)).rows
    calls = rows[rows["channel"] == "call"]
    hours = [datetime.fromisoformat(text).hour for text in calls["best_hour"]]
    assert sum(18 <= hour < 21 for hour in hours) == 7
    assert len(hours) == 60
    for row, hour in zip(calls.to_dict("records"), hours, strict=True):
        assert hour in hours_of(row["not_before"], row["not_after"])


def test_a_price_is_what_one_more_of_a_budget_or_a_team_adds() -> None:
    named = (TEAM, BUDGET)
    queue = queue_of(named)
    assert list(queue.prices) == ["sms", "call", "cards", "budget"]
    for name, step in (("cards", 1.0), ("budget", 1.6)):
        limit = next(one.limit for one in named if one.name == name)
        more, less = (queue_of(named, {**PLAN, name: limit + change}).rows["uplift"].sum() for change in (step, -step))
        here = queue.rows["uplift"].sum()
        # Whole actions: the next one may not fit.
        assert more - here <= queue.prices[name] * step * 1.2 + 0.05
        assert queue.prices[name] * step <= (here - less) * 1.2 + 0.05


def test_a_capacity_is_stated_and_tried_by_its_name() -> None:
    settings = replace(SETTINGS, queue=QueueRules(capacities=ALL))
    found = resolve_capacities({**PLAN, "budget": 40.5}, settings)
    assert found.named == {"cards": 9, "others": 25, "evening": 7, "noon": 4, "budget": 40.5}
    tried = queue_of(ALL, PLAN, alternatives=(Scenario({**PLAN, "budget": 40.5}),)).what_if[0]
    expected = queue_of(ALL, found.limits)
    assert tried.used == expected.used
    assert tried.prices == expected.prices
    assert tried.value == pytest.approx(expected.rows["uplift"].sum())
    with pytest.raises(SettingsError, match="or one of its own, cards, others, evening, noon, budget; got 'north'"):
        resolve_capacities({"north": 1}, settings)
    with pytest.raises(SettingsError, match="the capacity cards must be a whole number from 0"):
        resolve_capacities({"cards": 1.5}, settings)


def test_a_capacity_that_counts_nobody_is_noted() -> None:
    nobody = NamedCapacity("north", 5, where=Where(portfolio=("north",)))
    queue = queue_of((nobody, TEAM))
    assert "the capacity north counts no account of this queue" in queue.notes
    assert not any("cards" in note for note in queue.notes)


def test_where_no_effect_is_known_hours_limit_and_add_nothing() -> None:
    queue = build_queue(scorer_of(False), scores_of(False), histories_with((EVENING,)), AS_OF, {"call": 60})
    plain = build_queue(scorer_of(False), scores_of(False), small_histories(), AS_OF, {"call": 60})
    assert set(queue.rows["account_id"]) == set(plain.rows["account_id"])
    assert queue.used == {"evening": pytest.approx(taken_of(queue, EVENING))}


@pytest.mark.slow
def test_the_frequencies_are_the_propensities_that_are_stated_under_capacities_that_overlap() -> None:
    """20,000 draws of a case with a team and a budget that have not enough for all that might be drawn."""
    names = ("sms", "email", "call")
    chosen = np.array([2] * 27 + [1] * 18 + [0] * 9)
    team = np.arange(len(chosen)) % 2 == 0
    capacities = [Capacity(number, use) for number, use in zip([16, 30, 27], np.eye(3), strict=True)]
    capacities += [Capacity(27, np.array([1.0, 1.0, 1.0]), team), Capacity(318, np.array([3.0, 1.0, 10.0]))]
    exploration = Exploration(MOST, ("sms", "email"), "")
    settled = plan_exploration(exploration, chosen, np.ones((len(chosen), 3), dtype=np.bool_), capacities, names)
    n_seeds, use = 20_000, np.array([one.use for one in capacities])
    applies = np.array([np.ones(len(chosen), dtype=np.bool_) if one.applies is None else one.applies
                        for one in capacities])  # fmt: skip
    counts, stated = np.zeros((len(chosen), 3)), np.full((len(chosen), 3), np.nan)
    everyone = np.arange(len(chosen))
    for seed in range(n_seeds):
        drawn = draw(settled, chosen, seed)
        counts[everyone, drawn.channel] += 1
        stated[everyone, drawn.channel] = drawn.propensity
        used = (use[:, drawn.channel] * applies).sum(axis=1)
        assert (used + np.maximum(settled.free, 0) <= [one.limit for one in capacities]).all()
    seen = ~np.isnan(stated)
    assert np.nansum(stated, axis=1) == pytest.approx(1)
    error = np.sqrt(stated[seen] * (1 - stated[seen]) / n_seeds)
    assert np.all(np.abs(counts[seen] / n_seeds - stated[seen]) <= 4.5 * error)
    assert (stated[seen] < 1).any()


def test_calls_are_not_explored_by_the_hour() -> None:
    settings = replace(SETTINGS, queue=QueueRules(capacities=(EVENING,)))
    with pytest.raises(SettingsError, match="calls cannot be explored where a capacity counts those of some hours"):
        check_exploration(Exploration(0.1, ("sms", "call"), ""), settings)
    check_exploration(Exploration(0.1, ("sms", "email"), ""), settings)


TOML = """
[[queue.capacities]]
name = "north"
limit = 120
channels = ["call", "visit"]
where = { portfolio = ["north"], segment = ["card", "loan"] }
[[queue.capacities]]
name = "evening"
limit = 40
hours = ["18:00", "21:00"]
[[queue.capacities]]
name = "budget"
limit = 812.5
counts = "cost"
"""


def test_they_are_read_and_kept_with_the_settings_of_a_store() -> None:
    found = parse_settings(tomllib.loads(TOML), "east")
    assert found.queue.capacities == (
        NamedCapacity("north", 120, ("call", "visit"), Where(("north",), ("card", "loan"))),
        NamedCapacity("evening", 40, hours=(18, 21)),
        NamedCapacity("budget", 812.5, counts="cost"),
    )
    assert parse_settings(tomllib.loads(settings_toml(found)), "") == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "call"}, "a capacity's name is no channel's, got 'call'"),
        ({"name": "rules"}, "lower-case letters"),
        ({"name": "North"}, "lower-case letters"),
        ({"limit": -1}, r"queue.capacities.north.limit must be a whole number from 0"),
        ({"limit": 1.5}, r"queue.capacities.north.limit must be a whole number from 0"),
        ({"limit": float("nan"), "counts": "cost"}, "must be an amount from 0"),
        ({"counts": "money"}, "must be 'actions' or 'cost'"),
        ({"channels": ["pigeon"]}, "counts some of the channels"),
        (
            {"where": {"region": ["x"]}},
            r"unknown setting 'queue.capacities\[1\].where.region'; allowed here: portfolio",
        ),
        ({"where": {"segment": "card"}}, "must be a list of texts"),
        ({"hours": ["18:30", "21:00"]}, "must be two whole hours of one day"),
        ({"hours": ["21:00", "18:00"]}, "must be the begin and the end of hours"),
        ({"hours": ["18:00"]}, "must be two whole hours"),
        ({"hours": ["18:00", "21:00"], "channels": ["sms"]}, "only calls are planned by the hour"),
        ({"colour": 1}, "unknown setting"),
        ({"name": None}, r"queue.capacities\[1\].name must be given"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    capacity = {key: value for key, value in {"name": "north", "limit": 5, **change}.items() if value is not None}
    with pytest.raises(SettingsError, match=message):
        parse_settings({"queue": {"capacities": [capacity]}}, "east")


def test_two_have_two_names_and_each_is_a_section() -> None:
    two = [{"name": "north", "limit": 5}] * 2
    with pytest.raises(SettingsError, match="of different names, got 'north'"):
        parse_settings({"queue": {"capacities": two}}, "east")
    with pytest.raises(SettingsError, match="sections of their own"):
        parse_settings({"queue": {"capacities": {"name": "north"}}}, "east")
    with pytest.raises(SettingsError, match="counts some of the channels sms, got 'call'"):
        PortfolioSettings("x", channels=SETTINGS.channels[:1], queue=QueueRules(capacities=(EVENING,)))
