"""The watcher: follows an alias of the registry, and puts the bundles that it comes to mean into service.

It runs once per service, beside the workers. A version is fetched, checked against its sha256 and the settings, and
laid down before the pointer names it; one that does not pass is refused, and what was in service stays there. It stays
too while MLflow is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.errors import BundleError, StoreError
from features.settings import PortfolioSettings
from serving.engine import Engine
from serving.models.engines import ready
from serving.models.pointer import Placed, Pointer, read_pointer, write_pointer
from serving.starting import keep_bundle
from training.registry import CHALLENGER, Version, find_aliased, open_model

#: A version that was refused is looked at again after so many seconds: whoever mends it need not start anything.
RETRY_SECONDS = 30.0

logger = logging.getLogger("recoup")


@dataclass(frozen=True)
class Followed:
    """What is followed: an alias of a model, by its `name`, or of the only model that there is."""

    tracking_uri: str
    name: str | None
    alias: str
    #: The portfolio's settings as they are now; the bundle's own where there are none.
    settings: PortfolioSettings | None = None

    def reference(self, name: str) -> str:
        """The alias with the model's name before it, by which one that was found is known again."""
        return f"{self.name or name}@{self.alias}"


@dataclass(frozen=True)
class Found:
    """What the aliases mean now."""

    champion: Version
    challenger: Version | None


#: Hears the model's name and what its aliases mean, at every look that the registry answers.
OnFound = Callable[[str, Found], None]


class Watcher:
    """Follows an alias of the registry; all but the first look may be in a thread of its own."""

    def __init__(
        self, followed: Followed, folder: Path, path: Path, say: Callable[[str], None],
        on_found: OnFound = lambda *_: None,
    ) -> None:  # fmt: skip
        """Follow nothing yet.

        Args:
            followed: what to follow.
            folder: where bundles are laid down.
            path: where the pointer to them is written.
            say: told what a person should hear, a line at a time, each once.
            on_found: told what the registry answered, once that is in service or refused.
        """
        self._followed, self._folder, self._path, self._say = followed, folder, path, say
        self._on_found = on_found
        self._name = followed.name
        self._pointer: Pointer | None = None
        #: Those of the champion: the challenger is scored on the same histories.
        self._settings = followed.settings
        self._is_away = False
        #: Versions that were refused, each with when it is looked at again, on the monotonic clock.
        self._refused: dict[str, float] = {}

    def start(self) -> Pointer:
        """Put what the alias means into service, or what was there last where that cannot be had.

        Raises:
            BundleError: there is no such model, or its bundle cannot be used and none was in service before.
            StoreError: MLflow did not answer, and no bundle was in service before.
        """
        try:
            found = self._find()
        except StoreError as error:
            self._is_away = True
            return self._last_good(error)
        try:
            pointer = self._place(found)
        except (BundleError, OSError) as error:
            self._refused[found.champion.label] = time.monotonic() + RETRY_SECONDS
            pointer = self._last_good(error)
        self._on_found(found.champion.name, found)
        return pointer

    @property
    def settings(self) -> PortfolioSettings:
        """Those that the champion in service scores under; to be asked for once it was started."""
        if self._settings is None:
            raise RuntimeError("a watcher that was not started follows nothing")
        return self._settings

    def look(self) -> None:
        """Look at the registry once, and put into service what has changed."""
        try:
            found = self._find()
        except (StoreError, BundleError) as error:
            if not self._is_away:
                self._say(f"Warning: {error}; what is in service stays there.")
            self._is_away = True
            return
        if self._is_away:
            self._say("The registry answers again.")
            self._is_away = False
            self._refused.clear()
        if not self._is_waiting(found.champion):
            try:
                self._place(found)
            except (BundleError, OSError) as error:
                self._refuse(found.champion, error)
        self._on_found(found.champion.name, found)

    def run(self, stop: threading.Event, seconds: float) -> None:
        """Look every so many seconds until told to stop."""
        while not stop.wait(seconds):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 a fault in one look must not end the watch
                logger.error("fault in following the registry: %s: %s", type(error).__name__, error)  # noqa: TRY400

    def _find(self) -> Found:
        alias = self._followed.alias
        self._name, versions = find_aliased(self._name, {alias, CHALLENGER}, self._followed.tracking_uri)
        champion, challenger = versions.get(alias), versions.get(CHALLENGER)
        if champion is None:
            raise BundleError(
                f"no version of {self._name} is its {alias}; promote one, or name one like {self._name}/1"
            )
        return Found(champion, None if challenger == champion else challenger)

    def _place(self, found: Found) -> Pointer:
        """Put what was found into service; what is there already stays as it is."""
        before = self._pointer
        if before is not None and _is_of(before.champion, found.champion):
            champion = before.champion
        else:
            champion, engine = self._laid_down(found.champion, self._followed.settings)
            self._settings, before = engine.settings, None
        challenger = self._beside(found.challenger, before.challenger if before else None)
        pointer = Pointer(self._followed.reference(found.champion.name), champion, challenger)
        if pointer != self._pointer:
            write_pointer(pointer, self._path)
            self._tell(pointer)
            self._pointer = pointer
            for placed in (champion, challenger):
                self._refused.pop(placed.label if placed else "", None)
        return pointer

    def _beside(self, challenger: Version | None, before: Placed | None) -> Placed | None:
        """The challenger laid down; none where it is refused."""
        if challenger is None or self._is_waiting(challenger):
            return None
        if before is not None and _is_of(before, challenger):
            return before
        try:
            return self._laid_down(challenger, self._settings)[0]
        except (BundleError, OSError) as error:
            self._refuse(challenger, error)
            return None

    def _laid_down(self, version: Version, settings: PortfolioSettings | None) -> tuple[Placed, Engine]:
        bundle = open_model(version.label, self._followed.tracking_uri)
        engine = ready(bundle, settings)
        return Placed(bundle.label, bundle.digest, str(keep_bundle(bundle, self._folder).resolve())), engine

    def _last_good(self, error: Exception) -> Pointer:
        """What an earlier start followed under this name, where it can be used; the error goes on where not."""
        try:
            before = read_pointer(self._path)
            engine = ready(before.champion.read(), self._followed.settings)
        except BundleError:
            raise error from None
        name, _, _ = before.follows.rpartition("@")
        if before.follows != self._followed.reference(name):
            raise error
        # What became of its challenger meanwhile is not known.
        pointer = Pointer(before.follows, before.champion)
        write_pointer(pointer, self._path)
        self._name, self._pointer, self._settings = name, pointer, engine.settings
        self._say(f"Warning: {error}; starting with the last good model, {engine.label}.")
        return pointer

    def _tell(self, pointer: Pointer) -> None:
        """Say what has changed since the start."""
        before = self._pointer
        if before is not None and pointer.champion != before.champion:
            self._say(f"Serving model {pointer.champion.label} in the place of {before.champion.label}.")
        if pointer.challenger is not None and pointer.challenger != (before and before.challenger):
            self._say(f"Scoring by the challenger {pointer.challenger.label} behind the answers.")

    def _refuse(self, version: Version, error: Exception) -> None:
        if version.label not in self._refused:
            self._say(f"Warning: {version.label} is refused ({error}); what is in service stays there.")
        self._refused[version.label] = time.monotonic() + RETRY_SECONDS

    def _is_waiting(self, version: Version) -> bool:
        return time.monotonic() < self._refused.get(version.label, -1.0)


def _is_of(placed: Placed, version: Version) -> bool:
    """Whether this version is the one laid down; without its sha256 in the registry, its label has to do."""
    return placed.label == version.label and version.sha256 in ("", placed.digest)
