"""The options of `recoup serve` that are about the guard, in one place: certificate, limits and the store of keys."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from serving.guard.limits import Limits
from serving.guard.settings import GuardSettings

_FILE = click.Path(dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--store", help="The store's URL; RECOUP_STORE, else the SQLite file in the var folder, by default."
    ),
    click.option("--tls-certificate", type=_FILE, help="Speak TLS with the certificate (and chain) in this PEM file."),
    click.option("--tls-key", type=_FILE, help="Its key, in a PEM file without a password."),
    click.option(
        "--rate", type=click.FloatRange(min=0, min_open=True), default=Limits.rate, show_default=True,
        help="Requests a second by key, over all workers.",
    ),
    click.option(
        "--waiting", type=click.IntRange(min=1), default=Limits.waiting, show_default=True,
        help="Requests that wait or are answered in a worker at once; more are told to come later.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class GuardOptions:
    """What was given of them."""

    store: str | None
    tls_certificate: Path | None
    tls_key: Path | None
    rate: float
    waiting: int

    def settings(self, address: str, rates: Path, sessions: Path) -> GuardSettings:
        """What the workers are told, for the address that is listened on, and the files of rates and of sessions."""
        return GuardSettings(
            limits=Limits(rate=self.rate, waiting=self.waiting),
            open_without_keys=ipaddress.ip_address(address).is_loopback,
            tls=self.tls_certificate is not None,
            rates=str(rates),
            sessions=str(sessions),
        )

    def tls_files(self) -> tuple[str | None, str | None]:
        """The certificate's and the key's whole paths, for workers that run in another folder; None without TLS."""
        return _whole(self.tls_certificate), _whole(self.tls_key)


def guard_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and hand it one `guard` in their place."""

    @functools.wraps(command)
    def with_guard(
        store: str | None, tls_certificate: Path | None, tls_key: Path | None, rate: float, waiting: int, **others: Any
    ) -> Any:
        return command(guard=GuardOptions(store, tls_certificate, tls_key, rate, waiting), **others)

    return functools.reduce(lambda found, option: option(found), reversed(_OPTIONS), with_guard)


def _whole(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
