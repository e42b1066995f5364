"""Moments that a model has not learned from, scored as they would have been then, beside what followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import BundleError
from features.histories import Histories
from features.units import from_money
from serving.scoring import Scorer, score
from training.bundle import Bundle, Floats
from training.moments import Moments, is_paid
from training.settings import PaymentSettings

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """Moments, their rows of the scores table, and what followed, `(n,)` each; money in the main unit."""

    moments: Moments
    scores: pd.DataFrame
    paid: Flags
    net_amount: Floats

    @property
    def p_pay(self) -> Floats:
        """The probability given to each, `(n,)`."""
        return self.scores["p_pay"].to_numpy(np.float64)

    @property
    def expected_amount(self) -> Floats:
        """The money expected of each, `(n,)`."""
        return self.scores["expected_amount"].to_numpy(np.float64)


def score_moments(
    scorer: Scorer, histories: Histories, moments: Moments, threads: int = 1,
    on_scored: Callable[[int], None] | None = None,
) -> Scored:  # fmt: skip
    """Score each moment by the very function that scores a portfolio.

    Args:
        scorer: the prepared bundle.
        histories: packed histories.
        moments: at which their accounts are live.
        threads: how many threads LightGBM may use.
        on_scored: told the number of moments scored, for progress.
    """
    order = np.argsort(moments.as_of, kind="stable")
    times, begin = np.unique(moments.as_of[order], return_index=True)
    parts = [
        score(scorer, histories, int(as_of), moments.account[rows], threads, on_scored)
        for as_of, rows in zip(times, np.split(order, begin[1:]), strict=True)
    ]
    sorted_moments = moments.take(order)
    payment = payment_settings(scorer.bundle)
    paid, net_amount = is_paid(sorted_moments, payment), from_money(sorted_moments.net_amount)
    return Scored(sorted_moments, pd.concat(parts, ignore_index=True), paid, net_amount)


def payment_settings(bundle: Bundle) -> PaymentSettings:
    """What the bundle counts as a payment.

    Raises:
        BundleError: it does not say so as this version reads it.
    """
    try:
        return msgspec.convert(bundle.manifest.settings["payment"], PaymentSettings)
    except (KeyError, msgspec.ValidationError):
        raise BundleError(
            f"model {bundle.label} does not say what counts as a payment as this version reads it; train anew"
        ) from None
