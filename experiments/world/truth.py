"""The truth by account and action: what would be paid in the horizon, from many futures of the same morning.

Futures are drawn with the very step that the world runs on, from the state, hidden part included, in which the world
left the account. All actions of an account share their draws (common random numbers). A future is drawn in two halves,
which removes most of the noise: first without any payment, which gives the chance of a first payment on each day; then
with a first payment for certain, on a day drawn by those chances. Weighted by the chance of any payment at all, the
second half gives the expectation without bias (conditional Monte Carlo; Asmussen and Glynn 2007, V.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from experiments.world.chance import Purpose, Stream, stream, uniform
from experiments.world.codes import ALLOWED, BY_HABIT, CHANCE, N_ACTIONS, POLICY
from experiments.world.compiled import entry, part, sources
from experiments.world.running import Progress, Records, by_chunk, calendar_of, desk_of
from experiments.world.settings import WorldSettings
from experiments.world.state import Record
from experiments.world.step import BY_CHANCE, NEVER, SURELY, step
from features.units import MONEY_SCALE

Floats = npt.NDArray[np.float64]
#: The orders that futures are drawn for: every action, then the policy.
ORDERS = np.array([*range(N_ACTIONS), POLICY])
_NO_CHANCE = 1e-12


@dataclass(frozen=True)
class Truth:
    """What would follow, by account and order (n, 8), the policy last; amounts in the main unit.

    `chosen` and `allowed` (n, 7) are the chance that the policy would choose each action, were the account reviewed
    at the moment, and whether it may.
    """

    p_pay: Floats
    p_pay_error: Floats
    amount: Floats
    amount_error: Floats
    chosen: Floats
    allowed: Floats


@part
def _live_through(
    state: Record,
    days: tuple[int, int],
    calendar: Records,
    key: Stream,
    order: int,
    first: int,
    desk: Record,
    chances: Floats,
) -> float:
    """Live from one day to another (excluded) with a first payment on day `first`; that may be the end: none.

    Fills `chances` with the chance of a first payment on each day before that; returns that of none.
    """
    none_yet = 1.0
    for today in range(days[0], days[1]):
        paying = SURELY if today == first else (NEVER if today < first else BY_CHANCE)
        chance = step(state, today, calendar[today], key, order if today == days[0] else POLICY, paying, desk)
        chances[today - days[0]] = none_yet * chance
        none_yet *= 1.0 - chance
    return none_yet


@part
def _drawn_day(days: tuple[int, int], chances: Floats, left: float) -> int:
    """The day that `left`, from 0 to the sum of `chances`, falls on."""
    day = days[0]
    while day < days[1] - 1 and left >= chances[day - days[0]]:
        left -= chances[day - days[0]]
        day += 1
    return day


@part
def _future(
    start: Record,
    scratch: Records,
    days: tuple[int, int],
    calendar: Records,
    key: Stream,
    order: int,
    desk: Record,
    chances: Floats,
) -> tuple[float, float]:
    """Draw one future: its chance of a net payment and its expected net amount."""
    scratch[0] = start
    state = scratch[0]
    none = _live_through(state, days, calendar, key, order, days[1], desk, chances)
    net_unpaid, any_payment = state.net, 1.0 - none
    if any_payment < _NO_CHANCE:
        return 0.0, float(net_unpaid)
    first = _drawn_day(days, chances, uniform(key, days[0], Purpose.FIRST_PAYMENT) * any_payment)
    scratch[0] = start
    _live_through(state, days, calendar, key, order, first, desk, chances)
    return any_payment if state.net > 0 else 0.0, none * net_unpaid + any_payment * state.net


@cache
def _draw_futures() -> Callable[[Records, int, tuple[int, int], int, Records, Records, Floats, Floats], None]:
    world = sources()

    def draw_futures(
        states: Records,
        seed: int,
        days: tuple[int, int],
        draws: int,
        calendar: Records,
        desks: Records,
        sums: Floats,
        policy: Floats,
    ) -> None:
        world  # noqa: B018 - in the closure, see `entry`
        desk, scratch, chances = desks[0], states[:1].copy(), np.zeros(days[1] - days[0])
        for place in range(len(states)):
            start = states[place]
            for column in range(len(ORDERS)):
                for draw in range(1, draws + 1):
                    key = stream(seed, start.account, draw)
                    future = _future(start, scratch, days, calendar, key, ORDERS[column], desk, chances)
                    p_pay, amount = future[0], future[1] / MONEY_SCALE
                    sums[place, column, 0] += p_pay
                    sums[place, column, 1] += p_pay * p_pay
                    sums[place, column, 2] += amount
                    sums[place, column, 3] += amount * amount
            scratch[0] = start
            key, end = stream(seed, start.account, 0), days[0] + 1
            _live_through(scratch[0], (days[0], end), calendar, key, ORDERS[0], end, desk, chances)
            for action in range(N_ACTIONS):
                policy[place, 0, action] = desk.chances[CHANCE, action]
                policy[place, 1, action] = desk.chances[ALLOWED, action]

    return entry(draw_futures)


def truth_of(settings: WorldSettings, states: Records, threads: int, progress: Progress, hour: int = BY_HABIT) -> Truth:
    """Draw the futures of the accounts of `states` (n,), as they are on the morning after the last day.

    The call that is the action is made at `hour`: an hour of the day, BY_HABIT or AT_BEST.
    """
    calendar, draws = calendar_of(settings), settings.truth_draws
    days = (settings.days, settings.days + settings.horizon_days)

    def draw_chunk(part: Records) -> tuple[Floats, Floats]:
        sums, policy = np.zeros((len(part), len(ORDERS), 4)), np.zeros((len(part), 2, N_ACTIONS))
        desks = desk_of(settings)
        desks["hour"] = hour
        _draw_futures()(part, settings.seed, days, draws, calendar, desks, sums, policy)
        return sums, policy

    parts = by_chunk(draw_chunk, states, threads, lambda done: progress("truth", done, len(states)))
    sums = np.concatenate([part[0] for part in parts]) / max(draws, 1)
    policy = np.concatenate([part[1] for part in parts])
    p_pay, amount = sums[..., 0], sums[..., 2]
    return Truth(
        p_pay,
        _error(sums[..., 1], p_pay, draws),
        amount,
        _error(sums[..., 3], amount, draws),
        policy[:, 0],
        policy[:, 1],
    )


def _error(mean_of_squares: Floats, mean: Floats, draws: int) -> Floats:
    """The standard error of a mean of `draws` numbers; NaN for fewer than two."""
    if draws < 2:
        return np.full_like(mean, np.nan)
    return np.sqrt(np.maximum(mean_of_squares - mean * mean, 0.0) / (draws - 1))
