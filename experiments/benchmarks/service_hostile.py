"""The service among bad clients: overload, slow ones, ones that hang up, and 100,000 malformed and hostile requests.

A real service with two workers. What must hold: no answer of the kind 5xx, good clients are answered throughout, memory
does not grow, and what is too much is refused at once, with word of when to come back.

`--only overload,slow,hostile` names what is tried; `--hostile N` how many hostile requests, `--seconds N` how long the
overload lasts.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import msgspec

from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._service import HOME, WORLD, Client, Load, Served, load, post, prepare_world, recoup, serve
from experiments.benchmarks.service import Asked, asked_of_world

PARTS = ("overload", "slow", "hostile")
OVERLOAD = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--hostile", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args(arguments)
    prepare_world()
    asked, store = asked_of_world(), f"sqlite:///{HOME}/store.db"
    recoup("load", str(WORLD), "--store", store)
    figures: list[Figure] = []
    with serve(store) as served:
        if "overload" in chosen.only:
            figures += _overload(served, asked, chosen.seconds)
        if "slow" in chosen.only:
            figures += _slow(served, asked)
        if "hostile" in chosen.only:
            figures += _hostile(served, asked, chosen.hostile)
    write_report("service_hostile", figures)
    return 0


def _by_status(found: Load, low: int, high: int) -> int:
    return sum(n for status, n in found.statuses.items() if low <= status < high)


def _overload(served: Served, asked: Asked, seconds: float) -> list[Figure]:
    """What two clients get at their ease; then many more at once than can be answered; then two again."""
    body = asked.body_of_ids()
    calm = load(served, [post("/v1/score", body)] * 60, clients=2)
    rate = calm.n / calm.wall
    clients = 64
    n = int(rate * OVERLOAD * seconds)
    begin = time.monotonic()

    def while_it_lasts(client: Client) -> int:
        if time.monotonic() - begin > seconds:
            return -1  # not sent
        status, _ = client.send("POST", "/v1/score", body)
        if status == 429:
            time.sleep(clients / (rate * OVERLOAD))  # so that all together ask four times what can be answered
        return status

    stormy = load(served, [while_it_lasts] * n, clients=clients)
    stormy.statuses.pop(-1, None)
    after = load(served, [post("/v1/score", body)] * 60, clients=2)
    answered = stormy.statuses.get(200, 0)
    return [
        Figure("requests a second, at ease", rate, "a second", "1,000 accounts a request, 2 clients"),
        Figure("requests sent under overload", stormy.n / seconds / rate, "ratio", "what is answered at ease"),
        Figure("answered under overload", answered / seconds / rate, "ratio", "what is answered at ease"),
        Figure("refused with 429", stormy.statuses.get(429, 0), "requests", f"of {stormy.n:,}"),
        Figure("answers of the kind 5xx, or none", stormy.n - _by_status(stormy, 200, 500), "requests"),
        Figure("answered after it", (after.n / after.wall) / rate, "ratio", "what is answered at ease"),
    ]


def _slow(served: Served, asked: Asked) -> list[Figure]:
    """Two hundred connections that dribble or hang up in the middle of a body, while good clients ask on."""
    address = urlsplit(served.url)
    body = msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:1]})
    calm = load(served, [post("/v1/score", body)] * 400)
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
    with ExitStack() as open_sockets:
        slow = []
        for number in range(200):
            one = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
            one.sendall(head)
            if number % 2:
                one.close()  # hangs up in the middle of its body
            else:
                slow.append(open_sockets.enter_context(one))
        beside = load(served, [_dribbling(slow, post("/v1/score", body))] * 400)
    return [
        Figure(
            "answered beside 100 slow clients and 100 that hung up", beside.statuses.get(200, 0) / beside.n, "share"
        ),
        Figure("time of 99 of 100 beside them", beside.percentile(99) / calm.percentile(99), "ratio", "without them"),
    ]


def _dribbling(slow: Sequence[socket.socket], request: Callable[[Client], int]) -> Callable[[Client], int]:
    def send(client: Client) -> int:
        one = random.choice(slow)
        with suppress(OSError):  # the service may have given it up
            one.send(b" ")
        return request(client)

    return send


def _hostile(served: Served, asked: Asked, n: int) -> list[Figure]:
    """Malformed and hostile requests; a good one every thousand must still be answered."""
    good = post("/v1/score", msgspec.json.encode({"as_of": asked.as_of, "account_ids": asked.account_id[:1]}))
    generator = random.Random(1)
    load(served, [_bad(generator, asked) for _ in range(2_000)])
    before = served.memory()
    found, good_ones = Load(), Load()
    for _ in range(max(1, n // 1_000)):
        part = load(served, [_bad(generator, asked) for _ in range(1_000)])
        for status, times in part.statuses.items():
            found.statuses[status] = found.statuses.get(status, 0) + times
        for status, times in load(served, [good], clients=1).statuses.items():
            good_ones.statuses[status] = good_ones.statuses.get(status, 0) + times
    statuses = ", ".join(f"{status}: {times:,}" for status, times in sorted(found.statuses.items()))
    return [
        Figure("malformed and hostile requests", found.n, "requests", f"by status {statuses}"),
        Figure("answers of the kind 5xx", _by_status(found, 500, 600), "requests", f"of {found.n:,}"),
        Figure("good requests answered between them", good_ones.statuses.get(200, 0) / good_ones.n, "share"),
        Figure("memory after them", served.memory() / before, "ratio", "before"),
    ]


def _bad(generator: random.Random, asked: Asked) -> Callable[[Client], int]:
    """One request that is wrong in one of many ways."""
    good = json.dumps({"as_of": asked.as_of, "account_ids": asked.account_id[:3]})
    path = generator.choice(["/v1/score", "/v1/queue", "/v1/events", "/v1/overrides"])
    ways: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b"null",
        lambda: generator.randbytes(generator.randint(1, 2_000)),
        lambda: bytes(good, "utf-8")[: generator.randint(1, len(good) - 1)],
        lambda: b"[" * generator.randint(1, 50_000),
        lambda: b'{"a":' * generator.randint(1, 20_000),
        lambda: json.dumps({"account_ids": ["x' OR 1=1 --", "\x00", "../../etc/passwd", "💣" * 200]}).encode(),
        lambda: json.dumps({"account_ids": [f"unknown{generator.random()}"] * 5}).encode(),
        lambda: json.dumps(
            {"as_of": generator.choice(["9" * 400, "0000", "2026-13-45", "NaN"]), "account_ids": ["a"]}
        ).encode(),
        lambda: json.dumps({"account_ids": 7, "histories": [], "features": {"values": [[]]}}).encode(),
        lambda: json.dumps({"features": {"account_id": ["a"], "balance": [1e308], "values": [[1e308] * 7]}}).encode(),
        lambda: json.dumps({"capacities": {"call": -(10**30), "pigeon": 10**400}}).encode(),
        lambda: json.dumps({"cursor": "eyJhIjoxfQ", "limit": -1}).encode(),
        lambda: json.dumps(
            {"contacts": [{"account_id": None, "at": True, "channel": 1.5, "outcome": "x" * 10_000}]}
        ).encode(),
        lambda: json.dumps({"payments": [{"account_id": "a", "at": "2026-01-01", "amount": "1e999"}] * 20}).encode(),
        lambda: json.dumps(
            {"histories": {"accounts": [{"account_id": "a", "opened_at": "x", "balance": -1}]}}
        ).encode(),
    ]
    body = generator.choice(ways)
    if generator.random() < 0.1:
        target = generator.choice(
            ["/v1/accounts/%00", "/v1/accounts/..%2f..%2fx", "/v1/" + "a" * 3_000, "/v1/score?x=" + "%ff" * 500]
        )
        return lambda client: client.send(generator.choice(["GET", "DELETE", "PUT", "PATCH", "OPTIONS"]), target)[0]
    return post(path, body())


if __name__ == "__main__":
    sys.exit(main())
