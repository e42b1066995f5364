"""The registry: MLflow keeps every bundle as a version of its portfolio's model.

A model is named after its portfolio. Its versions carry the identity of their bundle (the sha256 of its manifest),
because MLflow itself does not check what it hands out. `champion` is the version that is served, `challenger` the
one that would follow it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import BundleError, RecoupError, StoreError
from training.bundle import MANIFEST, Bundle, read_bundle
from training.promotions import FIRST, PROMOTED, REFUSED, ROLLED_BACK, Author, Evidence, Kind, Promotion, recorded

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST_TAG = "bundle_sha256"
KEY_TAG = "training_key"
SOURCE_TAG = "portfolio_source"
BUNDLE_PATH = "bundle"
CARD = "model_card.md"
#: Of a model: the versions that were its champion before, separated by commas, the latest last.
HISTORY_TAG = "champions_before"
#: Of a version: the run of the comparison by which it became the champion.
EVIDENCE_TAG = "promoted_on_run"
LONGEST_HISTORY = 100
#: MLflow's page shows an experiment as training rather than as one of language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_REFERENCE = re.compile(r"(?:(?P<name>.+)[@/])?(?P<which>[A-Za-z_][A-Za-z0-9_-]*|[0-9]+)")


@dataclass(frozen=True)
class Version:
    """A registered version of a model: `sha256` is the identity of its bundle, `source` where it was trained from."""

    name: str
    number: str
    sha256: str
    source: str

    @property
    def label(self) -> str:
        """The name and version, as scores carry it."""
        return f"{self.name}/{self.number}"


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


def open_by_digest(sha256: str, tracking_uri: str) -> Bundle:
    """Find a bundle in the registry by its identity, whatever it was registered as, and read it.

    Raises:
        BundleError: no version has that bundle, or it is damaged.
    """
    client = client_for(tracking_uri)
    versions = client.search_model_versions(f"tags.{DIGEST_TAG} = '{sha256}'")
    if not versions:
        raise BundleError(f"the bundle with sha256 {sha256[:12]} is not in the registry any more")
    first = min(versions, key=lambda found: (found.name, int(found.version)))
    return open_model(f"{first.name}/{first.version}", tracking_uri)


def open_card(reference: str, tracking_uri: str) -> str:
    """Find the model card that was kept with a registered model; `reference` is as for `open_model`.

    Raises:
        BundleError: there is no such model, more than one could be meant, or it has no card.
    """
    client = client_for(tracking_uri)
    version = _find(client, reference, None)
    with tempfile.TemporaryDirectory() as folder:
        return _fetch(client, version, CARD, folder).read_text("utf-8")


def find_version(reference: str, tracking_uri: str, portfolio: str | None = None) -> Version:
    """Find a registered version by a reference as `open_model` takes it, a folder excepted.

    Raises:
        BundleError: there is no such version, or more than one could be meant.
    """
    return _described(_find(client_for(tracking_uri), reference, portfolio))


def alias_in(reference: str) -> tuple[str | None, str] | None:
    """The model's name, where there is one, and the alias in a reference; None where it is a version or a folder.

    >>> alias_in("champion"), alias_in("cards@challenger"), alias_in("cards/3")
    ((None, 'champion'), ('cards', 'challenger'), None)
    """
    match = _REFERENCE.fullmatch(reference)
    if (Path(reference) / MANIFEST).is_file() or match is None or match["which"].isdigit():
        return None
    return match["name"], match["which"]


def find_aliased(name: str | None, aliases: Collection[str], tracking_uri: str) -> tuple[str, Mapping[str, Version]]:
    """The name of a model, and its versions by those of some aliases that it has.

    Args:
        name: the model's name; the only one in the registry when None.
        aliases: the aliases to look for.
        tracking_uri: where MLflow keeps the models.

    Raises:
        BundleError: there is no such model, or more than one could be meant.
        StoreError: MLflow did not answer.
    """
    with asking(tracking_uri):
        client = client_for(tracking_uri)
        name = name or _only_model(client)
        numbers = {alias: str(number) for alias, number in model_of(client, name).aliases.items() if alias in aliases}
        return name, {alias: _described(client.get_model_version(name, number)) for alias, number in numbers.items()}


def promote(version: Version, champion: Version, evidence: Evidence, author: Author, tracking_uri: str) -> None:
    """Make a version the champion, and remember the one that was, and who did it on which figures.

    The alias moves in one step, after all else is written, so that there is a champion at any time. A challenger that
    became the champion is no challenger any more.

    Args:
        version: the one that follows.
        champion: the one that it was compared with.
        evidence: what it was decided on; the run of the comparison is kept with the version, too.
        author: who does it, and when.
        tracking_uri: where MLflow keeps the models.

    Raises:
        BundleError: another version became the champion meanwhile.
    """
    client, name = client_for(tracking_uri), version.name
    now = client.get_registered_model(name).aliases.get(CHAMPION)
    if now is None or str(now) != champion.number:
        raise BundleError(f"{champion.label} is not the champion any more, {name}/{now} is; compare with that")
    before = [*_history(client, name), champion.number][-LONGEST_HISTORY:]
    kept = _promotion(PROMOTED, champion.number, version.number, author, evidence)
    with recorded(client, experiment_of(client, name), name, kept):
        client.set_registered_model_tag(name, HISTORY_TAG, ",".join(before))
        client.set_model_version_tag(name, version.number, EVIDENCE_TAG, evidence.comparison)
        client.set_registered_model_alias(name, CHAMPION, version.number)
        if str(client.get_registered_model(name).aliases.get(CHALLENGER)) == version.number:
            client.delete_registered_model_alias(name, CHALLENGER)


def refuse(version: Version, champion: Version, evidence: Evidence, author: Author, tracking_uri: str) -> None:
    """Keep that a version was to become the champion and did not pass; arguments as for `promote`."""
    client = client_for(tracking_uri)
    kept = _promotion(REFUSED, champion.number, version.number, author, evidence)
    with recorded(client, experiment_of(client, version.name), version.name, kept):
        pass


def roll_back(name: str | None, author: Author, tracking_uri: str) -> Version:
    """Make the version champion that was it before; its bundle is read first. Returns that version.

    Args:
        name: the model's name; the only one in the registry when None.
        author: who does it, and when.
        tracking_uri: where MLflow keeps the models.

    Raises:
        BundleError: there is no such model, no earlier champion, or its bundle is damaged.
    """
    client = client_for(tracking_uri)
    name = name or _only_model(client)
    history = _history(client, name)
    if not history:
        raise BundleError(
            f"no version of {name} was champion before the present one; promote another with `recoup promote`"
        )
    before = _described(_version(client, name, history[-1]))
    open_model(before.label, tracking_uri)
    now = str(model_of(client, name).aliases.get(CHAMPION, ""))
    with recorded(client, experiment_of(client, name), name, _promotion(ROLLED_BACK, now, before.number, author)):
        client.set_registered_model_alias(name, CHAMPION, before.number)
        client.set_registered_model_tag(name, HISTORY_TAG, ",".join(history[:-1]))
    return before


def former_champions(name: str, tracking_uri: str) -> tuple[str, ...]:
    """The versions that were champion before the present one and still exist, the latest last."""
    return tuple(_history(client_for(tracking_uri), name))


def find_trained(tracking_uri: str, portfolio: str, training_key: str, author: Author | None = None) -> str | None:
    """The version that an equal training run (same data, settings and code) has registered, where there is one.

    Where the run that registered it was interrupted before it became the first champion, it does now; `author` is who
    sees to that.
    """
    client, name = client_for(tracking_uri), model_name(portfolio)
    versions = client.search_model_versions(f"name = '{name}'")
    same = [found.version for found in versions if found.tags.get(KEY_TAG) == training_key]
    if not same:
        return None
    version = str(max(same, key=int))
    if CHAMPION not in client.get_registered_model(name).aliases:
        _first_champion(client, name, version, author)
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
    if (file := embedded_file(tracking_uri)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def register(
    client: MlflowClient, name: str, run_id: str, sealed: Bundle, tags: dict[str, str], author: Author | None = None
) -> str:
    """Make a run's bundle a version of the model; the first one is its champion, a later one its challenger.

    Who registered the first one, and when, is kept as its promotion; not where nobody is named.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    tags = tags | {DIGEST_TAG: sealed.digest}
    source = f"{client.get_run(run_id).info.artifact_uri}/{BUNDLE_PATH}"
    version = str(client.create_model_version(name, source, run_id, tags=tags, await_creation_for=0).version)
    if CHAMPION in client.get_registered_model(name).aliases:
        client.set_registered_model_alias(name, CHALLENGER, version)
    else:
        _first_champion(client, name, version, author)
    return version


def experiment_of(client: MlflowClient, name: str) -> str:
    """The id of the experiment of that name, made where it is not there."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = _artifact_location(client)
    return str(client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS))


def _artifact_location(client: MlflowClient) -> str | None:
    """Beside an embedded store, rather than in whatever folder the command runs in; a server decides for itself."""
    file = embedded_file(str(client.tracking_uri))
    return None if file is None else (file.parent / "mlartifacts").resolve().as_uri()


def embedded_file(tracking_uri: str) -> Path | None:
    """The file of an embedded store; None for another."""
    return Path(tracking_uri.removeprefix("sqlite:///")) if tracking_uri.startswith("sqlite:///") else None


def _first_champion(client: MlflowClient, name: str, version: str, author: Author | None) -> None:
    kept = nullcontext() if author is None else recorded(
        client, experiment_of(client, name), name, _promotion(FIRST, "", version, author)
    )  # fmt: skip
    with kept:
        client.set_registered_model_alias(name, CHAMPION, version)


def _promotion(kind: Kind, before: str, after: str, author: Author, evidence: Evidence | None = None) -> Promotion:
    found = evidence or Evidence("")
    return Promotion(kind, before, after, author.name, author.at, found.comparison, found.checks)


def _find(client: MlflowClient, reference: str, portfolio: str | None) -> Any:
    """MLflow's version that a reference means."""
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


def _described(version: Any) -> Version:
    tags = version.tags
    return Version(version.name, str(version.version), tags.get(DIGEST_TAG, ""), tags.get(SOURCE_TAG, ""))


@contextmanager
def asking(tracking_uri: str) -> Iterator[None]:
    """Turn whatever an MLflow that is not there leads to into `StoreError`."""
    try:
        yield
    except RecoupError:
        raise
    except Exception as error:
        first_line = without_password(str(error).partition("\n")[0])[:200]
        raise StoreError(f"MLflow at {without_password(tracking_uri)} did not answer ({first_line})") from error


def without_password(uri: str) -> str:
    """A URI, or a text with some, as a message may show it.

    >>> without_password("https://me:secret@models.example/")
    'https://models.example/'
    """
    return re.sub(r"//[^/@]*@", "//", uri)


def model_of(client: MlflowClient, name: str) -> Any:
    """MLflow's model of this name; an MLflow that is not there is another error."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise BundleError(f"there is no model {name} in the registry; train one with `recoup train`") from None


def _history(client: MlflowClient, name: str) -> list[str]:
    """The former champions that still exist.

    The tag and the alias are two writes: where only one of them came about, the latest in the tag is the champion
    still, or again, and does not count.
    """
    model = model_of(client, name)
    existing = {str(found.version) for found in client.search_model_versions(f"name = '{name}'")}
    history = [number for number in model.tags.get(HISTORY_TAG, "").split(",") if number in existing]
    while history and history[-1] == str(model.aliases.get(CHAMPION)):
        history.pop()
    return history


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
