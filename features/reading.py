"""A portfolio's folder, read as it lies: every table's cells, piece by piece, with file and row numbers.

A table `NAME` is `NAME.parquet`, `NAME.csv`, `NAME.csv.gz`, or a folder of such parts (named `NAME`, or with
one of these endings, as Spark does). CSV is read as text, so that a bad value can be shown as it was written.
A table is read while its pieces are taken, and no more of it is in memory than a piece.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from features.contract import TABLES
from features.errors import PortfolioError
from features.raw import Malformed, RawPart, check_names
from features.units import Rows

PARQUET, CSV, CSV_GZ = ".parquet", ".csv", ".csv.gz"
SUFFIXES = (PARQUET, CSV, CSV_GZ)
#: A row of CSV may not be longer than a block.
_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 1 << 20
#: The parser reads blocks ahead, up to 32 of them if it may; this many are enough for it never to wait.
_BLOCKS_AHEAD = 4
#: For how long, in seconds, a block is held back from who waits for a batch: one without a good row makes none.
_PATIENCE = 0.5
#: Rows of Parquet that are read at a time.
_PIECE_ROWS = 1 << 18
_SHOWN = 200
_QUOTE = ord('"')

Watch = Callable[[str], None]
#: Hears how many bytes of the files have been read since it last heard.
WatchBytes = Callable[[int], None]


def unwatched(table: str) -> None:
    """Hear the name of a table about to be read, and say nothing."""


def uncounted(n_bytes: int) -> None:
    """Hear that bytes were read, and say nothing."""


def read_folder(
    folder: Path, wanted: Mapping[str, Sequence[str]], watch: Watch = unwatched, count: WatchBytes = uncounted
) -> dict[str, Iterator[RawPart]]:
    """The tables that a folder has, each read while its pieces are taken.

    Args:
        folder: where the tables lie.
        wanted: the columns of each table.
        watch: hears the name of each table before it is read.
        count: hears of the bytes of files as they are read.

    Raises:
        PortfolioError: there is no such folder, a table is there in two forms, or (when pieces are taken) a file
            cannot be read.
    """
    return {
        name: _read_table(folder, name, paths, wanted[name], watch, count)
        for name, paths in folder_files(folder, wanted).items()
    }


def folder_files(folder: Path, names: Collection[str]) -> dict[str, tuple[Path, ...]]:
    """The files of each of the tables that a folder has.

    Raises:
        PortfolioError: there is no such folder, or a table is there in two forms.
    """
    if not folder.is_dir():
        raise PortfolioError(f"a portfolio is a folder or a database URL, got {folder}, which is no folder")
    with _as_portfolio_error(str(folder), "see who may read it"):
        files = {name: table_files(folder, name) for name in names}
    return {name: paths for name, paths in files.items() if paths}


def folder_bytes(folder: Path) -> int:
    """How large the files of a folder's tables are, together."""
    return sum(path.stat().st_size for paths in folder_files(folder, TABLES).values() for path in paths)


def table_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of a table, in the order of their names; none where the folder has no such table."""
    forms = [form for form in (folder / f"{name}{suffix}" for suffix in ("", *SUFFIXES)) if form.exists()]
    if len(forms) > 1:
        found = ", ".join(form.name for form in forms)
        raise PortfolioError(f"a table has one form, got {found} in {folder}; leave one of them")
    if not forms:
        return ()
    return _parts(forms[0]) if forms[0].is_dir() else (forms[0],)


def _parts(folder: Path) -> tuple[Path, ...]:
    parts = sorted((entry for entry in folder.iterdir() if not _is_hidden(entry)), key=lambda part: part.name)
    for part in parts:
        if part.is_dir() or not part.name.endswith(SUFFIXES):
            rule = f"the parts of a table are files ending in {', '.join(SUFFIXES)}"
            raise PortfolioError(f"{rule}, got {part.name} in {folder}; move it elsewhere")
    if not parts:
        raise PortfolioError(f"the table {folder} has no parts; add some, or remove the folder")
    return tuple(parts)


def unused_files(folder: Path) -> tuple[str, ...]:
    """The names of files that look like tables but have the name of none: misspelt ones, perhaps."""
    entries = (entry.name for entry in folder.iterdir() if entry.is_file() and not _is_hidden(entry))
    tables = {f"{name}{suffix}" for name in TABLES for suffix in SUFFIXES}
    return tuple(sorted(name for name in entries if name.endswith(SUFFIXES) and name not in tables))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "_"))


def n_rows(path: Path) -> int:
    """About how many rows a file of a table has: as Parquet says, or by the length of the first lines of CSV.

    Zero where the file cannot be read: whoever reads it says so.
    """
    try:
        if path.name.endswith(PARQUET):
            with pq.ParquetFile(path) as parquet:
                return int(parquet.metadata.num_rows)
        source = _Source(path)
        start = source.read(_HEADER_BYTES).to_pybytes()
        return int(start.count(b"\n") * path.stat().st_size // max(1, source.n_read))
    except (pa.ArrowException, OSError):
        return 0


def _read_table(
    folder: Path, name: str, paths: Sequence[Path], wanted: Sequence[str], watch: Watch, count: WatchBytes
) -> Iterator[RawPart]:
    watch(name)
    for path in paths:
        yield from _read_file(path, path.relative_to(folder).as_posix(), wanted, count)


def read_file(path: Path, wanted: Sequence[str]) -> Iterator[RawPart]:
    """A table that is a single file, wherever it lies, read while its pieces are taken.

    Raises:
        PortfolioError: it has another ending than a table's, or (when pieces are taken) cannot be read.
    """
    if not path.name.endswith(SUFFIXES):
        raise PortfolioError(f"a table is a file ending in {', '.join(SUFFIXES)}, got {path}; write it as one of these")
    return _read_file(path, path.name, wanted, uncounted)


def _read_file(path: Path, file: str, wanted: Sequence[str], count: WatchBytes) -> Iterator[RawPart]:
    is_parquet = path.name.endswith(PARQUET)
    advice = "write it anew" if is_parquet else "CSV is UTF-8, a header and commas between values"
    with _as_portfolio_error(file, advice):
        yield from (_read_parquet if is_parquet else _read_csv)(path, file, wanted, count)


@contextmanager
def _as_portfolio_error(file: str, advice: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise PortfolioError(f"{file} cannot be read (its header is no UTF-8); {advice}") from error
    except pa.ArrowCancelled:
        raise KeyboardInterrupt from None  # Ctrl-C while Arrow was at work
    except (pa.ArrowException, OSError, csv.Error) as error:
        first_line = str(error).partition("\n")[0][:_SHOWN]
        raise PortfolioError(f"{file} cannot be read ({first_line}); {advice}") from error


def _read_parquet(path: Path, file: str, wanted: Collection[str], count: WatchBytes) -> Iterator[RawPart]:
    # Through a buffer, so that a column of a long row group is not in memory as a whole.
    with pq.ParquetFile(path, buffer_size=_HEADER_BYTES) as parquet:
        names = tuple(parquet.schema_arrow.names)
        check_names(file, names)
        taken = [name for name in names if name in wanted]
        yield _no_rows(file, names, taken)
        n_all, n_done = max(1, parquet.metadata.num_rows), 0
        for batch in parquet.iter_batches(_PIECE_ROWS, columns=taken, use_threads=False):
            batch.validate(full=True)  # a damaged page may hold text that is no UTF-8
            rows = np.arange(n_done + 1, n_done + len(batch) + 1)
            n_done += len(batch)
            yield RawPart(file, names, pa.Table.from_batches([batch]), rows)
            count(path.stat().st_size * len(batch) // n_all)


def _no_rows(file: str, names: tuple[str, ...], taken: Sequence[str]) -> RawPart:
    """What is known of a file before a row is read: a table without rows has columns, too."""
    return RawPart(file, names, pa.table({name: pa.nulls(0) for name in taken}), np.arange(0))


def _read_csv(path: Path, file: str, wanted: Collection[str], count: WatchBytes) -> Iterator[RawPart]:
    start = _Source(path).read(_HEADER_BYTES).to_pybytes()
    header = _header(start, file)
    names = tuple(name.strip() for name in header)
    check_names(file, names)
    yield _no_rows(file, names, [name for name in names if name in wanted])
    if not any(line_break in start.strip() for line_break in (b"\n", b"\r")):
        return  # A header and nothing else: to the parser, a last line without an end is no header.
    taken = [name for name, stripped in zip(header, names, strict=True) if stripped in wanted]
    source = _Source(path, count)
    for cells, rows, malformed in _parse_csv(source, header, taken):
        stripped = [name.strip() for name in cells.column_names]
        yield RawPart(file, names, cells.rename_columns(stripped), rows, malformed)
    if source.n_quotes % 2:
        _check_quotes(path, file, header)


def _header(start: bytes, file: str) -> list[str]:
    # What follows the header is not judged here, and may be cut in the middle of a sign.
    text = start.decode("utf-8-sig", "surrogateescape")
    names: list[str] = next((names for names in csv.reader(io.StringIO(text, newline="")) if names), [])
    if not names:
        raise PortfolioError(f"{file} is empty; a table needs at least a header")
    "".join(names).encode()  # refuses what was no UTF-8
    return names


_Piece = tuple[pa.Table, Rows, tuple[Malformed, ...]]


def _parse_csv(source: _Source, header: Sequence[str], taken: Sequence[str]) -> Iterator[_Piece]:
    """Parse CSV piece by piece: the columns taken (all where none is named), the rows' numbers, and the malformed."""
    waiting: list[Malformed] = []

    def set_aside(row: Any) -> str:
        # The header is row 1 to the parser.
        waiting.append(_malformed(row.number - 1, row.text, row.actual_columns, row.expected_columns))
        return "skip"

    batches = pyarrow.csv.open_csv(
        pa.PythonFile(source, mode="r"),
        # One thread: only then are rows numbered.
        pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            include_columns=list(taken),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    next_row = 1
    for batch in source.awaited(batches):
        # The parser may be ahead of the batch: malformed rows that come later wait for theirs.
        rows = np.arange(next_row, next_row + len(batch) + len(waiting))
        rows = rows[~np.isin(rows, [bad.row for bad in waiting])][: len(batch)] if waiting else rows
        next_row = int(rows[-1]) + 1 if len(rows) else next_row
        malformed = tuple(bad for bad in waiting if bad.row < next_row)
        del waiting[: len(malformed)]
        yield pa.Table.from_batches([batch]), rows, malformed
    if waiting:
        yield batches.schema.empty_table(), np.arange(0), tuple(waiting)


def _malformed(row: int, text: str, n_fields: int, n_expected: int) -> Malformed:
    n_lines = text.count("\n") + 1
    over = f", over {n_lines} lines; is a quote not closed?" if n_lines > 1 else ""
    reason = f"has {n_fields} fields where the header has {n_expected}{over}"
    return Malformed(row, text[:_SHOWN], n_lines, reason)


def _check_quotes(path: Path, file: str, header: Sequence[str]) -> None:
    """Refuse a file that has an odd number of quotes and a row over several lines.

    A quote that is opened and never closed swallows the rows that follow; nobody would miss them.
    """
    several: list[int] = []
    for cells, rows, malformed in _parse_csv(_Source(path), header, ()):
        breaks = [pc.match_substring(values, "\n").fill_null(False) for values in cells.columns]
        several += [int(rows[row]) for column in breaks for row in np.flatnonzero(column)[:1]]
        several += [bad.row for bad in malformed if bad.n_lines > 1]
    if several:
        rule = f"{file}: a quote is opened and never closed, so that rows run together"
        raise PortfolioError(f"{rule}, perhaps in data row {min(several)}; close it, or double it in a value")


class _Source:
    """The bytes of a file, unpacked; counts the quotes that pass, and how much of the file was read.

    It is read by a thread of the parser, which is kept from running far ahead of those who take its batches.
    """

    def __init__(self, path: Path, count: WatchBytes = uncounted) -> None:
        self._file = pa.OSFile(str(path))
        self._stream = pa.CompressedInputStream(self._file, "gzip") if path.name.endswith(CSV_GZ) else self._file
        self._count = count
        self._room = threading.Semaphore(_BLOCKS_AHEAD)
        self._is_awaited = True
        self.n_quotes = 0
        self.n_read = 0
        self.closed = False

    def read(self, n_bytes: int = -1) -> pa.Buffer:
        while not self._room.acquire(timeout=_PATIENCE) and not self._is_awaited:
            pass  # whoever takes the batches is busy with one
        # No `bytes`: what is freed of such large ones stays with the process, in holes.
        data = self._stream.read_buffer(n_bytes)
        signs = np.frombuffer(data, dtype=np.uint8)
        self.n_quotes += sum(
            int(np.count_nonzero(signs[begin : begin + _HEADER_BYTES] == _QUOTE))
            for begin in range(0, len(signs), _HEADER_BYTES)
        )
        place = self._file.tell()
        self._count(place - self.n_read)
        self.n_read = place
        return data

    def awaited(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches that are parsed of the bytes; for each that is taken, one more block is read."""
        self._is_awaited = True
        try:
            for batch in batches:
                self._is_awaited = False
                yield batch
                self._room.release()
                self._is_awaited = True
        finally:
            self._is_awaited = True

    def close(self) -> None:
        self.closed = True
