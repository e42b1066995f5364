"""What followed a moment: the money paid within the horizon, once enough time has passed to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features import kernel
from features.histories import Histories
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
    horizon = horizon_days * DAY
    net_amount = kernel.paid_after(account, as_of, horizon, histories.payments, known_before)
    return Outcomes(net_amount, as_of + horizon <= known_before)
