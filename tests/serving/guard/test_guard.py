"""The guard around a small application: who gets in, how much, and what every answer carries."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from features.errors import SettingsError, StoreError
from features.units import HOUR
from serving.api.endpoints import ENDPOINTS
from serving.guard import headers, logs
from serving.guard.access import OPERATIONS, RefusedError, Rule, Rules
from serving.guard.keys import KeyWatch, Scope
from serving.guard.limits import Limits, Places, Rates
from serving.guard.mapped import take_room
from serving.guard.metrics import exposition, make_metrics
from serving.guard.middleware import Guard, Guarding
from serving.store.database import Store
from serving.store.keys import add_key, read_keys, revoke_key, rotate_key
from tests.serving.stores import Stores, opened

NOW = 1_800_000_000_000_000
SCORE = frozenset({Scope.SCORE})


@dataclass
class Clock:
    """A monotonic clock that stands still until it is moved."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    yield from opened(stores.sqlite(tmp_path / "store.db"))


async def _echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {"bytes": len(body), "id": request.state.request_id, "key": request.state.key_id}, headers={"x-own": "1"}
    )


async def _page(_: Request) -> Response:
    return Response("page", headers={"Content-Security-Policy": "default-src 'self'"})


async def _fail(_: Request) -> Response:
    raise RuntimeError("the secret of A00000")


async def _wait(_: Request) -> Response:
    await asyncio.sleep(0.3)
    return Response("late")


APP = Starlette(
    routes=[
        Route("/v1/score", _echo, methods=["POST"]),
        Route("/v1/events", _echo, methods=["POST"]),
        Route("/v1/accounts/{account_id}", _echo, methods=["GET", "DELETE"]),
        Route("/v1/fail", _fail),
        Route("/v1/wait", _wait),
        Route("/v1/page", _page),
        Route("/livez", lambda _: Response("\n")),
        Route("/readyz", lambda _: Response("\n")),
    ]
)
RULES = (
    *OPERATIONS,
    Rule("POST", "/v1/score", Scope.SCORE),
    Rule("POST", "/v1/events", Scope.EVENTS),
    Rule("GET", "/v1/accounts/{account_id}", Scope.REVIEW),
    Rule("DELETE", "/v1/accounts/{account_id}", Scope.ADMIN),
    *(Rule("GET", f"/v1/{name}", Scope.SCORE) for name in ("fail", "wait", "page")),
)


def guarding(store: Store, **changes: Any) -> Guarding:
    watch = KeyWatch(lambda: read_keys(store))
    watch.look()
    limits = changes.get("limits", Limits())
    metrics = make_metrics()
    found = Guarding(
        rules=Rules(RULES), keys=watch, limits=limits, places=Places(limits, Clock()), rates=None, metrics=metrics,
        expose=lambda: exposition(metrics, None), now=lambda: NOW, open_without_keys=True,
    )  # fmt: skip
    return replace(found, **changes)


def client(with_: Guarding) -> httpx.AsyncClient:
    # What the guard lets through to the client is an error of the test.
    transport = httpx.ASGITransport(app=Guard(APP, with_))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000")


def ask(with_: Guarding, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(with_) as asking:
            sent = {"authorization": f"Bearer {token}"} if token else {}
            return await asking.request(method, path, headers=sent | more.pop("headers", {}), **more)

    return asyncio.run(once())


def code_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body["error"]) == {"code", "message", "detail"}
    return answer.status_code, body["error"]["code"]


# -------------------------------------------------------------------------------- keys


def test_a_key_opens_what_it_is_for_and_nothing_else(store: Store) -> None:
    token = add_key(store, "dialler", SCORE, NOW)
    with_ = guarding(store)
    assert ask(with_, "POST", "/v1/score", token).json()["key"] == "1"
    refused = ask(with_, "POST", "/v1/events", token)
    assert code_of(refused) == (403, "forbidden")
    assert "scope events; this one is for score" in refused.json()["error"]["message"]
    for method in ("GET", "DELETE"):
        assert code_of(ask(with_, method, "/v1/accounts/A1", token)) == (403, "forbidden")
    assert code_of(ask(with_, "GET", "/metrics", token)) == (403, "forbidden")


@pytest.mark.parametrize(
    "change", ["", "wrong", "recoup_1_wrong", "recoup_2_{}", "recoup_x_{}", "{}x", "recoup_1_\x7f"]
)
def test_what_is_no_key_is_401(store: Store, change: str) -> None:
    token = add_key(store, "dialler", SCORE, NOW)
    sent = change.replace("{}", token.split("_", 2)[2]) if change else ""
    answer = ask(guarding(store), "POST", "/v1/score", sent)
    assert code_of(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_in_another_scheme_is_401(store: Store) -> None:
    token = add_key(store, "dialler", SCORE, NOW)
    answer = ask(guarding(store), "POST", "/v1/score", headers={"authorization": f"Basic {token}"})
    assert code_of(answer) == (401, "unauthorized")


def test_an_expired_and_a_revoked_key_are_401_and_their_holder_hears_why(store: Store) -> None:
    expired = add_key(store, "old", SCORE, NOW - 2, NOW)
    revoked = add_key(store, "lost", SCORE, NOW - 2)
    revoke_key(store, 2, NOW - 1)
    for token, why in ((expired, "expired"), (revoked, "been revoked")):
        answer = ask(guarding(store), "POST", "/v1/score", token)
        assert code_of(answer) == (401, "unauthorized")
        assert why in answer.json()["error"]["message"]
    # Whoever knows only the number hears nothing of it.
    assert "revoked" not in ask(guarding(store), "POST", "/v1/score", "recoup_2_guess").text


def test_a_secret_is_compared_in_constant_time_even_for_a_number_not_in_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    add_key(store, "dialler", SCORE, NOW)
    monkeypatch.setattr("serving.guard.keys.hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)}))
    with_ = guarding(store)
    for token in ("recoup_1_guess", "recoup_9_guess", "nonsense"):
        ask(with_, "POST", "/v1/score", token)
    assert [len(a) == len(b) == 32 for a, b in compared] == [True] * 3


def test_rotation_leaves_both_keys_good_for_the_overlap(store: Store) -> None:
    old = add_key(store, "dialler", SCORE, NOW)
    new = rotate_key(store, 1, NOW, HOUR)
    for token, status in ((old, 200), (new, 200)):
        assert ask(guarding(store), "POST", "/v1/score", token).status_code == status
    later = guarding(store, now=lambda: NOW + HOUR)
    assert ask(later, "POST", "/v1/score", old).status_code == 401
    assert ask(later, "POST", "/v1/score", new).status_code == 200
    with pytest.raises(StoreError, match="must be in use"):
        rotate_key(store, 1, NOW + HOUR, HOUR)


def test_the_store_keeps_no_secret(store: Store, tmp_path: Path) -> None:
    secret = add_key(store, "dialler", SCORE, NOW).split("_", 2)[2]
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_revocation_is_seen_at_the_next_look_and_keys_outlive_a_store_that_is_gone(store: Store) -> None:
    token = add_key(store, "dialler", SCORE, NOW)
    gone = False

    def read() -> list[Any]:
        if gone:
            raise StoreError("gone")
        return read_keys(store)

    watch = KeyWatch(read)
    watch.look()
    with_ = guarding(store, keys=watch)
    gone = True
    watch.look()
    assert ask(with_, "POST", "/v1/score", token).status_code == 200
    assert code_of(ask(with_, "GET", "/readyz")) == (503, "store")
    assert ask(with_, "GET", "/livez").status_code == 200
    gone = False
    revoke_key(store, 1, NOW)
    watch.look()
    assert ask(with_, "POST", "/v1/score", token).status_code == 401
    assert ask(with_, "GET", "/readyz").status_code == 200


def test_before_the_keys_are_known_nothing_is_open(store: Store) -> None:
    answer = ask(guarding(store, keys=KeyWatch(list)), "POST", "/v1/score")
    assert code_of(answer) == (503, "store")
    assert answer.headers["retry-after"] == "2"


# -------------------------------------------------------------------------------- without keys


def test_on_this_machine_it_is_open_until_the_first_key_and_stays_closed(store: Store) -> None:
    assert ask(guarding(store), "POST", "/v1/score").json()["key"] is None
    assert ask(guarding(store, open_without_keys=False), "POST", "/v1/score").status_code == 401
    add_key(store, "dialler", SCORE, NOW)
    revoke_key(store, 1, NOW)
    assert ask(guarding(store), "POST", "/v1/score").status_code == 401


@pytest.mark.parametrize(
    "sent", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}, {"host": "[::1].evil"}]
)
def test_a_page_in_a_browser_gets_nothing_of_an_open_service(store: Store, sent: dict[str, str]) -> None:
    # A page of another site, or one whose name was pointed at this machine.
    answer = ask(guarding(store), "POST", "/v1/score", headers=sent)
    assert code_of(answer) == (403, "forbidden")
    assert ask(guarding(store), "POST", "/v1/score", headers={"origin": "http://127.0.0.1:3000"}).status_code == 200


# -------------------------------------------------------------------------------- limits


def test_a_body_above_the_limit_is_413_whether_or_not_it_says_so(store: Store) -> None:
    with_ = guarding(store, limits=Limits(body_bytes=1000), places=Places(Limits(body_bytes=1000), Clock()))
    assert ask(with_, "POST", "/v1/score", content=b" " * 1000).json()["bytes"] == 1000

    async def parts() -> Any:
        for _ in range(11):
            yield b" " * 100

    for content in (b" " * 1001, parts()):
        assert code_of(ask(with_, "POST", "/v1/score", content=content)) == (413, "too_large")
    assert with_.places.held_bytes == 0


def test_more_bytes_at_once_than_a_worker_holds_are_429(store: Store) -> None:
    places = Places(Limits(held_bytes=500), Clock())
    answer = ask(guarding(store, places=places), "POST", "/v1/score", content=b" " * 501)
    assert code_of(answer) == (429, "busy")
    assert places.held_bytes == 0


def test_more_requests_than_may_wait_are_429_and_health_is_answered_meanwhile(store: Store) -> None:
    with_ = guarding(store, places=Places(Limits(waiting=2), Clock()))

    async def at_once() -> tuple[list[httpx.Response], httpx.Response]:
        async with client(with_) as asking:
            waiting = [asyncio.create_task(asking.get("/v1/wait")) for _ in range(5)]
            await asyncio.sleep(0.05)
            live = await asking.get("/livez")
            return list(await asyncio.gather(*waiting)), live

    answers, live = asyncio.run(at_once())
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 429)
    assert live.status_code == 200
    assert with_.places.taken == 0


def test_a_key_above_its_rate_is_429_until_there_is_room_and_others_are_not(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    rates = Rates(tmp_path / "rates", 2.0, clock)
    first, second = (add_key(store, name, SCORE, NOW) for name in ("a", "b"))
    with_ = guarding(store, rates=rates)

    def status(token: str) -> int:
        return ask(with_, "POST", "/v1/score", token).status_code

    # A burst of two seconds' worth, then one for each half second.
    assert [status(first) for _ in range(6)] == [200] * 4 + [429] * 2
    refused = ask(with_, "POST", "/v1/score", first)
    assert (code_of(refused), refused.headers["retry-after"]) == ((429, "rate"), "1")
    assert status(second) == 200
    clock.seconds += 0.5
    assert [status(first), status(first)] == [200, 429]


def test_workers_share_rates_and_a_machine_that_was_started_anew_is_not_locked_out(tmp_path: Path) -> None:
    clock = Clock()
    one, other = (Rates(tmp_path / "rates", 1.0, clock) for _ in range(2))
    one.take(7)
    other.take(7)
    with pytest.raises(RefusedError, match="1 requests a second"):
        one.take(7)
    clock.seconds = 1.0  # a monotonic clock begins anew with the machine
    one.take(7)


def test_a_mapped_file_has_all_of_its_room_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    path.write_bytes(b"kept")
    with path.open("r+b") as sparse:
        sparse.truncate(500_000)
    for _ in range(2):
        take_room(path, 1_000_000)
        assert path.read_bytes() == b"kept" + bytes(999_996)
        assert path.stat().st_blocks * 512 >= 1_000_000
    with pytest.raises(SettingsError, match="make room"):
        take_room(path, 2**60)


def test_all_figures_of_a_worker_fit_into_the_room_that_was_taken(tmp_path: Path) -> None:
    labels = [rule.label for rule in (*OPERATIONS, *(Rule(one.method, f"/v1{one.path}", None) for one in ENDPOINTS))]
    # The library decides when it is imported whether figures are kept in files.
    program = f"""if True:
        import os, pathlib
        from serving.guard.metrics import make_metrics, take_room_for_metrics
        folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        take_room_for_metrics(folder, os.getpid())
        before = {{path.name: path.stat().st_size for path in folder.iterdir()}}
        metrics = make_metrics()
        for label in {[*labels, "other"]}:
            for status in (0, 200, 204, 400, 401, 403, 404, 405, 409, 413, 429, 499, 500, 503, 504):
                metrics.requested(label, status, 0.1)
            metrics.store_errors.labels(label).inc()
        for number in range(100):
            metrics.scored(f"a-portfolio-with-a-long-name/{{number}}", "challenger", dict.fromkeys("abcd", 1), 0.1)
            metrics.serves({{"champion": f"a-portfolio-with-a-long-name/{{number}}"}})
        for table in ("accounts", "contacts", "payments", "charges", "promises", "restrictions", "decisions"):
            metrics.took_in(table, 1, 1, 1)
        assert before == {{path.name: path.stat().st_size for path in folder.iterdir()}}
    """
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_what_takes_too_long_is_504(store: Store) -> None:
    assert code_of(ask(guarding(store, limits=Limits(seconds=0.05)), "GET", "/v1/wait")) == (504, "timeout")


# -------------------------------------------------------------------------------- what answers carry


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/score", 200), ("GET", "/v1/fail", 500), ("GET", "/nowhere", 404), ("GET", "/v1/nowhere", 404),
        ("PUT", "/v1/score", 405), ("GET", "/metrics", 200), ("GET", "/livez", 200), ("GET", "/docs.json", 404),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tls", [False, True])
def test_every_answer_has_the_headers(store: Store, method: str, path: str, status: int, tls: bool) -> None:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=Guard(APP, guarding(store, tls=tls)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as asking:
            return await asking.request(method, path)

    answer = asyncio.run(once())
    assert answer.status_code == status
    expected = {**headers.SECURITY, **(headers.TLS if tls else {})}
    assert {name: answer.headers.get(name.decode(), "").encode() for name in expected} == expected
    assert len(answer.headers["x-request-id"]) == 32
    assert ("strict-transport-security" in answer.headers) == tls


def test_a_page_keeps_the_policy_it_states(store: Store) -> None:
    answer = ask(guarding(store), "GET", "/v1/page")
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]


@pytest.mark.parametrize("sent", ["queue-42", "a.b:c_D"])
def test_a_fit_request_id_is_kept_for_the_answer_and_the_application(store: Store, sent: str) -> None:
    answer = ask(guarding(store), "POST", "/v1/score", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"] == answer.json()["id"] == sent


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "<b>", "a\x0bb", "é"])
def test_an_unfit_request_id_is_replaced(store: Store, sent: str) -> None:
    answer = ask(guarding(store), "POST", "/v1/score", headers={"x-request-id": sent.encode()})
    assert answer.headers["x-request-id"] != sent
    assert len(answer.headers["x-request-id"]) == 32


# -------------------------------------------------------------------------------- what is seen


def test_the_log_holds_ids_and_figures_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    token = add_key(store, "dialler", frozenset(Scope), NOW)
    with_ = guarding(store)
    with caplog.at_level(logging.INFO):
        ask(with_, "POST", "/v1/score?account=A00007", token, content=b'{"name": "Smith"}')
        ask(with_, "GET", "/v1/accounts/A00007", token)
        ask(with_, "GET", "/v1/A00007", token)
    lines = [json.loads(logs.JsonLines().format(r)) for r in caplog.records if r.name == "recoup.requests"]
    assert [line["endpoint"] for line in lines] == ["POST /v1/score", "GET /v1/accounts/{account_id}", "other"]
    assert [(line["status"], line["key_id"], line["bytes_in"]) for line in lines[:1]] == [(200, "1", 17)]
    secret = token.split("_", 2)[2]
    assert not any(word in json.dumps(lines) for word in ("A00007", "Smith", secret))


def test_a_fault_is_logged_by_kind_and_place_alone(caplog: pytest.LogCaptureFixture) -> None:
    try:
        int("the secret of A00000")
    except ValueError:
        logging.getLogger("recoup").exception("fault")
    line = json.loads(logs.JsonLines().format(caplog.records[-1]))
    assert line["fault"].startswith("ValueError, ")
    assert "A00000" not in json.dumps(line)


def test_metrics_have_no_label_that_a_caller_chose(store: Store) -> None:
    with_ = guarding(store)
    for number in range(20):
        ask(with_, "GET", f"/v1/accounts/A{number}")
        ask(with_, "GET", f"/x{number}")
        ask(with_, f"M{number}", "/v1/score")
    text = ask(with_, "GET", "/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("recoup_request_seconds_count")]
    assert len(counted) == 3
    assert 'recoup_request_seconds_count{endpoint="GET /v1/accounts/{account_id}",status="200"} 20.0' in text
    assert isinstance(with_.metrics.registry, CollectorRegistry)
