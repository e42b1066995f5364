"""Monitoring: from histories and a model to a report of drift as of a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from experiments.watch.drift import effective_size, matured, shift, weights_as
from experiments.watch.scored import score_moments
from features.catalog.grammar import Category, Feature
from features.histories import Histories
from features.units import DAY, format_instant, parse_instant
from serving.drift import Matured, Report, Shift
from serving.scoring import Scorer, scored
from training.bundle import Floats, Matrix
from training.leaks import gain_shares
from training.metrics import expected_auc, expected_brier
from training.moments import matured_end, payments_end, recording_lag, with_outcomes

#: How old an account is: what grows by itself while a portfolio is not yet in its steady state.
AGE = "days_since_placed"


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
    found = scored(scorer, histories, as_of, threads=threads, on_scored=on_scored, keep_features=True)
    assert found.features is not None  # noqa: S101 they were asked for
    weights, p_pay = _weights(scorer, found.features), found.predictions.p_pay
    scores = {"p_pay": p_pay, "expected_amount": found.predictions.expected_amount}
    return Report(
        as_of=format_instant(as_of),
        model=bundle.label,
        accounts=len(found),
        as_old=effective_size(weights),
        scores=tuple(
            shift(name, bins, scores[name].astype(np.float32), reference.accounts, weights)
            for name, bins in reference.scores.items()
        ),
        features=_shifts_of_features(scorer, found.features, weights),
        expected_auc=expected_auc(p_pay),
        expected_brier=expected_brier(p_pay),
        reference_auc=reference.expected_auc,
        reference_brier=reference.expected_brier,
        holdout_auc=bundle.manifest.holdout.get("auc"),
        holdout_brier=bundle.manifest.holdout.get("brier"),
        matured=_matured(scorer, histories, as_of, threads),
        matures_at=format_instant(_matures_at(scorer, histories, as_of)),
    )


def matured_moment(histories: Histories, horizon_days: int, as_of: int) -> int:
    """The latest midnight whose outcomes are known before a moment."""
    end = payments_end(histories, as_of - 1)
    return matured_end(histories, horizon_days, end) // DAY * DAY


def _matures_at(scorer: Scorer, histories: Histories, as_of: int) -> int:
    """When the outcome of the first midnight that the model has not learned from should be known."""
    manifest = scorer.bundle.manifest
    first = -(-parse_instant(manifest.trained_until) // DAY) * DAY
    return first + manifest.horizon_days * DAY + recording_lag(histories, payments_end(histories, as_of - 1))


def _weights(scorer: Scorer, matrix: Matrix) -> Floats:
    """What each live account counts for, `(n,)`, so that all are as old as those of the reference."""
    names, bins = scorer.features.names, scorer.bundle.reference.features
    return weights_as(matrix[:, names.index(AGE)], bins[AGE]) if AGE in names else np.ones(len(matrix))


def _shifts_of_features(scorer: Scorer, matrix: Matrix, weights: Floats) -> tuple[Shift, ...]:
    """Every feature of the model, `(n, n_features)`, the most decisive first."""
    reference, gain = scorer.bundle.reference, gain_shares(scorer.bundle)
    found = []
    for feature, column in zip(scorer.features.features, matrix.T, strict=True):
        ageing = feature.name == AGE
        moved = shift(
            feature.name, reference.features[feature.name], column, reference.accounts, None if ageing else weights
        )  # fmt: skip
        assert moved.bins is not None  # noqa: S101 `shift` gives them
        bins = replace(moved.bins, values=_values(feature, scorer))
        calendar = "the date" in feature.reads
        found.append(replace(moved, gain=gain[feature.name], calendar=calendar, ageing=ageing, bins=bins))
    return tuple(sorted(found, key=lambda one: (-(one.gain or 0.0), one.name)))


def _values(feature: Feature, scorer: Scorer) -> tuple[str, ...]:
    """The values of a category's bins; a quantity has none."""
    return scorer.features.categories[feature.measure.column] if isinstance(feature.measure, Category) else ()


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
