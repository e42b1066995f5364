"""The API keys of a store: the digest of each, never the key itself. A key is ended, never deleted."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql

from features.errors import StoreError
from serving.guard.keys import Key, Scope, digest_of, new_secret, write_token
from serving.store.database import Store
from serving.store.schema import Counter, metadata

api_keys = sql.Table(
    "api_keys",
    metadata,
    sql.Column("number", Counter, primary_key=True),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("digest", sql.LargeBinary(32), nullable=False),
    # Words with blanks between them.
    sql.Column("scopes", sql.Text, nullable=False),
    sql.Column("created_at", sql.BigInteger, nullable=False),
    sql.Column("expires_at", sql.BigInteger),
    sql.Column("revoked_at", sql.BigInteger),
)


def add_key(store: Store, name: str, scopes: frozenset[Scope], now: int, expires_at: int | None = None) -> str:
    """Make a key, and return it: it can be read nowhere afterwards."""
    with store.writing() as connection:
        return _insert(connection, name, scopes, now, expires_at)


def read_keys(store: Store) -> list[Key]:
    """All keys, in the order they were made; ended ones among them."""
    with store.reading() as connection:
        return [_key(row) for row in connection.execute(sql.select(api_keys).order_by(api_keys.c.number))]


def revoke_key(store: Store, number: int, now: int) -> Key:
    """End a key now; one that is revoked already stays as it is.

    Raises:
        StoreError: there is no such key.
    """
    with store.writing() as connection:
        key = _read(connection, number)
        if key.revoked_at is None:
            connection.execute(sql.update(api_keys).where(api_keys.c.number == number).values(revoked_at=now))
    return key


def rotate_key(store: Store, number: int, now: int, overlap: int) -> str:
    """Make a key like another, which ends when `overlap` (microseconds) has passed, or as it would have if earlier.

    Raises:
        StoreError: there is no such key, or it has ended.
    """
    with store.writing() as connection:
        old = _read(connection, number)
        if ended := old.ended(now):
            raise StoreError(f"a key that is rotated must be in use, key {number} is {ended}; create a new one")
        # The new one lasts as long as the old one was made for.
        expires_at = None if old.expires_at is None else now + old.expires_at - old.created_at
        ends = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
        connection.execute(sql.update(api_keys).where(api_keys.c.number == number).values(expires_at=ends))
        return _insert(connection, old.name, old.scopes, now, expires_at)


def _insert(connection: sql.Connection, name: str, scopes: frozenset[Scope], now: int, expires_at: int | None) -> str:
    secret = new_secret()
    row = {
        "name": name,
        "digest": digest_of(secret),
        "scopes": " ".join(scope for scope in Scope if scope in scopes),
        "created_at": now,
        "expires_at": expires_at,
    }
    number = connection.execute(sql.insert(api_keys).returning(api_keys.c.number), row).scalar_one()
    return write_token(number, secret)


def _read(connection: sql.Connection, number: int) -> Key:
    row = connection.execute(sql.select(api_keys).where(api_keys.c.number == number)).one_or_none()
    if row is None:
        raise StoreError(f"there is no key {number}; `recoup keys list` shows those there are")
    return _key(row)


def _key(row: Any) -> Key:
    scopes = frozenset(map(Scope, row.scopes.split()))
    return Key(row.number, row.name, bytes(row.digest), scopes, row.created_at, row.expires_at, row.revoked_at)
