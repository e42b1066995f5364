"""The commands `audit` and `monitor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from serving.drift import Judged

#: Where the output is no terminal, tables have so much room.
_FILE_WIDTH = 160
_SETTINGS = click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where there is none.")
_MODEL = click.option("--model", default="champion", show_default=True, help="An alias or version of a model.")
_OUT = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the whole report as JSON.")


@click.command()
@click.argument("portfolio")
@_MODEL
@click.option("--since", help="The first moment to look at; what the model has not learned from by default.")
@_OUT
@_SETTINGS
def audit(portfolio: str, model: str, since: str | None, out: Path | None, settings: Path | None) -> None:
    """Audit a model for fairness over the audit columns of a portfolio.

    Every figure is of time that the model has not learned from. Audit columns are named in portfolio.toml; they are
    read for this alone, and never reach a model.
    """
    from experiments.watch import showing
    from experiments.watch.auditing import audit_portfolio, unseen_moments
    from experiments.watch.fairness import SMALLEST_GROUP
    from features import environment
    from features.histories import pack
    from features.portfolio import read_portfolio
    from features.progress import bars, line
    from features.units import parse_instant
    from serving.scoring import check_match, prepare_scorer
    from training.registry import open_model

    checked = read_portfolio(portfolio, settings)
    bundle = open_model(model, environment.tracking_uri(), checked.settings.name)
    bundle.require_payments("an audit")
    scorer = prepare_scorer(bundle)
    check_match(scorer, checked.settings)
    histories = pack(checked)
    moments = unseen_moments(histories, scorer.bundle, parse_instant(since) if since else None, environment.now())
    with bars() as progress, line(progress, "Scoring", len(moments)) as advance:
        report = audit_portfolio(checked, histories, scorer, moments, advance)
    console = _console()
    for column in report.columns:
        console.print(showing.audit_table(column))
        for text in showing.flag_lines(column):
            console.print(f"Flag: {text}.")
    console.print(
        f"{report.moments:,} moments from {report.since[:10]} to {report.until[:10]} by {report.model}; * differs from "
        f"all beyond chance (95 % by account); groups of fewer than {SMALLEST_GROUP} accounts are pooled."
    )
    if out is not None:
        showing.write_json(report, out)


@click.command()
@click.argument("portfolio", required=False)
@click.option("--as-of", default="latest", show_default=True, help="The moment; only what was known before it counts.")
@_MODEL
@click.option("--limits", type=click.Path(path_type=Path), help="Limits; see experiments/watch/monitor.toml.")
@click.option("--store", "url", help="Keep the report in this store, whose service shows it.")
@_OUT
@_SETTINGS
def monitor(
    portfolio: str | None, as_of: str, model: str, limits: Path | None, url: str | None, out: Path | None,
    settings: Path | None,
) -> None:  # fmt: skip
    """Watch a model for drift, and hold what it said against what followed.

    PORTFOLIO is a folder, or the URL of a database or of a store; without it, it is the store: that of --store,
    RECOUP_STORE, else the SQLite file in the var folder.

    Ends with 0 when all is within the limits; with 1, and a line that says which were passed, when not. The figures
    are kept in MLflow, where they make curves over time, and in the store, where /review/drift shows them.
    """
    from experiments.watch import showing
    from experiments.watch.drift import judge, metrics
    from experiments.watch.monitoring import monitor_model
    from features import environment
    from features.errors import LimitError
    from features.progress import bars, line
    from serving.commands import open_all
    from serving.drift import Judged, Limits
    from training.settings import read_sections
    from training.tracking import log_monitoring

    allowed = read_sections(Limits, "experiments.watch", "monitor.toml", limits)
    source = portfolio or url or environment.store_url()
    opened = open_all(source, as_of, model, settings)
    opened.scorer.bundle.require_payments("monitoring")
    with bars() as progress, line(progress, "Scoring", len(opened.histories)) as advance:
        report = monitor_model(opened.scorer, opened.histories, opened.as_of, 1, advance)
    found = judge(report, allowed)
    console = _console()
    console.print(showing.shifts_table(report))
    if (table := showing.matured_table(report)) is not None:
        console.print(table)
    for text in (*showing.monitor_lines(report), *(f"Warning: {one.text}." for one in found if one.warns)):
        console.print(text)
    _keep_in_store(source, url, Judged(report, allowed, found), environment.now())
    if out is not None:
        showing.write_json(report, out)
    uri = environment.tracking_uri()
    log_monitoring(metrics(report, found), showing.as_data(report), uri, report.model, opened.as_of)
    passed = [one.text for one in found if not one.warns]
    if passed:
        raise LimitError(f"model {report.model} as of {report.as_of} is beyond its limits: {'; '.join(passed)}")
    console.print(f"Model {report.model} as of {report.as_of} is within its limits.")


def _keep_in_store(source: str, url: str | None, judged: Judged, now: int) -> None:
    """Keep a report in the store that is named, else in the one that was watched; nowhere where it was none."""
    from features.database import is_url
    from serving.store.database import is_store, open_store
    from serving.store.drift import keep_report

    if url is None and not (is_url(source) and is_store(source)):
        return
    store = open_store(url or source)
    try:
        keep_report(store, judged, now)
    finally:
        store.close()


def _console() -> Console:
    """Standard output; where it is no terminal, tables are as wide as they are."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, soft_wrap=True, highlight=False, markup=False)
