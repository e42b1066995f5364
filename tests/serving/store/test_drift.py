"""Reports of monitoring come back from a store as they were, once per model and moment, in either database."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from features.errors import StoreError
from features.units import DAY, format_instant, parse_instant
from serving.drift import Passed
from serving.store.database import Store, is_store
from serving.store.drift import (
    PassedAt,
    keep_report,
    list_models,
    list_reports,
    read_passed,
    read_report,
    read_shifts,
)
from tests.serving.review.drifted import FIRST, LIMITS, judged_report, matured_report

LATER = FIRST + DAY


def test_a_report_comes_back_as_it_was(store: Store) -> None:
    judged = judged_report(FIRST, psi={"p_pay": 0.31, "balance": 0.12}, matured=matured_report(FIRST - 40 * DAY))
    keep_report(store, judged, LATER)
    again = read_report(store, "small/1", FIRST)
    assert again.limits == LIMITS
    assert again.passed == judged.passed
    assert {one.of for one in again.passed} == {"psi"}
    assert again.report == judged.report


def test_what_is_not_defined_comes_back_so(store: Store) -> None:
    matured = replace(matured_report(FIRST - 40 * DAY), auc=math.nan, auc_low=math.nan, auc_high=math.nan)
    judged = judged_report(FIRST, matured=matured)
    keep_report(store, judged, LATER)
    found = read_report(store, "small/1", FIRST).report.matured
    assert found is not None
    assert math.isnan(found.auc)
    (row,) = list_reports(store, "small/1").to_dict("records")
    assert math.isnan(row["auc"])
    assert row["brier"] == matured.brier
    assert row["matured_as_of"] == FIRST - 40 * DAY


def test_a_second_report_of_a_moment_takes_the_place_of_the_first(store: Store) -> None:
    keep_report(store, judged_report(FIRST, psi={"p_pay": 0.5}), LATER)
    keep_report(store, judged_report(LATER, psi={"p_pay": 0.4}), LATER)
    keep_report(store, judged_report(FIRST, psi={"p_pay": 0.2, "balance": 0.6}), LATER + 5)
    reports = list_reports(store, "small/1")
    assert reports["as_of"].tolist() == [FIRST, LATER]
    assert reports["made_at"].tolist() == [LATER + 5, LATER]
    assert read_passed(store, "small/1", LATER) == [
        PassedAt(FIRST, Passed("psi", 0.6, 0.25, name="balance")),
        PassedAt(FIRST, Passed("psi", 0.2, 0.1, warns=True, name="p_pay")),
        PassedAt(LATER, Passed("psi", 0.4, 0.25, name="p_pay")),
    ]
    shifts = read_shifts(store, "small/1", ["p_pay"], FIRST, LATER)
    assert shifts[["as_of", "psi"]].to_numpy().tolist() == [[FIRST, 0.2], [LATER, 0.4]]


def test_models_have_reports_of_their_own_and_the_latest_comes_first(store: Store) -> None:
    for as_of, model in ((FIRST, "small/1"), (LATER, "small/2"), (FIRST, "small/2")):
        keep_report(store, judged_report(as_of, model=model, psi={"p_pay": 0.5}), LATER)
    assert list_models(store) == {"small/2": LATER, "small/1": FIRST}
    assert len(read_passed(store, "small/1", LATER)) == 1
    assert len(read_passed(store, "small/2", FIRST)) == 1
    assert list_reports(store, "small/2", until=FIRST)["as_of"].tolist() == [FIRST]


def test_a_report_that_there_is_not_is_told(store: Store) -> None:
    assert list_models(store) == {}
    assert list_reports(store, "small/1").empty
    with pytest.raises(StoreError, match=rf"no report of small/1 as of {format_instant(FIRST)}"):
        read_report(store, "small/1", FIRST)


def test_a_store_is_told_from_other_databases(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    url = store.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    assert is_store(url)
    folder = tmp_path_factory.mktemp("other")
    (folder / "portfolio.db").touch()
    assert not is_store(f"sqlite:///{folder}/portfolio.db")
    assert not is_store(f"sqlite:///{folder}/none.db")
    assert not (folder / "none.db").exists()
    assert not is_store("mysql://elsewhere/portfolio")
    assert parse_instant("2026-03-01") == FIRST
