"""The commands of the experiments: `simulate`, `evaluate-policy`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from features import environment

#: Where the output is no terminal, lines are wide enough for the tables.
_FILE_WIDTH = 160


@click.command()
@click.option("--accounts", type=click.IntRange(1, 9_999_999), required=True, help="How many accounts are placed.")
@click.option("--days", type=click.IntRange(1, 3650), required=True, help="How many days the world is worked.")
@click.option("--seed", type=click.IntRange(0), required=True, help="The same seed gives the same world.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new or empty folder.")
@click.option("--replace", is_flag=True, help="Replace a world of other settings or of another version.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2024-01-01",
    show_default=True,
    help="The first day.",
)
@click.option(
    "--truth-draws",
    type=click.IntRange(0, 100_000),
    default=64,
    show_default=True,
    help="Futures drawn per account and action for the truth; 0 for none.",
)
def simulate(accounts: int, days: int, seed: int, out: Path, replace: bool, start: datetime, truth_draws: int) -> None:
    """Write a synthetic portfolio, and the truth beside it.

    OUT becomes a portfolio like a real one; OUT/truth says what would have followed each action on each account, and
    what did follow. The same options give the same files.
    """
    from experiments.world import WorldSettings
    from experiments.world import simulate as simulate_world
    from experiments.world.writing import is_there, write_world
    from features.progress import bars

    settings = WorldSettings(accounts, days, seed, start.date(), truth_draws=truth_draws)
    folder = out.absolute()
    if is_there(settings, folder, replace):
        click.echo(f"{out} is already there, with the same settings")
        return
    with bars() as bar:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        progress("accounts", 0, 1)
        world = simulate_world(settings, progress=progress)
        progress("files", 0, 1)
        write_world(world, folder)
    figures = world.manifest["figures"]
    rows = world.manifest["rows"]
    click.echo(
        f"{out}: {rows['accounts']:,} accounts, {rows['contacts']:,} contacts, {rows['payments']:,} payments, "
        f"{rows['decisions']:,} decisions until {world.manifest['as_of']}; "
        f"{figures['calls']:,} calls for {figures['recoveries']:,} recoveries"
    )


@click.command("evaluate-policy")
@click.argument("portfolio")
@click.option(
    "--policy",
    default="model",
    show_default=True,
    help="model, logging (the policy that decided), always:CHANNEL, or a file of account_id, at, channel.",
)
@click.option("--model", default="champion", show_default=True, help="The model that is the policy: alias or version.")
@click.option("--since", help="Only decisions from this time on; for a model the time until which it learned.")
@click.option("--until", help="Only decisions until this time.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, as JSON.")
@click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where the portfolio has none.")
@click.option(
    "--max-decisions", type=click.IntRange(1), default=1_000_000, show_default=True, help="Draw so many of more."
)
def evaluate_policy(
    portfolio: str, policy: str, model: str, since: str | None, until: str | None, out: Path | None,
    settings: Path | None, max_decisions: int,
) -> None:  # fmt: skip
    """Say what a policy would have earned, from logged decisions, or that they cannot tell.

    PORTFOLIO is a folder or the URL of a database, with a table of decisions and the propensity of each. A model is
    asked about decisions that it has not learned from.
    """
    from experiments.policy_evaluation import Window, encode, evaluate_named
    from experiments.policy_tables import report_lines, report_table
    from features.files import replacing
    from features.histories import pack
    from features.portfolio import read_portfolio
    from features.progress import bars
    from features.units import parse_instant
    from training.registry import open_model

    window = Window(
        None if since is None else parse_instant(since), None if until is None else parse_instant(until),
        environment.now(), max_decisions,
    )  # fmt: skip
    with bars() as progress:
        progress.add_task("Reading the portfolio", total=None)
        checked = read_portfolio(portfolio, settings)
        bundle = open_model(model, environment.tracking_uri(), checked.settings.name) if policy == "model" else None
        report = evaluate_named(pack(checked), policy, bundle, window, progress)
    console = _console()
    for text in report_lines(report):
        console.print(text)
    console.print(report_table(report))
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_bytes(encode(report))
        console.print(f"The evaluation: {out}")


def _console() -> Console:
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    return Console(width=width, markup=False, highlight=False)
