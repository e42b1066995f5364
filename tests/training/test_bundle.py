"""Bundles: what is written is what is read, and what is damaged is refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from features.compute import feature_matrix, prepare
from features.errors import BundleError
from features.units import from_money
from tests.training import world
from tests.training.world import files, histories, quick_settings, task
from training.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from training.moments import Moments, sample_moments
from training.train import Trained, train


@pytest.fixture(scope="module")
def trained() -> Trained:
    return world.trained()


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    write_bundle(trained.bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def _some(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    cuts = trained.cuts
    moments: Moments = sample_moments(histories(), cuts.until, cuts.test_end, 30, 30, cuts.data_end, 1)
    manifest = trained.bundle.manifest
    features = prepare(manifest.portfolio, manifest.features, manifest.categories)
    return feature_matrix(histories(), moments.account, moments.as_of, features), from_money(moments.balance)


def _same(a: Bundle, b: Bundle, matrix: np.ndarray, balance: np.ndarray) -> bool:
    pairs = zip(vars(a.predict(matrix, balance)).values(), vars(b.predict(matrix, balance)).values(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_a_bundle_read_back_predicts_the_same_bits(trained: Trained, folder: Path) -> None:
    assert _same(trained.bundle, read_bundle(folder), *_some(trained))
    assert read_bundle(folder).reference == trained.bundle.reference


def test_equal_runs_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    again = train(histories(), quick_settings(), task(), Progress(disable=True))
    write_bundle(again.bundle, tmp_path / "again")
    assert files(tmp_path / "again") == files(folder)


def test_another_process_with_other_threads_gives_equal_bytes(folder: Path, root: Path, tmp_path: Path) -> None:
    # Neither the order of a set, nor how sums are shared out among threads, nor the threads' number is in a bundle.
    (tmp_path / "histories").write_bytes(pickle.dumps(histories()))
    environment = os.environ | {"PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "tests.training.training_elsewhere", str(tmp_path), "1"]
    subprocess.run(program, cwd=root, env=environment, check=True, timeout=300)
    assert quick_settings().threads == 2
    assert files(tmp_path / "bundle") == files(folder)


def test_predictions_do_not_depend_on_threads_or_on_company(trained: Trained) -> None:
    matrix, balance = _some(trained)
    whole = trained.bundle.predict(matrix, balance, threads=2)
    for row in range(0, len(matrix), 37):
        alone = trained.bundle.predict(matrix[row : row + 1], balance[row : row + 1])
        for name, values in vars(whole).items():
            assert np.array_equal(getattr(alone, name), values[row : row + 1])


def test_predictions_are_possible_values(trained: Trained) -> None:
    found = trained.bundle.predict(*_some(trained))
    assert np.all((found.p_pay >= 0) & (found.p_pay <= 1))
    assert np.all((found.p_pay_by_action >= 0) & (found.p_pay_by_action <= 1))
    assert np.all(found.expected_amount >= 0)


def test_no_account_gives_no_prediction(trained: Trained) -> None:
    matrix, balance = _some(trained)
    assert trained.bundle.predict(matrix[:0], balance[:0]).p_pay_by_action.shape == (0, 7)


@pytest.mark.parametrize("name", ["p_pay.txt", "links.json", "reference.json", "hours.json"])
def test_a_changed_file_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"1", b"2", 1))
    with pytest.raises(BundleError, match=f"sha256, {name}"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["fraction.txt", MANIFEST])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(folder)


def test_another_bundle_than_the_registered_one_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="must be the one registered"):
        read_bundle(folder, "small/1", digest="0" * 64)


def test_another_format_is_refused(trained: Trained, tmp_path: Path) -> None:
    other = replace(trained.bundle, manifest=replace(trained.bundle.manifest, format=99))
    write_bundle(other, tmp_path)
    with pytest.raises(BundleError, match=r"format 5, got 99 .*train anew"):
        read_bundle(tmp_path)


def test_a_bundle_of_before_references_is_refused_with_what_to_do(folder: Path) -> None:
    # The format is read before all else: an old manifest may lack, or have, other fields.
    (folder / MANIFEST).write_text('{"format": 1, "models": ["p_pay"]}')
    with pytest.raises(BundleError, match=r"format 5, got 1 .*train anew"):
        read_bundle(folder)


def test_there_is_no_pickle_in_it(folder: Path) -> None:
    for content in files(folder).values():
        content.decode("utf-8")
    models = {"p_pay.txt", "fraction.txt", "promise.txt"}
    assert set(files(folder)) <= {"manifest.json", "links.json", "reference.json", "hours.json", *models}
