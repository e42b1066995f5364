"""Who comes to the pages: by which session, for how long, from where, and what others are told."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.errors import StoreError
from serving.guard.keys import Key, KeyRefusedError, Keys, Scope, keys_of
from serving.guard.limits import Rates
from serving.guard.sessions import COOKIE, LASTS, Sessions, session_secret
from serving.languages.language import LANGUAGES, language_called
from serving.review.pages.sign_in import page_or_first
from serving.review.pages.table import PAGES, RULES
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT, language_of
from serving.store.database import Store
from serving.store.keys import revoke_key
from serving.store.overrides import list_overrides
from serving.store.sessions import read_ended_sessions
from tests.serving.review.pages.conftest import ADDRESS, BrowserOf, token_for
from tests.serving.small import AS_OF

KEY = Key(7, "manager", b"d" * 32, frozenset({Scope.REVIEW}), 0)
SESSIONS, KEYS = Sessions(b"s" * 32), keys_of([KEY])


def heading(page: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page)
    assert found is not None
    return unescape(found[1])


def enter(browser: TestClient, key: str, **headers: str) -> int:
    sent = {"origin": ADDRESS, **headers}
    answer = browser.post(f"{ROOT}/sign-in", data={"key": key}, headers=sent, follow_redirects=False)
    return int(answer.status_code)


# ---------------------------------------------------------------------------- sessions


def test_a_session_stands_for_its_key_until_it_or_the_key_is_over() -> None:
    session = SESSIONS.write(KEY, AS_OF)
    assert SESSIONS.holder(session, KEYS, AS_OF + LASTS - 1) == KEY
    ended = Keys({7: Key(7, "manager", KEY.digest, KEY.scopes, 0, revoked_at=AS_OF)})
    expired = Keys({7: Key(7, "manager", KEY.digest, KEY.scopes, 0, expires_at=AS_OF)})
    for keys, now in ((KEYS, AS_OF + LASTS), (ended, AS_OF), (expired, AS_OF)):
        with pytest.raises(KeyRefusedError, match="is over"):
            SESSIONS.holder(session, keys, now)


@given(place=st.integers(0, 60), sign=st.sampled_from("0123456789.abAB-_ é"))
def test_a_session_that_was_changed_anywhere_opens_nothing(place: int, sign: str) -> None:
    session = SESSIONS.write(KEY, AS_OF)
    changed = session[:place] + sign + session[place + 1 :]
    if changed != session:
        with pytest.raises(KeyRefusedError):
            SESSIONS.holder(changed, KEYS, AS_OF)


@given(st.text(max_size=80))
def test_no_other_text_is_a_session(text: str) -> None:
    with pytest.raises(KeyRefusedError):
        SESSIONS.holder(text, KEYS, AS_OF)


def test_a_session_of_another_service_or_of_a_key_of_the_same_number_opens_nothing() -> None:
    session = SESSIONS.write(KEY, AS_OF)
    other = keys_of([Key(7, "other", b"e" * 32, KEY.scopes, 0)])
    for sessions, keys in ((Sessions(b"t" * 32), KEYS), (SESSIONS, other)):
        with pytest.raises(KeyRefusedError, match="sign in"):
            sessions.holder(session, keys, AS_OF)


def test_the_secret_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "new" / "sessions.key"
    secret = session_secret(file)
    assert len(secret) == 32
    assert session_secret(file) == secret
    assert file.stat().st_mode & 0o077 == 0
    assert [one.name for one in file.parent.iterdir()] == ["sessions.key"]
    assert session_secret(None) != session_secret(None)


# ---------------------------------------------------------------------------- sign-in


def test_a_key_for_review_opens_the_pages_and_leaving_closes_them(browser_of: BrowserOf, store: Store) -> None:
    browser = browser_of(token_for(store, Scope.REVIEW))
    assert heading(browser.get(ROOT).text) == "Overview"
    left = browser.post(f"{ROOT}/sign-out", headers={"origin": ADDRESS})
    assert heading(left.text) == "Sign in"
    assert COOKIE not in browser.cookies
    assert heading(browser.get(f"{ROOT}/queue").text) == "Sign in"


def test_the_cookie_is_for_this_service_alone_and_holds_no_key(browser_of: BrowserOf, store: Store) -> None:
    token = token_for(store, Scope.REVIEW)
    for is_tls in (False, True):
        browser = browser_of(tls=is_tls)
        answer = browser.post(
            f"{ROOT}/sign-in", data={"key": token}, headers={"origin": ADDRESS}, follow_redirects=False
        )
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", f"path={ROOT}", f"max-age={12 * 3600}"))
        assert ("secure" in cookie) == is_tls
        assert token.split("_", 2)[2].lower() not in cookie


def test_whoever_has_no_key_is_led_to_the_sign_in_and_back(browser_of: BrowserOf, store: Store) -> None:
    token = token_for(store, Scope.REVIEW)
    browser = browser_of()
    asked = browser.get(f"{ROOT}/account?id=A00000", follow_redirects=False)
    assert asked.status_code == 303
    page = browser.get(asked.headers["location"])
    assert 'value="/review/account?id=A00000"' in page.text
    form = {"key": token, "next": "/review/account?id=A00000"}
    after = browser.post(f"{ROOT}/sign-in", data=form, headers={"origin": ADDRESS}, follow_redirects=False)
    assert after.headers["location"] == "/review/account?id=A00000"


def test_other_keys_and_none_are_refused(browser_of: BrowserOf, store: Store) -> None:
    scoring, old = token_for(store, Scope.SCORE), token_for(store, Scope.REVIEW, expires_at=AS_OF)
    browser = browser_of()
    assert [enter(browser, key) for key in ("", "recoup_1_guess", old, scoring)] == [401, 401, 401, 403]
    assert COOKIE not in browser.cookies


def test_a_form_of_another_site_is_refused(browser_of: BrowserOf, store: Store) -> None:
    token = token_for(store, Scope.REVIEW)
    browser = browser_of(token)
    for origin in ("https://evil.example", "null", ""):
        assert enter(browser_of(), token, origin=origin) == 403
        form = {"account_id": "A00000", "recommended": "call", "chosen": "sms", "reason": "no"}
        assert browser.post(f"{ROOT}/overrides", data=form, headers={"origin": origin}).status_code == 403
    assert not len(list_overrides(store))


def test_a_session_ends_with_its_key(browser_of: BrowserOf, store: Store) -> None:
    browser = browser_of(token_for(store, Scope.REVIEW))
    session = browser.cookies[COOKIE]
    revoke_key(store, 1, AS_OF)
    again = browser_of()
    again.cookies.set(COOKIE, session)
    assert heading(again.get(f"{ROOT}/queue").text) == "Sign in"


def somebody_with(browser_of: BrowserOf, session: str) -> TestClient:
    """Another browser, at another worker, with a copy of a session's cookie."""
    other = browser_of()
    other.cookies.set(COOKIE, session)
    return other


def test_who_signs_out_is_out_on_every_worker_and_others_with_the_key_are_not(
    browser_of: BrowserOf, store: Store
) -> None:
    token = token_for(store, Scope.REVIEW)
    browser, colleague = browser_of(token), browser_of(token)
    session = browser.cookies[COOKIE]
    copied = somebody_with(browser_of, session)
    assert heading(copied.get(f"{ROOT}/account").text) == "Account"
    browser.post(f"{ROOT}/sign-out", headers={"origin": ADDRESS})
    for_itself = browser.get(f"{ROOT}/account", headers={"cookie": f"{COOKIE}={session}"})
    assert heading(for_itself.text) == "Sign in", "the worker that was told knows at once"
    assert heading(somebody_with(browser_of, session).get(f"{ROOT}/account").text) == "Sign in"
    assert heading(somebody_with(browser_of, colleague.cookies[COOKIE]).get(f"{ROOT}/account").text) == "Account"
    assert enter(browser, token) == 303, "who left may come in again"
    assert heading(browser.get(f"{ROOT}/account").text) == "Account"


def test_nothing_is_kept_of_who_leaves_without_a_session(browser_of: BrowserOf, store: Store) -> None:
    token_for(store, Scope.REVIEW)
    for session in ("", "1.2.3.4", "x" * 3_000):
        left = somebody_with(browser_of, session).post(f"{ROOT}/sign-out", headers={"origin": ADDRESS})
        assert heading(left.text) == "Sign in"
    assert not read_ended_sessions(store)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_where_the_store_is_gone_the_cookie_is_gone_too_and_the_rest_is_said(
    browser_of: BrowserOf, store: Store, tag: str
) -> None:
    def gone(*_: object) -> None:
        raise StoreError("the store does not answer")

    browser = browser_of(token_for(store, Scope.REVIEW), end_session=gone)
    browser.cookies.set(LANGUAGE_COOKIE, tag)
    left = browser.post(f"{ROOT}/sign-out", headers={"origin": ADDRESS})
    assert left.status_code == 503
    assert heading(left.text) == language_called(tag).gettext("Signed out here")
    assert COOKIE not in browser.cookies


def test_a_session_opens_the_pages_and_not_the_api(browser_of: BrowserOf, store: Store) -> None:
    browser = browser_of(token_for(store, Scope.REVIEW))
    assert browser.get("/metrics").status_code == 401


def test_attempts_are_limited(browser_of: BrowserOf, store: Store, tmp_path: Path) -> None:
    token_for(store, Scope.REVIEW)
    browser = browser_of(rates=Rates(tmp_path / "rates", 1.0, lambda: 100.0))
    found = [enter(browser, "recoup_1_guess") for _ in range(5)]
    assert found == [401, 401, 429, 429, 429]


def test_without_any_key_the_pages_are_open_to_this_machine_alone(browser_of: BrowserOf) -> None:
    browser = browser_of()
    assert browser.get(f"{ROOT}/account").status_code == 200
    assert browser.get(f"{ROOT}/account", headers={"host": "evil.example"}).status_code == 403
    assert browser.get(f"{ROOT}/account", headers={"origin": "https://evil.example"}).status_code == 403
    closed = browser_of(open_without_keys=False)
    assert heading(closed.get(f"{ROOT}/account").text) == "Sign in"


@given(st.text(max_size=40))
def test_a_page_leads_to_pages_of_this_service_alone(text: str) -> None:
    for address in (text, ROOT + text, f"{ROOT}/{text}"):
        found = page_or_first(address)
        assert found == ROOT or found.startswith((f"{ROOT}/", f"{ROOT}?"))
        assert found.isascii()
        assert not re.match(r"/\S*(//|\\|\.\.)[^?]*$", found.partition("?")[0])


# ---------------------------------------------------------------------------- what every page has


@pytest.mark.parametrize(
    "path",
    [
        "/overview",
        "/predicted",
        "/flows",
        "/queue",
        "/held",
        "/account",
        "/nowhere",
        "/sign-in?next=x",
        "/queue?as_of=never",
    ],
)
def test_every_page_is_strict_about_what_it_loads(browser_of: BrowserOf, store: Store, path: str) -> None:
    token_for(store, Scope.REVIEW)
    answer = browser_of().get(f"{ROOT}{path}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|https?://(?!127)", answer.text)


def test_every_page_but_the_sign_in_needs_a_key_for_review() -> None:
    free = {(page.method, page.path) for page in PAGES if page.scope is None}
    assert free == {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/language")}
    assert {rule.scope for rule in RULES} == {Scope.REVIEW, None}


def test_files_may_be_kept_and_others_are_not_there(browser_of: BrowserOf) -> None:
    browser = browser_of()
    sheet = browser.get(f"{ROOT}/static/review.css")
    assert (sheet.status_code, sheet.headers["content-type"].partition(";")[0]) == (200, "text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert "url(" not in sheet.text
    for name in ("nothing.css", "..%2Fvisit.py", "%2e%2e/visit.py"):
        assert browser.get(f"{ROOT}/static/{name}").status_code == 404


# ---------------------------------------------------------------------------- languages


def test_the_browsers_language_is_taken_until_one_is_chosen(browser_of: BrowserOf) -> None:
    browser = browser_of()
    chinese = browser.get(f"{ROOT}/account", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert heading(chinese.text) == "账户"
    assert '<html lang="zh-Hans">' in chinese.text
    form = {"language": "en", "back": f"{ROOT}/account"}
    back = browser.post(f"{ROOT}/language", data=form, headers={"origin": ADDRESS, "accept-language": "zh"})
    assert browser.cookies[LANGUAGE_COOKIE] == "en"
    assert (back.url.path, heading(back.text)) == (f"{ROOT}/account", "Account")


@given(st.text(max_size=60))
def test_any_accepted_language_gives_one(text: str) -> None:
    assert language_of("", text).tag in ("en", "zh-Hans")
    assert language_of(text, "").tag in ("en", "zh-Hans")
