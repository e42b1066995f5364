"""The overview and the flows hold what the observations and the raw rows say."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql

from features.units import DAY
from serving.review.flows import liquidation, roll_rates, swap_set
from serving.review.intervals import share_ratios, sum_ratios
from serving.review.overview import (
    KEY_FIGURES,
    changes,
    key_figures,
    matured_so_far,
    months_with_outcomes,
    months_with_scores,
    parts,
    unlike_the_rest,
    whole_months,
)
from serving.review.reading import Where
from serving.review.rollup import progress_of, roll_up
from serving.review.tables import against_actual
from serving.store.database import Store
from serving.store.rollups import KEY_PAIRS
from tests.serving.review.rolled import FIRST, NOW, begun, frames_of, observed, write_scores
from tests.serving.small import SETTINGS
from tests.serving.store.test_histories import send

N_ACCOUNTS = 80
MONTH = 202603
ZONE = ZoneInfo(SETTINGS.timezone)


@pytest.fixture(scope="module")
def rows(rolled: Store) -> pd.DataFrame:
    """Its observations by the champion, money in the main unit."""
    found = observed(rolled).query("role == 'champion'")
    money = {name: found[name].astype(float) / 10_000 for name in ("expected", "paid", "balance", "cost")}
    return found.assign(**money)


def test_the_matured_and_the_open_part_are_the_month(rolled: Store, rows: pd.DataFrame) -> None:
    months = months_with_scores(rolled)
    assert months == sorted(rows["month"].unique())
    for month in months:
        found, mine = parts(rolled, month).rows.set_index("part"), rows[rows["month"] == month]
        assert found["accounts"].sum() == len(mine)
        for name, of_part in mine.groupby(mine["matured"].map({1: "matured", 0: "open"})):
            row = found.loc[name]
            assert row["predicted_payers"] == pytest.approx(of_part["p_pay"].sum())
            assert row["predicted_amount"] == pytest.approx(of_part["expected"].sum())
            assert row["predicted_payers_low"] <= row["predicted_payers"] <= row["predicted_payers_high"]
            assert row["predicted_amount_low"] < row["predicted_amount"] < row["predicted_amount_high"]
            if name == "open":
                assert np.isnan(row["actual_amount"])
            else:
                assert row["actual_payers"] == (of_part["paid"] > 0).sum()
                assert row["actual_amount"] == pytest.approx(of_part["paid"].sum())


def test_a_month_without_a_matured_outcome_says_so(rolled: Store) -> None:
    last = months_with_scores(rolled)[-1]
    found = parts(rolled, last)
    assert found.rows["part"].tolist() == ["open"]
    assert found.missing is not None
    assert "has matured yet" in found.missing.what


def test_key_figures_are_what_their_formulas_say(rolled: Store, rows: pd.DataFrame) -> None:
    mine = rows[(rows["month"] == MONTH) & (rows["matured"] == 1)]
    payers = mine[mine["paid"] > 0]
    days = (payers["first_paid_at"] - payers["as_of"]).sum() / DAY
    expected = {
        "recovery rate": mine["paid"].sum() / mine["balance"].sum(),
        "cure rate": mine["cured_at"].notna().mean(),
        "self-cure rate": (mine["cured_at"] <= mine["first_contact_at"].fillna(np.inf)).mean(),
        "penetration": (mine["contacts"] > 0).mean(),
        "intensity": mine["contacts"].sum() / (mine["contacts"] > 0).sum(),
        "calls per recovery": mine["calls"].sum() / len(payers),
        "right-party rate": mine["right_parties"].sum() / mine["contacts"].sum(),
        "promise rate": mine["promises"].sum() / mine["right_parties"].sum(),
        "kept rate": mine["promises_kept"].sum() / mine["promises_due"].sum(),
        "cost per unit": mine["cost"].sum() / mine["paid"].sum(),
        "days to collect": days / len(payers),
    }
    found = key_figures(rolled, MONTH).rows.set_index("figure")
    assert list(found.index) == [figure.name for figure in KEY_FIGURES] == list(expected)
    for name, value in expected.items():
        assert found["value"][name] == pytest.approx(value), name
    before = key_figures(rolled, MONTH - 1).rows.set_index("figure")
    pd.testing.assert_series_equal(found["value_before"], before["value"], check_names=False)


def test_intervals_of_key_figures_are_those_of_what_each_person_adds(rolled: Store, rows: pd.DataFrame) -> None:
    mine = rows[(rows["month"] == MONTH) & (rows["matured"] == 1)]
    person = frames_of(N_ACCOUNTS)["accounts"].set_index("account_id")["person_id"]
    hers = mine["account_id"].map(person).fillna(mine["account_id"])
    sums = pd.DataFrame(
        {
            "paid": mine["paid"], "balance": mine["balance"], "accounts": 1.0, "contacts": mine["contacts"],
            "cured": mine["cured_at"].notna() * 1.0, "worked_accounts": (mine["contacts"] > 0) * 1.0,
        }
    ).groupby(hers).sum()  # fmt: skip
    found = key_figures(rolled, MONTH).rows.set_index("figure")
    for name, above, below, told in (
        ("recovery rate", "paid", "balance", sum_ratios),
        ("intensity", "contacts", "worked_accounts", sum_ratios),
        ("cure rate", "cured", "accounts", share_ratios),
        ("penetration", "worked_accounts", "accounts", share_ratios),
    ):
        x, y = sums[above].to_numpy(), sums[below].to_numpy()
        squares = tuple(np.array([each.sum()]) for each in (x * x, y * y, x * y))
        expected = told(np.array([x.sum()]), np.array([y.sum()]), squares)  # type: ignore[arg-type]
        assert found["low"][name] == pytest.approx(expected.low[0], rel=1e-6), name
        assert found["high"][name] == pytest.approx(expected.high[0], rel=1e-6), name
        assert found["low"][name] < found["value"][name] < found["high"][name]
    cut = key_figures(rolled, MONTH, Where(cut="segment", value="card")).rows
    assert cut["low"].isna().all()
    assert not cut["beyond"].any()


def test_every_key_figure_has_the_sums_that_its_interval_needs() -> None:
    assert {(figure.above, figure.below) for figure in KEY_FIGURES} == set(KEY_PAIRS)


def test_what_is_unlike_the_rest_is_what_the_tables_mark(rolled: Store) -> None:
    for month in months_with_scores(rolled):
        found = unlike_the_rest(rolled, month).rows
        marked = {
            (cut, value)
            for cut in ("segment", "portfolio", "stage", "vintage", "channel")
            for value in against_actual(rolled, cut, Where(month, month)).rows.query("payers_apart")[cut]
        }
        assert set(zip(found["cut"], found["value"], strict=True)) == marked


def test_changes_add_up_to_that_of_the_month(rolled: Store, rows: pd.DataFrame) -> None:
    found = changes(rolled, MONTH).rows
    matured = rows[rows["matured"] == 1].groupby("month")["paid"].sum()
    for _, of_cut in found.groupby("cut"):
        assert of_cut["change"].sum() == pytest.approx(matured[MONTH] - matured[MONTH - 1])
    assert (found["cut"][0], found["value"][0]) == ("all", "")
    assert found["change"][1:].abs().is_monotonic_decreasing
    assert changes(rolled, months_with_scores(rolled)[0]).rows.empty


def test_a_month_that_is_not_whole_is_not_compared(store: Store) -> None:
    begun(store)
    month = 202601
    assert months_with_outcomes(store) == [month]
    assert whole_months(store) == []
    assert matured_so_far(store, month) == (20, 40)
    figures, changed = key_figures(store, month), changes(store, month)
    assert figures.rows["value"].notna().any()
    assert figures.rows["value_before"].isna().all()
    assert not figures.rows["beyond"].any()
    assert changed.rows.empty
    assert changed.missing is not None
    assert changed.missing.comes_at == FIRST + (13 + 30 + 7) * DAY
    assert "20 of 40 accounts of 2026-01 have matured so far; all have on 2026-02-24" in changed.missing.what
    assert "its last ones are of 2026-02-18" in changed.missing.what
    open_one = key_figures(store, 202602)
    assert open_one.rows.empty
    assert open_one.missing is not None
    assert changes(store, 202602).rows.empty


def test_a_month_after_one_that_is_not_whole_is_not_compared_either(rolled: Store) -> None:
    assert changes(rolled, MONTH).missing is None
    first = changes(rolled, 202601)
    assert first.rows.empty
    assert first.missing is not None
    assert first.missing.what == "no account was scored in 2025-12"


# ------------------------------------------------------------------------------- flows


def test_liquidation_is_what_was_paid_of_what_was_placed(rolled: Store) -> None:
    frames = frames_of(N_ACCOUNTS)
    with rolled.reading() as connection:
        progress = progress_of(connection)
    assert progress is not None
    found = liquidation(rolled).rows
    accounts = frames["accounts"].assign(vintage=_months(frames["accounts"]["placed_at"]))
    payments = frames["payments"].merge(accounts[["account_id", "vintage"]], on="account_id")
    known = payments["recorded_at"].where(payments["recorded_at"] > payments["at"], payments["at"])
    payments = payments[known < pd.Timestamp(progress.known_until, unit="us", tz="UTC")]
    paid = payments.assign(month=_months(payments["at"])).groupby(["vintage", "month"])["amount"].sum()
    for vintage, placed in accounts.groupby("vintage")["balance"].sum().items():
        curve = found[found["vintage"] == vintage].set_index("month")
        assert curve["placed"].iloc[0] == pytest.approx(placed)
        mine = paid.get(vintage, pd.Series(dtype=float)).reindex(curve.index).fillna(0)
        np.testing.assert_allclose(curve["paid"], mine, atol=1e-6)
        np.testing.assert_allclose(curve["liquidation_rate"], mine.cumsum() / placed, atol=1e-9)
        assert curve["expected_rate"].is_monotonic_increasing
        assert curve["complete"].tolist() == [True] * (len(curve) - 1) + [False]


def _months(times: pd.Series[pd.Timestamp]) -> pd.Series[int]:
    local = times.dt.tz_convert(SETTINGS.timezone)
    return local.dt.year * 100 + local.dt.month


def test_roll_rates_are_those_of_the_observations(rolled: Store, rows: pd.DataFrame) -> None:
    found = roll_rates(rolled).rows
    stages = rows.pivot_table(index="account_id", columns="month", values="stage", aggfunc="first")
    assert set(found["month"]) == {202601, 202602, 202603, 202604}
    for month in (202601, 202602, 202603, 202604):
        of_month = found[found["month"] == month]
        after = stages[month + 1].reindex(stages.index).fillna("not scored")
        expected = pd.concat([stages[month], after], axis=1, keys=["stage", "after"]).value_counts()
        counts = of_month.set_index(["stage", "stage_after"])["accounts"]
        assert counts.to_dict() == expected.to_dict()
    np.testing.assert_allclose(found.groupby(["month", "stage"])["share"].sum(), 1)


def test_the_swap_set_is_of_accounts_both_have_scored(rolled: Store) -> None:
    everyone = observed(rolled)
    both = everyone.pivot_table(index=["account_id", "month"], columns="role", values=["p_pay", "paid", "matured"])
    both = both[(both["matured"]["champion"] == 1) & (both["matured"]["challenger"] == 1)]
    top = {
        role: both["p_pay"][role].groupby("month").rank(ascending=False, method="first")
        <= 2 * both.groupby("month").size().reindex(both.index.get_level_values("month")).to_numpy() / 10
        for role in ("champion", "challenger")
    }
    found = swap_set(rolled).rows.set_index("set")
    assert set(found.index) == {"both", "champion alone", "challenger alone", "neither"}
    assert found["accounts"].sum() == len(both)
    assert found["accounts"]["both"] == (top["champion"] & top["challenger"]).sum()
    assert found["accounts"]["champion alone"] == found["accounts"]["challenger alone"]
    assert found["payers"].sum() == (both["paid"]["champion"] > 0).sum()
    assert (found["pay_rate_low"] <= found["pay_rate"]).all()
    assert (found["pay_rate"] <= found["pay_rate_high"]).all()
    assert found["predicted_by_champion"].sum() == pytest.approx(both["p_pay"]["champion"].sum())


def test_tables_of_an_empty_store_say_what_is_missing(store: Store) -> None:
    for table in (
        parts(store, MONTH),
        key_figures(store, MONTH),
        changes(store, MONTH),
        roll_rates(store),
        swap_set(store),
    ):
        assert table.missing is not None
        assert "no score was given yet" in table.missing.what
    assert liquidation(store).missing is not None


def test_without_a_challenger_the_swap_set_says_so(store: Store) -> None:
    frames = frames_of(10)
    send(store, frames)
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(1))
    roll_up(store, SETTINGS, NOW)
    found = swap_set(store)
    assert found.rows.empty
    assert found.missing is not None
    assert "no challenger" in found.missing.what
    with store.reading() as connection:
        assert connection.execute(sql.text("SELECT min(as_of) FROM observations")).scalar_one() == FIRST
