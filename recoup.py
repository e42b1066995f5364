"""The `recoup` command: which verb lives in which room, and how a run ends.

A verb is one row of `VERBS`. Its room is imported when the verb is called, so that `recoup --help` answers
at once. A run ends with one error on stderr at most, and with an exit code: 0 only when it did what it was
asked, 1 for what the user can mend (`features.errors`), 2 for a wrong call, 70 for a fault in Recoup, 130 for
Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Verb:
    """Where a verb lives, as `module:attribute`, and its line in `recoup --help`."""

    target: str
    help: str


#: In the order of the work. The help line is the first sentence of the command's own; a test compares them.
VERBS: Mapping[str, Verb] = {
    "run": Verb("recoup:run", "From a portfolio to a ranked queue: check, train, score, queue."),
    "simulate": Verb("experiments.commands:simulate", "Write a synthetic portfolio, and the truth beside it."),
    "check": Verb("features.commands:check", "Check a portfolio against the data contract."),
    "features": Verb("features.commands:features", "Write the feature table of a portfolio as of a moment."),
    "train": Verb(
        "training.commands:train", "Train a model on a portfolio, evaluate it on later time, and register it."
    ),
    "recalibrate": Verb(
        "training.commands:recalibrate",
        "Bring a model's levels up to date with outcomes that have matured since, and register it.",
    ),
    "model": Verb("training.commands:model", "Show what a registered model is and what it reached on unseen time."),
    "tune": Verb("experiments.studies.commands:tune", "Search the settings of a model on the time before a cut."),
    "experiment": Verb("experiments.studies.commands:experiment", "Study a model: backtest, ablation, learning curve."),
    "compare": Verb("experiments.champion.commands:compare", "Compare two models on the same unseen time."),
    "promote": Verb(
        "experiments.champion.commands:promote",
        "Make a version the champion where the gate holds, and say why where it does not.",
    ),
    "audit": Verb(
        "experiments.watch.commands:audit", "Audit a model for fairness over the audit columns of a portfolio."
    ),
    "monitor": Verb(
        "experiments.watch.commands:monitor", "Watch a model for drift, and hold what it said against what followed."
    ),
    "score": Verb("serving.commands:score", "Score every live account of a portfolio."),
    "queue": Verb("serving.commands:queue", "Write the work queue of a portfolio."),
    "advise": Verb(
        "serving.ladder.commands:advise",
        "Advise on accounts at the end of the ladder: keep, agency, lawyer or write-off, with the figures behind it.",
    ),
    "replay": Verb(
        "serving.store.ledger_commands:replay", "Compute scores of the ledger again, and compare them bit for bit."
    ),
    "rollup": Verb("serving.review.commands:rollup", "Bring predicted against actual up to date, as outcomes mature."),
    "report": Verb("serving.review.commands:report", "Write the tables of the review of a month as CSV and Excel."),
    "evaluate-policy": Verb(
        "experiments.policy.commands:evaluate_policy",
        "Say what a policy would have earned, from logged decisions, or that they cannot tell.",
    ),
    "load": Verb("serving.store.commands:load", "Load a portfolio into the store."),
    "export": Verb("serving.store.commands:export", "Write what the store holds as a portfolio."),
    "serve": Verb("serving.commands:serve", "Serve scores and queues over HTTP."),
    "upkeep": Verb(
        "serving.upkeep_commands:upkeep",
        "Keep predicted against actual and the watch over the model up to date, until Ctrl-C.",
    ),
    "keys": Verb("serving.guard.commands:keys", "Make, list, rotate and revoke the API keys of the service."),
}

#: What libraries read before they are imported, unless it was set otherwise. No usage reports (BentoML understands the
#: word only); no bars for files that are fetched in no time. Threads that wait give their core away: on a busy machine
#: LightGBM is many times slower otherwise.
LIBRARY_DEFAULTS: Mapping[str, str] = {
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "OMP_WAIT_POLICY": "passive",
}

EXIT_FAILED = 1
EXIT_FAULT = 70
EXIT_INTERRUPTED = 130


class VerbGroup(click.Group):
    """A group whose verbs are rows of a table, each imported when it is called."""

    def __init__(self, verbs: Mapping[str, Verb], **settings: Any) -> None:
        # The stand-ins give click the names to suggest for a misspelt verb.
        stand_ins = {name: click.Command(name, short_help=verb.help) for name, verb in verbs.items()}
        super().__init__(commands=stand_ins, **settings)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's room and take the command from it; None for an unknown verb."""
        verb = self.verbs.get(cmd_name)
        return None if verb is None else _load(verb.target)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs from the table, without importing a room."""
        if self.verbs:
            with formatter.section("Commands"):
                formatter.write_dl([(name, verb.help) for name, verb in self.verbs.items()])

    def invoke(self, ctx: click.Context) -> None:
        """Run the verb and drop what it returns: an exit code is only what was given to `ctx.exit`."""
        super().invoke(ctx)


def command_line(verbs: Mapping[str, Verb] = VERBS) -> click.Group:
    """Build the `recoup` group over a table of verbs."""
    group = VerbGroup(
        verbs,
        name="recoup",
        help="Payment-propensity scoring for collections: whom to contact next, by which channel, and when.",
        epilog="Each verb has its --help. An option can be set in the environment, as RECOUP_VERB_OPTION.",
        context_settings={"auto_envvar_prefix": "RECOUP", "help_option_names": ["-h", "--help"]},
    )
    return click.version_option(package_name="recoup", prog_name="recoup")(group)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `recoup` with the arguments given, those of the process by default, and return its exit code."""
    set_library_defaults()
    return run_group(command_line(), arguments)


@click.command()
@click.argument("portfolio", required=False)
@click.option("--as-of", default="latest", show_default=True, help="The moment to score and queue at.")
@click.option("--accounts", default=12_000, show_default=True, help="Accounts to simulate where no PORTFOLIO is given.")
@click.option("--days", default=360, show_default=True, help="Days to simulate.")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulation.")
@click.option("--var", default="var", show_default=True, envvar="RECOUP_VAR", help="Folder of stores and results.")
def run(portfolio: str | None, as_of: str, accounts: int, days: int, seed: int, var: str) -> None:
    """From a portfolio to a ranked queue: check, train, score, queue.

    PORTFOLIO is a folder or the address of a database; without one, a portfolio is simulated. What is there already
    (the simulated portfolio, a model trained on the same data with the same settings) is reused.
    """
    os.environ["RECOUP_VAR"] = var  # the verbs below keep their stores there too
    source = portfolio or f"{var}/simulated-{accounts}-{days}-{seed}"
    if portfolio is None:
        size = ("--accounts", str(accounts), "--days", str(days), "--seed", str(seed))
        _step("Simulate a portfolio", "simulate", *size, "--out", source, "--replace")
    _step("Check it against the data contract", "check", source, "--rejects", f"{var}/rejects")
    label = str(_step("Train a model, or reuse an equal one", "train", source, "--reuse", "--brief"))
    results = f"{var}/{label.split('/', maxsplit=1)[0]}"
    at = ("--as-of", as_of, "--model", label)
    _step("Score every live account", "score", source, *at, "--out", f"{results}/scores.parquet")
    written = ("--out", f"{results}/queue.csv", "--held", f"{results}/held.csv")
    _step("Order the work queue", "queue", source, *at, *written)
    _step("What the model reached on unseen time", "model", label)
    if "RECOUP_STORE" not in os.environ:
        _load_for_pages(source)
    _say_where(results, label, var)


def _step(title: str, verb: str, *arguments: str) -> Any:
    """Say what is done, as the command that does it alone, and do it; what the verb returns."""
    click.secho(f"\n{title}", bold=True)
    click.echo(f"  recoup {shlex.join((verb, *arguments))}")
    return _load(VERBS[verb].target).main(args=list(arguments), prog_name=f"recoup {verb}", standalone_mode=False)


def _load_for_pages(source: str) -> None:
    """Fill the embedded store of the service, so that its pages have something to show; one that is full stays so."""
    try:
        _step("Load it into the service's store, for its pages", "load", source)
    except _load("features.errors:StoreError") as error:
        click.echo(f"Note: it is not loaded: {error}.")


def _say_where(results: str, label: str, var: str) -> None:
    tracking_uri = _load("features.environment:tracking_uri")()
    click.secho("\nWhere it is", bold=True)
    click.echo(f"  files     {results}/: queue.csv, held.csv, scores.parquet")
    click.echo(f"  MLflow    {Path(sys.executable).parent}/mlflow ui --backend-store-uri {tracking_uri}")
    click.echo("            then http://127.0.0.1:5000")
    elsewhere = "" if var == "var" else f"RECOUP_VAR={shlex.quote(var)} "
    champion = f"{label.split('/', maxsplit=1)[0]}@champion"
    click.echo(f'  service   {elsewhere}make serve ARGS="--model {champion}"')
    click.echo("            then http://127.0.0.1:3000/review for its pages")


def set_library_defaults() -> None:
    """Set what libraries read of the environment; a variable that is set already stays as it is."""
    for name, value in LIBRARY_DEFAULTS.items():
        os.environ.setdefault(name, value)


def run_group(group: click.Group, arguments: Sequence[str] | None = None) -> int:
    """Run a group and turn whatever ends it into an exit code and at most one error."""
    try:
        code = group.main(args=arguments, prog_name="recoup", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("recoup: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the outermost frame: a user gets a line, not a traceback
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    if os.environ.get("RECOUP_TRACEBACK"):
        traceback.print_exception(error)
    message = " ".join(str(error).split())
    if isinstance(error, _load("features.errors:RecoupError")):
        click.echo(f"recoup: {message}", err=True)
        return EXIT_FAILED
    hint = "this is a fault in Recoup, run again with RECOUP_TRACEBACK=1 for the traceback"
    click.echo(f"recoup: internal error: {type(error).__name__}: {message}; {hint}", err=True)
    return EXIT_FAULT


def _discard_output() -> None:
    """Point stdout nowhere, so that the interpreter's last flush does not fail on the closed pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    sys.exit(main())
