"""Reading a database: the same portfolio as from files, bad values as rejects, and nothing made or told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.errors import PortfolioError
from features.portfolio import data_digest, read_portfolio
from tests.features import plain


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A portfolio in which everything is right, in a SQLite file."""
    path = tmp_path / "east.db"
    with closing(sqlite3.connect(path)) as connection:
        for name, frame in plain.frames().items():
            frame.to_sql(name, connection, index=False)
    return path


def execute(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def test_a_database_gives_the_same_portfolio_as_files(database: Path, tmp_path: Path) -> None:
    read = read_portfolio(f"sqlite:///{database}")
    of_files = read_portfolio(plain.write(tmp_path / "folder"))
    assert not len(read.rejects)
    assert read.settings.name == "east"
    for name, table in of_files.tables.items():
        pd.testing.assert_frame_equal(read.tables[name], table)
    assert data_digest(read) == data_digest(of_files)


def test_native_values_and_views_are_read(database: Path) -> None:
    execute(database, "DROP TABLE payments")
    execute(database, "CREATE VIEW payments AS SELECT 'A1' AS account_id, '2025-04-10' AS at, 50 AS amount")
    execute(database, "UPDATE accounts SET balance = 7, timezone = NULL, commission_rate = 1")
    read = read_portfolio(f"sqlite:///{database}")
    assert list(read.tables["payments"]["amount"]) == [50.0]
    assert list(read.tables["accounts"]["balance"]) == [7.0, 7.0]


def test_what_a_database_holds_beside_its_types_is_set_aside(database: Path) -> None:
    # SQLite keeps whatever it is given, in any column.
    bad = [1712000000, 2.5, "yesterday", b"\xff", "", None]
    for value in bad:
        execute(database, "INSERT INTO payments (account_id, at, amount) VALUES ('A1', ?, 1)", value)
    rejects = read_portfolio(f"sqlite:///{database}").rejects
    assert list(rejects["row"]) == [3, 4, 5, 6, 7, 8]
    assert list(rejects["value"].fillna("")) == ["1712000000", "2.5", "yesterday", "\\xff", "", ""]
    assert set(rejects["column"]) == {"at"}


def test_rows_are_numbered_across_batches(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = [("A1", "2025-04-10", "x" if place % 40_000 == 0 else "1") for place in range(3, 120_001)]
        connection.executemany("INSERT INTO payments (account_id, at, amount) VALUES (?, ?, ?)", rows)
    read = read_portfolio(f"sqlite:///{database}")
    assert list(read.rejects["row"]) == [40_000, 80_000, 120_000]
    assert len(read.tables["payments"]) == 120_000 - 3


def test_a_schema_is_named_in_the_url(database: Path) -> None:
    assert len(read_portfolio(f"sqlite:///{database}?schema=main").tables["accounts"]) == 2
    with pytest.raises(PortfolioError, match="got none"):
        read_portfolio(f"sqlite:///{database}?schema=temp")


def test_settings_come_from_their_own_file(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('name = "north"\n[attributes]\ncategorical = ["colour"]\n', encoding="utf-8")
    with pytest.raises(PortfolioError, match="accounts needs the columns colour, as declared"):
        read_portfolio(f"sqlite:///{database}", path)
    execute(database, "ALTER TABLE accounts ADD COLUMN colour TEXT DEFAULT 'red'")
    read = read_portfolio(f"sqlite:///{database}", path)
    assert read.settings.name == "north"
    assert list(read.tables["accounts"]["colour"]) == ["red", "red"]


def test_an_empty_table_is_empty_and_a_missing_one_is_named(database: Path) -> None:
    execute(database, "DELETE FROM contacts")
    assert len(read_portfolio(f"sqlite:///{database}").tables["contacts"]) == 0
    execute(database, "DROP TABLE contacts")
    with pytest.raises(PortfolioError, match="add contacts"):
        read_portfolio(f"sqlite:///{database}")


def test_reading_makes_no_database(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(PortfolioError, match="there is no database file"):
        read_portfolio(f"sqlite:///{path}")
    assert not path.exists()


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("account_id,at\n" * 100, encoding="utf-8")
    with pytest.raises(PortfolioError, match=r"cannot be read.*not a database"):
        read_portfolio(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user:secret@host/db", "read from sqlite:// or postgresql://, got mysql://"),
        ("sqlite://", "there is no database file"),
        ("://user:secret@host", "cannot be understood"),
        ("sqlite:///x.db?schema=a&schema=b", "names one schema"),
        ("postgresql://user:secret@127.0.0.1:1/db?connect_timeout=2", "cannot be read"),
    ],
)
def test_a_url_that_does_not_do_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(PortfolioError, match=message) as caught:
        read_portfolio(url)
    assert "secret" not in str(caught.value)
