"""Persons: which accounts are of one debtor."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sql

from serving.store.database import Store
from serving.store.histories import tables
from serving.store.inserting import among


def with_others_of_persons(store: Store, account_ids: Sequence[str]) -> list[str]:
    """The accounts, and all others that the store holds of the same persons; each once, sorted.

    Raises:
        StoreError: the store cannot be read.
    """
    accounts = tables["accounts"]
    with store.reading() as connection:
        persons = sql.select(accounts.c.person_id).where(among(connection, accounts.c.account_id, account_ids))
        others = sql.select(accounts.c.account_id).where(accounts.c.person_id.in_(persons))
        return sorted({*account_ids, *connection.execute(others).scalars()})
