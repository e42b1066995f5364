"""Rows on disk, dealt into buckets, so that a table larger than memory can be taken a few buckets at a time.

A shuffle is a folder of runs. A run is a stretch of the table, in an Arrow file with one record batch for each bucket;
taking a bucket reads that batch of every run. Within a bucket, rows stay in the order in which they came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Buckets = npt.NDArray[np.int64]

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass
class Shuffle:
    """Rows of one schema in a folder, as they were written to it.

    `counts` is the number of rows in each bucket, `(n_buckets,)`, `n_bytes` what all of them take in memory.
    """

    folder: Path
    n_buckets: int
    counts: Buckets = field(init=False)
    n_bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.n_buckets, dtype=np.int64)

    def write(self, rows: pa.Table, bucket: Buckets) -> None:
        """Add a run: rows, `(n,)`, each to its bucket, `(n,)`."""
        if not len(rows):
            return
        order = np.argsort(bucket, kind="stable")
        dealt = rows.unify_dictionaries().combine_chunks().take(pa.array(order)).combine_chunks()
        counts = np.bincount(bucket, minlength=self.n_buckets)
        ends = np.cumsum(counts)
        (whole,) = dealt.to_batches()
        # Of a slice without rows, Arrow would write the offsets of the whole column.
        empty = whole.take(pa.array([], pa.int64()))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{len(self.runs()):06d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema, options=_OPTIONS) as writer:
            for begin, n in zip(ends - counts, counts, strict=True):
                writer.write_batch(whole.slice(begin, n) if n else empty)
        self.counts += counts
        self.n_bytes += whole.nbytes

    @property
    def row_bytes(self) -> float:
        """What a row takes in memory, on average."""
        return self.n_bytes / max(1, int(self.counts.sum()))

    def runs(self) -> list[Path]:
        """The files of the runs, in the order in which they were written."""
        return sorted(self.folder.glob("*.arrow"))

    def pieces(
        self, schema: pa.Schema, first: int = 0, last: int | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of the buckets from `first` up to `last`, run by run; of all columns, or those named."""
        taken = schema.names if columns is None else list(columns)
        options = pa.ipc.IpcReadOptions(included_fields=sorted(schema.get_field_index(name) for name in taken))
        last = self.n_buckets if last is None else last
        for path in self.runs():
            with pa.memory_map(str(path)) as file, pa.ipc.open_file(file, options=options) as run:
                batches = [run.get_batch(bucket) for bucket in range(first, last)]
                yield pa.Table.from_batches(batches, run.schema).select(taken)

    def read(
        self, schema: pa.Schema, first: int = 0, last: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of the buckets from `first` up to `last`, of all columns or those named."""
        taken = schema.names if columns is None else list(columns)
        empty = pa.schema([schema.field(name) for name in taken]).empty_table()
        return pa.concat_tables([empty, *self.pieces(schema, first, last, taken)])


def ranges(weights: npt.NDArray[Any], limit: float) -> list[tuple[int, int]]:
    """Neighbouring buckets put together, as `(first, last)`, as far as their weights sum up to no more than `limit`.

    >>> ranges(np.array([1.0, 1.0, 1.0, 5.0, 1.0]), 2.0)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    found, first, total = [], 0, 0.0
    for place, weight in enumerate(weights):
        if place > first and total + weight > limit:
            found.append((first, place))
            first, total = place, 0.0
        total += weight
    return [*found, (first, len(weights))]


def quantiles(texts: Sequence[pa.ChunkedArray], n: int) -> list[str]:
    """At most `n - 1` bounds that deal texts, of which these are samples, into `n` ranges of about the same size."""
    sample = pa.chunked_array([chunk for some in texts for chunk in some.chunks], pa.string()).combine_chunks()
    if not len(sample):
        return []
    ordered = sample.take(pc.sort_indices(sample))
    places = np.arange(1, n) * len(ordered) // n
    return sorted(set(ordered.take(pa.array(places)).to_pylist()))


def sampled(texts: pa.ChunkedArray, n: int) -> pa.ChunkedArray:
    """At most about `n` of the texts, at even distances in their order."""
    step = max(1, len(texts) // n)
    return texts.take(pc.sort_indices(texts)[::step])


def by_range(texts: pa.ChunkedArray, bounds: Sequence[str]) -> Buckets:
    """The bucket of each text, `(n,)`: how many of the bounds, which ascend, are not above it.

    >>> by_range(pa.chunked_array([["b", "a", "c", "b"]]), ["b", "bb"]).tolist()
    [1, 0, 2, 1]
    """
    # Few different texts in many rows: each is looked up once. Arrow sorts text as Python does, by code point.
    encoded = texts.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ordered = encoded.dictionary.take(pa.array(order))
    begins = [bisect_left(ordered, bound, key=lambda text: text.as_py()) for bound in bounds]
    bucket = np.empty(len(order), dtype=np.int64)
    bucket[order] = np.searchsorted(begins, np.arange(len(order)), side="right")
    return np.asarray(bucket[encoded.indices.to_numpy()])


def by_hash(texts: pa.ChunkedArray, n: int) -> Buckets:
    """A bucket below `n` for each text, `(n_texts,)`: the same for the same text, always."""
    if n == 1:
        return np.zeros(len(texts), dtype=np.int64)
    hashed = pd.util.hash_array(texts.to_numpy(zero_copy_only=False), categorize=False)
    return (hashed % np.uint64(n)).astype(np.int64)
