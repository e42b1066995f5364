"""The best hour of a call, held against plain loops over the rates by hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache

import pandas as pd

from features.units import HOUR
from serving.contact_rules.windows import instant_of
from serving.queue import build_queue
from serving.scoring import prepare_scorer, rows_of, score
from tests.serving.small import AS_OF, small_bundle, small_histories
from training.bundle import Bundle
from training.hours import learn_hours


@cache
def bundle() -> Bundle:
    return replace(small_bundle(), hours=learn_hours(small_histories(), AS_OF))


def rows_as_of(as_of: int) -> pd.DataFrame:
    scorer = prepare_scorer(bundle())
    scores = score(scorer, small_histories(), as_of)
    return build_queue(scorer, scores, small_histories(), as_of, {"call": 60, "sms": 30}).rows


def test_it_is_the_hour_with_the_highest_rate_that_is_left() -> None:
    rows = rows_as_of(AS_OF)
    calls = rows[rows["channel"] == "call"]
    places = rows_of(small_histories(), calls["account_id"])
    rates, attempts = bundle().rates_by_hour(small_histories(), places, AS_OF)
    assert len(calls) > 30
    for row, rate, tried in zip(calls.to_dict("records"), rates, attempts, strict=True):
        opens, closes = (datetime.fromisoformat(row[name]) for name in ("not_before", "not_after"))
        best = datetime.fromisoformat(row["best_hour"])
        assert opens <= best
        assert instant_of(best) >= AS_OF
        assert instant_of(best) + HOUR <= instant_of(closes)
        left = [hour for hour in range(opens.hour, closes.hour) if instant_of(opens.replace(hour=hour)) >= AS_OF]
        assert row["right_party_rate"] == max(rate[hour] for hour in left)
        assert best.hour == min(hour for hour in left if rate[hour] == row["right_party_rate"])
        assert row["calls_at_hour"] == tried[best.hour]


def test_other_channels_have_none() -> None:
    rows = rows_as_of(AS_OF)
    others = rows[rows["channel"] != "call"]
    assert len(others)
    assert others["best_hour"].isna().all()
    assert others["right_party_rate"].isna().all()
    assert (others["calls_at_hour"] == 0).all()
