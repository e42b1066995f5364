"""The roll-up of a large ledger, and how long the tables of the review take after it.

A store of SQLite is filled with scores of a book, day after day, some of them one by one, some of a challenger, and
with what followed. All is rolled up. Each table is then read, each page is opened, and the band table is held against
one query over the raw ledger. A smaller one is copied into PostgreSQL, where there is one, and rolled up there.

`--rows` says how many rows the ledger has, `--accounts` how many accounts, `--in-postgresql` how many rows of it are
rolled up there; `--folder` is where the stores are put.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import Progress

from experiments.benchmarks._band_table import band_table
from experiments.benchmarks._postgresql import cluster, postgresql_binaries
from experiments.benchmarks._report import Figure, call_once, measure, write_report
from experiments.benchmarks._review_ledger import SETTINGS, START, copy, fill
from experiments.benchmarks._review_pages import page_times
from features.progress import bars
from features.units import DAY
from serving.review.exporting import TABLES
from serving.review.reading import BY, Where
from serving.review.rollup import OnStep, progress_of, roll_up
from serving.review.statements import SETTLING
from serving.review.tables import against_actual
from serving.store.database import Store, open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, roll up, read, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=50_000)
    parser.add_argument("--in-postgresql", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args(arguments)
    days = options.rows // options.accounts
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, bars() as progress:
        figures = [Figure("load of the machine at the start", os.getloadavg()[0], "processes")]
        with closing(open_store(f"sqlite:///{folder}/store.db")) as store:
            figures += _run(store, days, options.accounts, progress)
            figures += page_times(store, _now(days))
        if options.in_postgresql and postgresql_binaries():
            figures += _run_in_postgresql(Path(folder), days, options.in_postgresql // days, progress)
        figures.append(Figure("load of the machine at the end", os.getloadavg()[0], "processes"))
    write_report("review", figures)
    return 0


def _now(days: int) -> int:
    return START + (days + 60) * DAY


def _run_in_postgresql(folder: Path, days: int, accounts: int, progress: Progress) -> list[Figure]:
    """The same of fewer accounts; the CPU time is that of the server and of this process together."""
    with closing(open_store(f"sqlite:///{folder}/smaller.db")) as smaller, cluster() as server:
        fill(smaller, days, accounts, progress)
        roll_up(smaller, SETTINGS, _now(days))
        with closing(open_store(server.url)) as store:
            copy(smaller, store, progress)
            before = server.cpu()
            done, cpu, wall = call_once(lambda: roll_up(store, SETTINGS, _now(days), on_step=_telling(progress)))
            cpu += server.cpu() - before
            ours, theirs = (against_actual(each, "band", Where()).rows for each in (store, smaller))
    return [
        Figure("rows of the ledger in PostgreSQL", done.scores, "rows"),
        Figure("roll-up in PostgreSQL", done.scores / wall, "rows a second", "100,000"),
        Figure("roll-up in PostgreSQL, by CPU time", done.scores / cpu, "rows a CPU second"),
        Figure("rows of its band table that differ from SQLite's", int((~_same(ours, theirs)).sum()), "rows", "0"),
    ]


def _same(ours: pd.DataFrame, theirs: pd.DataFrame) -> npt.NDArray[np.bool_]:
    first, second = (each.iloc[:, 1:].to_numpy(dtype=np.float64) for each in (ours, theirs))
    return np.asarray(np.isclose(first, second, equal_nan=True).all(axis=1))


def _run(store: Store, days: int, accounts: int, progress: Progress) -> list[Figure]:
    rows = days * accounts
    fill(store, days, accounts, progress)
    now = _now(days)
    done, cpu, wall = call_once(lambda: roll_up(store, SETTINGS, now, on_step=_telling(progress)))
    again, _, idle = call_once(lambda: roll_up(store, SETTINGS, now))
    figures = [
        Figure("rows of the ledger", rows, "rows"),
        Figure("observations", done.observed, "rows"),
        Figure("outcomes matured", done.matured, "rows"),
        Figure("roll-up", rows / wall, "rows a second", "100,000"),
        Figure("roll-up, by CPU time", rows / cpu, "rows a CPU second"),
        Figure("roll-up, all of it", wall, "s"),
        Figure("roll-up with nothing new", idle, "s"),
        Figure("done again", sum(vars(again).values()), "rows", "0"),
    ]
    for by in BY:
        _, seconds = measure(lambda by=by: against_actual(store, by, Where()))  # type: ignore[misc]
        figures.append(Figure(f"all months by {by}", seconds.wall * 1000, "ms", "300"))
    for name, make in TABLES.items():
        if not name.startswith("by_"):
            _, seconds = measure(lambda make=make: make(store, 202603))  # type: ignore[misc]
            figures.append(Figure(name.replace("_", " "), seconds.wall * 1000, "ms", "300"))
    return [*figures, *_compared(store)]


def _compared(store: Store) -> list[Figure]:
    """The largest difference of a figure from that of a query over the raw ledger, as a share of it."""
    with store.reading() as connection:
        reached = progress_of(connection)
    assert reached is not None  # noqa: S101 it was rolled up
    horizon = SETTINGS.horizon_days * DAY
    begin = time.perf_counter()
    raw = band_table(store, "champion", 8, horizon, SETTLING, reached.known_until)
    seconds = time.perf_counter() - begin
    ours = against_actual(store, "band", Where()).rows
    largest = 0.0
    for name in raw.columns[1:]:
        first, second = ours[name].to_numpy(np.float64), raw[name].to_numpy(np.float64)
        largest = max(largest, float(np.max(np.abs(first - second) / np.maximum(np.abs(second), 1e-9))))
    return [
        Figure("accounts in the band table", int(ours["accounts"].sum()), "accounts"),
        Figure("largest difference from a query over the raw ledger", largest, "share", "0.000001"),
        Figure("that query", seconds, "s"),
    ]


def _telling(progress: Progress) -> OnStep:
    tasks: dict[str, Callable[[int], None]] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            task = progress.add_task(what, total=total)
            tasks[what] = lambda done: progress.update(task, completed=done)
        tasks[what](done)

    return tell


if __name__ == "__main__":
    sys.exit(main())
