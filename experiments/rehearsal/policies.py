"""How a morning's work is chosen: by turns, by the house's ladder, by probability, by Recoup, by the truth.

All have the same places for each channel, and keep the contact rules; what they know is what is recorded by then. The
oracle alone knows the truth: it shows what is left to gain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import numpy as np

from experiments.ceiling import allocate
from experiments.rehearsal.working import Floats, Ints, Month, Orders
from experiments.world.codes import ACTIONS, AT_BEST, CALL, EMAIL, LEGAL_LETTER, LETTER, NONE, POLICY, SMS, VISIT
from experiments.world.debtors import DIALLING_UP_TO, FIRST_HOUR
from experiments.world.market import COSTS
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import NamedCapacity, PortfolioSettings, QueueRules
from features.units import DAY, to_instants
from serving.queue import build_queue
from serving.scoring import Scorer, score

#: In which order a channel is looked for, where the channel is not what is chosen.
_BY_HABIT = (CALL, SMS, EMAIL, LETTER, VISIT, LEGAL_LETTER)


class Policy(Protocol):
    """What chooses a day's orders, under so many places by action, `(n_actions,)`."""

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""


class Waiting:
    """Nobody is contacted: what is paid then is what no policy can claim."""

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        return Orders.by_habit(np.full(len(month.states), NONE, dtype=np.int64))


@dataclass
class ByTurns:
    """First in, first out: whoever has waited longest since the last contact, or since placement, comes next."""

    _waiting_since: Ints | None = field(default=None, repr=False)

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        if self._waiting_since is None:
            self._waiting_since = _last_contact(month)
        actions = _fill(np.argsort(self._waiting_since, kind="stable"), month, places)
        self._waiting_since[actions != NONE] = month.day
        return Orders.by_habit(actions)


class ByLadder:
    """The house's own rules, by stage and record, as the world's collectors follow them; they keep no capacity."""

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        return Orders.by_habit(np.full(len(month.states), POLICY, dtype=np.int64))


@dataclass(frozen=True)
class ByProbability:
    """Whoever is likeliest to pay comes first."""

    scorer: Scorer
    settings: PortfolioSettings

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        scores = score(self.scorer, known_histories(month, self.settings), month.morning)
        p_pay = np.full(len(month.states), -1.0)
        p_pay[_places_of(scores["account_id"])] = scores["p_pay"]
        return Orders.by_habit(_fill(np.argsort(-p_pay, kind="stable"), month, places))


@dataclass(frozen=True)
class ByRecoup:
    """Recoup's queue of the morning, calls at the hour that it names; each hour has the callers that it always has."""

    scorer: Scorer
    settings: PortfolioSettings
    rules: QueueRules

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        rules = replace(self.rules, capacities=staffed_hours(int(places[CALL])))
        histories = known_histories(month, replace(self.settings, queue=rules))
        scores = score(self.scorer, histories, month.morning)
        capacities = {name: int(places[code]) for code, name in enumerate(ACTIONS) if code != NONE}
        rows = build_queue(self.scorer, scores, histories, month.morning, capacities).rows
        orders = Orders.by_habit(np.full(len(month.states), NONE, dtype=np.int64))
        places_of_rows = _places_of(rows["account_id"])
        orders.action[places_of_rows] = [ACTIONS.index(name) for name in rows["channel"]]
        known = rows["best_hour"].notna().to_numpy()
        orders.hour[places_of_rows[known]] = [datetime.fromisoformat(text).hour for text in rows["best_hour"][known]]
        return orders


@dataclass(frozen=True)
class ByTruth:
    """The oracle: the most valuable allocation by what would truly follow each action, of `draws` futures each."""

    commission: Floats
    draws: int
    horizon_days: int
    threads: int

    def orders(self, month: Month, places: Ints) -> Orders:
        """The orders of a morning."""
        live = np.flatnonzero(month.live)
        truth = month.truth(self.draws, self.horizon_days, self.threads)
        value = truth.amount[:, : len(ACTIONS)] * self.commission[live, None] - COSTS
        # Waiting comes last there, and first in the codes.
        last = [*range(1, len(ACTIONS)), NONE]
        share = allocate(value[:, last], truth.allowed[:, last] > 0, places[last].astype(np.float64))
        actions = np.full(len(month.states), NONE, dtype=np.int64)
        actions[live] = np.array(last)[share.argmax(axis=1)]
        return Orders(actions, np.full(len(actions), AT_BEST, dtype=np.int64))


def staffed_hours(calls: int) -> tuple[NamedCapacity, ...]:
    """How many of a day's calls can be made in each hour: as many as are made then by habit."""
    shares = np.diff(DIALLING_UP_TO, prepend=0.0)
    return tuple(
        NamedCapacity(f"calls_at_{hour}", float(np.ceil(calls * share)), ("call",), hours=(hour, hour + 1))
        for hour, share in enumerate(shares.tolist(), FIRST_HOUR)
    )


def known_histories(month: Month, settings: PortfolioSettings) -> Histories:
    """The histories as they are known in the morning; decisions are for training alone."""
    frames = {name: frame for name, frame in month.frames().items() if name != "decisions"}
    return pack(portfolio_from_frames(frames, settings))


def _fill(accounts: Iterable[int], month: Month, places: Ints) -> Ints:
    """Give accounts, in order, the first channel by habit that is allowed, usual for them, and has a place left."""
    allowed, usual = month.look()
    may, live, left = allowed & usual, month.live, places.copy()
    orders = np.full(len(live), NONE, dtype=np.int64)
    for account in accounts:
        if live[account]:
            action = next((code for code in _BY_HABIT if may[account, code] and left[code] > 0), NONE)
            orders[account] = action
            left[action] -= action != NONE
    return orders


def _last_contact(month: Month) -> Ints:
    """The day of each account's last outbound contact, of its placement where there was none, `(n,)`."""
    contacts = month.frames()["contacts"]
    contacts = contacts[contacts["direction"] == "outbound"]
    since = month.states["placed_day"].copy()
    day = (to_instants(contacts["at"]) - month.settings.start_instant) // DAY
    np.maximum.at(since, _places_of(contacts["account_id"]), day)
    return since


def _places_of(account_ids: object) -> Ints:
    """The places of accounts in the accounts table: their ids count them."""
    return np.array([int(account_id[1:]) for account_id in account_ids], dtype=np.int64)  # type: ignore[attr-defined]
