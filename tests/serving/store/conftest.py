"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.store.database import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store with all tables."""
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()
