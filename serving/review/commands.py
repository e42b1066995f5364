"""The verbs of the review: `recoup rollup`, `recoup report`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec

from features import environment
from features.errors import NoPortfolioError, RecoupError, StoreError
from features.progress import bars
from features.settings import PortfolioSettings
from features.units import parse_instant
from serving.languages.language import ENGLISH, LANGUAGES, language_called
from serving.review.exporting import write_report
from serving.review.models import tables_of
from serving.review.pages.columns import features_of
from serving.review.pages.report import report_page
from serving.review.pages.writing import Writing
from serving.review.reading import matured_in_words, missing, reached
from serving.review.rollup import (
    ANY_PAYMENT,
    CONSIDERATE,
    OnStep,
    PaymentOf,
    PaymentTerms,
    roll_up,
)
from serving.review.tables import Table
from serving.store.database import Store, open_store
from serving.store.portfolio import stored_settings

_STORE = click.option(
    "--store", "url", help="The store's URL; RECOUP_STORE, else the SQLite file in the var folder, by default."
)


@click.command()
@_STORE
@click.option("--rebuild", is_flag=True, help="Begin anew, from the first row of the ledger.")
@click.option(
    "--considerate", is_flag=True, help="Take small steps with rests between, for a service on the same store."
)
def rollup(url: str | None, rebuild: bool, considerate: bool) -> None:
    """Bring predicted against actual up to date, as outcomes mature.

    Reads the scores that were given since, looks for what followed of those whose time has come, and sums both up. One
    that was stopped goes on where it was; a second one at the same time does no harm.
    """
    with _opened(url) as (store, settings):
        with _told() as on_step:
            now, find = (
                environment.now(),
                _payment_terms(environment.var_folder() / "serving", environment.tracking_uri()),
            )
            pace = CONSIDERATE if considerate else None
            done = roll_up(store, settings, now, rebuild=rebuild, payment_of=find, on_step=on_step, pace=pace)
        click.echo(
            f"{done.scores:,} scores read, {done.observed:,} new observations, {done.matured:,} outcomes matured, "
            f"{done.months:,} months summed up."
        )
        if done.learned:
            click.echo(
                f"Not counted: {done.learned:,} answers of the ledger are of time that their model had learned from, "
                "and predict nothing."
            )
        lacks = missing(store)
        click.echo(f"Counted: {matured_in_words(store)}." if lacks is None else f"Not there yet: {lacks.what}.")


@click.command()
@click.option("--month", required=True, help="The month, as 2026-10.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder.")
@_STORE
@click.option(
    "--language", type=click.Choice(list(LANGUAGES)), default=ENGLISH.tag, show_default=True,
    help="The language of the page to print; CSV and Excel keep the names of columns.",
)  # fmt: skip
def report(month: str, out: Path, url: str | None, language: str) -> None:
    """Write the tables of the review of a month as CSV and Excel.

    One CSV for each table, one Excel file with all of them, and one page to print. The scores must have been rolled up.
    Versions and promotions of the model are among them where the registry answers.
    """
    number, now = _month(month), environment.now()
    with _opened(url) as (store, settings):
        write = Writing(language_called(language), ZoneInfo(settings.timezone), now)

        def printed(tables: Mapping[str, Table]) -> str:
            return report_page(tables, settings.name, number, write, reached(store), features_of(settings))

        registered = _registered(settings.name, environment.tracking_uri(), now)
        tables = write_report(store, number, out, now, printed, registered)
    for name, table in tables.items():
        if table.missing is not None:
            click.echo(f"{name} is empty: {table.missing.what}.")
    click.echo(f"{len(tables)} tables: {out}")


def _registered(portfolio: str, tracking_uri: str, now: int) -> dict[str, Table]:
    """Versions and promotions of the portfolio's model; none where the registry does not answer, which is said."""
    from training.registered import read_registry
    from training.registry import embedded_file, model_name

    # An MLflow that is away is noticed at once, instead of minutes later.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    try:
        # To ask an embedded store that is not there would make one.
        if (file := embedded_file(tracking_uri)) is not None and not file.is_file():
            raise StoreError(f"there is no registry at {file}")
        found = tables_of(read_registry(model_name(portfolio), tracking_uri), now)
    except RecoupError as error:
        click.echo(f"Note: versions and promotions are left out ({error}).", err=True)
        return {}
    return {f"model_{name}": table for name, table in found.items()}


def _month(text: str) -> int:
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if found is None:
        raise click.BadParameter(f"a month is written like 2026-10, got {text!r}", param_hint="--month")
    return int(found[1]) * 100 + int(found[2])


@contextmanager
def _opened(url: str | None) -> Iterator[tuple[Store, PortfolioSettings]]:
    """A store and the settings of its portfolio.

    Raises:
        NoPortfolioError: it holds none.
    """
    store = open_store(url or environment.store_url())
    try:
        settings = stored_settings(store)
        if settings is None:
            raise NoPortfolioError
        yield store, settings
    finally:
        store.close()


def _payment_terms(folder: Path, tracking_uri: str) -> PaymentOf:
    """Says what a bundle counts as a payment, and until when it learned.

    Any amount, and not known, where neither the service's folder nor the registry has it.
    """

    def find(sha256: str) -> PaymentTerms:
        from training.bundle import MANIFEST, read_bundle
        from training.registry import open_by_digest

        kept, terms = folder / sha256[:16], ANY_PAYMENT
        try:
            is_kept = (kept / MANIFEST).is_file()
            bundle = read_bundle(kept, digest=sha256) if is_kept else open_by_digest(sha256, tracking_uri)
            terms = PaymentTerms(learned_until=parse_instant(bundle.manifest.trained_until))
            payment = msgspec.convert(bundle.manifest.settings["payment"], PaymentTerms)
            return replace(payment, learned_until=terms.learned_until)
        except (RecoupError, KeyError, msgspec.ValidationError) as error:
            lacks = f"what model {sha256[:12]} counts as a payment is not known ({error}): any amount"
            learned = "" if terms.learned_until else "; nor until when it learned: each of its scores is a prediction"
            click.echo(f"Note: {lacks}{learned}.", err=True)
            return terms

    return find


@contextmanager
def _told() -> Iterator[OnStep]:
    """Shows a bar for each thing that is done, while it is done."""
    with bars() as progress:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield tell
