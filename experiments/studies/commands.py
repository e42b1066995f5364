"""The commands of the studies: `tune`, and `experiment` with `backtest`, `ablation` and `learning-curve`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from experiments.studies.space import HEADS, changed_toml, read_tuning_settings
from features import environment
from features.files import replacing
from features.histories import Histories, pack
from features.portfolio import data_digest, read_portfolio, without_audit
from features.progress import bars, line
from training.commands import commit_of_code, moment_of, training_key
from training.registry import model_name
from training.settings import TrainingSettings, TreeSettings, read_training_settings
from training.train import Task

if TYPE_CHECKING:
    from experiments.studies.question import Question
    from experiments.studies.search import Gain, Search, Tried
    from training.moments import Cuts
    from training.tracking import LoggedStep


@dataclass(frozen=True)
class Subject:
    """What a study is about: a portfolio, how its model is trained, and on what."""

    source: str
    name: str
    histories: Histories
    settings: TrainingSettings
    task: Task

    @property
    def cuts(self) -> Cuts:
        """Where training would divide the history."""
        from training.moments import cut_time

        return cut_time(self.histories, self.task.horizon_days, self.task.until, self.task.now)

    @property
    def key(self) -> str:
        """What decides all that is found."""
        return training_key(self.histories.settings, self.settings, self.task, self.cuts)

    @property
    def parameters(self) -> dict[str, object]:
        """What every run of a study says of itself."""
        return {
            "data_digest": self.task.data_digest,
            "commit": self.task.commit,
            "horizon_days": self.task.horizon_days,
            "seed": self.settings.seed,
        }


def of_a_portfolio(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the subject that its portfolio, and the options that `recoup train` has too, make up."""

    @click.argument("portfolio")
    @click.option("--config", type=click.Path(path_type=Path), help="Training settings; see training/default.toml.")
    @click.option("--until", help="Learn only what was known before this time; a backtest ends with it.")
    @click.option("--horizon", type=click.IntRange(min=1), help="Days within which a payment counts.")
    @click.option("--settings", type=click.Path(path_type=Path), help="A portfolio.toml, where the portfolio has none.")
    @wraps(command)
    def with_subject(
        portfolio: str, config: Path | None, until: str | None, horizon: int | None, settings: Path | None,
        **options: Any,
    ) -> None:  # fmt: skip
        training = read_training_settings(config)
        checked = without_audit(read_portfolio(portfolio, settings))
        task = Task(
            horizon_days=horizon or checked.settings.horizon_days,
            until=moment_of(until),
            now=environment.now(),
            data_digest=data_digest(checked),
            commit=commit_of_code(),
        )
        command(Subject(portfolio, model_name(checked.settings.name), pack(checked), training, task), **options)

    return with_subject


# ------------------------------------------------------------------------------------------------------------- tune


@click.command()
@of_a_portfolio
@click.option("--head", type=click.Choice(HEADS), default="p_pay", show_default=True, help="Which model is searched.")
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True, help="Trials in all.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds after which no further trial is begun.")
@click.option("--space", type=click.Path(path_type=Path), help="What is searched; see training/tuning.toml.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the settings found, for `recoup train --config`.")
def tune(subject: Subject, head: str, trials: int, timeout: float | None, space: Path | None, out: Path | None) -> None:
    """Search the settings of a model on the time before a cut.

    Nothing from after the cut is looked at. The search goes on where it stopped, and the same command given in several
    terminals shares the work.
    """
    from experiments.studies.search import Search, search
    from experiments.studies.tuning import pose

    tuning, start = read_tuning_settings(space), getattr(subject.settings, head)
    cuts, task = subject.cuts, subject.task
    with bars() as progress, ExitStack() as stack:
        with line(progress, "Features of the folds", 1):
            problem = pose(subject.histories, cuts, task.horizon_days, head, tuning.folds, subject.settings, task.now)
        with line(progress, "The settings as they stand", len(problem.folds) * start.trees) as advance:
            before = problem.losses(start, advance)
        wanted = Search(_study_name(subject.key, head, msgspec.json.encode(tuning)), problem, start, tuning)
        kept = _Kept(stack, subject, wanted, cuts)
        bar, trees = progress.add_task("Trials", total=trials), progress.add_task("Trees", total=None)

        def on_trial(tried: list[Tried]) -> None:
            progress.update(bar, completed=len(tried))
            kept.add(tried)

        folder = environment.var_folder() / "tuning"
        tried = search(wanted, folder, trials, timeout, on_trial, lambda: progress.advance(trees))
        found = _found(tried, start, before)
        text = _as_toml(subject.settings, head, found.settings, wanted.name)
        kept.conclude(found, text)
    if len(before) < tuning.folds:
        click.echo(f"The history holds {len(before)} of the {tuning.folds} folds asked for.")
    if len(tried) < trials:
        click.echo(f"{len(tried)} of {trials} trials have ended: time was up, or others are at work on the rest.")
    pruned = sum(trial.pruned for trial in tried)
    click.echo(f"Study {wanted.name}: {len(tried)} trials, {pruned} of them given up early; {cuts.text}.")
    _print_found(head, start, found)
    if out is None:
        click.echo(text, nl=False)
        return
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(f"Written to {out}: recoup train {subject.source} --config {out}")


@dataclass(frozen=True)
class Found:
    """The settings that do best, those that stood unless others do better, and the losses of both on each fold."""

    settings: TreeSettings
    before: tuple[float, ...]
    after: tuple[float, ...]
    gain: Gain


def _found(tried: list[Tried], start: TreeSettings, before: tuple[float, ...]) -> Found:
    from experiments.studies.search import best, gain

    found = best(tried)
    gained = gain(before, before if found is None else found.losses)
    if found is None or gained.mean <= 0:
        return Found(start, before, before, gain(before, before))
    return Found(found.settings, before, found.losses, gained)


def _as_toml(settings: TrainingSettings, head: str, chosen: TreeSettings, study: str) -> str:
    """The settings with those chosen, as far as they differ from the defaults."""
    tuned = msgspec.structs.replace(settings, **{head: chosen})
    defaults = msgspec.to_builtins(read_training_settings())
    return changed_toml(msgspec.to_builtins(tuned), defaults, f"Found by recoup tune for {head}, in study {study}.")


def _study_name(key: str, head: str, tuning: bytes) -> str:
    """A name that differs where anything does that decides a trial's loss."""
    return f"{head}-{hashlib.sha256(key.encode() + tuning).hexdigest()[:16]}"


def _print_found(head: str, start: TreeSettings, found: Found) -> None:
    names = start.__struct_fields__
    settings = [(name, f"{getattr(start, name):g}", f"{getattr(found.settings, name):g}") for name in names]
    _print_table(head, ("setting", "as it stands", "best"), settings)
    folds = [*zip(found.before, found.after, strict=True), (_mean(found.before), _mean(found.after))]
    rows = [
        (f"fold {place}" if place < len(found.before) else "mean", f"{old:.5f}", f"{new:.5f}")
        for place, (old, new) in enumerate(folds)
    ]
    _print_table("Loss on later time", ("", "as it stands", "best"), rows)
    if found.settings == start:
        click.echo("Nothing was found that does better than the settings as they stand.")
        return
    verdict = (
        "more than the folds differ by chance, though the best of many trials looks better than it is"
        if found.gain.is_told
        else f"within noise, as these folds cannot tell less than {found.gain.needed:.5f} from chance"
    )
    click.echo(
        f"Gain {found.gain.mean:.5f}, standard error {found.gain.error:.5f} over {len(found.before)} folds: {verdict}."
    )


def _mean(losses: tuple[float, ...]) -> float:
    return sum(losses) / len(losses)


class _Kept:
    """The search in MLflow. The run is begun when first told of, which one process does at a time."""

    def __init__(self, stack: ExitStack, subject: Subject, wanted: Search, cuts: Cuts) -> None:
        self._stack, self._subject, self._wanted, self._cuts = stack, subject, wanted, cuts
        self._run: Any = None

    def add(self, tried: list[Tried]) -> None:
        from training.tracking import Steps

        if self._run is None:
            head, name = self._wanted.problem.head, self._wanted.name
            own = {"head": head, "folds": len(self._wanted.problem.folds), "cuts": self._cuts.text, "study": name}
            experiment = f"{self._subject.name}-tuning"
            run = Steps(environment.tracking_uri(), experiment, f"tune {head}", self._subject.parameters | own, name)
            self._run = self._stack.enter_context(run)
        self._run.add([_logged_trial(self._wanted.problem.head, trial) for trial in tried])

    def conclude(self, found: Found, text: str) -> None:
        figures = {"loss_before": _mean(found.before), "loss_found": _mean(found.after)}
        self._run.conclude(figures | {"gain": found.gain.mean, "gain_error": found.gain.error})
        with TemporaryDirectory() as folder:
            (Path(folder) / "tuned.toml").write_text(text, encoding="utf-8")
            self._run.add_files(Path(folder))


def _logged_trial(head: str, trial: Tried) -> LoggedStep:
    from training.tracking import LoggedStep

    settings = {f"{head}.{name}": value for name, value in msgspec.to_builtins(trial.settings).items()}
    losses = {f"loss_fold_{place}": loss for place, loss in enumerate(trial.losses)}
    state = {"state": "pruned" if trial.pruned else "complete"}
    status = "KILLED" if trial.pruned else "FINISHED"
    return LoggedStep(f"trial {trial.place}", {"loss": trial.loss} | losses, settings | state, status)


# ------------------------------------------------------------------------------------------------------- experiment


@click.group()
def experiment() -> None:
    """Study a model: backtest, ablation, learning curve."""


@experiment.command()
@of_a_portfolio
@click.option("--folds", type=click.IntRange(min=1), default=6, show_default=True, help="Cuts, one horizon apart.")
@click.option("--horizons", type=click.IntRange(min=1), default=1, show_default=True, help="Horizons after each cut.")
def backtest(subject: Subject, folds: int, horizons: int) -> None:
    """Train at successive cuts, and look at what each model reached on the time after its own."""
    from experiments.studies import backtest as study
    from training.plots import stability, write_figure
    from training.tracking import LoggedStep, Steps

    with bars() as progress:
        tested = study.backtest(subject.histories, subject.settings, subject.task, folds, horizons, progress)
        table = study.over_time(tested)
        steps = [
            LoggedStep(one.name, one.holdout.metrics, {"cuts": one.origin.cuts.text, "channels": one.supported})
            for one in tested
        ]
        uri, parameters = environment.tracking_uri(), subject.parameters | {"horizons": horizons}
        with Steps(uri, f"{subject.name}-backtest", "backtest", parameters) as run, TemporaryDirectory() as folder:
            run.add(steps)
            write_figure(stability(table, "cut"), Path(folder) / "stability.png")
            table.to_csv(Path(folder) / "cuts.csv", index=False)
            run.add_files(Path(folder))
    rows = [
        (
            row["period"], f"{row['moments']:,.0f}", f"{row['payers']:,.0f}",
            f"{row['auc']:.3f} ± {row['auc_error']:.3f}",
            f"{row['payers_predicted_to_actual']:.2f} ± {row['payers_predicted_to_actual_error']:.2f}",
            f"{row['money_predicted_to_actual']:.2f} ± {row['money_predicted_to_actual_error']:.2f}",
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    heads = ("cut", "moments", "payers", "AUC", "payers", "money")
    _print_table("After each cut: AUC, payers and money predicted / actual, ± sampling error", heads, rows)
    if len(tested) < folds:
        click.echo(f"The history holds {len(tested)} of the {folds} cuts asked for.")


@experiment.command()
@of_a_portfolio
def ablation(subject: Subject) -> None:
    """Take away one family of features at a time, and see what the AUC on later time loses."""
    from experiments.families import families_of, remove_families
    from training.tracking import LoggedStep, log_steps

    with bars() as progress:
        question = _question(subject)
        with line(progress, "Families", 1 + len(families_of(question))) as advance:
            steps = remove_families(question, subject.settings, advance)
        logged = [
            LoggedStep(
                _without(step.families),
                {"auc": step.auc, "gain": step.gain, "gain_low": step.gain_low, "gain_high": step.gain_high},
                {"features": step.features},
            )
            for step in steps
        ]
        parameters = subject.parameters | {"cuts": subject.cuts.text}
        log_steps(logged, environment.tracking_uri(), f"{subject.name}-ablation", "ablation", parameters)
    rows = [
        (
            _without(step.families), str(step.features), f"{step.auc:.4f}",
            *(f"{value:+.4f}" if step.families else "" for value in (step.gain, step.gain_low, step.gain_high)),
        )
        for step in steps
    ]  # fmt: skip
    heads = ("features", "how many", "AUC", "against all", "2.5 %", "97.5 %")
    _print_table("p_pay on later time", heads, rows)


@experiment.command("learning-curve")
@of_a_portfolio
def learning_curve(subject: Subject) -> None:
    """Learn from a sixteenth of the accounts up to all, and see what the AUC on the same later time gains."""
    from experiments.studies import learning
    from training.tracking import LoggedStep, log_steps

    with bars() as progress:
        question = _question(subject)
        with line(progress, "Shares of the accounts", len(learning.SHARES)) as advance:
            points = learning.learning_curve(subject.histories, question, subject.settings, advance)
        logged = [
            LoggedStep(
                f"{point.share:.4g} of the accounts",
                {"auc": point.auc, "auc_error": point.auc_error, "accounts": point.accounts, "payers": point.payers},
                {"share": point.share},
            )
            for point in points
        ]
        parameters = subject.parameters | {"cuts": subject.cuts.text}
        log_steps(logged, environment.tracking_uri(), f"{subject.name}-learning-curve", "learning curve", parameters)
    rows = [
        (f"{point.share:.2%}", f"{point.accounts:,}", f"{point.payers:,}", f"{point.auc:.4f} ± {point.auc_error:.4f}")
        for point in points
    ]
    _print_table("p_pay on the same later time", ("share", "accounts", "payers", "AUC ± sampling error"), rows)


def _question(subject: Subject) -> Question:
    from experiments.studies.question import put

    cuts = subject.cuts
    return put(
        subject.histories, cuts, cuts.test_end, cuts.data_end, subject.task.horizon_days, subject.settings
    )  # fmt: skip


def _without(families: tuple[str, ...]) -> str:
    return f"without {', '.join(families)}" if families else "all"


def _print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=True, highlight=False).print(table)
