"""Allocation: which action each account gets, for the largest total gain under capacities, and what capacity is worth.

    maximise   sum of gain[i, a] * x[i, a]      x is 0 or 1, at most one action for each account
    subject to sum of use[j, a] * x[i, a] <= limit[j]   over the accounts that capacity j applies to

This is a generalised assignment problem. Its capacities are priced: with a price for a unit of each, every account
takes the action of largest gain less what it uses at these prices, or none. What all accounts get so, with the price of
all capacity, is an upper bound of every allocation (Lagrangian relaxation: Fisher 1981, "The Lagrangian relaxation
method for solving integer programming problems", Management Science 27). The bound is convex in the prices, and an
evaluation of it is one pass over the accounts, so that a hundred accounts and a million are solved alike:

1. Coordinate descent. Each price in turn is set to the lowest at which its capacity is not exceeded, the others held.
   The search halves an interval, and looks again only at accounts whose answer differs between its ends.
2. An allocation is made at these prices: accounts that would lose most by their second choice come first (Martello and
   Toth 1981), no capacity is ever exceeded, and what is left goes to the next by gain less price.
3. Chains of moves improve it: one account gives up an action, another takes that and frees its own, and so on. Only
   accounts that could gain by it, as the bound shows, are looked at, nearest first. Where each action has one capacity
   this is the search for negative cycles of a minimum-cost flow, and ends at the optimum.
4. Coordinate descent may stop short of the least bound. Where the gap says so, cutting planes within a box around the
   best prices (Marsten, Hogan and Blankenship 1975, "The BOXSTEP method for large-scale optimization", Operations
   Research 23) take the bound to its least, that of the linear programme, and 2 and 3 are repeated; where accounts are
   few, at prices close by, too.
5. Where few accounts leave a gap still, it is mostly that of a few actions that take much, like visits of a budget: one
   more or one less of them moves too much else for a chain. Those nearest to being chosen or not are tried the other
   way, the rest solved anew, as the first steps down a tree of branch and bound would have it.

The bound tells how far an allocation may be from the best of all; nothing else needs to be solved to know it. Nothing
is drawn at random: equal accounts go by their order, equal actions by theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.jit import called, compiled, inlined
from features.units import Rows

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A gap that is no more than this share of the bound is not worth better prices, or than that one any work at all.
CLOSE, _NOTHING = 1e-6, 1e-9
#: Descent ends where all prices together lower the bound by no more than this share of it.
_STILL = 1e-8
_SWEEPS = 30
#: Prices are first found on every 256th account, then on every 16th, where so many are left.
_STRIDES, _FEWEST = (256, 16), 2_000
#: Evaluations of the bound with cutting planes, at most.
_CUTS = 150
#: By how much each price is changed to try others than the best, and of how many accounts at most.
_NUDGES, _NUDGED = (0.9, 0.97, 1.03, 1.1), 20_000
#: A gap of this share of the bound is looked into by turning single actions that take much: as dear as this part of the
#: gap; so many of those that are not chosen and of those that are, each time, and how often at most.
_WIDE, _DEAR, _TURNED, _TURNS = 1e-3, 0.25, 4, 8
#: Accounts that chains of moves look at, the fewest and the most for each kind of move; the length of a chain; how
#: often accounts are looked for, and how many chains are tried: fewer where there are many nodes, since a search takes
#: some steps for each three of them. What a chain adds is at least this share of the bound.
_CORE, _FEW, _MANY, _LONGEST, _ROUNDS, _CHAINS, _STEPS, _LEAST = 4_096, 4, 64, 8, 50, 20_000, 200_000_000, 1e-12


@dataclass(frozen=True)
class Capacity:
    """What there is of something: places of a channel, of a team or of an hour, or money.

    Attributes:
        limit: how much there is of it, at least 0. No allocation exceeds it; to the last bit where limit and `use` are
            whole numbers.
        use: `(n_actions,)` how much of it an action takes: 1 for a place, a cost for money, 0 where it takes none.
        applies: `(n,)` the accounts whose actions take of it; those of all accounts where it is None.
    """

    limit: float
    use: Floats
    applies: Mask | None = None


@dataclass(frozen=True)
class Allocation:
    """What each account gets, and what capacity is worth.

    Attributes:
        choice: `(n,)` the action of each account, -1 for none.
        prices: `(n_capacities,)` what one more unit of each capacity is worth; 0 where there is more than is wanted.
        used: `(n_capacities,)` how much of each is taken.
        value: the sum of the gains.
        bound: no allocation has a larger value.
        kind: `(n,)` which capacities apply to an account, as a row of `charge`.
        charge: `(n_kinds, n_actions)` the price of what an action takes.
    """

    choice: Rows
    prices: Floats
    used: Floats
    value: float
    bound: float
    kind: Rows
    charge: Floats

    @property
    def gap(self) -> float:
        """How far the value may be from the largest that is possible, as a share of the bound."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0


@dataclass(frozen=True)
class _Problem:
    """Accounts of a kind are under the same capacities: `use` is `(n_kinds, n_actions, n_capacities)`.

    `gain` is `(n, n_actions)`, -inf where an action must not be; `first` are the accounts that come before all others.
    """

    gain: Floats
    kind: Rows
    use: Floats
    limit: Floats
    first: Mask

    def every(self, stride: int) -> _Problem:
        """The same for one account in so many, with as much less capacity."""
        part = slice(None, None, stride)
        gain, kind = np.ascontiguousarray(self.gain[part]), np.ascontiguousarray(self.kind[part])
        return _Problem(gain, kind, self.use, self.limit / stride, self.first[part])

    def evaluate(self, prices: Floats) -> tuple[float, Floats]:
        """The bound at these prices, and its slope, `(n_capacities,)`: what is left of each capacity."""
        total, counts = _demand(self.gain, self.kind, self.use @ prices)
        return total + float(self.limit @ prices), self.limit - np.tensordot(counts, self.use, 2)


def allocate(gain: Floats, capacities: Sequence[Capacity], first: Mask | None = None) -> Allocation:
    """Give accounts actions for the largest total gain.

    Args:
        gain: `(n, n_actions)` what each action adds; -inf where it must not be. An action that adds nothing is given to
            nobody but those that come first.
        capacities: what actions take of; an action that takes of none has no limit.
        first: `(n,)` accounts that get an action if one that is allowed has a place, before all others, whatever it
            adds. Prices are then those for the others, and so is the bound: of allocations with these choices.

    Raises:
        ValueError: a capacity or a gain is no number that can be counted with.
    """
    problem = _problem(gain, capacities, np.zeros(len(gain), dtype=np.bool_) if first is None else first)
    if not problem.first.any():
        return _solve(problem)
    begun = _solve(replace(problem, gain=_lifted(gain, problem.first)))
    set_first = np.where(problem.first, begun.choice, -1)
    rest = replace(
        problem,
        gain=np.where(problem.first[:, None], -np.inf, gain),
        limit=np.maximum(problem.limit - _used(problem, set_first), 0.0),
        first=np.zeros(len(gain), dtype=np.bool_),
    )
    found = _solve(rest)
    choice = np.where(problem.first, set_first, found.choice)
    value = _value(gain, set_first)
    return replace(
        found, choice=choice, used=_used(problem, choice), value=value + found.value, bound=value + found.bound
    )


def kinds_of(n: int, use: Floats, capacities: Sequence[Capacity]) -> tuple[Rows, Floats]:
    """Which capacities apply to each of `n` accounts, as its kind, `(n,)`, and what actions take by kind.

    Args:
        n: the number of accounts.
        use: `(n_capacities, n_actions)` what actions take where a capacity applies.
        capacities: the capacities.

    Returns:
        The kinds, and `(n_kinds, n_actions, n_capacities)`.
    """
    kind = np.zeros(n, dtype=np.int64)
    applies = np.ones((1, len(use)), dtype=np.bool_)
    for one, capacity in enumerate(capacities):
        if capacity.applies is not None:
            kind, found = pd.factorize(2 * kind + capacity.applies, sort=True)
            applies = applies[found // 2]
            applies[:, one] = found % 2
    by_kind = np.moveaxis(use, 0, 1)[None] * applies[:, None, :]
    return kind.astype(np.int64), np.ascontiguousarray(by_kind)


def warm_up() -> None:
    """Solve a small problem that needs every part of this, so that the first real one waits for no compiling."""
    equal = np.full((3, 2), 1.0)
    allocate(equal, [Capacity(1, use) for use in np.eye(2)])


def _lifted(gain: Floats, first: Mask) -> Floats:
    """The gains, those of the accounts that come first above all others."""
    finite = gain[np.isfinite(gain)]
    above = 1.0 + 2.0 * float(np.ptp(finite)) + abs(float(finite.min())) if len(finite) else 0.0
    return np.where(first[:, None], gain + above, gain)


def _problem(gain: Floats, capacities: Sequence[Capacity], first: Mask) -> _Problem:
    limit = np.array([capacity.limit for capacity in capacities], dtype=np.float64)
    use = np.array([capacity.use for capacity in capacities], dtype=np.float64).reshape(len(limit), gain.shape[1])
    kind, by_kind = kinds_of(len(gain), use, capacities)
    if np.isnan(gain).any() or np.isposinf(gain).any():
        raise ValueError("a gain is a number, or -inf where an action must not be")
    if not (limit >= 0).all() or not (np.isfinite(use) & (use >= 0)).all():
        raise ValueError("a capacity has a limit of at least 0, and actions take a number of it that is at least 0")
    limit = np.minimum(limit, use.max(axis=1, initial=0.0) * len(gain))
    return _Problem(np.ascontiguousarray(gain), kind, by_kind, limit, first)


def _solve(problem: _Problem) -> Allocation:
    prices = np.zeros(len(problem.limit))
    for stride in _STRIDES:
        if len(problem.gain) >= stride * _FEWEST:
            prices = _descend(problem.every(stride), prices)
    prices = _descend(problem, prices)
    found = _allocated(problem, prices)
    if found.gap <= CLOSE:
        return found
    polished = _allocated(problem, _descend(problem, _cut(problem, prices, found.value)))
    best = max((polished, found, *_nudged(problem, polished)), key=lambda one: one.value)
    if len(problem.gain) <= _NUDGED and not problem.first.any():
        best = _turned(problem, polished, best)
    return replace(polished, choice=best.choice, used=best.used, value=best.value)


def _nudged(problem: _Problem, found: Allocation) -> Iterator[Allocation]:
    """The allocations at prices close by; few accounts do not fill capacities that overlap as shares of them would."""
    if found.gap > CLOSE and len(problem.gain) <= _NUDGED:
        for one in np.flatnonzero(found.prices):
            for by in _NUDGES:
                prices = found.prices.copy()
                prices[one] *= by
                yield _allocated(problem, prices)


def _turned(problem: _Problem, found: Allocation, best: Allocation) -> Allocation:
    """The best allocation that is come to by turning single actions that take much, one after the other.

    Args:
        problem: the problem.
        found: the allocation at the best prices, with their bound.
        best: the best allocation so far.
    """
    for _ in range(_TURNS):
        if found.bound - best.value <= _WIDE * found.bound:
            break
        tried = [_with(problem, set_to, barred, found.prices, best) for set_to, barred in _turns(problem, found, best)]
        better = max(tried, key=lambda one: one.value, default=best)
        if better.value <= best.value + _NOTHING * found.bound:
            break
        best = better
    return best


def _turns(problem: _Problem, found: Allocation, best: Allocation) -> Iterator[tuple[Rows, Rows]]:
    """What is set, `(n,)`, and the accounts whose action is barred, where one dear action comes, goes, both or neither.

    Dear is what takes so much that it matters; of those not chosen, and of those chosen, the nearest to the other
    choice at the prices. All others that are chosen and dear stay.
    """
    gap, n_actions = found.bound - best.value, problem.gain.shape[1]
    charge = found.charge[found.kind]
    worth, chosen = problem.gain - charge, best.choice[:, None] == np.arange(n_actions)
    # What an account loses by having an action, or by not having the one that it has.
    others = np.maximum(np.where(chosen, -np.inf, worth).max(axis=1, initial=0.0), 0.0)[:, None]
    most = np.maximum(worth.max(axis=1, initial=0.0), 0.0)[:, None]
    loss = np.where(chosen, worth - others, most - worth)
    dear = (charge >= _DEAR * gap) & (problem.gain > 0)
    kept = np.where((chosen & dear).any(axis=1), best.choice, -1)
    near = dear & (loss < gap)
    coming, going = _nearest_of(loss, near & ~chosen), _nearest_of(loss, near & chosen)
    none = coming[:0, 0]
    # The rest may do better at prices of its own.
    yield kept, none
    for account, action in coming:
        yield _set(kept, account, action), none
    for account, _ in going:
        yield _set(kept, account, -1), np.array([account])
    for account, action in coming[:2]:
        for other, _ in going[:2]:
            if other != account:
                yield _set(_set(kept, account, action), other, -1), np.array([other])


def _nearest_of(loss: Floats, among: Mask) -> Rows:
    """The accounts and actions of least loss, `(m, 2)`."""
    places = np.flatnonzero(among)
    nearest = places[np.argsort(loss.ravel()[places], kind="stable")][:_TURNED]
    return np.column_stack(np.unravel_index(nearest, loss.shape)).astype(np.int64)


def _set(choice: Rows, account: int, action: int) -> Rows:
    choice = choice.copy()
    choice[account] = action
    return choice


def _with(problem: _Problem, set_to: Rows, barred: Rows, prices: Floats, best: Allocation) -> Allocation:
    """The allocation where some accounts have what is set, `(n,)`, -1 for the others; `best` where that is too much.

    The accounts that are `barred` have not what they have in the best.
    """
    left = problem.limit - _used(problem, set_to)
    if (left < 0).any():
        return best
    gain = np.where((set_to >= 0)[:, None], -np.inf, problem.gain)
    gain[barred, best.choice[barred]] = -np.inf
    rest = replace(problem, gain=gain, limit=left)
    found = _allocated(rest, _descend(rest, prices))
    choice = np.where(set_to >= 0, set_to, found.choice)
    return replace(found, choice=choice, used=_used(problem, choice), value=_value(problem.gain, choice))


def _allocated(problem: _Problem, prices: Floats) -> Allocation:
    """The allocation that prices lead to."""
    charge = problem.use @ prices
    bound, _ = problem.evaluate(prices)
    choice, room = _filled(problem, charge)
    value = _value(problem.gain, choice)
    if bound - value > _NOTHING * bound:
        _improve(problem, charge, choice, room, bound - value, _LEAST * bound)
        value = _value(problem.gain, choice)
    return Allocation(choice, prices, _used(problem, choice), value, max(bound, value), problem.kind, charge)


def _value(gain: Floats, choice: Rows) -> float:
    taken = np.flatnonzero(choice >= 0)
    return float(gain[taken, choice[taken]].sum())


def _used(problem: _Problem, choice: Rows) -> Floats:
    """How much of each capacity is taken, `(n_capacities,)`."""
    n_kinds, n_actions, n_capacities = problem.use.shape
    taken = choice >= 0
    counts = np.bincount(problem.kind[taken] * n_actions + choice[taken], minlength=n_kinds * n_actions)
    return np.asarray(counts @ problem.use.reshape(n_kinds * n_actions, n_capacities), dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------- prices
def _descend(problem: _Problem, prices: Floats) -> Floats:
    """Set each price in turn to the lowest at which its capacity is not exceeded, until that changes no more."""
    prices, last = prices.copy(), np.inf
    for _ in range(_SWEEPS):
        for one in range(len(prices)):
            guess, prices[one] = prices[one], 0.0
            use = np.ascontiguousarray(problem.use[:, :, one])
            prices[one] = _price(problem.gain, problem.kind, problem.use @ prices, use, problem.limit[one], guess)
        bound, _ = problem.evaluate(prices)
        if last - bound <= _STILL * bound:
            break
        last = bound
    return prices


def _cut(problem: _Problem, prices: Floats, value: float) -> Floats:
    """The prices of the least bound, by cutting planes within a box around the best ones so far."""
    from scipy.optimize import linprog

    best, (bound, slope) = prices, problem.evaluate(prices)
    slopes, heights = [slope], [bound - float(slope @ prices)]
    # About what a unit may be worth, and the share of it by which prices may change at once.
    most = np.maximum(problem.use.max(axis=(0, 1), initial=0.0), 1e-9)
    scale, width = np.maximum(prices, problem.gain.max(initial=0.0) / most / 100), 0.1
    cost = np.append(np.zeros(len(prices)), 1.0)
    for _ in range(_CUTS):
        if bound - value <= _NOTHING * bound:
            break
        low, high = np.maximum(best - width * scale, 0.0), best + width * scale
        planes = np.column_stack([np.array(slopes), -np.ones(len(slopes))])
        bounds = [*zip(low, high, strict=True), (None, None)]
        solved = linprog(cost, planes, -np.array(heights), bounds=bounds, method="highs")
        if not solved.success:
            break
        if bound - solved.fun <= _NOTHING * bound:
            inside = (solved.x[:-1] < high) & ((solved.x[:-1] > low) | (low == 0.0))
            if inside.all():
                break
            width *= 4
            continue
        tried = np.asarray(solved.x[:-1], dtype=np.float64)
        found, slope = problem.evaluate(tried)
        slopes.append(slope)
        heights.append(found - float(slope @ tried))
        width *= 2.0 if found < bound else 0.7
        if found < bound:
            best, bound = tried, found
    return best


@compiled
def _demand(gain: Floats, kind: Rows, charge: Floats) -> tuple[float, Floats]:
    """What all accounts get above the prices, and how many of each kind take each action, `(n_kinds, n_actions)`."""
    total, counts = 0.0, np.zeros(charge.shape)
    for account in range(len(gain)):
        of_kind, best, at = kind[account], 0.0, -1
        for action in range(gain.shape[1]):
            worth = gain[account, action] - charge[of_kind, action]
            if worth > best:
                best, at = worth, action
        if at >= 0:
            total += best
            counts[of_kind, at] += 1.0
    return total, counts


@inlined
def _take(gain: Floats, charge: Floats, use: Floats, account: int, of_kind: int, price: float) -> float:
    """What an account takes of a capacity at a price; of actions that are worth the same, the one that takes least."""
    best, taken = 0.0, 0.0
    for action in range(gain.shape[1]):
        worth = gain[account, action] - charge[of_kind, action] - price * use[of_kind, action]
        if worth > best or (worth == best and use[of_kind, action] < taken):
            best, taken = worth, use[of_kind, action]
    return taken


@compiled
def _price(gain: Floats, kind: Rows, charge: Floats, use: Floats, limit: float, guess: float) -> float:
    """The lowest price of a capacity at which no more of it is taken than there is.

    Args:
        gain: `(n, n_actions)`.
        kind: `(n,)`.
        charge: `(n_kinds, n_actions)` what actions cost at the prices of the other capacities.
        use: `(n_kinds, n_actions)` what they take of this one.
        limit: how much there is.
        guess: where to look first.
    """
    # Accounts of which it is not settled what they take, and what they take at the low and at the high end.
    active, more, total, high = _takers(gain, kind, charge, use)
    if total <= limit:
        return 0.0
    less, taken = np.zeros(len(more)), np.empty(len(more))
    n_active, settled, low = len(active), 0.0, 0.0
    price, step = (guess, guess / 1000) if 0.0 < guess < high else (high / 2, high)
    while low < price < high:
        total = settled
        for place in range(n_active):
            account = active[place]
            taken[place] = _take(gain, charge, use, account, kind[account], price)
            total += taken[place]
        exceeded = total > limit
        if exceeded:
            low, more, taken = price, taken, more
        else:
            high, less, taken = price, taken, less
        n_active, settled = _unsettled(active, more, less, n_active, settled)
        stride = min(step, (high - low) / 2)
        price = low + stride if exceeded else high - stride
        step *= 4
    return high


@called
def _takers(gain: Floats, kind: Rows, charge: Floats, use: Floats) -> tuple[Rows, Floats, float, float]:
    """The accounts that take of a capacity while it costs nothing, how much, and a price at which none does."""
    active, more = np.empty(len(gain), dtype=np.int64), np.empty(len(gain))
    count, total, top = 0, 0.0, 0.0
    for account in range(len(gain)):
        of_kind = kind[account]
        taken = _take(gain, charge, use, account, of_kind, 0.0)
        if taken > 0.0:
            active[count], more[count] = account, taken
            count += 1
            total += taken
            for action in range(gain.shape[1]):
                if use[of_kind, action] > 0.0:
                    top = max(top, (gain[account, action] - charge[of_kind, action]) / use[of_kind, action])
    return active[:count].copy(), more[:count].copy(), total, 2.0 * top


@called
def _unsettled(active: Rows, more: Floats, less: Floats, n_active: int, settled: float) -> tuple[int, float]:
    """Keep the accounts that take more at one end than at the other; how many these are, and what the rest takes."""
    kept = 0
    for place in range(n_active):
        if more[place] == less[place]:
            settled += more[place]
        else:
            active[kept], more[kept], less[kept] = active[place], more[place], less[place]
            kept += 1
    return kept, settled


# --------------------------------------------------------------------------------------------------------- allocation
def _filled(problem: _Problem, charge: Floats) -> tuple[Rows, Floats]:
    """An allocation at prices, `(n,)`, and what it leaves of each capacity, `(n_capacities,)`."""
    gain, kind, use, room = problem.gain, problem.kind, problem.use, problem.limit.copy()
    choice = np.full(len(gain), -1, dtype=np.int64)
    regret = _regret(gain, kind, charge)
    for members, least in ((problem.first, -np.inf), (~problem.first & (regret > 0), 0.0)):
        order = np.flatnonzero(members)
        order = order[np.argsort(-regret[order], kind="stable")]
        _give(order, gain, kind, charge, use, least, room, choice)
    pairs = _open_pairs(gain, kind, use, room, choice)
    account, action = pairs // gain.shape[1], pairs % gain.shape[1]
    order = np.argsort(charge[kind[account], action] - gain[account, action], kind="stable")
    give_pairs(account[order], action[order], kind, use, room, choice)
    return choice, room


@compiled
def _regret(gain: Floats, kind: Rows, charge: Floats) -> Floats:
    """What each account would lose by its second choice, `(n,)`; 0 where it is best to do nothing."""
    regret = np.zeros(len(gain))
    for account in range(len(gain)):
        best, second = 0.0, 0.0
        for action in range(gain.shape[1]):
            worth = gain[account, action] - charge[kind[account], action]
            if worth > best:
                best, second = worth, best
            elif worth > second:
                second = worth
        # Above 0 where something is to be done, though the second choice is as good.
        regret[account] = max(best - second, 1e-300) if best > 0.0 else 0.0
    return regret


@inlined
def _fits(use: Floats, of_kind: int, action: int, room: Floats) -> bool:
    """Whether there is room for an action of an account of a kind."""
    fits = True
    for one in range(len(room)):
        fits &= use[of_kind, action, one] <= room[one]
    return fits


@compiled
def _give(
    order: Rows, gain: Floats, kind: Rows, charge: Floats, use: Floats, least: float, room: Floats, choice: Rows
) -> None:
    """Give accounts, in order, what is best for them of what there is room for, if it is worth more than `least`."""
    for account in order:
        of_kind, best, at = kind[account], least, -1
        for action in range(gain.shape[1]):
            worth = gain[account, action] - charge[of_kind, action]
            if worth > best and gain[account, action] > 0.0 and _fits(use, of_kind, action, room):
                best, at = worth, action
        if at >= 0:
            choice[account] = at
            room -= use[of_kind, at]


@compiled
def _open_pairs(gain: Floats, kind: Rows, use: Floats, room: Floats, choice: Rows) -> Rows:
    """The places, in the flattened gains, of what adds something to accounts that have nothing, if there is room."""
    fits = np.empty(use.shape[:2], dtype=np.bool_)
    for of_kind in range(use.shape[0]):
        for action in range(use.shape[1]):
            fits[of_kind, action] = _fits(use, of_kind, action, room)
    found = np.empty(gain.size if fits.any() else 0, dtype=np.int64)
    count = 0
    for account in range(len(gain) if fits.any() else 0):
        for action in range(gain.shape[1] if choice[account] < 0 else 0):
            if gain[account, action] > 0.0 and fits[kind[account], action]:
                found[count] = account * gain.shape[1] + action
                count += 1
    return found[:count].copy()


@compiled
def give_pairs(account: Rows, action: Rows, kind: Rows, use: Floats, room: Floats, choice: Rows) -> None:
    """Give pairs, in order, to accounts that have nothing, where there is room."""
    for pair in range(len(account)):
        one, at = account[pair], action[pair]
        if choice[one] < 0 and _fits(use, kind[one], at, room):
            choice[one] = at
            room -= use[kind[one], at]


# ------------------------------------------------------------------------------------------------------------- chains
def _improve(problem: _Problem, charge: Floats, choice: Rows, room: Floats, gap: float, least: float) -> None:
    """Improve an allocation by chains of moves that add more than `least`; writes `choice` and `room`.

    A better allocation gives no account an action that is worse for it, at the prices, by more than the gap: such moves
    are not looked at. Of each kind of move the nearest accounts are, and others once these have moved.
    """
    n_kinds, n_actions, n_capacities = problem.use.shape
    # Actions that take the same are one node; doing nothing is the last action.
    taken = np.concatenate([problem.use, np.zeros((n_kinds, 1, n_capacities))], axis=1)
    nodes, node = np.unique(taken.reshape(-1, n_capacities), axis=0, return_inverse=True)
    node = node.reshape(n_kinds, n_actions + 1)
    chains = min(_CHAINS, _STEPS // len(nodes) ** 3)
    nearest = min(max(_CORE // len(nodes) ** 2, _FEW), _MANY)
    for _ in range(_ROUNDS if chains else 0):
        found = _nearest(problem.gain, problem.kind, charge, node, choice, gap, len(nodes), nearest)
        core = np.unique(found[found >= 0])
        own = choice[core]
        applied, added = _chain(problem.gain[core], problem.kind[core], node, nodes, chains, least, room, own)
        choice[core] = own
        chains, gap = chains - applied, gap - added
        if not applied or not chains:
            break


@compiled
def _nearest(
    gain: Floats, kind: Rows, charge: Floats, node: Rows, choice: Rows, gap: float, n_nodes: int, most: int
) -> Rows:
    """The accounts that lose least by a move from one node to another, `(n_nodes, n_nodes, most)`, -1 for no more."""
    loss, found = np.full((n_nodes, n_nodes, most), np.inf), np.full((n_nodes, n_nodes, most), -1)
    for account in range(len(gain)):
        of_kind, own, best, have = kind[account], choice[account], 0.0, 0.0
        for action in range(gain.shape[1]):
            worth = gain[account, action] - charge[of_kind, action]
            best = max(best, worth)
            if action == own:
                have = worth
        for to in range(-1, gain.shape[1]):
            worth = gain[account, to] - charge[of_kind, to] if to >= 0 else 0.0
            if to != own and best - worth <= gap:
                begin, end = node[of_kind, own], node[of_kind, to]
                _insert(loss[begin, end], found[begin, end], have - worth, account)
    return found


@called
def _insert(loss: Floats, found: Rows, new: float, account: int) -> None:
    """Insert an account where it belongs among those of least loss; writes both."""
    place = len(loss)
    while place > 0 and new < loss[place - 1]:
        place -= 1
        if place + 1 < len(loss):
            loss[place + 1], found[place + 1] = loss[place], found[place]
    if place < len(loss):
        loss[place], found[place] = new, account


@compiled
def _chain(
    gain: Floats, kind: Rows, node: Rows, nodes: Floats, chains: int, least: float, room: Floats, choice: Rows
) -> tuple[int, float]:
    """Apply chains of moves that add more than `least` until there is none; writes `room` and `choice`.

    Returns how many were applied, and what they added.

    Args:
        gain: `(n, n_actions)`.
        kind: `(n,)`.
        node: `(n_kinds, n_actions + 1)` the node of each action, the last being to do nothing.
        nodes: `(n_nodes, n_capacities)` what an action of each node takes.
        chains: how many to apply at most.
        least: what a chain is to add.
        room: `(n_capacities,)` what is left.
        choice: `(n,)`.
    """
    n_nodes = len(nodes)
    worth, mover, action = np.empty((n_nodes, n_nodes)), np.empty((n_nodes, n_nodes), np.int64), np.empty(
        (n_nodes, n_nodes), np.int64
    )  # fmt: skip
    reached, via = np.empty((_LONGEST + 1, n_nodes, n_nodes)), np.empty((_LONGEST + 1, n_nodes, n_nodes), np.int64)
    added = 0.0
    for applied in range(chains):
        _moves(gain, kind, node, choice, worth, mover, action)
        begin, end, length = _best_chain(worth, nodes, room, least, reached, via)
        if length == 0:
            return applied, added
        added += reached[length, begin, end]
        room += nodes[begin] - nodes[end]
        at = end
        for left in range(length, 0, -1):
            before = via[left, begin, at]
            choice[mover[before, at]] = action[before, at]
            at = before
    return chains, added


@called
def _moves(gain: Floats, kind: Rows, node: Rows, choice: Rows, worth: Floats, mover: Rows, action: Rows) -> None:
    """The best single move from each node to each: what it adds, who moves, and to which action."""
    n_actions = gain.shape[1]
    worth[:] = -np.inf
    for account in range(len(gain)):
        own = choice[account]
        nodes = node[kind[account]]
        begin, have = nodes[own], gain[account, own] if own >= 0 else 0.0
        for to in range(-1, n_actions):
            new = gain[account, to] if to >= 0 else 0.0
            adds, end = new - have, nodes[to]
            # What adds nothing to an account is given to nobody, though it would free something.
            if to != own and (to < 0 or new > 0.0) and adds > worth[begin, end]:
                worth[begin, end], mover[begin, end], action[begin, end] = adds, account, to


@called
def _best_chain(
    worth: Floats, nodes: Floats, room: Floats, least: float, reached: Floats, via: Rows
) -> tuple[int, int, int]:
    """The chain that adds most among the shortest that add something: its ends and its length; 0 where there is none.

    One of the shortest passes no node twice: without the circle it would be shorter, and one of the two would add
    something. So nobody is to move twice.
    """
    n_nodes = len(nodes)
    reached[1] = worth
    for begin in range(n_nodes):
        via[1, begin, :] = begin
    for length in range(1, min(len(reached) - 1, n_nodes) + 1):
        if length > 1:
            _longer(worth, reached, via, length)
        found = (0, 0, 0)
        most = least
        for begin in range(n_nodes):
            for end in range(n_nodes):
                if reached[length, begin, end] > most and np.all(nodes[end] - nodes[begin] <= room):
                    found, most = (begin, end, length), reached[length, begin, end]
        if found[2] > 0:
            return found
    return 0, 0, 0


@called
def _longer(worth: Floats, reached: Floats, via: Rows, length: int) -> None:
    """The best chains of a length from those that are one move shorter."""
    reached[length] = -np.inf
    for begin in range(len(worth)):
        for middle in range(len(worth)):
            so_far = reached[length - 1, begin, middle]
            for end in range(len(worth) if so_far > -np.inf else 0):
                if so_far + worth[middle, end] > reached[length, begin, end]:
                    reached[length, begin, end] = so_far + worth[middle, end]
                    via[length, begin, end] = middle
