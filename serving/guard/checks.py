"""What is checked before the service starts: each check gives one clear line, or the error that stops the start."""

from __future__ import annotations

import ipaddress
import shutil
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from features.errors import SettingsError
from serving.guard.limits import MEBIBYTE
from serving.guard.options import GuardOptions
from serving.starting import check_free
from serving.store.database import open_store
from serving.store.keys import read_keys

#: With less than this, the service does not start: the ledger and the events need room.
LEAST_FREE_BYTES = 512 * MEBIBYTE


@dataclass(frozen=True)
class Check:
    """One check: what it is about, and what says how it went or raises the error."""

    about: str
    run: Callable[[], str]


def checks_of_start(
    options: GuardOptions, address: str, port: int, folder: Path, store_url: str, now: int
) -> tuple[Check, ...]:
    """The checks of a start, but for the model's.

    Args:
        options: what was asked for.
        address: the IP address to listen on.
        port: the port to listen on.
        folder: where the service writes.
        store_url: the store, whose tables are brought up to date.
        now: the present, for keys that expire.
    """
    is_loopback = ipaddress.ip_address(address).is_loopback
    return (
        Check("port", lambda: check_port(address, port)),
        Check("tls", lambda: check_tls(options.tls_certificate, options.tls_key)),
        Check("disk", lambda: check_disk(folder)),
        Check("store", lambda: check_store(store_url)),
        Check("keys", lambda: check_keys(store_url, is_loopback, now)),
    )


def run_checks(checks: Iterable[Check], say: Callable[[str], None]) -> None:
    """Run checks in order, and say a line for each; the first that fails ends the start with its error."""
    for check in checks:
        say(f"  {check.about:<6} {check.run()}")


def check_port(address: str, port: int) -> str:
    """Look whether an address can be listened on; raises `SettingsError` where it cannot."""
    check_free(address, port)
    return f"{port} of {address} is free"


def check_store(url: str) -> str:
    """Open the store and bring its tables up to date.

    Raises:
        StoreError: it cannot be reached, or its tables are those of a later version.
    """
    store = open_store(url)
    store.close()
    return f"{store.engine.url.render_as_string(hide_password=True)}, tables up to date"


def check_tls(certificate: Path | None, key: Path | None) -> str:
    """Read the certificate and its key, as the workers will.

    Raises:
        SettingsError: only one is given, or they cannot be used together.
    """
    if certificate is None and key is None:
        return "none: traffic is not encrypted"
    if certificate is None or key is None:
        raise SettingsError("TLS needs both --tls-certificate and --tls-key")
    try:
        # Without this, OpenSSL would ask for the password of a key on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise SettingsError(
            f"TLS needs a certificate and its key in PEM files, {certificate} and {key} do not do ({reason})"
        ) from None
    return f"{certificate.name}, TLS 1.2 or later"


def check_disk(folder: Path) -> str:
    """Look for room where the service writes.

    Raises:
        SettingsError: there is too little, or nothing can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise SettingsError(
            f"the service needs {LEAST_FREE_BYTES // MEBIBYTE:,} MiB free at {folder}, there are "
            f"{free // MEBIBYTE:,}; make room or choose another folder with RECOUP_VAR"
        )
    return f"{free / 1024 / MEBIBYTE:,.1f} GiB free at {folder}"


def check_keys(store_url: str, is_loopback: bool, now: int) -> str:
    """Count the keys.

    Raises:
        SettingsError: the service would be open to others than this machine, and no key is in use.
    """
    store = open_store(store_url, migrate=False)
    keys = read_keys(store)
    store.close()
    in_use = sum(key.ended(now) is None for key in keys)
    if not in_use and not is_loopback:
        raise SettingsError(
            "a service that others can reach needs keys, and none is in use; make one with `recoup keys create`, or "
            "listen on 127.0.0.1 alone"
        )
    if not keys:
        return "none: open to programs on this machine; `recoup keys create` closes it"
    return f"{in_use} in use" if in_use else "none in use: every request will be refused"


def _no_password() -> str:
    raise ValueError("the key has a password; give one without")
