"""What the tests of the API share: an empty store, in SQLite and in PostgreSQL."""

from __future__ import annotations

from tests.serving.store.conftest import postgresql_server, store, store_url

__all__ = ("postgresql_server", "store", "store_url")
