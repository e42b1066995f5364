"""One table of a portfolio, split by account on disk: its rows checked, dealt into buckets, and what was set aside.

Rows are checked one by one as they are read, and dealt into buckets by ranges of `account_id`, a stretch of the table
at a time. Then come the rules between rows, a few buckets at a time: whether the account of a row exists, which its own
buckets tell, and whether its id was there before, for which the ids are dealt into buckets of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.checking import (
    FILE,
    REJECT_SCHEMA,
    ROW,
    Checked,
    check_rows,
    no_accounts,
    nothing_usable,
    of_known_accounts,
    repeated,
    row_schema,
    set_aside,
    with_unique_ids,
)
from features.contract import Table
from features.partitions.shuffle import Shuffle, by_hash, by_range, quantiles, ranges, sampled
from features.raw import RawPart
from features.settings import PortfolioSettings

#: What a row takes at most while the rules between rows are looked at: its ids, as Python has text, and its place.
_KEY_BYTES = 500
#: So many ids of each stretch of the accounts say what ranges there are.
_N_SAMPLED = 1 << 14
#: Beyond so many new rows, the first place of each id is summed up.
_MANY_IDS = 1 << 20
#: The place of a row among the good ones of its table, in the order in which they were read.
_PLACE = " place"
_ID_SCHEMA = pa.schema([("account_id", pa.string())])
_DROPPED_SCHEMA = pa.schema([("account_id", pa.string()), (_PLACE, pa.int64())])
_NO_IDS = pa.chunked_array([], pa.string())


@dataclass(frozen=True)
class SplitTable:
    """A table in a folder, by bucket: rows that are good by themselves, and which of them are dropped all the same."""

    table: Table
    settings: PortfolioSettings
    folder: Path
    n_buckets: int

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of `rows`: those of the table, where a row was read, and its place among them."""
        return row_schema(self.table, self.settings).append(pa.field(_PLACE, pa.int64()))

    @cached_property
    def rows(self) -> Shuffle:
        """The rows that are good by themselves."""
        return Shuffle(self.folder / "rows", self.n_buckets)

    @cached_property
    def dropped(self) -> Shuffle:
        """The places of those among them that another row speaks against."""
        return Shuffle(self.folder / "dropped", self.n_buckets)

    @cached_property
    def lost(self) -> Shuffle:
        """Of accounts, the ids of rows that were set aside."""
        return Shuffle(self.folder / "lost", self.n_buckets)

    @cached_property
    def _rejects(self) -> Shuffle:
        return Shuffle(self.folder / "rejects", 1)

    def kept(self, first: int, last: int) -> pa.Table:
        """The rows of the buckets from `first` up to `last` that are good by every rule."""
        names = [name for name in self.schema.names if name not in {FILE, ROW}]
        rows = self.rows.read(self.schema, first, last, names)
        dropped = self.dropped.read(_DROPPED_SCHEMA, first, last, [_PLACE]).column(_PLACE)
        if len(dropped):
            rows = rows.filter(pc.invert(pc.is_in(rows.column(_PLACE), value_set=dropped)))
        return rows.drop_columns([_PLACE])

    def rejects(self) -> Iterator[pa.Table]:
        """What was set aside, piece by piece."""
        return self._rejects.pieces(REJECT_SCHEMA)

    def set_aside(self, rejects: Iterable[pa.Table]) -> None:
        """Put rejects away."""
        joined = pa.concat_tables([REJECT_SCHEMA.empty_table(), *rejects])
        self._rejects.write(joined, np.zeros(len(joined), dtype=np.int64))

    def keep(self, before: pa.Table, after: Checked, bounds: Sequence[str]) -> None:
        """Drop the rows that were there before and are not after, and put their rejects away."""
        if after.rejects:
            self.set_aside(after.rejects)
            gone = pc.invert(pc.is_in(before.column(_PLACE), value_set=after.rows.column(_PLACE)))
            rows = before.select(_DROPPED_SCHEMA.names).filter(gone)
            self.dropped.write(rows, by_range(rows.column("account_id"), bounds))

    def refuse_unusable(self) -> int:
        """How many rows are kept; where it is none although there are rows, that is `PortfolioError`."""
        n_kept = int(self.rows.counts.sum() - self.dropped.counts.sum())
        if not n_kept and self._rejects.counts.sum():
            raise nothing_usable(self.table, self.rejects())
        return n_kept


def split_accounts(split: SplitTable, parts: Iterable[RawPart], n_bytes: int) -> list[str]:
    """Split the accounts; the bounds of the ranges of `account_id`, in order.

    They are known when all accounts have been read; so these are dealt into buckets after that.

    Args:
        split: where to.
        parts: the table as it is read.
        n_bytes: how much data may be in memory.

    Raises:
        PortfolioError: a required column is missing, or there is no account that can be used.
    """
    read, lost = Shuffle(split.folder / "read", 1), Shuffle(split.folder / "read-lost", 1)
    samples = []
    for found in _stretches(split, parts, n_bytes):
        read.write(found.rows, np.zeros(len(found.rows), dtype=np.int64))
        ids = pa.table([found.lost.drop_null()], schema=_ID_SCHEMA)
        lost.write(ids, np.zeros(len(ids), dtype=np.int64))
        samples.append(sampled(found.rows.column("account_id"), _N_SAMPLED))
    bounds = quantiles(samples, split.n_buckets)
    for rows in read.pieces(split.schema):
        split.rows.write(rows, by_range(rows.column("account_id"), bounds))
    for rows in lost.pieces(_ID_SCHEMA):
        split.lost.write(rows, by_range(rows.column("account_id"), bounds))
    for path in (*read.runs(), *lost.runs()):
        path.unlink()
    for first, last in ranges(split.rows.counts, n_bytes / _KEY_BYTES):
        rows = split.rows.read(split.schema, first, last, ["account_id", FILE, ROW, _PLACE])
        split.keep(rows, with_unique_ids(split.table, Checked(rows, (), _NO_IDS)), bounds)
    if not split.refuse_unusable():
        raise no_accounts()
    return bounds


def split_events(
    split: SplitTable, parts: Iterable[RawPart], accounts: SplitTable, bounds: Sequence[str], n_bytes: int
) -> None:
    """Split another table than the accounts, as those were.

    Args:
        split: where to.
        parts: the table as it is read.
        accounts: the accounts, split before.
        bounds: the bounds of the ranges of `account_id`.
        n_bytes: how much data may be in memory.

    Raises:
        PortfolioError: a required column is missing, or nothing of the table can be used.
    """
    for found in _stretches(split, parts, n_bytes):
        split.rows.write(found.rows, by_range(found.rows.column("account_id"), bounds))
    own = split.table.id
    schema = pa.schema(
        [split.schema.field(name) for name in ("account_id", *([own] if own else []), FILE, ROW, _PLACE)]
    )
    spans = ranges(split.rows.counts, n_bytes / _KEY_BYTES)
    ids = Shuffle(split.folder / "ids", len(spans))
    for first, last in spans:
        rows = split.rows.read(split.schema, first, last, schema.names)
        known = accounts.rows.read(accounts.schema, first, last, ["account_id"]).column("account_id")
        lost = accounts.lost.read(_ID_SCHEMA, first, last).column("account_id")
        found = of_known_accounts(split.table, Checked(rows, (), _NO_IDS), known, lost)
        split.keep(rows, found, bounds)
        if own:
            named = found.rows.filter(pc.is_valid(found.rows.column(own)))
            ids.write(named, by_hash(named.column(own), ids.n_buckets))
    if own:
        for bucket in range(ids.n_buckets):
            _drop_repeated(split, ids, bucket, schema, bounds)
    for path in ids.runs():
        path.unlink()
    split.refuse_unusable()


def _stretches(split: SplitTable, parts: Iterable[RawPart], n_bytes: int) -> Iterator[Checked]:
    """The good rows of a table with their places, and the ids lost, a stretch at a time; rejects are put away."""
    held: list[Checked] = []
    n_held = n_before = 0
    for found in check_rows(split.table, parts, split.settings):
        held.append(found)
        n_held += found.rows.nbytes + sum(rejects.nbytes for rejects in found.rejects)
        if n_held > n_bytes // 4:  # what is dealt into buckets is there three times over
            stretch = _joined(split, held, n_before)
            n_held, n_before = 0, n_before + len(stretch.rows)
            held.clear()
            yield stretch
    yield _joined(split, held, n_before)


def _joined(split: SplitTable, held: Sequence[Checked], n_before: int) -> Checked:
    empty = row_schema(split.table, split.settings).empty_table()
    rows = pa.concat_tables([empty, *(found.rows for found in held)])
    places = pa.array(np.arange(n_before, n_before + len(rows)))
    split.set_aside([rejects for found in held for rejects in found.rejects])
    lost = pa.chunked_array([chunk for found in held for chunk in found.lost.chunks], pa.string())
    return Checked(rows.append_column(_PLACE, places), (), lost)


def _drop_repeated(split: SplitTable, ids: Shuffle, bucket: int, schema: pa.Schema, bounds: Sequence[str]) -> None:
    """Drop the rows that repeat an id, among those of one bucket of ids: the one that was read first counts."""
    own = str(split.table.id)
    firsts = _firsts(ids.pieces(schema, bucket, bucket + 1, [own, _PLACE]), own)
    if len(firsts) == ids.counts[bucket]:
        return
    place = pd.Series(firsts.column(_PLACE).to_numpy(), index=firsts.column(own).to_pandas())
    for rows in ids.pieces(schema, bucket, bucket + 1):
        later = rows.column(_PLACE).to_numpy() != place.reindex(rows.column(own).to_pandas()).to_numpy()
        kept, rejects = set_aside(split.table.name, rows, [repeated(own, later)])
        split.keep(rows, Checked(rows.filter(pa.array(kept)), rejects, _NO_IDS), bounds)


def _firsts(pieces: Iterable[pa.Table], own: str) -> pa.Table:
    """The first place of every id; summed up on the way, lest an id that is in every row fill the memory."""
    held: list[pa.Table] = []
    n_held = n_new = 0
    for piece in pieces:
        held.append(piece)
        n_new += len(piece)
        if n_new > n_held + _MANY_IDS:
            held = [_first_of_each(held, own)]
            n_held, n_new = len(held[0]), 0
    return _first_of_each(held, own)


def _first_of_each(pieces: Sequence[pa.Table], own: str) -> pa.Table:
    empty = pa.schema([(own, pa.string()), (_PLACE, pa.int64())]).empty_table()
    firsts = pa.concat_tables([empty, *pieces]).group_by(own, use_threads=False).aggregate([(_PLACE, "min")])
    return pa.table({own: firsts.column(own), _PLACE: firsts.column(f"{_PLACE}_min")})


def noted(split: SplitTable) -> dict[str, Any]:
    """What is to be known of a table that was split before, as JSON."""
    return {"counts": split.rows.counts.tolist(), "n_bytes": split.rows.n_bytes}


def remember(split: SplitTable, note: dict[str, Any]) -> None:
    """Take up what was noted of a table that was split before."""
    split.rows.counts = np.array(note["counts"], dtype=np.int64)
    split.rows.n_bytes = int(note["n_bytes"])
