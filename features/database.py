"""A portfolio in a database, SQLite or PostgreSQL: its tables read as they lie, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features.errors import PortfolioError
from features.raw import RawPart, cells_of, check_names
from features.reading import Watch

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_BATCH_ROWS = 50_000
#: The SQLAlchemy driver of every kind of database address that is understood.
DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def is_url(source: str) -> bool:
    """Whether a portfolio's source is the URL of a database rather than a folder."""
    return "://" in source


def database_name(source: str) -> str:
    """What a portfolio in a database is called unless its settings name it: its schema, or the database."""
    url, schema = _parse(source)
    return schema or Path(url.database or "").stem or "portfolio"


def address_without_password(source: str) -> str:
    """The address of a database, as it may be written down."""
    import sqlalchemy as sql

    return sql.make_url(source).set(password=None).render_as_string()


def read_database(source: str, wanted: Mapping[str, Sequence[str]], watch: Watch) -> dict[str, tuple[RawPart, ...]]:
    """Read the tables that a database has; `wanted` names the columns of each, `watch` hears each name.

    Rows are numbered in the order in which the database gave them.

    Raises:
        PortfolioError: the URL is not one of SQLite or PostgreSQL, or the database cannot be read.
    """
    import sqlalchemy as sql

    url, schema = _parse(source)
    _check_sqlite_file(url)
    with _as_portfolio_error(url):
        engine = sql.create_engine(url, poolclass=sql.NullPool)
        with engine.connect() as connection:
            _begin_snapshot(connection)
            inspector = sql.inspect(connection)
            tables = {}
            for name, columns in wanted.items():
                if inspector.has_table(name, schema):
                    watch(name)
                    tables[name] = tuple(_read_table(connection, name, schema, columns))
            return tables


def _parse(source: str) -> tuple[URL, str | None]:
    """The URL without our own `schema`, and the schema."""
    import sqlalchemy as sql

    try:
        url = sql.make_url(source)
    except (sql.exc.ArgumentError, ValueError):
        raise PortfolioError("the database URL cannot be understood; write it like sqlite:///folder/file.db") from None
    if url.drivername not in DRIVERS:
        raise PortfolioError(f"a portfolio is read from sqlite:// or postgresql://, got {url.drivername}://")
    schema = url.query.get("schema")
    if isinstance(schema, tuple):
        raise PortfolioError(f"a database URL names one schema, got {', '.join(schema)}")
    return url.set(drivername=DRIVERS[url.drivername]).difference_update_query(["schema"]), schema


def _check_sqlite_file(url: URL) -> None:
    """Refuse a file that is not there: SQLite would make an empty one."""
    file = url.database
    if url.drivername == "sqlite" and not (file and (file.startswith("file:") or Path(file).is_file())):
        raise PortfolioError(f"there is no database file {file or '(none named)'}; write sqlite:///folder/file.db")


def _begin_snapshot(connection: Connection) -> None:
    """Let all tables be read as they were at one moment, while others may be writing."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # Values come as text (see `_cell`), which is to be the same whatever the server is set to.
        for setting in ("datestyle = ISO", "timezone = 'UTC'", "extra_float_digits = 1"):
            connection.exec_driver_sql(f"SET LOCAL {setting}")
    else:
        connection.exec_driver_sql("BEGIN")


def _read_table(connection: Connection, name: str, schema: str | None, wanted: Sequence[str]) -> Iterator[RawPart]:
    import sqlalchemy as sql

    table = sql.table(name, schema=schema)
    names = tuple(connection.execute(sql.select(sql.text("*")).select_from(table).limit(0)).keys())
    check_names(name, names)
    taken = [column for column in names if column in wanted] or list(names)
    query: Any = sql.select(*(_cell(connection, column) for column in taken)).select_from(table)
    result = connection.execution_options(stream_results=True, yield_per=_BATCH_ROWS).execute(query)
    n_read = 0
    for rows in result.partitions(_BATCH_ROWS):
        columns = zip(taken, zip(*rows, strict=True), strict=True)
        cells = pa.table({column: cells_of(values) for column, values in columns})
        yield RawPart(name, names, cells, np.arange(n_read + 1, n_read + len(cells) + 1))
        n_read += len(cells)
    if not n_read:
        yield RawPart(name, names, pa.table({}), np.arange(0))


def _cell(connection: Connection, name: str) -> Any:
    """A column without a type, so that a bad value is a reject and no exception of the driver.

    SQLite gives what is stored. PostgreSQL is asked for text, since an infinite date would stop the driver.
    """
    import sqlalchemy as sql

    column: Any = sql.column(name)
    return sql.cast(column, sql.Text).label(name) if connection.dialect.name == "postgresql" else column


@contextmanager
def _as_portfolio_error(url: URL) -> Iterator[None]:
    import sqlalchemy as sql

    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except ModuleNotFoundError:
        raise PortfolioError(f"{shown} needs a driver; install it with: pip install 'recoup[postgresql]'") from None
    except (sql.exc.SQLAlchemyError, UnicodeDecodeError) as error:
        first_line = str(error).partition("\n")[0][:200]
        raise PortfolioError(f"{shown} cannot be read ({first_line})") from error
