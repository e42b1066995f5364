"""Bands: what was predicted and what happened in each, and whether a worse one did better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.units import Rows
from training.bundle import BANDS, band_of
from training.holdout import Holdout


@dataclass(frozen=True)
class BandRow:
    """A band of one model; `accounts` counts an account once for each of its moments.

    Amounts are in the main unit, and None where the model says nothing of money.
    """

    band: str
    accounts: int
    predicted_payers: float
    actual_payers: int
    predicted_amount: float | None
    actual_amount: float | None


@dataclass(frozen=True)
class Rise:
    """The rise of the actual pay rate from a better band to a worse one that chance explains least."""

    better: str
    worse: str
    rise: float
    standard_error: float


def band_rows(holdout: Holdout) -> tuple[BandRow, ...]:
    """Every band of a holdout, best first."""
    return tuple(
        BandRow(
            str(row["band"]), int(row["accounts"]), float(row["predicted_payers"]), int(row["actual_payers"]),
            row.get("predicted_amount"), row.get("actual_amount"),
        )
        for row in holdout.bands.to_dict("records")
    )  # fmt: skip


def largest_rise(holdout: Holdout, thresholds: tuple[float, ...]) -> Rise | None:
    """The rise of the actual pay rate from a better band to a worse one with the largest ratio to its standard error.

    The standard error is that of no difference between the two bands (a score test), summed by account, whose moments
    are not independent. None where no worse band paid more often than a better one.
    """
    accounts, which = np.unique(holdout.moments.account, return_inverse=True)
    place = np.array([BANDS.index(band) for band in band_of(holdout.p_pay, thresholds)])
    cell = which * len(BANDS) + place
    shape = (len(accounts), len(BANDS))
    moments = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    payers = np.bincount(cell[holdout.paid], minlength=shape[0] * shape[1]).reshape(shape)
    held = [band for band in range(len(BANDS)) if moments[:, band].any()]
    rises = [_rise(moments, payers, better, worse) for better in held for worse in held if better < worse]
    upward = [rise for rise in rises if rise.rise > 0]
    return max(upward, key=lambda rise: rise.rise / rise.standard_error, default=None)


def _rise(moments: Rows, payers: Rows, better: int, worse: int) -> Rise:
    """The rise between two bands, from the counts of each account in each of them, `(n_accounts, n_bands)`."""
    m, paid = moments[:, [better, worse]], payers[:, [better, worse]]
    total, rate = m.sum(axis=0), paid.sum(axis=0) / m.sum(axis=0)
    off = (paid - m * (paid.sum() / total.sum())) / total
    error = np.sqrt(((off[:, 1] - off[:, 0]) ** 2).sum())
    return Rise(BANDS[better], BANDS[worse], float(rate[1] - rate[0]), float(error))
