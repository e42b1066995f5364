"""The catalogue's counts, totals and times since, as somebody would write them in NumPy, in two idioms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.benchmarks._events import BEGIN, Data, Events, Flags, Matrix, Slot, windows_of
from features.units import DAY, MONEY_SCALE, Instants, Rows

#: Accounts at a time, so that what a part of the data needs stays near the core.
ACCOUNTS = 2_000
#: More than all instants of the data and their windows are apart: an account's keys do not reach into the next one's.
SPAN = 4_000 * DAY


def prefix_sums(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Prefix sums of each selection, looked up with `searchsorted` where each window begins and ends."""
    return _in_parts(data, slots, n_columns, _prefix_sums)


def scattered(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment with each event known before it and each selection it is in, counted with `bincount`."""
    return _in_parts(data, slots, n_columns, _scattered)


def _in_parts(
    data: Data,
    slots: Sequence[Slot],
    n_columns: int,
    fill: Callable[[Matrix, Rows, Instants, Events, Sequence[Slot]], None],
) -> Callable[[], Matrix]:
    parts = data.parts(ACCOUNTS)

    def run() -> Matrix:
        out = np.empty((len(data.account), n_columns), dtype=np.float32)
        for place, account, as_of, tables in parts:
            for table, events in tables.items():
                fill(out[place], account, as_of, events, [slot for slot in slots if slot.table == table])
        return out

    return run


def _keys(account: Rows, instant: Instants) -> npt.NDArray[np.int64]:
    return account * SPAN + (instant - BEGIN)


def _prefix_sums(out: Matrix, account: Rows, as_of: Instants, events: Events, slots: Sequence[Slot]) -> None:
    """Fill the columns of one table.

    For each window an event enters when it is known and leaves when the window's length has passed, or at once where
    that was before: what is in the window is what has entered less what has left.
    """
    cut = _keys(account, as_of)
    end = np.searchsorted(_keys(events.account, events.known), cut)
    left: dict[int | None, tuple[slice | Rows, Rows]] = {None: (slice(None), events.start[account])}
    for length in windows_of(slots):
        leaves = np.maximum(_keys(events.account, events.known), _keys(events.account, events.at) + length * DAY)
        by_leaving = np.argsort(leaves, kind="stable")
        left[length] = (by_leaving, np.searchsorted(leaves[by_leaving], cut))
    for slot in slots:
        flag = slot.kinds[events.kind]
        money = events.money * flag if slot.totals else events.money
        for found, values, unit in ((slot.counts, flag, 1), (slot.totals, money, MONEY_SCALE)):
            entered = _sums(values)[end] if found else end
            for days, column in found.items():
                order, gone = left[days]
                out[:, column] = (entered - _sums(values[order])[gone]) / unit
        for column in slot.since:
            out[:, column] = _since(events, flag, account, as_of, end)


def _sums(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The sum of all values before each, and of all of them."""
    sums = np.zeros(len(values) + 1, dtype=np.int32 if values.dtype == bool else np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _since(events: Events, flag: Flags, account: Rows, as_of: Instants, end: Rows) -> npt.NDArray[np.float64]:
    latest = np.zeros(len(flag) + 1, dtype=np.int64)
    np.maximum.accumulate(np.where(flag, _keys(events.account, events.at), 0), out=latest[1:])
    at = latest[end] - account * SPAN
    return np.where(at > 0, (as_of - BEGIN - at) / DAY, np.nan)


def _scattered(out: Matrix, account: Rows, as_of: Instants, events: Events, slots: Sequence[Slot]) -> None:
    """Fill the columns of one table, from counts by moment, selection and the shortest window that holds the event."""
    windows = windows_of(slots)
    begin = events.start[account]
    end = np.searchsorted(_keys(events.account, events.known), _keys(account, as_of))
    moment = np.repeat(np.arange(len(account)), end - begin)
    event = np.arange(len(moment)) + np.repeat(end - np.cumsum(end - begin), end - begin)
    at = events.at[event]
    window = np.searchsorted(np.array(windows) * DAY, as_of[moment] - at)
    kind = events.kind[event]
    of_kind = [np.flatnonzero([slot.kinds[code] for slot in slots]) for code in range(len(slots[0].kinds))]
    size = np.array([len(these) for these in of_kind])
    first, flat = np.cumsum(size) - size, np.concatenate(of_kind)
    width = len(slots) * (len(windows) + 1)
    n = size[kind]
    slot_of = flat[np.arange(n.sum()) + np.repeat(first[kind] - (np.cumsum(n) - n), n)]
    cell = np.repeat(moment * width + window, n) + slot_of * (len(windows) + 1)
    shape = (len(account), len(slots), len(windows) + 1)
    counts: npt.NDArray[Any] = np.bincount(cell, minlength=len(account) * width).reshape(shape).cumsum(axis=2)
    totals = counts
    if any(slot.totals for slot in slots):
        # Doubles hold these sums of integers exactly.
        money = np.repeat(events.money[event].astype(np.float64), n)
        totals = np.bincount(cell, money, minlength=len(account) * width).reshape(shape).cumsum(axis=2)
    for place, slot in enumerate(slots):
        for found, sums, unit in ((slot.counts, counts, 1), (slot.totals, totals, MONEY_SCALE)):
            for days, column in found.items():
                out[:, column] = sums[:, place, len(windows) if days is None else windows.index(days)] / unit
        for column in slot.since:
            out[:, column] = _since(events, slot.kinds[events.kind], account, as_of, end)
