"""The headline figures of a world, each with its definition, computed from the tables as a user would."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.contract import PROMISE_GRACE_DAYS, REACHED_OUTCOMES
from features.units import Money, to_instants, to_money

Frames = Mapping[str, pd.DataFrame]
DEFINITIONS = {
    "calls_per_recovery": "outbound calls / recoveries",
    "recoveries": "payments after which nothing is owed any more, on accounts called before, not reversed since",
    "right_party_rate": "calls on which the debtor was spoken to / outbound calls",
    "promise_rate": "promises / outbound calls and visits on which the debtor was spoken to",
    "kept_rate": "promises paid in full by the due date and 3 days / promises past that",
    "oracle_auc": "area under the ROC curve of p_pay of the policy on who paid (net) in the horizon",
    "paid_share": "live accounts with a net payment in the horizon / live accounts",
    "expected_paid_share": "mean p_pay of the policy over the live accounts",
    "explored_share": "decisions drawn at random / decisions",
}


def work_figures(frames: Frames, as_of: int) -> dict[str, float]:
    """What the work until `as_of` amounts to."""
    contacts, decisions = frames["contacts"], frames["decisions"]
    outbound = contacts[contacts["direction"] == "outbound"]
    calls = outbound[outbound["channel"] == "call"]
    reached = outbound["outcome"].isin(REACHED_OUTCOMES)
    recovered = int(recoveries(frames))
    return {
        "calls": len(calls),
        "recoveries": recovered,
        "calls_per_recovery": _ratio(len(calls), recovered),
        "right_party_rate": _ratio(int(calls["outcome"].isin(REACHED_OUTCOMES).sum()), len(calls)),
        "promise_rate": _ratio(int((outbound["outcome"] == "promise").sum()), int(reached.sum())),
        "kept_rate": kept_rate(frames, as_of),
        "explored_share": _ratio(int(decisions["explored"].sum()), len(decisions)),
        "cost": float(contacts["cost"].sum()),
        "paid_amount": float(frames["payments"]["amount"].sum()),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def recoveries(frames: Frames) -> int:
    """Debts paid off after being called: see DEFINITIONS. An account may be recovered again after a new charge."""
    contacts = frames["contacts"]
    calls = contacts[(contacts["direction"] == "outbound") & (contacts["channel"] == "call")]
    return len(paid_off(frames, calls.groupby("account_id")["at"].min()))


def paid_off(frames: Frames, after: pd.Series | None = None) -> pd.DataFrame:
    """The payments after which nothing is owed any more, not reversed since: rows of `ledger`.

    Args:
        frames: the tables.
        after: by account, the moment after which they count; all count where it is None.
    """
    moves = ledger(frames)
    last = moves["paid"] & (moves["moved"] < 0) & (moves["owed"] == 0)
    # Nothing is paid or charged while nothing is owed: a reversal is the next move.
    follows = moves["account_id"] == moves["account_id"].shift(-1)
    reversed_next = follows & moves["paid"].shift(-1, fill_value=False) & (moves["moved"].shift(-1) > 0)
    found = moves[last & ~reversed_next]
    if after is None:
        return found
    since = after.reindex(found["account_id"]).set_axis(found.index)
    return found[found["at"] > since]


def ledger(frames: Frames) -> pd.DataFrame:
    """All movements of all balances by account and time, with what is owed after each, in ten-thousandths."""
    payments, charges, accounts = frames["payments"], frames["charges"], frames["accounts"]
    parts = [
        payments.assign(moved=-to_money(payments["amount"]), paid=True),
        charges.assign(moved=to_money(charges["amount"]), paid=False),
    ]
    moves = pd.concat([part[["account_id", "at", "moved", "paid"]] for part in parts], ignore_index=True)
    moves = moves.sort_values(["account_id", "at"], kind="stable", ignore_index=True)
    opening = to_money(accounts["balance"])[pd.Index(accounts["account_id"]).get_indexer(pd.Index(moves["account_id"]))]
    return moves.assign(owed=opening + moves.groupby("account_id")["moved"].cumsum().to_numpy(np.int64))


def kept_rate(frames: Frames, as_of: int) -> float:
    """The share of the promises past their grace at `as_of` that were kept, by the contract's definition."""
    promises = frames["promises"].assign(place=np.arange(len(frames["promises"])))
    deadline = promises["due_on"] + pd.Timedelta(days=PROMISE_GRACE_DAYS)
    due = promises.assign(deadline=deadline)[to_instants(deadline) < as_of]
    paid = due.merge(frames["payments"][["account_id", "at", "amount"]], on="account_id", suffixes=("", "_paid"))
    within = paid[(paid["at"] >= paid["made_at"]) & (paid["at"] <= paid["deadline"])]
    covered = pd.Series(to_money(within["amount_paid"]), index=within["place"]).groupby(level=0).sum()
    sums: Money = covered.reindex(due["place"], fill_value=0).to_numpy()
    return _ratio(int((sums >= to_money(due["amount"])).sum()), len(due))


def area_under_curve(score: npt.NDArray[np.float64], hit: npt.NDArray[np.bool_]) -> float:
    """The chance that a hit scores above a miss, ties counted half (Mann-Whitney); NaN without either.

    >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    hits, misses = int(hit.sum()), int((~hit).sum())
    if hits == 0 or misses == 0:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[hit].sum() - hits * (hits + 1) / 2) / (hits * misses))


def truth_figures(policy: pd.DataFrame, followed: pd.DataFrame) -> dict[str, float]:
    """How the truth under the policy agrees with what followed; rows of both in the same order."""
    p_pay = policy["p_pay"].to_numpy()
    return {
        "live_accounts": len(followed),
        "paid_share": _ratio(int(followed["paid"].sum()), len(followed)),
        "expected_paid_share": float(p_pay.mean()) if len(p_pay) else float("nan"),
        "oracle_auc": area_under_curve(p_pay, followed["paid"].to_numpy(bool)) if len(p_pay) else float("nan"),
        "paid_amount_in_horizon": float(followed["paid_amount"].sum()),
        "expected_amount_in_horizon": float(policy["expected_amount"].sum()),
    }
