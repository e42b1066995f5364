"""The verb of this room: `recoup advise`."""

from __future__ import annotations

from pathlib import Path

import click

from features.as_of import LATEST
from features.errors import SettingsError
from features.progress import wide_console
from features.units import format_instant
from serving import tables
from serving.commands import open_all, score_all
from serving.ladder.advice import advise as advise_on
from serving.ladder.policy import ladder_of, shipped_ladders

#: Where the output is no terminal, lines are wide enough for the reasons.
_FILE_WIDTH = 200


@click.command()
@click.argument("portfolio")
@click.option(
    "--as-of",
    default=LATEST,
    show_default=True,
    help="The moment, ISO 8601; latest is the start of the first UTC day after the last known row.",
)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file, .csv or .parquet."
)
@click.option("--ladder", metavar="NAME", help="The channel ladder: a name, or the path of a .toml file.")
@click.option(
    "--model",
    default="champion",
    show_default=True,
    help="An alias or version, with the model's name before it where it is not the portfolio's, or a bundle's folder.",
)
@click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings; portfolio.toml in the folder by default.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads to predict with.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Rows to print.")
def advise(
    portfolio: str, as_of: str, out: Path, ladder: str | None, model: str, settings: Path | None, threads: int,
    top: int,
) -> None:  # fmt: skip
    """Advise on accounts at the end of the ladder: keep, agency, lawyer or write-off, with the figures behind it.

    PORTFOLIO is a folder, or the URL of a SQLite or PostgreSQL database. The ladder's file says where its end is and on
    which terms an agency, a lawyer or a buyer works; what accounts bring is told by the portfolio's own history. Those
    come first of whom the best option brings most more than keeping on.
    """
    tables.check_suffix(out)
    opened = open_all(portfolio, as_of, model, settings)
    policy = ladder_of(ladder, opened.histories.settings)
    if policy is None:
        raise SettingsError(
            f"advice needs a ladder with its terms, got none; name one with --ladder: {', '.join(shipped_ladders())}, "
            f"or the path of a .toml file"
        )
    scores = score_all(opened, threads)
    advice = advise_on(opened.scorer, scores, opened.histories, opened.as_of, policy, threads)
    tables.write_table(advice.rows, out)
    console = wide_console(_FILE_WIDTH)
    if top:
        console.print(tables.advice_table(advice.rows, top))
    console.print(tables.advice_summary(advice.rows, policy.currency))
    for note in advice.notes:
        console.print(f"Note: {note}.")
    console.print(f"Advice as of {format_instant(opened.as_of)} by model {opened.scorer.bundle.label}: {out}")
