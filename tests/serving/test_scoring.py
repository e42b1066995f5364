"""Scores: what is chosen, from what, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.as_of import check_moment
from features.contract import CHANNELS
from features.errors import BundleError, MomentError
from features.histories import Histories
from features.settings import ChannelSettings
from features.units import DAY, parse_instant
from serving.scoring import (
    Actions,
    Scorer,
    check_match,
    choose,
    not_live,
    prepare_scorer,
    priority,
    require_live,
    score,
)
from tests.serving.small import AS_OF, SETTINGS, histories_of, random_frames, small_bundle
from training.bundle import Predictions

NAMES = ("sms", "call", "visit", "none")
ALL = np.ones((1, 4), dtype=np.bool_)


def actions(supported: str = "sms call visit none", enabled: str = "sms call visit", usual: int = 1) -> Actions:
    return Actions(
        NAMES,
        np.array([0.0, 2.0, 20.0, 0.0]),
        np.array([name in supported.split() for name in NAMES]),
        np.array([name in (*enabled.split(), "none") for name in NAMES]),
        usual,
    )


def predictions(amount: list[float], usual_amount: float = 30.0) -> Predictions:
    by_action = np.array([amount])
    return Predictions(np.array([0.5]), np.array([usual_amount]), by_action / 100, by_action)


def best_of(amount: list[float], actions: Actions, allowed: np.ndarray = ALL) -> str:
    choice = choose(predictions(amount), np.array([1.0]), allowed & actions.enabled, actions)
    return NAMES[int(choice.best[0])]


def test_the_columns_are_those_of_the_contract(scorer: Scorer, histories: Histories) -> None:
    scores = score(scorer, histories, AS_OF)
    named = ("account_id", "as_of", "model", "p_pay", "expected_amount", "best_channel", "uplift", "priority", "band")
    each = [f"{what}_{action}" for what in ("p_pay", "value") for action in (*CHANNELS, "none")]
    assert list(scores) == [*named, *each, "channel_support"]
    assert scores["as_of"].dtype == "datetime64[us, UTC]"
    assert scores["p_pay"].between(0, 1).all()
    assert scores["priority"].between(0, 100).all()
    assert set(scores["band"]) <= set("ABCDEFGHIJ")
    assert (scores["channel_support"] == "sms,call,none").all()


def test_every_live_account_has_one_row_and_no_other_has(scorer: Scorer, histories: Histories) -> None:
    scored, others = score(scorer, histories, AS_OF)["account_id"], not_live(histories, AS_OF)["account_id"]
    assert sorted([*scored, *others]) == sorted(histories.accounts.account_id)
    assert len(others) > 0


def test_the_value_is_commission_less_cost() -> None:
    choice = choose(predictions([10, 50, 60, 5]), np.array([0.5]), ALL, actions())
    assert choice.value.tolist() == [[5.0, 23.0, 10.0, 2.5]]
    assert choice.uplift.tolist() == [20.5]
    assert choice.order_value.tolist() == [20.5]


def test_the_best_action_is_the_one_of_most_value_and_not_of_most_money() -> None:
    assert best_of([10, 50, 60, 5], actions()) == "call"


def test_equal_values_go_to_the_cheaper_action_and_waiting_is_the_cheapest() -> None:
    assert best_of([9, 11, 29, 5], actions()) == "sms"
    assert best_of([9, 11, 29, 9], actions()) == "none"


def test_an_action_of_unknown_effect_never_competes() -> None:
    assert best_of([500, 50, 600, 5], actions(supported="call none")) == "call"


def test_an_action_that_is_blocked_or_switched_off_is_not_chosen() -> None:
    assert best_of([10, 50, 60, 5], actions(), np.array([[True, False, True, True]])) == "visit"
    assert best_of([10, 50, 60, 5], actions(enabled="sms")) == "sms"


def test_where_all_is_blocked_one_waits() -> None:
    choice = choose(predictions([10, 50, 60, 5]), np.array([1.0]), np.array([[False, False, False, True]]), actions())
    assert (NAMES[int(choice.best[0])], choice.uplift[0]) == ("none", 0.0)


@pytest.mark.parametrize("supported", ["", "none", "call", "sms call visit"])
def test_without_waiting_and_a_channel_among_the_known_the_usual_channel_is_taken(supported: str) -> None:
    # An uplift is a difference to waiting: where waiting was never tried, there is nothing to take off.
    choice = choose(predictions([10, 50, 600, 5]), np.array([0.5]), ALL, actions(supported))
    assert NAMES[int(choice.best[0])] == "call"
    assert np.isnan(choice.uplift[0])
    assert choice.order_value.tolist() == [30 * 0.5 - 2.0]


def test_the_fallback_takes_the_first_allowed_channel_after_the_usual_one() -> None:
    unknown = actions("")
    assert best_of([1, 2, 3, 4], unknown, np.array([[True, False, True, True]])) == "sms"
    assert best_of([1, 2, 3, 4], unknown, np.array([[False, False, True, True]])) == "visit"
    assert best_of([1, 2, 3, 4], unknown, np.array([[False, False, False, True]])) == "none"


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_priority_follows_the_value_and_stays_within_its_bounds(values: list[float]) -> None:
    found = priority(np.sort(values), (-5.0, 0.0, 0.0, 0.0, 1.0, 1000.0))
    assert ((found >= 0) & (found <= 100)).all()
    assert (np.diff(found) >= 0).all()


def test_the_costs_are_those_of_the_portfolio_as_it_is_now(scorer: Scorer) -> None:
    dear = replace(SETTINGS, channels=tuple(ChannelSettings(name, 1000.0) for name in CHANNELS))
    scores = score(scorer, histories_of(random_frames(), dear), AS_OF)
    assert set(scores["best_channel"]) == {"none"}
    assert (scores["uplift"] == 0).all()


def test_an_account_that_is_held_back_is_scored_and_waits(scorer: Scorer, histories: Histories) -> None:
    frames = random_frames()
    at = pd.Timestamp("2026-01-01", tz="UTC")
    ids = frames["accounts"]["account_id"]
    frames["restrictions"] = pd.DataFrame({"account_id": ids, "at": at, "kind": "dispute", "channel": None})
    scores = score(scorer, histories_of(frames), AS_OF)
    assert set(scores["best_channel"]) == {"none"}


def test_a_moment_that_has_not_come_is_refused() -> None:
    check_moment(AS_OF, AS_OF)
    with pytest.raises(MomentError, match="must not lie in the future, got 2026-04-01T06:30:00Z"):
        check_moment(AS_OF, AS_OF - 1)


def test_a_moment_without_live_accounts_is_refused_with_the_counts(histories: Histories) -> None:
    require_live(histories, AS_OF)
    with pytest.raises(MomentError, match="no account is live as of 2020-01-01T00:00:00Z: 300 not yet placed"):
        require_live(histories, parse_instant("2020-01-01"))


def test_no_live_account_gives_an_empty_table_of_the_same_columns(scorer: Scorer, histories: Histories) -> None:
    none = score(scorer, histories, parse_instant("2020-01-01"))
    assert len(none) == 0
    assert list(none) == list(score(scorer, histories, AS_OF))


def test_why_an_account_is_not_live() -> None:
    placed = pd.Timestamp("2026-01-01", tz="UTC")
    accounts = pd.DataFrame(
        {
            "account_id": ["closed", "live", "new", "paid"],
            "opened_at": [placed, placed, placed + pd.Timedelta(days=60), placed],
            "due_on": None,
            "balance": 100.0,
            "segment": "card",
            "utilisation": 0.5,
            "employment": None,
        }
    )
    payments = pd.DataFrame({"account_id": ["paid"], "at": [placed + pd.Timedelta(days=1)], "amount": [100.0]})
    closed = pd.DataFrame({"account_id": ["closed"], "at": [placed + pd.Timedelta(days=1)], "kind": ["closed"]})
    histories = histories_of(
        {"accounts": accounts, "contacts": pd.DataFrame(), "payments": payments, "restrictions": closed}
    )
    as_of = parse_instant("2026-01-01") + 30 * DAY
    found = not_live(histories, as_of).set_index("account_id")["why"].to_dict()
    assert found == {"closed": "closed", "new": "not yet placed", "paid": "nothing owed"}


def test_other_channels_than_those_of_training_are_refused(scorer: Scorer) -> None:
    fewer = replace(SETTINGS, channels=SETTINGS.channels[:-1])
    with pytest.raises(
        BundleError, match=r"was trained on the channels sms, email, .*, legal_letter, this portfolio has"
    ):
        check_match(scorer, fewer)


def test_a_lacking_attribute_is_refused_and_a_further_one_is_not(scorer: Scorer) -> None:
    check_match(scorer, replace(SETTINGS, numeric=("further", *SETTINGS.numeric)))
    with pytest.raises(BundleError, match="reads the attributes utilisation, which this portfolio does not declare"):
        check_match(scorer, replace(SETTINGS, numeric=("further",)))


def test_a_bundle_of_unknown_features_is_refused() -> None:
    bundle = small_bundle()
    other = replace(bundle, manifest=replace(bundle.manifest, features=(*bundle.manifest.features, "moon_phase")))
    with pytest.raises(BundleError, match="moon_phase"):
        prepare_scorer(other)
