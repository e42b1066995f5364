"""Files that workers map into memory, with all of their room on the disk taken beforehand.

A page of a mapped file for which the disk has no room ends the process that writes it (SIGBUS), whatever it was doing:
on a full disk, one worker after the other.
"""

from __future__ import annotations

import os
from pathlib import Path

from features.errors import SettingsError


def take_room(path: Path, n_bytes: int) -> None:
    """Make a file so long, and have the disk keep room for all of it; what is in it stays, what is new is zeros.

    Raises:
        SettingsError: the disk has no such room.
    """
    try:
        path.touch()
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.write(bytes(max(0, n_bytes - file.seek(0, os.SEEK_END))))
    except OSError as error:
        raise SettingsError(
            f"a worker needs {n_bytes:,} bytes for {path}, which cannot be had ({error.strerror}); make room there"
        ) from None
