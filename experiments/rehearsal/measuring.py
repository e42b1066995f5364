"""What a month's work came to: money, recoveries, calls and cost; and how two policies compare, with intervals.

A debtor may pay whom nobody contacts: what a policy brings is what is paid beyond a month in which everybody waits.
Chance is shared, so that account by account the difference is what the policy did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.rehearsal.policies import ByLadder, Policy
from experiments.rehearsal.working import Floats, Ints, Month
from experiments.world.codes import ACTIONS, CALL, N_ACTIONS, NONE, POLICY
from experiments.world.headline import paid_off
from features.contract import REACHED_OUTCOMES

#: More places than any day needs.
_NO_LIMIT = 1_000_000_000
#: What practitioners mean when they count about 125 calls a recovery: debts of about so much.
RECOVERY = 7_000.0


@dataclass(frozen=True)
class Worked:
    """A month of one policy, by account, `(n,)` each; months of several worlds end to end.

    `paid` is what was paid in the month, `paid_after` what was paid until as long after it; `recovered` counts debts
    paid off in the month after a call in it, `paid_off` those with a call or without. `cost` is that of the month's
    contacts, `used` their number by action, `(7,)`, and `broken` how many of them contact rules forbade.
    """

    paid: Floats
    paid_after: Floats
    commission: Floats
    recovered: Floats
    paid_off: Floats
    calls: Floats
    reached: Floats
    cost: Floats
    used: Ints
    broken: int

    def figures(self, waiting: Worked) -> dict[tuple[str, str], float]:
        """The figures of the month, each with its unit; `waiting` is the month in which everybody waits."""
        brought, calls = (self.paid_after - waiting.paid_after).sum(), self.calls.sum()
        found = {
            ("paid in the month", "money"): self.paid.sum(),
            ("paid until a month later", "money"): self.paid_after.sum(),
            ("of it beyond waiting", "money"): brought,
            ("commission less cost", "money"): (self.paid_after * self.commission).sum() - self.cost.sum(),
            ("calls", "calls"): calls,
            ("right-party contacts per call", "ratio"): _ratio(self.reached.sum(), calls),
            ("accounts called", "accounts"): (self.calls > 0).sum(),
            ("debts paid off after a call", "debts"): self.recovered.sum(),
            ("debts paid off", "debts"): self.paid_off.sum(),
            ("calls per debt paid off after a call", "calls"): _ratio(calls, self.recovered.sum()),
            ("calls per recovery of 7,000 in the month", "calls"): _ratio(calls, self.paid.sum() / RECOVERY),
            ("calls per recovery of 7,000 beyond waiting", "calls"): _ratio(calls, brought / RECOVERY),
            ("cost per unit collected", "ratio"): _ratio(self.cost.sum(), self.paid_after.sum()),
            ("actions against contact rules", "actions"): self.broken,
        }
        return {what: float(value) for what, value in found.items()}


def worked(
    month: Month, policy: Policy, places: Ints | None, days: int, advance: Callable[[], object] = lambda: None
) -> Worked:
    """Work a month by a policy, from its beginning, under so many places a day by action; None is no limit."""
    month.restart()
    limit = np.full(N_ACTIONS, _NO_LIMIT) if places is None else places
    broken = 0
    for _ in range(days):
        orders = policy.orders(month, limit)
        allowed, _ = month.look()
        actions = orders.action
        ordered = np.flatnonzero((actions != NONE) & (actions != POLICY) & month.live)
        broken += int((~allowed[ordered, actions[ordered]]).sum())
        month.work(orders)
        advance()
    paid, frames = month.paid, month.since_beginning(month.happened())
    for _ in range(days):
        month.work(ByLadder().orders(month, limit))
    outbound = frames["contacts"][frames["contacts"]["direction"] == "outbound"]
    calls = outbound[outbound["channel"] == ACTIONS[CALL]]
    called = calls.groupby("account_id")["at"].min()
    return Worked(
        paid=paid,
        paid_after=month.paid,
        commission=month.commission,
        recovered=month.by_account(paid_off(frames, called)["account_id"].value_counts()),
        paid_off=month.by_account(paid_off(frames)["account_id"].value_counts()),
        calls=month.by_account(calls["account_id"].value_counts()),
        reached=month.by_account(calls.loc[calls["outcome"].isin(REACHED_OUTCOMES), "account_id"].value_counts()),
        cost=month.by_account(outbound.groupby("account_id")["cost"].sum()),
        used=_used(outbound),
        broken=broken,
    )


def _used(outbound: pd.DataFrame) -> Ints:
    counts = outbound["channel"].value_counts().reindex(list(ACTIONS), fill_value=0)
    return np.asarray(counts, dtype=np.int64)


def together(months: Sequence[Worked]) -> Worked:
    """The months of several worlds as one."""
    by_account = ("paid", "paid_after", "commission", "recovered", "paid_off", "calls", "reached", "cost")
    columns = {name: np.concatenate([getattr(month, name) for month in months]) for name in by_account}
    used = np.sum([month.used for month in months], axis=0)
    return Worked(**columns, used=used, broken=sum(month.broken for month in months))


@dataclass(frozen=True)
class Share:
    """A ratio with its interval at 95 %, NaN where it cannot be told."""

    value: float
    low: float
    high: float


def shares(one: Worked, other: Worked, waiting: Worked) -> Mapping[str, Share]:
    """Figures of one policy as a share of another's; see `share_of`."""
    brought, theirs = one.paid_after - waiting.paid_after, other.paid_after - waiting.paid_after
    return {
        "paid until a month later": share_of([one.paid_after], [other.paid_after]),
        "paid beyond waiting": share_of([brought], [theirs]),
        "calls per debt paid off after a call": share_of([one.calls, other.recovered], [other.calls, one.recovered]),
        "calls per recovery of 7,000 in the month": share_of([one.calls, other.paid], [other.calls, one.paid]),
        "calls per recovery of 7,000 beyond waiting": share_of([one.calls, theirs], [other.calls, brought]),
        "cost per unit collected": share_of([one.cost, other.paid_after], [other.cost, one.paid_after]),
    }


def share_of(above: Sequence[Floats], below: Sequence[Floats]) -> Share:
    """The product of sums over accounts, by another, with its interval at 95 %.

    The interval is that of the logarithm by the delta method, accounts being drawn independently of each other; what
    an account has in common above and below the line cancels.

    Args:
        above: arrays by account, `(n,)`, whose sums are multiplied.
        below: likewise, what they are divided by.

    >>> share = share_of([np.array([2.0, 4.0])], [np.array([1.0, 2.0])])
    >>> (share.value, share.low, share.high)
    (2.0, 2.0, 2.0)
    """
    sums_above, sums_below = [each.sum() for each in above], [each.sum() for each in below]
    if not all(total > 0 for total in (*sums_above, *sums_below)):
        return Share(float("nan"), float("nan"), float("nan"))
    value = float(np.prod(sums_above) / np.prod(sums_below))
    parts = [each / each.sum() for each in above] + [-each / each.sum() for each in below]
    margin = 1.96 * float(np.sqrt((np.sum(parts, axis=0) ** 2).sum()))
    return Share(value, value * float(np.exp(-margin)), value * float(np.exp(margin)))


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")
