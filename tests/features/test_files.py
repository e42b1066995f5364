"""Files: the old one or the new one, never a part, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import RecoupError
from features.files import replacing


def test_a_file_takes_the_place_of_the_old_one_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == path.suffix
            temporary.write_text(content, encoding="utf-8")
            assert not path.exists() or path.read_text("utf-8") == "old"
        assert path.read_text("utf-8") == content
    assert list(path.parent.iterdir()) == [path]


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise LookupError


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(LookupError):
        write_half(path)
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecoupError, match=r"table\.csv cannot be written"), replacing(tmp_path / "file" / "table.csv"):
        pass
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(RecoupError, match="choose another place"), replacing(tmp_path / "table.csv") as temporary:
        temporary.touch()
