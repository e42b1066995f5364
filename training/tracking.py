"""Experiments: every training run is kept in MLflow, with what it was made from and what it reached."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.bundle import Bundle, write_bundle
from training.plots import write_plots
from training.registry import BUNDLE_PATH, KEY_TAG, SOURCE_TAG, client_for, model_name, register

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from training.families import Step
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


def log_families(steps: Sequence[Step], tracking_uri: str, name: str, parameters: Mapping[str, object]) -> None:
    """Keep in MLflow what families of features are worth: a run with one nested run for each step.

    Args:
        steps: the steps, in the order in which families were added.
        tracking_uri: where MLflow keeps it.
        name: the experiment.
        parameters: what the steps were worked out on.
    """
    from mlflow.entities import Metric, Param, RunTag

    client = client_for(tracking_uri)
    experiment = _experiment(client, name)
    parent = client.create_run(experiment, run_name="families, one by one")
    run_id, stamp = parent.info.run_id, parent.info.start_time
    parameters_kept = [Param(key, str(value)) for key, value in parameters.items()]
    metrics = [Metric("auc", step.auc, stamp, place) for place, step in enumerate(steps)]
    client.log_batch(run_id, metrics=metrics, params=parameters_kept)
    for step in steps:
        child = client.create_run(experiment, run_name=f"+ {', '.join(step.added)}").info.run_id
        figures = {"auc": step.auc, "gain": step.gain, "gain_low": step.gain_low, "gain_high": step.gain_high}
        client.log_batch(
            child,
            metrics=[Metric(key, value, stamp, 0) for key, value in figures.items()],
            params=[*parameters_kept, Param("added", ", ".join(step.added)), Param("features", str(step.features))],
            tags=[RunTag("mlflow.parentRunId", run_id)],
        )
        client.set_terminated(child, "FINISHED")
    client.set_terminated(run_id, "FINISHED")


def _run(client: MlflowClient, trained: Trained, name: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    manifest = trained.bundle.manifest
    run = client.create_run(_experiment(client, name), run_name=f"train until {manifest.trained_until[:10]}")
    parameters = _flat(manifest.settings) | {
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
