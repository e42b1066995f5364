"""What the registry was seen to hold: the file beside the pointer that pages read, so that workers need no MLflow.

The watcher writes it when something has changed, and every minute, so that the moment it is of stays near. While MLflow
is away the last one stays, and its moment says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from features.errors import SettingsError
from features.files import replacing
from training.registered import Registry, read_registry

SEEN = "registry.json"
#: What has not changed is looked at again after so many seconds.
REFRESH_SECONDS = 60.0
#: The files of so many versions are fetched at one look, so that a promotion does not wait behind hundreds of them.
MOST_VERSIONS = 10

logger = logging.getLogger("recoup")


@dataclass(frozen=True)
class Seen:
    """What the registry held at a moment (an instant), and where people find MLflow's pages; blank: nowhere."""

    at: int
    registry: Registry
    mlflow_url: str = ""

    def run_address(self, run_id: str, experiment: str = "") -> str:
        """The address of a run's page in MLflow; blank where there is none."""
        experiment = experiment or self.registry.experiment
        if not (self.mlflow_url and run_id and experiment):
            return ""
        return f"{self.mlflow_url}/#/experiments/{quote(experiment, safe='')}/runs/{quote(run_id, safe='')}"


class Notes:
    """Writes down what the registry holds, as often as there is reason to."""

    def __init__(self, tracking_uri: str, path: Path, now: Callable[[], int], mlflow_url: str = "") -> None:
        """Write nothing yet.

        Args:
            tracking_uri: where MLflow is asked.
            path: the file.
            now: gives the present.
            mlflow_url: where people find MLflow's pages.
        """
        self._tracking_uri, self._path, self._now, self._mlflow_url = tracking_uri, path, now, mlflow_url
        before = read_seen(path)
        self._registry = None if before is None else before.registry
        self._found: object = None
        self._due = 0.0
        self._has_failed = False

    def look(self, name: str, found: object) -> None:
        """Write it down anew where there is reason to.

        What goes wrong is told to the log, once, and tried again after a while: scores do not depend on it.

        Args:
            name: the model's name.
            found: what the aliases mean now; where that is as before, a minute is waited.
        """
        if found == self._found and time.monotonic() < self._due:
            return
        self._found, self._due = found, time.monotonic() + REFRESH_SECONDS
        try:
            registry = read_registry(name, self._tracking_uri, self._registry, MOST_VERSIONS)
            write_seen(Seen(self._now(), registry, self._mlflow_url), self._path)
        except Exception as error:  # noqa: BLE001 whatever the registry holds, scores are to be given
            if not self._has_failed:
                logger.warning("the page of models is not brought up to date: %s", error)
            self._has_failed = True
            return
        self._registry, self._has_failed = registry, False
        if not registry.is_whole:
            self._due = 0.0


def write_seen(seen: Seen, path: Path) -> None:
    """Put it in the place of the one before, as a whole.

    Raises:
        RecoupError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(msgspec.json.encode(seen))


def read_seen(path: Path) -> Seen | None:
    """What was written last; None where nothing was, or nothing that can be read."""
    try:
        found = path.stat()
        return _read(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, _signature: tuple[int, int, int]) -> Seen:
    return msgspec.json.decode(path.read_bytes(), type=Seen)


def pages_url(asked: str | None, tracking_uri: str) -> str:
    """Where people find MLflow's pages: what was asked for, else the tracking server without a password; else blank.

    Raises:
        SettingsError: it is no http or https URL.

    >>> pages_url(None, "https://me:secret@models.example:8443/mlflow/"), pages_url(None, "sqlite:////var/mlflow.db")
    ('https://models.example:8443/mlflow', '')
    """
    parts = urlsplit(asked or tracking_uri)
    if parts.scheme in ("http", "https") and parts.hostname:
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    if asked:
        raise SettingsError(f"MLflow's pages are at an address like https://mlflow.example, got {asked!r}")
    return ""
