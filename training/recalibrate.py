"""The rolling refit: a model's levels brought up to date with the outcomes that have matured since it was trained.

Rankings age slowly, levels fast. A refit of all would need all of the history and a day's work; this one scores the
moments since training, sees by how much the levels of probability and money are off, and goes on following them from
where training left them (`training.calibration`). Models, bands and features stay what they were.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.compute import feature_matrix, prepare
from features.errors import HistoryError
from features.histories import Histories
from features.units import DAY, format_instant, from_money, parse_instant
from training.bundle import Bundle, Level, Link
from training.calibration import money_level, probability_level, with_more_log_odds
from training.holdout import evaluate
from training.moments import Cuts, Moments, cut_time, is_paid, sample_moments, stride_for
from training.settings import TrainingSettings, settings_of
from training.train import Task, Trained, counts_of, figures_of, reference_for, versions_of_libraries


def recalibrate(bundle: Bundle, histories: Histories, task: Task, threads: int) -> Trained:
    """Bring a bundle's levels up to date with what was known before the cut, and evaluate it on later time.

    Args:
        bundle: what to bring up to date.
        histories: packed histories of its portfolio.
        task: until when to learn; the horizon is the bundle's own.
        threads: how many threads LightGBM may use; the numbers do not depend on it.

    Raises:
        BundleError: the bundle learned labels.
        HistoryError: no outcome has matured since the bundle was trained.
    """
    bundle.require_payments("a recalibration")
    settings, horizon_days = settings_of(bundle.manifest.settings, threads), bundle.manifest.horizon_days
    cuts = cut_time(histories, horizon_days, task.until, task.now)
    since = parse_instant(bundle.manifest.levels_until)
    # A horizon at least: outcomes that overlap those the levels hold already would count twice.
    if cuts.train_end < since + horizon_days * DAY:
        raise HistoryError(
            f"a recalibration needs a horizon of {horizon_days} days of moments that have matured since those in the "
            f"levels, which end {format_instant(since)}; those known until {format_instant(cuts.until)} end "
            f"{format_instant(cuts.train_end)}; recalibrate later"
        )
    stride = stride_for(
        histories, replace(cuts, begin=since + DAY), horizon_days, settings.moments.max_moments, settings.seed
    )  # fmt: skip
    moments = sample_moments(
        histories, since + DAY, cuts.train_end, stride, horizon_days, cuts.until, settings.seed
    )  # fmt: skip
    if not len(moments):
        raise HistoryError("a recalibration needs live accounts since training, got none; check the portfolio")
    shifted = _shifted(bundle, histories, cuts, moments, settings)
    manifest = shifted.manifest
    features = prepare(histories.settings, manifest.features, manifest.categories)
    holdout = evaluate(shifted, histories, features, cuts, max(stride, horizon_days), settings)
    counts = counts_of(moments, is_paid(moments, settings.payment), holdout) | {"stride_days": stride}
    sealed = replace(
        manifest,
        holdout=figures_of(shifted, histories, features, holdout, cuts, settings),
        data_digest=task.data_digest,
        commit=task.commit,
        versions=versions_of_libraries(),
    )
    return Trained(replace(shifted, manifest=sealed), holdout, cuts, counts)


def _shifted(bundle: Bundle, histories: Histories, cuts: Cuts, moments: Moments, settings: TrainingSettings) -> Bundle:
    """The bundle with the levels of these moments."""
    manifest = bundle.manifest
    features = prepare(histories.settings, manifest.features, manifest.categories)
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    found = bundle.predict(matrix, from_money(moments.balance), settings.threads)
    paid = is_paid(moments, settings.payment)
    account, as_of, days, levels = moments.account, moments.as_of, manifest.horizon_days, manifest.levels
    p_level = probability_level(found.p_pay, paid, account, as_of, days, levels["p_pay"])
    modelled, actual = np.where(paid, found.expected_amount / found.p_pay, 0.0), from_money(moments.net_amount)
    f_level = money_level(modelled, actual, account, as_of, days, levels["fraction"])
    links = replace(
        bundle.links,
        p_pay=with_more_log_odds(bundle.links.p_pay, p_level.value),
        fraction=_times(bundle.links.fraction, float(np.exp(f_level.value))),
    )
    shifted = replace(bundle, links=links)
    latest = moments.as_of > moments.as_of.max() - days * DAY
    scores = shifted.predict(matrix[latest], from_money(moments.balance[latest]), settings.threads)
    renewed = replace(
        manifest,
        levels={"p_pay": _settled(p_level), "fraction": _settled(f_level)},
        levels_until=format_instant(int(moments.as_of.max())),
        trained_until=format_instant(cuts.until),
        data_until=format_instant(cuts.data_end),
    )
    distributions = {"p_pay": scores.p_pay, "expected_amount": scores.expected_amount}
    reference = reference_for(features, matrix[latest], distributions, account[latest], scores.p_pay)
    return replace(shifted, manifest=renewed, reference=reference)


def _settled(level: Level) -> Level:
    """The level once the links hold it."""
    return replace(level, value=0.0)


def _times(link: Link | None, factor: float) -> Link | None:
    return None if link is None else Link(link.raw, tuple(value * factor for value in link.value))
