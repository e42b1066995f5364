"""The verbs of this room: `recoup check`, `recoup features`."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from features.partitions.steps import discard, steps
from features.portfolio import Portfolio, raw_tables, read_portfolio, source_settings
from features.progress import bars, line, wide_console
from features.reading import folder_bytes, unused_files
from features.settings import PortfolioSettings, read_settings
from features.units import NULL_TIME, format_instant

if TYPE_CHECKING:
    from features.writing import Written

_EXIT_INTERRUPTED = 130
_MEGABYTE = 1_000_000
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|TB)", re.IGNORECASE)
#: The libraries alone take most of that.
_LEAST_MEMORY = 500 * _MEGABYTE


class _Memory(click.ParamType[int]):
    """An amount of memory, like 4GB, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _MEMORY.fullmatch(str(value).strip())
        if not found:
            self.fail(f"memory is a number with its unit, like 4GB or 800MB, got {value!r}", param, ctx)
        n_bytes = int(float(found[1]) * {"MB": 1, "GB": 1_000, "TB": 1_000_000}[found[2].upper()] * _MEGABYTE)
        if n_bytes < _LEAST_MEMORY:
            self.fail(f"memory is at least 500MB, got {value}; give more", param, ctx)
        return n_bytes


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
        write_rejects(checked.rejects, rejects)
    console = wide_console()
    console.print(_rows_table(checked))
    if len(checked.rejects):
        console.print(reasons_table(checked.rejects))
    if not is_url(portfolio):
        _print_unused(console, Path(portfolio))
    console.print(_verdict(checked, rejects))


@click.command("features")
@click.argument("portfolio", required=False)
@click.option("--as-of", default=LATEST, show_default=True, help="The moment, ISO 8601, or latest: after the last row.")
@click.option("--out", type=click.Path(path_type=Path), help="What to write: a file F.parquet, or a folder of parts.")
@click.option(
    "--memory",
    type=_Memory(),
    default="4GB",
    show_default=True,
    help="About how much memory to use, at least 500MB. A folder that takes more is worked off in partitions.",
)
@click.option("--describe", is_flag=True, help="Print the feature dictionary instead, of PORTFOLIO or in general.")
@_SETTINGS
def features(
    portfolio: str | None, as_of: str, out: Path | None, memory: int, describe: bool, settings_path: Path | None
) -> None:
    """Write the feature table of a portfolio as of a moment.

    One row for each live account, in the order of account_id, and one column for each feature; categories as text.

    A folder that does not fit in memory is split by account, on disk beside the output. Such a run can be stopped at
    any time: the same command goes on from there, unless the portfolio or an option has changed. A database is read
    into memory whole.
    """
    if describe:
        click.echo(catalogue_in_words(_settings(portfolio, settings_path)), nl=False)
    elif portfolio is None or out is None:
        raise click.UsageError("a feature table needs PORTFOLIO and --out FILE; --describe alone prints the dictionary")
    else:
        write_features(portfolio, as_of, out, memory, settings_path)


def write_features(portfolio: str, as_of: str, out: Path, memory: int, settings_path: Path | None) -> None:
    """Compute the feature table of a portfolio and write it as Parquet, in memory or by partitions."""
    from features.partitions.split import data_bytes, expected_bytes
    from features.writing import check_out, work_folder

    check_out(out)
    if as_of != LATEST:
        read_moment(as_of, NULL_TIME, environment.now())  # refused now, rather than when all is read
    if is_url(portfolio) or expected_bytes(Path(portfolio)) <= data_bytes(memory):
        written = _write_whole(portfolio, as_of, out, settings_path)
        discard(work_folder(out))
    else:
        written = _write_partitions(Path(portfolio), as_of, out, memory, settings_path)
    shown = f"{written.n_accounts:,} live accounts, {written.n_features} features"
    click.echo(f"{shown} as of {format_instant(written.as_of)}: {out}")


def _write_whole(portfolio: str, as_of: str, out: Path, settings_path: Path | None) -> Written:
    from features.histories import pack
    from features.writing import write_whole

    with Console(stderr=True).status("Reading") as status:
        checked = read_portfolio(portfolio, settings_path, lambda table: status.update(f"Reading {table}"))
        status.update("Packing histories")
        histories = pack(checked)
        moment = read_moment(as_of, histories.last_known, environment.now())
        status.update("Computing features")
        return write_whole(histories, moment, out)


def _write_partitions(folder: Path, as_of: str, out: Path, memory: int, settings_path: Path | None) -> Written:
    from features.partitions.split import data_bytes, expected_bytes, n_buckets, split
    from features.writing import work_folder, work_key, write_partitions

    settings = source_settings(folder, settings_path)
    n_bytes = data_bytes(memory)
    work = work_folder(out)
    try:
        with bars() as progress, steps(work, work_key(folder, settings, as_of, memory)) as of_work:
            if of_work.resumed or of_work.renewed:
                done = "Going on from" if of_work.resumed else "Something has changed: starting anew, without"
                click.echo(f"{done} the work in {work}", err=True)
            with line(progress, "Reading, MB", folder_bytes(folder) // _MEGABYTE) as advance:
                raw = raw_tables(folder, settings, count=lambda n_read: advance(n_read / _MEGABYTE))
                partitions = split(raw, settings, of_work, n_buckets(expected_bytes(folder), n_bytes), n_bytes)
            return write_partitions(partitions, of_work, as_of, environment.now(), out, progress)
    except KeyboardInterrupt:
        click.echo(f"recoup: interrupted; the same command goes on from the work in {work}", err=True)
        raise click.exceptions.Exit(_EXIT_INTERRUPTED) from None


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


def reasons_table(rejects: pd.DataFrame) -> Table:
    """What was set aside, counted by table, column and reason, with the first row of each."""
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


def write_rejects(rejects: pd.DataFrame, folder: Path, tables: Collection[str] = TABLES) -> None:
    """Write the rejects of each table to `folder/TABLE.csv`; where it has none, an older file is emptied.

    Raises:
        PortfolioError: a file of that name is something else: the portfolio's own table, say.
    """
    for path in (folder / f"{name}.csv" for name in tables):
        _refuse_other_file(path)
    for name in tables:
        path, rows = folder / f"{name}.csv", rejects[rejects["table"] == name]
        if len(rows) or path.exists():
            with replacing(path) as temporary:
                rows.to_csv(temporary, index=False)


def _refuse_other_file(path: Path) -> None:
    if path.exists():
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
        if tuple(header) != REJECT_COLUMNS:
            raise PortfolioError(f"{path} is there and holds no rejects; choose another folder for the rejects")
