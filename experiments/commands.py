"""The commands of the experiments: `simulate`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click


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
