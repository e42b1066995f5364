"""Pages in Chinese: no sentence of them is in English, whatever the store holds and whatever is refused."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from features.settings import NamedCapacity, QueueRules, Where
from features.units import format_instant
from serving.contact_rules.packs import UNKNOWN_PACK, rule_packs
from serving.engine import Engine, make_engine
from serving.guard.keys import Scope
from serving.review.pages.cuts import CUTS
from serving.review.pages.table import NAVIGATION, PAGES
from serving.review.pages.visit import LANGUAGE_COOKIE, ROOT
from serving.review.rollup import roll_up
from serving.store.database import Store, open_store
from tests.serving.review.pages.conftest import ADDRESS, guarded, token_for
from tests.serving.review.rolled import NOW, frames_of, write_scores
from tests.serving.small import AS_OF, SETTINGS, small_bundle
from tests.serving.store.test_histories import send

#: Three words of Latin letters in a row: names of places, models and columns have signs between them.
SENTENCE = re.compile(r"(?<![\w/_-])[A-Za-z][a-z']+(?:[ ,;:]+[A-Za-z][A-Za-z'-]*){2,}")
#: What is left as it is: where a rule is written, the technical part of an error, and commands.
AS_IT_IS = (
    re.compile(r'<small class="source" lang="en">.*?</small>', re.DOTALL),
    re.compile(r'<(p|pre) class="detail" lang="en">.*?</\1>', re.DOTALL),
    re.compile(r"recoup keys create NAME --scope review"),
)
#: A portfolio with every rule that a queue may tell of.
RULED = replace(
    SETTINGS,
    queue=QueueRules(
        broken_promise_first=True, unseen_days=3, rest_days=1, ladder="default",
        capacities=(NamedCapacity("nobodys", 5, where=Where(segment=("none",))),),
    ),
)  # fmt: skip


def english_in(page: str) -> list[str]:
    """The English sentences that a person, or her screen reader, finds on a page."""
    for one in AS_IT_IS:
        page = one.sub("", page)
    said = re.findall(r'\b(?:aria-label|data-label|alt|title|placeholder)="([^"]*)"', page)
    texts = [*said, *re.split(r"<[^>]*>", page)]
    return [html.unescape(text).strip() for text in texts if SENTENCE.search(html.unescape(text))]


def test_the_search_finds_sentences_and_leaves_names_alone() -> None:
    assert english_in("<p>你好 nobody has chosen otherwise</p>") == ["你好 nobody has chosen otherwise"]
    assert english_in('<a aria-label="to the first page">x</a>') == ["to the first page"]
    assert not english_in("<p>Asia/Shanghai、small/1、legal_letter、recoup load、us-reg-f、Excel</p>")


@pytest.fixture(scope="module")
def ruled() -> Engine:
    return make_engine(small_bundle(), RULED)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with months of scores and accounts under every rule pack, rolled up."""
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('chinese')}/store.db")
    frames = frames_of(60)
    packs = [*sorted(set(rule_packs()) - {UNKNOWN_PACK}), "nowhere"]
    frames["accounts"]["jurisdiction"] = [packs[place % len(packs)] for place in range(60)]
    assert send(opened, frames).rejects.empty
    for role in ("champion", "challenger"):
        write_scores(opened, frames["accounts"]["account_id"].tolist(), range(0, 168, 13), role=role)
    roll_up(opened, SETTINGS, NOW)
    yield opened
    opened.close()


def reader(engine: Engine, store: Store, now: int, token: str = "") -> TestClient:
    """Somebody who reads Chinese."""
    client = TestClient(guarded(engine, store, now), base_url=ADDRESS, raise_server_exceptions=False)
    client.cookies.set(LANGUAGE_COOKIE, "zh-Hans")
    if token:
        assert client.post(f"{ROOT}/sign-in", data={"key": token}, headers={"origin": ADDRESS}).status_code == 200
    return client


def paths() -> list[str]:
    """Every page, with what may be asked of it."""
    cuts = [f"/predicted?month={month}&by={cut}" for month in ("2026-03", "all") for cut in CUTS]
    behind = [f"/predicted/accounts?month=2026-03&by=band&value={band}" for band in "ABJ"]
    plain = [page.path for page in PAGES if page.method == "GET" and "." not in page.path]
    more = ["/predicted?only=segment:card&by=stage", "/predicted?only=segment:card", "/overview?month=2026-06"]
    return [*plain, *cuts, *behind, *more]


@pytest.mark.parametrize("moment", [AS_OF, NOW], ids=["while contacts are fresh", "after all"])
def test_no_page_in_chinese_has_an_english_sentence(ruled: Engine, full: Store, moment: int) -> None:
    client = reader(ruled, full, moment)
    for path in paths():
        answer = client.get(f"{ROOT}{path}")
        assert answer.status_code == 200, (path, answer.text)
        assert '<html lang="zh-Hans">' in answer.text
        assert english_in(answer.text) == [], path


def test_no_account_in_chinese_has_an_english_sentence(ruled: Engine, full: Store) -> None:
    # At night, so that hours forbid something, too.
    client, night = reader(ruled, full, AS_OF + 12 * 3_600_000_000), set()
    for number in range(60):
        answer = client.get(f"{ROOT}/account?id=A{number:05d}")
        assert answer.status_code == 200
        assert english_in(answer.text) == [], number
        night |= set(re.findall("仅限[^<]*", answer.text))
    assert len(night) > 4, "hours of several packs were told"


def test_an_empty_store_in_chinese_has_no_english_sentence(engine: Engine, empty_store: Store) -> None:
    client = reader(engine, empty_store, AS_OF)
    for path in [path for path, _ in NAVIGATION]:
        assert english_in(client.get(f"{ROOT}{path}").text) == [], path


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere", "/static/none.css", "/overview?month=1999-01", "/predicted?by=colour", "/account?id=nobody",
        f"/queue?as_of={format_instant(NOW)}", "/queue?as_of=x", "/overview.csv?table=none",
    ],
)  # fmt: skip
def test_what_is_refused_is_told_in_chinese_with_what_to_do(engine: Engine, store: Store, path: str) -> None:
    answer = reader(engine, store, AS_OF).get(f"{ROOT}{path}")
    assert answer.status_code in (400, 404)
    assert english_in(answer.text) == []
    assert '<html lang="zh-Hans">' in answer.text


def test_forms_and_keys_that_are_refused_are_told_in_chinese(engine: Engine, store: Store) -> None:
    client = reader(engine, store, AS_OF)
    sent = {"account_id": "A00001", "recommended": "call", "chosen": "sms", "reason": " "}
    for form in (sent, {**sent, "chosen": "call", "reason": "x"}, {**sent, "account_id": ""}, {}):
        answer = client.post(f"{ROOT}/overrides", data=form, headers={"origin": ADDRESS})
        assert answer.status_code == 400
        assert english_in(answer.text) == []
    assert english_in(client.post(f"{ROOT}/overrides", data=sent).text) == [], "a form of another site"
    token = token_for(store, Scope.SCORE)
    for key in ("recoup_1_guess", token):
        refused = reader(engine, store, AS_OF).post(f"{ROOT}/sign-in", data={"key": key}, headers={"origin": ADDRESS})
        assert refused.status_code in (401, 403)
        assert english_in(refused.text) == []
