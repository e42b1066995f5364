"""Several debts of one person in a queue: what rules leave of it, by examples and against the rules asked anew."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.contract import CHANNELS
from features.histories import Histories
from features.units import format_instant, parse_instant
from serving.contact_rules.rules import forbidden
from serving.day import Scenario, day_of
from serving.exploration import Exploration
from serving.persons import OUTCOMES
from serving.planning import plan_of
from serving.queue import Queue, build_queue
from serving.scoring import Scorer, prepare_scorer, rows_of, score
from tests.serving.small import AS_OF, KNOWN, NONE_KNOWN, histories_of, random_frames, small_bundle

#: Whose rules count what is done to a person, and one whose rules are of each debt.
PACKS = ("cn-gbt-45251-2025", "cn-cba-2026-01", "unknown", "us-reg-f")
WRITTEN = ("sms", "email", "letter", "legal_letter")
CAPACITIES = dict.fromkeys(CHANNELS, 40) | {"call": 90}


@cache
def scorer_of(known: bool) -> Scorer:
    return prepare_scorer(small_bundle(KNOWN if known else NONE_KNOWN))


def frames_of(seed: int, n_persons: int, n_accounts: int = 120) -> dict[str, pd.DataFrame]:
    """Accounts of a few persons, under rules that count per person, some of whom were contacted today."""
    draw, frames = np.random.default_rng(seed), random_frames(n_accounts, seed)
    persons = np.array([f"P{number}" for number in draw.integers(0, n_persons, n_accounts)], dtype=object)
    persons[draw.random(n_accounts) < 0.2] = None
    frames["accounts"] = frames["accounts"].assign(jurisdiction=draw.choice(PACKS, n_accounts), person_id=persons)
    recent = pd.Timestamp(AS_OF, unit="us", tz="UTC") - pd.to_timedelta(draw.exponential(4, 12 * n_accounts), "D")
    frames["contacts"] = frames["contacts"].assign(at=recent)
    # What is noted after the queue was made, and before a proposal's first moment, is news that no queue could know.
    known = frames["restrictions"]["at"] < pd.Timestamp(AS_OF, unit="us", tz="UTC")
    frames["restrictions"] = frames["restrictions"][known]
    return frames


def queue_of(histories: Histories, known: bool = True, capacities: dict[str, int] = CAPACITIES, **more: Any) -> Queue:
    scorer = scorer_of(known)
    return build_queue(scorer, score(scorer, histories, AS_OF), histories, AS_OF, capacities, **more)


def broken_rules(frames: dict[str, pd.DataFrame], queue: Queue, outcome: str) -> list[str]:
    """What the rules forbid of a queue that is worked in its order, each row at the first moment that it allows."""
    accounts = frames["accounts"].set_index("account_id")
    rows = queue.rows.assign(person=accounts["person_id"].loc[queue.rows["account_id"]].to_numpy(object))
    found = []
    turn = rows.groupby("person").cumcount().where(rows["person"].notna(), 0)
    for now in range(1, int(turn.max()) + 1):
        before = rows[(turn < now) & rows["person"].notna()]
        begin = [max(parse_instant(text), AS_OF) for text in before["not_before"]]
        results = ["sent" if name in WRITTEN else outcome for name in before["channel"]]
        made = pd.DataFrame({"account_id": before["account_id"], "at": [format_instant(one) for one in begin],
                             "channel": before["channel"], "outcome": results, "direction": "outbound"})  # fmt: skip
        made["at"] = pd.to_datetime(made["at"], format="ISO8601", utc=True)
        after = histories_of({**frames, "contacts": pd.concat([frames["contacts"], made], ignore_index=True)})
        for row in rows[turn == now].to_dict("records"):
            place = rows_of(after, pd.Series([row["account_id"]]))
            done = [one for one, who in zip(begin, before["person"], strict=True) if who == row["person"]]
            moment = max(parse_instant(row["not_before"]), AS_OF, *done) + 1
            against = forbidden(after, place, moment, of_person=True)[0]
            found += [str(one) for one in against if one.channel in {"", row["channel"]}]
    return found


@given(seed=st.integers(0, 10_000), n_persons=st.integers(5, 60), known=st.booleans(), explore=st.booleans())
@example(seed=360, n_persons=7, known=False, explore=False)
@settings(max_examples=8, deadline=None)
def test_no_proposals_to_one_person_break_a_rule_whatever_comes_of_them(
    seed: int, n_persons: int, known: bool, explore: bool
) -> None:
    frames = frames_of(seed, n_persons)
    queue = queue_of(histories_of(frames), known, exploration=Exploration(0.2, ("sms",), "") if explore else None)
    for outcome in OUTCOMES:
        assert broken_rules(frames, queue, outcome) == []
    counts = dict(queue.counts)
    assert counts.pop("live") == sum(counts.values())


def five_debts(jurisdiction: str) -> dict[str, pd.DataFrame]:
    """Five debts of one person and one of another, of whom nothing else is known."""
    frames = random_frames(6)
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    frames["accounts"] = frames["accounts"].assign(
        person_id=["P"] * 5 + ["Q"], jurisdiction=jurisdiction, placed_at=opened, opened_at=opened,
        timezone="Asia/Shanghai",
    )  # fmt: skip
    return {"accounts": frames["accounts"], "contacts": pd.DataFrame(), "payments": pd.DataFrame()}


def test_a_person_has_no_more_calls_than_rules_leave_her_and_the_rest_is_counted() -> None:
    queue = queue_of(histories_of(five_debts("cn-gbt-45251-2025")), False, {"call": 6})
    assert len(queue.rows) == 4
    assert "A00005" in set(queue.rows["account_id"])
    assert (queue.counts["other_debt"], queue.counts["no_gain"]) == (1, 1)
    each_debt = queue_of(histories_of(five_debts("us-reg-f")), False, {"call": 6})
    assert len(each_debt.rows) == 5
    assert each_debt.counts["other_debt"] == 0


def test_those_that_add_most_are_kept_and_others_get_what_is_allowed() -> None:
    histories = histories_of(five_debts("cn-gbt-45251-2025"))
    alone = queue_of(histories_of(five_debts("us-reg-f")), True, {"call": 6}).rows
    best = [account for account in alone["account_id"] if account != "A00005"][:3]
    assert set(queue_of(histories, True, {"call": 6}).rows["account_id"]) - {"A00005"} == set(best)
    # A message is another matter: the rule is of calls.
    rows = queue_of(histories, True, {"call": 6, "sms": 6}).rows
    assert len(rows) == 6
    assert (rows["channel"] == "sms").sum() >= 2


def test_what_falls_at_last_is_given_up_and_its_place_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.planning._ROUNDS", 0)
    histories, scorer = histories_of(five_debts("cn-gbt-45251-2025")), scorer_of(False)
    plan = plan_of(day_of(scorer, score(scorer, histories, AS_OF), histories, AS_OF, Scenario({"call": 4})))
    # By rule alone four calls to one person: the last of them goes, and the other person is called instead.
    assert np.flatnonzero(plan.solved.choice >= 0).tolist()[-1] < 5
    assert (plan.choice >= 0).sum() == 4
    queue = queue_of(histories, False, {"call": 4})
    assert "A00005" in set(queue.rows["account_id"])
    assert queue.counts["other_debt"] == 1


def test_what_if_counts_a_persons_proposals_too() -> None:
    histories = histories_of(five_debts("us-reg-f"))
    scenario = Scenario({"call": 6}, rules="cn-gbt-45251-2025")
    tried = queue_of(histories, False, {"call": 6}, alternatives=(scenario,)).what_if[0]
    assert tried.rows == {"call": 4}
    assert tried.difference < 0
