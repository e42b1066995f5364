"""Exploration: capacities hold whatever is drawn, and what is drawn has the frequencies that are stated."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SettingsError
from serving.allocation import Capacity
from serving.exploration import MOST, Exploration, check_exploration, draw, plan_exploration
from serving.queue import Queue, build_queue
from serving.scoring import prepare_scorer, score
from tests.serving.small import AS_OF, SETTINGS, small_bundle, small_histories

NAMES = ("sms", "email", "call", "visit")
SCORER = prepare_scorer(small_bundle())
SCORES = score(SCORER, small_histories(), AS_OF)
CHEAP = ("sms", "email")


def queue_of(exploration: Exploration | None, **capacities: int) -> Queue:
    return build_queue(SCORER, SCORES, small_histories(), AS_OF, capacities, exploration)


def by_channel(queue: Queue) -> Counter[str]:
    return Counter(queue.rows["channel"])


@pytest.mark.slow
def test_the_frequencies_are_the_propensities_that_are_stated() -> None:
    """20,000 draws of a case with groups of one account, a full channel, one whose rule is explored, and a ban."""
    chosen = np.array([2, 2, 2, 2, 2, 0, 0, 3, 1, -1])
    allowed = np.ones((len(chosen), 4), dtype=np.bool_)
    allowed[3, 0] = allowed[4, :2] = allowed[9] = False
    exploration = Exploration(MOST, CHEAP, "")
    capacities = [Capacity(number, use) for number, use in zip([5, 3, 5, 1], np.eye(4), strict=True)]
    plan = plan_exploration(exploration, chosen, allowed, capacities, NAMES)
    n_seeds = 20_000
    counts, stated = np.zeros((len(chosen), 4)), np.full((len(chosen), 4), np.nan)
    for seed in range(n_seeds):
        drawn = draw(plan, chosen, seed)
        places = np.flatnonzero(drawn.channel >= 0)
        counts[places, drawn.channel[places]] += 1
        stated[places, drawn.channel[places]] = drawn.propensity[places]
    frequency = counts / n_seeds
    seen = ~np.isnan(stated)
    assert np.nansum(stated, axis=1)[:9] == pytest.approx(1)  # each way that is open was drawn, and they add up
    error = np.sqrt(stated[seen] * (1 - stated[seen]) / n_seeds)
    assert np.all(np.abs(frequency[seen] - stated[seen]) <= 4.5 * error)
    assert np.array_equal(stated[4], [np.nan, np.nan, 1, np.nan], equal_nan=True)
    assert not counts[9].any()


@settings(max_examples=25, deadline=None)
@given(
    share=st.floats(0, MOST),
    seed=st.text(max_size=5),
    sms=st.integers(1, 300),
    email=st.integers(1, 40),
    call=st.integers(0, 120),
)
def test_no_capacity_is_exceeded_and_only_allowed_channels_are_drawn(
    share: float, seed: str, sms: int, email: int, call: int
) -> None:
    capacities = {"sms": sms, "email": email, "call": call}
    queue = queue_of(Exploration(share, CHEAP, seed), **capacities)
    assert all(number <= capacities[name] for name, number in by_channel(queue).items())
    rows = queue.rows
    assert rows["account_id"].is_unique
    assert set(rows.loc[rows["explored"], "channel"]) <= set(CHEAP)
    assert rows["propensity"].between(0, 1, inclusive="right").all()
    assert (rows.loc[~rows["explored"], "propensity"] >= 1 - share - 1e-9).all()
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert queue.counts["queued"] == len(rows)


def test_the_share_of_the_queue_is_explored() -> None:
    # With places enough: where they are short, fewer are drawn.
    explored = [queue_of(Exploration(0.2, CHEAP, str(seed)), sms=10_000, email=10_000, call=60).rows["explored"].mean()
                for seed in range(20)]  # fmt: skip
    assert np.mean(explored) == pytest.approx(0.2, abs=0.03)


def test_a_seed_repeats_and_another_one_draws_anew() -> None:
    first, again, other = (
        queue_of(Exploration(0.2, CHEAP, seed), sms=100, email=100, call=60).rows for seed in ("1", "1", "2")
    )
    pd.testing.assert_frame_equal(first, again)
    assert set(first.loc[first["explored"], "account_id"]) != set(other.loc[other["explored"], "account_id"])


def test_a_share_of_nothing_changes_nothing() -> None:
    with_none, plain = queue_of(Exploration(0, CHEAP, ""), sms=9, call=60, email=3), queue_of(None, sms=9, call=60)
    pd.testing.assert_frame_equal(with_none.rows, plain.rows)
    assert (plain.rows["propensity"] == 1).all()


def test_the_places_that_are_given_up_are_taken_by_the_next() -> None:
    # Few places, so that there are accounts that were not reached.
    by_rule = by_channel(queue_of(None, sms=60, email=60, call=60))
    explored = by_channel(queue_of(Exploration(0.2, CHEAP, ""), sms=60, email=60, call=60))
    # One place of a group's rounding stays empty at most.
    assert by_rule["call"] == 60
    assert explored["call"] >= 60 - 4


@pytest.mark.parametrize(
    ("exploration", "message"),
    [
        (Exploration(0.3, CHEAP, ""), "a number from 0 to 0.2"),
        (Exploration(float("nan"), CHEAP, ""), "a number from 0 to 0.2"),
        (Exploration(0.1, (), ""), "needs the channels"),
        (Exploration(0.1, ("pigeon",), ""), "some of the portfolio's"),
        (Exploration(0.1, ("visit",), ""), "needs places"),
    ],
)
def test_what_cannot_be_explored_is_refused(exploration: Exploration, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_exploration(exploration, SETTINGS, {"sms": 1, "email": 1})
