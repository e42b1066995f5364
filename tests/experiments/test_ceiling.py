"""What can be reached: an allocation is the best of all, and always found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from experiments.ceiling import allocate


def test_an_allocation_is_worth_as_much_as_the_best_of_all() -> None:
    generator = np.random.default_rng(3)
    value, capacity = generator.normal(size=(5, 3)), np.array([1.0, 2.0, 0.0])
    allowed = generator.random((5, 3)) < 0.8
    allowed[:, -1] = True
    ways = (np.array(way) for way in itertools.product(range(3), repeat=5))
    possible = [
        way
        for way in ways
        if allowed[np.arange(5), way].all() and (np.bincount(way, minlength=3)[:2] <= capacity[:2]).all()
    ]
    best = max(value[np.arange(5), way].sum() for way in possible)
    share = allocate(value, allowed, capacity)
    assert (share * value).sum() == pytest.approx(best)
    assert share.sum(axis=1) == pytest.approx(np.ones(5))


def test_who_is_not_to_be_decided_on_gets_nothing_and_hinders_nobody() -> None:
    share = allocate(np.array([[2.0, 0.0], [3.0, 0.0]]), np.array([[True, True], [False, False]]), np.array([5.0, 0.0]))
    assert share.tolist() == [[1.0, 0.0], [0.0, 0.0]]
