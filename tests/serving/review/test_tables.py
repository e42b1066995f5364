"""The tables of the review: the figures of an independent query, and what is wrong is found by who was not told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks._band_table import band_table
from features.errors import SettingsError
from features.units import DAY
from serving.review.reading import BY, Where, matured_in_words, missing, read_sums
from serving.review.rollup import PaymentTerms, progress_of, roll_up
from serving.review.tables import against_actual, calibration, gain
from serving.store.database import Store, open_store
from serving.store.ledger import record
from tests.serving.review.rolled import (
    FIRST,
    NOW,
    SETTLING,
    answer_of,
    frames_of,
    scored_at_random,
    write_scores,
)
from tests.serving.small import SETTINGS
from tests.serving.store.test_histories import send

ALL = Where()


def table(store: Store, by: str, where: Where = ALL) -> pd.DataFrame:
    return against_actual(store, by, where).rows


def test_the_band_table_has_the_figures_of_a_query_over_the_raw_ledger(rolled: Store) -> None:
    with rolled.reading() as connection:
        progress = progress_of(connection)
    assert progress is not None
    for role in ("champion", "challenger"):
        found = table(rolled, "band", Where(role=role))
        again = band_table(rolled, role, 8, 30 * DAY, SETTLING, progress.known_until)
        assert len(again) > 5
        for name in again:
            ours, theirs = found[name].to_numpy(), again[name].to_numpy()
            if name == "band":
                assert ours.tolist() == theirs.tolist()
            else:
                np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=1e-6, err_msg=name)
        assert found["cumulative_share"].iloc[-1] == pytest.approx(1)


@pytest.mark.parametrize("by", BY)
def test_every_cut_adds_up_to_the_same(rolled: Store, by: str) -> None:
    whole, cut = table(rolled, "band"), table(rolled, by)
    for name in ("accounts", "actual_payers", "contacts"):
        assert cut[name].sum() == whole[name].sum()
    for name in ("balance", "predicted_payers", "predicted_amount", "actual_amount", "cost"):
        assert cut[name].sum() == pytest.approx(whole[name].sum())


def test_worked_and_unworked_are_parts_of_the_whole(rolled: Store) -> None:
    whole = table(rolled, "segment").set_index("segment")
    parts = [table(rolled, "segment", Where(worked=worked)).set_index("segment") for worked in (True, False)]
    assert (parts[0]["accounts"].add(parts[1]["accounts"], fill_value=0) == whole["accounts"]).all()
    assert parts[1]["contacts"].sum() == 0


def test_a_value_of_a_cut_has_its_own_band_table(rolled: Store) -> None:
    of_card = table(rolled, "band", Where(cut="segment", value="card"))
    assert of_card["accounts"].sum() == table(rolled, "segment").set_index("segment")["accounts"]["card"]
    with pytest.raises(SettingsError, match="one cut at a time"):
        read_sums(rolled, "vintage", Where(cut="segment", value="card"))
    with pytest.raises(SettingsError, match="rows are by"):
        read_sums(rolled, "nothing", ALL)


def test_months_models_and_arms_are_chosen(rolled: Store) -> None:
    months = table(rolled, "month").set_index("month")["accounts"]
    for month, accounts in months.items():
        assert isinstance(month, int)
        assert table(rolled, "band", Where(month, month))["accounts"].sum() == accounts
    assert table(rolled, "band", Where(model="none/9")).empty
    assert set(table(rolled, "arm")["arm"]) == {"explored", "rule", "score"}


def test_the_curves_are_of_the_same_accounts(rolled: Store) -> None:
    found = read_sums(rolled, "p_pay", ALL)
    whole, points, curve = table(rolled, "band"), calibration(found), gain(found)
    assert points["accounts"].sum() == whole["accounts"].sum()
    assert (points["accounts"] * points["actual"]).sum() == pytest.approx(whole["actual_payers"].sum())
    assert (points["low"] <= points["actual"] + 1e-12).all()
    assert points["predicted"].is_monotonic_decreasing
    ends = curve.curve.iloc[[0, -1]].to_numpy()
    np.testing.assert_allclose(ends, [[0, 0, 0], [1, 1, 1]])
    assert -1 <= curve.gini <= 1


# ------------------------------------------------------------------------------- a world with known truth


def write_world(store: Store, factor: dict[str, float], n_accounts: int = 3_000, seed: int = 11) -> None:
    """Accounts that pay with the probability that they are scored with, times the factor of their segment."""
    draw = np.random.default_rng(seed)
    frames = {"accounts": frames_of(n_accounts, seed)["accounts"]}
    ids = frames["accounts"]["account_id"].tolist()
    given = scored_at_random(ids, draw)
    record(store, answer_of(FIRST, False, "champion", SETTINGS), given)
    chance = given.p_pay * frames["accounts"]["segment"].map(lambda name: factor.get(name, 1.0)).to_numpy(float)
    pays = draw.random(n_accounts) < chance
    at = pd.to_datetime(FIRST + (draw.uniform(0, 30, n_accounts) * DAY).astype(np.int64), unit="us", utc=True)
    amount = (given.expected_amount / given.p_pay * draw.gamma(2, 0.5, n_accounts)).round(2) + 0.01
    paid = pd.DataFrame({"account_id": ids, "at": at, "amount": amount})[pays]
    later = pd.DataFrame({"account_id": ids[:1], "at": pd.to_datetime([FIRST + 60 * DAY], unit="us", utc=True)})
    frames |= {"payments": paid, "contacts": later.assign(channel="sms", outcome="sent")}
    assert send(store, frames).rejects.empty


def test_a_miscalibrated_segment_is_found_and_no_other(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    write_world(store, {"telecom": 1.5})
    roll_up(store, SETTINGS, NOW)
    coloured = {
        (by, str(value))
        for by in ("segment", "portfolio", "vintage", "stage", "band")
        for value in table(store, by).query("payers_beyond or money_beyond")[by]
    }
    assert ("segment", "telecom") in coloured
    assert not {("segment", "card"), ("segment", "loan")} & coloured
    store.close()


def test_nothing_is_coloured_where_every_prediction_is_right(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    write_world(store, {})
    roll_up(store, SETTINGS, NOW)
    coloured = sum(table(store, by)[["payers_beyond", "money_beyond"]].to_numpy().sum() for by in BY)
    assert coloured <= 1
    store.close()


# ------------------------------------------------------------------------------- what is not there yet


def test_what_is_missing_is_said_until_it_comes(store: Store) -> None:
    frames = frames_of(10)
    ids = frames["accounts"]["account_id"].tolist()

    def said() -> str:
        found = missing(store)
        return "" if found is None else found.what

    assert "no score was given yet" in said()
    write_scores(store, ids[:5], range(1))
    assert "load the portfolio first" in said()
    roll_up(store, SETTINGS, FIRST)
    assert "load the portfolio first" in said()
    send(store, {"accounts": frames["accounts"].iloc[5:]})
    assert "no scored account is in the store" in said()
    send(store, frames)
    roll_up(store, SETTINGS, FIRST + DAY)
    found = missing(store)
    assert found is not None
    assert found.comes_at == FIRST + 30 * DAY + SETTLING
    assert "the first comes on 2026-02-11" in found.what
    assert table(store, "band").empty
    assert calibration(read_sums(store, "p_pay", ALL)).empty
    roll_up(store, SETTINGS, NOW)
    assert missing(store) is None
    assert "windows ended by 2026-06" in matured_in_words(store)


def test_a_loaded_store_that_waits_for_its_next_roll_up_says_so(store: Store) -> None:
    send(store, frames_of(10))
    roll_up(store, SETTINGS, FIRST)
    found = missing(store)
    assert found is not None
    assert "ask the service for a queue" in found.what
    write_scores(store, frames_of(10)["accounts"]["account_id"].tolist(), range(1))
    found = missing(store)
    assert found is not None
    assert "not rolled up yet" in found.what


def test_scores_of_learned_time_alone_are_said_to_predict_nothing(store: Store) -> None:
    frames = frames_of(10)
    send(store, frames)
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(0, 20, 10))
    learned_until = FIRST + 40 * DAY
    roll_up(store, SETTINGS, NOW, payment_of=lambda _: PaymentTerms(learned_until=learned_until))
    found = missing(store)
    assert found is not None
    assert found.what.endswith("as of 2026-02-14 or later")


def test_a_store_without_payments_says_so(store: Store) -> None:
    frames = frames_of(10)
    send(store, {name: frames[name] for name in ("accounts", "contacts")})
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(1))
    roll_up(store, SETTINGS, NOW)
    found = missing(store)
    assert found is not None
    assert "no payment" in found.what
    assert table(store, "band")["actual_payers"].sum() == 0
