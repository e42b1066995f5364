"""The verbs of this room: `recoup check`, `recoup features`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import click
import pandas as pd
from rich.console import Console
from rich.table import Table

from features import environment
from features.as_of import LATEST, read_moment
from features.checking import REJECT_COLUMNS
from features.contract import SETTINGS_FILE, TABLES
from features.database import is_url
from features.describing import catalogue_in_words
from features.errors import PortfolioError
from features.files import replacing
from features.portfolio import Portfolio, read_portfolio
from features.reading import unused_files
from features.settings import PortfolioSettings, read_settings
from features.units import format_instant

#: Where the output is no terminal, lines are wide enough for every reason.
_FILE_WIDTH = 160


_SETTINGS = click.option(
    "--settings",
    "settings_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings; portfolio.toml in the folder by default.",
)


@click.command("check")
@click.argument("portfolio")
@click.option(
    "--rejects",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the rows set aside to this folder, one CSV for each table.",
)
@_SETTINGS
def check(portfolio: str, rejects: Path | None, settings_path: Path | None) -> None:
    """Check a portfolio against the data contract.

    PORTFOLIO is a folder, or the URL of a SQLite or PostgreSQL database (?schema=NAME names its schema). The
    rows of every table that are kept and set aside are counted, by column and reason. The exit code is 0 when
    the portfolio can be used, even if rows are set aside.
    """
    with Console(stderr=True).status("Reading") as status:
        checked = read_portfolio(portfolio, settings_path, lambda table: status.update(f"Reading {table}"))
    if rejects is not None:
        _refuse_other_files(rejects)
        write_rejects(checked.rejects, rejects)
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, markup=False, highlight=False)
    console.print(_rows_table(checked))
    if len(checked.rejects):
        console.print(_reasons_table(checked.rejects))
    if not is_url(portfolio):
        _print_unused(console, Path(portfolio))
    console.print(_verdict(checked, rejects))


@click.command("features")
@click.argument("portfolio", required=False)
@click.option("--as-of", default=LATEST, show_default=True, help="The moment, ISO 8601, or latest: after the last row.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The Parquet file to write.")
@click.option("--describe", is_flag=True, help="Print the feature dictionary instead, of PORTFOLIO or in general.")
@_SETTINGS
def features(portfolio: str | None, as_of: str, out: Path | None, describe: bool, settings_path: Path | None) -> None:
    """Write the feature table of a portfolio as of a moment.

    One row for each live account, one column for each feature; categories as text.
    """
    if describe:
        click.echo(catalogue_in_words(_settings(portfolio, settings_path)), nl=False)
    elif portfolio is None or out is None:
        raise click.UsageError("a feature table needs PORTFOLIO and --out FILE; --describe alone prints the dictionary")
    else:
        write_features(portfolio, as_of, out, settings_path)


def write_features(portfolio: str, as_of: str, out: Path, settings_path: Path | None) -> None:
    """Compute the feature table of a portfolio and write it as Parquet."""
    from features.histories import pack
    from features.table import feature_table

    with Console(stderr=True).status("Reading") as status:
        checked = read_portfolio(portfolio, settings_path, lambda table: status.update(f"Reading {table}"))
        status.update("Packing histories")
        histories = pack(checked)
        moment = read_moment(as_of, histories.last_known, environment.now())
        status.update("Computing features")
        table = feature_table(histories, moment)
        with replacing(out) as temporary:
            table.to_parquet(temporary, index=False)
    click.echo(f"{len(table):,} live accounts, {table.shape[1] - 2} features as of {format_instant(moment)}: {out}")


def _settings(portfolio: str | None, settings_path: Path | None) -> PortfolioSettings:
    """The settings that are named, else those in the portfolio's folder, else the defaults."""
    path = settings_path
    if path is None and portfolio is not None and not is_url(portfolio):
        path = Path(portfolio) / SETTINGS_FILE
        if not Path(portfolio).is_dir():
            raise PortfolioError(f"a portfolio is a folder or the URL of a database, {portfolio} is neither")
    return read_settings(path, "portfolio") if path is not None and path.exists() else PortfolioSettings("portfolio")


def _rows_table(portfolio: Portfolio) -> Table:
    shown = Table("table", title=f"Portfolio {portfolio.settings.name}", title_justify="left")
    for heading in ("read", "kept", "set aside"):
        shown.add_column(heading, justify="right")
    set_aside = portfolio.rejects["table"].value_counts()
    for name, frame in portfolio.tables.items():
        n_bad = int(set_aside.get(name, 0))
        shown.add_row(name, f"{len(frame) + n_bad:,}", f"{len(frame):,}", f"{n_bad:,}")
    return shown


def _reasons_table(rejects: pd.DataFrame) -> Table:
    shown = Table("table", "column", "reason", title="Set aside", title_justify="left")
    shown.add_column("rows", justify="right")
    shown.add_column("first in")
    alike = rejects.fillna({"column": ""}).groupby(["table", "column", "reason"], sort=False)
    for _, rows in alike:
        first = rows.iloc[0]
        place = f"{first['file']}, row {first['row']}"
        shown.add_row(first["table"], first["column"], first["reason"], f"{len(rows):,}", place)
    return shown


def _print_unused(console: Console, folder: Path) -> None:
    unused = unused_files(folder)
    if unused:
        console.print(f"Not read, since no table is called so: {', '.join(unused)}.")


def _verdict(portfolio: Portfolio, rejects: Path | None) -> str:
    n_accounts, n_bad = len(portfolio.tables["accounts"]), len(portfolio.rejects)
    if not n_bad:
        return f"Usable: {n_accounts:,} accounts, nothing set aside."
    where = f"see {rejects}" if rejects else "--rejects DIR writes them out"
    return f"Usable: {n_accounts:,} accounts; {n_bad:,} rows are set aside, {where}."


def write_rejects(rejects: pd.DataFrame, folder: Path) -> None:
    """Write the rejects of each table to `folder/TABLE.csv`; where it has none, an older file is emptied."""
    for name in TABLES:
        path, rows = folder / f"{name}.csv", rejects[rejects["table"] == name]
        if len(rows) or path.exists():
            with replacing(path) as temporary:
                rows.to_csv(temporary, index=False)


def _refuse_other_files(folder: Path) -> None:
    """Refuse a folder where a file of the same name is something else: the portfolio's own table, say."""
    for path in (folder / f"{name}.csv" for name in TABLES):
        if path.exists():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                header = next(csv.reader(file), [])
            if tuple(header) != REJECT_COLUMNS:
                raise PortfolioError(f"{path} is there and holds no rejects; choose another folder for the rejects")
