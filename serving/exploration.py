"""Exploration: a share of the queue's places is given at random, so that the next training can learn what channels do.

What is drawn, exactly, so that every propensity is exact. Nothing before step 4 is random.

1. Of each capacity that explored channels take of, the share of it, rounded up, is kept free. The rest is filled by
   rule.
2. The accounts of that queue form groups: alike in the channel that the rule chose, in the explored channels through
   which they may be contacted today (the rule's own may be among them), and in the capacities that count their actions.
3. In a group of `n` accounts with `k` such channels, each of these is to be drawn for `x = share * n / k` accounts.
   Where a capacity has not enough for what the `x` of all groups, each rounded up, take of it beyond what they took by
   rule, each such `x` is cut in proportion, to a whole number. Accounts that keep the rule's channel take no more.
4. Drawn, one number `u` from 0 to 1 for each group: with the group's `x` laid one after another on a line that begins
   at `u`, a channel is drawn for as many accounts as whole numbers lie in its piece (systematic sampling, Madow 1949).
   That is `x` rounded up or down, and `x` on average.
5. Drawn, an order of the group's accounts, all orders being equally likely: the first are those of the first channel,
   then come those of the second, and so on. The rest keep the rule's channel.
6. What is free whatever is drawn goes to the next accounts by rule. These are not explored.

So an account of a group gets channel `c` by the draw with probability `x_c / n`, and keeps the rule's channel
otherwise: the propensity of a row is the sum of what leads to its channel, and 1 for the accounts of step 6. No
capacity is ever exceeded: what step 4 may draw at most has its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from features.errors import SettingsError
from features.settings import PortfolioSettings
from features.units import Rows
from serving.allocation import Capacity, Floats, Mask, kinds_of

#: More than this is no longer a queue by rule.
MOST = 0.2


@dataclass(frozen=True)
class Exploration:
    """The share of the queue that is drawn at random, among which channels, and the text that all draws follow from."""

    share: float
    channels: tuple[str, ...]
    seed: str

    @property
    def seed_number(self) -> int:
        """The seed as a number of 63 bits."""
        return int.from_bytes(blake2b(self.seed.encode(), digest_size=8).digest()) >> 1

    def reserved(self, capacities: Sequence[Capacity], names: Sequence[str]) -> list[Capacity]:
        """What the rule has of capacities that are given: those less what is kept free for `names`, `(n_actions,)`."""
        explored = np.isin(names, self.channels)
        return [
            replace(one, limit=one.limit - np.ceil(self.share * one.limit)) if one.use[explored].any() else one
            for one in capacities
        ]


@dataclass(frozen=True)
class Group:
    """Accounts that are alike: their places, and for how many each of the `channels` is to be drawn, `wanted`."""

    members: Rows
    rule: int
    channels: Rows
    wanted: Floats


@dataclass(frozen=True)
class Plan:
    """What is settled before anything is drawn: the groups, and how much of each capacity is surely free."""

    groups: tuple[Group, ...]
    free: Floats


@dataclass(frozen=True)
class Drawn:
    """What was drawn, `(n,)` each: the channel of every account (-1: none), whether by the draw, and its propensity."""

    channel: Rows
    explored: Mask
    propensity: Floats


def check_exploration(
    exploration: Exploration, settings: PortfolioSettings, capacities: Mapping[str, float] | None = None
) -> None:
    """Refuse an exploration that cannot be, with `SettingsError`; places that are not given are not looked at."""
    if not 0 <= exploration.share <= MOST:
        raise SettingsError(f"the share that is explored is a number from 0 to {MOST}, got {exploration.share}")
    if not exploration.channels:
        raise SettingsError("exploration needs the channels to explore; name the cheap ones, like sms and email")
    for name in exploration.channels:
        if name not in settings.actions:
            actions = ", ".join(settings.actions)
            raise SettingsError(f"channels to explore are some of the portfolio's, {actions}; got {name!r}")
        if capacities is not None and not capacities.get(name):
            raise SettingsError(f"a channel to explore needs places, {name} has none; give it a capacity")
    by_hour = [one.name for one in settings.queue.capacities if one.hours is not None]
    if by_hour and "call" in exploration.channels:
        raise SettingsError(
            f"calls cannot be explored where a capacity counts those of some hours, as {by_hour[0]} does: which hour a "
            f"drawn call would have is open; explore other channels, or take that capacity out"
        )


def plan_exploration(
    exploration: Exploration, chosen: Rows, allowed: Mask, capacities: Sequence[Capacity], names: Sequence[str]
) -> Plan:
    """Settle what may be drawn.

    Args:
        exploration: the settings.
        chosen: `(n,)` the channel by rule, under the capacities less what is reserved; -1 where there is none.
        allowed: `(n, n_channels)` which channels may be chosen.
        capacities: the capacities, nothing reserved.
        names: `(n_channels,)`.
    """
    use = np.array([one.use for one in capacities], dtype=np.float64).reshape(len(capacities), len(names))
    kind, by_kind = kinds_of(len(chosen), use, capacities)
    taken = np.flatnonzero(chosen >= 0)
    left = np.array([one.limit for one in capacities]) - by_kind[kind[taken], chosen[taken]].sum(axis=0)
    explored = np.flatnonzero(np.isin(names, exploration.channels))
    groups = [
        Group(members, rule, channels, np.full(len(channels), exploration.share * len(members) / len(channels)))
        for members, rule, channels in _alike(chosen, allowed, explored, kind)
    ]
    # What each draw takes of each capacity beyond what the rule took, `(n_channels of the group, n_capacities)`.
    beyond = [by_kind[kind[one.members[0]], one.channels] - by_kind[kind[one.members[0]], one.rule] for one in groups]
    for place in range(len(capacities)):
        _cut([(one.wanted, more[:, place]) for one, more in zip(groups, beyond, strict=True)], float(left[place]))
    free = left.copy()
    for group, more in zip(groups, beyond, strict=True):
        free -= np.ceil(group.wanted) @ np.maximum(more, 0.0) + np.floor(group.wanted) @ np.minimum(more, 0.0)
    return Plan(tuple(groups), free)


def _alike(chosen: Rows, allowed: Mask, explored: Rows, kind: Rows) -> list[tuple[Rows, int, Rows]]:
    """The accounts of each group, what the rule chose for them, and the explored channels that they may be given."""
    taken = np.flatnonzero(chosen >= 0)
    open_to = allowed[np.ix_(taken, explored)]
    code = kind[taken] * allowed.shape[1] + chosen[taken]
    code = code * (1 << len(explored)) + open_to @ (1 << np.arange(len(explored)))
    found = []
    for one in np.unique(code):
        members = np.flatnonzero(code == one)
        channels = explored[open_to[members[0]]]
        if len(channels):
            found.append((taken[members], int(chosen[taken[members[0]]]), channels))
    return found


def _cut(wanting: list[tuple[Floats, Floats]], left: float) -> None:
    """Cut what is wanted to what a capacity has left; `wanting` is what groups want, and what each draw takes of it."""
    more = [(wanted, take > 0, take) for wanted, take in wanting]
    if sum(float(np.ceil(wanted[here]) @ take[here]) for wanted, here, take in more) <= left:
        return
    total = sum(float(wanted[here] @ take[here]) for wanted, here, take in more)
    for wanted, here, _ in more:
        wanted[here] = np.floor(wanted[here] * min(1.0, left / total))


def draw(plan: Plan, chosen: Rows, seed: int) -> Drawn:
    """Draw; the same seed gives the same draws for the same queue by rule."""
    generator = np.random.Generator(np.random.PCG64(seed))
    channel, explored = chosen.copy(), np.zeros(len(chosen), dtype=np.bool_)
    propensity = np.where(chosen >= 0, 1.0, np.nan)
    for group in plan.groups:
        ends = np.cumsum(group.wanted)
        # Rounded, since a sum of parts of a whole number may miss it by the last bit.
        passed = np.floor(np.round(ends, 9) + generator.random())
        counts = np.diff(np.concatenate([[0.0], passed])).astype(np.int64)
        order = group.members[np.argsort(generator.random(len(group.members)), kind="stable")]
        drawn = order[: counts.sum()]
        channel[drawn], explored[drawn] = np.repeat(group.channels, counts), True
        by_draw = np.zeros(max(group.rule, *group.channels.tolist()) + 1)
        by_draw[group.channels] = group.wanted / len(group.members)
        by_draw[group.rule] += 1.0 - group.wanted.sum() / len(group.members)
        propensity[group.members] = by_draw[channel[group.members]]
    return Drawn(channel, explored, propensity)
