"""What the feature kernel costs: against other libraries, against the memory it must move, and as it grows.

Everything is CPU time of all threads, in one process, and who is compared starts from the same columns in memory and
ends with the same row-major float32 matrix, bit for bit. Each library is written in the idioms that its users would
try; all are measured on a part of the data, the fastest of each on more of it.

Featuretools is not among them: 1.31, its latest, adds no frame to an EntitySet under pandas 3 (its woodwork loses what
it noted on the frame, `WoodworkNotInitError`), and holds python-dateutil below 3.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from experiments.benchmarks._events import (
    CONTACTED_SHARES,
    TALLIED,
    Data,
    Matrix,
    Size,
    Slot,
    make_data,
    settings_of,
    slots_of,
    windowed,
)
from experiments.benchmarks._events import SHARES as EVENT_SHARES
from experiments.benchmarks._report import Figure, Seconds, measure, write_report
from features import kernel
from features.compute import FeatureSet, feature_matrix, prepare
from features.histories import Histories, overview_of
from features.selection import occurring
from features.units import FOREVER

#: Of the accounts, the share that every idiom of a library is measured on, then the share for its fastest.
SHARES = {"Polars": (0.1, 1.0), "NumPy": (0.1, 1.0), "pandas": (0.1, 0.5), "DuckDB": (0.025, 0.25)}
#: What takes less CPU time than this is measured twice.
BRIEF_SECONDS = 15
#: Moments in the two measurements that show how cost grows, by the moments of the comparison.
GROWTH = (0.125, 1.25)
ONE_MOMENT_CALLS = 200
TURNS = 5

Rival = Callable[[Data, Sequence[Slot], int], Callable[[], Matrix]]


@dataclass(frozen=True)
class Contest:
    """What is to be computed: the windowed features, and what they ask of each selection of events."""

    features: FeatureSet
    slots: Sequence[Slot]

    def ours(self, data: Data) -> tuple[Matrix, Seconds]:
        """The matrix, and what it costs."""
        return measure(lambda: feature_matrix(data.histories, data.account, data.as_of, self.features))

    def theirs(self, data: Data, rival: Rival) -> tuple[Matrix, Seconds]:
        """The matrix as a rival computes it, and what that costs, its own way of holding the events left out."""
        run = rival(data, self.slots, len(self.features.names))
        matrix, cost = measure(run, repeats=1)
        if cost.cpu < BRIEF_SECONDS:
            _, again = measure(run, repeats=1)
            cost = min(cost, again, key=lambda each: each.cpu)
        return matrix, cost


def main() -> int:
    """Measure, print, and write `var/bench/features.json`."""
    parser = argparse.ArgumentParser(prog="make bench-features")
    parser.add_argument("--accounts", type=int, default=200_000, help="accounts of 60 events and 4 moments each")
    accounts: int = parser.parse_args().accounts
    # Read when Polars is imported; more threads would cost more CPU time, not less.
    os.environ["POLARS_MAX_THREADS"] = "1"
    _say(f"making up {accounts * GROWTH[1]:,.0f} accounts")
    base = make_data(Size(round(accounts * GROWTH[1])))
    data = base.first(accounts)
    overview = base.histories.overview or overview_of(base.histories)
    every = prepare(settings_of(), occurring(settings_of(), overview, FOREVER))
    features = prepare(settings_of(), windowed(every.features))
    contest = Contest(features, slots_of(features.features, settings_of().channel_names))
    feature_matrix(data.histories, data.account[:1], data.as_of[:1], every)  # compiled, if it was not
    figures = [
        Figure("accounts", accounts, "accounts"),
        Figure("events", sum(len(table.known) for table in _tables(data.histories)), "rows"),
        Figure("moments", len(data.account), "rows"),
        Figure("features", len(every.names), "columns", "all that occur, as in a feature table"),
        Figure(
            "features compared", len(features.names), "columns", f"counts, totals, times since of {', '.join(TALLIED)}"
        ),
        *_compare(data, contest),
        *_against_memory(data, every),
        *_one_account(data, every),
        *_growth([base.first(round(accounts * share)) for share in GROWTH], every),
        *_long_histories(every),
    ]
    write_report("features", figures)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --------------------------------------------------------------------------------------------------- other libraries


def _rivals() -> Mapping[str, Mapping[str, Rival]]:
    """Every idiom of every library, by the library's name."""
    from experiments.benchmarks import _rivals_duckdb, _rivals_numpy, _rivals_pandas, _rivals_polars

    return {
        "Polars": {
            "join, filtered aggregations": _rivals_polars.joined,
            "join, group_by in long form": _rivals_polars.grouped,
            "cumulative sums, join_asof": _rivals_polars.asof,
            "cumulative sums, search_sorted": _rivals_polars.searched,
        },
        "NumPy": {
            "prefix sums, searchsorted": _rivals_numpy.prefix_sums,
            "join, bincount": _rivals_numpy.scattered,
        },
        "pandas": {
            "merge, groupby, sum": _rivals_pandas.aggregated,
            "merge, groupby, unstack": _rivals_pandas.unstacked,
            "cumulative sums, merge_asof": _rivals_pandas.asof,
        },
        "DuckDB": {
            "join, FILTER": _rivals_duckdb.filtered,
            "join, GROUP BY in long form": _rivals_duckdb.grouped,
            "cumulative sums, ASOF JOIN": _rivals_duckdb.asof,
        },
    }


def _compare(data: Data, contest: Contest) -> list[Figure]:
    n = len(data.histories)
    figures = [_cost("Recoup", data, contest.ours(data)[1])]
    for library, idioms in _rivals().items():
        some, more = (data.first(round(n * share)) for share in SHARES[library])
        costs = {}
        for idiom, rival in idioms.items():
            _say(f"{library}, {idiom}: {len(some.account):,} moments")
            costs[idiom], found = _duel(f"{library}, {idiom}", some, contest, rival)
            figures += found
        fastest = min(costs, key=lambda idiom: costs[idiom])
        _say(f"{library}, {fastest}: {len(more.account):,} moments")
        figures += _duel(f"{library} at its fastest: {fastest}", more, contest, idioms[fastest])[1]
    return figures


def _duel(name: str, data: Data, contest: Contest, rival: Rival) -> tuple[float, list[Figure]]:
    """What a rival costs, and that as a multiple of ours on the same data; its matrix must be ours.

    Ours is measured before and after, as what else the machine does makes either side dearer.
    """
    ours, before = contest.ours(data)
    theirs, their_cost = contest.theirs(data, rival)
    _, after = contest.ours(data)
    our_cost = min(before, after, key=lambda each: each.cpu)
    _assert_same(name, ours, theirs, contest.features.names)
    ratio = Figure(name, their_cost.cpu / our_cost.cpu, "times Recoup's CPU s", _of(data))
    return their_cost.cpu, [_cost(name, data, their_cost), ratio]


def _cost(name: str, data: Data, cost: Seconds) -> Figure:
    return Figure(name, cost.cpu, "CPU s", _of(data))


def _of(data: Data) -> str:
    return f"{len(data.account):,} moments"


def _assert_same(name: str, ours: Matrix, theirs: Matrix, names: Sequence[str]) -> None:
    """Equal bit for bit, all NaN alike, and laid out alike."""
    if theirs.dtype != np.float32 or not theirs.flags.c_contiguous or theirs.shape != ours.shape:
        raise AssertionError(f"{name}: a row-major float32 matrix {ours.shape} was asked for, got {theirs.shape}")
    for begin in range(0, len(ours), 10_000):
        one, other = ours[begin : begin + 10_000], theirs[begin : begin + 10_000]
        differ = (one.view(np.uint32) != other.view(np.uint32)) & ~(np.isnan(one) & np.isnan(other))
        if differ.any():
            row, column = np.argwhere(differ)[0]
            got = f"{other[row, column]} instead of {one[row, column]}"
            raise AssertionError(f"{name}: {names[column]} of moment {begin + row} is {got}")


# -------------------------------------------------------------------------------------------------------- the machine


def _tables(histories: Histories) -> tuple[Any, ...]:
    """The events that the kernel reads."""
    return histories.contacts, histories.payments, histories.charges, histories.promises, histories.restrictions


def _against_memory(data: Data, every: FeatureSet) -> list[Figure]:
    """The whole catalogue, against reading its events once and writing its matrix once."""
    _say("the whole catalogue, and the memory that it moves")
    matrix, ours = measure(lambda: feature_matrix(data.histories, data.account, data.as_of, every))
    shape = matrix.shape
    del matrix
    packed = [array.ravel() for table in _tables(data.histories) for array in table]
    words = [array[: len(array) // 2 * 2].view(np.int64) for array in (*packed, data.account, data.as_of)]
    _, read = measure(lambda: [np.bitwise_or.reduce(word) for word in words if len(word)], repeats=7)
    _, written = measure(lambda: np.empty(shape, dtype=np.float32).fill(1), repeats=7)
    floor = read.cpu + written.cpu
    return [
        Figure("whole catalogue", ours.cpu, "CPU s", _of(data)),
        Figure("whole catalogue", ours.wall, "wall s", _of(data)),
        Figure("feature values", shape[0] * shape[1] / ours.cpu, "values per CPU s"),
        Figure("bytes in, read once", sum(word.nbytes for word in words), "bytes"),
        Figure("bytes out", shape[0] * shape[1] * 4, "bytes"),
        Figure("memory floor", floor, "CPU s", f"reading {read.cpu:.3f} and writing anew {written.cpu:.3f}"),
        Figure("whole catalogue / memory floor", ours.cpu / floor, "ratio of CPU s"),
    ]


def _one_account(data: Data, every: FeatureSet) -> list[Figure]:
    """An account of 60 events, a moment at a time: the kernel alone, and from its history to its row."""
    _say("one account, a moment at a time")
    n_events = np.sum([np.diff(table.start) for table in _tables(data.histories)], axis=0)
    row = int(np.abs(n_events - 60).argmin())
    one, place = data.histories.take(np.array([row])), np.zeros(1, dtype=np.int64)
    moments = np.sort(data.as_of)[:: -(-len(data.as_of) // 100)].reshape(-1, 1)
    calls: dict[str, list[Callable[[], object]]] = {
        "kernel alone": [partial(kernel.fill, *_kernel_arguments(one, place, as_of, every)) for as_of in moments],
        "history to row": [partial(feature_matrix, one, place, as_of, every) for as_of in moments],
    }
    figures = []
    for name, of_moments in calls.items():
        of_moments[0]()
        spent = np.array([_nanoseconds(call) for call in of_moments for _ in range(ONE_MOMENT_CALLS)]) / 1_000
        for percentile in (50, 99):
            value = float(np.percentile(spent, percentile))
            figures.append(Figure(f"one account, {name}, p{percentile}", value, "CPU us", f"{n_events[row]} events"))
    return figures


def _kernel_arguments(
    histories: Histories, account: npt.NDArray[np.int64], as_of: npt.NDArray[np.int64], every: FeatureSet
) -> tuple[Any, ...]:
    """What `feature_matrix` calls the kernel with."""
    with mock.patch.object(kernel, "fill", wraps=kernel.fill) as fill:
        feature_matrix(histories, account, as_of, every)
    arguments: tuple[Any, ...] = fill.call_args.args
    return arguments


def _nanoseconds(call: Callable[[], object]) -> int:
    start = time.thread_time_ns()
    call()
    return time.thread_time_ns() - start


# ------------------------------------------------------------------------------------------------------ as it grows


def _growth(sizes: Sequence[Data], every: FeatureSet) -> list[Figure]:
    """What a moment costs, and the memory that is needed beside the input, with few moments and with many.

    A matrix of gigabytes is new memory, which the system hands out page by page as it is first written, and that may
    cost more than what is written. So the kernel is also measured alone, writing where it has written before. The two
    sizes take turns, as the machine may be slower for a while.
    """
    figures = []
    for name, call_of in (
        ("cost per moment", _matrix_call),
        ("cost per moment, kernel in memory in use", _kernel_call),
    ):
        calls = [call_of(data, every) for data in sizes]
        least = [float("inf")] * len(calls)
        for turn in range(TURNS):
            _say(f"{name}, for {' and '.join(_of(data) for data in sizes)}, turn {turn + 1} of {TURNS}")
            for place, call in enumerate(calls):
                _, cost = measure(call, repeats=1)
                least[place] = min(least[place], cost.cpu / len(sizes[place].account))
        costs = zip(sizes, least, strict=True)
        figures += [Figure(name, per_moment * 1e6, "CPU us", _of(data)) for data, per_moment in costs]
        figures.append(Figure(f"{name}, many / few", least[1] / least[0], "ratio"))
    for data in sizes:
        call = _matrix_call(data, every)
        peak = _peak(call) / call().nbytes
        figures.append(Figure("peak memory beyond the input / output", peak, "ratio of bytes", _of(data)))
    return figures


def _matrix_call(data: Data, every: FeatureSet) -> Callable[[], Matrix]:
    return partial(feature_matrix, data.histories, data.account, data.as_of, every)


def _kernel_call(data: Data, every: FeatureSet) -> Callable[[], None]:
    """The kernel alone, writing into a matrix that was written before."""
    out, *others = _kernel_arguments(data.histories, data.account, data.as_of, every)
    return partial(kernel.fill, out, *others)


def _peak(call: Callable[[], object]) -> int:
    """The most memory that a call holds at once, its result included, in bytes: as NumPy says, and as Linux does."""
    gc.collect()
    tracemalloc.start()
    call()
    _, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.collect()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return traced
    before = _kilobytes(status, "VmRSS")
    reset.write_text("5", encoding="ascii")  # forgets the highest mark so far
    call()
    return max(traced, (_kilobytes(status, "VmHWM") - before) * 1024)


def _kilobytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def _long_histories(every: FeatureSet) -> list[Figure]:
    """One account with 2,000 and 20,000 events, and a moment for 15 of them.

    Ten times the events are ten times the years, as many years ten times as dense, or ten times the years in which
    only contacts are as many as before. What is older than the longest window is carried from moment to moment.
    """
    figures = []
    for what, days, shares in (
        ("longer", 5_500, EVENT_SHARES), ("denser", 550, EVENT_SHARES), ("longer in contacts", 5_500, CONTACTED_SHARES)
    ):  # fmt: skip
        costs = []
        for n_events, span, of_tables in ((2_000, 550, EVENT_SHARES), (20_000, days, shares)):
            _say(f"one account of {n_events:,} events in {span:,} days")
            data = make_data(Size(1, events=n_events, moments=n_events // 15, days=span, shares=of_tables))
            n = n_events + len(data.account)
            _, cost = measure(partial(feature_matrix, data.histories, data.account, data.as_of, every), 5)
            costs.append(cost.cpu / n * 1e6)
            against = f"{n_events:,} events, {len(data.account):,} moments, {span:,} days"
            figures.append(Figure("one account, cost per moment and event", costs[-1], "CPU us", against))
        name = f"one account, ten times {what}: cost per moment and event"
        figures.append(Figure(name, costs[1] / costs[0], "ratio"))
    return figures


if __name__ == "__main__":
    sys.exit(main())
