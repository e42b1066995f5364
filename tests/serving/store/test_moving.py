"""A portfolio that was loaded is the same when it comes back, and is loaded once however often that is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from features.errors import RecoupError, StoreError
from features.histories import pack
from features.portfolio import read_portfolio
from serving.store import moving, reading
from serving.store.commands import export, load
from serving.store.database import Store
from serving.store.portfolio import keep_settings, stored_settings
from serving.store.reading import Book, read_histories
from tests.features.strategies import assert_same_histories
from tests.serving.small import SETTINGS

NOW = 1_800_000_000_000_000


def silent(what: str, done: int, total: int) -> None:
    """Hear of progress, and say nothing."""


def test_what_was_loaded_comes_back(
    store: Store, portfolio_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_ROWS_AT_ONCE", 500)  # equal rows may come to lie in different pieces
    original = read_portfolio(portfolio_folder)
    loaded = moving.load(store, portfolio_folder, original.settings, NOW, silent)
    assert loaded.added == {name: len(frame) for name, frame in original.tables.items()}
    again = moving.load(store, portfolio_folder, original.settings, NOW, silent)
    assert (again.there, set(again.added.values())) == (loaded.added, {0})
    assert stored_settings(store) == original.settings
    assert_same_histories(Book(store, original.settings).read().histories, pack(original, whole=False))
    moving.export(store, tmp_path / "out", silent)
    back = read_portfolio(tmp_path / "out")
    assert back.rejects.empty
    assert back.settings == original.settings
    assert_same_histories(pack(back), pack(original))
    with pytest.raises(RecoupError, match="is there"):
        moving.export(store, tmp_path / "out", silent)


def test_after_a_load_no_row_is_read_to_score(
    store: Store, portfolio_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = read_portfolio(portfolio_folder)
    # A load is stopped while it packs, and goes on; then the settings change, and it is called again.
    monkeypatch.setattr(reading, "_AT_ONCE", 100)
    with pytest.raises(KeyboardInterrupt):
        moving.load(store, portfolio_folder, original.settings, NOW, stopped_at("Packing accounts", 200))
    heard: list[tuple[str, int, int]] = []
    moving.load(store, portfolio_folder, original.settings, NOW, lambda *step: heard.append(step))
    assert heard[-1] == ("Packing accounts", 100, 100)
    others = replace(original.settings, commission_rate=0.9, timezone="Asia/Shanghai")
    for settings in (original.settings, others):
        moving.load(store, portfolio_folder, settings, NOW, silent)
        with monkeypatch.context() as patched:
            patched.delattr(reading, "select_rows")
            found = Book(store, settings).read().histories
        assert_same_histories(found, pack(replace(original, settings=settings), whole=False))


def stopped_at(what: str, done: int) -> moving.OnStep:
    def on_step(*step: object) -> None:
        if step[:2] == (what, done):
            raise KeyboardInterrupt

    return on_step


def test_equal_rows_of_a_file_are_as_many_in_the_store(
    store: Store, tmp_path: Path, portfolio_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_ROWS_AT_ONCE", 2)
    portfolio = read_portfolio(portfolio_folder)
    one = portfolio.tables["accounts"].iloc[:1]
    account_id = one["account_id"].iloc[0]
    payments = portfolio.tables["payments"].iloc[[0] * 5].assign(account_id=account_id)
    one.to_parquet(tmp_path / "accounts.parquet")
    payments.to_parquet(tmp_path / "payments.parquet")
    portfolio.tables["contacts"].iloc[:0].to_parquet(tmp_path / "contacts.parquet")
    loaded = moving.load(store, tmp_path, portfolio.settings, NOW, silent)
    assert loaded.added["payments"] == 5
    read = read_histories(store, [account_id], portfolio.settings)
    assert len(read.histories.payments.rows) == 5


def test_a_store_holds_one_portfolio(store: Store, portfolio_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no portfolio"):
        moving.export(store, tmp_path / "out", silent)
    keep_settings(store, SETTINGS)
    (tmp_path / "portfolio.toml").write_text('name = "west"\n', "utf-8")
    other = ["--settings", f"{tmp_path}/portfolio.toml"]
    url = store.engine.url.render_as_string()
    called = CliRunner().invoke(load, [str(portfolio_folder), "--store", url, *other])
    assert isinstance(called.exception, StoreError)
    assert "this one holds small, got west" in str(called.exception)


def test_the_commands_say_what_they_did(tmp_path: Path, portfolio_folder: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    called = CliRunner().invoke(load, [str(portfolio_folder), "--store", url], catch_exceptions=False)
    assert called.exit_code == 0
    assert "there before" in called.output
    called = CliRunner().invoke(export, ["--out", f"{tmp_path}/out", "--store", url], catch_exceptions=False)
    assert called.output.startswith("300 accounts, ")
    assert (tmp_path / "out/portfolio.toml").is_file()
