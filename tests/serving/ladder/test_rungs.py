"""Rungs against a plain reading of the policy, account by account; and the queue under a ladder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, get_args
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contract import CHANNELS
from features.histories import Histories
from features.stages import STAGES, stages
from features.units import parse_instant
from serving.contact_rules.restrictions import restricted_until
from serving.day import Scenario
from serving.exploration import Exploration
from serving.ladder.policy import Ladder, Override, Rung, Stage, shipped_ladders
from serving.ladder.rungs import Closed, ages_of, rungs_of
from serving.queue import NOT_REACHED, Queue, build_queue
from serving.scoring import prepare_scorer, rows_of, score
from tests.serving.small import AS_OF, KNOWN, NONE_KNOWN, histories_of, random_frames, small_bundle

NOW = pd.Timestamp(AS_OF, unit="us", tz="UTC")


@cache
def frames() -> dict[str, pd.DataFrame]:
    """A random portfolio in which some contacts are recorded late, and some accounts have no due date."""
    found, draw = random_frames(120, 5), np.random.default_rng(5)
    accounts, contacts = found["accounts"], found["contacts"]
    found["accounts"] = accounts.assign(due_on=accounts["due_on"].where(draw.random(len(accounts)) > 0.2))
    late = contacts["at"] + pd.to_timedelta(draw.integers(0, 40, len(contacts)), "D")
    found["contacts"] = contacts.assign(recorded_at=late.where(draw.random(len(contacts)) < 0.3))
    return found


@cache
def histories() -> Histories:
    return histories_of(frames())


def ladder_of_rungs(*rungs: Rung) -> Ladder:
    default = shipped_ladders()["default"]
    return Ladder(name="drawn", title="", source="", dated=default.dated, currency="CNY", rungs=rungs)


@st.composite
def rungs(draw: st.DrawFn, number: int) -> Rung:
    """A random rung."""
    begin: dict[str, Any] = draw(
        st.sampled_from([{}, {"from_days": draw(st.integers(1, 200))}, {"from_stage": draw(st.sampled_from(STAGES))}])
    )
    balance = draw(st.sampled_from([0.0, 500.0, 1500.0]))
    where: dict[str, tuple[str, ...]] = {"segment": ("card", "loan")}
    where |= {"employment": ("self",)} if draw(st.booleans()) else {}
    override = Override(where=where, least_balance=900.0, or_days=draw(st.sampled_from([None, 90])))
    return Rung(
        id=f"rung-{number}", channel=draw(st.sampled_from(CHANNELS)), source="", least_balance=balance,
        or_days=draw(st.sampled_from([None, 120])) if balance else None,
        overrides=(override,) if draw(st.booleans()) else (),
        every_days=draw(st.sampled_from([None, 3, 14, 60])), at_most=draw(st.sampled_from([None, 1, 4])),
        after=draw(st.dictionaries(st.sampled_from(CHANNELS), st.integers(1, 6), max_size=2)), **begin,
    )  # fmt: skip


LADDERS = st.integers(1, 4).flatmap(lambda n: st.tuples(*(rungs(place) for place in range(n))))


@cache
def known_contacts() -> dict[str, pd.DataFrame]:
    """The outbound contacts of each account that are known by now."""
    contacts = frames()["contacts"]
    known = contacts[["at", "recorded_at"]].max(axis=1) < NOW
    return dict(iter(contacts[known & (contacts["direction"] == "outbound")].groupby("account_id")))


def plain_why(rung: Rung, account: Mapping[Hashable, Any], balance: float, possible: dict[str, bool]) -> Closed:  # noqa: C901, PLR0911 one question after the other
    """Why a rung is closed to an account, by the words of the policy."""
    mine = known_contacts().get(account["account_id"], frames()["contacts"].iloc[:0])
    due = account["placed_at"] if pd.isna(account["due_on"]) else account["due_on"]
    days = (NOW - due) / pd.Timedelta(days=1)
    stage = sum(days > end for end in (0, 5, 18, 28, 60, 120))
    own = mine[mine["channel"] == rung.channel]["at"]
    least, older = rung.least_balance, rung.or_days
    for one in rung.overrides:
        if all(account[column] in values for column, values in one.where.items()):
            least, older = one.least_balance, one.or_days
            break
    if not possible[rung.channel]:
        return Closed.IMPOSSIBLE
    if rung.at_most is not None and len(own) >= rung.at_most:
        return Closed.USED_UP
    if rung.from_stage is not None and stage < get_args(Stage).index(rung.from_stage):
        return Closed.TOO_EARLY
    if rung.from_days is not None and days < rung.from_days:
        return Closed.TOO_EARLY
    if balance < least and (older is None or days < older):
        return Closed.TOO_LITTLE
    if any(possible[name] and (mine["channel"] == name).sum() < times for name, times in rung.after.items()):
        return Closed.OTHERS_FIRST
    if rung.every_days is not None and len(own):
        zone = ZoneInfo(account["timezone"])
        since = NOW.astimezone(zone).date() - own.max().astimezone(zone).date()
        if since.days < rung.every_days:
            return Closed.TOO_SOON
    return Closed.OPEN


@given(drawn=LADDERS)
@settings(max_examples=25, deadline=None)
def test_rungs_are_closed_as_the_policy_says(drawn: tuple[Rung, ...]) -> None:
    rows = np.arange(0, len(histories()), 7)
    found = rungs_of(ladder_of_rungs(*drawn), histories(), rows, AS_OF)
    balance = ages_of(histories(), rows, AS_OF).balance
    free = restricted_until(histories(), rows, AS_OF, of_person=True) <= AS_OF
    accounts = frames()["accounts"].set_index("account_id", drop=False).loc[list(histories().accounts.account_id[rows])]
    for place, account in enumerate(accounts.to_dict("records")):
        possible = dict(zip(CHANNELS, free[place].tolist(), strict=True))
        expected = [plain_why(rung, account, float(balance[place]), possible) for rung in drawn]
        assert [Closed(one) for one in found.why[place]] == expected
        of_channel = {name: [w for r, w in zip(drawn, expected, strict=True) if r.channel == name] for name in CHANNELS}
        for name, is_open in zip(CHANNELS, found.channels(CHANNELS)[place], strict=True):
            assert is_open == (not of_channel[name] or Closed.OPEN in of_channel[name])
        assert found.all_used[place] == (
            not set(expected) & {Closed.OPEN, Closed.TOO_EARLY, Closed.OTHERS_FIRST, Closed.TOO_SOON}
        )


def one_account(contacts: list[tuple[str, str]]) -> Histories:
    """One account due on 1 January, with calls and letters at some times."""
    accounts = random_frames(1)["accounts"].assign(
        account_id="A", opened_at="2025-11-01", placed_at="2026-01-02", due_on="2026-01-01", timezone="Asia/Shanghai"
    )
    rows = [{"account_id": "A", "at": at, "channel": channel, "outcome": "sent"} for at, channel in contacts]
    frame = pd.DataFrame(rows or None, columns=["account_id", "at", "channel", "outcome"])
    return histories_of({"accounts": accounts, "contacts": frame, "payments": pd.DataFrame()})


def why(rung: Rung, of: Histories, as_of: str) -> Closed:
    return Closed(rungs_of(ladder_of_rungs(rung), of, np.array([0]), parse_instant(as_of)).why[0, 0])


def test_a_stage_begins_when_the_feature_says_and_a_number_of_days_with_its_last_second() -> None:
    of = one_account([])
    stage = Rung(id="r", channel="letter", source="", from_stage="mid")
    days = Rung(id="r", channel="letter", source="", from_days=5)
    moments = ["2026-01-06T00:00:00", "2026-01-06T00:00:01", "2026-01-05T23:59:59"]
    assert [why(stage, of, one) for one in moments] == [Closed.TOO_EARLY, Closed.OPEN, Closed.TOO_EARLY]
    assert [why(days, of, one) for one in moments] == [Closed.OPEN, Closed.OPEN, Closed.TOO_EARLY]
    assert stages(of, np.array([0]), parse_instant("2026-01-06T00:00:01")).tolist() == ["mid"]


def test_every_two_weeks_is_the_same_weekday_however_early_and_a_contact_counts_once_it_is_known() -> None:
    of = one_account([("2026-02-02T15:00:00+08:00", "sms")])
    rung = Rung(id="r", channel="sms", source="", every_days=14)
    assert why(rung, of, "2026-02-02T15:00:00+08:00") is Closed.OPEN
    assert why(rung, of, "2026-02-02T15:00:01+08:00") is Closed.TOO_SOON
    assert why(rung, of, "2026-02-15T23:59:59+08:00") is Closed.TOO_SOON
    assert why(rung, of, "2026-02-16T00:00:00+08:00") is Closed.OPEN


def test_what_cannot_be_tried_is_not_waited_for() -> None:
    rung, as_of = Rung(id="r", channel="visit", source="", after={"call": 3}), "2026-03-01"
    of = one_account([("2026-02-01", "call")])
    assert why(rung, of, as_of) is Closed.OTHERS_FIRST
    accounts, contacts = random_frames(1)["accounts"].assign(account_id="A"), pd.DataFrame()
    dead = pd.DataFrame([{"account_id": "A", "at": "2026-02-01", "kind": "channel_opt_out", "channel": "call"}])
    tables = {"accounts": accounts, "contacts": contacts, "payments": pd.DataFrame(), "restrictions": dead}
    assert why(rung, histories_of(tables), as_of) is Closed.OPEN


def queue_of(known: bool, ladder: Ladder | None, exploration: Exploration | None = None) -> Queue:
    scorer = prepare_scorer(small_bundle(KNOWN if known else NONE_KNOWN))
    capacities = dict.fromkeys(CHANNELS, 12)
    scores = score(scorer, histories(), AS_OF)
    return build_queue(scorer, scores, histories(), AS_OF, capacities, exploration, (Scenario({"call": 3}),), ladder)


RULES = ladder_of_rungs(
    Rung(id="remind", channel="sms", source="", every_days=14),
    Rung(id="call", channel="call", source="", from_days=60, after={"sms": 1}, at_most=12),
    Rung(id="letter", channel="letter", source="", from_stage="back-end", least_balance=1500, or_days=365),
)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("exploration", [None, Exploration(0.2, ("sms",), "")])
def test_the_queue_proposes_nothing_that_the_ladder_closes_and_holds_nobody_back_for_it(
    known: bool, exploration: Exploration | None
) -> None:
    under, free = queue_of(known, RULES, exploration), queue_of(known, None, exploration)
    rows = rows_of(histories(), under.rows["account_id"])
    is_open = rungs_of(RULES, histories(), rows, AS_OF).channels(CHANNELS)
    assert len(rows) > 5
    assert all(row[CHANNELS.index(name)] for row, name in zip(is_open, under.rows["channel"], strict=True))
    pd.testing.assert_frame_equal(under.held, free.held)
    counts = dict(under.counts)
    assert counts.pop("live") == sum(counts.values())
    assert set(counts) == {"queued", "held", *NOT_REACHED}
    assert free.counts["no_rung"] == 0
    # Where no effect is known, the channels that the ladder does not name are open to everybody.
    assert (under.counts["no_rung"] > 0) == known
    assert any(note.startswith("the ladder drawn (in CNY) closes, of ") for note in under.notes)
    assert not any("ladder" in note for note in free.notes)
    # What other capacities would bring is under the ladder too.
    assert under.what_if[0].value <= free.what_if[0].value * (1 + 1e-9)


def test_rows_and_the_held_back_say_their_stage() -> None:
    queue = queue_of(True, None)
    for frame in (queue.rows, queue.held):
        expected = stages(histories(), rows_of(histories(), frame["account_id"]), AS_OF)
        assert frame["stage"].astype(object).where(frame["stage"].notna(), None).tolist() == expected.tolist()
    assert Counter(queue.rows["stage"])["back-end"] > 0
    assert None in set(stages(histories(), np.arange(len(histories())), AS_OF))


def test_what_comes_later_changes_nothing() -> None:
    contacts = frames()["contacts"]
    known = contacts[["at", "recorded_at"]].max(axis=1) < NOW
    assert (~known).sum() > 20
    before = histories_of(frames() | {"contacts": contacts[known]})
    rows, default = np.arange(len(before)), shipped_ladders()["default"]
    first, second = (rungs_of(default, of, rows, AS_OF).why for of in (before, histories()))
    assert (first == second).all()
