"""Reference distributions: shares that add up, atoms with a bin of their own, and what they say of the same column."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.training.world import trained
from training.reference import distribution, shares_in

_VALUES = st.floats(width=32, allow_nan=True, allow_infinity=False)


@given(arrays.arrays(np.float32, st.integers(1, 60), elements=_VALUES))
def test_shares_are_those_of_the_column(column: np.ndarray) -> None:
    found = distribution(column)
    assert found.edges is not None
    assert sum(found.shares) == pytest.approx(1, abs=1e-4)
    edges = [-np.inf, *np.array(found.edges, dtype=np.float32), np.inf]
    slow = [np.mean((column > low) & (column <= high)) for low, high in pairwise(edges)]
    assert found.shares[:-1] == pytest.approx(slow, abs=1e-6)
    assert found.shares[-1] == pytest.approx(np.isnan(column).mean(), abs=1e-6)


def test_a_value_that_many_share_has_a_bin_of_its_own() -> None:
    # Most accounts never paid: what lies below zero, at it and above it are three things.
    column = np.array([0] * 80 + [1, 2, 3, 4] * 5, dtype=np.float32)
    found = distribution(column)
    below, at = shares_in(np.array([-1], dtype=np.float32), found), shares_in(np.array([0], dtype=np.float32), found)
    assert np.argmax(below) != np.argmax(at)
    assert 0.8 in found.shares


def test_categories_are_their_codes_and_an_unknown_one_is_missing() -> None:
    found = distribution(np.array([0, 2, 2, np.nan], dtype=np.float32), 3)
    assert found.edges is None
    assert found.shares == (0.25, 0.0, 0.5, 0.25)


def test_a_bundle_knows_how_all_it_reads_was_distributed() -> None:
    bundle = trained().bundle
    assert tuple(bundle.reference.features) == bundle.manifest.features
    assert set(bundle.reference.scores) == {"p_pay", "expected_amount"}
    assert 0.5 < bundle.reference.expected_auc < 1
    assert bundle.reference.expected_brier is not None
    assert 0 < bundle.reference.expected_brier < 0.25
    assert all(sum(one.shares) == pytest.approx(1, abs=1e-4) for one in bundle.reference.features.values())
