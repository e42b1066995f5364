"""Sessions of browsers: a cookie that stands for a key for some hours, without the key in it.

A session is signed with a secret of the service that all of its workers read from one file, and with the digest of its
key: it is kept nowhere, and ends with the key. Where somebody signs out, the digest of the session is kept until it
would have been over, and each worker knows of it as it knows of revoked keys.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.units import HOUR
from serving.guard.keys import Key, KeyRefusedError, Keys

#: The cookie's name.
COOKIE = "recoup_session"
#: How long a session lasts, in microseconds: a working day.
LASTS = 12 * HOUR
_SECRET_BYTES, _NONCE_BYTES = 32, 9


@dataclass(frozen=True)
class Entrance:
    """What a page knows of who asks for it, and how to let others in.

    Args:
        key: the key that was shown, itself or by a session; None where none was, or none is needed.
        is_open: whether the service answers without a key, since none was ever made.
        sign_in: takes a key as its holder has it, and gives the session that stands for it; raises `RefusedError`.
        sign_out: ends the session that came with the request, on every machine; raises `StoreError`.
        is_tls: whether cookies are for TLS alone.
    """

    key: Key | None
    is_open: bool
    sign_in: Callable[[str], str]
    sign_out: Callable[[], None]
    is_tls: bool = False


class Sessions:
    """Writes sessions and reads them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, key: Key, now: int) -> str:
        """The session of a key, which begins now; no two are the same."""
        return self._signed(key, now + LASTS, secrets.token_urlsafe(_NONCE_BYTES))

    def holder(self, session: str, keys: Keys, now: int) -> Key:
        """The key that a session stands for.

        Raises:
            KeyRefusedError: it is none, or it is over, or its key is.
        """
        number, ends, nonce, *_ = [*session.split(".", 3), "", ""]
        key = keys.by_number.get(int(number)) if _is_number(number) and _is_number(ends) else None
        if key is None or not hmac.compare_digest(self._signed(key, int(ends), nonce).encode(), session.encode()):
            raise KeyRefusedError("sign in with a key that `recoup keys` made")
        if int(ends) <= now or key.ended(now) or session_digest(session) in keys.ended_sessions:
            raise KeyRefusedError("this session is over; sign in again")
        return key

    def _signed(self, key: Key, ends: int, nonce: str) -> str:
        said = f"{key.number}.{ends}.{nonce}"
        sign = hmac.new(self._secret, said.encode() + b"." + key.digest, hashlib.sha256).digest()
        return f"{said}.{urlsafe_b64encode(sign).decode().rstrip('=')}"


def session_digest(session: str) -> bytes:
    """What is kept of a session that was ended, 32 bytes."""
    return hashlib.sha256(session.encode()).digest()


def session_secret(file: Path | None) -> bytes:
    """The secret in a file that all workers share, made where there is none; one of this process without a file."""
    if file is None:
        return secrets.token_bytes(_SECRET_BYTES)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole before it has its name, and readable by its owner alone; of two workers at once the first one's stays.
        handle, temporary = tempfile.mkstemp(prefix=".sessions-", dir=file.parent)
        with os.fdopen(handle, "wb") as opened:
            opened.write(secrets.token_bytes(_SECRET_BYTES))
        try:
            os.link(temporary, file)
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    return file.read_bytes()


def _is_number(text: str) -> bool:
    return 0 < len(text) < 20 and text.isascii() and text.isdecimal()
