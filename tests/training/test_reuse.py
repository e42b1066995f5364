"""What `recoup train --reuse` takes for an equal run: the same data at another time may be another question."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from features.units import DAY
from tests.training.world import NOW, histories, portfolio, trained
from training.commands import Kept
from training.commands import train as train_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The portfolio as a user has it, and a registry of its own."""
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path / "var"))
    folder = tmp_path / "small"
    folder.mkdir()
    for name, frame in portfolio().tables.items():
        frame.to_parquet(folder / f"{name}.parquet")
    return folder


def _key_at(now: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key under which a training run at a moment is kept; nothing is trained."""
    keys: list[str] = []

    def kept(*given: object) -> object:
        keys.extend(one.key for one in given if isinstance(one, Kept))
        return trained().bundle

    monkeypatch.setattr("training.commands._train", kept)
    monkeypatch.setattr("features.environment.now", lambda: now)
    result = CliRunner().invoke(train_command, [str(folder), "--reuse", "--brief"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (key,) = keys
    return key


def test_rows_that_are_not_known_yet_make_a_later_run_another_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the last forty days still to come, training would cut forty days earlier: its bundle must not be reused.
    early = int(histories().payments.known.max()) - 40 * DAY
    keys = [_key_at(now, folder, monkeypatch) for now in (early, early + DAY, NOW, NOW + DAY)]
    assert len(set(keys[:3])) == 3
    assert keys[2] == keys[3]  # all is known: time alone changes nothing
