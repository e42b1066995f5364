"""A portfolio's folder, read as it lies: every table's cells, each part with its file and its row numbers.

A table `NAME` is `NAME.parquet`, `NAME.csv`, `NAME.csv.gz`, or a folder of such parts (named `NAME`, or with
one of these endings, as Spark does). CSV is read as text, so that a bad value can be shown as it was written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from features.contract import TABLES
from features.errors import PortfolioError
from features.raw import Malformed, RawPart, RawTables, check_names
from features.units import Rows

PARQUET, CSV, CSV_GZ = ".parquet", ".csv", ".csv.gz"
SUFFIXES = (PARQUET, CSV, CSV_GZ)
#: A row of CSV may not be longer than a block.
_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 1 << 20
_SHOWN = 200

Watch = Callable[[str], None]


def unwatched(table: str) -> None:
    """Hear the name of a table about to be read, and say nothing."""


def read_folder(folder: Path, wanted: Mapping[str, Sequence[str]], watch: Watch) -> RawTables:
    """Read the tables that a folder has; `wanted` names the columns of each, `watch` hears each table's name.

    Raises:
        PortfolioError: there is no such folder, a table is there in two forms, or a file cannot be read.
    """
    if not folder.is_dir():
        raise PortfolioError(f"a portfolio is a folder or a database URL, got {folder}, which is no folder")
    tables: dict[str, tuple[RawPart, ...]] = {}
    for name, columns in wanted.items():
        with _as_portfolio_error(str(folder), "see who may read it"):
            paths = table_files(folder, name)
        if paths:
            watch(name)
            files = [path.relative_to(folder).as_posix() for path in paths]
            tables[name] = tuple(_read_file(*of, columns) for of in zip(paths, files, strict=True))
    return tables


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


def _read_file(path: Path, file: str, wanted: Collection[str]) -> RawPart:
    advice = "write it anew" if path.name.endswith(PARQUET) else "CSV is UTF-8, a header and commas between values"
    with _as_portfolio_error(file, advice):
        read = _read_parquet if path.name.endswith(PARQUET) else _read_csv
        return read(path, file, wanted)


@contextmanager
def _as_portfolio_error(file: str, advice: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise PortfolioError(f"{file} cannot be read (its header is no UTF-8); {advice}") from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        first_line = str(error).partition("\n")[0][:_SHOWN]
        raise PortfolioError(f"{file} cannot be read ({first_line}); {advice}") from error


def _read_parquet(path: Path, file: str, wanted: Collection[str]) -> RawPart:
    with pq.ParquetFile(path) as parquet:
        names = tuple(parquet.schema_arrow.names)
        check_names(file, names)
        cells = parquet.read([name for name in names if name in wanted], use_threads=False)
    cells.validate(full=True)  # a damaged page may hold text that is no UTF-8
    return RawPart(file, names, cells, np.arange(1, len(cells) + 1))


def _read_csv(path: Path, file: str, wanted: Collection[str]) -> RawPart:
    with _open(path) as stream:
        start: bytes = stream.read(_HEADER_BYTES)
    header = _header(start, file)
    names = tuple(name.strip() for name in header)
    check_names(file, names)
    if not any(line_break in start.strip() for line_break in (b"\n", b"\r")):
        # A header and nothing else: to the parser, a last line without an end is no header.
        return RawPart(file, names, pa.table({name: pa.nulls(0) for name in names if name in wanted}), np.arange(0))
    taken = [name for name, stripped in zip(header, names, strict=True) if stripped in wanted]
    parsed = _parse_csv(path, header, taken)
    if parsed.n_quotes % 2:
        _check_quotes(file, _parse_csv(path, header, ()))
    cells = parsed.cells.rename_columns([name.strip() for name in taken or header])
    return RawPart(file, names, cells, parsed.rows, parsed.malformed)


def _header(start: bytes, file: str) -> list[str]:
    # What follows the header is not judged here, and may be cut in the middle of a sign.
    text = start.decode("utf-8-sig", "surrogateescape")
    names: list[str] = next((names for names in csv.reader(io.StringIO(text, newline="")) if names), [])
    if not names:
        raise PortfolioError(f"{file} is empty; a table needs at least a header")
    "".join(names).encode()  # refuses what was no UTF-8
    return names


@dataclass(frozen=True)
class _Parsed:
    """A file of CSV: the columns taken, `(n,)` each; the rows' numbers; rows with too few or many fields."""

    cells: pa.Table
    rows: Rows
    malformed: tuple[Malformed, ...]
    n_quotes: int


def _parse_csv(path: Path, header: Sequence[str], taken: Sequence[str]) -> _Parsed:
    """Parse a file of CSV; the columns taken by name, or all where none is named."""
    malformed: list[Malformed] = []

    def set_aside(row: Any) -> str:
        # The header is row 1 to the parser.
        malformed.append(_malformed(row.number - 1, row.text, row.actual_columns, row.expected_columns))
        return "skip"

    with _open(path) as stream:
        counted = _QuoteCounter(stream)
        cells = pyarrow.csv.read_csv(
            pa.PythonFile(counted, mode="r"),
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
    rows = np.arange(1, len(cells) + len(malformed) + 1)
    rows = np.delete(rows, [bad.row - 1 for bad in malformed])
    return _Parsed(cells, rows, tuple(malformed), counted.n_quotes)


def _malformed(row: int, text: str, n_fields: int, n_expected: int) -> Malformed:
    n_lines = text.count("\n") + 1
    over = f", over {n_lines} lines; is a quote not closed?" if n_lines > 1 else ""
    reason = f"has {n_fields} fields where the header has {n_expected}{over}"
    return Malformed(row, text[:_SHOWN], n_lines, reason)


def _check_quotes(file: str, parsed: _Parsed) -> None:
    """Refuse a file that has an odd number of quotes and a row over several lines.

    A quote that is opened and never closed swallows the rows that follow; nobody would miss them.
    """
    breaks = [pc.match_substring(values, "\n").fill_null(False) for values in parsed.cells.columns]
    several = [int(parsed.rows[row]) for column in breaks for row in np.flatnonzero(column)[:1]]
    several += [bad.row for bad in parsed.malformed if bad.n_lines > 1]
    if several:
        rule = f"{file}: a quote is opened and never closed, so that rows run together"
        raise PortfolioError(f"{rule}, perhaps in data row {min(several)}; close it, or double it in a value")


@dataclass
class _QuoteCounter:
    """A stream that counts the quotes that pass through it."""

    stream: Any
    n_quotes: int = 0
    closed: bool = False

    def read(self, n_bytes: int = -1) -> bytes:
        data: bytes = self.stream.read(n_bytes)
        self.n_quotes += data.count(b'"')
        return data

    def close(self) -> None:
        self.closed = True


def _open(path: Path) -> Any:
    return pa.input_stream(str(path), compression="gzip" if path.name.endswith(CSV_GZ) else None)
