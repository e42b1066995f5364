"""The catalogue's counts, totals and times since, as somebody would write them in SQL for DuckDB, in three idioms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import duckdb
import numpy as np
import pandas as pd

from experiments.benchmarks._events import Data, Matrix, Slot, fill_from_cells, windows_of
from features.units import DAY, MONEY_SCALE


def filtered(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment joined to the events known before it, then one filtered aggregate for each feature."""
    tables = "".join(f" LEFT JOIN ({_filtered(table, slots)}) USING (moment)" for table in data.events)
    return _queried(data, f"SELECT {_columns(slots, n_columns)} FROM moments{tables} ORDER BY moment")


def asof(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Cumulative sums of each selection, looked up with ASOF joins where each window begins and ends."""
    joins = "".join(_asof_join(table, days, slots) for table in data.events for days in (0, *windows_of(slots)))
    return _queried(data, f"SELECT {_columns(slots, n_columns)} FROM ({_differences(slots)}{joins}) ORDER BY moment")


def grouped(data: Data, slots: Sequence[Slot], n_columns: int) -> Callable[[], Matrix]:
    """Every moment joined to its events and these to their selections, grouped by both; NumPy lays the cells out."""
    connection = _connect(data)
    members = [
        {"table": slot.table, "slot": place, "kind": int(kind)}
        for place, slot in enumerate(slots)
        for kind in np.flatnonzero(slot.kinds)
    ]
    _load(connection, "members", pd.DataFrame(members))
    asked = {table: {place: slot for place, slot in enumerate(slots) if slot.table == table} for table in data.events}
    queries = {table: _grouped(table, windows_of(list(asked[table].values()))) for table in data.events}

    def run() -> Matrix:
        out = np.empty((len(data.account), n_columns), dtype=np.float32)
        for table, query in queries.items():
            cells = connection.execute(query).fetchnumpy()
            fill_from_cells(out, {name: np.asarray(cells[name]) for name in cells}, data.as_of, asked[table])
        return out

    return run


def _queried(data: Data, query: str) -> Callable[[], Matrix]:
    connection = _connect(data)

    def run() -> Matrix:
        found = connection.execute(query).fetchnumpy()
        out = np.empty((len(data.account), len(found)), dtype=np.float32)
        for column, values in enumerate(found.values()):
            out[:, column] = values
        return out

    return run


def _connect(data: Data) -> duckdb.DuckDBPyConnection:
    """A database in memory with the moments and the events."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET enable_progress_bar = false")
    moments = pd.DataFrame({"moment": np.arange(len(data.account)), "account": data.account, "as_of": data.as_of})
    _load(connection, "moments", moments)
    for table, events in data.events.items():
        columns = {"account": events.account, "known": events.known, "happened": events.at, "kind": events.kind}
        _load(connection, table, pd.DataFrame({**columns, "money": events.money}))
    return connection


def _load(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame) -> None:
    connection.register("frame", frame)
    connection.execute(f"CREATE TABLE {name} AS FROM frame")
    connection.unregister("frame")


def _columns(slots: Sequence[Slot], n_columns: int) -> str:
    """Turn counts, sums of money and latest times into the columns of the matrix."""
    values: dict[int, str] = {}
    for slot in slots:
        values |= {column: f"coalesce(f{column}, 0)" for column in slot.counts.values()}
        values |= {column: f"coalesce(f{column}, 0) / {MONEY_SCALE}::DOUBLE" for column in slot.totals.values()}
        values |= {column: f"coalesce((as_of - f{column}) / {DAY}::DOUBLE, 'nan')" for column in slot.since}
    return ", ".join(f"({values[column]})::FLOAT AS c{column}" for column in range(n_columns))


def _is_in(slot: Slot) -> str:
    return f"kind IN ({', '.join(str(code) for code in np.flatnonzero(slot.kinds))})"


# --------------------------------------------------------------------------------------- filtered aggregates of a join


def _filtered(table: str, slots: Sequence[Slot]) -> str:
    asked = [(f"slot{place}", slot) for place, slot in enumerate(slots) if slot.table == table]
    flags = ", ".join(f"{_is_in(slot)} AS {name}" for name, slot in asked)
    values = ", ".join(value for name, slot in asked for value in _aggregates(name, slot))
    return (
        f"SELECT moment, {values} FROM moments JOIN (SELECT *, {flags} FROM {table}) USING (account) "
        f"WHERE known < as_of GROUP BY moment"
    )


def _aggregates(name: str, slot: Slot) -> Iterator[str]:
    for days, column in slot.counts.items():
        yield f"count(*) FILTER (WHERE {name}{_since(days)}) AS f{column}"
    for days, column in slot.totals.items():
        yield f"sum(money) FILTER (WHERE {name}{_since(days)})::BIGINT AS f{column}"
    for column in slot.since:
        yield f"max(happened) FILTER (WHERE {name}) AS f{column}"


def _since(days: int | None) -> str:
    return "" if days is None else f" AND happened >= as_of - {days * DAY}"


# ------------------------------------------------------------------------------------------- cumulative sums, looked up


def _asof_join(table: str, days: int, slots: Sequence[Slot]) -> str:
    """What has entered (0 days) or left a window as of each moment: when known, and when grown too old after that."""
    time = f"greatest(known, happened + {days * DAY})" if days else "known"
    values = "".join(
        f", {value} OVER (PARTITION BY account ORDER BY {time}) AS {name}_{days}"
        for place, slot in enumerate(slots)
        if slot.table == table
        for name, value in _cumulative(place, slot, days)
    )
    rows = f"SELECT account, {time} AS time{values} FROM {table}"
    join = f"{table}{days}"
    return f" ASOF LEFT JOIN ({rows}) {join} ON m.account = {join}.account AND m.as_of > {join}.time"


def _cumulative(place: int, slot: Slot, days: int) -> Iterator[tuple[str, str]]:
    flag = f"FILTER (WHERE {_is_in(slot)})"
    if slot.counts and (not days or days in slot.counts):
        yield f"count{place}", f"count(*) {flag}"
    if slot.totals and (not days or days in slot.totals):
        yield f"total{place}", f"sum(money) {flag}"
    if slot.since and not days:
        yield f"latest{place}", f"max(happened) {flag}"


def _differences(slots: Sequence[Slot]) -> str:
    values = []
    for place, slot in enumerate(slots):
        for what, found in (("count", slot.counts), ("total", slot.totals)):
            for days, column in found.items():
                gone = "" if days is None else f" - coalesce({what}{place}_{days}, 0)"
                values.append(f"(coalesce({what}{place}_0, 0){gone})::BIGINT AS f{column}")
        values += [f"latest{place}_0 AS f{column}" for column in slot.since]
    return f"SELECT moment, as_of, {', '.join(values)} FROM moments m"


# ------------------------------------------------------------------------------------------------ cells of a long table


def _grouped(table: str, windows: Sequence[int]) -> str:
    """The events of each moment, selection and shortest window that holds them (one more than there are: none)."""
    window = " + ".join(f"(happened < as_of - {days * DAY})::INTEGER" for days in windows)
    return (
        f"SELECT moment, slot, {window} AS window, count(*) AS n, sum(money)::BIGINT AS money, max(happened) AS latest "
        f"FROM moments JOIN {table} USING (account) JOIN members USING (kind) "
        f"WHERE known < as_of AND members.table = '{table}' GROUP BY ALL"
    )
