"""The watcher: it follows a real registry, refuses what is not sound, and outlives an MLflow that is not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import BundleError, StoreError
from serving.models import watcher as module
from serving.models.pointer import Placed, read_pointer
from tests.serving.models.conftest import DAMAGED, UNFIT, Registry, Watched, versions
from tests.serving.small import AS_OF
from training.bundle import P_PAY
from training.promotions import Author, Evidence
from training.registry import CHALLENGER, CHAMPION, find_version, promote

Make = Callable[..., Watched]


def labels(watched: Watched) -> tuple[str, str | None]:
    """Champion and challenger, as a worker reads them; their bundles are sound."""
    pointer = read_pointer(watched.path)
    pointer.champion.read()
    if pointer.challenger is not None:
        pointer.challenger.read()
    return pointer.champion.label, pointer.challenger.label if pointer.challenger else None


def hide(registry: Registry) -> None:
    """Take MLflow away: its database is no database any more, not even for who has it open."""
    shutil.copy(registry.folder / "mlflow.db", registry.folder / "hidden")
    (registry.folder / "mlflow.db").write_bytes(b"no database" * 1000)


def bring_back(registry: Registry) -> None:
    (registry.folder / "mlflow.db").write_bytes((registry.folder / "hidden").read_bytes())


def test_a_promotion_is_followed(registry: Registry, watched: Make) -> None:
    service = watched()
    service.watcher.start()
    assert labels(service) == ("small/1", None)
    registry.set_alias(CHALLENGER, "2")
    service.watcher.look()
    assert labels(service) == ("small/1", "small/2")
    before, after = (find_version(f"small/{number}", registry.uri) for number in "12")
    promote(after, before, Evidence("a run"), Author("ann", AS_OF), registry.uri)
    service.watcher.look()
    assert labels(service) == ("small/2", None)
    assert service.said == [
        "Scoring by the challenger small/2 behind the answers.",
        "Serving model small/2 in the place of small/1.",
    ]
    written = service.path.stat().st_mtime_ns
    service.watcher.look()
    assert service.path.stat().st_mtime_ns == written


def test_what_is_served_is_what_was_registered(registry: Registry, watched: Make) -> None:
    service = watched()
    service.watcher.start()
    for number, bundle in zip(("1", "2", "3"), versions(), strict=False):
        registry.set_alias(CHAMPION, number)
        service.watcher.look()
        served = read_pointer(service.path).champion.read()
        assert {name: model.num_trees() for name, model in served.models.items()} == {
            name: model.num_trees() for name, model in bundle.models.items()
        }
        assert served.label == f"small/{number}"


def test_a_damaged_champion_is_refused_in_one_line(
    registry: Registry, watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    service = watched()
    service.watcher.start()
    registry.set_alias(CHAMPION, DAMAGED)
    for _ in range(3):
        service.watcher.look()
    assert labels(service) == ("small/1", None)
    (line,) = service.said
    assert line.startswith(f"Warning: small/{DAMAGED} is refused (a bundle's files must match their sha256, {P_PAY}")
    registry.set_alias(CHAMPION, "2")
    service.watcher.look()
    assert labels(service) == ("small/2", None)


def test_a_refused_version_is_not_fetched_again_at_every_look(
    registry: Registry, watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = watched()
    service.watcher.start()
    registry.set_alias(CHAMPION, DAMAGED)
    service.watcher.look()

    def fetch(*_: object) -> None:
        pytest.fail("it was refused just now")

    monkeypatch.setattr(module, "open_model", fetch)
    service.watcher.look()
    assert len(service.said) == 1


def test_a_challenger_that_does_not_fit_is_not_scored(registry: Registry, watched: Make) -> None:
    registry.set_alias(CHALLENGER, UNFIT)
    service = watched()
    service.watcher.start()
    assert labels(service) == ("small/1", None)
    assert "small/5 is refused (model small/5" in service.said[0]
    registry.set_alias(CHALLENGER, "3")
    service.watcher.look()
    assert labels(service) == ("small/1", "small/3")
    registry.drop_alias(CHALLENGER)
    service.watcher.look()
    assert labels(service) == ("small/1", None)


def test_a_full_disk_leaves_the_one_in_service(
    registry: Registry, watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    service = watched()
    service.watcher.start()
    registry.set_alias(CHAMPION, "2")
    with monkeypatch.context() as patch:
        patch.setattr(module, "keep_bundle", full)
        service.watcher.look()
    assert labels(service) == ("small/1", None)
    assert "No space left on device" in service.said[0]
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_pointer", full)
        service.watcher._refused.clear()
        service.watcher.look()
    assert labels(service) == ("small/1", None)
    service.watcher.look()
    assert labels(service) == ("small/2", None)


def test_mlflow_goes_and_comes_back(registry: Registry, watched: Make) -> None:
    service = watched()
    service.watcher.start()
    registry.set_alias(CHAMPION, "2")
    hide(registry)
    for _ in range(3):
        service.watcher.look()
    assert labels(service) == ("small/1", None)
    assert len(service.said) == 1
    assert "did not answer" in service.said[0]
    bring_back(registry)
    service.watcher.look()
    assert labels(service) == ("small/2", None)
    assert service.said[1:] == [
        "The registry answers again.",
        "Serving model small/2 in the place of small/1.",
    ]


def test_without_mlflow_it_starts_with_the_last_good_one(registry: Registry, watched: Make) -> None:
    registry.set_alias(CHALLENGER, "3")
    watched().watcher.start()
    hide(registry)
    service = watched()
    assert service.watcher.start().champion.label == "small/1"
    assert "starting with the last good model, small/1" in service.said[0]
    bring_back(registry)
    service.watcher.look()
    assert labels(service) == ("small/1", "small/3")


def test_without_mlflow_another_model_is_not_what_was_asked_for(registry: Registry, watched: Make) -> None:
    watched("small").watcher.start()
    hide(registry)
    for name, alias in (("other", CHAMPION), (None, CHALLENGER)):
        with pytest.raises(StoreError, match="did not answer"):
            watched(name, alias).watcher.start()
    assert watched("small").watcher.start().champion.label == "small/1"


def test_a_damaged_champion_at_the_start(registry: Registry, watched: Make) -> None:
    registry.set_alias(CHAMPION, DAMAGED)
    with pytest.raises(BundleError, match="must match their sha256"):
        watched().watcher.start()
    registry.set_alias(CHAMPION, "1")
    watched().watcher.start()
    registry.set_alias(CHAMPION, DAMAGED)
    service = watched()
    assert service.watcher.start().champion.label == "small/1"
    service.watcher.look()
    assert labels(service) == ("small/1", None)
    assert len(service.said) == 1


def test_the_last_good_one_is_not_trusted_blindly(registry: Registry, watched: Make) -> None:
    placed: Placed = watched().watcher.start().champion
    hide(registry)
    Path(placed.folder, P_PAY).write_bytes(b"")
    with pytest.raises(StoreError, match="did not answer"):
        watched().watcher.start()
    bring_back(registry)
    service = watched()
    service.watcher.start()  # laid down anew
    assert labels(service) == ("small/1", None)


def test_no_champion_is_one_clear_error_at_the_start_and_a_warning_later(registry: Registry, watched: Make) -> None:
    service = watched()
    service.watcher.start()
    registry.drop_alias(CHAMPION)
    with pytest.raises(BundleError, match="no version of small is its champion"):
        watched().watcher.start()
    for _ in range(2):
        service.watcher.look()
    assert labels(service) == ("small/1", None)
    assert len(service.said) == 1
    with pytest.raises(BundleError, match="there is no model elsewhere"):
        watched("elsewhere").watcher.start()
