"""API keys: how one is written, what is kept of it, and the keys that a worker knows of.

A key reads `recoup_NUMBER_SECRET`. The secret has 256 random bits, so that a plain SHA-256 of it is all that needs to
be kept: nothing can be guessed from that. The number finds the row; the comparison takes the same time whatever was
sent.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from features.errors import RecoupError, StoreError

#: How often a worker looks for new, revoked and expired keys. A revocation holds everywhere within twice that.
SECONDS_BETWEEN_LOOKS = 2.0
_PREFIX = "recoup"
_LONGEST = 200

logger = logging.getLogger("recoup")


class Scope(StrEnum):
    """What a key may be for."""

    SCORE = "score"
    EVENTS = "events"
    REVIEW = "review"
    ADMIN = "admin"


class KeyRefusedError(RecoupError):
    """A key that opens nothing."""


@dataclass(frozen=True)
class Key:
    """What is kept of a key; instants are in microseconds."""

    number: int
    name: str
    #: SHA-256 of the secret, 32 bytes.
    digest: bytes
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    @property
    def key_id(self) -> str:
        """What logs and the ledger call it."""
        return str(self.number)

    def ended(self, now: int) -> str | None:
        """Why it opens nothing at an instant; None where it does."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None


def new_secret() -> str:
    """A secret of 256 random bits, in 43 characters."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is kept of a secret, 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def write_token(number: int, secret: str) -> str:
    """The key as its holder has it.

    >>> write_token(7, "abc")
    'recoup_7_abc'
    """
    return f"{_PREFIX}_{number}_{secret}"


def read_token(token: str) -> tuple[int, str] | None:
    """The number and the secret of a key; None where it is written otherwise.

    >>> read_token("recoup_7_abc"), read_token("Basic abc")
    ((7, 'abc'), None)
    """
    prefix, _, rest = token.partition("_")
    number, _, secret = rest.partition("_")
    if prefix != _PREFIX or not secret or len(token) > _LONGEST or not (number.isascii() and number.isdigit()):
        return None
    return int(number), secret


@dataclass(frozen=True)
class Keys:
    """All keys as they were at one look, by number; ended ones among them.

    `ended_sessions` has the digests of sessions that stand for a key no longer, though it is in use.
    """

    by_number: Mapping[int, Key]
    ended_sessions: Collection[bytes] = frozenset()

    def holder(self, token: str, now: int) -> Key:
        """The key that a token is.

        Raises:
            KeyRefusedError: there is no such key, or it has ended; the second is said to its holder alone.
        """
        number, secret = read_token(token) or (-1, "")
        key = self.by_number.get(number)
        # A digest is compared whether or not there is such a key, so that time says nothing about the numbers in use.
        same = hmac.compare_digest(key.digest if key else bytes(32), digest_of(secret))
        if key is None or not same:
            raise KeyRefusedError("no such key; send `Authorization: Bearer KEY` with one that `recoup keys` made")
        if ended := key.ended(now):
            raise KeyRefusedError(
                f"this key has {'expired' if ended == 'expired' else 'been revoked'}; ask for another"
            )
        return key


def keys_of(rows: Sequence[Key], ended_sessions: Collection[bytes] = frozenset()) -> Keys:
    """Keys by their number."""
    return Keys({key.number: key for key in rows}, ended_sessions)


class KeyWatch:
    """The keys that a worker knows of, looked up in a thread of its own: no request waits for the store.

    `current` is None until the first look worked; where a later one fails, the last keys stay, and `reachable` says no.
    """

    def __init__(
        self, read: Callable[[], Sequence[Key]], seconds: float = SECONDS_BETWEEN_LOOKS,
        read_ended_sessions: Callable[[], Collection[bytes]] = frozenset,
    ) -> None:  # fmt: skip
        self.current: Keys | None = None
        self.reachable = False
        self._read, self._seconds, self._read_ended_sessions = read, seconds, read_ended_sessions
        #: Whether the log says already that the store is gone.
        self._told = False
        self._stopped = threading.Event()

    def look(self) -> None:
        """Look once."""
        try:
            self.current, reachable = keys_of(self._read(), self._read_ended_sessions()), True
        except StoreError as error:
            reachable = False
            if not self._told:
                logger.error("keys cannot be read: %s", error)  # noqa: TRY400 the message says it all
        if reachable and not self.reachable:
            logger.info("keys are read from the store")
        self.reachable, self._told = reachable, not reachable

    def start(self) -> None:
        """Look now, and from time to time until `stop`."""
        self.look()
        threading.Thread(target=self._keep_looking, name="recoup-keys", daemon=True).start()

    def stop(self) -> None:
        """End the looking."""
        self._stopped.set()

    def _keep_looking(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.look()
