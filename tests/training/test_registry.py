"""The registry: aliases, what a reference may mean, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress

from features.errors import BundleError
from tests.training.world import NOW, histories, quick_settings, task
from training.card import limits
from training.promotions import Author, Evidence
from training.registered import read_registry
from training.registry import (
    client_for,
    find_trained,
    find_version,
    former_champions,
    model_name,
    open_by_digest,
    open_card,
    open_model,
    other_source,
    promote,
    roll_back,
)
from training.tracking import log_training
from training.train import Trained, train

ANN = Author("ann", NOW)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(histories(), quick_settings(), task(), Progress(disable=True))


@pytest.fixture(scope="module")
def store(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('var')}/mlflow.db"
    assert log_training(trained, uri, "first", "here", ANN).label == "small/1"
    assert log_training(trained, uri, "second", "here").label == "small/2"
    return uri


@pytest.mark.parametrize(
    ("reference", "portfolio", "label"),
    [
        ("champion", "small", "small/1"),
        ("challenger", "small", "small/2"),
        ("2", "small", "small/2"),
        ("small@champion", None, "small/1"),
        ("small/2", None, "small/2"),
        ("champion", None, "small/1"),
    ],
)
def test_a_reference_finds_its_version(store: str, reference: str, portfolio: str | None, label: str) -> None:
    assert open_model(reference, store, portfolio).label == label


def test_a_bundle_is_found_by_its_identity(store: str) -> None:
    digest = open_model("champion", store, "small").digest
    assert open_by_digest(digest, store).digest == digest
    with pytest.raises(BundleError, match="is not in the registry any more"):
        open_by_digest("0" * 64, store)


def test_a_bundle_comes_back_as_it_was(store: str, trained: Trained) -> None:
    found = open_model("champion", store, "small")
    assert found.links == trained.bundle.links
    assert found.manifest.features == trained.bundle.manifest.features


@pytest.mark.parametrize("reference", ["small/9", "nowhere@champion", "small@second-best"])
def test_an_unknown_model_is_one_clear_error(store: str, reference: str) -> None:
    with pytest.raises(BundleError, match="there is no model"):
        open_model(reference, store, None)


def test_an_equal_run_is_found(store: str) -> None:
    assert find_trained(store, "small", "second") == "small/2"
    assert find_trained(store, "small", "third") is None
    assert find_trained(store, "elsewhere", "second") is None


def test_a_model_trained_from_elsewhere_is_noticed(store: str) -> None:
    assert other_source(store, "small", "there") == "here"
    assert other_source(store, "small", "here") is None
    assert other_source(store, "new", "there") is None


def test_a_run_that_was_interrupted_is_not_left_running(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setattr("training.tracking.register", interrupt)
    with pytest.raises(KeyboardInterrupt):
        log_training(trained, uri, "key", "here")
    client = client_for(uri)
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert run.info.status == "KILLED"


def test_a_bundle_damaged_in_the_store_is_refused(trained: Trained, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log_training(trained, uri, "key", "here")
    (model,) = tmp_path.rglob("p_pay.txt")
    model.write_text(model.read_text().replace("1", "2", 1))
    with pytest.raises(BundleError, match="sha256"):
        open_model("champion", uri, "small")


def test_the_run_holds_parameters_metrics_and_plots(store: str) -> None:
    client = client_for(store)
    run = client.get_run(str(client.get_model_version_by_alias("small", "champion").run_id))
    assert run.data.params["p_pay.trees"] == "15"
    assert run.data.tags["data_digest"] == "digest"
    assert 0.5 < run.data.metrics["auc"] < 1
    assert run.data.metrics["band_A/accounts"] > 0
    names = {Path(found.path).name for found in client.list_artifacts(run.info.run_id, "holdout")}
    plots = ("calibration", "gain", "money_by_band", "stability", "contributions")
    tables = ("bands", "months", "contributions")
    assert names == {f"{name}.png" for name in plots} | {f"{name}.csv" for name in tables}


def test_the_card_is_kept_with_the_run(store: str) -> None:
    card = open_card("small@champion", store)
    assert card == open_card("small/2", store), "the card is that of the bundle, and the second run is equal"
    assert open_model("small/1", store).digest in card
    with pytest.raises(BundleError, match="there is no model"):
        open_card("small/9", store)


def test_who_made_the_first_champion_is_kept_with_what_its_files_say(store: str, trained: Trained) -> None:
    found = read_registry("small", store)
    (kept,) = found.promotions
    assert (kept.kind, kept.before, kept.after, kept.by, kept.at) == ("first", "", "1", "ann", NOW)
    assert found.champion is not None
    facts = found.champion.facts
    assert facts is not None
    assert facts.holdout == trained.bundle.manifest.holdout
    assert (facts.trained_until, facts.trouble) == (trained.bundle.manifest.trained_until, "")
    assert facts.card == open_card("small/1", store)
    assert list(facts.limits) == limits(trained.bundle.manifest)


def test_a_name_is_one_that_the_registry_takes() -> None:
    assert model_name("a/b: c") == "a-b-c"
    assert model_name("信用卡") == "信用卡"
    assert model_name("//") == "portfolio"


# -------------------------------------------------------------------------------- champions and the way back


@pytest.fixture(scope="module")
def first_three(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with three versions, the first of them champion."""
    folder = tmp_path_factory.mktemp("three")
    for key in ("first", "second", "third"):
        log_training(replace(trained, holdout=None), f"sqlite:///{folder}/mlflow.db", key, "here")
    return folder


@pytest.fixture
def three(first_three: Path, tmp_path: Path) -> str:
    """A registry of the test's own that begins like that; the bundles lie where they were."""
    shutil.copy(first_three / "mlflow.db", tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def move(uri: str, number: str) -> None:
    promote(find_version(f"small/{number}", uri), find_version("small@champion", uri), Evidence("a run"), ANN, uri)


def standing(uri: str) -> tuple[str, tuple[str, ...]]:
    """The champion, and those before it."""
    return find_version("champion", uri).number, former_champions("small", uri)


def test_champions_come_back_one_after_the_other(three: str) -> None:
    move(three, "2")
    move(three, "3")
    assert standing(three) == ("3", ("1", "2"))
    assert open_model("champion", three).label == "small/3"
    assert roll_back("small", ANN, three).label == "small/2"
    assert standing(three) == ("2", ("1",))
    move(three, "3")
    assert standing(three) == ("3", ("1", "2"))
    assert [roll_back(None, ANN, three).number for _ in range(2)] == ["2", "1"]
    with pytest.raises(BundleError, match="no version of small was champion before"):
        roll_back("small", ANN, three)
    assert standing(three) == ("1", ())


def test_there_is_a_champion_wherever_a_move_stops(three: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each write may be the last one that comes about: there is one champion, and the way back leads to another.
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.set_registered_model_alias", stop)
        with pytest.raises(KeyboardInterrupt):
            move(three, "2")
    assert standing(three) == ("1", ())
    move(three, "2")
    move(three, "3")
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.set_registered_model_tag", stop)
        with pytest.raises(KeyboardInterrupt):
            roll_back("small", ANN, three)
    assert standing(three) == ("2", ("1",))


def test_a_champion_that_was_deleted_is_passed_over(three: str) -> None:
    move(three, "2")
    move(three, "3")
    client_for(three).delete_model_version("small", "2")
    assert roll_back("small", ANN, three).label == "small/1"


def test_a_champion_whose_bundle_is_damaged_does_not_come_back(three: str) -> None:
    move(three, "2")
    client_for(three).set_model_version_tag("small", "1", "bundle_sha256", "0" * 64)
    with pytest.raises(BundleError, match="must be the one registered"):
        roll_back("small", ANN, three)
    assert standing(three) == ("2", ("1",))


def test_only_the_champion_that_was_compared_with_gives_way(three: str) -> None:
    before = find_version("small@champion", three)
    move(three, "2")
    with pytest.raises(BundleError, match="small/1 is not the champion any more, small/2 is"):
        promote(find_version("small/3", three), before, Evidence("a run"), ANN, three)
    assert standing(three) == ("2", ("1",))


def test_a_challenger_that_became_champion_is_no_challenger_any_more(three: str) -> None:
    move(three, "2")
    assert find_version("challenger", three).number == "3"
    move(three, "3")
    with pytest.raises(BundleError, match="there is no model"):
        find_version("challenger", three)


def test_no_model_cannot_be_rolled_back(three: str) -> None:
    with pytest.raises(BundleError, match="there is no model elsewhere"):
        roll_back("elsewhere", ANN, three)
