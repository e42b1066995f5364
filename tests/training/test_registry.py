"""The registry: aliases, what a reference may mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from features.errors import BundleError
from tests.training.world import histories, quick_settings, task
from training.registry import client_for, find_trained, model_name, open_card, open_model, other_source
from training.tracking import log_training
from training.train import Trained, train


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(histories(), quick_settings(), task(), Progress(disable=True))


@pytest.fixture(scope="module")
def store(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('var')}/mlflow.db"
    assert log_training(trained, uri, "first", "here").label == "small/1"
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


def test_a_name_is_one_that_the_registry_takes() -> None:
    assert model_name("a/b: c") == "a-b-c"
    assert model_name("信用卡") == "信用卡"
    assert model_name("//") == "portfolio"
