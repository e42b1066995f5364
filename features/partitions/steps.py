"""Long work in steps that are done once: what is finished stays finished, however often the work is stopped.

The steps of one piece of work share a folder. It is named by a key, a digest of everything that the work depends on; a
folder of another key is never gone on with. Each step has a folder of its own and, once it is finished, a note.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import MomentError, PortfolioError, RecoupError
from features.files import replacing

_KEY, _LOCK = "key.json", "lock"


@dataclass(frozen=True)
class Steps:
    """The folder of a piece of work: was it there before (`resumed`), or another one of another key (`renewed`)?"""

    folder: Path
    resumed: bool
    renewed: bool

    def do(self, name: str, work: Callable[[Path], Any]) -> Any:
        """What a step came to, as JSON: as noted if it is finished, else it is done now, from its beginning.

        Args:
            name: of the step, and of its folder.
            work: does it in an empty folder, and says what it came to.
        """
        note = self.folder / f"{name}.json"
        if note.exists():
            return json.loads(note.read_text("utf-8"))
        folder = self.folder / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        result = work(folder)
        with replacing(note) as temporary:
            temporary.write_text(json.dumps(result), encoding="utf-8")
        return result


@contextmanager
def steps(folder: Path, key: str) -> Iterator[Steps]:
    """Open the folder of a piece of work, for this process alone.

    It is removed when all went well, and when what was given cannot be used, since that will not change.

    Raises:
        RecoupError: the folder holds something else, cannot be written, or is being worked in.
    """
    with _writable(folder):
        found = _key_in(folder)
        if found is not None and found != key:
            with _locked(folder):
                shutil.rmtree(folder)
        if found != key:
            _create(folder, key)
    with _locked(folder):
        try:
            yield Steps(folder, resumed=found == key, renewed=found not in {None, key})
        except (PortfolioError, MomentError):
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def discard(folder: Path) -> None:
    """Remove the folder of work that nobody will go on with, if it is there and is one."""
    if _key_in(folder) is not None:
        with _writable(folder), _locked(folder):
            shutil.rmtree(folder)


def _key_in(folder: Path) -> str | None:
    """The key of the work in a folder; None where there is no folder."""
    if not folder.exists():
        return None
    try:
        return str(json.loads((folder / _KEY).read_text("utf-8"))["key"])
    except (OSError, ValueError, LookupError, TypeError):
        raise RecoupError(f"{folder} is where the work is kept and holds something else; move it elsewhere") from None


def _create(folder: Path, key: str) -> None:
    """Make the folder with its key at once, so that it is never seen without."""
    temporary = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / _KEY).write_text(json.dumps({"key": key}), encoding="utf-8")
    (temporary / _LOCK).touch()
    os.replace(temporary, folder)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise RecoupError(f"{folder} cannot be written ({reason}); choose another place") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others out; the lock of a process that was killed is gone with it."""
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecoupError(f"another run is at work in {folder}; wait for it to end") from None
        yield
