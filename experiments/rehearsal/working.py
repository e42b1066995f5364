"""A world in which somebody else decides: day by day, an order for every account, and what came of it.

Chance is that of the world itself, by account and day: two policies that give an account the same orders on the same
days meet the same answers and the same payments (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.world import WorldSettings
from experiments.world.chance import stream
from experiments.world.codes import (
    ACTIONS,
    ALLOWED,
    AT_BEST,
    BY_HABIT,
    BY_RULE,
    EMAIL,
    LETTER,
    N_ACTIONS,
    POLICY,
    VISIT,
)
from experiments.world.compiled import entry, sources
from experiments.world.market import TELECOM
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
def _work_day() -> Callable[[Records, int, int, Records, Ints, Ints, Records, Records], int]:
    world = sources()

    def work_day(
        states: Records, seed: int, day: int, calendar: Records, actions: Ints, hours: Ints, desks: Records,
        events: Records,
    ) -> int:  # fmt: skip
        world  # noqa: B018 - in the closure, see `entry`
        desk, written = desks[0], 0
        for place in range(len(states)):
            state, desk.hour = states[place], hours[place]
            step(state, day, calendar[day], stream(seed, state.account, 0), actions[place], BY_CHANCE, desk)
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


@dataclass(frozen=True)
class Orders:
    """What is to be done with each account on a day, `(n,)` each.

    `action` is a code of `experiments.world.codes.ACTIONS`, or `POLICY`: work goes on by the world's own ladder. `hour`
    is when a call is made: an hour of the day, `BY_HABIT` or `AT_BEST`.
    """

    action: Ints
    hour: Ints

    @classmethod
    def by_habit(cls, action: Ints) -> Orders:
        """Orders that leave the hour to whoever carries them out."""
        return cls(action, np.full(len(action), BY_HABIT, dtype=np.int64))


class Month:
    """The accounts of a world from a morning on."""

    def __init__(self, settings: WorldSettings, threads: int, days_ahead: int) -> None:
        """Let the world run up to its last day; up to `days_ahead` more can be worked."""
        population = populate(settings)
        states, events = run(settings, population.states, 0, settings.days, threads, no_progress)
        self.settings = settings
        self._calendar = calendar_of(replace(settings, horizon_days=days_ahead))
        self._accounts = accounts_frame(settings, population)
        self._on_file = _on_file(self._accounts, states)
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
        """What would truly follow each action today, of the live accounts in their order; calls at their best hour."""
        settings = replace(self.settings, days=self.day, horizon_days=horizon_days, truth_draws=draws)
        live = self.states[self.live].copy()
        live["net"], live["first_paid"] = 0, NULL_TIME
        return truth_of(settings, live, threads, no_progress, AT_BEST)

    def work(self, orders: Orders) -> None:
        """Let a day pass with an order for each account; those that are not live take POLICY."""
        events = np.empty(len(self.states) * EVENTS_A_DAY, EVENT)
        desks, actions = desk_of(self.settings), np.where(self.live, orders.action, POLICY)
        seed, calendar = self.settings.seed, self._calendar
        written = _work_day()(self.states, seed, self.day, calendar, actions, orders.hour, desks, events)
        self._events.append(events[:written].copy())
        self.day += 1

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The portfolio as it is known this morning."""
        events = np.concatenate(self._events)
        start = self.settings.start_instant
        frames = event_frames(self.settings, events, start, self.morning)
        noted = pd.concat([self._on_file, frames["restrictions"]], ignore_index=True)
        return {"accounts": self._accounts, **frames, "restrictions": noted}

    def happened(self) -> Mapping[str, pd.DataFrame]:
        """What has happened since the beginning, known or not."""
        events = np.concatenate([self._events[0][:0], *self._events[1:]])
        return event_frames(self.settings, events, self.settings.as_of, np.iinfo(np.int64).max)

    def by_account(self, figures: pd.Series) -> Floats:
        """Figures by account id as figures by account, `(n,)`, 0 where there is none."""
        return figures.reindex(self._accounts["account_id"], fill_value=0).to_numpy(np.float64)

    def since_beginning(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, pd.DataFrame]:
        """Tables of what happened, with the accounts as they stood when the month began."""
        owed = from_money(self._begin["balance"])
        return {**frames, "accounts": self._accounts.assign(balance=owed)}


def _on_file(accounts: pd.DataFrame, states: Records) -> pd.DataFrame:
    """What the office knows from the day of placement of how debtors are reached, as restrictions.

    Some have no e-mail address on file, and the creditor wants telecom debts to have neither letters nor visits.
    """
    telecom = states["segment"] == TELECOM
    noted = (
        (states["has_email"] == 0, "invalid_contact", EMAIL),
        (telecom, "channel_opt_out", LETTER),
        (telecom, "channel_opt_out", VISIT),
    )
    return pd.concat(
        [
            pd.DataFrame({"account_id": accounts["account_id"][who], "at": accounts["placed_at"][who]}).assign(
                kind=kind, channel=ACTIONS[action]
            )
            for who, kind, action in noted
        ],
        ignore_index=True,
    )
