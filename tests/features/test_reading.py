"""Reading a folder: every form of a table gives the same rows, and every damage one clear error or a reject."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract import TABLES
from features.errors import PortfolioError
from features.portfolio import read_portfolio
from features.raw import RawPart
from features.reading import read_folder, unused_files
from tests.features import plain

HEADER = b"account_id,at,channel,outcome\n"
ROW = b"A1,2025-04-01,sms,sent\n"
WANTED = {"contacts": ("account_id", "at", "channel", "outcome")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A portfolio in which everything is right, as CSV."""
    return plain.write(tmp_path / "portfolio")


def contacts(folder: Path, content: bytes, name: str = "contacts.csv") -> Path:
    """Write the contacts anew, in the place of what was there."""
    (folder / "contacts.csv").unlink(missing_ok=True)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return folder


def whole(folder: Path) -> RawPart:
    """The contacts, their pieces put together."""
    pieces = list(read_folder(folder, WANTED)["contacts"])
    (file,) = {piece.file for piece in pieces}
    return RawPart(
        file,
        pieces[0].names,
        pa.concat_tables([piece.cells for piece in pieces], promote_options="permissive"),
        np.concatenate([piece.rows for piece in pieces]),
        tuple(bad for piece in pieces for bad in piece.malformed),
    )


def rows_of(folder: Path) -> list[tuple[int, dict[str, str | None]]]:
    """Every row of the contacts with its number."""
    part = whole(folder)
    return list(zip(part.rows.tolist(), part.cells.to_pylist(), strict=True))


def to_gzip(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def to_parquet(path: Path) -> None:
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    pq.write_table(pa.Table.from_pandas(text, preserve_index=False), path.with_suffix(".parquet"))
    path.unlink()


def to_native_parquet(path: Path) -> None:
    """As a warehouse would write it: times as timestamps, numbers as numbers, words as dictionaries."""
    frame = pd.read_csv(path)
    for name in frame.columns:
        if name.endswith(("at", "_on", "until")):
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
        elif name in ("channel", "outcome", "segment"):
            frame[name] = frame[name].astype("category")
    frame.to_parquet(path.with_suffix(".parquet"))
    path.unlink()


def to_windows(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def to_quoted(path: Path) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)


def to_spaced(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace(",", " , "), encoding="utf-8")


def to_parts(path: Path) -> None:
    """Two parts in two formats, and what Spark leaves beside them."""
    header, *rows = path.read_text("utf-8").splitlines(keepends=True)
    parts = path.with_suffix("")
    parts.mkdir()
    path.unlink()
    (parts / "part-00000.csv").write_text(header + rows[0], encoding="utf-8")
    (parts / "part-00001.csv").write_text(header + "".join(rows[1:]), encoding="utf-8")
    to_parquet(parts / "part-00001.csv")
    (parts / "_SUCCESS").touch()
    (parts / ".part-00000.csv.crc").write_bytes(b"crc")


def to_named_parts(path: Path) -> None:
    """As `frame.write.csv("contacts.csv")` of Spark: a folder with the name of a file."""
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "part-00000.csv").write_bytes(content)


FORMS = (to_gzip, to_parquet, to_native_parquet, to_windows, to_quoted, to_spaced, to_parts, to_named_parts)


@pytest.mark.parametrize("to_form", FORMS)
def test_every_form_of_a_table_gives_the_same_portfolio(folder: Path, to_form: Callable[[Path], None]) -> None:
    before = read_portfolio(folder)
    for name in TABLES:
        to_form(folder / f"{name}.csv")
    after = read_portfolio(folder)
    assert not len(after.rejects)
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(after.tables[name], table)


def test_ids_keep_their_leading_zeros(folder: Path) -> None:
    tables = plain.rows()
    for table in tables.values():
        for row in table:
            row["account_id"] = {"A1": "0001", "A2": "1e5"}[row["account_id"]]
    read = read_portfolio(plain.write(folder, tables))
    assert list(read.tables["accounts"]["account_id"]) == ["0001", "1e5"]


def test_the_rows_of_parts_are_numbered_by_part(folder: Path) -> None:
    contacts(folder, HEADER + ROW + b"A9,2025-04-01,sms,sent\n", "contacts/b.csv")
    contacts(folder, HEADER + b"A1,never,sms,sent\n" + ROW, "contacts/a.csv")
    rejects = read_portfolio(folder).rejects
    assert rejects[["file", "row", "column"]].to_numpy().tolist() == [
        ["contacts/a.csv", 1, "at"],
        ["contacts/b.csv", 2, "account_id"],
    ]


def test_other_columns_are_ignored_whatever_they_hold(folder: Path) -> None:
    content = b"note,account_id,,at,,channel,outcome\n\xff\xfe,A1,,2025-04-01,,sms,sent\n"
    assert len(read_portfolio(contacts(folder, content)).tables["contacts"]) == 1


def test_a_value_may_hold_commas_quotes_and_line_breaks(folder: Path) -> None:
    content = b'account_id,note,at,channel,outcome\nA1,"a ""b"",\r\nc\n\nd",2025-04-01,sms,sent\nA1,x,never,sms,sent\n'
    read = read_portfolio(contacts(folder, content))
    assert len(read.tables["contacts"]) == 1
    assert list(read.rejects["row"]) == [2]  # rows are counted, not lines


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + b"\r\n\n", b"\xef\xbb\xbf" + HEADER.strip()])
def test_a_header_alone_is_an_empty_table(folder: Path, content: bytes) -> None:
    read = read_portfolio(contacts(folder, content))
    assert len(read.tables["contacts"]) == len(read.rejects) == 0


def test_blank_lines_are_no_rows(folder: Path) -> None:
    assert [row for row, _ in rows_of(contacts(folder, b"\n\n" + HEADER + b"\n" + ROW + b"\r\n\n" + ROW))] == [1, 2]


def test_a_row_with_too_few_or_too_many_fields_is_set_aside(folder: Path) -> None:
    rejects = read_portfolio(contacts(folder, HEADER + ROW + b"A1,2025\n" + ROW + ROW.strip() + b",x\n" + ROW)).rejects
    assert rejects[["file", "row", "value", "reason"]].to_numpy().tolist() == [
        ["contacts.csv", 2, "A1,2025", "has 2 fields where the header has 4"],
        ["contacts.csv", 4, "A1,2025-04-01,sms,sent,x", "has 5 fields where the header has 4"],
    ]
    assert rejects["column"].isna().all()


@given(good=st.lists(st.booleans(), max_size=300), filler=st.integers(0, 40))
def test_rows_keep_their_numbers_whatever_is_set_aside(
    tmp_path_factory: pytest.TempPathFactory, good: list[bool], filler: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = [f"{place},2025-04-01,sms,{'x' * filler}" if ok else f"{place},bad" for place, ok in enumerate(good)]
    contacts(folder, HEADER + "\n".join(lines).encode())
    part = whole(folder)
    kept = {int(row): text for row, text in zip(part.rows, part.cells["account_id"].to_pylist(), strict=True)}
    assert kept == {place + 1: str(place) for place, ok in enumerate(good) if ok}
    assert [bad.row for bad in part.malformed] == [place + 1 for place, ok in enumerate(good) if not ok]
    assert part.n_rows == len(good)


def test_numbers_hold_across_the_blocks_of_a_long_file(folder: Path) -> None:
    lines = [ROW if place % 100_000 else b"A1,short\n" for place in range(1, 600_001)]
    content = HEADER + b"".join(lines)
    assert len(content) > 8 << 20
    part = whole(contacts(folder, content))
    expected = np.arange(1, 600_001)
    assert [bad.row for bad in part.malformed] == expected[expected % 100_000 == 0].tolist()
    np.testing.assert_array_equal(part.rows, expected[expected % 100_000 != 0])


def test_a_file_is_read_as_its_rows_are_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file larger than memory is read so; the parser alone would read 32 blocks ahead.
    monkeypatch.setattr("features.reading._BLOCK_BYTES", 1 << 16)
    content = HEADER + ROW * 300_000
    read: list[int] = []
    pieces = read_folder(contacts(folder, content), WANTED, count=read.append)["contacts"]
    for n_taken, piece in zip(range(12), pieces, strict=False):
        time.sleep(0.02)
        assert sum(read) <= (n_taken + 6) << 16
        assert piece.cells.nbytes <= 1 << 17
    assert sum(len(piece.rows) for piece in pieces) < 300_000
    assert sum(read) == len(content)


def test_blocks_in_which_no_row_is_good_are_read_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.reading._BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr("features.reading._PATIENCE", 0.01)
    part = whole(contacts(folder, HEADER + ROW + b"A1,short\n" * 20_000 + ROW))
    assert part.rows.tolist() == [1, 20_002]
    assert [bad.row for bad in part.malformed] == list(range(2, 20_002))


def test_a_long_row_group_is_read_in_pieces(folder: Path) -> None:
    (folder / "contacts.csv").unlink()
    table = pa.table({name: [str(place) for place in range(600_000)] for name in WANTED["contacts"]})
    pq.write_table(table, folder / "contacts.parquet", row_group_size=600_000)
    read: list[int] = []
    pieces = list(read_folder(folder, WANTED, count=read.append)["contacts"])
    assert max(len(piece.rows) for piece in pieces) < 300_000
    assert whole(folder).cells.equals(table)
    assert whole(folder).rows.tolist() == list(range(1, 600_001))
    assert 0.9 < sum(read) / (folder / "contacts.parquet").stat().st_size <= 1


def test_a_block_may_end_inside_a_value_of_many_lines(folder: Path) -> None:
    note = b'"' + b"line\n" * 1_000 + b'"'
    row = b"A1,2025-04-01,sms,sent," + note + b"\n"
    content = b"account_id,at,channel,outcome,note\n" + row * 4_000
    assert len(content) > 16 << 20
    assert len(read_portfolio(contacts(folder, content)).tables["contacts"]) == 4_000


@pytest.mark.parametrize(
    "rows",
    [
        b'A1,,2025-04-01,sms,"sent\n' + b"A1,,2025-04-01,sms,sent\n" * 3,  # to the end of the file
        b'A1,"x,2025-04-01,sms,sent\n' + b'A1,"y",2025-04-01,sms,sent\n' * 4,  # to the next quote, in a column unread
        b'A1,,2025-04-01,"sms,sent\n' + b'A1,"y",2025-04-01,sms,sent\n' * 4,  # to the next quote, fields left over
    ],
)
def test_a_quote_that_is_never_closed_swallows_no_rows(folder: Path, rows: bytes) -> None:
    content = b"account_id,note,at,channel,outcome\nA1,,2025-04-01,sms,sent\n" + rows
    with pytest.raises(PortfolioError, match=r"contacts\.csv: a quote is opened and never closed.*data row 2"):
        read_portfolio(contacts(folder, content))


def test_a_quote_left_open_is_found_in_a_column_without_a_name(folder: Path) -> None:
    rows = b'0,A1,2025-04-01,"5,sms,sent\n' + b'0,A1,2025-04-01,"5",sms,sent\n' * 3
    with pytest.raises(PortfolioError, match="a quote is opened and never closed"):
        read_portfolio(contacts(folder, b",account_id,at,,channel,outcome\n" + rows))


def test_a_quote_inside_a_value_is_no_open_quote(folder: Path) -> None:
    content = b'account_id,note,at,channel,outcome\nA1,5" pipe,2025-04-01,sms,sent\n'
    assert len(read_portfolio(contacts(folder, content)).tables["contacts"]) == 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "contacts.csv", "contacts.csv is empty"),
        (b"\n\n", "contacts.csv", "contacts.csv is empty"),
        (HEADER + b"A1,2025-04-01,sms,\xe9\n", "contacts.csv", "contacts.csv cannot be read.*Row #2.*UTF8"),
        ((HEADER + ROW).decode().encode("utf-16"), "contacts.csv", "contacts.csv cannot be read.*header is no UTF-8"),
        (HEADER.replace(b",", b";"), "contacts.csv", "separate columns by commas"),
        (b"account_id,at,channel\n", "contacts.csv", "contacts.csv needs the columns outcome; it has account_id, at"),
        (HEADER.replace(b"outcome", b" at"), "contacts.csv", "a name of its own, got at more than once"),
        (HEADER + ROW, "contacts.csv.gz", "contacts.csv.gz cannot be read"),
        (gzip.compress((HEADER + ROW) * 999)[:-20], "contacts.csv.gz", "contacts.csv.gz cannot be read"),
        (b"", "contacts.csv.gz", "contacts.csv.gz is empty|cannot be read"),
        (b"", "contacts.parquet", "contacts.parquet cannot be read"),
        (HEADER + ROW, "contacts.parquet", "contacts.parquet cannot be read.*write it anew"),
        (HEADER + ROW, "contacts/part.txt", "the parts of a table are files ending in .*got part.txt"),
        (b"", "contacts/_SUCCESS", "has no parts"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(folder: Path, content: bytes, name: str, message: str) -> None:
    with pytest.raises(PortfolioError, match=message):
        read_portfolio(contacts(folder, content, name))


def test_a_damaged_parquet_file_is_an_error_and_no_crash(folder: Path) -> None:
    to_native_parquet(folder / "contacts.csv")
    path = folder / "contacts.parquet"
    whole = path.read_bytes()
    for cut in range(4, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(PortfolioError, match=r"contacts\.parquet cannot be read"):
            read_portfolio(folder)


def test_parquet_text_that_is_no_utf8_is_an_error_and_no_crash(folder: Path) -> None:
    (folder / "contacts.csv").unlink()
    text = pa.array([b"A1", b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table(dict.fromkeys(WANTED["contacts"], text)), folder / "contacts.parquet")
    with pytest.raises(PortfolioError, match=r"contacts\.parquet cannot be read"):
        read_portfolio(folder)


def test_parquet_with_two_columns_of_one_name_is_refused(folder: Path) -> None:
    (folder / "contacts.csv").unlink()
    names = ["account_id", "at", "channel", "outcome", "at"]
    pq.write_table(pa.table([pa.array(["x"])] * 5, names=names), folder / "contacts.parquet")
    with pytest.raises(PortfolioError, match="got at more than once"):
        read_portfolio(folder)


def test_a_table_in_two_forms_is_refused(folder: Path) -> None:
    # Which of them is meant? Taking both would count every contact twice.
    (folder / "contacts").mkdir()
    with pytest.raises(PortfolioError, match=r"got contacts, contacts\.csv"):
        read_portfolio(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.touch()
    for place in (tmp_path / "none", file):
        with pytest.raises(PortfolioError, match="a portfolio is a folder or a database URL"):
            read_portfolio(place)


def test_a_misspelt_table_is_noticed(folder: Path) -> None:
    for name in ("restriction.csv", "Payments.parquet", "notes.txt", ".hidden.csv"):
        (folder / name).touch()
    assert unused_files(folder) == ("Payments.parquet", "restriction.csv")


def test_the_watcher_hears_each_table_before_it_is_read(folder: Path) -> None:
    (folder / "charges.csv").unlink()
    heard: list[str] = []
    read_portfolio(folder, watch=heard.append)
    assert heard == [name for name in TABLES if name != "charges"]
