"""Overrides: where a person chose otherwise than was recommended, and why; kept as data to learn from.

An override holds until it is ended. Its row stays as it was made, and its end is a row beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sql

from serving.store.database import Store
from serving.store.schema import Counter, metadata

#: `answer_id` is the answer of the ledger that recommended, where it is known.
overrides = sql.Table(
    "overrides",
    metadata,
    sql.Column("override_id", Counter, primary_key=True),
    sql.Column("account_id", sql.Text, nullable=False, index=True),
    sql.Column("at", sql.BigInteger, nullable=False, index=True),
    sql.Column("recommended", sql.Text, nullable=False),
    sql.Column("chosen", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("answer_id", sql.BigInteger),
    sql.Column("key_id", sql.Text),
)
#: When an override was ended, and with which key.
override_ends = sql.Table(
    "override_ends",
    metadata,
    sql.Column("override_id", Counter, primary_key=True, autoincrement=False),
    sql.Column("at", sql.BigInteger, nullable=False),
    sql.Column("key_id", sql.Text),
)
# The same words in both databases.
_END = sql.text("INSERT INTO override_ends (override_id, at, key_id) VALUES (:override_id, :at, :key_id) "
                "ON CONFLICT DO NOTHING")  # fmt: skip


@dataclass(frozen=True)
class Override:
    """One different choice, at an instant: the action that was recommended, the one that was chosen, and the reason."""

    account_id: str
    at: int
    recommended: str
    chosen: str
    reason: str
    answer_id: int | None = None
    key_id: str | None = None


def write_override(store: Store, override: Override) -> int:
    """Keep an override; durable when it returns. Its number.

    Raises:
        StoreError: the store did not take it.
    """
    with store.writing() as connection:
        statement = sql.insert(overrides).returning(overrides.c.override_id)
        return int(connection.execute(statement, vars(override)).scalar_one())


def end_override(store: Store, override_id: int, at: int, key_id: str | None = None) -> pd.DataFrame:
    """End an override; durable when it returns. One that was ended already stays as it is.

    Args:
        store: where it is.
        override_id: its number.
        at: the instant of its end.
        key_id: the key with which it is ended.

    Returns:
        Its row, as `list_overrides` has it; none where there is no such override.

    Raises:
        StoreError: the store did not take it.
    """
    with store.writing() as connection:
        known = sql.select(overrides.c.override_id).where(overrides.c.override_id == override_id)
        if connection.execute(known).first() is not None:
            connection.execute(_END, {"override_id": override_id, "at": at, "key_id": key_id})
    found = list_overrides(store, after=override_id - 1, limit=1)
    return found[found["override_id"] == override_id]


def list_overrides(store: Store, account_id: str | None = None, after: int = 0, limit: int = 1_000) -> pd.DataFrame:
    """Overrides in the order in which they were written, at most `limit`; of one account where it is given.

    Beside the columns of the table, `ended_at` and `ended_key_id`: None of one that holds.

    Args:
        store: where they are.
        account_id: whose; everyone's when None.
        after: only those with a number above this, so that one page follows the last row of another.
        limit: how many at most.
    """
    ended = (override_ends.c.at.label("ended_at"), override_ends.c.key_id.label("ended_key_id"))
    beside = override_ends.c.override_id == overrides.c.override_id
    query = sql.select(overrides, *ended).join(override_ends, beside, isouter=True)
    query = query.where(overrides.c.override_id > after).order_by(overrides.c.override_id).limit(limit)
    if account_id is not None:
        query = query.where(overrides.c.account_id == account_id)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return pd.DataFrame(rows, columns=[*overrides.c.keys(), "ended_at", "ended_key_id"], dtype=object)
