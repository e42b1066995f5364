"""The verb `recoup keys`: make, list, rotate and revoke the keys of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from features import environment
from features.progress import wide_console
from features.units import DAY, HOUR, format_instant
from serving.guard.keys import SECONDS_BETWEEN_LOOKS, Key, Scope

if TYPE_CHECKING:
    from serving.store.database import Store

_STORE = click.option(
    "--store", "store_url", help="The store's URL; RECOUP_STORE, else the SQLite file in the var folder, by default."
)
_NUMBER = click.argument("number", type=click.IntRange(min=1))
_ONCE = "This is the key; it is shown this once."


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke the API keys of the service.

    A key opens what its scopes say: score (scores, queues, the model), events (taking events in), review (accounts,
    overrides, figures), admin (erasing a person). A store keeps its SHA-256 alone.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it is for; repeatable.",
)
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires; by default it does not.")
@_STORE
def create(name: str, scopes: tuple[str, ...], days: int | None, store_url: str | None) -> None:
    """Make a key for the program or person NAME, and print it."""
    from serving.store.keys import add_key

    now = environment.now()
    with _store(store_url) as opened:
        token = add_key(opened, name, frozenset(map(Scope, scopes)), now, None if days is None else now + days * DAY)
    _print_token(token)


@keys.command("list")
@_STORE
def list_(store_url: str | None) -> None:
    """List all keys, ended ones among them."""
    from serving.store.keys import read_keys

    now = environment.now()
    with _store(store_url) as opened:
        rows = read_keys(opened)
    table = Table("key", "name", "scopes", "created", "expires", "state")
    for key in rows:
        table.add_row(*_cells(key, now))
    wide_console(120).print(table)


@keys.command()
@_NUMBER
@click.option(
    "--overlap-hours", type=click.IntRange(min=0), default=24, show_default=True,
    help="Hours for which both keys are good.",
)  # fmt: skip
@_STORE
def rotate(number: int, overlap_hours: int, store_url: str | None) -> None:
    """Make a key in place of key NUMBER, which ends after an overlap, and print it."""
    from serving.store.keys import rotate_key

    with _store(store_url) as opened:
        token = rotate_key(opened, number, environment.now(), overlap_hours * HOUR)
    _print_token(token)
    _say(f"Key {number} ends in {overlap_hours} hours.")


@keys.command()
@_NUMBER
@_STORE
def revoke(number: int, store_url: str | None) -> None:
    """End key NUMBER now."""
    from serving.store.keys import revoke_key

    with _store(store_url) as opened:
        revoke_key(opened, number, environment.now())
    _say(f"Key {number} is revoked: every worker refuses it within {2 * SECONDS_BETWEEN_LOOKS:g} seconds.")


@contextmanager
def _store(url: str | None) -> Iterator[Store]:
    from serving.store.database import open_store

    store = open_store(url or environment.store_url())
    try:
        yield store
    finally:
        store.close()


def _print_token(token: str) -> None:
    """The key alone on stdout, so that it can be handed on; what a person should know beside it."""
    click.echo(token)
    _say(_ONCE)


def _say(text: str) -> None:
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)


def _cells(key: Key, now: int) -> list[str]:
    expires = "never" if key.expires_at is None else format_instant(key.expires_at)
    scopes = " ".join(scope for scope in Scope if scope in key.scopes)
    return [key.key_id, key.name, scopes, format_instant(key.created_at), expires, key.ended(now) or "in use"]
