"""The guarded service as it runs: two workers, a certificate, keys, figures summed, and a stop that loses nothing."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from features.contract import SETTINGS_FILE
from serving.guard.keys import Scope
from serving.starting import wait_until_ready
from serving.store.database import open_store
from serving.store.keys import add_key, revoke_key
from tests.serving.small import free_port, request_of

SECONDS_TO_START = 180
REQUESTS = 40


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    certificate: Path
    store: str
    token: str

    def ask(self, method: str, path: str, token: str | None = None, **more: object) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.certificate))
        # A connection of its own, so that either worker may be met.
        with httpx.Client(verify=context, timeout=60) as client:
            sent = {"authorization": f"Bearer {self.token if token is None else token}"}
            return client.request(method, f"https://127.0.0.1:{self.port}{path}", headers=sent, **more)  # type: ignore[arg-type]


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "recoup test")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(encoding))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def running(bundle_folder: Path, portfolio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    certificate, key = write_certificate(folder)
    url = f"sqlite:///{folder}/store.db"
    store = open_store(url)
    token = add_key(store, "tests", frozenset(Scope), 0)
    store.close()
    arguments = ["--port", str(port), "--workers", "2", "--model", str(bundle_folder), "--store", url]
    arguments += ["--settings", str(portfolio_folder / SETTINGS_FILE), "--tls-certificate", str(certificate)]
    arguments += ["--tls-key", str(key), "--rate", "10000"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "recoup", "serve", *arguments], cwd=folder, stdout=log, stderr=log,
            env=os.environ | {"RECOUP_VAR": str(folder / "var")},
        )  # fmt: skip
    service = Running(process, port, folder / "log", certificate, url, token)
    try:
        ready = wait_until_ready(f"https://127.0.0.1:{port}", SECONDS_TO_START, certificate)
        assert ready, service.log.read_text()
        yield service
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_it_speaks_tls_and_asks_for_a_key(running: Running) -> None:
    assert running.ask("POST", "/v1/score", json=request_of(["A00001"])).status_code == 200
    answer = running.ask("POST", "/v1/score", token="recoup_1_wrong", json=request_of(["A00001"]))  # noqa: S106
    assert answer.status_code == 401
    assert "strict-transport-security" in answer.headers
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{running.port}/livez")


@pytest.mark.slow
def test_json_that_is_nested_without_end_is_400_and_harms_nobody(running: Running) -> None:
    deep = 100_000
    for path in ("/v1/score", "/v1/queue"):
        for body in (b"[" * deep, b'{"as_of":' + b"[" * deep + b"]" * deep + b"}", b'{"a":' * deep):
            assert running.ask("POST", path, content=body).status_code == 400
    assert running.ask("GET", "/v1/model").status_code == 200


@pytest.mark.slow
def test_figures_are_those_of_both_workers(running: Running) -> None:
    def counted() -> float:
        found = re.search(
            r'^recoup_request_seconds_count\{endpoint="GET /v1/model",status="200"\} (\S+)$',
            running.ask("GET", "/metrics").text, re.MULTILINE,
        )  # fmt: skip
        return float(found[1]) if found else 0.0

    before = counted()
    for _ in range(REQUESTS):
        assert running.ask("GET", "/v1/model").status_code == 200
    assert {counted() for _ in range(5)} == {before + REQUESTS}
    folder = running.log.parent / "var/serving"
    workers = {file.stem.rpartition("_")[2] for file in folder.rglob("histogram_*.db")}
    assert len(workers) == 2, "each worker has answered, or the sum would show nothing"


@pytest.mark.slow
def test_a_revocation_holds_within_five_seconds(running: Running) -> None:
    store = open_store(running.store, migrate=False)
    token = add_key(store, "short", frozenset(Scope), 0)
    deadline = time.monotonic() + 5
    while running.ask("GET", "/v1/model", token).status_code != 200:
        assert time.monotonic() < deadline
    revoke_key(store, int(token.split("_")[1]), 1)
    store.close()
    time.sleep(5)
    assert {running.ask("GET", "/v1/model", token).status_code for _ in range(10)} == {401}


@pytest.mark.slow
def test_who_signs_out_is_out_at_every_worker_within_five_seconds(running: Running) -> None:
    origin, form = f"https://127.0.0.1:{running.port}", {"key": running.token}

    def ask(method: str, path: str, cookie: str = "", **more: object) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(running.certificate))
        with httpx.Client(verify=context, timeout=60) as client:
            sent = {"origin": origin} | ({"cookie": cookie} if cookie else {})
            return client.request(method, f"{origin}/review{path}", headers=sent, **more)  # type: ignore[arg-type]

    entered = ask("POST", "/sign-in", data=form)
    assert entered.status_code == 303, entered.text
    cookie = entered.headers["set-cookie"].partition(";")[0]
    assert {ask("GET", "/account", cookie).status_code for _ in range(10)} == {200}
    assert ask("POST", "/sign-out", cookie).headers["location"] == "/review/sign-in"
    time.sleep(5)
    found = [ask("GET", "/account", cookie) for _ in range(10)]
    assert {one.status_code for one in found} == {303}
    assert {one.headers["location"].partition("?")[0] for one in found} == {"/review/sign-in"}


@pytest.mark.slow
def test_a_stop_answers_what_is_under_way(running: Running) -> None:
    # The last test of the running service: half a request is sent, the service is told to stop, then the other half.
    body = b'{"as_of": "2026-04-01", "histories": {"accounts": []}}'
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.token}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    context = ssl.create_default_context(cafile=str(running.certificate))
    with (
        socket.create_connection(("127.0.0.1", running.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(head.encode() + body[:20])
        time.sleep(1)
        running.process.send_signal(signal.SIGINT)
        time.sleep(2)
        connection.sendall(body[20:])
        assert connection.recv(100).startswith(b"HTTP/1.1 400 Bad Request")  # a portfolio without accounts
    assert running.process.wait(30) == 0
    log = running.log.read_text()
    assert "Stopped." in log
    assert not any(word in log for word in ("A00001", running.token.split("_", 2)[2], "Traceback"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "a service that others can reach needs keys"),  # noqa: S104
        (["--tls-key", "nowhere.pem"], "TLS needs both"),
        (["--tls-key", "nowhere.pem", "--tls-certificate", "nowhere.pem"], "TLS needs a certificate and its key"),
        (["--store", "mysql://host/x"], "a store is sqlite:///"),
    ],
)
def test_it_does_not_start_where_a_check_fails(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "recoup", "serve", "--port", str(free_port()), *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"RECOUP_VAR": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
