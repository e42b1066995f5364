"""The registry: MLflow keeps every bundle as a version of its portfolio's model.

A model is named after its portfolio. Its versions carry the identity of their bundle (the sha256 of its manifest),
because MLflow itself does not check what it hands out. `champion` is the version that is served, `challenger` the
one that would follow it.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import BundleError
from training.bundle import MANIFEST, Bundle, read_bundle

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST_TAG = "bundle_sha256"
KEY_TAG = "training_key"
SOURCE_TAG = "portfolio_source"
BUNDLE_PATH = "bundle"
CARD = "model_card.md"
_REFERENCE = re.compile(r"(?:(?P<name>.+)[@/])?(?P<which>[A-Za-z_][A-Za-z0-9_-]*|[0-9]+)")


def model_name(portfolio: str) -> str:
    """The name of a portfolio's model: MLflow allows neither `/` nor `:` in it.

    >>> model_name("Cards: East/West")
    'Cards-East-West'
    """
    return re.sub(r"[^\w.-]+", "-", portfolio).strip("-") or "portfolio"


def open_model(reference: str, tracking_uri: str, portfolio: str | None = None) -> Bundle:
    """Find a model in the registry, or in a folder, and read its bundle.

    Args:
        reference: an alias (`champion`) or a version (`3`), either with the model's name before it
            (`cards-east@champion`, `cards-east/3`), or the folder of a bundle.
        tracking_uri: where MLflow keeps the models.
        portfolio: the name of the portfolio, whose model is meant where `reference` names none.

    Raises:
        BundleError: there is no such model, more than one could be meant, or its bundle is damaged.
    """
    if (Path(reference) / MANIFEST).is_file():
        return read_bundle(Path(reference), Path(reference).resolve().name)
    client = client_for(tracking_uri)
    version = _find(client, reference, portfolio)
    with tempfile.TemporaryDirectory() as folder:
        path = _fetch(client, version, BUNDLE_PATH, folder)
        return read_bundle(path, f"{version.name}/{version.version}", version.tags.get(DIGEST_TAG))


def open_card(reference: str, tracking_uri: str) -> str:
    """Find the model card that was kept with a registered model; `reference` is as for `open_model`.

    Raises:
        BundleError: there is no such model, more than one could be meant, or it has no card.
    """
    client = client_for(tracking_uri)
    version = _find(client, reference, None)
    with tempfile.TemporaryDirectory() as folder:
        return _fetch(client, version, CARD, folder).read_text("utf-8")


def find_trained(tracking_uri: str, portfolio: str, training_key: str) -> str | None:
    """The version that an equal training run (same data, settings and code) has registered, where there is one."""
    client, name = client_for(tracking_uri), model_name(portfolio)
    versions = client.search_model_versions(f"name = '{name}'")
    same = [found.version for found in versions if found.tags.get(KEY_TAG) == training_key]
    if not same:
        return None
    version = max(same, key=int)
    if CHAMPION not in client.get_registered_model(name).aliases:  # the run that registered it was interrupted
        client.set_registered_model_alias(name, CHAMPION, version)
    return f"{name}/{version}"


def other_source(tracking_uri: str, portfolio: str, source: str) -> str | None:
    """Where the latest version of a portfolio's model was trained from, if that was elsewhere."""
    versions = client_for(tracking_uri).search_model_versions(f"name = '{model_name(portfolio)}'")
    if not versions:
        return None
    before = max(versions, key=lambda found: int(found.version)).tags.get(SOURCE_TAG, source)
    return None if before == source else str(before)


def client_for(tracking_uri: str) -> MlflowClient:
    """MLflow's client of experiments and models; makes the folder of an embedded store."""
    import logging

    import mlflow

    # Its start-up lines about database migrations would drown what the command says.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    if tracking_uri.startswith("sqlite:///"):
        Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def register(client: MlflowClient, name: str, run_id: str, sealed: Bundle, tags: dict[str, str]) -> str:
    """Make a run's bundle a version of the model; the first one is its champion, a later one its challenger."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    tags = tags | {DIGEST_TAG: sealed.digest}
    source = f"{client.get_run(run_id).info.artifact_uri}/{BUNDLE_PATH}"
    version = client.create_model_version(name, source, run_id, tags=tags, await_creation_for=0).version
    alias = CHALLENGER if CHAMPION in client.get_registered_model(name).aliases else CHAMPION
    client.set_registered_model_alias(name, alias, version)
    return str(version)


def _find(client: MlflowClient, reference: str, portfolio: str | None) -> Any:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise BundleError(f"a model is named like champion, 3, NAME@champion or NAME/3, got {reference!r}")
    name = match["name"] or (model_name(portfolio) if portfolio else _only_model(client))
    return _version(client, name, match["which"])


def _fetch(client: MlflowClient, version: Any, artifact: str, folder: str) -> Path:
    try:
        return Path(client.download_artifacts(version.run_id, artifact, folder))
    except Exception as error:  # noqa: BLE001 MLflow's stores raise errors of every kind here
        raise BundleError(f"the {artifact} of {version.name}/{version.version} cannot be fetched: {error}") from None


def _only_model(client: MlflowClient) -> str:
    names = [found.name for found in client.search_registered_models()]
    if len(names) != 1:
        known = ", ".join(sorted(names)) or "none"
        raise BundleError(
            f"a model must be named where the registry holds not exactly one, it holds: {known}; "
            f"train one with `recoup train`, or name one like NAME@champion"
        )
    return str(names[0])


def _version(client: MlflowClient, name: str, which: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        if which.isdigit():
            return client.get_model_version(name, which)
        return client.get_model_version_by_alias(name, which)
    except MlflowException:
        raise BundleError(
            f"there is no model {name} with {which!r} in the registry; train one with `recoup train`"
        ) from None
