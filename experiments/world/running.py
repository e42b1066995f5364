"""Runs accounts through days, a chunk of accounts at a time on a few threads, and collects what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from experiments.world.chance import stream
from experiments.world.codes import POLICY
from experiments.world.compiled import entry, sources
from experiments.world.debtors import SEASON
from experiments.world.settings import WorldSettings
from experiments.world.state import DAY_OF_WORLD, EVENT, empty_desk
from experiments.world.step import BY_CHANCE, step

Records = npt.NDArray[Any]
#: Called with the name of a stage, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
Result = TypeVar("Result")
#: Accounts in a chunk: a fraction of a second of work, so that a run shows progress and can be interrupted.
CHUNK = 512
_EVENTS_PER_DAY = 1  # a first guess; a chunk with more is run again with room for all


def calendar_of(settings: WorldSettings) -> Records:
    """Every day of the world and of the horizon after it, `(days + horizon_days,)`."""
    days = [settings.start + timedelta(day) for day in range(settings.days + settings.horizon_days)]
    rows = [(day.day, SEASON[day.month - 1]) for day in days]
    return np.array(rows, dtype=DAY_OF_WORLD)


def desk_of(settings: WorldSettings) -> Records:
    """A desk for one thread, `(1,)`."""
    return empty_desk(settings.start_instant, settings.exploration, settings.discretion)


@cache
def _run_accounts() -> Callable[[Records, int, int, int, Records, Records, Records], int]:
    world = sources()

    def run_accounts(
        states: Records, seed: int, first: int, end: int, calendar: Records, desks: Records, events: Records
    ) -> int:
        world  # noqa: B018 - in the closure, see `entry`
        desk, written = desks[0], 0
        for place in range(len(states)):
            state = states[place]
            key = stream(seed, state.account, 0)
            for day in range(max(first, state.placed_day), end):
                step(state, day, calendar[day], key, POLICY, BY_CHANCE, desk)
                for event in range(desk.written):
                    if written < len(events):
                        events[written] = desk.events[event]
                    written += 1
        return written

    return entry(run_accounts)


def run(
    settings: WorldSettings, states: Records, first: int, end: int, threads: int, progress: Progress
) -> tuple[Records, Records]:
    """Let happen what happens from day `first` to day `end` (excluded).

    Returns:
        The states `(n,)` on the morning of `end`, and the events, account by account and in the order of time.
    """
    calendar = calendar_of(settings)

    def run_chunk(part: Records) -> tuple[Records, Records]:
        room = CHUNK * (end - first) * _EVENTS_PER_DAY
        while True:
            after, events = part.copy(), np.empty(room, EVENT)
            room = _run_accounts()(after, settings.seed, first, end, calendar, desk_of(settings), events)
            if room <= len(events):
                return after, events[:room].copy()

    label = "world" if first == 0 else "what follows"
    parts = by_chunk(run_chunk, states, threads, lambda done: progress(label, done, len(states)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def by_chunk(
    work: Callable[[Records], Result], states: Records, threads: int, done: Callable[[int], None]
) -> list[Result]:
    """Work on chunks of accounts on a few threads; the results in the order of the accounts."""
    chunks = list(_chunks(states))
    finished = 0
    with ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(work, chunk): place for place, chunk in enumerate(chunks)}
        try:
            for future in as_completed(futures):
                future.result()
                finished += len(chunks[futures[future]])
                done(finished)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _chunks(states: Records) -> Iterator[Records]:
    for start in range(0, max(len(states), 1), CHUNK):
        yield states[start : start + CHUNK]
