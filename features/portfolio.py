"""A portfolio, read from a folder, a database or frames: settings, valid tables, and what was set aside.

>>> from features.settings import PortfolioSettings
>>> accounts = pd.DataFrame({"account_id": ["A1"], "opened_at": ["2026-01-05"], "due_on": ["2026-02-05"],
...                          "balance": [120.0], "segment": ["card"]})
>>> payments = pd.DataFrame({"account_id": ["A1", "A2"], "at": ["2026-03-01", "2026-03-02"],
...                          "amount": [20.0, 5.0]})
>>> frames = {"accounts": accounts, "contacts": pd.DataFrame(), "payments": payments}
>>> portfolio = portfolio_from_frames(frames, PortfolioSettings("east"))
>>> len(portfolio.tables["payments"]), list(portfolio.rejects["reason"])
(1, ['is not in accounts'])
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.checking import check_tables
from features.contract import SETTINGS_FILE, TABLES
from features.database import address_without_password, database_name, is_url, read_database
from features.raw import RawTables, raw_from_frames
from features.reading import Watch, WatchBytes, read_folder, uncounted, unwatched
from features.settings import PortfolioSettings, read_settings, table_columns


@dataclass(frozen=True, eq=False)
class Portfolio:
    """A checked portfolio.

    `tables` holds every table of the contract, empty where it was not given, with the contract's columns and,
    in accounts, the declared attributes. Text and ids are `str` with NaN for null, times are
    `datetime64[us, UTC]`, amounts and rates float64 in the main unit, flags bool. Rows keep the order in
    which they were read.
    `rejects` has one row for each row set aside: table, file, row (from 1), column, value, reason.
    """

    settings: PortfolioSettings
    tables: Mapping[str, pd.DataFrame]
    rejects: pd.DataFrame


def read_portfolio(source: str | Path, settings_path: Path | None = None, watch: Watch = unwatched) -> Portfolio:
    """Read and check a portfolio.

    Args:
        source: a folder, or the URL of a SQLite or PostgreSQL database; `?schema=NAME` names its schema.
        settings_path: the settings; without it, `portfolio.toml` in the folder, or the defaults.
        watch: is called with the name of each table before it is read.

    Raises:
        PortfolioError: the portfolio, or one of its tables, cannot be used at all.
        SettingsError: a setting is unknown or outside its range.
    """
    settings = source_settings(source, settings_path)
    return Portfolio(settings, *check_tables(raw_tables(source, settings, watch), settings))


def source_settings(source: str | Path, settings_path: Path | None = None) -> PortfolioSettings:
    """The settings of a portfolio: those named, else `portfolio.toml` in its folder, else the defaults.

    Raises:
        SettingsError: a setting is unknown or outside its range.
    """
    of_database = is_url(str(source))
    folder = Path(source)
    if settings_path is None and not of_database and (folder / SETTINGS_FILE).exists():
        settings_path = folder / SETTINGS_FILE
    name = database_name(str(source)) if of_database else folder.resolve().name or "portfolio"
    return PortfolioSettings(name) if settings_path is None else read_settings(settings_path, name)


def raw_tables(
    source: str | Path, settings: PortfolioSettings, watch: Watch = unwatched, count: WatchBytes = uncounted
) -> RawTables:
    """The tables of a portfolio as they lie: those of a folder are read while their pieces are taken.

    Args:
        source: a folder, or the URL of a database.
        settings: name the attributes that are read.
        watch: is called with the name of each table before it is read.
        count: is called with the number of bytes that were read of the files of a folder.

    Raises:
        PortfolioError: a table cannot be read.
    """
    wanted = wanted_columns(settings)
    if is_url(str(source)):
        return read_database(str(source), wanted, watch)
    return read_folder(Path(source), wanted, watch, count)


def portfolio_from_frames(frames: Mapping[str, pd.DataFrame], settings: PortfolioSettings) -> Portfolio:
    """Check frames of native values (times as timestamps or ISO 8601 text) as a portfolio is checked.

    A frame's index says nothing: a row's number in the rejects is its place. A frame with neither rows nor
    columns stands for an empty table.

    Raises:
        PortfolioError: a required table or column is missing, or nothing of a table can be used.
    """
    raw = raw_from_frames(frames, wanted_columns(settings))
    return Portfolio(settings, *check_tables(raw, settings))


def without_audit(portfolio: Portfolio) -> Portfolio:
    """The portfolio without its audit columns, as models may know it: no digest or key shows them either."""
    accounts = portfolio.tables["accounts"].drop(columns=list(portfolio.settings.audit))
    tables = {**portfolio.tables, "accounts": accounts}
    return replace(portfolio, settings=portfolio.settings.without_audit, tables=tables)


def portfolio_source(source: str) -> str:
    """Where a portfolio is, seen from anywhere: the path of its folder, or its address without a password."""
    return address_without_password(source) if is_url(source) else str(Path(source).resolve())


def wanted_columns(settings: PortfolioSettings) -> dict[str, tuple[str, ...]]:
    """The columns of each table that are read; all others are ignored."""
    return {name: tuple(column.name for column in table_columns(table, settings)) for name, table in TABLES.items()}


def data_digest(portfolio: Portfolio) -> str:
    """A sha256, in hex, of the valid rows: the same whatever their order and wherever they were read from."""
    digest = hashlib.sha256()
    for name, frame in portfolio.tables.items():
        rows = pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64)
        total = int(rows.sum(dtype=np.uint64))  # addition modulo 2**64 forgets the order
        digest.update(f"{name}:{','.join(frame.columns)}:{len(frame)}:{total}\n".encode())
    return digest.hexdigest()
