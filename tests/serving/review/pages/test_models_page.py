"""Models as a page: what is in service, versions, cards and promotions, whoever wrote them, and what is not there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from features.units import DAY
from serving.engine import Engine, make_engine
from serving.languages.language import LANGUAGES, language_called
from serving.models.shadow import Shadow
from serving.review.models import tables_of
from serving.review.pages.report import report_page
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.review.pages.writing import Writing
from serving.store.database import Store
from tests.serving.review.pages.conftest import ADDRESS, guarded, rows_of
from tests.serving.review.pages.registries import CHECKS, HOLDOUT, registry_at, written
from tests.serving.review.pages.test_chinese import english_in
from tests.serving.review.rolled import NOW
from tests.serving.small import small_bundle
from training.registered import Registry

PAGE = f"{ROOT}/models"
At = Callable[..., TestClient]
LOST, GAINED = (f"AUC {found}" for found in ("-0.0500 (-0.0700 to -0.0300)", "+0.0102 (-0.0012 to +0.0216)"))
FAILED_CHECKS = "✗ AUC no worse ✗ calibration error"


def engine_called(label: str) -> Engine:
    bundle = small_bundle()
    manifest = replace(bundle.manifest, holdout=HOLDOUT, trained_until="2026-06-01T00:00:00Z")
    return make_engine(replace(bundle, label=label, manifest=manifest))


@pytest.fixture
def at(empty_store: Store, tmp_path: Path) -> At:
    """Somebody at the pages of a service whose watcher has seen a registry; none where `registry` is False."""

    def browser(
        label: str = "small/2", registry: Registry | bool = True, seen_at: int = NOW, url: str = "",
        challenger: str | None = "small/3",
    ) -> TestClient:  # fmt: skip
        found = registry if isinstance(registry, Registry) else registry_at(NOW)
        path = tmp_path / "nothing.json" if registry is False else written(tmp_path, seen_at, found, url)
        beside = None if challenger is None else engine_called(challenger)
        app = guarded(engine_called(label), empty_store, NOW, path, Shadow(lambda: beside))
        return TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)

    return browser


def text_of(page: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split()))


def test_what_is_in_service_since_when_by_whom_and_why(at: At) -> None:
    page = at().get(PAGE).text
    words = text_of(page)
    assert (
        "champion: small/2 Champion since 22 Aug 08:00, by ann. It was brought back, in the place of small/1." in words
    )
    assert "challenger: small/3" in words
    assert "It was refused on 30 Aug: 2 checks failed." in words
    assert "0.731 ± 0.015" in words
    assert 'class="alert">The registry' not in page


def test_versions_with_their_figures(at: At) -> None:
    rows = rows_of(at().get(PAGE).text, "versions")
    assert [row[0] for row in rows] == ["small/4", "small/3 challenger", "small/2 champion <canary>", "small/1"]
    champion = rows[2]
    assert champion[3:10] == [
        "1,900 310 paid", "0.731 ± 0.015", "0.1235", "0.0163", "1.06 330 / 310, by moment",
        "1.02 ± 0.11 · 51,000 / 50,000", "42%",
    ]  # fmt: skip
    assert champion[10] == "310 payments were seen. The effect of visit cannot be told."
    assert rows[3][2:] == ["–", *(["–"] * 7), "not read yet", "run1"]
    assert rows[0][10].startswith("Not all of it could be read. May know the future: <i>balance</i>")


def test_promotions_in_order_with_what_they_were_decided_on(at: At) -> None:
    browser = at()
    rows = rows_of(browser.get(PAGE).text, "promotions")
    assert [row[1:] for row in rows] == [
        [*("<b>eve</b>", "small/3 was not to replace small/2", "refused", LOST), f"1 of 3 held {FAILED_CHECKS}"],
        ["bo", "small/9 in the place of small/2", "broken off", GAINED, "3 of 3 held"],
        ["ann", "small/2 back in the place of small/1", "done", "–", "–"],
        ["ann", "small/2 in the place of small/1", "done", GAINED, "3 of 3 held"],
        ["ann", "small/1 is the first champion", "done", "–", "–"],
    ]
    page = browser.get(f"{PAGE}/promotion", params={"run": "kept5"}).text
    assert rows_of(page, "checks") == [
        ["accounts on unseen time", "✓ holds", "310 paid, 1,590 did not", "at least 100 of either"],
        ["AUC no worse", "✗ fails", "-0.0500 (-0.0700 to -0.0300)", "lower end -0.0200 at least"],
        ["calibration error", "✗ fails", "0.0800 (champion 0.0100)", "0.0300 at most, of it 0.0100 by chance"],
    ]
    assert "mlflow runs describe --run-id compare2" in page
    for run_id in ("kept1", "kept3"):
        assert "passes no gate" in browser.get(f"{PAGE}/promotion", params={"run": run_id}).text
    # A version that was deleted since is named, and leads nowhere.
    assert "card?version=9" not in browser.get(f"{PAGE}/promotion", params={"run": "kept4"}).text


def test_a_card_is_shown_as_it_was_written(at: At) -> None:
    page = at().get(f"{PAGE}/card", params={"version": "2"}).text
    assert "<h2>Model of small</h2>" in page
    assert "<h3>Known limits</h3>" in page
    assert "<code>p_pay</code>" in page
    assert page.count("<h1>") == 1
    assert "b" * 64 in page


@pytest.mark.parametrize("path", ["", "/card?version=4", "/promotion?run=kept5"])
@pytest.mark.parametrize("url", ["", "https://mlflow.example"])
def test_whatever_the_registry_holds_is_text_alone(at: At, path: str, url: str) -> None:
    answer = at(url=url).get(f"{PAGE}{path}")
    assert answer.status_code == 200
    tags = re.findall(r"<(/?[a-z0-9]+)([^>]*)>", answer.text)
    assert not {name for name, _ in tags} & {"script", "style", "iframe", "img/", "b", "i", "u", "object", "canary"}
    assert not [attributes for _, attributes in tags if re.search(r"\s(on[a-z]+|style|srcdoc)=", attributes)]
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', answer.text)
    assert all(address.startswith((ROOT, "#", "https://mlflow.example/#/")) for address in addresses), addresses


def test_runs_are_linked_where_people_find_mlflow(at: At) -> None:
    browser = at(url="https://mlflow.example/ml")
    assert 'href="https://mlflow.example/ml/#/experiments/7/runs/run2"' in browser.get(PAGE).text
    page = browser.get(f"{PAGE}/card", params={"version": "4"}).text
    assert 'href="https://mlflow.example/ml/#/experiments/7%2F..%2F8/runs/..%2Frun%3F%3Cx%3E"' in page
    assert "/runs/compare2" in browser.get(f"{PAGE}/promotion", params={"run": "kept5"}).text


def test_a_registry_that_is_away_is_told_with_the_moment(at: At) -> None:
    assert "has not answered since" not in at(seen_at=NOW - 100_000_000).get(PAGE).text
    page = text_of(at(seen_at=NOW - 2 * DAY).get(PAGE).text)
    assert "As the registry said on 30 Aug 08:00, Asia/Shanghai. The registry has not answered since then" in page


def test_a_champion_that_is_not_served_is_told(at: At) -> None:
    page = text_of(at(label="small/1").get(PAGE).text)
    assert "The registry's champion is small/2: it is being fetched" in page
    assert "Who made it the champion is not recorded" in page


def test_what_another_service_followed_on_this_port_is_not_shown(at: At) -> None:
    page = text_of(at(label="other/2", challenger=None).get(PAGE).text)
    assert "champion: other/2" in page
    assert "small" not in page
    assert "was not read yet" in page


def test_a_fixed_model_has_its_own_figures(empty_store: Store) -> None:
    app = guarded(engine_called("bundle-folder"), empty_store, NOW)
    browser = TestClient(app, base_url=ADDRESS)
    page = text_of(browser.get(PAGE).text)
    assert "champion: bundle-folder Learned from what was known before 1 Jun." in page
    assert "0.731 ± 0.015" in page
    assert "follows no alias" in page
    refused = browser.get(f"{PAGE}.csv")
    assert (refused.status_code, "has not seen it" in refused.text) == (400, True)


def test_before_anything_was_read_and_where_nothing_is_kept(at: At) -> None:
    assert "was not read yet" in at(registry=False).get(PAGE).text
    page = text_of(at(registry=Registry("small"), challenger=None).get(PAGE).text)
    assert "no version is registered yet" in page
    assert "no promotion was kept yet" in page


@pytest.mark.parametrize("path", ["card?version=77", "promotion?run=../kept1"])
def test_what_is_not_there_is_said(at: At, path: str) -> None:
    assert at().get(f"{PAGE}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["card", "promotion"])
def test_where_none_is_named_all_are_shown(at: At, path: str) -> None:
    assert at().get(f"{PAGE}/{path}").url.path == PAGE


def test_files_hold_everything(at: At) -> None:
    browser = at()
    tables = {}
    for name in ("versions", "promotions", "checks"):
        answer = browser.get(f"{PAGE}.csv", params={"table": name})
        tables[name] = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["version"] for row in tables["versions"]] == [f"small/{number}" for number in "4321"]
    assert tables["versions"][1]["auc"] == "0.7312"
    assert [(row["what"], row["by"], row["came_about"]) for row in tables["promotions"]] == [
        ("refused", "<b>eve</b>", "False"), ("promoted", "bo", "False"), ("rolled_back", "ann", "True"),
        ("promoted", "ann", "True"), ("first", "ann", "True"),
    ]  # fmt: skip
    assert tables["promotions"][0]["checks_failed"] == "AUC no worse; calibration error"
    assert len(tables["checks"]) == 3 * len(CHECKS)
    assert browser.get(f"{PAGE}.xlsx").content.startswith(b"PK")
    assert browser.get(f"{PAGE}.csv?table=others").status_code == 400


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_page_is_there_in_every_language(at: At, tag: str) -> None:
    browser = at()
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    for path in ("", "/card?version=2", "/card?version=1", "/promotion?run=kept5", "/promotion?run=kept1"):
        page = browser.get(f"{PAGE}{path}")
        assert page.status_code == 200
        assert f'<html lang="{tag}">' in page.text


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_report_to_print_has_versions_promotions_and_the_last_checks(tag: str) -> None:
    tables = {f"model_{name}": table for name, table in tables_of(registry_at(NOW), NOW).items()}
    write = Writing(language_called(tag), ZoneInfo("Asia/Shanghai"), NOW)
    page = report_page(tables, "small", 202608, write)
    assert not re.search(r"<(script|b|i|u)\b", page)
    versions, promotions, checks = (rows_of(page, name) for name in tables)
    assert [row[0] for row in versions] == ["small/4", "small/3", "small/2", "small/1"]
    assert versions[1][6:11] == ["0.731", "0.123", "0.016", "1.02", "42%"]
    assert [row[1] for row in promotions] == ["<b>eve</b>", "bo", "ann", "ann", "ann"]
    assert [row[1][0] for row in checks] == ["✓", "✗", "✗"], "those of the refusal, which is the latest"
    nothing = {f"model_{name}": table for name, table in tables_of(Registry("small"), NOW).items()}
    assert "recoup train" in report_page(nothing, "small", 202608, write)


@pytest.mark.parametrize(
    "path", ["", "/card?version=2", "/card?version=1", "/promotion?run=kept5", "/promotion?run=kept1"]
)
def test_in_chinese_only_what_was_written_in_english_is(at: At, path: str) -> None:
    browser = at(seen_at=NOW - DAY)
    browser.cookies.set(LANGUAGE_COOKIE, "zh-Hans")
    page = browser.get(f"{PAGE}{path}").text
    written_in_english = re.compile(r'<(\w+)[^>]* lang="en"[^>]*>.*?</\1>|<code.*?</code>', re.DOTALL)
    assert english_in(written_in_english.sub("", page)) == []
