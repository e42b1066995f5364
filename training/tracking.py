"""Experiments: every training run is kept in MLflow, with what it was made from and what it reached."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.bundle import Bundle, write_bundle
from training.plots import write_plots
from training.registry import BUNDLE_PATH, KEY_TAG, SOURCE_TAG, client_for, model_name, register

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from training.holdout import Holdout
    from training.train import Trained


#: MLflow's page shows an experiment as training rather than as one of language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


def log_training(trained: Trained, tracking_uri: str, training_key: str, source: str) -> Bundle:
    """Keep a training run in MLflow and register its bundle; returns the bundle under its name and version.

    The first version of a model becomes its champion; a later one its challenger.

    Args:
        trained: the run.
        tracking_uri: where MLflow keeps it.
        training_key: what decides the bundle, by which an equal run is found again.
        source: where the portfolio was read from.
    """
    client = client_for(tracking_uri)
    name = model_name(trained.bundle.manifest.portfolio.name)
    run_id = _run(client, trained, name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            sealed = write_bundle(trained.bundle, Path(folder) / BUNDLE_PATH)
            client.log_artifacts(run_id, folder)
            if trained.holdout is not None:
                _log_holdout(client, run_id, trained.holdout, Path(folder))
        version = register(client, name, run_id, sealed, {KEY_TAG: training_key, SOURCE_TAG: source})
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return Bundle(sealed.manifest, sealed.links, sealed.models, f"{name}/{version}")


@dataclass(frozen=True)
class LoggedStep:
    """One step of an experiment: its name, what it reached, and what is particular to it."""

    name: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, object]


def log_steps(
    steps: Sequence[LoggedStep], tracking_uri: str, experiment: str, name: str, parameters: Mapping[str, object]
) -> None:
    """Keep an experiment of several steps in MLflow: a run with one nested run for each.

    Args:
        steps: the steps in order; the run shows their metrics as a curve.
        tracking_uri: where MLflow keeps it.
        experiment: the experiment's name.
        name: the run's.
        parameters: what all steps share.
    """
    from mlflow.entities import Metric, Param

    client = client_for(tracking_uri)
    of = _experiment(client, experiment)
    run = client.create_run(of, run_name=name)
    run_id, stamp = run.info.run_id, run.info.start_time
    shared = [Param(key, str(value)) for key, value in parameters.items()]
    try:
        for place, step in enumerate(steps):
            curve = [Metric(key, value, stamp, place) for key, value in step.metrics.items()]
            client.log_batch(run_id, metrics=curve, params=shared)
            nested = client.create_run(of, run_name=step.name, tags={"mlflow.parentRunId": run_id}).info.run_id
            own = [Param(key, str(value)) for key, value in step.parameters.items()]
            metrics = [Metric(key, value, stamp, 0) for key, value in step.metrics.items()]
            client.log_batch(nested, metrics=metrics, params=[*shared, *own])
            client.set_terminated(nested, "FINISHED")
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _run(client: MlflowClient, trained: Trained, name: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    manifest = trained.bundle.manifest
    run = client.create_run(_experiment(client, name), run_name=f"train until {manifest.trained_until[:10]}")
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
    tags = {"data_digest": manifest.data_digest, "commit": manifest.commit}
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


def _log_holdout(client: MlflowClient, run_id: str, holdout: Holdout, folder: Path) -> None:
    reports = folder / "holdout"
    reports.mkdir()
    write_plots(holdout, reports)
    holdout.bands.to_csv(reports / "bands.csv", index=False)
    client.log_artifacts(run_id, str(reports), "holdout")


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = _artifact_location(client)
    return str(client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS))


def _artifact_location(client: MlflowClient) -> str | None:
    """Beside an embedded store, rather than in whatever folder the command runs in; a server decides for itself."""
    uri = str(client.tracking_uri)
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").resolve().as_uri()


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
