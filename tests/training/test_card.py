"""The model card: the same for the same run, and it says what the run has shown against the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from features.catalog import catalogue
from features.settings import PortfolioSettings
from tests.training.world import NOW, histories, quick_settings, task, trained
from training.bundle import P_PAY, Bundle, write_bundle
from training.card import limits, model_card
from training.contributions import by_family, mean_contributions
from training.train import Trained, train

GOOD = {
    "accounts": 9_000.0, "paying_accounts": 900.0, "auc": 0.8, "auc_error": 0.01, "auc_days_past_due": 0.6,
    "brier": 0.05, "calibration_error": 0.01, "predicted_payers": 890.0, "payers": 900.0, "predicted_amount": 99.0,
    "actual_amount": 100.0, "predicted_to_actual": 0.99, "predicted_to_actual_error": 0.067,
    "top_tenth_money_share": 0.5,
}  # fmt: skip


def card_of(of: Trained, folder: Path) -> str:
    assert of.holdout is not None
    manifest = of.bundle.manifest
    families = {feature.name: feature.family for feature in catalogue(manifest.portfolio)}
    explained = mean_contributions(of.bundle.models[P_PAY], of.holdout.sample, manifest.features, families)
    return model_card(of, write_bundle(of.bundle, folder), explained)


def test_an_equal_run_gives_an_equal_card(tmp_path: Path) -> None:
    again = train(histories(), quick_settings(), replace(task(), now=NOW + 1), Progress(disable=True))
    assert card_of(trained(), tmp_path / "a") == card_of(again, tmp_path / "b")


def test_a_card_says_what_the_model_was_made_from_and_reached(tmp_path: Path) -> None:
    card, manifest = card_of(trained(), tmp_path), trained().bundle.manifest
    sealed = write_bundle(trained().bundle, tmp_path / "again")
    for known in (manifest.data_digest, manifest.trained_until, manifest.versions["lightgbm"], sealed.digest):
        assert known in card
    assert f"{manifest.holdout['auc']:.3f}  (sampling error" in card
    assert all(f"\n| {band} | " in card for band in "ABCDEFGHIJ")
    assert all(f"\n| {arm.action} | " in card for arm in manifest.support)


def test_without_unseen_time_a_card_says_so(tmp_path: Path) -> None:
    manifest = replace(trained().bundle.manifest, holdout={})
    bare = replace(trained(), holdout=None, bundle=replace(trained().bundle, manifest=manifest))
    card = model_card(bare, write_bundle(bare.bundle, tmp_path), None)
    assert "nothing is known of how it does on unseen time" in card


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"predicted_to_actual": 1.1}, ""),
        ({"predicted_to_actual": 1.2}, "Money predicted was 1.20"),
        ({"predicted_to_actual_error": 0.2}, "no better than 20%"),
        ({"predicted_payers": 1_000.0}, "1,000 payers were predicted and 900 seen"),
        ({"auc": 0.98}, "look for a leak"),
        ({"auc_days_past_due": 0.79}, "no better than days past due alone"),
    ],
)
def test_limits_are_what_the_run_showed(changed: dict[str, float], said: str) -> None:
    manifest = replace(trained().bundle.manifest, holdout=GOOD | changed, support=())
    plain = "The effect of no channel can be told"
    found = [limit for limit in limits(manifest) if plain not in limit]
    assert (not found and not said) or (len(found) == 1 and said in found[0])


def test_audit_columns_are_named_as_not_learned_from(tmp_path: Path) -> None:
    manifest = replace(trained().bundle.manifest, portfolio=PortfolioSettings("any", audit=("gender",)))
    audited = replace(trained(), bundle=replace(trained().bundle, manifest=manifest))
    sealed: Bundle = write_bundle(audited.bundle, tmp_path)
    assert "(gender) were not learned from" in model_card(audited, sealed, None)


def test_contributions_are_those_of_the_rows_and_of_their_families() -> None:
    class Model:
        """Contributions as LightGBM gives them: a column per feature, then the mean raw score."""

        def predict(self, matrix: np.ndarray, **_: object) -> np.ndarray:
            return np.column_stack([matrix[:, 0], -2 * matrix[:, 1], 0 * matrix[:, 0], np.full(len(matrix), 9.0)])

    matrix = np.array([[1, 1, 1], [-3, 1, 1]], dtype=np.float32)
    table = mean_contributions(Model(), matrix, ("a", "b", "c"), {"a": "x", "b": "y", "c": "x"})
    assert table["contribution"].tolist() == [2.0, 2.0, 0.0]
    assert table["feature"].tolist() == ["a", "b", "c"]
    families = by_family(table)
    assert families["share"].tolist() == [0.5, 0.5]
    assert dict(zip(families["family"], families["features"], strict=True)) == {"x": 2, "y": 1}
