"""A portfolio as a whole: its settings, its digest, and a real one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.contract import TABLES
from features.errors import SettingsError
from features.portfolio import data_digest, portfolio_from_frames, read_portfolio, wanted_columns
from features.settings import PortfolioSettings
from tests.features import plain


def test_settings_come_from_the_folder_unless_given(tmp_path: Path) -> None:
    folder = plain.write(tmp_path / "cards-east")
    assert read_portfolio(str(folder)).settings == PortfolioSettings("cards-east")
    (folder / "portfolio.toml").write_text("horizon_days = 14", encoding="utf-8")
    assert read_portfolio(folder).settings == PortfolioSettings("cards-east", horizon_days=14)
    other = tmp_path / "other.toml"
    other.write_text("horizon_days = 7", encoding="utf-8")
    assert read_portfolio(folder, other).settings.horizon_days == 7
    with pytest.raises(SettingsError, match="cannot be read"):
        read_portfolio(folder, tmp_path / "none.toml")


def test_a_portfolio_is_named_after_its_folder_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plain.write(tmp_path / "cards-east"))
    assert read_portfolio(".").settings.name == "cards-east"


def test_every_table_is_there_even_if_it_was_not_given() -> None:
    frames = {name: frame for name, frame in plain.frames().items() if TABLES[name].required}
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert tuple(portfolio.tables) == tuple(TABLES)
    for name, columns in wanted_columns(plain.SETTINGS).items():
        assert tuple(portfolio.tables[name].columns) == columns


def test_a_portfolio_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.checked().settings = PortfolioSettings("other")  # type: ignore[misc]


def test_the_digest_forgets_the_order_of_rows_and_where_they_came_from(tmp_path: Path) -> None:
    portfolio = plain.checked()
    turned = portfolio_from_frames({name: frame.iloc[::-1] for name, frame in plain.frames().items()}, plain.SETTINGS)
    digest = data_digest(portfolio)
    assert digest == data_digest(turned) == data_digest(read_portfolio(plain.write(tmp_path / "folder")))
    assert len(digest) == 64


@pytest.mark.parametrize("name", TABLES)
def test_the_digest_changes_with_any_cell(name: str) -> None:
    before = data_digest(plain.checked())
    for column in TABLES[name].columns:
        portfolio = plain.checked()
        cells = portfolio.tables[name][column.name]
        other: Any = {"bool": False, "float64": 0.125}.get(str(cells.dtype), "x")
        if "datetime64" in str(cells.dtype):
            other = pd.Timestamp("2031-01-01", tz="UTC")
        portfolio.tables[name].loc[0, column.name] = other
        assert data_digest(portfolio) != before, column.name


def test_the_digest_counts_rows_that_are_alike() -> None:
    tables = plain.rows()
    once = data_digest(plain.checked(tables))
    tables["charges"].append(tables["charges"][0])
    assert data_digest(plain.checked(tables)) != once


@pytest.mark.real_data
def test_the_road_fines_are_a_portfolio_without_a_bad_row(real_data: Path) -> None:
    portfolio = read_portfolio(real_data / "road_fines")
    assert not len(portfolio.rejects)
    counts = {name: len(table) for name, table in portfolio.tables.items() if len(table)}
    assert counts == {
        "accounts": 29_178,
        "contacts": 60_339,
        "payments": 9_884,
        "charges": 29_173,
        "restrictions": 23_185,
    }
    assert portfolio.settings.horizon_days == 180
    accounts = portfolio.tables["accounts"]
    assert accounts["account_id"].is_unique
    assert (accounts["due_on"] - accounts["placed_at"]).eq(pd.Timedelta(days=60)).all()
    assert np.isfinite(accounts["points"]).all()
    assert accounts["article"].notna().all()


@pytest.mark.real_data
def test_every_row_of_the_road_fines_is_in_the_files(real_data: Path) -> None:
    portfolio = read_portfolio(real_data / "road_fines")
    for name, table in portfolio.tables.items():
        if len(table):
            text = pd.read_csv(real_data / "road_fines" / f"{name}.csv.gz", dtype=str, keep_default_na=False)
            assert list(table["account_id"]) == list(text["account_id"])
            time = "opened_at" if name == "accounts" else "at"
            assert list(table[time].dt.strftime("%Y-%m-%d")) == list(text[time])
