"""What followed: the money paid within the horizon of a moment, and whether promises were kept, once that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features import kernel
from features.contract import PROMISE_GRACE_DAYS
from features.events import owners
from features.histories import Histories
from features.jit import laid_out
from features.units import DAY, Instants, Money, Rows


@dataclass(frozen=True)
class Outcomes:
    """The outcome of each moment, `(n_moments,)`; `net_amount` is money, and says nothing where not `matured`."""

    net_amount: Money
    matured: npt.NDArray[np.bool_]


def outcomes(histories: Histories, account: Rows, as_of: Instants, horizon_days: int, known_before: int) -> Outcomes:
    """What was paid, net of reversals, in `[as_of, as_of + horizon)`, as known strictly before `known_before`.

    Args:
        histories: packed histories.
        account: `(n_moments,)` positions of accounts in the histories.
        as_of: `(n_moments,)` the moments.
        horizon_days: the horizon in days.
        known_before: the instant at which one looks; an outcome has matured when its horizon ended by then.
    """
    end = as_of + horizon_days * DAY
    looked = np.full(len(account), known_before)
    net_amount = kernel.paid_between(laid_out(account), laid_out(as_of), end - 1, histories.payments, looked)
    return Outcomes(net_amount, end <= known_before)


@dataclass(frozen=True)
class PromiseOutcomes:
    """Promises and what became of them, `(n_promises,)` each, in the order of the histories.

    `as_of` is the moment just after a promise became known, the first at which it counts. `was_open` says that it was
    neither covered nor over then. `deadline` is the last instant of its grace: once that has passed, it was `kept`
    where payments from its making until then cover it, and broken where they do not.
    """

    account: Rows
    as_of: Instants
    deadline: Instants
    was_open: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]


def promise_outcomes(histories: Histories, known_before: int) -> PromiseOutcomes:
    """What became of the promises known strictly before an instant, by the payments known strictly before it."""
    account = owners(histories.promises.start)
    known = histories.promises.known < known_before
    account, promises = account[known], histories.promises._replace(rows=histories.promises.rows[known])
    made_at, deadline = laid_out(promises.at), promises.due_on + PROMISE_GRACE_DAYS * DAY
    as_of = promises.known + 1

    def is_covered(by_what_is_known: Instants) -> npt.NDArray[np.bool_]:
        paid = kernel.paid_between(account, made_at, deadline, histories.payments, by_what_is_known)
        return np.asarray(paid >= promises.amount)

    was_open = ~is_covered(as_of) & (as_of <= deadline)
    return PromiseOutcomes(account, as_of, deadline, was_open, is_covered(np.full(len(account), known_before)))
