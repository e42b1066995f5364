"""The engines of a worker: exchanged whole, and only for what is sound."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import BundleError
from serving.models import engines as module
from serving.models.engines import UNNAMED, Engines, ready
from serving.models.pointer import POINTER, Placed, Pointer, write_pointer
from serving.scoring import score
from tests.serving.small import AS_OF, SETTINGS, same_bits, small_bundle, small_histories
from training.bundle import P_PAY

Place = Callable[[int], Placed]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / POINTER


def point(path: Path, champion: Placed, challenger: Placed | None = None) -> None:
    write_pointer(Pointer("small@champion", champion, challenger), path)


def test_another_champion_takes_the_place(path: Path, place: Place) -> None:
    point(path, place(12))
    engines = Engines(path)
    before = engines.current()
    assert not engines.look()
    point(path, place(14))
    assert engines.look()
    assert (engines.champion().label, engines.challenger()) == ("small/14", None)
    # A request that began before goes on with what it took.
    assert before.champion.label == "small/12"
    found = score(engines.champion().scorer, small_histories(), AS_OF)
    alone = score(ready(replace(small_bundle(trees=14), label="small/14"), None).scorer, small_histories(), AS_OF)
    assert same_bits(found, alone)


def test_a_champion_that_stays_is_not_read_again(path: Path, place: Place) -> None:
    champion, challenger = place(12), place(14)
    point(path, champion)
    engines = Engines(path)
    before = engines.champion()
    point(path, champion, challenger)
    assert engines.look()
    assert engines.champion() is before
    beside = engines.challenger()
    assert beside is not None
    assert beside.label == "small/14"


def test_what_is_damaged_is_refused_once_and_the_good_one_stays(
    path: Path, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    good, bad = place(12), place(14)
    point(path, good)
    engines = Engines(path)
    whole = Path(bad.folder, P_PAY).read_bytes()
    Path(bad.folder, P_PAY).write_bytes(whole[:-100])
    point(path, bad)
    with caplog.at_level(logging.WARNING, "recoup"):
        assert not any(engines.look() for _ in range(5))
    assert len(caplog.records) == 1
    assert "small/12 stays in service" in caplog.text
    assert "must match their sha256" in caplog.text
    assert engines.champion().label == "small/12"
    # The pointer has not changed, and still it is followed once that is possible: no worker is left behind.
    Path(bad.folder, P_PAY).write_bytes(whole)
    assert engines.look()
    assert engines.champion().label == "small/14"


def test_a_pointer_that_is_gone_or_no_pointer_changes_nothing(path: Path, place: Place) -> None:
    point(path, place(12))
    engines = Engines(path)
    path.unlink()
    assert not engines.look()
    path.write_text("{")
    assert not engines.look()
    assert engines.champion().label == "small/12"
    point(path, place(14))
    assert engines.look()


def test_a_damaged_challenger_does_not_hinder_the_champion(path: Path, place: Place) -> None:
    champion, challenger = place(12), place(14)
    Path(challenger.folder, P_PAY).unlink()
    point(path, champion, challenger)
    engines = Engines(path)
    assert (engines.champion().label, engines.challenger()) == ("small/12", None)


def test_a_bundle_in_the_place_of_another_is_refused(path: Path, place: Place) -> None:
    # Sound in itself, but not the one that was laid down under this name.
    point(path, replace(place(12), folder=place(14).folder))
    with pytest.raises(BundleError, match="must be the one registered"):
        Engines(path)


def test_settings_without_a_name_take_the_bundles(path: Path, place: Place) -> None:
    point(path, place(12))
    assert Engines(path, replace(SETTINGS, name=UNNAMED, commission_rate=0.5)).champion().settings == replace(
        SETTINGS, commission_rate=0.5
    )


def test_a_bundle_that_cannot_score_is_refused() -> None:
    bundle = small_bundle()
    broken = replace(bundle, manifest=replace(bundle.manifest, features=bundle.manifest.features[:-1]), label="small/9")
    with pytest.raises(BundleError, match="small/9 cannot score"):
        ready(broken, None)
