"""What a month's work came to: money, calls per recovery, cost per unit collected, and contact rules broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.rehearsal.policies import ByLadder, Policy
from experiments.rehearsal.working import Floats, Ints, Month
from experiments.world.codes import ACTIONS, CALL, N_ACTIONS, NONE, POLICY
from experiments.world.headline import recoveries

#: More places than any day needs.
_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Worked:
    """A month of one policy: actions by code `(7,)`, money by account `(n,)`, and what it took.

    `paid` is what was paid in the month, `paid_after` what was paid until as long after it; `recovered` counts debts
    paid off after a call in the month; `broken` actions that contact rules forbade.
    """

    used: Ints
    paid: Floats
    paid_after: Floats
    commission: Floats
    cost: float
    recovered: int
    broken: int

    def figures(self) -> dict[tuple[str, str], float]:
        """The figures of the month, each with its unit."""
        money = float(self.paid_after.sum())
        return {
            ("money in the month", "money"): float(self.paid.sum()),
            ("money in the month and the one after", "money"): money,
            ("commission less cost", "money"): float((self.paid_after * self.commission).sum()) - self.cost,
            ("calls", "calls"): float(self.used[CALL]),
            ("recoveries", "debts"): float(self.recovered),
            ("calls per recovery", "calls"): self.used[CALL] / max(self.recovered, 1),
            ("cost per unit collected", "ratio"): self.cost / money if money else float("nan"),
            ("actions against contact rules", "actions"): float(self.broken),
        }

    def against(self, other: Worked) -> dict[str, float]:
        """Figures by those of another policy; and how far the money may be from that by chance (95 %)."""
        apart = self.paid_after - other.paid_after
        theirs = float(other.paid_after.sum())
        margin = 1.96 * float(apart.std()) * np.sqrt(len(apart))
        mine, others = self.figures(), other.figures()
        return {
            "money": float(self.paid_after.sum()) / theirs,
            "margin of that at 95 %": margin / theirs,
            "calls per recovery": mine["calls per recovery", "calls"] / others["calls per recovery", "calls"],
            "commission less cost": mine["commission less cost", "money"] / others["commission less cost", "money"],
        }


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
    paid, frames = month.paid, month.happened()
    for _ in range(days):
        month.work(ByLadder().orders(month, limit))
    outbound = frames["contacts"][frames["contacts"]["direction"] == "outbound"]
    return Worked(
        used=_used(outbound),
        paid=paid,
        paid_after=month.paid,
        commission=month.commission,
        cost=float(outbound["cost"].sum()),
        recovered=recoveries(month.since_beginning(frames)),
        broken=broken,
    )


def _used(outbound: pd.DataFrame) -> Ints:
    counts = outbound["channel"].value_counts().reindex(list(ACTIONS), fill_value=0)
    return np.asarray(counts, dtype=np.int64)


def compared(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs of policies that are held against each other: the later ones against each before them."""
    for place, name in enumerate(names):
        for other in names[:place]:
            yield name, other
