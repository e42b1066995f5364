"""What answers requests in a worker, and how it is exchanged while they come in.

A request asks once for what is in service and keeps it until it is answered, so that no answer mixes two models. A
new bundle is read, and has scored an account, before it takes the place of the one before.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from features.errors import BundleError, RecoupError
from features.settings import PortfolioSettings
from serving.engine import Engine, make_engine, warm_up
from serving.models.pointer import Placed, Pointer, read_pointer
from training.bundle import Bundle

#: A worker looks at the pointer so often, in seconds.
LOOK_SECONDS = 0.25
#: A pointer that could not be followed is tried again after so many seconds.
RETRY_SECONDS = 10.0

#: What settings are called whose file gives no name: they take that of the bundle.
UNNAMED = "unnamed"

logger = logging.getLogger("recoup")


@dataclass(frozen=True)
class InService:
    """What answers, and what scores beside it, where there is something; never changed, only exchanged as a whole."""

    pointer: Pointer
    champion: Engine
    challenger: Engine | None = None


def ready(bundle: Bundle, settings: PortfolioSettings | None) -> Engine:
    """An engine that has scored an account.

    Args:
        bundle: what it scores by.
        settings: the portfolio's as they are now, which take the bundle's name where they are `UNNAMED`; the bundle's
            own when None.

    Raises:
        BundleError: the bundle does not fit the settings, or cannot score.
    """
    if settings is not None:
        own = bundle.manifest.portfolio.name
        settings = replace(settings, name=own if settings.name == UNNAMED else settings.name)
    try:
        engine = make_engine(bundle, settings)
        warm_up(engine)
    except RecoupError:
        raise
    except Exception as error:  # LightGBM's own among them
        raise BundleError(f"model {bundle.label} cannot score ({type(error).__name__}: {error}); train anew") from error
    return engine


class Engines:
    """The engines that a pointer names, exchanged when it changes."""

    def __init__(self, path: Path, settings: PortfolioSettings | None = None) -> None:
        """Load what the pointer at `path` names; `settings` as for `ready`.

        Raises:
            BundleError: there is no pointer, or the champion that it names cannot be used.
        """
        self._path, self._settings = path, settings
        self._signature = _signature(path)
        self._retry_at = 0.0
        self._current = self._loaded(read_pointer(path), None)

    def current(self) -> InService:
        """What is in service; a request asks once."""
        return self._current

    def champion(self) -> Engine:
        """What answers requests; a request asks once."""
        return self._current.champion

    def challenger(self) -> Engine | None:
        """What scores beside it, where there is something."""
        return self._current.challenger

    def look(self) -> bool:
        """Follow the pointer where it has changed; whether something else is in service now.

        What cannot be followed is told to the log, once, and tried again later; what was in service stays there.
        """
        signature = _signature(self._path)
        if signature == self._signature and (not self._retry_at or time.monotonic() < self._retry_at):
            return False
        is_first_time = signature != self._signature
        self._signature, self._retry_at = signature, 0.0
        try:
            pointer = read_pointer(self._path)
            if pointer == self._current.pointer:
                return False
            self._current = self._loaded(pointer, self._current)
        except Exception as error:  # noqa: BLE001 whatever is wrong with a new bundle, the one in service stays
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if is_first_time:
                logger.warning("%s stays in service: %s", self._current.champion.label, error)
            return False
        return True

    def follow(self, stop: threading.Event, seconds: float = LOOK_SECONDS) -> None:
        """Look every so many seconds until told to stop."""
        while not stop.wait(seconds):
            self.look()

    def _loaded(self, pointer: Pointer, before: InService | None) -> InService:
        champion = before.champion if before and before.pointer.champion == pointer.champion else None
        champion = champion or ready(pointer.champion.read(), self._settings)
        return InService(pointer, champion, _beside(pointer.challenger, champion.settings))


def _beside(placed: Placed | None, settings: PortfolioSettings) -> Engine | None:
    """The challenger; one that cannot be used does not hinder the champion."""
    if placed is None:
        return None
    try:
        return ready(placed.read(), settings)
    except BundleError as error:
        logger.warning("the challenger is not scored: %s", error)
        return None


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced, or None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
