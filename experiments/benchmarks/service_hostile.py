"""The service among bad clients, each kind tried for real and counted, with two workers.

    overload   four times what can be answered is sent for a minute
    slow       200 clients that dribble, hang up or never read, while good ones ask on
    hostile    100,000 malformed and hostile requests on SQLite, and a tenth of them on PostgreSQL

What must hold: no answer of the kind 5xx, good clients are answered throughout, memory does not grow, and what is too
much is refused at once, with word of when to come back. What is asked of a figure stands beside it.

`--only overload,slow,hostile` names what is tried; `--hostile N` how many hostile requests, `--seconds N` how long the
overload lasts.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from experiments.benchmarks._postgresql import cluster
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._service import (
    Client,
    Load,
    Request,
    Served,
    filled_store,
    load,
    post,
    prepare_world,
    serve,
)
from experiments.benchmarks.service import Asked, asked_of_world
from serving.api.cursors import Cursor, write_cursor

OVERLOAD = 4
#: So many clients at ease: enough for both workers to be busy, too few to be refused.
AT_EASE = 8
#: So many in a storm: more than may wait in both workers.
STORMING = 150
SLOW = 200
MEBIBYTE = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--hostile", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args(arguments)
    prepare_world()
    asked = asked_of_world()
    figures: list[Figure] = []
    try:
        for name in chosen.only.split(","):
            begin = time.monotonic()
            figures += PARTS[name](asked, chosen)
            print(f"{name}: tried in {time.monotonic() - begin:.0f} s")
    finally:
        write_report("service_hostile", figures)
    return 0


# -------------------------------------------------------------------------------- too much


def _overload(asked: Asked, chosen: argparse.Namespace) -> list[Figure]:
    """What clients get at their ease; then many more at once than can be answered; then the same again."""
    request, short = post("/v1/score", asked.body_of_ids()), chosen.seconds / 6
    with serve(filled_store("overload")) as served:
        # The ledger's index of accounts costs more while it fills its first pages: that is over before it is measured.
        load(served, [request] * 200, AT_EASE)
        calm = load(served, _for_seconds(request, short), AT_EASE)
        rate = calm.count(200) / calm.wall
        stormy = load(served, _paced(request, rate * OVERLOAD, chosen.seconds), STORMING)
        after = load(served, _for_seconds(request, short), AT_EASE)
    cost = [found.cpu / max(1, found.count(200)) for found in (calm, stormy, after)]
    return [
        Figure("answered at ease", rate, "a second", f"1,000 accounts a request, {AT_EASE} clients"),
        Figure("overload: sent", stormy.n / stormy.wall / rate, "ratio", "answered at ease"),
        Figure("overload: answered (asked: near 1)", stormy.count(200) / stormy.wall / rate, "ratio",
               "answered at ease, with the clients on the same cores"),
        Figure("overload: CPU of the service for an answer (asked: near 1)", cost[1] / cost[0], "ratio",
               f"{cost[0] * 1e3:.3g} ms at ease"),
        Figure("overload: neither answered nor refused with 429 (asked: 0)",
               stormy.n - stormy.count(200) - stormy.count(429), "requests", f"of {stormy.n:,}: {stormy.in_words()}"),
        Figure("overload: refused without Retry-After (asked: 0)", stormy.untold, "requests"),
        Figure("overload: an answer, 99 of 100", stormy.percentile(99, 200), "s", f"{calm.percentile(99):.2g} at ease"),
        Figure("overload: a refusal, 99 of 100", stormy.percentile(99, 429), "s"),
        Figure("after it: answered (asked: near 1)", after.count(200) / after.wall / rate, "ratio", "answered at ease"),
        Figure("after it: CPU of the service for an answer (asked: near 1)", cost[2] / cost[0], "ratio", "at ease"),
        Figure("after it: not answered (asked: 0)", after.n - after.count(200), "requests", f"of {after.n:,}"),
    ]  # fmt: skip


def _for_seconds(request: Request, seconds: float) -> Iterator[Request]:
    """The same request over and over, as quickly as clients take it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield request


def _paced(request: Request, a_second: float, seconds: float) -> Iterator[Request]:
    """The same request so many times a second, whatever becomes of the ones before."""
    begin, number = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        time.sleep(max(0.0, number / a_second - now))
        number += 1
        yield request


# -------------------------------------------------------------------------------- too slow


def _slow(asked: Asked, _: argparse.Namespace) -> list[Figure]:
    """Connections that dribble, hang up in the middle or never read their answer, while good clients ask on."""
    body = msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:1]})
    good = post("/v1/score", body)
    whole = asked.body_of_ids()
    with serve(filled_store("slow")) as served, ExitStack() as open_sockets:
        calm = load(served, [good] * 1_000)
        dribbling = []
        for number in range(SLOW):
            one = open_sockets.enter_context(_connected(served))
            if number % 4 == 0:
                one.sendall(_head(len(whole)) + whole)  # and never reads the answer
                continue
            one.sendall(_head(100_000) + b"{" if number % 4 < 3 else b"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            if number % 4 == 1:
                one.close()  # hangs up in the middle of its body
            else:
                dribbling.append(one)
        time.sleep(3)  # until what is never read has been worked out: its cost is that of any request
        beside = load(served, [_dribbling(dribbling, good)] * 1_000)
        open_sockets.close()
        time.sleep(2)
        after = load(served, [good] * 1_000)
        held = _in_flight(served)
    return [
        Figure("beside 200 slow clients: answered (asked: 1)", beside.count(200) / beside.n, "share",
               "50 dribble a body, 50 headers, 50 hung up, 50 never read"),
        Figure("beside 200 slow clients: 99 of 100", beside.percentile(99) * 1e3, "ms",
               f"{calm.percentile(99) * 1e3:.3g} ms without them"),
        Figure("once they are gone: answered (asked: 1)", after.count(200) / after.n, "share"),
        Figure("once they are gone: 99 of 100", after.percentile(99) * 1e3, "ms"),
        Figure("once they are gone: requests still in flight (asked: 1, the one that asks)", held, "requests"),
    ]  # fmt: skip


def _connected(served: Served) -> socket.socket:
    address = urlsplit(served.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=5)


def _head(length: int) -> bytes:
    headers = ("POST /v1/score HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join([*headers, "", ""]).encode()


def _dribbling(slow: Sequence[socket.socket], request: Request) -> Request:
    def send(client: Client) -> int:
        one = random.choice(slow)
        with suppress(OSError):  # the service may have given it up
            one.send(b" ")
        return request(client)

    return send


def _in_flight(served: Served) -> float:
    """How many requests the service's own figures say are being answered."""
    _, content = Client(served.url).send("GET", "/metrics")
    lines = content.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("recoup_requests_in_flight"))


# -------------------------------------------------------------------------------- malformed


def _hostile(asked: Asked, chosen: argparse.Namespace) -> list[Figure]:
    with serve(filled_store("hostile")) as served:
        figures = _hostile_to(served, "SQLite", asked, chosen.hostile)
    with cluster(durable=False) as database, serve(database.url) as served:
        Client(served.url).send("POST", "/v1/events", asked.body_of_accounts(5_000))
        return figures + _hostile_to(served, "PostgreSQL", asked, chosen.hostile // 10)


def _hostile_to(served: Served, name: str, asked: Asked, n: int) -> list[Figure]:
    """Malformed and hostile requests; a good one every thousand must still be answered."""
    good = post("/v1/score", msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:1]}))
    bad = _bad(random.Random(1), asked)
    workers = set(served.workers())
    load(served, [next(bad) for _ in range(2_000)])
    before = served.memory()
    found, answered = Load(), Load()
    for _ in range(max(1, n // 1_000)):
        found.include(load(served, [next(bad) for _ in range(1_000)]))
        answered.include(load(served, [good], clients=1))
    after = served.memory()
    return [
        Figure(f"hostile to {name}: requests", found.n, "requests", found.in_words()),
        Figure(f"hostile to {name}: requests", found.n / found.wall, "a second", "4 clients"),
        Figure(f"hostile to {name}: answers of the kind 5xx (asked: 0)", found.count(500, 600), "requests"),
        Figure(f"hostile to {name}: workers that died (asked: 0)", len(workers - set(served.workers())), "workers"),
        Figure(f"hostile to {name}: good ones between answered (asked: 1)", answered.share(), "share"),
        Figure(f"hostile to {name}: memory after (asked: 1.05 at most)", after / before, "ratio",
               f"{before / MEBIBYTE:,.0f} MiB before"),
    ]  # fmt: skip


def _bad(generator: random.Random, asked: Asked) -> Iterator[Request]:
    """Requests that are wrong in one of many ways, without end."""
    bodies, urls, http = _bodies(generator, asked), _URLS, _HTTP
    methods = ("GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD", "POST", "TRACE", "BREW")
    paths = ("/v1/score", "/v1/queue", "/v1/events", "/v1/overrides")
    while True:
        kind = generator.random()
        if kind < 0.1:
            yield _asking(generator.choice(methods), generator.choice(urls))
        elif kind < 0.15:
            yield _saying(generator.choice(http))
        elif kind < 0.55:
            path, body = generator.choice(list(_good(asked).items()))
            yield post(path, json.dumps(_spoilt(generator, body)).encode())
        else:
            yield post(generator.choice(paths), generator.choice(bodies)())


def _asking(method: str, url: str) -> Request:
    return lambda client: client.send(method, url)[0]


#: What no URL should be.
_URLS = (
    "/v1/accounts/%00",
    "/v1/accounts/A%00B?as_of=%00",
    "/v1/accounts/..%2f..%2fetc%2fpasswd",
    "/v1/accounts/%ed%a0%80",
    "/v1/accounts/" + "%f0%9f%92%a3" * 200,
    "/v1/accounts/x%27%20OR%201=1--?as_of=99999999999999999999",
    "/v1/overrides?account_id=%00",
    "/v1/overrides?after=-1&limit=1e9",
    "/v1/overrides?after=99999999999999999999999",
    "/v1/" + "a" * 3_000,
    "/v1/score?x=" + "%ff" * 500,
    "//v1//score",
    "/v1/score/../../livez",
    "/",
)
#: What is no HTTP, or HTTP that means two things.
_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"G\0T /v1/model HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/model HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /v1/model HTTP/1.1\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
    b"GET /v1/model HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /v1/model HTTP/1.1\r\nHost: \xff\r\nAuthorization: Bearer recoup_1_\xff\r\nX-Request-Id: \xff\r\n\r\n",
)  # fmt: skip


def _saying(content: bytes) -> Request:
    """Bytes on a connection of their own, which then says no more; the status of what comes back."""

    def send(client: Client) -> int:
        with socket.create_connection((client.connection.host, client.connection.port), timeout=10) as one:
            one.sendall(content)
            one.shutdown(socket.SHUT_WR)
            answer = one.recv(100)
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0

    return send


def _good(asked: Asked) -> dict[str, Any]:
    """A good request of several endpoints, to be spoilt in one place."""
    account = asked.account_id[0]
    contact = {"account_id": account, "at": "2026-01-01", "channel": "call", "outcome": "no_answer"}
    restriction = {"account_id": account, "at": "2026-01-01", "kind": "stop", "channel": "call", "until": None}
    payment = {"account_id": account, "at": "2026-01-01", "amount": 10, "payment_id": "hostile"}
    return {
        "/v1/score": {"as_of": asked.as_of, "account_ids": asked.account_id[:3], "reasons": True},
        "/v1/queue": {
            "as_of": asked.as_of, "capacities": {"call": 1}, "limit": 1, "segment": ["card"], "stage": "late",
            "exploration": {"share": 0.1, "channels": ["call"], "seed": "s"},
            "histories": {"accounts": [{"account_id": "a", "opened_at": "2025-01-01", "balance": 5}]},
        },
        "/v1/events": {"contacts": [contact], "payments": [payment], "restrictions": [restriction]},
        "/v1/overrides": {
            "account_id": account, "recommended": "call", "chosen": "none", "reason": "r", "at": "2026-01-01",
            "answer_id": 1,
        },
    }  # fmt: skip


def _spoilt(generator: random.Random, good: Any) -> Any:
    """The same with one value, at any depth, that nobody expects; or with one more."""
    if isinstance(good, dict) and good and generator.random() < 0.9:
        name = generator.choice(list(good))
        return {**good, name: _spoilt(generator, good[name])}
    if isinstance(good, list) and good and generator.random() < 0.9:
        place = generator.randrange(len(good))
        return [*good[:place], _spoilt(generator, good[place]), *good[place + 1 :]]
    return generator.choice(_UNEXPECTED)


_UNEXPECTED: tuple[Any, ...] = (
    "\0", "a\0b", "\ud800", "💣" * 50, "x" * 10_000, "' OR 1=1 --", "../../etc/passwd", "", " ", "\n", "\u202e", "NaN",
    "1e999", "9" * 400, "0001-01-01", "9999-12-31T23:59:59+14:00", "2026-13-45", -1, 0, 2**63, -(2**63) - 1, 10**400,
    1e308, 5e-324, float("nan"), float("inf"), True, [], {}, [[]], {"": None}, ["\0"], [0.5],
)  # fmt: skip


def _bodies(generator: random.Random, asked: Asked) -> list[Callable[[], bytes]]:
    """Ways to make a body that nobody should take."""
    good = json.dumps({"as_of": asked.as_of, "account_ids": asked.account_id[:3]})
    numbers = (-1, 0, 2**53 + 1, 2**63 - 1, 2**64 - 1)

    def forged() -> bytes:
        as_of, arrival, offset = (generator.choice(numbers) for _ in range(3))
        digest = asked.bundle.digest
        return json.dumps({"cursor": write_cursor(Cursor(as_of, arrival, offset, digest, "0" * 32))}).encode()

    def features() -> bytes:
        width = generator.choice([0, 1, asked.matrix.shape[1]])
        matrix = base64.b64encode(generator.randbytes(4 * width)).decode()
        return json.dumps({"features": {"account_id": ["a\0"], "balance": [1e308], "matrix": matrix}}).encode()

    return [
        lambda: b"",
        lambda: b"null",
        lambda: generator.randbytes(generator.randint(1, 2_000)),
        lambda: good.encode()[: generator.randint(1, len(good) - 1)],
        lambda: b"[" * generator.randint(1, 50_000),
        lambda: b'{"a":' * generator.randint(1, 20_000),
        lambda: b'{"account_ids": ["\\ud800"]}',
        lambda: b'{"account_ids": ["\xff"]}',
        lambda: json.dumps({"account_ids": ["x' OR 1=1 --", "\x00", "../../etc/passwd", "💣" * 200]}).encode(),
        lambda: json.dumps({"account_ids": [f"unknown{generator.random()}"] * 5}).encode(),
        lambda: json.dumps({"account_ids": [f"unknown{generator.random()}" for _ in range(50)]}).encode(),
        lambda: json.dumps({"account_ids": 7, "histories": [], "features": {"values": [[]]}}).encode(),
        lambda: json.dumps({"features": {"account_id": ["a"], "balance": [1e308], "values": [[1e308] * 7]}}).encode(),
        features,
        forged,
        lambda: json.dumps({"capacities": {"call": -(10**30), "pigeon": 10**400}}).encode(),
        lambda: json.dumps({"portfolio": "\0", "segment": ["\0"], "stage": "\0"}).encode(),
        lambda: json.dumps({"cursor": "eyJhIjoxfQ", "limit": -1}).encode(),
        lambda: json.dumps({"payments": [{"account_id": "a", "at": "2026-01-01", "amount": "1e999"}] * 20}).encode(),
        lambda: json.dumps(
            {"histories": {"accounts": [{"account_id": "a", "opened_at": "x", "balance": -1}]}}
        ).encode(),
    ]


PARTS: Mapping[str, Callable[[Asked, argparse.Namespace], list[Figure]]] = {
    "overload": _overload,
    "slow": _slow,
    "hostile": _hostile,
}

if __name__ == "__main__":
    sys.exit(main())
