"""Effects: found again where they are known, and claimed only where they can be told."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from features.compute import known_categories, prepare
from features.contract import CHANNELS
from tests.training.world import NOW, histories, quick_settings
from training.decisions import Decided
from training.effects import Effects, learn_effects
from training.moments import cut_time, sample_moments
from training.settings import TrainingSettings

CALL, NONE = CHANNELS.index("call"), len(CHANNELS)


def _settings() -> TrainingSettings:
    settings = msgspec.to_builtins(quick_settings())
    settings["channel"] |= {"trees": 60}
    return msgspec.convert(settings, TrainingSettings)


def _decided(rate: dict[int, float], often: dict[int, float], seed: int = 1) -> Decided:
    """Decisions at real moments, drawn with a chance that depends on the balance; the outcome only on the action."""
    cuts = cut_time(histories(), 30, None, NOW)
    moments = sample_moments(histories(), cuts.begin, cuts.train_end, 7, 30, cuts.until, 1)
    generator = np.random.default_rng(seed)
    actions = np.array(list(often))
    large = moments.balance > np.median(moments.balance)
    chance = np.array([list(often.values()), list(often.values())[::-1]])[large.astype(int)]
    drawn = (generator.random(len(moments))[:, None] > np.cumsum(chance, axis=1)).sum(axis=1)
    paid = generator.random(len(moments)) < np.array([rate[action] for action in actions])[drawn]
    propensity = chance[np.arange(len(moments)), drawn]
    explored, weight = np.zeros(len(moments), dtype=np.bool_), np.ones(len(moments))
    return Decided(moments, actions[drawn], propensity, explored, weight, paid)


def _learn(decided: Decided) -> Effects:
    features = prepare(histories().settings, None, known_categories(histories()))
    return learn_effects(histories(), decided, features, 30, _settings(), lambda: None)


def _supported(effects: Effects) -> set[str]:
    return {arm.action for arm in effects.support if arm.supported}


def test_a_known_effect_is_found_again() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.10}, {CALL: 0.7, NONE: 0.3}))
    assert _supported(effects) == {"call", "none"}
    assert effects.links
    assert _mean(effects, CALL) / _mean(effects, NONE) == pytest.approx(2.0, rel=0.2)


def test_no_effect_is_found_where_there_is_none() -> None:
    effects = _learn(_decided({CALL: 0.15, NONE: 0.15}, {CALL: 0.7, NONE: 0.3}))
    assert _mean(effects, CALL) / _mean(effects, NONE) == pytest.approx(1.0, rel=0.1)


def test_few_paying_accounts_support_no_claim() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.001}, {CALL: 0.7, NONE: 0.3}))
    assert _supported(effects) == set()
    assert effects.model is None


def test_an_action_that_was_never_tried_is_not_supported() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.10}, {CALL: 0.5, NONE: 0.5}))
    by_action = {arm.action: arm for arm in effects.support}
    assert by_action["visit"].decisions == 0
    assert not by_action["visit"].supported


def _mean(effects: Effects, action: int) -> float:
    """The mean probability after an action, over the moments of the decisions."""
    from features.compute import feature_matrix
    from training.bundle import with_action

    assert effects.links
    moments = _decided({CALL: 0.1, NONE: 0.1}, {CALL: 0.5, NONE: 0.5}).moments
    features = prepare(histories().settings, None, known_categories(histories()))
    matrix = feature_matrix(histories(), moments.account, moments.as_of, features)
    raw: npt.NDArray[np.float64] = effects.model.predict(with_action(matrix, [action]), raw_score=True, num_threads=1)
    return float(effects.links[action](raw).mean())
