"""Work in steps: each is done once, and nobody's folder is taken for one's own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from features.errors import PortfolioError, RecoupError
from features.partitions.steps import discard, steps


def test_a_step_is_done_once_and_one_that_stopped_from_its_beginning(tmp_path: Path) -> None:
    work = tmp_path / "work"
    done: list[str] = []

    def first(folder: Path) -> list[int]:
        done.append("first")
        (folder / "rows").touch()
        return [1, 2]

    def second(folder: Path) -> str:
        assert not list(folder.iterdir())
        done.append("second")
        (folder / "half").touch()
        if done.count("second") < 2:
            raise KeyboardInterrupt
        return "x"

    for place in range(2):
        try:
            with steps(work, "key") as of_work:
                assert (of_work.resumed, of_work.renewed) == (bool(place), False)
                assert of_work.do("first", first) == [1, 2]
                assert of_work.do("second", second) == "x"
                assert (work / "first" / "rows").exists()
        except KeyboardInterrupt:
            assert work.exists()
    assert done == ["first", "second", "second"]
    assert not list(tmp_path.iterdir())


def test_work_of_another_key_is_not_gone_on_with(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with suppress(KeyboardInterrupt), steps(work, "one") as of_work:
        assert of_work.do("first", lambda _: 1) == 1
        raise KeyboardInterrupt
    with steps(work, "other") as of_work:
        assert (of_work.resumed, of_work.renewed) == (False, True)
        assert of_work.do("first", lambda _: 2) == 2


def test_what_cannot_be_used_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PortfolioError), steps(tmp_path / "work", "key"):
        raise PortfolioError("no table")
    assert not list(tmp_path.iterdir())


def test_work_is_done_by_one_at_a_time(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with steps(work, "key"):
        for key in ("key", "other"):
            with pytest.raises(RecoupError, match="another run is at work in"), steps(work, key):
                pass
        with pytest.raises(RecoupError, match="another run is at work in"):
            discard(work)
        assert work.exists()


@pytest.mark.parametrize("key", [None, "", "[]", "{}", "5"])
def test_the_folder_of_somebody_else_is_left_alone(tmp_path: Path, key: str | None) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine").touch()
    if key is not None:
        (work / "key.json").write_text(key, encoding="utf-8")
    with pytest.raises(RecoupError, match="holds something else; move it elsewhere"), steps(work, "key"):
        pass
    with pytest.raises(RecoupError, match="holds something else"):
        discard(work)
    assert (work / "mine").exists()


def test_work_that_nobody_goes_on_with_is_discarded(tmp_path: Path) -> None:
    work = tmp_path / "work"
    discard(work)
    with pytest.raises(KeyboardInterrupt), steps(work, "key"):
        raise KeyboardInterrupt
    assert json.loads((work / "key.json").read_text("utf-8")) == {"key": "key"}
    discard(work)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecoupError, match="cannot be written"), steps(tmp_path / "file" / "work", "key"):
        pass
