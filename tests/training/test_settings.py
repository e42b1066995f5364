"""Training settings: the defaults, what a file changes, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import SettingsError
from training.settings import read_training_settings


def test_a_file_changes_what_it_states_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = 7\n[p_pay]\ntrees = 11\n")
    mine, default = read_training_settings(tmp_path / "mine.toml"), read_training_settings()
    assert (mine.seed, mine.p_pay.trees) == (7, 11)
    assert mine.p_pay.leaves == default.p_pay.leaves
    assert mine.effects == default.effects


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sead = 7", "sead"),
        ("[p_pay]\ntree = 11", "tree"),
        ("[p_pay]\ntrees = 0", "p_pay.trees"),
        ("[p_pay]\nlearning_rate = 2", "p_pay.learning_rate"),
        ("seed = 'one'", "seed"),
        ("seed = ", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        read_training_settings(tmp_path / "wrong.toml")


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_training_settings(tmp_path / "nowhere.toml")
