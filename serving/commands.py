"""The verbs of this room: `recoup score`, `recoup queue`, `recoup serve`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pandas as pd
from rich.console import Console

from features import environment
from features.as_of import LATEST, read_moment
from features.database import is_url
from features.errors import NoPortfolioError
from features.histories import Histories, overview_of, pack
from features.portfolio import Portfolio, read_portfolio
from features.progress import bars, line, wide_console
from features.settings import PortfolioSettings, read_settings
from features.units import DAY, NULL_TIME, Rows, format_instant
from serving import queue as queueing
from serving import queue_settings, starting, tables
from serving import upkeep as upkeeping
from serving.capacities import parse_capacities, resolve_capacities
from serving.exploration import check_exploration
from serving.guard import settings as guard_settings
from serving.guard.checks import checks_of_start, run_checks
from serving.guard.options import GuardOptions, guard_options
from serving.guard.settings import write_settings
from serving.ladder.policy import ladder_of
from serving.languages.language import ENGLISH, LANGUAGES, Language, language_called, translatable
from serving.models.engines import UNNAMED, ready
from serving.models.pointer import POINTER
from serving.models.seen import SEEN, Notes, pages_url
from serving.models.watcher import Followed, Watcher
from serving.queue_settings import QueueSettings, queue_options, write_queue_settings
from serving.reasons import explain
from serving.scoring import Scorer, check_match, prepare_scorer, require_live, rows_of
from serving.scoring import score as score_accounts
from serving.store.database import absolute_url, is_store, open_store
from serving.store.portfolio import stored_settings
from serving.store.reading import Book
from serving.upkeep_commands import UpkeepOptions, upkeep_options
from serving.what_if import parse_what_if, scenarios_of
from training.registry import alias_in, open_model

#: A moment so many days after the last known row is worth a word: scores see nothing newer than that row.
_STALE_DAYS = 7
#: How long the workers may take to start before a person should hear of it.
_START_SECONDS = 180
#: Where the output is no terminal, lines are wide enough for the reasons.
_FILE_WIDTH = 200
_SETTINGS = click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings; portfolio.toml in the folder by default.",
)
_AS_OF = click.option(
    "--as-of",
    default=LATEST,
    show_default=True,
    help="The moment, ISO 8601; latest is the start of the first UTC day after the last known row.",
)
_MODEL = click.option(
    "--model",
    default="champion",
    show_default=True,
    help="An alias or version, with the model's name before it where it is not the portfolio's, or a bundle's folder.",
)
_THREADS = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads to predict with."
)
_LANGUAGE = click.option(
    "--language", type=click.Choice(list(LANGUAGES)), default=ENGLISH.tag, show_default=True,
    help="The language of what is told of accounts.",
)  # fmt: skip
_TOP = click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Rows to print.")


@dataclass(frozen=True)
class Opened:
    """A portfolio and a model that fit each other, and the moment to score as of."""

    histories: Histories
    scorer: Scorer
    as_of: int


@click.command()
@click.argument("portfolio")
@_AS_OF
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file, .parquet or .csv."
)
@_MODEL
@click.option("--reasons", is_flag=True, help="Give every row its reasons, which cost far more than the score.")
@_LANGUAGE
@_SETTINGS
@_THREADS
@_TOP
def score(  # noqa: PLR0913, PLR0917 an argument for each option
    portfolio: str, as_of: str, out: Path, model: str, reasons: bool, language: str, settings: Path | None,
    threads: int, top: int,
) -> None:  # fmt: skip
    """Score every live account of a portfolio.

    PORTFOLIO is a folder, or the URL of a SQLite or PostgreSQL database, or of a store.
    """
    tables.check_suffix(out)
    opened = open_all(portfolio, as_of, model, settings)
    scores = score_all(opened, threads)
    if reasons:
        rows = rows_of(opened.histories, scores["account_id"])
        scores["reasons"] = pd.Series(explain_all(opened, rows, threads, language_called(language)), dtype=object)
    tables.write_table(scores, out)
    console = wide_console(_FILE_WIDTH)
    if top:
        console.print(tables.scores_table(scores, top))
    console.print(f"{len(scores):,} accounts as of {format_instant(opened.as_of)} by {_label(opened)}: {out}")


@click.command()
@click.argument("portfolio")
@_AS_OF
@click.option(
    "--capacity",
    "capacity",
    multiple=True,
    metavar="NAME=N",
    help="What there is a day of a channel, or of a capacity that portfolio.toml names; can be repeated.",
)
@click.option(
    "--what-if",
    "what_if",
    multiple=True,
    metavar="NAME=N[,NAME=N ...]",
    help="Tell what other capacities, rules=PACK for all accounts or cost.CHANNEL=N would bring, the rest as planned; "
    "can be repeated.",
)
@click.option("--ladder", metavar="NAME", help="The channel ladder: a name, the path of a .toml file, or none.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file, .csv or .parquet."
)
@click.option(
    "--held", type=click.Path(dir_okay=False, path_type=Path), help="Write the accounts held back to this file."
)
@_MODEL
@click.option(
    "--explain", "n_explained", type=click.IntRange(min=0), default=1000, show_default=True,
    help="Rows of the head that carry reasons.",
)  # fmt: skip
@_LANGUAGE
@_SETTINGS
@_THREADS
@_TOP
def queue(  # noqa: PLR0913, PLR0917 an argument for each option
    portfolio: str, as_of: str, capacity: tuple[str, ...], what_if: tuple[str, ...], ladder: str | None, out: Path,
    held: Path | None, model: str, n_explained: int, language: str, settings: Path | None, threads: int, top: int,
) -> None:  # fmt: skip
    """Write the work queue of a portfolio.

    PORTFOLIO is a folder, or the URL of a SQLite or PostgreSQL database, or of a store.

    What working the accounts adds is as large as the capacities and the contact rules let it be, and they come in
    the order of it, less what their place would add elsewhere; those held back are set apart. Every row says what
    the history says, why it has its channel and not the next best, and what would change that. Capacities and a
    ladder that are not given are those of portfolio.toml; a channel without a capacity is not worked.
    """
    for path in (out, held):
        if path is not None:
            tables.check_suffix(path)
    stated, asked = parse_capacities(capacity), [parse_what_if(text) for text in what_if]
    opened = open_all(portfolio, as_of, model, settings)
    spoken = language_called(language)
    capacities = resolve_capacities(stated, opened.histories.settings, spoken)
    others = scenarios_of(capacities, asked, opened.histories.settings)
    rungs = ladder_of(ladder, opened.histories.settings)
    scores = score_all(opened, threads)
    built = queueing.build_queue(
        opened.scorer, scores, opened.histories, opened.as_of, capacities.limits, alternatives=others, ladder=rungs,
        language=spoken,
    )  # fmt: skip
    head = rows_of(opened.histories, built.rows["account_id"].head(n_explained))
    built = queueing.with_reasons(built, explain_all(opened, head, threads, spoken))
    tables.write_table(built.rows, out)
    if held is not None:
        tables.write_table(built.held, held)
    console = wide_console(_FILE_WIDTH)
    if top:
        console.print(tables.queue_table(built, top))
    for text in (*tables.queue_summary(built, capacities, opened.as_of), *tables.prices_text(built)):
        console.print(text)
    if others:
        console.print(tables.what_if_table(built.what_if, what_if))
    for note in (*capacities.notes, *built.notes, *_note_of_reasons(len(built.rows), n_explained, spoken)):
        console.print(spoken.say("Note: {note}.", note=note))
    console.print(f"The queue by {_label(opened)}: {out}" + (f"; held back: {held}" if held else ""))


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="The port to listen on.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on; by default this machine's own."
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that answer requests."
)
@click.option(
    "--model", default="champion", show_default=True,
    help="An alias, which is followed, or a version, with the model's name before it where there are several, or a "
    "bundle's folder.",
)  # fmt: skip
@click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A portfolio.toml; the one of training by default.",
)
@click.option(
    "--poll", type=click.FloatRange(min=0.1), default=2.0, show_default=True,
    help="Seconds between two looks at what an alias means.",
)  # fmt: skip
@click.option(
    "--mlflow-url", help="Where people find MLflow, for links to its runs; the tracking server's own URL by default."
)
@upkeep_options
@queue_options
@guard_options
def serve(  # noqa: PLR0913, PLR0917 an argument for each option
    port: int, host: str, workers: int, model: str, settings: Path | None, poll: float, mlflow_url: str | None,
    guard: GuardOptions, queues: QueueSettings, upkeep: UpkeepOptions,
) -> None:  # fmt: skip
    """Serve scores and queues over HTTP.

    The service listens on this machine alone unless told otherwise, and there it asks for a key once one was made;
    elsewhere it does not start without. Another version that becomes champion is served within seconds, without a
    pause. Ctrl-C stops it once the requests under way are answered.
    """
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    address = starting.address_of(host)
    folder = environment.var_folder().resolve() / "serving"
    store_url = absolute_url(guard.store or environment.store_url())
    run_checks(checks_of_start(guard, address, port, folder, store_url, environment.now()), console.print)
    with console.status("Opening the model"):
        pointer, links = folder / str(port) / POINTER, pages_url(mlflow_url, environment.tracking_uri())
        watcher, label, portfolio = _put_into_service(model, settings, pointer, links, console.print)
    console.print(f"  model  {label}, as its manifest says")
    if queues.exploration is not None:
        check_exploration(queues.exploration, portfolio)
    ladder_of(None, portfolio)
    os.environ |= {
        "RECOUP_WORKERS": str(workers),
        queue_settings.VARIABLE: write_queue_settings(queues),
        "RECOUP_STORE": store_url,
        guard_settings.VARIABLE: write_settings(
            guard.settings(address, folder / f"rates-{port}", folder / "sessions.key")
        ),
    }
    if settings is not None:
        os.environ["RECOUP_SETTINGS"] = str(settings.resolve())
    # Its working files belong to this service alone: a second one would clear them.
    os.environ.setdefault("BENTOML_HOME", str(folder / f"bentoml-{port}"))
    os.environ.setdefault("BENTOML_QUIET", "true")
    url = starting.url_of(address, port, tls=guard.tls_certificate is not None)
    about = (console, url, label, workers, guard.tls_certificate)
    stop = threading.Event()
    threading.Thread(target=_announce, args=about, daemon=True).start()
    if watcher is not None:
        threading.Thread(target=watcher.run, args=(stop, poll), daemon=True).start()
    kept_up = _keep_up(upkeep, _as_watched(model, label), pointer, watcher is not None, console.print, stop)
    try:
        _run_service(address, port, guard.tls_files())
    finally:
        stop.set()
        if kept_up is not None:
            kept_up.join()
    console.print("Stopped.")


def _keep_up(
    upkeep: UpkeepOptions, model: str, pointer: Path, is_followed: bool, say: Callable[[str], None],
    stop: threading.Event,
) -> threading.Thread | None:  # fmt: skip
    """Start the upkeep beside the service, and again where it ends before `stop`; what to wait for after that."""
    if upkeep.is_never():
        return None
    followed = ("--pointer", str(pointer)) if is_followed else ()
    written = ("--report", str(pointer.with_name("monitor.json")))
    arguments = ("--model", model, *written, *followed, *upkeep.arguments())
    thread = threading.Thread(target=upkeeping.keep_running, args=(arguments, say, stop), daemon=True)
    thread.start()
    return thread


def _as_watched(model: str, label: str) -> str:
    """The model in service as `recoup monitor` finds it: by its alias, which is followed, by its version or folder."""
    alias = alias_in(model)
    if alias is not None:
        return f"{label.rpartition('/')[0]}@{alias[1]}"
    return str(Path(model).resolve()) if Path(model).is_dir() else label


def _put_into_service(
    model: str, settings: Path | None, pointer: Path, mlflow_url: str, say: Callable[[str], None]
) -> tuple[Watcher | None, str, PortfolioSettings]:
    """Lay down the model for the workers; returns what follows its alias, where it is one, its label and settings."""
    # An MLflow that is away is noticed at once, instead of minutes later.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    current = None if settings is None else read_settings(settings, UNNAMED)
    folder, alias = pointer.parents[1], alias_in(model)
    if alias is None:
        bundle = open_model(model, environment.tracking_uri())
        engine = ready(bundle, current)
        os.environ |= {"RECOUP_BUNDLE": str(starting.keep_bundle(bundle, folder)), "RECOUP_LABEL": bundle.label}
        return None, bundle.label, engine.settings
    os.environ["RECOUP_MODELS"] = str(pointer)
    tracking_uri = environment.tracking_uri()
    notes = Notes(tracking_uri, pointer.with_name(SEEN), environment.now, mlflow_url)
    watcher = Watcher(Followed(tracking_uri, *alias, current), folder, pointer, say, notes.look)
    champion = watcher.start().champion
    return watcher, champion.label, watcher.settings


def _run_service(address: str, port: int, tls_files: tuple[str | None, str | None]) -> None:
    """Run BentoML's supervisor until it is told to stop."""
    import bentoml

    # The folder that holds this package: BentoML puts it first on the path of every worker.
    root = str(Path(__file__).resolve().parents[1])
    certificate, key = tls_files
    bentoml.serve(
        "serving.service:Recoup", host=address, port=port, working_dir=root, blocking=True, ssl_certfile=certificate,
        ssl_keyfile=key,
    )  # fmt: skip


def _announce(console: Console, url: str, label: str, workers: int, certificate: Path | None) -> None:
    console.print(f"Starting {workers} worker{'s' if workers > 1 else ''} with model {label} ...")
    if starting.wait_until_ready(url, _START_SECONDS, certificate):
        console.print(f"Serving model {label} on {url}/v1; Ctrl-C stops.")
    else:
        console.print(f"Warning: nothing is ready on {url} after {_START_SECONDS} seconds; see the messages above.")


def open_all(portfolio: str, as_of: str, model: str, settings: Path | None) -> Opened:
    """Read the portfolio and the model, and settle the moment; says on stderr what a person should know."""
    read_moment(as_of, NULL_TIME, environment.now())  # refused now, rather than when all is read
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.status("Reading") as status:
        if is_url(portfolio) and is_store(portfolio):
            read: Histories | Portfolio = _stored(portfolio, settings)
        else:
            read = read_portfolio(portfolio, settings, lambda table: status.update(f"Reading {table}"))
        status.update("Opening the model")
        scorer = prepare_scorer(open_model(model, environment.tracking_uri(), read.settings.name))
        check_match(scorer, read.settings)
        status.update("Packing histories")
        histories = pack(read) if isinstance(read, Portfolio) else read
    if isinstance(read, Portfolio):
        _tell_of_rejects(read, console)
    moment = read_moment(as_of, histories.last_known, environment.now())
    require_live(histories, moment)
    days = (moment - histories.last_known) // DAY
    if days > _STALE_DAYS:
        last = format_instant(histories.last_known)
        console.print(
            f"Warning: the last row became known at {last}, {days:,} days before as_of: nothing newer is seen."
        )
    return Opened(histories, scorer, moment)


def _stored(url: str, settings: Path | None) -> Histories:
    """All histories of a store, as packing its portfolio gives them.

    Raises:
        NoPortfolioError: it holds none.
        StoreError: it cannot be read.
    """
    store = open_store(url)
    try:
        held = stored_settings(store)
        if held is None:
            raise NoPortfolioError
        book = Book(store, held if settings is None else read_settings(settings, held.name))
        histories = book.read().histories
        return replace(histories, overview=overview_of(histories))
    finally:
        store.close()


def _tell_of_rejects(checked: Portfolio, console: Console) -> None:
    unguarded = int((checked.rejects["table"] == "restrictions").sum())
    if unguarded:
        console.print(f"Warning: {unguarded:,} rows of restrictions are set aside: who they protect may be contacted.")
    if len(checked.rejects):
        console.print(f"{len(checked.rejects):,} bad rows are left out; `recoup check` lists them.")


def score_all(opened: Opened, threads: int = 1) -> pd.DataFrame:
    """The scores of all live accounts, with a progress bar."""
    with bars() as progress, line(progress, "Scoring", len(opened.histories)) as advance:
        return score_accounts(opened.scorer, opened.histories, opened.as_of, threads=threads, on_scored=advance)


def explain_all(opened: Opened, rows: Rows, threads: int = 1, language: Language = ENGLISH) -> list[str]:
    """The reasons of some accounts, with a progress bar."""
    with bars() as progress, line(progress, "Reasons", len(rows)) as advance:
        return explain(opened.scorer, opened.histories, rows, opened.as_of, threads, advance, language)


def _label(opened: Opened) -> str:
    return f"model {opened.scorer.bundle.label}"


def _note_of_reasons(n_rows: int, n_explained: int, language: Language) -> list[str]:
    told = translatable("the first {number} rows carry reasons, {option} changes that")
    said = language.say(told, number=language.number(n_explained), option="--explain N")
    return [said] if n_rows > n_explained else []
