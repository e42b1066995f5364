"""The ladder's probabilities are what it says, and read nothing hidden."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from experiments.world import World, WorldSettings, simulate
from experiments.world.chance import stream
from experiments.world.codes import ACTIONS, CHANCE, N_ACTIONS
from experiments.world.compiled import entry, sources
from experiments.world.policy import choose, ladder
from experiments.world.population import populate
from experiments.world.running import desk_of, run
from experiments.world.simulation import no_progress
from experiments.world.state import MOODS, TRAITS
from tests.experiments.worlds import world

SETTINGS = WorldSettings(accounts=300, days=120, seed=2, truth_draws=0)
DRAWS = 4000
Records = npt.NDArray[Any]


@cache
def states() -> Records:
    """Accounts in the middle of being worked."""
    after, _ = run(SETTINGS, populate(SETTINGS).states, 0, SETTINGS.days, 1, no_progress)
    worked: Records = after[(after["closed"] == 0) & (after["known_balance"] > 0)]
    return worked


@cache
def chosen() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each account the ladder's chances, and how often each action was drawn, by rule and at random."""
    world_sources = sources()

    def draw_actions(states: Records, day: int, draws: int, desks: Records, chances: Any, drawn: Any) -> None:
        world_sources  # noqa: B018 - in the closure, see `entry`
        for place in range(len(states)):
            ladder(states[place], day, desks[0])
            for draw in range(draws):
                action, explored = choose(states[place], day, stream(7, place, draw), desks[0])
                drawn[place, explored, action] += 1.0
            for action in range(N_ACTIONS):
                chances[place, action] = desks[0].chances[CHANCE, action]

    n = len(states())
    chances, drawn = np.zeros((n, N_ACTIONS)), np.zeros((n, 2, N_ACTIONS))
    entry(draw_actions)(states(), SETTINGS.days, DRAWS, desk_of(SETTINGS), chances, drawn)
    return chances, drawn[:, 0], drawn[:, 1]


def test_propensities_are_a_distribution() -> None:
    chances, _, _ = chosen()
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances >= 0).all()
    assert (chances[:, 0] > 0).all()  # waiting is always possible


def test_actions_are_drawn_as_often_as_their_propensities_say() -> None:
    chances, by_rule, at_random = chosen()
    drawn = by_rule + at_random
    assert (drawn[chances == 0] == 0).all()
    spread = np.sqrt(DRAWS * chances * (1 - chances))
    inside = (chances > 0.002) & (chances < 0.998)
    z = ((drawn - DRAWS * chances)[inside]) / spread[inside]
    # Binomial counts: standard scores have mean 0 and variance 1, over about a thousand of them.
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.std() == pytest.approx(1, abs=0.1)


def test_exploration_is_uniform_among_the_cheap_channels_that_are_allowed() -> None:
    _, by_rule, at_random = chosen()
    assert at_random.sum() / (at_random + by_rule).sum() == pytest.approx(SETTINGS.exploration, abs=0.002)
    dear = [ACTIONS.index(name) for name in ("letter", "visit", "legal_letter")]
    assert at_random[:, dear].sum() == 0
    all_cheap = at_random[(at_random[:, :4] > 0).all(axis=1)]
    shares = all_cheap[:, :4].sum(axis=0) / all_cheap.sum()
    assert shares == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_the_ladder_reads_nothing_hidden() -> None:
    # Its probabilities would not be those given what is on record if a hidden trait could change them.
    day = SETTINGS.days
    reader = entry(_fill_chances)
    before, after = np.zeros((len(states()), N_ACTIONS)), np.zeros((len(states()), N_ACTIONS))
    reader(states(), day, desk_of(SETTINGS), before)
    shuffled = states().copy()
    for name, _ in (*TRAITS, *MOODS):
        shuffled[name] = np.roll(states()[name], 17)
    reader(shuffled, day, desk_of(SETTINGS), after)
    assert (before == after).all()


def _fill_chances(states: Records, day: int, desks: Records, chances: Any) -> None:
    for place in range(len(states)):
        ladder(states[place], day, desks[0])
        for action in range(N_ACTIONS):
            chances[place, action] = desks[0].chances[CHANCE, action]


def waiting_weight(of: World) -> tuple[float, float]:
    """The mean inverse propensity of waiting over all decisions, and its standard error."""
    decisions = of.frames["decisions"]
    inverse = (decisions["channel"] == "none") / decisions["propensity"]
    return float(inverse.mean()), float(inverse.std() / np.sqrt(len(inverse)))


def test_inverse_propensities_of_waiting_average_to_one_in_the_log() -> None:
    # Waiting is always possible, so each decision's expectation of 1{waits} / propensity is 1.
    mean, error = waiting_weight(world())
    assert abs(mean - 1) < 4 * error
    assert error < 0.02


def test_logged_propensities_are_wrong_once_agents_use_discretion() -> None:
    mean, error = waiting_weight(simulate(WorldSettings(1000, 120, seed=4, truth_draws=0, discretion=0.4)))
    assert abs(mean - 1) > 6 * error


def test_effort_follows_hardship() -> None:
    # Whoever was reviewed after a broken promise, or never answered, is worked harder than who has just paid: the
    # naive comparison of those called with those left alone is confounded.
    decisions, payments = world().frames["decisions"], world().frames["payments"]
    both = decisions.merge(payments[["account_id", "at"]], on="account_id", how="left", suffixes=("", "_paid"))
    recent = (both["at_paid"] < both["at"]) & ((both["at"] - both["at_paid"]).dt.days < 10)
    called = both["channel"] == "call"
    assert called[recent].mean() < 0.7 * called[~recent].mean()
