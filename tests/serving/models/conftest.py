"""A real registry with versions good and bad, made once; each test has a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from serving.models.pointer import POINTER, Placed
from serving.models.watcher import Followed, Watcher
from tests.serving.small import SETTINGS, small_bundle
from training.bundle import P_PAY, Bundle, read_bundle, write_bundle
from training.registry import BUNDLE_PATH, CARD, CHAMPION, client_for, register

#: The versions of the registry: three good ones, one whose file is not what was written, one of other channels.
GOOD, DAMAGED, UNFIT = ("1", "2", "3"), "4", "5"


@dataclass(frozen=True)
class Registry:
    """A registry that a test may change; the bundles lie where all tests find them."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def set_alias(self, alias: str, number: str) -> None:
        client_for(self.uri).set_registered_model_alias("small", alias, number)

    def drop_alias(self, alias: str) -> None:
        client_for(self.uri).delete_registered_model_alias("small", alias)


def versions() -> list[Bundle]:
    """Bundles that give different numbers for the same accounts."""
    good = [small_bundle(trees=trees) for trees in (12, 14, 16)]
    fewer = replace(SETTINGS, channels=SETTINGS.channels[:-1])
    support = tuple(arm for arm in good[0].manifest.support if arm.action != SETTINGS.channels[-1].name)
    unfit = replace(good[0], manifest=replace(good[0].manifest, portfolio=fewer, support=support))
    return [*good, small_bundle(trees=18), unfit]


@pytest.fixture(scope="session")
def all_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with all versions; none of them is the challenger, the first is champion."""
    folder = tmp_path_factory.mktemp("registry")
    client = client_for(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("small", artifact_location=(folder / "mlartifacts").as_uri())
    for place, bundle in enumerate(versions()):
        run_id = client.create_run(experiment).info.run_id
        sealed = write_bundle(bundle, folder / str(place) / BUNDLE_PATH)
        (folder / str(place) / CARD).write_text(f"# Model {place + 1}\n\n## Known limits\n\n- Few.\n", "utf-8")
        client.log_artifacts(run_id, str(folder / str(place)))
        number = register(client, "small", run_id, sealed, {})
        if number == DAMAGED:
            (found,) = (folder / "mlartifacts" / run_id).rglob(P_PAY)
            found.write_bytes(found.read_bytes().replace(b"tree", b"eert", 1))
    client.delete_registered_model_alias("small", "challenger")
    return folder


@pytest.fixture
def registry(all_versions: Path, tmp_path: Path) -> Registry:
    (tmp_path / "registry").mkdir()
    shutil.copy(all_versions / "mlflow.db", tmp_path / "registry")
    return Registry(tmp_path / "registry")


@dataclass(frozen=True)
class Watched:
    """A watcher and what it has said, with the file that it writes."""

    watcher: Watcher
    said: list[str]
    path: Path


@pytest.fixture
def watched(registry: Registry, tmp_path: Path) -> Callable[[], Watched]:
    """Make a watcher of the registry's champion; each is like another start of the same service."""

    def make(name: str | None = None, alias: str = CHAMPION) -> Watched:
        said: list[str] = []
        path = tmp_path / "serving" / "3000" / POINTER
        return Watched(
            Watcher(Followed(registry.uri, name, alias), tmp_path / "serving", path, said.append), said, path
        )

    return make


@pytest.fixture
def place(tmp_path: Path) -> Callable[[int], Placed]:
    """Lay down a bundle of so many trees, as the watcher does."""

    def lay(trees: int) -> Placed:
        folder = tmp_path / f"bundle-{trees}"
        write_bundle(small_bundle(trees=trees), folder)
        bundle = read_bundle(folder, f"small/{trees}")
        return Placed(bundle.label, bundle.digest, str(folder))

    return lay
