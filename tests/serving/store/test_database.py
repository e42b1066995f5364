"""Stores open, wait for each other, and keep what was committed and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import alembic.autogenerate
import pytest
import sqlalchemy as sql
from alembic.migration import MigrationContext

import serving.store
from features.errors import StoreError
from serving.store import database
from serving.store.database import Store, open_store
from serving.store.schema import metadata


def _with_table(folder: Path) -> Store:
    store = open_store(f"sqlite:///{folder}/new/store.db", migrate=False)
    with store.writing() as connection:
        connection.execute(sql.text("CREATE TABLE counted (n INTEGER)"))
    return store


def _counted(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(sql.text("SELECT count(*) FROM counted")).scalar_one())


def test_what_ends_in_an_error_is_undone(tmp_path: Path) -> None:
    store = _with_table(tmp_path)

    def fail() -> None:
        with store.writing() as connection:
            connection.execute(sql.text("INSERT INTO counted VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _counted(store) == 0
    store.close()


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    store = _with_table(tmp_path)

    def add() -> None:
        for _ in range(25):
            with store.writing() as connection:
                n = connection.execute(sql.text("SELECT count(*) FROM counted")).scalar_one()
                connection.execute(sql.text("INSERT INTO counted VALUES (:n)"), {"n": n})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as connection:
        assert [row[0] for row in connection.execute(sql.text("SELECT n FROM counted ORDER BY n"))] == [*range(100)]
    store.close()


def test_who_waits_in_vain_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.02)
    store = _with_table(tmp_path)
    with store.writing(), pytest.raises(StoreError, match="locked"), store.writing():
        pass
    assert _counted(store) == 0
    store.close()


@pytest.mark.parametrize("url", ["mysql://host/x", "no address", "store.db"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="a store is sqlite:///"):
        open_store(url)


def test_a_postgresql_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database._POSTGRESQL, "connect_timeout", 2)  # libpq's least
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"postgresql://recoup@127.0.0.1:{silent.getsockname()[1]}/any", migrate=False)
        with pytest.raises(StoreError, match="timeout"), store.reading():
            pass
        store.close()


def test_who_gets_no_connection_in_time_is_told_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _with_table(tmp_path)
    monkeypatch.setattr(store.engine.pool, "_timeout", 0.01)
    with ExitStack() as held:
        for _ in range(store.engine.pool.size() + store.engine.pool._max_overflow):  # type: ignore[attr-defined]
            held.enter_context(store.reading())
        with pytest.raises(StoreError), store.reading():
            pass
    assert _counted(store) == 0
    store.close()


def test_an_error_does_not_show_what_was_written(tmp_path: Path) -> None:
    store = _with_table(tmp_path)
    with pytest.raises(StoreError) as caught, store.writing() as connection:
        connection.execute(sql.text("INSERT INTO nowhere VALUES (:name)"), {"name": "Smith"})
    assert "Smith" not in str(caught.value)
    store.close()


def test_migrations_make_the_tables_of_today(store: Store) -> None:
    for module in pkgutil.iter_modules(serving.store.__path__, "serving.store."):
        importlib.import_module(module.name)
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert alembic.autogenerate.compare_metadata(context, metadata) == []
