"""The verbs of training: `recoup train`, `recoup recalibrate`, `recoup model`."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
import pandas as pd
from rich.console import Console
from rich.table import Table

from features import environment
from features.catalog import catalogue
from features.commands import reasons_table, write_rejects
from features.errors import MomentError
from features.histories import Histories, pack
from features.portfolio import Portfolio, data_digest, portfolio_source, read_portfolio, without_audit
from features.progress import bars
from features.settings import PortfolioSettings
from features.units import DAY, format_instant, parse_instant
from training.bundle import LABEL, PAYMENT, Bundle, named
from training.card import holdout_lines
from training.labels import LABELS, Labels, label_cuts, pack_labels, read_labels, train_on_labels, with_labels
from training.leaks import warnings_of
from training.moments import Cuts, cut_time
from training.promotions import Author
from training.registry import find_trained, open_card, open_model, other_source
from training.settings import TrainingSettings, read_training_settings, settings_of_model
from training.train import Task, Trained


@dataclass(frozen=True)
class Kept:
    """What the registry keeps beside a version: what decided it, where its portfolio was read from, and by whom."""

    key: str
    source: str
    by: str


@click.command()
@click.argument("portfolio")
@click.option("--config", type=click.Path(path_type=Path), help="Training settings; see training/default.toml.")
@click.option("--until", help="Learn only what was known before this time, and evaluate on later time.")
@click.option(
    "--horizon", type=click.IntRange(min=1), help="Days until a payment no longer counts, or a label is decided."
)
@click.option("--labels", type=click.Path(path_type=Path), help="Learn these account_id, as_of, label: CSV or Parquet.")
@click.option("--rejects", type=click.Path(path_type=Path), help="Write the labels set aside to labels.csv in there.")
@click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where the portfolio has none.")
@click.option("--reuse", is_flag=True, help="Train nothing where an equal run has been registered.")
@click.option("--brief", is_flag=True, help="Leave out the figures on unseen time.")
@click.option("--by", help="Who makes it the first champion, for the record; this machine's user by default.")
def train(  # noqa: PLR0913, PLR0917 an argument for each option
    portfolio: str,
    config: Path | None,
    until: str | None,
    horizon: int | None,
    labels: Path | None,
    rejects: Path | None,
    settings: Path | None,
    reuse: bool,
    brief: bool,
    by: str | None,
) -> str:
    """Train a model on a portfolio, evaluate it on later time, and register it.

    With --labels the target is the user's own in place of payments; --horizon then says after how many days a label
    is decided. Rows that are not as they should be are set aside, and counted by reason.
    """
    if labels is not None and horizon is None:
        raise click.UsageError("--labels needs --horizon: the days after as_of within which a label is decided")
    console, tracking_uri = _console(), environment.tracking_uri()
    training = read_training_settings(config)
    checked = without_audit(read_portfolio(portfolio, settings))
    decided_by = environment.now() - (horizon or 0) * DAY
    target = None if labels is None else _read_labels(labels, checked, decided_by, rejects, console)
    task = Task(
        horizon_days=horizon or checked.settings.horizon_days,
        until=moment_of(until),
        now=environment.now(),
        data_digest=data_digest(checked if target is None else with_labels(checked, target)),
        commit=commit_of_code(),
        target=PAYMENT if target is None else LABEL,
    )
    histories = pack(checked)
    packed = None if target is None else pack_labels(target, histories)
    key = training_key(checked.settings, training, task, _cuts(histories, packed, task))
    name = named(checked.settings.name, task.target)
    by = by or environment.user()
    if reuse and (found := find_trained(tracking_uri, name, key, Author(by, environment.now()))):
        bundle = open_model(found, tracking_uri)
        console.print(f"Model [bold]{found}[/bold] was trained on the same data with the same settings; it is reused.")
    else:
        source = portfolio_source(portfolio)
        _warn_of_other_source(name, source, tracking_uri)
        bundle = _train(histories, packed, training, task, tracking_uri, Kept(key, source, by), console)
    if not brief:
        _print_holdout(bundle, console)
    _warn_of_suspects(bundle)
    return bundle.label


@click.command()
@click.argument("portfolio")
@click.option("--model", "reference", default="champion", show_default=True, help="Which model; as in `recoup model`.")
@click.option("--until", help="Learn only what was known before this time, and evaluate on later time.")
@click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where the portfolio has none.")
def recalibrate(portfolio: str, reference: str, until: str | None, settings: Path | None) -> str:
    """Bring a model's levels up to date with outcomes that have matured since, and register it."""
    from training.recalibrate import recalibrate as run
    from training.tracking import log_training

    console, tracking_uri = _console(), environment.tracking_uri()
    checked = without_audit(read_portfolio(portfolio, settings))
    bundle = open_model(reference, tracking_uri, checked.settings.name)
    task = Task(
        bundle.manifest.horizon_days, moment_of(until), environment.now(), data_digest(checked), commit_of_code()
    )
    with bars() as progress:
        progress.add_task("Levels since training", total=None)
        trained = run(bundle, pack(checked), task, read_training_settings().threads)
        author = Author(environment.user(), environment.now())
        key = f"recalibrated from {bundle.digest}"
        kept = log_training(trained, tracking_uri, key, portfolio_source(portfolio), author)
    console.print(
        f"Levels of [bold]{bundle.label}[/bold] brought up to {kept.manifest.levels_until[:10]}; registered as "
        f"[bold]{kept.label}[/bold]."
    )
    _print_holdout(kept, console)
    return kept.label


@click.command()
@click.argument("reference", default="champion")
@click.option("--card", is_flag=True, help="Print its model card, as Markdown.")
def model(reference: str, card: bool) -> None:
    """Show what a registered model is and what it reached on unseen time.

    REFERENCE is NAME/3, NAME@champion, or champion where the registry holds a single model.
    """
    console = _console()
    if card:
        click.echo(open_card(reference, environment.tracking_uri()), nl=False)
        return
    bundle = open_model(reference, environment.tracking_uri())
    manifest = bundle.manifest
    console.print(
        f"Model [bold]{bundle.label}[/bold]: {manifest.target} within {manifest.horizon_days} days, "
        f"{len(manifest.features)} features, learned from what was known before {manifest.trained_until[:10]}."
    )
    _print_holdout(bundle, console)
    console.print("Its model card, with its limits: [bold]recoup model --card[/bold].")
    _warn_of_suspects(bundle)


def _cuts(histories: Histories, labels: Labels | None, task: Task) -> Cuts:
    """Where the history, or the labels, will be divided."""
    if labels is None:
        return cut_time(histories, task.horizon_days, task.until, task.now)
    return label_cuts(labels, task.horizon_days, task.until)


def training_key(portfolio: PortfolioSettings, training: TrainingSettings, task: Task, cuts: Cuts) -> str:
    """What decides a bundle: equal keys, equal bundles.

    The cuts are part of it as they came out: rows that are recorded later than the present move them as time goes by,
    although the data are the same.
    """
    parts = (
        task.data_digest,
        msgspec.json.encode(portfolio, order="deterministic"),
        msgspec.json.encode(settings_of_model(training), order="deterministic"),
        task.horizon_days,
        cuts,
        version("recoup"),
        task.commit,
        [(feature.name, feature.sentence) for feature in catalogue(portfolio)],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _read_labels(
    path: Path, portfolio: Portfolio, decided_by: int, folder: Path | None, console: Console
) -> pd.DataFrame:
    """Read the labels, and say what was set aside."""
    found, rejects = read_labels(path, portfolio.tables["accounts"], decided_by)
    if folder is not None:
        write_rejects(rejects, folder, [LABELS.name])
    if len(rejects):
        console.print(reasons_table(rejects))
        where = "--rejects DIR writes them out" if folder is None else f"see {folder}"
        console.print(f"Labels: {len(found):,} are kept, {len(rejects):,} rows are set aside, {where}.")
    return found


def _train(
    histories: Histories, labels: Labels | None, training: TrainingSettings, task: Task, tracking_uri: str,
    kept: Kept, console: Console,
) -> Bundle:  # fmt: skip
    from training.tracking import log_training
    from training.train import train as run

    with bars() as progress:
        if labels is None:
            trained = run(histories, training, task, progress)
        else:
            trained = train_on_labels(histories, labels, training, task, progress)
        progress.add_task("Keeping the run in MLflow", total=None)
        bundle = log_training(trained, tracking_uri, kept.key, kept.source, Author(kept.by, environment.now()))
    _print_training(trained, bundle, console)
    return bundle


def _print_training(trained: Trained, bundle: Bundle, console: Console) -> None:
    if bundle.manifest.target == LABEL:
        _print_labels(trained, console)
    else:
        _print_moments(trained, bundle, console)
    console.print(f"Registered as [bold]{bundle.label}[/bold].")


def _print_labels(trained: Trained, console: Console) -> None:
    counts = trained.counts
    console.print(
        f"Learned from {counts['training_moments']:,} labels, evaluated on {counts['test_moments']:,}; "
        f"{counts['undecided_labels']:,} within a horizon before the cut are not used: {trained.cuts.text}."
    )
    if not_live := counts["training_moments_not_live"]:
        console.print(f"{not_live:,} of those learned from are of accounts not live at the moment; they count.")
    console.print(
        "Labels say nothing of money or channels: expected amounts are empty, and scores are ordered by probability."
    )


def _print_moments(trained: Trained, bundle: Bundle, console: Console) -> None:
    console.print(
        f"Learned from {trained.counts['training_moments']:,} moments ({trained.counts['stride_days']} days apart): "
        f"{trained.cuts.text}."
    )
    supported = bundle.manifest.supported
    if supported:
        console.print(f"Effects can be told of: {', '.join(supported)}.")
        if not bundle.manifest.decisions_logged:
            console.print(
                "They were learned from contacts, as no decisions were logged: what made a collector choose, beyond "
                "what the data hold, may be taken for what the choice did. Log decisions to be sure."
            )
    else:
        console.print(
            "This history cannot tell the effect of any channel (too few logged decisions with paying accounts): "
            f"scores fall back on the usual channel, {bundle.manifest.usual_channel}."
        )


def _warn_of_suspects(bundle: Bundle) -> None:
    """Say which features may know the future: the figures would otherwise be believed."""
    for text in warnings_of(bundle.manifest.suspects):
        click.echo(f"Warning: {text}", err=True)


def _print_holdout(bundle: Bundle, console: Console) -> None:
    found = bundle.manifest.holdout
    if not found:
        console.print("No outcome after the cut has matured: there is nothing to evaluate the model on.")
        return
    table = Table(title=f"On unseen time from {bundle.manifest.trained_until[:10]}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, text in holdout_lines(found, bundle.manifest.target):
        table.add_row(name, text)
    console.print(table)


def _warn_of_other_source(name: str, source: str, tracking_uri: str) -> None:
    """Two folders of one name would share a model: likely where nobody chose the name."""
    before = other_source(tracking_uri, name, source)
    if before is not None and name in (Path(source).name, Path(before).name):
        click.echo(
            f"Warning: the model {name} was last trained from {before}, now from {source}; if these are different "
            f"portfolios, give each a name of its own in its portfolio.toml.",
            err=True,
        )


def _console() -> Console:
    """Standard output, with lines as long as they are."""
    return Console(soft_wrap=True, highlight=False)


def moment_of(until: str | None) -> int | None:
    """The cut that was asked for, as an instant.

    Raises:
        MomentError: it lies in the future.
    """
    if until is None:
        return None
    moment = parse_instant(until)
    if moment > environment.now():
        raise MomentError(f"--until is a time in the past, got {format_instant(moment)}; give the time to learn up to")
    return moment


def commit_of_code() -> str:
    """Say the commit of the code, where it runs from a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
