"""The catalogue's counts, totals and times since, as somebody would write them in pandas, in three idioms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks._events import Data, Events, Matrix, Slot, windows_of
from features.units import DAY, MONEY_SCALE, Instants, Rows

#: Accounts at a time, so that a join of moments and events stays small.
ACCOUNTS = 10_000

Frames = Mapping[str, pd.DataFrame]


def aggregated(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment merged with the events known before it, a column for each feature, summed by moment."""
    return _in_parts(data, slots, n_columns, _aggregated)


def unstacked(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment merged with its events and these with their selections, grouped by both and unstacked."""
    return _in_parts(data, slots, n_columns, _unstacked)


def asof(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Cumulative sums of each selection, looked up with `merge_asof` where each window begins and ends."""
    return _in_parts(data, slots, n_columns, _asof)


def _in_parts(
    data: Data,
    slots: Sequence[Slot],
    n_columns: int,
    values: Callable[[pd.DataFrame, pd.DataFrame, Sequence[Slot]], pd.DataFrame],
) -> Callable[[], Matrix]:
    parts = [
        (place, _moments(account, as_of), {table: _frame(each) for table, each in tables.items()})
        for place, account, as_of, tables in data.parts(ACCOUNTS)
    ]

    def run() -> Matrix:
        out = np.empty((len(data.account), n_columns), dtype=np.float32)
        for place, moments, tables in parts:
            for table, frame in tables.items():
                asked = [slot for slot in slots if slot.table == table]
                found = values(moments, frame, asked)
                out[place, found.columns] = _finished(moments, found, asked)
        return out

    return run


def _moments(account: Rows, as_of: Instants) -> pd.DataFrame:
    return pd.DataFrame({"moment": np.arange(len(account)), "account": account, "as_of": as_of})


def _frame(events: Events) -> pd.DataFrame:
    columns = {"account": events.account, "known": events.known, "at": events.at, "kind": events.kind}
    return pd.DataFrame({**columns, "money": events.money})


def _finished(moments: pd.DataFrame, found: pd.DataFrame, slots: Sequence[Slot]) -> Matrix:
    """Turn sums of money and latest times into values, in the order of the moments."""
    found = found.reindex(moments["moment"])
    summed = [column for slot in slots for column in (*slot.counts.values(), *slot.totals.values())]
    found[summed] = found[summed].fillna(0)
    for slot in slots:
        for column in slot.totals.values():
            found[column] /= MONEY_SCALE
        for column in slot.since:
            found[column] = (moments["as_of"].to_numpy() - found[column]) / DAY
    return found.to_numpy(np.float32)


def _pairs(moments: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    pairs = moments.merge(frame, on="account")
    return pairs[pairs["known"] < pairs["as_of"]]


def _aggregated(moments: pd.DataFrame, frame: pd.DataFrame, slots: Sequence[Slot]) -> pd.DataFrame:
    pairs = _pairs(moments, frame)
    recent = {days: pairs["at"] >= pairs["as_of"] - days * DAY for days in windows_of(slots)}
    summed: dict[int, pd.Series[Any]] = {}
    latest: dict[int, pd.Series[Any]] = {}
    for slot in slots:
        flag = pd.Series(slot.kinds[pairs["kind"]], pairs.index)
        within: dict[int | None, pd.Series[Any]] = {None: flag}
        within |= {days: flag & recent[days] for days in windows_of([slot])}
        summed |= {column: within[days] for days, column in slot.counts.items()}
        summed |= {column: pairs["money"] * within[days] for days, column in slot.totals.items()}
        latest |= dict.fromkeys(slot.since, pairs["at"].where(flag))
    sums = pd.DataFrame(summed).groupby(pairs["moment"], sort=False).sum()
    return sums.join(pd.DataFrame(latest, index=pairs.index).groupby(pairs["moment"], sort=False).max())


def _unstacked(moments: pd.DataFrame, frame: pd.DataFrame, slots: Sequence[Slot]) -> pd.DataFrame:
    pairs = _pairs(moments, frame)
    windows = windows_of(slots)
    age = pairs["as_of"] - pairs["at"]
    pairs = pairs.assign(window=np.searchsorted(np.array(windows) * DAY, age))
    members = pd.DataFrame(np.argwhere(np.array([slot.kinds for slot in slots])), columns=["slot", "kind"])
    grouped = pairs.merge(members, on="kind").groupby(["moment", "slot", "window"], sort=False)
    counts = grouped.size().unstack(["slot", "window"], fill_value=0)
    totals = grouped["money"].sum().unstack(["slot", "window"], fill_value=0)
    latest = (
        grouped["at"].max().groupby(level=["moment", "slot"]).max().unstack("slot").reindex(columns=range(len(slots)))
    )
    columns: dict[int, pd.Series[int]] = {}
    for place, slot in enumerate(slots):
        for found, sums in ((slot.counts, counts), (slot.totals, totals)):
            for days, column in found.items():
                last = len(windows) if days is None else windows.index(days)
                within = [(place, window) for window in range(last + 1) if (place, window) in sums.columns]
                columns[column] = sums[within].sum(axis=1)
        columns |= dict.fromkeys(slot.since, latest[place])
    return pd.DataFrame(columns)


def _asof(moments: pd.DataFrame, frame: pd.DataFrame, slots: Sequence[Slot]) -> pd.DataFrame:
    """Look cumulative sums up; an event leaves a window when it has grown too old, or at once if it was known later."""
    known = _looked_up(moments, frame.assign(time=frame["known"]), slots, None)
    found = {}
    for days in (None, *windows_of(slots)):
        if days is None:
            gone = known * 0
        else:
            leaves = np.maximum(frame["known"], frame["at"] + days * DAY)
            gone = _looked_up(moments, frame.assign(time=leaves).sort_values(["account", "time"]), slots, days)
        for place, slot in enumerate(slots):
            for what, columns in (("count", slot.counts), ("total", slot.totals)):
                if days in columns:
                    found[columns[days]] = known[f"{what}{place}"] - gone[f"{what}{place}"]
    latest = {column: known[f"latest{place}"] for place, slot in enumerate(slots) for column in slot.since}
    return pd.DataFrame({**found, **latest})


def _looked_up(moments: pd.DataFrame, frame: pd.DataFrame, slots: Sequence[Slot], days: int | None) -> pd.DataFrame:
    """The cumulative values of each selection that is asked over `days`, as of each moment."""
    values = pd.DataFrame(dict(_values(frame, slots, days)))
    sums = values.groupby(frame["account"]).cumsum().fillna(0)
    for place, slot in enumerate(slots):
        if slot.since and days is None:
            at = frame["at"].where(slot.kinds[frame["kind"]])
            sums[f"latest{place}"] = at.groupby(frame["account"]).cummax().groupby(frame["account"]).ffill()
    rows = sums.assign(time=frame["time"], account=frame["account"]).sort_values("time")
    asked = moments.sort_values("as_of")
    found = pd.merge_asof(
        asked, rows, left_on="as_of", right_on="time", by="account", allow_exact_matches=False
    ).set_index("moment")
    summed = [column for column in found.columns if str(column).startswith(("count", "total"))]
    found[summed] = found[summed].fillna(0)
    return found.sort_index()


def _values(frame: pd.DataFrame, slots: Sequence[Slot], days: int | None) -> Iterator[tuple[str, pd.Series[int]]]:
    for place, slot in enumerate(slots):
        flag = pd.Series(slot.kinds[frame["kind"]], frame.index)
        if slot.counts and (days is None or days in slot.counts):
            yield f"count{place}", flag.astype(np.int64)
        if slot.totals and (days is None or days in slot.totals):
            yield f"total{place}", frame["money"] * flag
