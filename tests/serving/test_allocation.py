"""The allocation against HiGHS, and what must hold whatever the capacities are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, vstack

from serving import allocation
from serving.allocation import Allocation, Capacity, Floats, allocate

NONE = -np.inf
#: Shares of a value; and a value that counts as none.
CLOSE, NOTHING = 1e-7, 1e-9


def programme(gain: Floats, capacities: Sequence[Capacity]) -> tuple[Floats, Any, Floats]:
    """Costs, constraints and limits of the linear programme, over the pairs that add something."""
    account, action = np.nonzero(gain > 0)
    pair, once = np.arange(len(account)), np.ones(len(account))
    rows = [csr_matrix((once, (account, pair)), shape=(len(gain), len(pair)))]
    for one in capacities:
        applies = np.ones(len(gain)) if one.applies is None else one.applies
        rows.append(csr_matrix(one.use[action] * applies[account]))
    limits = np.concatenate([np.ones(len(gain)), [one.limit for one in capacities]])
    return -gain[account, action], vstack(rows), limits


def best_value(gain: Floats, capacities: Sequence[Capacity], whole: bool = False) -> float:
    """The largest value by HiGHS: of whole actions, or of shares of them."""
    if not (gain > 0).any():
        return 0.0
    cost, constraints, limits = programme(gain, capacities)
    if whole:
        limited = LinearConstraint(constraints, -np.inf, limits)
        found = milp(cost, integrality=np.ones(len(cost)), bounds=(0, 1), constraints=limited)
    else:
        found = linprog(cost, constraints, limits, bounds=(0, 1), method="highs")
    assert found.success
    return -float(found.fun)


def used_of(found: Allocation, capacities: Sequence[Capacity]) -> list[float]:
    taken = found.choice >= 0
    applies = [np.ones(len(taken)) if one.applies is None else one.applies for one in capacities]
    return [
        float((one.use[found.choice[taken]] * among[taken]).sum())
        for one, among in zip(capacities, applies, strict=True)
    ]


@st.composite
def gains(draw: st.DrawFn, most: int = 12) -> Floats:
    n, n_actions = draw(st.integers(1, most)), draw(st.integers(1, 4))
    # Whole numbers, so that many are equal; and others.
    finer = st.floats(0.01, 100).map(lambda one: round(one, 3))
    of_one = st.one_of(st.integers(-3, 9).map(float), finer, st.just(NONE))
    return np.array(draw(st.lists(of_one, min_size=n * n_actions, max_size=n * n_actions))).reshape(n, n_actions)


def places(gain: Floats, limits: Sequence[int]) -> list[Capacity]:
    """One capacity for each action."""
    return [Capacity(limit, use) for limit, use in zip(limits, np.eye(gain.shape[1]), strict=False)]


@st.composite
def channel_problems(draw: st.DrawFn) -> tuple[Floats, list[Capacity]]:
    gain = draw(gains())
    return gain, places(gain, draw(st.lists(st.integers(0, 6), min_size=gain.shape[1], max_size=gain.shape[1])))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Floats, list[Capacity]]:
    """Capacities of actions, of teams, of money: whatever overlaps."""
    gain = draw(gains())
    n, n_actions = gain.shape
    found = []
    for _ in range(draw(st.integers(0, 5))):
        use = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 7]), min_size=n_actions, max_size=n_actions))
        applies = draw(st.none() | st.lists(st.booleans(), min_size=n, max_size=n))
        mask = None if applies is None else np.array(applies, dtype=np.bool_)
        found.append(Capacity(draw(st.integers(0, 15)), np.array(use, dtype=np.float64), mask))
    return gain, found


Problem = tuple[Floats, list[Capacity]]


@given(problems())
@settings(max_examples=150, deadline=None)
def test_the_bound_is_that_of_the_linear_programme_and_no_capacity_is_exceeded(problem: Problem) -> None:
    gain, capacities = problem
    found = allocate(gain, capacities)
    best = best_value(gain, capacities)
    assert found.bound == pytest.approx(best, rel=CLOSE, abs=NOTHING)
    assert found.value <= found.bound
    taken = np.flatnonzero(found.choice >= 0)
    assert found.value == pytest.approx(gain[taken, found.choice[taken]].sum())
    assert (gain[taken, found.choice[taken]] > 0).all()
    assert found.used.tolist() == used_of(found, capacities)
    assert all(used <= one.limit for used, one in zip(found.used, capacities, strict=True))
    assert (found.prices >= 0).all()


@given(problems())
@settings(max_examples=100, deadline=None)
def test_nothing_that_there_is_room_for_is_left(problem: Problem) -> None:
    gain, capacities = problem
    found = allocate(gain, capacities)
    for account in np.flatnonzero(found.choice < 0):
        for action in np.flatnonzero(gain[account] > 0):
            left = [one.limit - used for one, used in zip(capacities, found.used, strict=True)
                    if one.applies is None or one.applies[account]]  # fmt: skip
            use = [one.use[action] for one in capacities if one.applies is None or one.applies[account]]
            assert any(of > to for of, to in zip(use, left, strict=True))


@given(channel_problems())
@example((np.full((3, 2), 5.0), places(np.zeros((3, 2)), [1, 1])))
@settings(max_examples=150, deadline=None)
def test_where_each_action_has_its_places_nothing_is_better(problem: Problem) -> None:
    gain, capacities = problem
    found = allocate(gain, capacities)
    assert found.value == pytest.approx(best_value(gain, capacities), rel=CLOSE, abs=NOTHING)
    # Complementary slackness: what costs something is used up, and nobody would rather have something else.
    close = NOTHING + CLOSE * found.bound
    assert all(one.limit - used <= close / price for one, used, price in zip(capacities, found.used, found.prices,
               strict=True) if price > close)  # fmt: skip
    worth = np.column_stack([gain - found.charge[found.kind], np.zeros(len(gain))])
    assert worth[np.arange(len(gain)), found.choice] == pytest.approx(worth.max(axis=1), abs=close)


@given(channel_problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_price_is_what_one_more_is_worth_and_more_never_lowers_the_value(
    problem: Problem, data: st.DataObject
) -> None:
    gain, capacities = problem
    one = data.draw(st.integers(0, len(capacities) - 1))
    at, limits = allocate(gain, capacities), [int(capacity.limit) for capacity in capacities]
    more = allocate(gain, places(gain, [limit + (place == one) for place, limit in enumerate(limits)]))
    close = NOTHING + 2 * CLOSE * more.bound
    assert -close <= more.value - at.value <= at.prices[one] + close
    if limits[one]:
        less = allocate(gain, places(gain, [limit - (place == one) for place, limit in enumerate(limits)]))
        assert at.prices[one] <= at.value - less.value + close


@given(problems(), st.floats(1, 3))
@settings(max_examples=50, deadline=None)
def test_more_of_everything_never_lowers_the_bound(problem: Problem, times: float) -> None:
    gain, capacities = problem
    more = [Capacity(one.limit * times, one.use, one.applies) for one in capacities]
    assert allocate(gain, more).bound >= allocate(gain, capacities).bound * (1 - CLOSE)


@given(channel_problems(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_accounts_says_nothing_of_what_is_reached(problem: Problem, random: Any) -> None:
    gain, capacities = problem
    order = list(range(len(gain)))
    random.shuffle(order)
    found, other = allocate(gain, capacities), allocate(gain[order], capacities)
    assert other.value == pytest.approx(found.value, rel=CLOSE, abs=NOTHING)
    assert other.bound == pytest.approx(found.bound, rel=CLOSE, abs=NOTHING)


@given(channel_problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_who_comes_first_goes_without_only_where_the_others_that_do_have_all_places(
    problem: Problem, data: st.DataObject
) -> None:
    gain, capacities = problem
    first = np.array(data.draw(st.lists(st.booleans(), min_size=len(gain), max_size=len(gain))))
    found = allocate(gain, capacities, first)
    assert all(used <= one.limit for used, one in zip(found.used, capacities, strict=True))
    by_first = np.bincount(found.choice[first & (found.choice >= 0)], minlength=gain.shape[1])
    for account in np.flatnonzero(first & (found.choice < 0)):
        assert all(by_first[action] == capacities[action].limit for action in np.flatnonzero(gain[account] > NONE))
    taken = np.flatnonzero(found.choice >= 0)
    assert (gain[taken, found.choice[taken]] > NONE).all()
    assert found.value == pytest.approx(gain[taken, found.choice[taken]].sum())
    assert found.value <= found.bound + NOTHING


def world(n: int, seed: int) -> Problem:
    """Seven actions; places of six of them, of two teams, and a budget, of which many bind."""
    draw = np.random.default_rng(seed)
    cost = np.array([0.05, 0.01, 1.6, 1.2, 25.0, 8.0, 3.0])
    gain = draw.gamma(0.7, 8, n)[:, None] * draw.gamma(2, 0.5, (n, 7)) - cost
    gain[draw.random((n, 7)) < 0.2] = NONE
    team, one = draw.integers(0, 3, n), np.eye(7)
    found = places(gain, [int(n * share) for share in (0.15, 0.1, 0.06, 0.04, 0.002, 0.01)])
    found += [Capacity(n // 66, one[2] + one[4], team == 0), Capacity(n // 33, one[2] + one[6], team == 1)]
    return gain, [*found, Capacity(n // 5, cost)]


@pytest.mark.parametrize("seed", [1, 2])
def test_many_accounts_under_capacities_that_overlap_reach_the_linear_programme(seed: int) -> None:
    gain, capacities = world(10_000, seed)
    found = allocate(gain, capacities)
    best = best_value(gain, capacities)
    assert best * (1 - 1e-4) <= found.value <= best * (1 + 1e-9)
    assert found.bound == pytest.approx(best, rel=1e-6)
    assert found.gap <= 1e-4
    assert all(used <= one.limit + 1e-9 for used, one in zip(used_of(found, capacities), capacities, strict=True))
    again = allocate(gain, capacities)
    assert np.array_equal(found.choice, again.choice)
    assert np.array_equal(found.prices, again.prices)


@pytest.mark.parametrize("n", [30, 100, 300])
def test_few_accounts_come_near_the_best_of_whole_actions(n: int) -> None:
    gain, capacities = world(n, 3)
    best = best_value(gain, capacities, whole=True)
    assert best * (1 - 0.002) <= allocate(gain, capacities).value <= best * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_few_actions_that_take_much_of_a_budget_are_chosen_as_well_as_whole_actions_can_be(seed: int) -> None:
    """Visits at 90 beside calls at 1.6: whether a budget is spent on one more of them moves dozens of calls."""
    draw = np.random.default_rng(seed)
    expected = draw.lognormal(3, 1.2, 400)
    cost = np.array([0.1, 1.6, 90.0])
    gain = np.outer(expected, [0.02, 0.12, 0.9]) * draw.uniform(0.5, 1.5, (400, 3)) - cost
    capacities = places(gain, [40, 90, 6])
    capacities += [Capacity(int(budget * 10), cost * 10) for budget in [draw.uniform(150, 700)]]
    capacities.append(Capacity(25, np.array([0.0, 1.0, 1.0]), draw.random(400) < 0.4))
    found, best = allocate(gain, capacities), best_value(gain, capacities, whole=True)
    assert best * (1 - 0.005) <= found.value <= best * (1 + 1e-6)
    assert found.used.tolist() == used_of(found, capacities)
    assert all(used <= one.limit for used, one in zip(found.used, capacities, strict=True))
    assert found.value <= found.bound


def test_warming_up_compiles_all_that_is_compiled() -> None:
    allocation.warm_up()
    compiled = {name: part for name, part in vars(allocation).items() if hasattr(part, "signatures")}
    used = {"_demand", "_price", "_regret", "_give", "_open_pairs", "give_pairs", "_nearest", "_chain"}
    assert used <= compiled.keys()
    assert all(compiled[name].signatures for name in used)


def test_nothing_may_be_asked() -> None:
    assert allocate(np.empty((0, 2)), [Capacity(1, np.ones(2))]).choice.tolist() == []
    found = allocate(np.array([[1.0, 2.0], [NONE, NONE], [-1.0, 0.0]]), [])
    assert (found.choice.tolist(), found.value, found.gap) == ([1, -1, -1], 2.0, 0.0)


@pytest.mark.parametrize(
    ("gain", "capacity"),
    [
        (np.array([[np.nan]]), Capacity(1, np.ones(1))),
        (np.array([[np.inf]]), Capacity(1, np.ones(1))),
        (np.array([[1.0]]), Capacity(-1, np.ones(1))),
        (np.array([[1.0]]), Capacity(1, -np.ones(1))),
    ],
)
def test_what_cannot_be_counted_with_is_refused(gain: Floats, capacity: Capacity) -> None:
    with pytest.raises(ValueError, match="a number"):
        allocate(gain, [capacity])
