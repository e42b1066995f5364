"""Experiments: every training run is kept in MLflow, with what it was made from and what it reached."""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from features.catalog import catalogue
from features.errors import RecoupError
from features.units import DAY, format_instant
from training.bundle import P_PAY, Bundle, write_bundle
from training.card import model_card
from training.contributions import mean_contributions
from training.plots import monthly, write_plots
from training.promotions import Author
from training.registry import (
    BUNDLE_PATH,
    CARD,
    KEY_TAG,
    SOURCE_TAG,
    client_for,
    experiment_of,
    model_name,
    register,
)

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from training.holdout import Holdout
    from training.train import Trained


#: Names the features of a run that may know the future; absent where there is none.
SUSPECTS_TAG = "suspects"
#: What tells a run of several steps from others, where it may be taken up again.
STEPS_TAG = "recoup_steps"


def log_training(
    trained: Trained, tracking_uri: str, training_key: str, source: str, author: Author | None = None
) -> Bundle:
    """Keep a training run in MLflow and register its bundle; returns the bundle under its name and version.

    The first version of a model becomes its champion; a later one its challenger.

    Args:
        trained: the run.
        tracking_uri: where MLflow keeps it.
        training_key: what decides the bundle, by which an equal run is found again.
        source: where the portfolio was read from.
        author: who registers it, and when; kept where it becomes the first champion.
    """
    client = client_for(tracking_uri)
    name = model_name(trained.bundle.manifest.name)
    run_id = _run(client, trained, name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            sealed = write_bundle(trained.bundle, Path(folder) / BUNDLE_PATH)
            contributions = None
            if trained.holdout is not None:
                contributions = _explained(trained.bundle, trained.holdout)
                _write_holdout(trained.holdout, contributions, Path(folder) / "holdout")
            (Path(folder) / CARD).write_text(model_card(trained, sealed, contributions), encoding="utf-8")
            client.log_artifacts(run_id, folder)
        version = register(client, name, run_id, sealed, {KEY_TAG: training_key, SOURCE_TAG: source}, author)
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return replace(sealed, label=f"{name}/{version}")


@dataclass(frozen=True)
class LoggedStep:
    """One step of an experiment: its name, what it reached, what is particular to it, and how it ended."""

    name: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, object]
    status: str = "FINISHED"


class Steps:
    """An experiment of several steps in MLflow: a run with a nested run for each, which can be taken up again.

    The run shows the steps' metrics as curves. Left by an error or Ctrl-C, it is marked as killed: a run that is over
    must not look as if it went on.
    """

    def __init__(
        self, tracking_uri: str, experiment: str, name: str, parameters: Mapping[str, object], key: str = ""
    ) -> None:
        """Begin the run, or take up the one that has the same `key`.

        Args:
            tracking_uri: where MLflow keeps it.
            experiment: the experiment's name.
            name: the run's.
            parameters: what all steps share.
            key: what tells this run from others, where it may be taken up again.
        """
        from mlflow.entities import Param

        self._client = client_for(tracking_uri)
        self._experiment = experiment_of(self._client, experiment)
        self._parameters = [Param(key, str(value)) for key, value in parameters.items()]
        before = self._client.search_runs([self._experiment], f"tags.{STEPS_TAG} = '{key}'") if key else []
        if before:
            self._run_id = str(before[0].info.run_id)
            self._client.update_run(self._run_id, status="RUNNING")
        else:
            tags = {STEPS_TAG: key} if key else {}
            self._run_id = str(self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id)
            self._client.log_batch(self._run_id, params=self._parameters)
        self._stamp = self._client.get_run(self._run_id).info.start_time
        self._names: set[str] = set()
        self._is_shared = bool(key)

    def add(self, steps: Sequence[LoggedStep]) -> None:
        """Keep the steps that are not kept yet; `steps` holds all of them so far, in order."""
        from mlflow.entities import Metric, Param

        if self._is_shared:  # an earlier run, or one at work beside this, has kept some of them
            self._names |= {str(run.info.run_name) for run in self._nested()}
        for place, step in enumerate(steps):
            if step.name in self._names:
                continue
            curve = [Metric(key, value, self._stamp, place) for key, value in step.metrics.items()]
            self._client.log_batch(self._run_id, metrics=curve)
            tags = {"mlflow.parentRunId": self._run_id}
            nested = self._client.create_run(self._experiment, run_name=step.name, tags=tags).info.run_id
            own = [Param(key, str(value)) for key, value in step.parameters.items()]
            metrics = [Metric(*pair, self._stamp, 0) for pair in step.metrics.items()]
            self._client.log_batch(nested, metrics=metrics, params=[*self._parameters, *own])
            self._client.set_terminated(nested, step.status)
            self._names.add(step.name)

    def conclude(self, metrics: Mapping[str, float]) -> None:
        """Keep figures of the whole."""
        from mlflow.entities import Metric

        self._client.log_batch(self._run_id, metrics=[Metric(*pair, self._stamp, 0) for pair in metrics.items()])

    def add_files(self, folder: Path) -> None:
        """Keep the files of a folder with the run."""
        self._client.log_artifacts(self._run_id, str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._client.set_terminated(self._run_id, "KILLED" if error else "FINISHED")

    def _nested(self) -> list[Run]:
        """The runs of the steps, however many there are."""
        found: list[Run] = []
        token = None
        while True:
            query = f"tags.mlflow.parentRunId = '{self._run_id}'"
            page = self._client.search_runs([self._experiment], query, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def log_steps(
    steps: Sequence[LoggedStep], tracking_uri: str, experiment: str, name: str, parameters: Mapping[str, object]
) -> None:
    """Keep an experiment whose steps are all known; see `Steps`."""
    with Steps(tracking_uri, experiment, name, parameters) as run:
        run.add(steps)


@dataclass(frozen=True)
class LoggedRun:
    """A run that is not of training: its name, figures, parameters, tags and files, by their names."""

    name: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, object]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]


def log_run(run: LoggedRun, tracking_uri: str, experiment: str) -> str:
    """Keep a run in MLflow, each file with its sha256 as a tag; returns the run's id."""
    from mlflow.entities import Metric, Param, RunTag

    client = client_for(tracking_uri)
    info = client.create_run(experiment_of(client, experiment), run_name=run.name).info
    digests = {_digest_tag(name): hashlib.sha256(content).hexdigest() for name, content in run.files.items()}
    try:
        client.log_batch(
            info.run_id,
            metrics=[Metric(key, value, info.start_time, 0) for key, value in run.metrics.items()],
            params=[Param(key, str(value)) for key, value in run.parameters.items()],
            tags=[RunTag(key, value) for key, value in {**run.tags, **digests}.items()],
        )
        with tempfile.TemporaryDirectory() as folder:
            for name, content in run.files.items():
                (Path(folder) / name).write_bytes(content)
            client.log_artifacts(info.run_id, folder)
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(info.run_id, "KILLED")
        raise
    client.set_terminated(info.run_id, "FINISHED")
    return str(info.run_id)


def logged_file(tags: Mapping[str, str], file: str, tracking_uri: str, experiment: str) -> tuple[str, bytes] | None:
    """The latest finished run of an experiment with all of these tags: its id, and one of its files.

    Raises:
        RecoupError: the file is not the one that was logged.
    """
    client = client_for(tracking_uri)
    of = client.get_experiment_by_name(experiment)
    if of is None:
        return None
    of_tags = [f"tags.{key} = '{value}'" for key, value in tags.items()]
    wanted = " and ".join(["attributes.status = 'FINISHED'", *of_tags])
    runs = client.search_runs([of.experiment_id], wanted, max_results=1, order_by=["attributes.start_time DESC"])
    if not runs:
        return None
    run_id = str(runs[0].info.run_id)
    with tempfile.TemporaryDirectory() as folder:
        try:
            content = Path(client.download_artifacts(run_id, file, folder)).read_bytes()
        except Exception as error:  # noqa: BLE001 MLflow's stores raise errors of every kind here
            raise RecoupError(f"{file} of the run {run_id} cannot be fetched: {error}") from None
    if hashlib.sha256(content).hexdigest() != runs[0].data.tags.get(_digest_tag(file)):
        raise RecoupError(f"{file} of the run {run_id} must match its sha256, it does not; make the run again")
    return run_id, content


def _digest_tag(file: str) -> str:
    return f"{Path(file).stem}_sha256"


def log_monitoring(
    metrics: Mapping[str, float], report: Mapping[str, Any], tracking_uri: str, label: str, as_of: int
) -> None:
    """Keep what monitoring found in MLflow: a run of its own, and a point on the curves of the model's.

    The run `monitor T` holds the metrics and the report; it lies below `monitor NAME/VERSION`, whose curves go by the
    day of the moment, so that the series over time is seen.

    Args:
        metrics: by name.
        report: the whole report, for `report.json`.
        tracking_uri: where MLflow keeps it.
        label: the model's name and version.
        as_of: the moment that was monitored, an instant.
    """
    from mlflow.entities import Metric, RunTag

    client = client_for(tracking_uri)
    experiment = experiment_of(client, label.split("/", maxsplit=1)[0])
    text = format_instant(as_of)
    series = _monitored(client, experiment, label)
    tags = {"mlflow.parentRunId": series, "as_of": text, "model": label}
    run_id = client.create_run(experiment, run_name=f"monitor {text}", tags=tags).info.run_id
    try:
        points = [Metric(_metric_name(name), value, as_of // 1_000, as_of // DAY) for name, value in metrics.items()]
        client.log_batch(run_id, metrics=points)
        client.log_dict(run_id, dict(report), "report.json")
        client.log_batch(series, metrics=points, tags=[RunTag("as_of", text)])
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _metric_name(name: str) -> str:
    """The name as MLflow takes it: an attribute may be called anything."""
    return re.sub(r"[^/\w. -]", "-", name)


def _monitored(client: MlflowClient, experiment: str, label: str) -> str:
    """The run that holds a model's curves over time: the one there is, else a new one."""
    name = f"monitor {label}"
    found = client.search_runs([experiment], f"attributes.run_name = '{name}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    run_id = client.create_run(experiment, run_name=name, tags={"model": label}).info.run_id
    client.set_terminated(run_id, "FINISHED")
    return str(run_id)


def _run(client: MlflowClient, trained: Trained, name: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    manifest = trained.bundle.manifest
    run = client.create_run(experiment_of(client, name), run_name=f"train until {manifest.trained_until[:10]}")
    parameters = _flat(manifest.settings) | {
        "target": manifest.target,
        "horizon_days": manifest.horizon_days,
        "trained_until": manifest.trained_until,
        "data_until": manifest.data_until,
        "features": len(manifest.features),
    }
    metrics = manifest.holdout | {key: float(value) for key, value in trained.counts.items()}
    if trained.holdout is not None:
        metrics |= _by_band(trained.holdout)
    suspects = ", ".join(found.feature for found in manifest.suspects)
    tags = {"data_digest": manifest.data_digest, "commit": manifest.commit, SUSPECTS_TAG: suspects}
    stamp = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(key, value, stamp, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)) for key, value in parameters.items()],
        tags=[RunTag(key, value) for key, value in tags.items() if value],
    )
    return str(run.info.run_id)


def _by_band(holdout: Holdout) -> dict[str, float]:
    """The table of bands as metrics, `band_A/actual_payers` and so on; a share of no money is left out."""
    rows = holdout.bands.set_index("band").astype(float).to_dict("index")
    cells = {f"band_{band}/{name}": value for band, row in rows.items() for name, value in row.items()}
    return {name: value for name, value in cells.items() if math.isfinite(value)}


def _explained(bundle: Bundle, holdout: Holdout) -> pd.DataFrame:
    manifest = bundle.manifest
    families = {feature.name: feature.family for feature in catalogue(manifest.portfolio)}
    return mean_contributions(bundle.models[P_PAY], holdout.sample, manifest.features, families)


def _write_holdout(holdout: Holdout, contributions: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    write_plots(holdout, contributions, folder)
    tables = {"bands": holdout.bands, "months": monthly(holdout), "contributions": contributions}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
