"""What `recoup serve` tells its workers of the guard, as JSON in one variable, and what a guard is made of."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import msgspec

from serving.guard.access import OPERATIONS, RefusedError, Rule, Rules
from serving.guard.keys import KeyWatch
from serving.guard.limits import Limits, Message, Places, Rates
from serving.guard.metrics import Metrics, exposition, forget_dead_workers
from serving.guard.middleware import Guarding, Refusal
from serving.guard.sessions import Sessions, session_secret
from serving.store.database import Store
from serving.store.keys import read_keys
from serving.store.sessions import end_session, read_ended_sessions

#: The variable that holds the settings.
VARIABLE = "RECOUP_GUARD"


@dataclass(frozen=True)
class GuardSettings:
    """How a service is guarded; what it is where nobody says so is the strictest."""

    limits: Limits = field(default_factory=Limits)
    #: Whether it listens on this machine alone, and is open while no key was ever made.
    open_without_keys: bool = False
    tls: bool = False
    #: The file in which the workers keep the rates of keys; without one, no rate is kept.
    rates: str | None = None
    #: The file with the secret that sessions of browsers are signed with; without one, each worker has its own.
    sessions: str | None = None


def write_settings(settings: GuardSettings) -> str:
    """The settings as JSON."""
    return msgspec.json.encode(settings).decode()


def read_settings(text: str | None) -> GuardSettings:
    """The settings from JSON; the strictest where there is none."""
    return msgspec.json.decode(text, type=GuardSettings) if text else GuardSettings()


def make_guarding(
    settings: GuardSettings,
    rules: tuple[Rule, ...],
    store: Store,
    metrics: Metrics,
    metrics_folder: Path | None,
    now: Callable[[], int],
    refused_page: Callable[[Message, RefusedError], Refusal] | None = None,
) -> Guarding:
    """What a worker's guard goes by: starts the look-out for keys.

    Args:
        settings: how the service is guarded.
        rules: those of the API's endpoints.
        store: where the keys are.
        metrics: the figures of this worker.
        metrics_folder: where the workers keep their figures; None for a process by itself.
        now: gives the present as an instant.
        refused_page: says to a person why a page is refused.
    """
    if metrics_folder is not None:
        forget_dead_workers(metrics_folder, _is_alive)
    watch = KeyWatch(
        functools.partial(read_keys, store), read_ended_sessions=functools.partial(read_ended_sessions, store)
    )
    watch.start()
    return Guarding(
        rules=Rules((*OPERATIONS, *rules)),
        keys=watch,
        limits=settings.limits,
        places=Places(settings.limits, monotonic),
        rates=None if settings.rates is None else Rates(Path(settings.rates), settings.limits.rate, monotonic),
        metrics=metrics,
        expose=functools.partial(exposition, metrics, metrics_folder),
        now=now,
        open_without_keys=settings.open_without_keys,
        tls=settings.tls,
        sessions=Sessions(session_secret(None if settings.sessions is None else Path(settings.sessions))),
        end_session=functools.partial(end_session, store),
        refused_page=refused_page,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
