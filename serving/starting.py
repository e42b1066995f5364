"""What is done before the service starts, and while it does: its bundle, its address, and word that it is ready."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from features.errors import BundleError, SettingsError
from training.bundle import Bundle, read_bundle, write_bundle

_SECONDS_BETWEEN_LOOKS = 0.2


def keep_bundle(bundle: Bundle, folder: Path) -> Path:
    """Lay a bundle down in a folder of its own below `folder`, for the workers to read; returns that folder.

    It is named after the bundle's identity, so that an equal one is laid down once.
    """
    kept = folder / bundle.digest[:16]
    if _is_whole(kept, bundle.digest):
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder))
    try:
        write_bundle(bundle, temporary)
        os.replace(temporary, kept)
    except OSError:
        if not kept.is_dir():  # else another start was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kept


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        read_bundle(folder, digest=digest)
    except BundleError:
        return False
    return True


def address_of(host: str) -> str:
    """The IP address that a host stands for.

    Raises:
        SettingsError: it is neither an address nor `localhost`.
    """
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError:
        raise SettingsError(f"a host is an IP address or localhost, got {host!r}; 127.0.0.1 is this machine") from None


def url_of(address: str, port: int, tls: bool = False) -> str:
    """The URL at which an address is reached from this machine.

    >>> url_of("127.0.0.1", 3000), url_of("::1", 3000, tls=True)
    ('http://127.0.0.1:3000', 'https://[::1]:3000')
    """
    # What listens on every address is reached on this machine's own.
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 it is read, not listened on
    host = f"[{reached}]" if ":" in reached else reached
    return f"{'https' if tls else 'http'}://{host}:{port}"


def check_free(address: str, port: int) -> None:
    """Refuse an address that cannot be listened on, with `SettingsError`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise SettingsError(
                f"the service must have its port to itself, {address}:{port} cannot be used ({error.strerror}); stop "
                f"what listens there, or choose another with --port"
            ) from None


def wait_until_ready(url: str, seconds: float, certificate: Path | None = None) -> bool:
    """Wait until a service says that it is ready; false where it does not in time.

    `certificate` is the service's own: that it shows this one is all that matters to whoever has just started it.
    """
    end = time.monotonic() + seconds
    context = None if certificate is None else _trusting(certificate)
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5, context=context) as answer:  # noqa: S310 see url_of
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return False


def _trusting(certificate: Path) -> ssl.SSLContext:
    """Trust one certificate, whoever signed it and whatever name it is for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context
