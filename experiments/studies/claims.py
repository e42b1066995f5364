"""Which process works on what: claims that other processes of this machine see, and that end with their holder.

A claim is a locked file. The system gives the lock back when its holder ends, however it ends: what a killed process
had begun is known to be nobody's at once, without waiting for a heartbeat to stop.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Claims:
    """The claims of the processes at work in one folder; this process has a token of its own there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.token = secrets.token_hex(8)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold this process's claim."""
        path = self._file(self.token)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time in here; others wait."""
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def is_held(self, token: str) -> bool:
        """Whether the process of a token is still at work; the file of one that is not is removed."""
        path = self._file(token)
        with suppress(FileNotFoundError), path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            path.unlink(missing_ok=True)
        return False

    def _file(self, token: str) -> Path:
        return self._folder / f"{token}.working"
