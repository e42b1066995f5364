"""The rolling refit: levels follow what has matured since training, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from rich.progress import Progress

from features.compute import feature_matrix, prepare
from features.errors import HistoryError
from features.units import DAY, from_money, parse_instant
from tests.training.world import NOW, histories, quick_settings, task
from training.bundle import Bundle, Level
from training.calibration import with_more_log_odds
from training.moments import cut_time, sample_moments
from training.recalibrate import recalibrate
from training.train import train


@cache
def _trained() -> Bundle:
    """A model that learned what was known three horizons before the last cut."""
    cuts = cut_time(histories(), 30, None, NOW)
    with Progress(disable=True) as progress:
        return train(histories(), quick_settings(), task(until=cuts.until - 90 * DAY), progress).bundle


def _with_level(bundle: Bundle, by: float, variance: float) -> Bundle:
    """The bundle with its probabilities off by so much log-odds, and so little trust in them."""
    links = replace(bundle.links, p_pay=with_more_log_odds(bundle.links.p_pay, by))
    levels = bundle.manifest.levels | {"p_pay": Level(0.0, variance, 0.0)}
    return replace(bundle, links=links, manifest=replace(bundle.manifest, levels=levels))


def _predicted_to_actual(bundle: Bundle) -> float:
    """Payers predicted by payers, over the moments whose outcome matured since the model was trained."""
    cuts = cut_time(histories(), 30, None, NOW)
    since = parse_instant(_trained().manifest.levels_until)
    moments = sample_moments(histories(), since + DAY, cuts.train_end, 7, 30, cuts.until, 1)
    features = prepare(histories().settings, bundle.manifest.features, bundle.manifest.categories)
    matrix = feature_matrix(histories(), moments.account, moments.as_of, features)
    return float(bundle.predict(matrix, from_money(moments.balance)).p_pay.sum() / (moments.net_amount > 0).sum())


def test_a_level_that_is_wrong_is_set_right_by_what_has_matured_since() -> None:
    wrong = _with_level(_trained(), by=1.0, variance=1.0)
    mended = recalibrate(wrong, histories(), task(), 1).bundle
    assert _predicted_to_actual(wrong) > 1.6
    assert _predicted_to_actual(mended) == pytest.approx(1.0, abs=0.1)


def test_a_level_that_is_sure_moves_little() -> None:
    sure = _with_level(_trained(), by=1.0, variance=1e-8)
    assert _predicted_to_actual(recalibrate(sure, histories(), task(), 1).bundle) > 1.6


def test_the_models_bands_and_order_of_accounts_stay() -> None:
    before, after = _trained(), recalibrate(_trained(), histories(), task(), 1).bundle
    assert after.models == before.models
    assert after.manifest.features == before.manifest.features
    assert after.manifest.band_thresholds == before.manifest.band_thresholds
    raw = np.linspace(-6, 2, 50)
    assert np.all(np.diff(after.links.p_pay(raw)) >= 0)


def test_it_goes_on_from_where_it_stood() -> None:
    after = recalibrate(_trained(), histories(), task(), 1).bundle
    assert after.manifest.levels_until > _trained().manifest.levels_until
    with pytest.raises(HistoryError, match="matured since those in the levels"):
        recalibrate(after, histories(), task(), 1)
