"""The holdout: a bundle on later, unseen time, beside what happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import FeatureSet, feature_matrix
from features.histories import Histories
from features.units import from_money
from training.bundle import PAYMENT, Bundle, Floats, band_of
from training.metrics import auc, by_band, money, ranking_and_calibration
from training.moments import Cuts, Moments, is_paid, sample_moments
from training.settings import TrainingSettings

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Holdout:
    """Predictions on later, unseen time beside what happened, `(n,)` each; money in the main unit.

    `paid` is what the model gives the probability of. Where that is a label, there is no money: amounts are NaN.
    """

    moments: Moments
    p_pay: Floats
    expected_amount: Floats
    paid: Flags
    net_amount: Floats
    bands: pd.DataFrame
    metrics: dict[str, float]

    @property
    def has_money(self) -> bool:
        """Whether the model speaks of money."""
        return bool(np.isfinite(self.expected_amount).all())


def evaluate(
    bundle: Bundle, histories: Histories, features: FeatureSet, cuts: Cuts, stride: int, settings: TrainingSettings
) -> Holdout | None:
    """Score moments from the cut on as they would have been scored then, beside what followed.

    Args:
        bundle: what to evaluate.
        histories: packed histories.
        features: the bundle's features, prepared.
        cuts: says where test moments begin and end.
        stride: days from one moment of an account to its next: a horizon at least, so that no payment counts twice.
        settings: how many threads, which payments count, and the seed of the phases.
    """
    horizon_days = bundle.manifest.horizon_days
    moments = sample_moments(histories, cuts.until, cuts.test_end, stride, horizon_days, cuts.data_end, settings.seed)
    paid = is_paid(moments, settings.payment)
    return measure(bundle, histories, features, moments, paid, settings.threads) if len(moments) else None


def measure(
    bundle: Bundle, histories: Histories, features: FeatureSet, moments: Moments, paid: Flags, threads: int
) -> Holdout:
    """What a bundle says of some moments, beside what happened, `(n,)`: a payment, or the label."""
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    balance = from_money(moments.balance)
    found = bundle.predict(matrix, balance, threads)
    has_money = bundle.manifest.target == PAYMENT
    net_amount = from_money(moments.net_amount) if has_money else np.full(len(moments), np.nan)
    metrics = {
        "accounts": float(len(np.unique(moments.account))),
        "moments": float(len(moments)),
        "predicted_payers": float(found.p_pay.sum()),
        "paying_accounts": float(len(np.unique(moments.account[paid]))),
        "auc_days_past_due": _auc_either_way(matrix[:, features.names.index("days_past_due")], paid),
        **ranking_and_calibration(found.p_pay, paid),
        **(money(found.expected_amount, net_amount, paid) if has_money else {"payers": float(paid.sum())}),
    }
    band = band_of(found.p_pay, bundle.manifest.band_thresholds)
    table = by_band(band, found.p_pay, paid, found.expected_amount, net_amount, balance)
    if not has_money:
        table = table.drop(columns=["predicted_amount", "actual_amount", "cumulative_money_share"])
    finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
    return Holdout(moments, found.p_pay, found.expected_amount, paid, net_amount, table, finite)


def _auc_either_way(column: npt.NDArray[np.float32], paid: Flags) -> float:
    """The AUC of ordering by one column, from its better end."""
    found = auc(column.astype(np.float64), paid)
    return max(found, 1 - found)
