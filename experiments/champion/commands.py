"""The commands `compare` and `promote`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from features import environment
from features.progress import wide_console

if TYPE_CHECKING:
    import pandas as pd

    from experiments.champion.comparison import Comparison
    from experiments.champion.gate import Gate
    from features.portfolio import Portfolio
    from training.bundle import Bundle
    from training.registry import Version

_COMPARISON = "comparison.json"
_LABELS = click.option(
    "--labels", type=click.Path(path_type=Path), help="Compare models of labels, on these account_id, as_of, label."
)
_SETTINGS = click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where there is none.")


@dataclass(frozen=True)
class _Wanted:
    """What two models are to be compared on: a portfolio with its settings, labels where they learned some, when."""

    portfolio: str
    settings: Path | None = None
    labels: Path | None = None
    since: str | None = None

    @property
    def target(self) -> str:
        """What both must have learned."""
        from training.bundle import LABEL, PAYMENT

        return PAYMENT if self.labels is None else LABEL

    @property
    def model(self) -> str:
        """Whose versions are meant where a reference names no model."""
        from features.portfolio import source_settings
        from training.bundle import named

        return named(source_settings(self.portfolio, self.settings).name, self.target)


@dataclass(frozen=True)
class _Decided:
    """What a promotion is decided by: the run of the comparison, the limits of the gate, and who."""

    run_id: str
    limits: Gate
    by: str


@click.command()
@click.argument("portfolio")
@click.option("--a", default="champion", show_default=True, help="The model that stands: an alias or a version.")
@click.option("--b", default="challenger", show_default=True, help="The model that would follow it.")
@click.option("--since", help="Compare on moments from this time on; the later of both cuts by default.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, as JSON.")
@_LABELS
@_SETTINGS
def compare(
    portfolio: str, a: str, b: str, since: str | None, out: Path | None, labels: Path | None, settings: Path | None
) -> None:
    """Compare two models on the same unseen time.

    PORTFOLIO is a folder or the URL of a database. The comparison is kept in MLflow, where `recoup promote` finds it.
    """
    from experiments.champion.comparison import encode
    from experiments.champion.tables import comparison_line, comparison_tables
    from features.files import replacing

    comparison, _ = _compare(_Wanted(portfolio, settings, labels, since), a, b)
    console = wide_console()
    console.print(comparison_line(comparison))
    for table in comparison_tables(comparison):
        console.print(table)
    if comparison.no_policy_value:
        console.print(f"What their choices would have earned: {comparison.no_policy_value}.")
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_bytes(encode(comparison))
        console.print(f"The comparison: {out}")


@click.command()
@click.argument("version", required=False)
@click.option("--portfolio", help="Compare on this portfolio now, rather than go by the latest comparison.")
@click.option("--rollback", is_flag=True, help="Bring the former champion back; VERSION is the model's name then.")
@click.option(
    "--gate", type=click.Path(path_type=Path), help="Other limits than those of experiments/champion/gate.toml."
)
@click.option("--by", help="Who decides, for the record; this machine's user by default.")
@_LABELS
@_SETTINGS
def promote(
    version: str | None,
    portfolio: str | None,
    rollback: bool,
    gate: Path | None,
    by: str | None,
    labels: Path | None,
    settings: Path | None,
) -> None:
    """Make a version the champion where the gate holds, and say why where it does not.

    VERSION is 3, NAME/3 or an alias, the challenger by default. It is decided on the latest comparison of the champion
    with this very version, as `recoup compare` keeps it. Who did it, when and on which figures is kept in MLflow, also
    where the gate does not hold.
    """
    from experiments.champion.gate import read_gate
    from training.promotions import Author
    from training.registry import find_version, model_name, roll_back

    if labels is not None and portfolio is None:
        raise click.UsageError("--labels are compared on with --portfolio; a model is named, like NAME-labels@champion")
    console, tracking_uri, limits = wide_console(), environment.tracking_uri(), read_gate(gate)
    wanted = _Wanted(portfolio, settings, labels) if portfolio else None
    name, by = wanted.model if wanted else None, by or environment.user()
    if rollback:
        author = Author(by, environment.now())
        before = roll_back(version or (model_name(name) if name else None), author, tracking_uri)
        console.print(f"{before.label} is the champion of {before.name} again.")
        return
    candidate = find_version(version or "challenger", tracking_uri, name)
    champion = find_version(f"{candidate.name}@champion", tracking_uri)
    if candidate == champion:
        console.print(f"{champion.label} is the champion already.")
        return
    if wanted:
        comparison, run_id = _compare(wanted, champion.label, candidate.label)
    else:
        comparison, run_id = _logged_comparison(champion, candidate)
    _promote(candidate, champion, comparison, _Decided(run_id, limits, by), console)


def _promote(
    candidate: Version, champion: Version, comparison: Comparison, decided: _Decided, console: Console
) -> None:
    """Check the candidate, say what was found, and move the alias where all of it holds."""
    from experiments.champion.gate import check_candidate
    from experiments.champion.tables import check_table, comparison_line
    from features.errors import GateError
    from training.promotions import Author, Evidence
    from training.registry import open_model, refuse
    from training.registry import promote as move_champion

    tracking_uri = environment.tracking_uri()
    standing, following = (open_model(one.label, tracking_uri) for one in (champion, candidate))
    checks = check_candidate(comparison, standing.manifest, following, decided.limits)
    console.print(f"{candidate.label} against the champion {champion.label}.")
    console.print(comparison_line(comparison))
    console.print(check_table(checks))
    evidence, author = Evidence(decided.run_id, checks), Author(decided.by, environment.now())
    failed = [check.name for check in checks if not check.passed]
    if failed:
        refuse(candidate, champion, evidence, author, tracking_uri)
        raise GateError(
            f"{candidate.label} does not become the champion: {len(failed)} of {len(checks)} checks failed "
            f"({'; '.join(failed)}); {champion.label} stays"
        )
    move_champion(candidate, champion, evidence, author, tracking_uri)
    console.print(f"{candidate.label} is the champion; `recoup promote --rollback` brings {champion.label} back.")


def _compare(wanted: _Wanted, a: str, b: str) -> tuple[Comparison, str]:
    """Compare two models on a portfolio and keep it in MLflow; the comparison, and the id of its run."""
    from experiments.champion.unseen import Asked, check_pair, compare_on
    from features.histories import pack
    from features.portfolio import data_digest, read_portfolio, without_audit
    from features.progress import bars
    from features.units import parse_instant
    from training.labels import pack_labels, with_labels
    from training.registry import open_model

    tracking_uri, now = environment.tracking_uri(), environment.now()
    moment = parse_instant(wanted.since) if wanted.since else None
    bundles = (open_model(a, tracking_uri, wanted.model), open_model(b, tracking_uri, wanted.model))
    check_pair(*bundles, wanted.target)
    with bars() as progress:
        progress.add_task("Reading the portfolio", total=None)
        checked = read_portfolio(wanted.portfolio, wanted.settings)
        rows = None if wanted.labels is None else _read_labels(wanted.labels, checked, now, bundles[0])
        histories, known = pack(checked), without_audit(checked)
        digest = data_digest(known if rows is None else with_labels(known, rows))
        labels = None if rows is None else pack_labels(rows, histories)
        comparison = compare_on(histories, bundles, Asked(checked.settings, moment, now, digest, labels), progress)
    return comparison, _keep(comparison, bundles[1].manifest.name)


def _read_labels(path: Path, portfolio: Portfolio, now: int, bundle: Bundle) -> pd.DataFrame:
    """The labels that are decided; says how many rows are set aside."""
    from features.units import DAY
    from training.labels import read_labels

    found, rejects = read_labels(path, portfolio.tables["accounts"], now - bundle.manifest.horizon_days * DAY)
    if len(rejects):
        click.echo(f"Labels: {len(found):,} are kept, {len(rejects):,} rows are set aside.", err=True)
    return found


def _keep(comparison: Comparison, model: str) -> str:
    """Keep a comparison as a run of the model's experiment; the run's id."""
    from experiments.champion.comparison import encode
    from training.registry import model_name
    from training.tracking import LoggedRun, log_run

    question = comparison.question
    figures = {
        f"{name}/{what}": value
        for name, paired in comparison.figures.items()
        for what, value in (
            ("a", paired.a.value), ("b", paired.b.value), ("difference", paired.difference.value),
            ("difference_low", paired.difference.low), ("difference_high", paired.difference.high),
        )
    }  # fmt: skip
    run = LoggedRun(
        name=f"compare {comparison.a.model} with {comparison.b.model}",
        metrics={**figures, "moments": comparison.moments, "paying_accounts": comparison.paying_accounts},
        parameters={"horizon_days": question.horizon_days, "since": question.since, "until": question.until},
        tags={
            **_tags(comparison.a.sha256, comparison.b.sha256),
            "a": comparison.a.model,
            "b": comparison.b.model,
            "data_digest": question.data_digest,
        },
        files={_COMPARISON: encode(comparison)},
    )
    return log_run(run, environment.tracking_uri(), model_name(model))


def _logged_comparison(champion: Version, candidate: Version) -> tuple[Comparison, str]:
    """The latest comparison of these two bundles, and the id of its run."""
    from experiments.champion.comparison import decode
    from features.errors import GateError
    from training.bundle import LABEL
    from training.registry import open_model
    from training.tracking import logged_file

    tags, tracking_uri = _tags(champion.sha256, candidate.sha256), environment.tracking_uri()
    found = logged_file(tags, _COMPARISON, tracking_uri, candidate.name)
    if found is None:
        target = open_model(candidate.label, tracking_uri).manifest.target
        labels = " --labels FILE" if target == LABEL else ""
        raise GateError(
            f"{candidate.label} has not been compared with the champion {champion.label} on unseen time; run `recoup "
            f"compare {candidate.source or 'PORTFOLIO'} --a {champion.label} --b {candidate.label}{labels}` first"
        )
    run_id, content = found
    return decode(content), run_id


def _tags(a: str, b: str) -> dict[str, str]:
    """By which the comparison of two bundles is found again."""
    return {"a_sha256": a, "b_sha256": b}
