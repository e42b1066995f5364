"""The table of hours: what is counted into it, and that it goes with the bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.histories import category_values
from features.hours import count_calls
from features.units import DAY
from tests.training.world import NOW, histories, trained
from training.bundle import read_bundle, write_bundle
from training.hours import learn_hours
from training.moments import cut_time


def test_segments_add_up_to_the_portfolio_and_to_its_accounts() -> None:
    until = cut_time(histories(), 30, None, NOW).until
    table = learn_hours(histories(), until)
    everybody = np.arange(len(histories()))
    attempts, reached = count_calls(histories(), everybody, until)
    assert table.everyone.attempts == tuple(attempts.sum(axis=0))
    assert set(table.segments) == set(category_values(histories(), "segment"))
    for name in ("attempts", "reached"):
        of_segments = [getattr(counts, name) for counts in table.segments.values()]
        assert tuple(np.sum(of_segments, axis=0)) == getattr(table.everyone, name)
    assert 0 < reached.sum() < attempts.sum()
    # The world is dialled from 9:00 to 21:00 in Shanghai; without a time zone, the portfolio's clock is UTC.
    assert np.flatnonzero(table.everyone.attempts).tolist() == list(range(1, 13))


def test_only_what_was_known_before_the_cut_is_counted() -> None:
    until = cut_time(histories(), 30, None, NOW).until
    fewer = learn_hours(histories(), until - 30 * DAY).everyone.attempts
    more = learn_hours(histories(), until).everyone.attempts
    assert sum(fewer) < sum(more)
    assert all(less <= count for less, count in zip(fewer, more, strict=True))
    assert learn_hours(histories(), 0).segments == {}


def test_the_table_goes_with_the_bundle(tmp_path: Path) -> None:
    bundle, until = trained().bundle, trained().cuts.until
    assert bundle.hours == learn_hours(histories(), until)
    write_bundle(bundle, tmp_path / "bundle")
    read = read_bundle(tmp_path / "bundle")
    assert "hours.json" in read.manifest.sha256
    rows = np.arange(0, len(histories()), 7)
    made, found = (one.rates_by_hour(histories(), rows, until) for one in (bundle, read))
    assert found.rates.shape == found.attempts.shape == (len(rows), 24)
    assert np.array_equal(made.rates, found.rates, equal_nan=True)
