"""Arrays of any layout are answered by what was compiled once: to compile anew takes half a minute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features import kernel
from features.compute import feature_matrix, prepare, standing
from features.outcomes import outcomes
from serving.contact_rules.restrictions import dead_until
from tests.serving.small import AS_OF, SETTINGS, small_histories

COMPILED: tuple[Any, ...] = (kernel.fill, kernel.standing, kernel.paid_between, kernel.dead_until)
N = 40


def layouts(values: list[int]) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    plain = np.array(values, dtype=np.int64)
    fixed = plain.copy()
    fixed.flags.writeable = False
    return {"plain": plain, "fixed": fixed, "reversed": plain[::-1].copy()[::-1], "strided": np.repeat(plain, 2)[::2]}


def answers(rows: Any, as_of: Any) -> tuple[Any, ...]:
    histories = small_histories()
    return (
        feature_matrix(histories, rows, as_of, prepare(SETTINGS)),
        *standing(histories, rows, as_of),
        outcomes(histories, rows, as_of, 30, AS_OF).net_amount,
        dead_until(histories, rows, AS_OF),
    )


@pytest.mark.parametrize("layout", ["fixed", "reversed", "strided"])
def test_every_layout_is_answered_alike_and_compiled_for_once(layout: str) -> None:
    rows, moments = layouts(list(range(N))), layouts([AS_OF - number for number in range(N)])
    expected = answers(rows["plain"], moments["plain"])
    compiled = [len(each.signatures) for each in COMPILED]
    for found, known in zip(answers(rows[layout], moments[layout]), expected, strict=True):
        np.testing.assert_array_equal(found, known)
    assert [len(each.signatures) for each in COMPILED] == compiled
