"""Erasing a person: her rows go. In the ledger her figures stay, so that sums stay true, and nothing says whose.

erase(store, account_id, now) -> Erased
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sql

from serving.store.database import Store
from serving.store.events import last_arrival
from serving.store.histories import arrivals, changes, tables
from serving.store.inserting import is_sqlite, take_turn
from serving.store.ledger import ERASING, inputs, packed_matrix, scores, unpacked_matrix
from serving.store.overrides import overrides
from serving.store.rollups import calendar_months, observations, rollup_progress
from serving.store.schema import metadata

#: What was erased: the token that stands in the ledger in the place of the account's id, and in how many rows.
erasures = sql.Table(
    "erasures",
    metadata,
    sql.Column("token", sql.Text, primary_key=True),
    sql.Column("at", sql.BigInteger, nullable=False),
    sql.Column("rows", sql.BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Erased:
    """What was erased: how many rows of histories are gone, and how many of the ledger no longer say whose they are."""

    histories: int
    ledger: int


def erase(store: Store, account_id: str, now: int) -> Erased:
    """Erase an account from the store, in one transaction; both counts are 0 where the store did not know it.

    Raises:
        StoreError: the store cannot be written; nothing was erased.
    """
    with store.writing() as connection:
        take_turn(connection)
        if is_sqlite(connection):
            connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else the bytes stay in the file
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ERASING})")
        rows = sum(
            connection.execute(table.delete().where(table.c.account_id == account_id)).rowcount
            for table in tables.values()
        )
        # With it goes what was packed of it.
        connection.execute(changes.delete().where(changes.c.account_id == account_id))
        if rows:
            values = {"arrival": last_arrival(connection) + 1, "received_at": now, "erased": 1}
            connection.execute(arrivals.insert(), values)
        return Erased(rows, erase_from_ledger(connection, account_id, now))


def erase_from_ledger(connection: sql.Connection, account_id: str, at: int) -> int:
    """Take an account's id out of the ledger and what is made of it, in the transaction of whoever erases the rest.

    In its place comes a random token, the same in all rows, that leads nowhere: there is no list of tokens and ids. Her
    features and the reasons that people gave for overrides are gone.

    Args:
        connection: a connection that writes.
        account_id: whose rows.
        at: the instant of the erasure.

    Returns:
        In how many rows of scores and overrides the token stands; 0 where the ledger did not know the account.
    """
    token = f"erased-{secrets.token_hex(16)}"
    _blank_features(connection, account_id)
    renamed = connection.execute(sql.update(scores).where(scores.c.account_id == account_id).values(account_id=token))
    taken = connection.execute(
        sql.update(overrides).where(overrides.c.account_id == account_id).values(account_id=token, reason="")
    )
    _erase_from_rollups(connection, account_id, token)
    rows = renamed.rowcount + taken.rowcount
    if rows:
        connection.execute(sql.insert(erasures), {"token": token, "at": at, "rows": rows})
    return rows


def _blank_features(connection: sql.Connection, account_id: str) -> None:
    """Make the account's features missing throughout, in every answer that keeps some."""
    mine = (
        sql.select(inputs.c.answer_id, inputs.c.features, scores.c.position)
        .join(scores, scores.c.answer_id == inputs.c.answer_id)
        .where(scores.c.account_id == account_id)
        .order_by(inputs.c.answer_id, scores.c.position)
    )
    kept: dict[int, tuple[bytes, list[int]]] = {}
    for answer_id, features, position in connection.execute(mine):
        kept.setdefault(answer_id, (features, []))[1].append(position)
    for answer_id, (features, positions) in kept.items():
        matrix = unpacked_matrix(features)
        matrix[positions] = np.nan
        blanked = sql.update(inputs).where(inputs.c.answer_id == answer_id).values(features=packed_matrix(matrix))
        connection.execute(blanked)


def _erase_from_rollups(connection: sql.Connection, account_id: str, token: str) -> None:
    """Give an account's observations the token, but for those whose outcome nobody will know any more: they go.

    One that waits for its outcome to be looked for again stays with the one that was known.
    """
    hers = observations.c.account_id == account_id
    months = sql.select(observations.c.month).where(hers)
    connection.execute(sql.update(calendar_months).where(calendar_months.c.month.in_(months)).values(stale=True))
    connection.execute(sql.delete(observations).where(hers, observations.c.paid.is_(None)))
    connection.execute(sql.update(observations).where(hers).values(account_id=token, matured=True))
    connection.execute(sql.update(rollup_progress).values(changes=rollup_progress.c.changes + 1))
