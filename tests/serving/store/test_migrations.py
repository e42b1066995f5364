"""The migrations make exactly the tables that the modules of the store define, in either database."""

from __future__ import annotations

import importlib
import pkgutil
from hashlib import blake2b

import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import serving.store
from serving.store.database import Store, upgrade
from serving.store.histories import tables
from serving.store.schema import metadata
from tests.serving.small import random_frames
from tests.serving.store.test_histories import send


def test_keys_that_were_hashes_of_ids_become_the_ids(store: Store) -> None:
    frames = random_frames(20)
    frames["payments"]["payment_id"] = [f"p{row}" if row % 3 else None for row in range(len(frames["payments"]))]
    first = send(store, frames)
    with store.writing() as connection:
        for name, table in tables.items():
            if name == "accounts":
                continue
            for (key,) in connection.execute(sql.select(table.c.row_key)).fetchall():
                old = bytes(key)[1:] if bytes(key)[:1] == b"\xff" else blake2b(bytes(key), digest_size=16).digest()
                connection.execute(table.update().where(table.c.row_key == key).values(row_key=old))
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")
    upgrade(store.engine)
    assert send(store, frames).duplicates == first.accepted


def test_migrations_make_the_tables_of_today(store: Store) -> None:
    for module in pkgutil.iter_modules(serving.store.__path__, "serving.store."):
        if not module.ispkg:
            importlib.import_module(module.name)
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
