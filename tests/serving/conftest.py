"""What the tests of this room share: the small portfolio, packed and as a folder, and its bundle, ready to score."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.histories import Histories
from serving.scoring import Scorer, prepare_scorer
from tests.serving.small import NONE_KNOWN, small_bundle, small_histories, write_small_bundle, write_small_portfolio


@pytest.fixture(scope="session")
def histories() -> Histories:
    """The small portfolio, packed."""
    return small_histories()


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """A bundle that knows the effect of some channels."""
    return prepare_scorer(small_bundle())


@pytest.fixture(scope="session")
def blind_scorer() -> Scorer:
    """A bundle that knows the effect of no channel."""
    return prepare_scorer(small_bundle(NONE_KNOWN))


@pytest.fixture(scope="session")
def portfolio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small portfolio as a folder."""
    return write_small_portfolio(tmp_path_factory.mktemp("portfolio") / "small")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle as a folder."""
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "small-bundle")
