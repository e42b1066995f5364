"""The pointer: a small file that says which bundles are in service, and where they lie.

The watcher writes it, and the workers look at it, so that they need neither MLflow nor each other. It is replaced as a
whole: whoever reads it sees what was before or what is after, and never half of either.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from features.errors import BundleError

if TYPE_CHECKING:
    from training.bundle import Bundle

POINTER = "models.json"


@dataclass(frozen=True)
class Placed:
    """A bundle that was laid down: its label as scores carry it, its identity (sha256), and its folder."""

    label: str
    digest: str
    folder: str

    def read(self) -> Bundle:
        """Read the bundle.

        Raises:
            BundleError: it is damaged, or not the one that was laid down.
        """
        from training.bundle import read_bundle  # who only looks which one it is does without

        return read_bundle(Path(self.folder), self.label, self.digest)


@dataclass(frozen=True)
class Pointer:
    """Which bundle answers, and which one is scored beside it, where there is one.

    `follows` is what the registry was asked for, like `cards@champion`.
    """

    follows: str
    champion: Placed
    challenger: Placed | None = None


def write_pointer(pointer: Pointer, path: Path) -> None:
    """Put a pointer in the place of the one before, in one step that outlives a power cut.

    Raises:
        OSError: the folder cannot be written; the pointer from before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".models-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(pointer), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_pointer(path: Path) -> Pointer:
    """Read a pointer.

    Raises:
        BundleError: there is none, or it is not what `write_pointer` writes.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pointer)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} must say which models are in service; start the service again ({error})") from None
