"""What the tests of the review share: a store that is rolled up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving.review.rollup import roll_up
from serving.store.database import Store, open_store
from tests.serving.review.rolled import NOW, filled
from tests.serving.small import SETTINGS
from tests.serving.stores import Stores


@pytest.fixture(scope="module")
def rolled(stores: Stores, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with months of scores, rolled up; of as many accounts as the module's `N_ACCOUNTS` says."""
    opened = open_store(stores.sqlite(tmp_path_factory.mktemp("rolled") / "store.db"), migrate=False)
    filled(opened, n_accounts=getattr(request.module, "N_ACCOUNTS", 80))
    roll_up(opened, SETTINGS, NOW)
    yield opened
    opened.close()
