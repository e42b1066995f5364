"""Drift as its first user sees it: a world, a model, a store that is watched at two moments, and the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import recoup
from features.units import parse_instant
from serving.drift import Judged
from serving.engine import make_engine
from serving.review.exporting import TABLES
from serving.review.pages.visit import ROOT
from serving.store.database import Store, open_store
from serving.store.drift import read_report
from tests.serving.review.pages.conftest import ADDRESS, guarded, rows_of
from training.registry import open_model

MOMENTS = ("2024-08-10", "2024-08-20")
NOW = parse_instant("2024-08-21")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    """A store whose champion was watched twice."""
    found, world = f"sqlite:///{place}/store.db", str(place / "world")
    quick = place / "quick.toml"
    quick.write_text("[p_pay]\ntrees = 15\n[fraction]\ntrees = 15\n[promise]\ntrees = 15\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOUP_VAR", str(place / "var"))
        done = [
            ["simulate", "--accounts", "1200", "--days", "240", "--seed", "5", "--truth-draws", "0", "--out", world],
            ["train", world, "--config", str(quick), "--until", "2024-06-20", "--brief"],
            ["load", world, "--store", found],
        ]
        assert [recoup.main(arguments) for arguments in done] == [0, 0, 0]
        # Within its limits or not: the report is kept.
        assert {recoup.main(["monitor", found, "--as-of", moment]) for moment in MOMENTS} <= {0, 1}
        yield found


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def browser(url: str, place: Path) -> Iterator[TestClient]:
    engine = make_engine(open_model("champion", f"sqlite:///{place}/var/mlflow.db"))
    with opened(url) as store:
        yield TestClient(guarded(engine, store, NOW), base_url=ADDRESS)


@pytest.fixture(scope="module")
def reports(url: str, place: Path) -> list[Judged]:
    model = open_model("champion", f"sqlite:///{place}/var/mlflow.db").label
    with opened(url) as store:
        return [read_report(store, model, parse_instant(moment)) for moment in MOMENTS]


@pytest.mark.slow
def test_the_page_tells_what_monitoring_found(browser: TestClient, reports: list[Judged]) -> None:
    for moment, judged in zip(MOMENTS, reports, strict=True):
        report, page = judged.report, browser.get(f"{ROOT}/drift", params={"as_of": moment}).text
        beyond = any(not one.warns for one in judged.passed)
        assert ("Beyond its limits" if beyond else "Within its limits") in page
        auc, brier = rows_of(page, "performance")
        assert auc[1:3] == [f"{figure:.3f}" for figure in (report.expected_auc, report.reference_auc)]
        assert report.reference_brier is not None
        assert brier[1:3] == [f"{figure:.3f}" for figure in (report.expected_brier, report.reference_brier)]
        assert report.matured is not None
        assert auc[3].startswith(f"{report.matured.auc:.3f}")
        assert len([row for row in rows_of(page, "alerts") if row[3] == "not ended"]) == len(judged.passed)
        assert len(re.findall(r'<option value="2024', page)) == 2


@pytest.mark.slow
def test_every_column_has_a_page_whose_shares_add_up(browser: TestClient, reports: list[Judged]) -> None:
    shifts = reports[-1].report.shifts
    for shift in shifts[:: max(1, len(shifts) // 25)]:
        column = browser.get(f"{ROOT}/drift/column", params={"name": shift.name}).text
        rows = rows_of(column, "distribution")
        for share in (1, 2):
            assert sum(float(row[share].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.5 * len(rows))
        assert f"{shift.psi:.3f}" in column


@pytest.mark.slow
def test_the_tables_of_a_month_are_those_of_its_last_report(url: str) -> None:
    with opened(url) as store:
        found = {name: TABLES[name](store, 202408).rows for name in TABLES if name.startswith("drift")}
    assert set(found) == {"drift", "drift_distributions", "drift_performance", "drift_alerts"}
    assert found["drift"]["as_of"].unique().tolist() == ["2024-08-20T00:00:00Z"]
    assert len(found["drift_performance"]) == 2
    assert {*found["drift"]["column"]} == {*found["drift_distributions"]["column"]}
