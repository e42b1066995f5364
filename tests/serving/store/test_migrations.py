"""The migrations make exactly the tables that the modules of the store define, in either database."""

from __future__ import annotations

import importlib
import pkgutil

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import serving.store
from serving.store.database import Store
from serving.store.schema import metadata


def test_migrations_make_the_tables_of_today(store: Store) -> None:
    for module in pkgutil.iter_modules(serving.store.__path__, "serving.store."):
        if not module.ispkg:
            importlib.import_module(module.name)
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
