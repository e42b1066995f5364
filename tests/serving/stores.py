"""Stores for tests, copied from ones that are made once: migrations and a portfolio take longer than most tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import sqlalchemy as sql

from features.contract import TABLES
from features.raw import raw_from_frames
from features.settings import table_columns
from serving.store.database import Store, open_store
from serving.store.events import take_in
from tests.serving.small import AS_OF, SETTINGS, random_frames


def fill(store: Store) -> None:
    """Bring the small portfolio into a store."""
    wanted = {name: [column.name for column in table_columns(table, SETTINGS)] for name, table in TABLES.items()}
    assert not len(take_in(store, raw_from_frames(random_frames(), wanted), SETTINGS, AS_OF).rejects)


def opened(url: str) -> Iterator[Store]:
    """A store with its tables, open for as long as a fixture lasts."""
    with closing(open_store(url, migrate=False)) as store:
        yield store


@dataclass(frozen=True)
class Stores:
    """New stores in either database, with the tables of this version: empty, or filled with the small portfolio.

    `server` gives the URL of a PostgreSQL's first database; it is asked where one is needed.
    """

    folder: Path
    server: Callable[[], str]
    _numbers: count[int] = field(default_factory=count)

    def new(self, database: str, path: Path, filled: bool = False) -> str:
        """The URL of a new store, in a file of `sqlite` or in `postgresql`."""
        return self.sqlite(path, filled) if database == "sqlite" else self.postgresql(filled)

    def sqlite(self, path: Path, filled: bool = False) -> str:
        """The URL of a new store in a file."""
        shutil.copyfile(self._filled_file if filled else self._empty_file, path)
        return f"sqlite:///{path}"

    def postgresql(self, filled: bool = False) -> str:
        """The URL of a new store in a database of its own."""
        return self._database(self._filled_database if filled else self._empty_database)

    @cached_property
    def _empty_file(self) -> Path:
        path = self.folder / "empty.db"
        open_store(f"sqlite:///{path}").close()
        return path

    @cached_property
    def _filled_file(self) -> Path:
        with closing(open_store(self.sqlite(self.folder / "filled.db"), migrate=False)) as store:
            fill(store)
        return self.folder / "filled.db"

    @cached_property
    def _empty_database(self) -> str:
        url = self._database("template1")
        open_store(url).close()
        return _name(url)

    @cached_property
    def _filled_database(self) -> str:
        url = self.postgresql()
        with closing(open_store(url, migrate=False)) as store:
            fill(store)
        return _name(url)

    def _database(self, template: str) -> str:
        server, name = sql.make_url(self.server()), f"test_{next(self._numbers)}"
        engine = sql.create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with closing(engine.connect()) as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        engine.dispose()
        return server.set(database=name).render_as_string()


def _name(url: str) -> str:
    return str(sql.make_url(url).database)
