"""A store by its URL: connections, transactions that wait for their turn, and migrations.

SQLite is in WAL mode: readers never wait, writers wait for each other, and what was committed is on the disk.
PostgreSQL needs nothing of the kind.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from features.database import DRIVERS
from features.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
#: How long a writer waits for another before it gives up, in seconds.
WAIT_SECONDS: float = 30
#: How long it waits before it looks again whether a file of SQLite is free, in seconds. SQLite's own waits grow to a
#: tenth of a second, in which others write many times.
_LOOK_SECONDS = 0.001
#: Rows of many accounts touch many pages: those are cached, and the log is copied into the file once for many commits.
_PRAGMAS = (
    *("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 16384"),
    *("foreign_keys = ON", "mmap_size = 268435456", "cache_size = -65536"),
)
#: A PostgreSQL that cannot be reached, or whose machine says nothing any more, is given up after seconds (the second
#: figure is in milliseconds) instead of minutes; what the URL says of these goes before.
_POSTGRESQL = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_WHAT_A_STORE_IS = "a store is sqlite:///folder/file.db or postgresql://user@host/database"


@dataclass(frozen=True)
class Store:
    """A store that is open: shared by all threads of a process, never between processes."""

    engine: sql.Engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite, with one writer at a time."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """A transaction that sees the store as it is at one moment."""
        with _as_store_error(self.engine), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """A transaction that writes: durable when the block has ended, undone when it ends in an error."""
        with _as_store_error(self.engine), self.engine.connect() as connection:
            if self.is_sqlite:
                _begin_writing(connection.connection.driver_connection)
            yield connection
            connection.commit()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_store(url: str, migrate: bool = True) -> Store:
    """Open a store, and bring its tables up to date.

    Args:
        url: `sqlite:///folder/file.db`, made where it is not there, or `postgresql://user@host/database`.
        migrate: whether tables may be made and changed; a worker finds them as the service's start left them.

    Raises:
        StoreError: the URL is of another database, it cannot be reached, or its tables are those of a later version.
    """
    engine = _engine(url)
    if migrate:
        upgrade(engine)
    return Store(engine)


def is_store(url: str) -> bool:
    """Whether a URL is that of a store: of a database with our own tables, whatever else is there.

    Raises:
        StoreError: the database cannot be reached.
    """
    try:
        parsed = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        return False
    is_file = parsed.drivername == "sqlite"
    if parsed.drivername not in DRIVERS or "schema" in parsed.query:
        return False
    if is_file and not (parsed.database and Path(parsed.database).is_file()):
        return False
    engine = sql.create_engine(parsed) if is_file else _engine(url)
    try:
        with _as_store_error(engine), engine.connect() as connection:
            has = sql.inspect(connection).has_table
            return all(map(has, ("alembic_version", "arrivals", "portfolio")))
    finally:
        engine.dispose()


def absolute_url(url: str) -> str:
    """The URL of a store with a file's whole path, for processes that run in another folder.

    Raises:
        StoreError: it is no URL.
    """
    try:
        parsed = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise StoreError(_WHAT_A_STORE_IS) from None
    if parsed.drivername == "sqlite" and parsed.database:
        parsed = parsed.set(database=str(Path(parsed.database).resolve()))
    return parsed.render_as_string(hide_password=False)


def upgrade(engine: sql.Engine) -> None:
    """Make or change the tables to what this version needs; one process at a time, the others wait."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _as_store_error(engine), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7326001)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _engine(url: str) -> sql.Engine:
    try:
        parsed = sql.make_url(url)
        driver = DRIVERS[parsed.drivername]
    except (sql.exc.ArgumentError, ValueError, KeyError):
        raise StoreError(_WHAT_A_STORE_IS) from None
    if driver != "sqlite":
        usual = {name: value for name, value in _POSTGRESQL.items() if name not in parsed.query}
        return sql.create_engine(parsed.set(drivername=driver), pool_pre_ping=True, connect_args=usual)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sql.create_engine(parsed, connect_args={"timeout": WAIT_SECONDS}, pool_size=8)
    sql.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Our own transactions instead of the driver's; a commit is on the disk when it returns."""
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_writing(driver: Any) -> None:
    """Begin a transaction of SQLite's that writes from the start: a reader that turned writer would fail at once."""
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        for _ in range(round(WAIT_SECONDS / _LOOK_SECONDS)):
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                # The low byte of a code is what it is a kind of.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            time.sleep(_LOOK_SECONDS)
        driver.execute("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout = {round(WAIT_SECONDS * 1000)}")


@contextmanager
def _as_store_error(engine: sql.Engine) -> Iterator[None]:
    try:
        yield
    except (sql.exc.DBAPIError, sql.exc.TimeoutError, engine.dialect.loaded_dbapi.Error) as error:
        # The statement and its values stay out of the message: they may be personal.
        first_line = str(getattr(error, "orig", error)).partition("\n")[0][:200]
        where = engine.url.render_as_string(hide_password=True)
        raise StoreError(f"the store {where} did not do what it was asked ({first_line})") from error
