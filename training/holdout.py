"""The holdout: a bundle on later, unseen time, beside what happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import FeatureSet, feature_matrix
from features.histories import Histories
from features.units import from_money
from training.bundle import PAYMENT, Bundle, Floats, Matrix, band_of
from training.metrics import auc, auc_error, by_band, is_known, money, ranking_and_calibration
from training.moments import Cuts, Moments, is_paid, sample_moments
from training.settings import TrainingSettings

Flags = npt.NDArray[np.bool_]

#: So many rows of a holdout are kept with their features, to explain the model by.
SAMPLE_ROWS = 2_000


@dataclass(frozen=True)
class Holdout:
    """Predictions on later, unseen time beside what happened, `(n,)` each; money in the main unit.

    `paid` is what the model gives the probability of. Where that is a label, there is no money: amounts are NaN.
    `sample` holds the features of some of the moments, drawn at random, `(n_sample, n_features)`.
    """

    moments: Moments
    p_pay: Floats
    expected_amount: Floats
    paid: Flags
    net_amount: Floats
    band: npt.NDArray[np.object_]
    days_past_due: Floats
    bands: pd.DataFrame
    metrics: dict[str, float]
    sample: Matrix

    @property
    def has_money(self) -> bool:
        """Whether the model speaks of money."""
        return is_known(self.net_amount)


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
    return measure(bundle, histories, features, moments, paid, settings) if len(moments) else None


def measure(
    bundle: Bundle, histories: Histories, features: FeatureSet, moments: Moments, paid: Flags,
    settings: TrainingSettings,
) -> Holdout:  # fmt: skip
    """What a bundle says of some moments, beside what happened, `(n,)`: a payment, or the label."""
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    found = bundle.predict(matrix, from_money(moments.balance), settings.threads)
    drawn = np.random.default_rng(settings.seed).permutation(len(moments))[:SAMPLE_ROWS]
    has_money = bundle.manifest.target == PAYMENT
    return _measured(
        moments=moments,
        p_pay=found.p_pay,
        expected_amount=found.expected_amount,
        paid=paid,
        net_amount=from_money(moments.net_amount) if has_money else np.full(len(moments), np.nan),
        band=band_of(found.p_pay, bundle.manifest.band_thresholds),
        days_past_due=matrix[:, features.names.index("days_past_due")].astype(np.float64),
        sample=matrix[np.sort(drawn)],
    )


def during(holdout: Holdout, begin: int, end: int) -> Holdout | None:
    """The part of a holdout whose moments lie in `[begin, end)`, measured anew; None where there is none."""
    rows = (holdout.moments.as_of >= begin) & (holdout.moments.as_of < end)
    if not rows.any():
        return None
    return _measured(
        moments=holdout.moments.take(rows),
        p_pay=holdout.p_pay[rows],
        expected_amount=holdout.expected_amount[rows],
        paid=holdout.paid[rows],
        net_amount=holdout.net_amount[rows],
        band=holdout.band[rows],
        days_past_due=holdout.days_past_due[rows],
        sample=holdout.sample,
    )


def _measured(
    *, moments: Moments, p_pay: Floats, expected_amount: Floats, paid: Flags, net_amount: Floats,
    band: npt.NDArray[np.object_], days_past_due: Floats, sample: Matrix,
) -> Holdout:  # fmt: skip
    has_money = is_known(net_amount)
    metrics = {
        "accounts": float(len(np.unique(moments.account))),
        "moments": float(len(moments)),
        "predicted_payers": float(p_pay.sum()),
        "paying_accounts": float(len(np.unique(moments.account[paid]))),
        "auc_days_past_due": _auc_either_way(days_past_due, paid),
        "auc_error": auc_error(p_pay, paid, moments.account),
        **ranking_and_calibration(p_pay, paid),
        **(money(expected_amount, net_amount, paid) if has_money else {"payers": float(paid.sum())}),
    }
    table = by_band(band, p_pay, paid, expected_amount, net_amount, from_money(moments.balance))
    finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
    return Holdout(
        moments, p_pay, expected_amount, paid, net_amount, band, days_past_due, table, finite, sample
    )  # fmt: skip


def _auc_either_way(column: Floats, paid: Flags) -> float:
    """The AUC of ordering by one column, from its better end."""
    found = auc(column, paid)
    return max(found, 1 - found)
