"""The command `evaluate-policy`."""

from __future__ import annotations

from pathlib import Path

import click

from features import environment
from features.progress import wide_console


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
    "--max-decisions",
    type=click.IntRange(1000),
    default=1_000_000,
    show_default=True,
    help="Of more, those of some accounts.",
)
def evaluate_policy(
    portfolio: str, policy: str, model: str, since: str | None, until: str | None, out: Path | None,
    settings: Path | None, max_decisions: int,
) -> None:  # fmt: skip
    """Say what a policy would have earned, from logged decisions, or that they cannot tell.

    PORTFOLIO is a folder or the URL of a database, with a table of decisions and the propensity of each. A model is
    asked about decisions that it has not learned from.
    """
    from experiments.policy.evaluation import Window, encode, evaluate_named
    from experiments.policy.tables import report_lines, report_table
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
        if bundle is not None:
            bundle.require_payments("the value of a policy")
        report = evaluate_named(pack(checked), policy, bundle, window, progress)
    console = wide_console()
    for text in report_lines(report):
        console.print(text)
    console.print(report_table(report))
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_bytes(encode(report))
        console.print(f"The evaluation: {out}")
