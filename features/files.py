"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.errors import RecoupError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the place of `path` when all went well.

    The temporary file has the same ending, since some writers go by that, and is hidden.

    Raises:
        RecoupError: the file cannot be written there.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise RecoupError(f"{path} cannot be written ({reason}); choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
