"""Overrides: where a person chose otherwise than was recommended, and why; kept as data to learn from."""

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


def list_overrides(store: Store, account_id: str | None = None, after: int = 0, limit: int = 1_000) -> pd.DataFrame:
    """Overrides in the order in which they were written, at most `limit`; of one account where it is given.

    Args:
        store: where they are.
        account_id: whose; everyone's when None.
        after: only those with a number above this, so that one page follows the last row of another.
        limit: how many at most.
    """
    query = sql.select(overrides).where(overrides.c.override_id > after).order_by(overrides.c.override_id).limit(limit)
    if account_id is not None:
        query = query.where(overrides.c.account_id == account_id)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return pd.DataFrame(rows, columns=list(overrides.c.keys()), dtype=object)
