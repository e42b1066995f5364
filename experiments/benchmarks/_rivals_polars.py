"""The catalogue's counts, totals and times since, as somebody would write them in Polars, in four idioms.

Neither `rolling` nor `group_by_dynamic` is among them: those run over one time, and here an event counts by the time
at which it happened, from the time at which it was known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from experiments.benchmarks._events import BEGIN, Data, Events, Matrix, Slot, fill_from_cells, windows_of
from features.units import DAY, MONEY_SCALE, Instants, Rows

#: Accounts at a time: what a part of the data needs stays near the core, which pays for the loop many times over.
ACCOUNTS = 10000
#: More than all instants of the data and their windows are apart: an account's keys do not reach into the next one's.
SPAN = 4_000 * DAY

Frames = Mapping[str, pl.DataFrame]
#: Where each moment's events end in a sorted frame.
Look = Callable[[pl.DataFrame, str, pl.DataFrame, int], pl.Series]


def joined(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment joined to the events known before it, then one filtered aggregation for each feature."""
    return _in_parts(data, slots, n_columns, lambda moments, events: _joined(moments, events, slots))


def grouped(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment joined to its events and these to their selections, grouped by both; NumPy lays the cells out."""
    asked = {table: {place: slot for place, slot in enumerate(slots) if slot.table == table} for table in data.events}
    members = {table: _members(of_table) for table, of_table in asked.items()}
    windows = {table: windows_of(list(of_table.values())) for table, of_table in asked.items()}
    parts = [
        (place, _moments(account, as_of), {table: _frame(each) for table, each in events.items()})
        for place, account, as_of, events in data.parts(ACCOUNTS)
    ]

    def run() -> Matrix:
        out = np.empty((len(data.account), n_columns), dtype=np.float32)
        for place, moments, events in parts:
            for table, frame in events.items():
                cells = _cells(moments, frame, members[table], len(slots), windows[table])
                columns = {name: cells[name].to_numpy() for name in cells.columns}
                fill_from_cells(out[place], columns, moments["as_of"].to_numpy(), asked[table])
        return out

    return run


def asof(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Cumulative sums of each selection, looked up with `join_asof` where each window begins and ends."""
    return _in_parts(data, slots, n_columns, lambda moments, events: _cumulative(moments, events, slots, _asof))


def searched(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Cumulative sums of each selection, looked up with `search_sorted` where each window begins and ends."""
    return _in_parts(data, slots, n_columns, lambda moments, events: _cumulative(moments, events, slots, _searched))


def _in_parts(
    data: Data, slots: Sequence[Slot], n_columns: int, values: Callable[[pl.DataFrame, Frames], pl.DataFrame]
) -> Callable[[], Matrix]:
    parts = [
        (place, _moments(account, as_of), {table: _frame(each) for table, each in events.items()})
        for place, account, as_of, events in data.parts(ACCOUNTS)
    ]

    def run() -> Matrix:
        out = np.empty((len(data.account), n_columns), dtype=np.float32)
        for place, moments, events in parts:
            out[place] = _finished(moments, values(moments, events), slots, n_columns)
        return out

    return run


def _moments(account: Rows, as_of: Instants) -> pl.DataFrame:
    """The moments of some accounts; `key` is account and instant in one number."""
    columns = {"account": account, "as_of": as_of, "key": account * SPAN + (as_of - BEGIN)}
    return pl.DataFrame(columns).with_row_index("moment")


def _frame(events: Events) -> pl.DataFrame:
    columns = {"account": events.account, "known": events.known, "at": events.at, "kind": events.kind}
    return pl.DataFrame({**columns, "money": events.money})


def _finished(moments: pl.DataFrame, found: pl.DataFrame, slots: Sequence[Slot], n_columns: int) -> Matrix:
    """Turn counts, sums of money and latest times into the columns of the matrix."""
    values = {column: pl.col(str(column)) for column in range(n_columns)}
    for slot in slots:
        values |= {column: values[column] / MONEY_SCALE for column in slot.totals.values()}
        values |= {column: (pl.col("as_of") - values[column]) / DAY for column in slot.since}
    columns = [value.cast(pl.Float32).fill_null(float("nan")).alias(str(name)) for name, value in values.items()]
    return found.with_columns(moments["as_of"]).select(columns).to_numpy()


# -------------------------------------------------------------------------------------- filtered aggregations of a join


def _joined(moments: pl.DataFrame, events: Frames, slots: Sequence[Slot]) -> pl.DataFrame:
    """Counts, sums and latest times, a column each; a row for each moment, in order."""
    found = moments.lazy().select("moment")
    for table, frame in events.items():
        asked = [slot for slot in slots if slot.table == table]
        flags = [_selected(slot).alias(f"slot{place}") for place, slot in enumerate(asked)]
        windows = [(pl.col("at") >= pl.col("as_of") - days * DAY).alias(f"last{days}") for days in windows_of(asked)]
        grouped = (
            moments.lazy()
            .join(frame.lazy().with_columns(flags), on="account", maintain_order="left")
            .filter(pl.col("known") < pl.col("as_of"))
            .with_columns(pl.col("moment").set_sorted(), *windows)
            .group_by("moment", maintain_order=True)
            .agg(value for place, slot in enumerate(asked) for value in _aggregations(place, slot))
        )
        found = found.join(grouped, on="moment", how="left", maintain_order="left")
    summed = [str(column) for slot in slots for column in (*slot.counts.values(), *slot.totals.values())]
    return found.with_columns(pl.col(summed).fill_null(0)).collect()


def _selected(slot: Slot) -> pl.Expr:
    return pl.col("kind").is_in(np.flatnonzero(slot.kinds).astype(np.int32))


def _aggregations(place: int, slot: Slot) -> Iterator[pl.Expr]:
    for found, value in ((slot.counts, pl.lit(1)), (slot.totals, pl.col("money"))):
        for days, column in found.items():
            flag = pl.col(f"slot{place}") if days is None else pl.col(f"slot{place}") & pl.col(f"last{days}")
            counted = flag.sum() if found is slot.counts else (value * flag).sum()
            yield counted.alias(str(column))
    for column in slot.since:
        yield pl.when(f"slot{place}").then("at").max().alias(str(column))


# ------------------------------------------------------------------------------------------------ cells of a long table


def _members(slots: Mapping[int, Slot]) -> pl.DataFrame:
    """Which kinds are in which selection."""
    pairs = [(place, kind) for place, slot in slots.items() for kind in np.flatnonzero(slot.kinds).tolist()]
    return pl.DataFrame(pairs, {"slot": pl.UInt32, "kind": pl.Int32}, orient="row")


def _cells(
    moments: pl.DataFrame, frame: pl.DataFrame, members: pl.DataFrame, n_slots: int, windows: Sequence[int]
) -> pl.DataFrame:
    """The events of each moment, selection and shortest window that holds them (one more than there are: none).

    Grouping by one number costs two thirds of grouping by three.
    """
    older = ((pl.col("at") < pl.col("as_of") - days * DAY).cast(pl.UInt32) for days in windows)
    n_windows = len(windows) + 1
    cell = (pl.col("moment") * n_slots + pl.col("slot")) * n_windows + pl.col("window")
    return (
        moments.lazy()
        .select("account", "as_of", "moment")
        .join(frame.lazy(), on="account")
        .filter(pl.col("known") < pl.col("as_of"))
        .select("kind", "money", "at", "moment", pl.sum_horizontal(older).alias("window"))
        .join(members.lazy(), on="kind")
        .select("money", "at", cell.alias("cell"))
        .group_by("cell")
        .agg(pl.len().alias("n"), pl.col("money").sum(), pl.col("at").max().alias("latest"))
        .select(
            "n", "money", "latest",
            (pl.col("cell") % n_windows).alias("window"),
            (pl.col("cell") // n_windows % n_slots).alias("slot"),
            (pl.col("cell") // (n_windows * n_slots)).alias("moment"),
        )
        .collect()
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- cumulative sums, looked up


def _cumulative(moments: pl.DataFrame, events: Frames, slots: Sequence[Slot], look: Look) -> pl.DataFrame:
    """Counts, sums and latest times, a column each; a row for each moment, in order.

    What was known within the shortest window of its time leaves every window after it is known: what is in a window
    is what was known by the moment less what happened before the window. The few events that were recorded later than
    that are joined to the moments.
    """
    shortest = min(windows_of(slots)) * DAY
    fresh = pl.col("known") < pl.col("at") + shortest
    stale = _joined(moments, {table: frame.filter(~fresh) for table, frame in events.items()}, slots)
    found: list[pl.Series] = []
    for table, frame in events.items():
        asked = [slot for slot in slots if slot.table == table]
        found += _looked_up(moments, frame.filter(fresh), asked, look)
    summed = [str(column) for slot in slots for column in (*slot.counts.values(), *slot.totals.values())]
    latest = [str(column) for slot in slots for column in slot.since]
    both = pl.DataFrame(found).hstack(stale.select(pl.col(summed + latest).name.suffix("_stale")))
    return both.select(
        *(pl.col(name) + pl.col(f"{name}_stale") for name in summed),
        *(pl.max_horizontal(name, f"{name}_stale").alias(name) for name in latest),
    )


def _looked_up(moments: pl.DataFrame, frame: pl.DataFrame, slots: Sequence[Slot], look: Look) -> Iterator[pl.Series]:
    by_at = frame.sort("account", "at")
    known, happened = (_sums(each, slots) for each in (frame, by_at))
    now = known[look(frame, "known", moments, 0)]
    before: dict[int | None, pl.DataFrame] = {
        None: known[frame["account"].search_sorted(moments["account"], side="left")],
        **{days: happened[look(by_at, "at", moments, days)] for days in windows_of(slots)},
    }
    for place, slot in enumerate(slots):
        for what, found in (("count", slot.counts), ("total", slot.totals)):
            for days, column in found.items():
                yield (now[f"{what}{place}"] - before[days][f"{what}{place}"]).cast(pl.Int64).alias(str(column))
        for column in slot.since:
            latest = now[f"latest{place}"] - moments["account"] * SPAN
            yield pl.select(pl.when(latest > 0).then(latest + BEGIN)).to_series().alias(str(column))


def _sums(frame: pl.DataFrame, slots: Sequence[Slot]) -> pl.DataFrame:
    """Cumulative sums and latest times, with a row before the first, so that a sum of rows is a difference of two."""
    values = []
    for place, slot in enumerate(slots):
        flag = _selected(slot)
        if slot.counts:
            values.append(flag.cum_sum().alias(f"count{place}"))
        if slot.totals:
            values.append((pl.col("money") * flag).cum_sum().alias(f"total{place}"))
        if slot.since:
            key = pl.col("account") * SPAN + (pl.col("at") - BEGIN)
            values.append(pl.when(flag).then(key).otherwise(0).cum_max().alias(f"latest{place}"))
    sums = frame.select(values)
    return pl.concat([sums.clear(1).fill_null(0), sums])


def _asof(frame: pl.DataFrame, time: str, moments: pl.DataFrame, days: int) -> pl.Series:
    rows = frame.select("account", pl.col(time).alias("time")).with_row_index("end", offset=1)
    cut = moments.select("account", (pl.col("as_of") - days * DAY).alias("time"))
    ends = cut.join_asof(rows, on="time", by="account", allow_exact_matches=False, check_sortedness=False)
    return ends["end"].fill_null(frame["account"].search_sorted(moments["account"], side="left"))


def _searched(frame: pl.DataFrame, time: str, moments: pl.DataFrame, days: int) -> pl.Series:
    keys = frame.select(pl.col("account") * SPAN + (pl.col(time) - BEGIN)).to_series()
    return keys.search_sorted(moments["key"] - days * DAY, side="left")
