"""The verbs of the store: `recoup load`, `recoup export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from features import environment
from features.commands import reasons_table, write_rejects
from features.portfolio import source_settings
from features.progress import wide_console
from serving.store.database import open_store
from serving.store.moving import OnStep

_STORE = click.option(
    "--store",
    "store_url",
    envvar="RECOUP_STORE",
    help="The store, sqlite:///folder/file.db or postgresql://user@host/database; var/store.db by default.",
)


@click.command("load")
@click.argument("portfolio")
@_STORE
@click.option(
    "--rejects",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the rows set aside to this folder, one CSV for each table.",
)
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings; portfolio.toml in the folder by default.",
)
def load(portfolio: str, store_url: str | None, rejects: Path | None, settings_path: Path | None) -> None:
    """Load a portfolio into the store.

    PORTFOLIO is a folder, or the URL of a SQLite or PostgreSQL database. What is there already is not added again, so
    a load that was stopped goes on when it is called again.
    """
    from serving.store.moving import load as load_portfolio

    settings = source_settings(portfolio, settings_path)
    store = open_store(store_url or _default_store())
    try:
        with Console(stderr=True).status("Reading") as status:
            loaded = load_portfolio(store, portfolio, settings, environment.now(), _telling(status.update))
    finally:
        store.close()
    if rejects is not None:
        write_rejects(loaded.rejects, rejects)
    console, shown = wide_console(), Table("table", title=f"Portfolio {settings.name}", title_justify="left")
    for heading in ("added", "there before", "set aside"):
        shown.add_column(heading, justify="right")
    set_aside = loaded.rejects["table"].value_counts()
    for name, n_added in loaded.added.items():
        shown.add_row(name, f"{n_added:,}", f"{loaded.there[name]:,}", f"{int(set_aside.get(name, 0)):,}")
    console.print(shown)
    if len(loaded.rejects):
        console.print(reasons_table(loaded.rejects))


@click.command("export")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder, which must not be there yet.")
@_STORE
def export(out: Path, store_url: str | None) -> None:
    """Write what the store holds as a portfolio."""
    from serving.store.moving import export as export_portfolio

    store = open_store(store_url or _default_store())
    try:
        with Console(stderr=True).status("Reading") as status:
            counts = export_portfolio(store, out, _telling(status.update))
    finally:
        store.close()
    click.echo(f"{counts['accounts']:,} accounts, {sum(counts.values()) - counts['accounts']:,} events: {out}")


def _default_store() -> str:
    return f"sqlite:///{environment.var_folder().resolve()}/store.db"


def _telling(update: Callable[[str], None]) -> OnStep:
    return lambda what, done, total: update(f"{what}, {done:,} of {total:,}" if total else what)
