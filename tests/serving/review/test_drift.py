"""Alerts are spells as a plain loop finds them; a distribution is told bin by bin; tables hold what a report does."""

from __future__ import annotations

import math
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.units import DAY, format_instant, parse_instant
from serving.drift import Bins, Passed
from serving.review.drift import (
    TABLES,
    Alert,
    Standing,
    alerts_of,
    bins_in_order,
    columns,
    most_changed,
    of_month,
    standing_of,
    tables_of,
)
from serving.review.exporting import csv_text
from serving.store.database import Store
from serving.store.drift import PassedAt, keep_report
from serving.store.portfolio import keep_settings
from tests.serving.review.drifted import FIRST, GAIN, judged_report, watched
from tests.serving.small import SETTINGS
from training.reference import distribution

#: For each of some limits, what each report found of it: nothing, a figure that warns, or one beyond.
_FINDINGS = st.lists(
    st.lists(st.one_of(st.none(), st.tuples(st.sampled_from([0.2, 0.3, 0.4]), st.booleans())), min_size=3, max_size=3),
    min_size=1,
    max_size=9,
)
_LIMITS = (("psi", "balance"), ("psi", "p_pay"), ("auc", ""))


def found_at(findings: list[list[tuple[float, bool] | None]]) -> list[PassedAt]:
    return [
        PassedAt(10 * place, Passed(of, one[0], 0.1, one[1], name))  # type: ignore[arg-type]
        for place, row in enumerate(findings)
        for (of, name), one in zip(_LIMITS, row, strict=True)
        if one is not None
    ]


@given(_FINDINGS)
def test_alerts_are_those_of_a_plain_loop(findings: list[list[tuple[float, bool] | None]]) -> None:
    slow = []
    for column, (of, name) in enumerate(_LIMITS):
        for warns in (True, False):
            spell: list[tuple[int, float]] = []
            for place in range(len(findings) + 1):
                one = findings[place][column] if place < len(findings) else None
                if one is not None and one[1] == warns:
                    spell.append((10 * place, one[0]))
                elif spell:
                    figures = [figure for _, figure in spell]
                    worst = min(figures) if of == "auc" else max(figures)
                    ended = 10 * place if place < len(findings) else None
                    passed = Passed(of, worst, 0.1, warns, name)  # type: ignore[arg-type]
                    slow.append(Alert(spell[0][0], spell[-1][0], ended, len(spell), passed))
                    spell = []
    moments = [10 * place for place in range(len(findings))]
    found = alerts_of(moments, found_at(findings))
    assert sorted(found, key=repr) == sorted(slow, key=repr)
    assert [one.ended is None for one in found] == sorted((one.ended is None for one in found), reverse=True)


@given(_FINDINGS)
def test_the_standing_is_since_the_last_change(findings: list[list[tuple[float, bool] | None]]) -> None:
    beyond = [any(one is not None and not one[1] for one in row) for row in findings]
    moments = [10 * place for place in range(len(findings))]
    since = next((place + 1 for place in reversed(range(len(beyond))) if beyond[place] != beyond[-1]), 0)
    expected = Standing(beyond[-1], 10 * since, len(beyond) - since)
    assert standing_of(moments, found_at(findings)) == expected


def test_a_distribution_is_told_bin_by_bin() -> None:
    column = np.r_[np.zeros(50), np.ones(30), np.arange(2, 18), [np.nan] * 4].astype(np.float32)
    found = distribution(column)
    assert found.edges is not None
    told = bins_in_order(Bins(found.shares, found.shares, found.edges))
    assert [one.text for one in told][:3] == ["exactly 0", "exactly 1", "above 1 up to 8"]
    assert told[-1].text == "missing"
    assert told[0].training == pytest.approx(0.5)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.5, 1e6, -3.0, math.nan]), min_size=1, max_size=60))
def test_every_value_falls_into_one_bin_that_is_told(values: list[float]) -> None:
    column = np.array(values, np.float32)
    found = distribution(column)
    told = bins_in_order(Bins(found.shares, found.shares, found.edges))
    assert sum(one.training for one in told) == pytest.approx(1, abs=1e-5)
    for one in told:
        if math.isnan(one.high):
            share = np.isnan(column).mean()
        elif one.low == one.high:
            share = (column == np.float32(one.high)).mean()
        else:
            below = column < np.float32(one.high) if one.is_below else column <= np.float32(one.high)
            share = (below & (column > np.float32(one.low))).mean()
        assert one.training == pytest.approx(share, abs=2e-6), one.text


def test_values_of_a_category_have_their_names() -> None:
    bins = Bins((0.6, 0.4, 0.0), (0.5, 0.4, 0.1), None, ("card", "loan"))
    assert [one.text for one in bins_in_order(bins)] == ["card", "loan", "missing"]
    assert most_changed(bins).text == "missing"
    assert most_changed(bins).change == pytest.approx(0.1)


def test_the_table_of_columns_says_which_moved_and_how() -> None:
    psi = {
        "balance": 0.3,
        "payments_30d": 0.14,
        "days_since_last_right_party_contact": 0.9,
        "calendar_month": 0.9,
        "days_since_placed": 0.9,
    }
    labels = {"balance": "what is owed"}
    rows = columns(judged_report(FIRST, psi=psi, moved=0.1), labels).set_index("column")
    assert rows["verdict"].to_dict() == {
        "p_pay": "stable", "expected_amount": "stable", "balance": "shifted", "payments_30d": "watch",
        "segment": "stable", "days_since_last_right_party_contact": "minor", "calendar_month": "calendar",
        "days_since_placed": "ageing",
    }  # fmt: skip
    balance = rows.loc["balance"]
    assert (balance["label"], rows.loc["segment", "label"]) == ("what is owed", "")
    assert (balance["most_changed"], balance["share_at_training"]) == ("above 1200", 0.08)
    assert balance["share_now"] == pytest.approx(0.18)
    assert set(rows.index) == {"p_pay", "expected_amount", *GAIN}


def test_tables_of_a_report_go_up_to_its_moment(store: Store) -> None:
    keep_settings(store, SETTINGS)
    watched(store, days=20)
    found = tables_of(store, "small/1", FIRST + 12 * DAY)
    assert set(found) == set(TABLES)
    assert all(tuple(found[name].rows) == names for name, names in TABLES.items())
    assert len(found["drift_performance"].rows) == 13
    alert, before = found["drift_alerts"].rows.to_dict("records")
    assert (alert["of"], alert["column"], alert["level"], alert["ended"]) == ("psi", "payments_30d", "breach", "")
    for name in ("drift", "drift_distributions", "drift_alerts"):
        rows = found[name].rows
        assert set(rows.loc[rows["column"] == "payments_30d", "label"]) == {"payments, last 30 days"}
    assert alert["began"] == format_instant(FIRST + 12 * DAY) == before["ended"]
    assert (before["level"], before["began"]) == ("warning", format_instant(FIRST + 10 * DAY))
    assert (alert["worst_figure"], before["worst_figure"]) == (0.3, 0.12)
    assert found["drift"].rows["as_of"].unique().tolist() == [format_instant(FIRST + 12 * DAY)]
    whole = tables_of(store, "small/1", FIRST + 19 * DAY)["drift_alerts"].rows
    assert whole["ended"].tolist() == ["", "", *(format_instant(FIRST + day * DAY) for day in (16, 12))]
    read = pd.read_csv(StringIO(csv_text(found["drift_distributions"])))
    assert (read.groupby("column")["share_now"].sum() - 1).abs().max() < 1e-9


def test_a_month_has_the_last_report_of_each_model(store: Store) -> None:
    for model, days in (("small/1", 40), ("small/2", 3)):
        watched(store, model, days)
    march = of_month("drift")(store, 202603).rows
    assert march.groupby("model")["as_of"].unique().map(list).to_dict() == {
        "small/1": ["2026-03-31T00:00:00Z"], "small/2": ["2026-03-03T00:00:00Z"]
    }  # fmt: skip
    april = of_month("drift_alerts")(store, 202604)
    assert april.rows["model"].unique().tolist() == ["small/1"]
    assert april.counted == "the report of small/1 as of 2026-04-09T00:00:00Z"


def test_what_is_missing_is_said(store: Store) -> None:
    table = of_month("drift")(store, 202603)
    assert table.rows.empty
    assert table.missing is not None
    assert "call recoup monitor" in table.missing.what
    keep_report(store, judged_report(parse_instant("2026-05-01")), FIRST)
    table = of_month("drift")(store, 202603)
    assert table.missing is not None
    assert table.missing.what == "no report of drift is of this month"
    none = of_month("drift_alerts")(store, 202605)
    assert none.missing is not None
    assert (len(none.rows), none.missing.what) == (0, "no limit was passed so far")
    assert of_month("drift")(store, 202605).missing is None
