"""Sessions that were ended before their time: the digest of each, until it would have been over anyway.

Whoever signs out is out on every machine that has the store: each worker reads these with the keys.
"""

from __future__ import annotations

import sqlalchemy as sql

from serving.store.database import Store
from serving.store.schema import metadata

ended_sessions = sql.Table(
    "ended_sessions",
    metadata,
    sql.Column("digest", sql.LargeBinary(32), primary_key=True),
    sql.Column("until", sql.BigInteger, nullable=False, index=True),
)
# The same words in both databases.
_END = sql.text("INSERT INTO ended_sessions (digest, until) VALUES (:digest, :until) ON CONFLICT DO NOTHING")


def end_session(store: Store, digest: bytes, until: int, now: int) -> None:
    """End a session; those that are over by now are forgotten on the way. To end one twice changes nothing.

    Args:
        store: where it is kept.
        digest: what is kept of the session, 32 bytes.
        until: when it would have been over.
        now: the present.

    Raises:
        StoreError: the store did not take it.
    """
    with store.writing() as connection:
        connection.execute(sql.delete(ended_sessions).where(ended_sessions.c.until <= now))
        connection.execute(_END, {"digest": digest, "until": until})


def read_ended_sessions(store: Store) -> frozenset[bytes]:
    """The digests of all sessions that were ended and may not be over yet."""
    with store.reading() as connection:
        return frozenset(bytes(digest) for digest in connection.execute(sql.select(ended_sessions.c.digest)).scalars())
