"""The pages in a real browser: by keyboard, on a phone, in both languages, with nothing in the console or the way."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from serving.engine import Engine, make_engine
from serving.guard.keys import Scope
from serving.languages.language import language_called
from serving.models.shadow import Shadow
from serving.review.exporting import TABLES
from serving.review.pages.report import report_page
from serving.review.pages.table import NAVIGATION
from serving.review.pages.visit import ROOT
from serving.review.pages.writing import Writing
from serving.review.reading import reached
from serving.review.rollup import roll_up
from serving.store.database import Store, open_store
from serving.store.overrides import list_overrides
from tests.serving.review.drifted import watched
from tests.serving.review.pages.conftest import guarded, token_for
from tests.serving.review.pages.registries import written
from tests.serving.review.rolled import NOW, filled
from tests.serving.small import SETTINGS, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path; apt-get install chromium"),
]

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
LOCALES = {"en": "en-GB", "zh-Hans": "zh-CN"}
#: What keeps people out of a page, as axe-core weighs it.
GRAVE = {"serious", "critical"}


@dataclass(frozen=True)
class Site:
    """The pages at an address of this machine, the store behind them, and a key."""

    address: str
    store: Store
    token: str


@dataclass
class Seen:
    """What a page said in the console, and what it loaded from elsewhere."""

    said: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('browser')}/store.db")
    # So many that curves have ranges of every width, which a phone has to scroll.
    filled(store, n_accounts=400)
    roll_up(store, SETTINGS, NOW)
    watched(store)
    token, port = token_for(store, Scope.REVIEW), free_port()
    followed = make_engine(replace(engine.scorer.bundle, label="small/2"))
    registry = written(tmp_path_factory.mktemp("registry"), NOW)
    app: Any = guarded(followed, store, NOW, registry, Shadow(lambda: engine))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield Site(f"http://127.0.0.1:{port}{ROOT}", store, token)
    server.should_exit = True
    thread.join(10)
    store.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without its own sandbox, which no container lets root set up; it meets this service's pages alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def page_of(chromium: Browser, tag: str = "en", size: str = "desktop") -> tuple[Page, Seen]:
    """A page of a person's own, and what it says and loads."""
    width, height = SIZES[size]
    context = chromium.new_context(
        locale=LOCALES[tag], viewport={"width": width, "height": height}, is_mobile=size == "phone"
    )
    page, seen = context.new_page(), Seen()
    page.on("console", lambda one: seen.said.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda one: seen.loaded.append(one.url))
    return page, seen


def sign_in(page: Page, site: Site, path: str = "/queue") -> None:
    """Ask for a page, and come to it with the key, by keyboard alone."""
    page.goto(f"{site.address}{path}")
    page.wait_for_selector("#key:focus")
    page.keyboard.type(site.token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.address}{path}")


# Each language and each size: what the fourth pair would show, one of these does.
@pytest.mark.parametrize(("tag", "size"), [("en", "desktop"), ("en", "phone"), ("zh-Hans", "phone")])
def test_every_page_is_whole_quiet_and_open_to_everyone(site: Site, chromium: Browser, tag: str, size: str) -> None:
    page, seen = page_of(chromium, tag, size)
    page.goto(f"{site.address}/queue")
    paths = ["/sign-in", *(path for path, _ in NAVIGATION), "/account?id=A00000", "/account?id=A00001"]
    paths += ["/models/card?version=2", "/models/card?version=4", "/models/promotion?run=kept5"]
    paths += ["/drift/column?name=balance", "/drift?minor=shown"]
    for path in paths:
        if path == "/sign-in":
            assert page.locator("#key").count() == 1
        else:
            page.goto(f"{site.address}{path}")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.locator("html").get_attribute("lang") == tag
        assert page.locator("h1").count() == 1, path
        found = [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in Axe().run(page).response["violations"]
            if one["impact"] in GRAVE
        ]
        assert not found, (path, found)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{path} is {wider} pixels wider than the screen"
        if path == "/sign-in":
            sign_in(page, site)
    assert seen.said == []
    assert all(url.startswith(site.address) for url in seen.loaded)
    page.context.close()


def test_a_key_is_asked_for_and_a_wrong_one_is_told(site: Site, chromium: Browser) -> None:
    page, _ = page_of(chromium)
    page.goto(f"{site.address}/account?id=A00000")
    page.fill("#key", "recoup_1_guess")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.locator("#key").get_attribute("aria-invalid") == "true"
    page.fill("#key", site.token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.address}/account?id=A00000")
    assert page.evaluate("document.cookie") == "", "no script can read the session"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.address}/sign-in")
    page.goto(f"{site.address}/queue")
    assert "/sign-in" in page.url
    page.context.close()


def test_from_a_filter_to_an_account_and_a_choice_of_ones_own(site: Site, chromium: Browser) -> None:
    page, seen = page_of(chromium)
    sign_in(page, site)
    page.select_option("#channel", "call")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/queue?**channel=call**")
    assert set(page.locator(".channel").all_inner_texts()) == {"call"}
    link = page.locator("tbody th a").first
    account_id = link.inner_text()
    link.click()
    page.wait_for_url("**/account?id=**")
    assert account_id in page.locator("h1").inner_text()
    page.fill("#reason", "asked for letters")
    page.get_by_role("button", name="Keep this choice").click()
    page.wait_for_url("**#overrides")
    assert "asked for letters" in page.locator(".overrides").inner_text()
    kept = list_overrides(site.store, account_id)
    assert kept["reason"].tolist() == ["asked for letters"]
    assert seen.said == []
    page.context.close()


def test_a_queue_is_taken_home_as_a_table(site: Site, chromium: Browser, tmp_path: Path) -> None:
    page, _ = page_of(chromium)
    sign_in(page, site)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as a table").click()
    downloading.value.save_as(tmp_path / "queue.csv")
    lines = (tmp_path / "queue.csv").read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("rank,account_id,channel")
    assert len(lines) - 1 >= page.locator("tbody tr").count() > 0
    page.context.close()


def test_on_paper_there_is_what_is_read_and_no_table_is_cut_off(site: Site, chromium: Browser) -> None:
    page, _ = page_of(chromium)
    sign_in(page, site)
    page.emulate_media(media="print")
    # As wide as A4 on its side, without its margins.
    page.set_viewport_size({"width": 1032, "height": 700})
    for path in (*(path for path, _ in NAVIGATION), "/account?id=A00000"):
        page.goto(f"{site.address}{path}")
        for clicked in ("header.top", "form", ".button"):
            assert not any(one.is_visible() for one in page.locator(clicked).all()), (path, clicked)
        cut = page.evaluate(
            "[...document.querySelectorAll('table')]"
            ".filter(one => one.offsetWidth > one.closest('main').offsetWidth + 1).length"
        )
        assert not cut, path
    page.goto(f"{site.address}/predicted?month=2026-03&only=segment:card")
    assert page.locator(".on-paper").inner_text() == "Month of the score: Mar 2026; Segment: card"
    page.context.close()


def test_a_report_is_no_wider_than_a_phone(site: Site, chromium: Browser) -> None:
    tables = {name: make(site.store, 202603) for name, make in TABLES.items()}
    write = Writing(language_called("en"), ZoneInfo("UTC"), NOW)
    page, seen = page_of(chromium, size="phone")
    page.set_content(report_page(tables, "small", 202603, write, reached(site.store)))
    assert page.locator(".scroll .beyond").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert seen.said == []
    page.context.close()


def test_a_figure_leads_to_the_accounts_behind_it(site: Site, chromium: Browser) -> None:
    page, seen = page_of(chromium)
    sign_in(page, site, "/predicted")
    page.goto(f"{site.address}/predicted?month=2026-03")
    page.locator('a[href*="/predicted/accounts?"]').first.click()
    page.wait_for_url("**/predicted/accounts?**")
    page.locator('a[href*="/account?id="]').first.click()
    page.wait_for_url("**/account?id=**")
    assert seen.said == []
    page.context.close()


def test_from_the_champion_to_what_it_was_decided_on_and_its_card(
    site: Site, chromium: Browser, tmp_path: Path
) -> None:
    page, seen = page_of(chromium)
    sign_in(page, site, "/models")
    page.get_by_role("link", name="What it was decided on").first.click()
    page.wait_for_url("**/models/promotion?run=kept3")
    page.get_by_role("link", name="small/2").click()
    page.wait_for_url("**/models/card?version=2")
    assert page.get_by_role("heading", name="Known limits").count() == 1
    page.get_by_role("link", name="All versions").click()
    page.wait_for_url("**/models")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Excel").click()
    downloading.value.save_as(tmp_path / "models.xlsx")
    assert (tmp_path / "models.xlsx").read_bytes().startswith(b"PK")
    assert seen.said == []
    page.context.close()


def test_an_alert_leads_to_the_feature_that_moved_and_its_table_is_taken_home(
    site: Site, chromium: Browser, tmp_path: Path
) -> None:
    page, seen = page_of(chromium)
    sign_in(page, site, "/drift")
    assert "Beyond its limits" in page.locator(".standing").inner_text()
    page.locator(".standing a").first.click()
    page.wait_for_url("**/drift/column?**name=balance")
    assert page.locator("h1").inner_text() == "Balance"
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    downloading.value.save_as(tmp_path / "balance.csv")
    rows = (tmp_path / "balance.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) - 1 == page.locator("table.bins tbody tr").count() > 0
    page.get_by_role("link", name="Drift").last.click()
    page.wait_for_url("**/drift?**")
    page.select_option("#as_of", index=35)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/drift?**as_of=2026-03-06**")
    assert "Within its limits" in page.locator(".standing").inner_text()
    assert seen.said == []
    page.context.close()


def test_the_language_is_changed_where_one_is(site: Site, chromium: Browser) -> None:
    page, _ = page_of(chromium)
    sign_in(page, site, "/account?id=A00001")
    page.get_by_role("button", name="简体中文").click()
    page.wait_for_selector('html[lang="zh-Hans"]')
    assert page.url == f"{site.address}/account?id=A00001"
    page.get_by_role("button", name="English").click()
    page.wait_for_selector('html[lang="en"]')
    page.context.close()


def test_the_first_key_pressed_skips_to_the_content(site: Site, chromium: Browser) -> None:
    page, _ = page_of(chromium)
    sign_in(page, site)
    page.goto(f"{site.address}/queue")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.context.close()
