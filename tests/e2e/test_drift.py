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


def report_of(store: Store, model: str, moment: str) -> Judged:
    return read_report(store, model, parse_instant(moment))


@pytest.mark.slow
def test_the_page_tells_what_monitoring_found(url: str, place: Path) -> None:
    bundle = open_model("champion", f"sqlite:///{place}/var/mlflow.db")
    engine = make_engine(bundle)
    with opened(url) as store:
        client = TestClient(guarded(engine, store, NOW), base_url=ADDRESS)  # type: ignore[arg-type]
        for moment in MOMENTS:
            judged = report_of(store, bundle.label, moment)
            page = client.get(f"{ROOT}/drift", params={"as_of": moment}).text
            beyond = any(not one.warns for one in judged.passed)
            assert ("Beyond its limits" if beyond else "Within its limits") in page
            performance = rows_of(page, "performance")
            assert performance[0][1:3] == [
                f"{figure:.3f}" for figure in (judged.report.expected_auc, judged.report.reference_auc)
            ]
            assert judged.report.reference_brier is not None
            assert performance[1][2] == f"{judged.report.reference_brier:.3f}"
            open_now = [row for row in rows_of(page, "alerts") if row[3] == "not ended"]
            assert len(open_now) == len(judged.passed)
            assert judged.report.matured is not None
            assert performance[0][3].startswith(f"{judged.report.matured.auc:.3f}")
        # Every column has its page, whose shares add up, then and now.
        for shift in judged.report.shifts[:: max(1, len(judged.report.shifts) // 25)]:
            column = client.get(f"{ROOT}/drift/column", params={"name": shift.name})
            assert column.status_code == 200, column.text
            rows = rows_of(column.text, "distribution")
            for place_of_share in (1, 2):
                total = sum(float(row[place_of_share].rstrip("%")) for row in rows)
                assert total == pytest.approx(100, abs=0.5 * len(rows))
            assert f"{shift.psi:.3f}" in column.text
        assert len(re.findall(r"<option value=\"2024", page)) == 2


@pytest.mark.slow
def test_the_tables_of_a_month_are_those_of_its_last_report(url: str) -> None:
    with opened(url) as store:
        found = {name: TABLES[name](store, 202408).rows for name in TABLES if name.startswith("drift")}
    assert set(found) == {"drift", "drift_distributions", "drift_performance", "drift_alerts"}
    assert found["drift"]["as_of"].unique().tolist() == ["2024-08-20T00:00:00Z"]
    assert len(found["drift_performance"]) == 2
    assert {*found["drift"]["column"]} == {*found["drift_distributions"]["column"]}
