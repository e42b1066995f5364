"""From raw tables to valid ones: every row is kept, or set aside with a column and a reason; none is lost.

First each part is read column by column (`features.cells`); then come the rules between two columns of a row,
between the rows of a table (ids are unique, the first good row counts), and between tables (accounts exist).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.cells import Fault, Mask, absent_cells, as_text, plain, read_cells, value_type
from features.contract import TABLES, Column, Table
from features.errors import PortfolioError
from features.raw import RawPart, RawTables
from features.settings import PortfolioSettings, table_columns
from features.units import HOUR, Rows

#: The columns of the rejects; `value` is what was found, as text.
REJECT_COLUMNS = ("table", "file", "row", "column", "value", "reason")
REJECT_SCHEMA = pa.schema([(name, pa.int64() if name == "row" else pa.string()) for name in REJECT_COLUMNS])
#: Where a row was read. Names that no column of a portfolio can have, as they would be stripped.
FILE, ROW = " file", " row"
#: Rows are checked in batches, so that a text column stays below what one array can hold.
_BATCH_ROWS = 1 << 18
_SHOWN = 200
_NO_IDS = pa.chunked_array([], pa.string())
_UNKNOWN_ACCOUNT = "is not in accounts"
_LOST_ACCOUNT = "is an account that was set aside"
_REPEATED = "repeats an id; the first row with it counts"


@dataclass(frozen=True)
class Order:
    """A rule between two times of a row: `column` is not more than `slack` microseconds before `start`."""

    column: str
    start: str
    slack: int
    reason: str


#: A promise due before it is made is senseless. But a due date is the start of its day in UTC, and a promise
#: has a time of day: made at 23:59 in the far west (UTC-12) and due that day, the two are 36 hours apart.
_ORDERS: Mapping[str, Order] = {
    "promises": Order("due_on", "made_at", 36 * HOUR, "is more than a day before made_at"),
    "restrictions": Order("until", "at", 0, "is before at"),
}


@dataclass(frozen=True)
class Checked:
    """A table, or some of its rows, so far: the good rows, each with `FILE` and `ROW`; the rest as rejects.

    `lost` is the account ids of rows that were set aside.
    """

    rows: pa.Table
    rejects: tuple[pa.Table, ...]
    lost: pa.ChunkedArray


def check_tables(
    raw: RawTables, settings: PortfolioSettings, may_be_unusable: bool = False
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Check raw tables against the contract: the good rows of every table, and the rejects of all.

    Args:
        raw: the tables as they were read.
        settings: say which channels and attributes there are.
        may_be_unusable: take a table other than accounts for empty where all of its rows are bad. A file like that is
            the wrong file; in the history of one account it may be a single row.

    Raises:
        PortfolioError: a required table or column is missing, or nothing of a table can be used.
    """
    checked = check_raw(raw, settings, may_be_unusable)
    frames = {name: _valid(found) for name, found in checked.items()}
    return frames, joined_rejects([rejects for found in checked.values() for rejects in found.rejects])


def check_raw(raw: RawTables, settings: PortfolioSettings, may_be_unusable: bool = False) -> dict[str, Checked]:
    """Check raw tables as `check_tables` does, and leave the good rows as they are, each with where it was read."""
    require_tables(raw)
    accounts = _check_table(TABLES["accounts"], raw["accounts"], settings, None)
    if not len(accounts.rows):
        raise no_accounts()
    checked = {"accounts": accounts}
    for table in TABLES.values():
        if table.name != "accounts":
            parts = raw.get(table.name, ())
            checked[table.name] = _check_table(table, parts, settings, accounts, may_be_unusable)
    return checked


def require_tables(names: Iterable[str]) -> None:
    """Refuse a portfolio that lacks a table it must have, with `PortfolioError`; `names` are those it has."""
    found = list(names)
    required = [table.name for table in TABLES.values() if table.required]
    missing = [name for name in required if name not in found]
    if missing:
        rule = f"a portfolio has at least the tables {', '.join(required)}"
        raise PortfolioError(f"{rule}, got {', '.join(found) or 'none'}; add {', '.join(missing)}")


def _check_table(
    table: Table,
    parts: Iterable[RawPart],
    settings: PortfolioSettings,
    accounts: Checked | None,
    may_be_unusable: bool = False,
) -> Checked:
    batches = list(check_rows(table, parts, settings))
    found = merged(batches) if batches else _nothing(row_schema(table, settings))
    if accounts is not None:
        found = of_known_accounts(table, found, accounts.rows.column("account_id"), accounts.lost)
    found = with_unique_ids(table, found)
    if not may_be_unusable and not len(found.rows) and found.rejects:
        raise nothing_usable(table, found.rejects)
    return found


def check_rows(table: Table, parts: Iterable[RawPart], settings: PortfolioSettings) -> Iterator[Checked]:
    """Check each row by itself, batch by batch, in the order in which they are read.

    Raises:
        PortfolioError: a part lacks a required column.
    """
    columns = table_columns(table, settings)
    for part in parts:
        if part.names or part.n_rows:  # a frame without rows may well have no columns either
            yield from _check_part(table, part, columns, settings.channel_names)


def row_schema(table: Table, settings: PortfolioSettings) -> pa.Schema:
    """The columns of the good rows of a table, with `FILE` and `ROW`."""
    return _schema(table_columns(table, settings))


def of_known_accounts(table: Table, found: Checked, known: pa.ChunkedArray, lost: pa.ChunkedArray) -> Checked:
    """Set aside the rows of accounts that are not there.

    Args:
        table: the table.
        found: its rows so far, or those of some accounts.
        known: the ids of the accounts there are; of those accounts, at least.
        lost: the ids of the accounts that were set aside.
    """
    if not len(found.rows):
        return found
    return without(found, table, _account_faults(found.rows, known, lost))


def with_unique_ids(table: Table, found: Checked) -> Checked:
    """Set aside the rows that repeat an id, where the table has one; the first row with it counts.

    Looked for among rows that are good otherwise, so that a bad row does not stand in for a good one.
    """
    return without(found, table, _repeated_ids(table, found.rows))


def _check_part(table: Table, part: RawPart, columns: tuple[Column, ...], channels: Sequence[str]) -> Iterator[Checked]:
    missing = [column.name for column in columns if column.required and column.name not in part.names]
    if missing:
        declared = ", as declared under [attributes]" if set(missing) - set(table.column_names) else ""
        found = _names_found(part.names)
        raise PortfolioError(f"{part.file} needs the columns {', '.join(missing)}{declared}; {found}")
    if part.malformed:
        yield _malformed(table, part, columns)
    first = 0
    for batch in part.cells.to_batches(max_chunksize=_BATCH_ROWS):
        rows = part.rows[first : first + len(batch)]
        yield _check_batch(table, batch, _located(part.file, rows), columns, channels)
        first += len(batch)


def _names_found(names: Sequence[str]) -> str:
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        return f"it has one column, {names[0][:_SHOWN]!r}: separate columns by commas"
    return f"it has {', '.join(names)[:_SHOWN] or 'no columns'}"


def _check_batch(
    table: Table,
    batch: pa.RecordBatch,
    located: Mapping[str, pa.Array],
    columns: tuple[Column, ...],
    channels: Sequence[str],
) -> Checked:
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    values: dict[str, pa.Array] = {}
    faults: list[Fault] = []
    for column in columns:
        if column.name in given:
            read = read_cells(given[column.name], column, channels)
            values[column.name] = read.array
            faults.extend(read.faults)
        else:
            values[column.name] = absent_cells(column.kind, len(batch))
    faults.extend(_out_of_order(table, values))
    rows = pa.Table.from_arrays([*values.values(), *located.values()], schema=_schema(columns))
    if not faults:
        return Checked(rows, (), _NO_IDS)
    kept, rejects = set_aside(table.name, pa.table({**given, **located}), faults)
    if not rejects:
        return Checked(rows, (), _NO_IDS)
    lost = rows.column("account_id").filter(pa.array(~kept))
    return Checked(rows.filter(pa.array(kept)), rejects, lost)


def _out_of_order(table: Table, values: Mapping[str, pa.Array]) -> list[Fault]:
    rule = _ORDERS.get(table.name)
    if rule is None:
        return []
    late, early = (values[name].cast(pa.int64()) for name in (rule.column, rule.start))
    senseless = pc.less(late, pc.subtract(early, rule.slack)).fill_null(False)
    if not senseless.true_count:
        return []
    return [Fault(rule.column, rule.reason, senseless.to_numpy(zero_copy_only=False))]


def _account_faults(rows: pa.Table, accounts: pa.ChunkedArray, lost: pa.ChunkedArray) -> list[Fault]:
    ids = rows.column("account_id")
    known = pc.is_in(ids, value_set=accounts)
    if pc.all(known, min_count=0).as_py():
        return []
    of_lost = pc.and_(pc.invert(known), pc.is_in(ids, value_set=lost))
    return [
        Fault("account_id", _LOST_ACCOUNT, of_lost.to_numpy()),
        Fault("account_id", _UNKNOWN_ACCOUNT, pc.invert(known).to_numpy()),
    ]


def _repeated_ids(table: Table, rows: pa.Table) -> list[Fault]:
    if table.id is None:
        return []
    found = rows.column(table.id)
    if pc.count_distinct(found).as_py() == len(found) - found.null_count:
        return []
    ids = found.to_pandas()
    return [repeated(table.id, np.asarray(ids.duplicated() & ids.notna()))]


def repeated(column: str, rows: Mask) -> Fault:
    """The fault of the rows, `(n,)`, that repeat the id of an earlier one."""
    return Fault(column, _REPEATED, rows)


def without(found: Checked, table: Table, faults: Sequence[Fault]) -> Checked:
    """A table without the rows that have a fault; they are added to its rejects."""
    kept, rejects = set_aside(table.name, found.rows, faults)
    if not rejects:
        return found
    return Checked(found.rows.filter(pa.array(kept)), (*found.rejects, *rejects), found.lost)


def set_aside(table: str, cells: pa.Table, faults: Sequence[Fault]) -> tuple[Mask, tuple[pa.Table, ...]]:
    """Which rows are kept, `(n,)`, and the others as rejects, each with the first of its faults."""
    kept = np.ones(len(cells), dtype=np.bool_)
    rejects = []
    for fault in faults:
        rows = kept & fault.rows
        if rows.any():
            bad = cells.select([FILE, ROW, fault.column]).filter(pa.array(rows))
            rejects.append(_rejects(table, bad, fault))
            kept &= ~rows
    return kept, tuple(rejects)


def _rejects(table: str, bad: pa.Table, fault: Fault) -> pa.Table:
    found = as_text(plain(bad.column(fault.column).combine_chunks()))
    shown = pc.utf8_slice_codeunits(found, 0, _SHOWN)
    files = bad.column(FILE).cast(pa.string())
    n = len(bad)
    cells = [pa.repeat(table, n), files, bad.column(ROW), pa.repeat(fault.column, n), shown]
    return pa.table([*cells, pa.repeat(fault.reason, n)], schema=REJECT_SCHEMA)


def _malformed(table: Table, part: RawPart, columns: tuple[Column, ...]) -> Checked:
    rows = [(table.name, part.file, bad.row, None, bad.text, bad.reason) for bad in part.malformed]
    rejects = pa.table(list(zip(*rows, strict=True)), schema=REJECT_SCHEMA)
    return Checked(_schema(columns).empty_table(), (rejects,), _NO_IDS)


def no_accounts() -> PortfolioError:
    """The error of a portfolio whose accounts have no row."""
    return PortfolioError("accounts has no row; a portfolio needs at least one account")


def nothing_usable(table: Table, rejects: Iterable[pa.Table]) -> PortfolioError:
    """The error of a table of which every row was set aside; the rejects are looked at one after the other."""
    tallies = pd.concat([_tally(to_frame(some)) for some in rejects])
    # Of those for the commonest reason the first, in the order of files and rows.
    tallies = tallies.sort_values(["file", "row"])
    counts = tallies.groupby("named", sort=False)["n"].sum().sort_values(ascending=False, kind="stable")
    first = tallies[tallies["named"] == counts.index[0]].iloc[0]
    form = "" if pd.isna(first["value"]) else f", where it has the form {value_form(first['value'])!r}"
    return PortfolioError(
        f"{table.name} has no usable row: all {counts.sum()} are set aside, {counts.iloc[0]} of them because "
        f"{counts.index[0]}; first in {first['file']}, data row {first['row']}{form}"
    )


def _tally(rejects: pd.DataFrame) -> pd.DataFrame:
    """For each column and reason how many rows, `n`, and the first of them."""
    named = rejects["column"].fillna("the row") + " " + rejects["reason"]
    firsts = rejects.assign(named=named).sort_values(["file", "row"]).drop_duplicates("named")
    return firsts.assign(n=firsts["named"].map(named.value_counts()))


def value_form(value: str) -> str:
    """The form of a value without the value, which may be personal: letters as `a`, digits as `9`.

    >>> value_form("03/04/2026 Smith")
    '99/99/9999 aaaaa'
    """
    return "".join("9" if sign.isdigit() else "a" if sign.isalpha() else sign for sign in value[:40])


def _located(file: str, rows: Rows) -> dict[str, pa.Array]:
    """The file and the number of every row, as two more columns."""
    files = pa.DictionaryArray.from_arrays(np.zeros(len(rows), dtype=np.int32), [file])
    return {FILE: files, ROW: pa.array(rows)}


@lru_cache(maxsize=64)
def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    typed = [(column.name, value_type(column.kind)) for column in columns]
    return pa.schema([*typed, (FILE, pa.dictionary(pa.int32(), pa.string())), (ROW, pa.int64())])


@lru_cache(maxsize=64)
def _nothing(schema: pa.Schema) -> Checked:
    return Checked(schema.empty_table(), (), _NO_IDS)


def merged(checked: Sequence[Checked]) -> Checked:
    """Batches of a table, one after the other; at least one."""
    if len(checked) == 1:
        return checked[0]
    return Checked(
        pa.concat_tables([each.rows for each in checked]),
        tuple(frame for each in checked for frame in each.rejects),
        pa.chunked_array([chunk for each in checked for chunk in each.lost.chunks], pa.string()),
    )


def _valid(checked: Checked) -> pd.DataFrame:
    return to_frame(checked.rows.drop_columns([FILE, ROW]))


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """Rows as a frame: text as `str`, times in UTC to the microsecond, numbers float, flags bool."""
    return _as_frame(rows) if len(rows) else _empty_frame(rows.schema).copy()


@lru_cache(maxsize=64)
def _empty_frame(schema: pa.Schema) -> pd.DataFrame:
    return _as_frame(schema.empty_table())


def _as_frame(rows: pa.Table) -> pd.DataFrame:
    text = pd.StringDtype("pyarrow", na_value=np.nan)
    types = {pa.string(): text}
    frame: pd.DataFrame = rows.to_pandas(types_mapper=types.get, use_threads=False)
    return frame


def joined_rejects(rejects: Iterable[pa.Table]) -> pd.DataFrame:
    """All rejects in the order of tables, files and rows."""
    found = list(rejects)
    if not found:
        return _empty_frame(REJECT_SCHEMA).copy()
    joined = to_frame(pa.concat_tables(found))
    place = joined["table"].map({name: place for place, name in enumerate(TABLES)})
    order = np.lexsort((joined["row"].to_numpy(), joined["file"].to_numpy(object), place.to_numpy()))
    return joined.iloc[order].reset_index(drop=True)
