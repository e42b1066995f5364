"""The allocation of a day: what it costs in time and memory, how near it comes to HiGHS, and what greedy choice loses.

Drawn accounts have seven actions (calls by day and in the evening among them) and ten capacities: places of each
channel, of the evening, of the callers of two teams, and a budget. Gains go together within an account,
as they do in a portfolio; a fifth of the actions is not allowed. HiGHS solves the linear programme, which bounds every
allocation from above. Greedy takes the largest gain that still has room, which is how a queue is filled without prices.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

import numpy as np

from experiments.benchmarks._report import Figure, call_once, measure, write_report
from features.jit import compiled
from features.units import Rows
from serving.allocation import Allocation, Capacity, Floats, allocate

ACCOUNTS, COMPARED = 1_000_000, (1_000, 20_000, 100_000)
ACTIONS = ("sms", "email", "letter", "visit", "legal letter", "call by day", "call in the evening")
COST = np.array([0.05, 0.01, 1.2, 25.0, 8.0, 1.6, 1.9])
#: Places for each account, of the channels, with all calls one; then of the evening.
PLACES, CALLS, EVENING = (0.15, 0.1, 0.04, 0.002, 0.01), 0.08, 0.03
TEAMS, TEAM_CALLS, BUDGET = 3, (0.025, 0.02), 0.2
NOT_ALLOWED = 0.2


def main() -> int:
    """Run the benchmark."""
    allocate(*drawn(3_000, 0))
    gain, capacities = drawn(ACCOUNTS, 1)
    drawn_mb = peak_mb()
    found, cost = measure(lambda: allocate(gain, capacities))
    channels = capacities[: len(PLACES) + 1]
    figures = [
        Figure("1,000,000 accounts, 7 actions, 10 capacities", cost.cpu, "CPU-s", "at most 10"),
        Figure("the same, gap to the bound", found.gap, "share", "at most 1e-4"),
        Figure("the same, largest part of a capacity used", fullest(found, capacities), "share", "at most 1"),
        Figure("the same, peak of the process", peak_mb(), "MB", f"1,000; {drawn_mb:,.0f} with the accounts drawn"),
        Figure("the same, greedy loses", lost(gain, capacities), "share", "the allocation"),
        Figure("with places of channels alone, greedy loses", lost(gain, channels), "share", "the allocation"),
    ]
    for n in COMPARED:
        figures += compared(n)
    write_report("allocation", figures)
    return 0


def drawn(n: int, seed: int) -> tuple[Floats, list[Capacity]]:
    """Gains, `(n, 7)`, and the ten capacities."""
    draw = np.random.default_rng(seed)
    gain = draw.gamma(0.7, 8.0, n)[:, None] * draw.gamma(2.0, 0.5, (n, len(ACTIONS))) - COST
    gain[draw.random(gain.shape) < NOT_ALLOWED] = -np.inf
    team, one = draw.integers(0, TEAMS, n), np.eye(len(ACTIONS))
    calls = one[5] + one[6]
    found = [Capacity(int(n * share), use) for share, use in zip(PLACES, one[:5], strict=True)]
    found += [Capacity(int(n * CALLS), calls), Capacity(int(n * EVENING), one[6])]
    found += [Capacity(int(n * share), calls, team == number) for number, share in enumerate(TEAM_CALLS)]
    # Money is counted in cents, so that it is exact.
    return gain, [*found, Capacity(int(n * BUDGET * 100), np.round(COST * 100))]


def compared(n: int) -> list[Figure]:
    """The gap to HiGHS, what both cost, and what greedy choice loses, for so many accounts."""
    gain, capacities = drawn(n, 2)
    found, cost = measure(lambda: allocate(gain, capacities))
    best, of_highs, _ = call_once(lambda: by_highs(gain, capacities))
    name = f"{n:,} accounts"
    return [
        Figure(f"{name}, gap to HiGHS", (best - found.value) / best, "share", "at most 1e-4 of shares of actions"),
        Figure(f"{name}, bound above HiGHS", (found.bound - best) / best, "share"),
        Figure(f"{name}, allocation", cost.cpu, "CPU-s"),
        Figure(f"{name}, HiGHS", of_highs, "CPU-s"),
        Figure(f"{name}, greedy loses", 1 - greedy(gain, capacities) / best, "share", "HiGHS"),
    ]


def by_highs(gain: Floats, capacities: Sequence[Capacity]) -> float:
    """The value of the linear programme."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, vstack

    account, action = np.nonzero(gain > 0)
    pair, once = np.arange(len(account)), np.ones(len(account))
    rows = [csr_matrix((once, (account, pair)), shape=(len(gain), len(pair)))]
    rows += [csr_matrix(one.use[action] * applies_to(one, len(gain))[account]) for one in capacities]
    most = np.concatenate([np.ones(len(gain)), [one.limit for one in capacities]])
    solved = linprog(-gain[account, action], vstack(rows), most, bounds=(0, 1), method="highs")
    if not solved.success:
        raise RuntimeError(f"an allocation must have a solution, got none: {solved.message}")
    return -float(solved.fun)


def applies_to(capacity: Capacity, n: int) -> Floats:
    """1 for the accounts that a capacity applies to, `(n,)`."""
    return np.ones(n) if capacity.applies is None else capacity.applies.astype(np.float64)


def fullest(found: Allocation, capacities: Sequence[Capacity]) -> float:
    """The largest part that is used of a capacity, counted anew from the choices."""
    taken = np.flatnonzero(found.choice >= 0)
    return max(
        float((one.use[found.choice[taken]] * applies_to(one, len(found.choice))[taken]).sum()) / one.limit
        for one in capacities
    )


def lost(gain: Floats, capacities: Sequence[Capacity]) -> float:
    """The share of the allocation's value that greedy choice loses."""
    return 1 - greedy(gain, capacities) / allocate(gain, capacities).value


def greedy(gain: Floats, capacities: Sequence[Capacity]) -> float:
    """The value of taking the largest gains that still have room."""
    pairs = np.flatnonzero(gain.ravel() > 0)
    pairs = pairs[np.argsort(-gain.ravel()[pairs], kind="stable")]
    use = np.array([one.use for one in capacities])
    applies = np.column_stack([applies_to(one, len(gain)) for one in capacities])
    return _taken(gain, pairs, use, applies, np.array([one.limit for one in capacities], dtype=np.float64))


@compiled
def _taken(gain: Floats, pairs: Rows, use: Floats, applies: Floats, room: Floats) -> float:
    free, value = np.ones(len(gain), dtype=np.bool_), 0.0
    for pair in pairs:
        account, action = pair // gain.shape[1], pair % gain.shape[1]
        taken = use[:, action] * applies[account]
        if free[account] and np.all(taken <= room):
            free[account] = False
            room -= taken
            value += gain[account, action]
    return value


def peak_mb() -> float:
    """The most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
