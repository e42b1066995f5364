"""The moments that a model learns from: cross-sections of the live accounts, cut in time.

Every live account-day has the same chance to be a moment: an account's moments lie `stride` days apart, from a
random phase. A fixed number per account instead would give those who pay soon, and so leave soon, too much weight,
and the level of the predictions would be off by a factor. All moments are at midnight UTC, because a portfolio may
carry dates alone, and a date is known when its day is over.

Training moments end one horizon (and the usual lag with which payments are recorded) before the cut, since their
outcomes must have been known by then; test moments begin at the cut. That gap has no setting: it is what could not
be known yet.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import standing
from features.errors import HistoryError
from features.histories import Histories
from features.outcomes import outcomes
from features.units import DAY, MONEY_SCALE, NULL_TIME, Instants, Money, Rows, format_day, format_instant
from training.settings import PaymentSettings

#: The share of payments that is recorded within the lag which training waits for beyond the horizon.
RECORDED_SHARE = 0.99


@dataclass(frozen=True)
class Moments:
    """Moments with their outcomes, `(n,)` each; `balance` and `net_amount` are money."""

    account: Rows
    as_of: Instants
    balance: Money
    net_amount: Money

    def __len__(self) -> int:
        """The number of moments."""
        return len(self.account)

    def take(self, rows: npt.NDArray[np.generic]) -> Moments:
        """The moments at `rows` (positions or a mask)."""
        return Moments(self.account[rows], self.as_of[rows], self.balance[rows], self.net_amount[rows])

    def and_then(self, others: Moments) -> Moments:
        """These moments, then others."""
        pairs = ((getattr(self, name), getattr(others, name)) for name in ("account", "as_of", "balance", "net_amount"))
        return Moments(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Cuts:
    """The instants that divide a history: moments begin, training moments end, the cut itself, test moments end."""

    begin: int
    train_end: int
    until: int
    test_end: int
    data_end: int

    @property
    def text(self) -> str:
        """The cuts in one line, for people."""
        return f"training moments {format_day(self.begin)} to {format_day(self.train_end)}, " + (
            f"test moments {format_day(self.until)} to {format_day(self.test_end)}"
            if self.test_end > self.until
            else "no test"
        )


def cut_time(histories: Histories, horizon_days: int, until: int | None, now: int) -> Cuts:
    """Divide the history in time.

    Args:
        histories: packed histories.
        horizon_days: how long an outcome takes to mature.
        until: the cut, before which everything learned must have been known; two horizons before the end when None.
        now: the present; rows recorded later are no sign that outcomes until then are known.

    Raises:
        HistoryError: the history is too short for a training moment whose outcome matured before the cut.
    """
    data_end = payments_end(histories, now)
    horizon = horizon_days * DAY
    test_end = matured_end(histories, horizon_days, data_end)
    cut = test_end - horizon if until is None else until
    # Payments reach only so far at the cut: what lies beyond their last one is not known to be nothing.
    known = histories.payments.known
    reached = int(known.max(where=known < min(cut, data_end), initial=NULL_TIME)) + 1
    train_end = max(reached - horizon - recording_lag(histories, cut), NULL_TIME)
    begin = int(histories.accounts.placed_at.min())
    if train_end <= begin:
        needed = (data_end - train_end) // DAY + 1
        raise HistoryError(
            f"training needs outcomes that matured before the cut {format_instant(cut)}: with a horizon of "
            f"{horizon_days} days at least {needed} days of history, got {(data_end - begin) // DAY}; "
            f"give a shorter --horizon, or more history"
        )
    return Cuts(begin, train_end, cut, test_end, data_end)


def payments_end(histories: Histories, now: int) -> int:
    """The instant up to which payments are known at `now`: just after the last of them.

    Raises:
        HistoryError: there is none.
    """
    known = histories.payments.known[histories.payments.known <= now]
    if not len(known):
        raise HistoryError(
            "training needs payments, as every look at a model does, got none that is known; check the payments table"
        )
    return int(known.max()) + 1


def matured_end(histories: Histories, horizon_days: int, known_before: int) -> int:
    """The last instant whose outcome is known before another: a horizon and the usual recording lag earlier."""
    return known_before - horizon_days * DAY - recording_lag(histories, known_before)


def recording_lag(histories: Histories, known_before: int) -> int:
    """The time within which nearly all payments known before an instant were recorded, in microseconds."""
    known = histories.payments.known < known_before
    late = (histories.payments.known - histories.payments.at)[known]
    return int(np.quantile(late, RECORDED_SHARE, method="higher")) if len(late) else 0


def account_draw(histories: Histories, purpose: str, seed: int) -> npt.NDArray[np.uint64]:
    """A number drawn for each account, `(n_accounts,)`, from its id: other accounts change nothing of it."""
    key = hashlib.sha256(f"{purpose}:{seed}".encode()).hexdigest()[:16]
    return pd.util.hash_array(histories.accounts.account_id, hash_key=key, categorize=False)


def account_folds(histories: Histories, count: int, seed: int) -> Rows:
    """The fold of each account, `(n_accounts,)`: all rows of an account share one, since they are not independent."""
    return (account_draw(histories, "fold", seed) % np.uint64(count)).astype(np.int64)


def sample_moments(
    histories: Histories, begin: int, end: int, stride_days: int, horizon_days: int, known_before: int, seed: int
) -> Moments:
    """Every account's moments in `[begin, end]`, `stride_days` apart from a random phase, while it is live.

    Args:
        histories: packed histories.
        begin: the first instant that may be a moment.
        end: the last one.
        stride_days: days from one moment of an account to its next.
        horizon_days: how far the outcome looks.
        known_before: when the outcome is looked at.
        seed: decides the phases.
    """
    phase = (account_draw(histories, "phase", seed) % np.uint64(stride_days)).astype(np.int64)
    first = np.maximum(histories.accounts.placed_at // DAY + 1, -(-begin // DAY))
    first += (phase - first) % stride_days
    count = np.maximum((end // DAY - first) // stride_days + 1, 0)
    account = np.repeat(np.arange(len(histories)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    as_of = (first[account] + step * stride_days) * DAY
    return with_outcomes(histories, account, as_of, horizon_days, known_before)


def entry_moments(histories: Histories, begin: int, end: int, horizon_days: int, known_before: int) -> Moments:
    """The first moment of each account placed in `[begin, end]`: the midnight after its placement."""
    as_of = (histories.accounts.placed_at // DAY + 1) * DAY
    account = np.flatnonzero((as_of >= begin) & (as_of <= end))
    return with_outcomes(histories, account, as_of[account], horizon_days, known_before)


def with_outcomes(
    histories: Histories, account: Rows, as_of: Instants, horizon_days: int, known_before: int
) -> Moments:
    """Those of these moments at which the account is live and whose outcome has matured, with what followed."""
    balance, live = standing(histories, account, as_of)
    followed = outcomes(histories, account, as_of, horizon_days, known_before)
    return Moments(account, as_of, balance, followed.net_amount).take(live & followed.matured)


def is_paid(moments: Moments, payment: PaymentSettings) -> npt.NDArray[np.bool_]:
    """Whether what followed each moment counts as a payment, `(n,)`."""
    above = np.maximum(payment.above_amount * MONEY_SCALE, payment.above_share * moments.balance)
    return np.asarray(moments.net_amount > above)


def stride_for(histories: Histories, cuts: Cuts, horizon_days: int, max_moments: int, seed: int) -> int:
    """The stride at which there are at most `max_moments` training moments; at least a quarter of the horizon.

    Moments closer together than that repeat each other: most of their horizons overlap.
    """
    probe = sample_moments(histories, cuts.begin, cuts.train_end, horizon_days, horizon_days, cuts.until, seed)
    account_days = len(probe) * horizon_days
    return max(1, horizon_days // 4, -(-account_days // max_moments))
