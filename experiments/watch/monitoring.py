"""Monitoring: from histories and a model to a report of drift as of a moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from experiments.watch.drift import Matured, Report, Shift, matured, shift
from experiments.watch.scored import score_moments
from features.compute import standing
from features.histories import Histories
from features.units import DAY, Rows, format_instant, parse_instant
from serving.scoring import BLOCK, Scorer, features_of, score
from training.bundle import Floats
from training.leaks import gain_shares
from training.metrics import expected_auc, expected_brier
from training.moments import matured_end, payments_end, with_outcomes
from training.reference import shares_in


def monitor_model(
    scorer: Scorer, histories: Histories, as_of: int, threads: int, on_scored: Callable[[int], None]
) -> Report:
    """Compare all live accounts with those of training, and earlier scores with what followed.

    Args:
        scorer: the prepared bundle.
        histories: packed histories.
        as_of: only what was known before it counts.
        threads: how many threads LightGBM may use.
        on_scored: told the number of accounts scored, for progress.

    Raises:
        HistoryError: no payment was known by then.
    """
    bundle = scorer.bundle
    reference = bundle.reference
    scores = score(scorer, histories, as_of, threads=threads, on_scored=on_scored)
    p_pay = scores["p_pay"].to_numpy(np.float64)
    return Report(
        as_of=format_instant(as_of),
        model=bundle.label,
        accounts=len(scores),
        scores=_shifts_of_scores(scorer, scores),
        features=_shifts_of_features(scorer, histories, as_of),
        expected_auc=expected_auc(p_pay),
        expected_brier=expected_brier(p_pay),
        reference_auc=reference.expected_auc,
        holdout_auc=bundle.manifest.holdout.get("auc"),
        matured=_matured(scorer, histories, as_of, threads),
    )


def matured_moment(histories: Histories, horizon_days: int, as_of: int) -> int:
    """The latest midnight whose outcomes are known before a moment."""
    end = payments_end(histories, as_of - 1)
    return matured_end(histories, horizon_days, end) // DAY * DAY


def _shifts_of_scores(scorer: Scorer, scores: pd.DataFrame) -> tuple[Shift, ...]:
    reference = scorer.bundle.reference
    return tuple(
        shift(name, bins, shares_in(scores[name].to_numpy(np.float32), bins), reference.accounts, len(scores))
        for name, bins in reference.scores.items()
    )


def _shifts_of_features(scorer: Scorer, histories: Histories, as_of: int) -> tuple[Shift, ...]:
    """Every feature of the model, the most decisive first."""
    reference, gain = scorer.bundle.reference, gain_shares(scorer.bundle)
    everyone = np.arange(len(histories))
    rows = everyone[standing(histories, everyone, np.full(len(everyone), as_of))[1]]
    shares = _feature_shares(scorer, histories, rows, as_of)
    found = []
    for feature in scorer.features.features:
        bins = reference.features[feature.name]
        moved = shift(feature.name, bins, shares[feature.name], reference.accounts, len(rows))
        found.append(Shift(feature.name, moved.psi, moved.by_chance, gain[feature.name], "the date" in feature.reads))
    return tuple(sorted(found, key=lambda one: (-(one.gain or 0.0), one.name)))


def _feature_shares(scorer: Scorer, histories: Histories, rows: Rows, as_of: int) -> dict[str, Floats]:
    """The shares of each feature in its reference bins, summed over blocks of accounts."""
    bins = scorer.bundle.reference.features
    total = {name: np.zeros(len(one.shares)) for name, one in bins.items()}
    for begin in range(0, len(rows), BLOCK):
        matrix = features_of(scorer, histories, rows[begin : begin + BLOCK], as_of)
        for name, column in zip(scorer.features.names, matrix.T, strict=True):
            total[name] += shares_in(column, bins[name]) * (len(matrix) / len(rows))
    return total


def _matured(scorer: Scorer, histories: Histories, as_of: int, threads: int) -> Matured | None:
    """What came of the latest scores whose outcomes are known; None where the model had learned from that time."""
    manifest = scorer.bundle.manifest
    then = matured_moment(histories, manifest.horizon_days, as_of)
    if then < parse_instant(manifest.trained_until):
        return None
    everyone = np.arange(len(histories))
    moments = with_outcomes(histories, everyone, np.full(len(everyone), then), manifest.horizon_days, as_of)
    if not len(moments):
        return None
    found = score_moments(scorer, histories, moments, threads)
    band = found.scores["band"].to_numpy(object)
    return matured(format_instant(then), found.p_pay, found.expected_amount, band, found.paid, found.net_amount)
