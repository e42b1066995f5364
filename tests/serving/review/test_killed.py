"""`recoup rollup` as processes: killed in the midst, again and again, and two at once, it comes to the same sums."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql

from serving.review.rollup import roll_up
from serving.store.database import Store, open_store
from serving.store.portfolio import keep_settings
from serving.store.rollups import cells, observations, residuals, rollup_progress
from tests.serving.review.rolled import NOW, assert_same_cells, frames_of, observed, summed, write_scores
from tests.serving.small import SETTINGS
from tests.serving.store.test_histories import send

N_ACCOUNTS, DAYS, SECONDS = 250, range(13, 168, 13), 120
RESIDUALS = [column.name for column in residuals.columns][3:]


def prepared(store: Store) -> None:
    """Months of scores, of which the first day's are rolled up: what the model counts as a payment is known then."""
    frames = frames_of(N_ACCOUNTS)
    assert send(store, frames).rejects.empty
    keep_settings(store, SETTINGS)
    ids = frames["accounts"]["account_id"].tolist()
    write_scores(store, ids, range(1))
    roll_up(store, SETTINGS, NOW)
    for role in ("champion", "challenger"):
        write_scores(store, ids, DAYS, role=role)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('undisturbed')}/store.db")
    prepared(opened)
    roll_up(opened, SETTINGS, NOW)
    yield opened
    opened.close()


def start(url: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "RECOUP_STORE": url, "RECOUP_VAR": str(folder)}
    command = [sys.executable, "-m", "recoup", "rollup", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def reached(store: Store) -> tuple[object, ...]:
    """How far the roll-up of a store is, in each of its parts."""
    counts = [
        sql.select(sql.func.count()).select_from(observations).where(observations.c.matured).scalar_subquery(),
        sql.select(sql.func.count(sql.distinct(cells.c.month))).scalar_subquery(),
        sql.select(rollup_progress.c.answer_id).scalar_subquery(),
        sql.select(rollup_progress.c.position).scalar_subquery(),
    ]
    with store.reading() as connection:
        return tuple(connection.execute(sql.select(*counts)).one())


def assert_same(found: Store, expected: Store) -> None:
    assert_same_cells(summed(found), summed(expected))
    first, second = observed(found), observed(expected)
    assert not first.duplicated(["account_id", "month", "role"]).any()
    # Their numbers are given as they are made, and tell nothing; the databases have times and flags of their own kinds.
    names = [name for name in first if name not in {"observation_id", "answer_id"}]
    assert first[names].astype(str).equals(second[names].astype(str))
    ours, theirs = _sums(found), _sums(expected)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def _sums(store: Store) -> np.ndarray:
    query = sql.select(*(residuals.c[name] for name in RESIDUALS))
    with store.reading() as connection:
        return np.array(connection.execute(query.order_by("month", "role", "model")).all(), dtype=np.float64)


@pytest.mark.slow
def test_a_process_that_is_killed_in_the_midst_loses_and_doubles_nothing(
    store: Store, store_url: str, undisturbed: Store, tmp_path: Path
) -> None:
    prepared(store)
    draw, killed = np.random.default_rng(1), 0
    for _ in range(5):
        # In small steps: there are more of them to be killed in.
        before, process = reached(store), start(store_url, tmp_path, "--considerate")
        end = time.monotonic() + SECONDS
        while process.poll() is None and reached(store) == before:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3
    last = start(store_url, tmp_path)
    said, _ = last.communicate(timeout=SECONDS)
    assert last.returncode == 0, said
    assert_same(store, undisturbed)


@pytest.mark.slow
def test_two_processes_at_once_do_the_work_once(
    store: Store, store_url: str, undisturbed: Store, tmp_path: Path
) -> None:
    prepared(store)
    with store.reading() as connection:
        reading = sql.select(sql.func.count()).where(observations.c.matured)
        before = connection.execute(reading).scalar_one()
    both = [start(store_url, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=SECONDS)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    counts = [
        [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) (?:scores|new|outcomes)", text)]
        for text in said
    ]
    with store.reading() as connection:
        matured = connection.execute(reading).scalar_one()
    assert counts[0][0] + counts[1][0] == 2 * N_ACCOUNTS * len(DAYS)
    assert counts[0][2] + counts[1][2] == matured - before
    assert_same(store, undisturbed)
