"""How much is taken: requests a second by key over all workers, and requests and bytes at once in each worker.

How deep JSON may be nested needs no counting here: every decoder of a body knows the shape it reads, and refuses what
is nested otherwise where it meets it.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.guard.access import RefusedError
from serving.guard.mapped import take_room

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MEBIBYTE = 1024 * 1024


class ClientGoneError(Exception):
    """The connection was closed before the body had arrived."""


@dataclass(frozen=True)
class Limits:
    """What a service takes; the rate holds over all workers, the rest in each of them."""

    #: Requests a second by key, on average; a burst may be of twice as many.
    rate: float = 500.0
    #: Requests that are answered or wait for their turn at once.
    waiting: int = 32
    #: The largest body: the histories of some ten thousand accounts.
    body_bytes: int = 32 * MEBIBYTE
    #: All bodies that are held at once.
    held_bytes: int = 256 * MEBIBYTE
    #: Until a request must have arrived and been answered.
    seconds: float = 60.0


class Rates:
    """Token buckets in a file that the workers share: a key's rate is that of the whole service.

    For each key one number is kept, the moment until which what it sent is paid for (the generic cell rate algorithm,
    ITU-T I.371). Moments are those of the machine's monotonic clock. Two workers that write at once may let one request
    too many through, and never one too few. The 65,536th key shares its bucket with the first.
    """

    _SLOTS = 65_536
    _NUMBER = struct.Struct("=d")

    def __init__(self, file: Path, rate: float, clock: Callable[[], float]) -> None:
        size = self._SLOTS * self._NUMBER.size
        take_room(file, size)
        with file.open("r+b") as opened:
            self._paid_until = mmap.mmap(opened.fileno(), size)
        self._interval, self._clock = 1 / rate, clock
        self._burst_seconds = max(2.0, self._interval)

    def take(self, number: int) -> None:
        """Take one request of a key.

        Raises:
            RefusedError: with 429, and after how many seconds there is room again.
        """
        now, at = self._clock(), number % self._SLOTS * self._NUMBER.size
        kept: float = self._NUMBER.unpack_from(self._paid_until, at)[0]
        # Nobody can have paid for more than a burst: a moment further ahead is of before the machine was started anew.
        paid_until = (max(kept, now) if kept <= now + self._burst_seconds else now) + self._interval
        if (over := paid_until - now - self._burst_seconds) > 0:
            rate = f"{1 / self._interval:g}"
            raise RefusedError(429, "rate", f"a key may send {rate} requests a second; slow down", math.ceil(over))
        self._NUMBER.pack_into(self._paid_until, at, paid_until)


class Places:
    """The requests and bytes that a worker holds: more of either is refused at once, instead of waiting for long."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.taken, self.held_bytes = 0, 0
        self._limits, self._clock = limits, clock
        #: How long a request takes from its place to its answer, smoothed.
        self._seconds = 0.0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while the block runs.

        Raises:
            RefusedError: with 429, where all are taken.
        """
        if self.taken >= self._limits.waiting:
            raise self._busy()
        self.taken += 1
        started = self._clock()
        try:
            yield
        finally:
            self.taken -= 1
            self._seconds += 0.1 * (self._clock() - started - self._seconds)

    async def read_body(self, receive: Receive, declared: int) -> bytes:
        """Read a body, no further than it may be long; `release` its bytes when it has been answered.

        Raises:
            RefusedError: with 413, or with 429 where the worker holds too much already.
            ClientGoneError: the connection was closed before its end.
        """
        self._check_size(declared)
        parts: list[bytes] = []
        length, more = 0, True
        try:
            while more:
                part, more = await _next_part(receive)
                length += len(part)
                self.held_bytes += len(part)
                self._check_size(length)
                parts.append(part)
        except BaseException:
            self.release(length)
            raise
        return b"".join(parts)

    def release(self, n_bytes: int) -> None:
        """Let go of the bytes of a body."""
        self.held_bytes -= n_bytes

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.body_bytes:
            limit = f"{self._limits.body_bytes:,}"
            raise RefusedError(413, "too_large", f"a body holds at most {limit} bytes; send fewer accounts at once")
        if self.held_bytes > self._limits.held_bytes:
            raise self._busy()

    def _busy(self) -> RefusedError:
        return RefusedError(
            429, "busy", "as many requests as can wait are waiting; try again later", max(1, math.ceil(self._seconds))
        )


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    """A part of a body, and whether another follows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)
