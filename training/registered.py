"""What the registry says of a model, for people: its versions with what they reached, their cards, its promotions.

A version's own files do not change once they are registered: they are fetched once, and handed in again after that.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from features.errors import BundleError
from training.bundle import MANIFEST, PAYMENT
from training.promotions import Promotion, read_promotions
from training.registry import (
    BUNDLE_PATH,
    CARD,
    CHAMPION,
    DIGEST_TAG,
    SOURCE_TAG,
    asking,
    client_for,
    model_of,
    without_password,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: A longer card is left where it is.
LONGEST_CARD = 200_000
_LIMITS = "## Known limits"


@dataclass(frozen=True)
class Facts:
    """What a version's own files say: the cut and the holdout of its manifest, its card, and the limits named there.

    `experiment` is the id of the experiment that its run is in. What could not be read is blank, and `trouble` says
    why.
    """

    trained_until: str = ""
    data_until: str = ""
    horizon_days: int = 0
    target: str = PAYMENT
    features: int = 0
    holdout: Mapping[str, float] = field(default_factory=dict)
    suspects: tuple[str, ...] = ()
    card: str = ""
    limits: tuple[str, ...] = ()
    experiment: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Registered:
    """A version as the registry has it: `made_at` is an instant, `sha256` the identity of its bundle.

    `source` is where it was trained from; `facts` is None while its files were not looked at.
    """

    number: str
    aliases: tuple[str, ...]
    made_at: int
    sha256: str
    run_id: str
    source: str
    facts: Facts | None = None


@dataclass(frozen=True)
class Registry:
    """What the registry says of a model: versions and promotions, the latest first.

    `experiment` is the id of the experiment with the runs of promotions and comparisons, blank where there is none.
    """

    model: str
    versions: tuple[Registered, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    experiment: str = ""

    @property
    def champion(self) -> Registered | None:
        """The version that is champion."""
        return next((version for version in self.versions if CHAMPION in version.aliases), None)

    def version(self, number: str) -> Registered | None:
        """The version of that number."""
        return next((version for version in self.versions if version.number == number), None)

    @property
    def is_whole(self) -> bool:
        """Whether the files of every version were looked at."""
        return all(version.facts is not None for version in self.versions)


def read_registry(name: str, tracking_uri: str, before: Registry | None = None, most: int | None = None) -> Registry:
    """Ask the registry for all it says of a model.

    Args:
        name: the model's name.
        tracking_uri: where MLflow keeps it.
        before: what it said earlier: the files of versions that are there are not fetched again.
        most: the files of so many versions are fetched, the latest first; of all where None.

    Raises:
        BundleError: there is no such model.
        StoreError: MLflow did not answer.
    """
    with asking(tracking_uri):
        client = client_for(tracking_uri)
        aliases: dict[str, list[str]] = {}
        for alias, number in sorted(model_of(client, name).aliases.items()):
            aliases.setdefault(str(number), []).append(str(alias))
        found = sorted(_versions(client, name), key=lambda one: int(one.version), reverse=True)
        known = {} if before is None or before.model != name else {_key(one): one.facts for one in before.versions}
        versions = [_registered(one, aliases.get(str(one.version), [])) for one in found]
        versions = [replace(one, facts=known.get(_key(one))) for one in versions]
        fetched = {one.number: read_facts(client, one) for one in _wanting(versions, most)}
        champion = next((one.number for one in versions if CHAMPION in one.aliases), None)
        experiment = client.get_experiment_by_name(name)
        return Registry(
            name,
            tuple(replace(one, facts=fetched.get(one.number, one.facts)) for one in versions),
            read_promotions(client, name, champion),
            "" if experiment is None else str(experiment.experiment_id),
        )


def _versions(client: MlflowClient, name: str) -> Iterable[Any]:
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _registered(version: Any, aliases: list[str]) -> Registered:
    tags = version.tags
    return Registered(
        number=str(version.version),
        aliases=tuple(aliases),
        made_at=int(version.creation_timestamp or 0) * 1_000,
        sha256=tags.get(DIGEST_TAG, ""),
        run_id=str(version.run_id or ""),
        source=tags.get(SOURCE_TAG, ""),
    )


def _key(version: Registered) -> tuple[str, str, str]:
    return version.number, version.run_id, version.sha256


def _wanting(versions: Iterable[Registered], most: int | None) -> list[Registered]:
    """The versions whose files are to be fetched: those never looked at, then those that gave trouble."""
    never = [one for one in versions if one.facts is None]
    again = [one for one in versions if one.facts is not None and one.facts.trouble]
    return [*never, *again][:most]


def read_facts(client: MlflowClient, version: Registered) -> Facts:
    """What the files of a version say; what of them cannot be had is blank, and said."""
    facts, card, troubles = Facts(), "", []
    try:
        experiment = str(client.get_run(version.run_id).info.experiment_id)
        manifest = _facts(_fetched(client, version, f"{BUNDLE_PATH}/{MANIFEST}"), version.sha256)
        facts = replace(manifest, experiment=experiment)
    except Exception as error:  # noqa: BLE001 MLflow's stores raise errors of every kind here
        troubles.append(_said(error))
    try:
        card = _card(_fetched(client, version, CARD))
    except Exception as error:  # noqa: BLE001 likewise
        troubles.append(_said(error))
    return replace(facts, card=card, limits=limits_in(card), trouble="; ".join(troubles))


def _card(content: bytes) -> str:
    card = content.decode("utf-8")
    if len(card) > LONGEST_CARD:
        raise BundleError(f"a card has at most {LONGEST_CARD:,} characters, this one has {len(card):,}")
    return card


def limits_in(card: str) -> tuple[str, ...]:
    r"""The known limits that a card names.

    >>> limits_in("# Model\n\n## Known limits\n\n- Few payers.\n- Old.\n\n## Fairness\n\n- Nothing.")
    ('Few payers.', 'Old.')
    """
    _, _, after = card.partition(f"{_LIMITS}\n")
    lines = after.partition("\n## ")[0].splitlines()
    return tuple(line.removeprefix("- ").strip() for line in lines if line.startswith("- "))


def _fetched(client: MlflowClient, version: Registered, artifact: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(version.run_id, artifact, folder)).read_bytes()


class _Suspect(msgspec.Struct):
    feature: str


class _Manifest(msgspec.Struct):
    """What is read of a manifest: enough for bundles of earlier formats, which cannot be served any more."""

    trained_until: str = ""
    data_until: str = ""
    horizon_days: int = 0
    target: str = PAYMENT
    features: tuple[str, ...] = ()
    holdout: dict[str, float] = {}
    suspects: tuple[_Suspect, ...] = ()


def _facts(content: bytes, sha256: str) -> Facts:
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError("its manifest is not the one that was registered")
    found = msgspec.json.decode(content, type=_Manifest)
    return Facts(
        trained_until=found.trained_until,
        data_until=found.data_until,
        horizon_days=found.horizon_days,
        target=found.target,
        features=len(found.features),
        holdout=found.holdout,
        suspects=tuple(one.feature for one in found.suspects),
    )


def _said(error: Exception) -> str:
    return without_password(str(error).partition("\n")[0])[:200] or type(error).__name__
