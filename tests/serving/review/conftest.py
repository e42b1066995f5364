"""What the tests of the review share: the empty stores of the tests of the store."""

from __future__ import annotations

from tests.serving.store.conftest import postgresql_server, store, store_url

__all__ = ["postgresql_server", "store", "store_url"]
