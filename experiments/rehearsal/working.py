"""A world in which somebody else decides: day by day, an order for every account, and what came of it.

Chance is that of the world itself, by account and day: two policies that give an account the same orders on the same
days meet the same answers and the same payments (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.world import WorldSettings
from experiments.world.chance import stream
from experiments.world.codes import ALLOWED, BY_RULE, N_ACTIONS, POLICY
from experiments.world.compiled import entry, sources
from experiments.world.policy import ladder
from experiments.world.population import populate
from experiments.world.running import Records, calendar_of, desk_of, run
from experiments.world.simulation import no_progress
from experiments.world.state import EVENT, EVENTS_A_DAY
from experiments.world.step import BY_CHANCE, step
from experiments.world.tables import accounts_frame, event_frames
from experiments.world.truth import Truth, truth_of
from features.units import DAY, NULL_TIME, from_money

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@cache
def _work_day() -> Callable[[Records, int, int, Records, Ints, Records, Records], int]:
    world = sources()

    def work_day(
        states: Records, seed: int, day: int, calendar: Records, orders: Ints, desks: Records, events: Records
    ) -> int:
        world  # noqa: B018 - in the closure, see `entry`
        desk, written = desks[0], 0
        for place in range(len(states)):
            state = states[place]
            step(state, day, calendar[day], stream(seed, state.account, 0), orders[place], BY_CHANCE, desk)
            for event in range(desk.written):
                events[written] = desk.events[event]
                written += 1
        return written

    return entry(work_day)


@cache
def _look() -> Callable[[Records, int, Records, Floats], None]:
    world = sources()

    def look(states: Records, day: int, desks: Records, found: Floats) -> None:
        world  # noqa: B018 - in the closure, see `entry`
        desk = desks[0]
        for place in range(len(states)):
            ladder(states[place], day, desk)
            for action in range(N_ACTIONS):
                found[0, place, action] = desk.chances[ALLOWED, action]
                found[1, place, action] = desk.chances[BY_RULE, action]

    return entry(look)


class Month:
    """The accounts of a world from a morning on.

    Orders are codes of `experiments.world.codes.ACTIONS`, or `POLICY`: work goes on by the world's own ladder.
    """

    def __init__(self, settings: WorldSettings, threads: int, days_ahead: int) -> None:
        """Let the world run up to its last day; up to `days_ahead` more can be worked."""
        population = populate(settings)
        states, events = run(settings, population.states, 0, settings.days, threads, no_progress)
        self.settings = settings
        self._calendar = calendar_of(replace(settings, horizon_days=days_ahead))
        self._accounts = accounts_frame(settings, population)
        self._begin = states
        self._past = events
        self.restart()

    def restart(self) -> None:
        """Go back to the morning after the world's last day."""
        self.day = self.settings.days
        self.states = self._begin.copy()
        self.states["net"], self.states["first_paid"] = 0, NULL_TIME
        self._events = [self._past]

    @property
    def morning(self) -> int:
        """The instant at which the day begins: what is known strictly before it may be decided by."""
        return self.settings.start_instant + self.day * DAY

    @property
    def live(self) -> Flags:
        """Which accounts there is anything to work on, `(n,)`, as the office knows it."""
        return np.asarray((self.states["closed"] == 0) & (self.states["known_balance"] > 0))

    @property
    def paid(self) -> Floats:
        """What each account has paid since the beginning, less what was reversed, `(n,)`, in the main unit."""
        return from_money(self.states["net"])

    @property
    def commission(self) -> Floats:
        """The share of what is collected that is earned, `(n,)`."""
        return self._accounts["commission_rate"].to_numpy(np.float64)

    def look(self) -> tuple[Flags, Flags]:
        """Which actions contact rules allow today, and which of them the house's ladder would consider, `(n, 7)`."""
        found = np.zeros((2, len(self.states), N_ACTIONS))
        _look()(self.states, self.day, desk_of(self.settings), found)
        return found[0] > 0, found[1] > 0

    def truth(self, draws: int, horizon_days: int, threads: int) -> Truth:
        """What would truly follow each action today, of the live accounts, in the order of the accounts."""
        settings = replace(self.settings, days=self.day, horizon_days=horizon_days, truth_draws=draws)
        live = self.states[self.live].copy()
        live["net"], live["first_paid"] = 0, NULL_TIME
        return truth_of(settings, live, threads, no_progress)

    def work(self, orders: Ints) -> None:
        """Let a day pass with an order for each account, `(n,)`; those that are not live take POLICY."""
        events = np.empty(len(self.states) * EVENTS_A_DAY, EVENT)
        desks, orders = desk_of(self.settings), np.where(self.live, orders, POLICY)
        written = _work_day()(self.states, self.settings.seed, self.day, self._calendar, orders, desks, events)
        self._events.append(events[:written].copy())
        self.day += 1

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The portfolio as it is known this morning."""
        events = np.concatenate(self._events)
        start = self.settings.start_instant
        return {"accounts": self._accounts, **event_frames(self.settings, events, start, self.morning)}

    def happened(self) -> Mapping[str, pd.DataFrame]:
        """What has happened since the beginning, known or not."""
        events = np.concatenate([self._events[0][:0], *self._events[1:]])
        return event_frames(self.settings, events, self.settings.as_of, np.iinfo(np.int64).max)

    def since_beginning(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, pd.DataFrame]:
        """Tables of what happened, with the accounts as they stood when the month began."""
        owed = from_money(self._begin["balance"])
        return {**frames, "accounts": self._accounts.assign(balance=owed)}
