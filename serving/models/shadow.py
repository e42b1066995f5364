"""Shadow scores: what the challenger would have said, worked out behind the answers.

An answer hands its work in and goes on. There is room for so much work; what does not fit is left out and counted, so
that the challenger never makes anybody wait.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.engine import Engine

#: Accounts that may wait to be scored: ten of the largest requests for scores.
MOST_ACCOUNTS = 10_000

#: Scores what was asked by an engine, and records the scores under its label.
Record = Callable[[Engine], None]

logger = logging.getLogger("recoup")


@dataclass(frozen=True)
class Counts:
    """How many accounts were scored behind the answers, left out for want of room, and failed."""

    scored: int = 0
    dropped: int = 0
    failed: int = 0


@dataclass
class Shadow:
    """The work of a challenger: handed in by answers, done one by one in a thread of its own.

    `challenger` gives the engine, or None where nothing is to be scored.
    """

    challenger: Callable[[], Engine | None]
    most_accounts: int = MOST_ACCOUNTS
    _waiting: deque[tuple[Record, int]] = field(default_factory=deque, init=False)
    _accounts: int = field(default=0, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _scored: int = field(default=0, init=False)
    _dropped: int = field(default=0, init=False)
    _failed: int = field(default=0, init=False)

    def offer(self, record: Record, n_accounts: int) -> bool:
        """Hand in the work of one answer; whether it was taken.

        Args:
            record: scores the accounts of the answer by the engine that it is given, and records the scores.
            n_accounts: how many accounts it scores.
        """
        if self.challenger() is None:
            return False
        with self._changed:
            # What is larger than all the room is taken where nothing else waits, or it never would be.
            if self._accounts and self._accounts + n_accounts > self.most_accounts:
                self._dropped += n_accounts
                return False
            self._waiting.append((record, n_accounts))
            self._accounts += n_accounts
            self._changed.notify_all()
            return True

    def counts(self) -> Counts:
        """How it went so far."""
        with self._changed:
            return Counts(self._scored, self._dropped, self._failed)

    def run(self, stop: threading.Event) -> None:
        """Do what is handed in until told to stop; what waits then is left out and counted."""
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting), timeout=0.5)
                work = self._waiting.popleft() if self._waiting else None
            if work is not None:
                self._do(*work)
        with self._changed:
            self._dropped += sum(n_accounts for _, n_accounts in self._waiting)
            self._waiting.clear()
            self._accounts = 0

    def settle(self, seconds: float) -> bool:
        """Wait until nothing waits or is being done; false where that is not so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._accounts, timeout=seconds)

    def _do(self, record: Record, n_accounts: int) -> None:
        engine, is_done = self.challenger(), False
        try:
            if engine is not None:
                record(engine)
                is_done = True
        except Exception as error:  # noqa: BLE001 a challenger that cannot score must not end the thread
            # Only what: a message may quote an account.
            logger.error("a shadow score failed: %s", type(error).__name__)  # noqa: TRY400
        with self._changed:
            self._accounts -= n_accounts
            self._scored += n_accounts * is_done
            self._failed += n_accounts * (engine is not None and not is_done)
            self._dropped += n_accounts * (engine is None)
            self._changed.notify_all()
