"""The pointer: it says what was written, whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from features.errors import BundleError
from serving.models.pointer import POINTER, Placed, Pointer, read_pointer, write_pointer

SHORT = Pointer("small@champion", Placed("small/1", "1" * 64, "/somewhere"))
LONG = Pointer("small@champion", Placed("small/2", "2" * 64, "/x" * 20_000), Placed("small/3", "3" * 64, "/y" * 20_000))


def test_it_says_what_was_written(tmp_path: Path) -> None:
    for pointer in (SHORT, LONG):
        write_pointer(pointer, tmp_path / "3000" / POINTER)
        assert read_pointer(tmp_path / "3000" / POINTER) == pointer


def test_nobody_sees_half_of_it(tmp_path: Path) -> None:
    # Several pages long, one of them, and read all the time: a file written in place would be seen cut off.
    path, stop, seen = tmp_path / POINTER, threading.Event(), set()
    write_pointer(SHORT, path)

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(read_pointer(path).champion.label)
            except BundleError as error:
                seen.add(str(error))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        write_pointer(LONG if turn % 2 else SHORT, path)
    stop.set()
    for reader in readers:
        reader.join()
    assert seen == {"small/1", "small/2"}


def test_a_write_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    write_pointer(SHORT, tmp_path / POINTER)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_pointer(LONG, tmp_path / POINTER)
    assert read_pointer(tmp_path / POINTER) == SHORT
    assert [path.name for path in tmp_path.iterdir()] == [POINTER]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"champion": 1}', b"\xff"])
def test_what_is_no_pointer_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / POINTER).write_bytes(content)
    with pytest.raises(BundleError, match="must say which models are in service"):
        read_pointer(tmp_path / POINTER)
