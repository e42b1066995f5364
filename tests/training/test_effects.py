"""Effects: found again where they are known, and claimed only where they can be told."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.compute import feature_matrix, known_categories, prepare
from features.contract import CHANNELS
from tests.training.world import NOW, histories, quick_settings
from training.bundle import ChannelEffects, Floats, Link, Matrix
from training.decisions import Decided, Flags
from training.effects import Effects, Estimates, HeldOut, Regression, Weights, learn_effects, learn_weights
from training.fit import Rows
from training.moments import Moments, cut_time, sample_moments
from training.settings import TrainingSettings

CALL, NONE = CHANNELS.index("call"), len(CHANNELS)


def _settings() -> TrainingSettings:
    return quick_settings()


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
    return learn_effects(histories(), decided, features, _baseline(decided), _settings(), lambda: None)


def _baseline(decided: Decided) -> HeldOut:
    """The probability with which these decisions were paid: here what follows depends on the action alone."""
    rate = float(decided.paid.mean())

    def baseline(matrix: Matrix, _fold: Rows, _threads: int) -> Floats:
        return np.full(len(matrix), rate)

    return baseline


def _supported(effects: Effects) -> set[str]:
    return {arm.action for arm in effects.support if arm.supported}


def test_a_known_effect_is_found_again() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.10}, {CALL: 0.7, NONE: 0.3}))
    assert _supported(effects) == {"call", "none"}
    assert _mean(effects, CALL) / _mean(effects, NONE) == pytest.approx(2.0, rel=0.2)


def test_no_effect_is_found_where_there_is_none() -> None:
    effects = _learn(_decided({CALL: 0.15, NONE: 0.15}, {CALL: 0.7, NONE: 0.3}))
    assert _mean(effects, CALL) / _mean(effects, NONE) == pytest.approx(1.0, rel=0.1)


def test_few_paying_accounts_support_no_claim() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.001}, {CALL: 0.7, NONE: 0.3}))
    assert _supported(effects) == set()
    assert effects.fitted is None


def test_an_action_that_was_never_tried_is_not_supported() -> None:
    effects = _learn(_decided({CALL: 0.20, NONE: 0.10}, {CALL: 0.5, NONE: 0.5}))
    by_action = {arm.action: arm for arm in effects.support}
    assert by_action["visit"].decisions == 0
    assert not by_action["visit"].supported


def test_what_choosers_knew_is_set_right_by_decisions_drawn_at_random() -> None:
    # Agents call those who would pay anyway, which no data hold: calling does nothing, and looks as if it did.
    decided = _confounded()
    blind = replace(decided, explored=np.zeros(len(decided), dtype=np.bool_))
    believed, told = (_ratio(_learn(each)) for each in (blind, decided))
    assert believed > 1.5
    assert told == pytest.approx(1.0, abs=0.25)


def test_a_control_group_of_one_action_is_no_draw_at_random() -> None:
    decided = _decided({CALL: 0.20, NONE: 0.10}, {CALL: 0.7, NONE: 0.3})
    effects = _learn(replace(decided, explored=(decided.action == NONE) & (decided.moments.account % 5 == 0)))
    assert _supported(effects) == {"call", "none"}


def _confounded() -> Decided:
    """Decisions by agents who know who is ready to pay, two fifths of them drawn at random instead."""
    plain = _decided({CALL: 0.1, NONE: 0.1}, {CALL: 0.5, NONE: 0.5})
    generator = np.random.default_rng(7)
    n = len(plain)
    ready, explored = generator.random(n) < 0.5, generator.random(n) < 0.4
    calls = np.where(explored, generator.random(n) < 0.5, generator.random(n) < np.where(ready, 0.8, 0.2))
    paid = generator.random(n) < np.where(ready, 0.25, 0.05)
    return replace(
        plain, action=np.where(calls, CALL, NONE), propensity=np.full(n, 0.5), explored=explored, paid=paid
    )  # fmt: skip


def _ratio(effects: Effects) -> float:
    return _mean(effects, CALL) / _mean(effects, NONE)


def _mean(effects: Effects, action: int) -> float:
    """The mean probability after an action, over the moments of the decisions, where .15 pay as work goes on."""
    assert effects.fitted is not None
    moments = _decided({CALL: 0.1, NONE: 0.1}, {CALL: 0.5, NONE: 0.5}).moments
    features = prepare(histories().settings, None, known_categories(histories()))
    matrix = feature_matrix(histories(), moments.account, moments.as_of, features)
    return float(effects.fitted(np.full(len(matrix), 0.15), matrix)[:, action].mean())


def test_a_modifier_moves_the_effect_of_those_who_have_it() -> None:
    # A call helps where the debtor was reached before, and nobody else: on average it helps a little.
    decided, reached = _helped_where_reached()
    effects = _learn(decided)
    assert effects.fitted is not None
    features = prepare(histories().settings, None, known_categories(histories()))
    moments = decided.moments
    matrix = feature_matrix(histories(), moments.account, moments.as_of, features)
    p = effects.fitted(np.full(len(matrix), 0.15), matrix)
    effect = p[:, CALL] - p[:, NONE]
    assert effect[reached].mean() > 1.5 * effect[~reached].mean() > 0


def _helped_where_reached() -> tuple[Decided, Flags]:
    plain = _decided({CALL: 0.1, NONE: 0.1}, {CALL: 0.5, NONE: 0.5})
    features = prepare(histories().settings, ("call_right_party_rate",), known_categories(histories()))
    rate = feature_matrix(histories(), plain.moments.account, plain.moments.as_of, features)[:, 0]
    reached = np.nan_to_num(rate) > np.nanmedian(rate)
    chance = 0.08 + 0.3 * (reached & (plain.action == CALL))
    paid = np.random.default_rng(9).random(len(plain)) < chance
    return replace(plain, paid=paid), reached


@given(
    p=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    values=st.lists(st.floats(width=32), min_size=8, max_size=8),
    weights=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
)
def test_effects_are_probabilities_with_the_same_bits_alone(
    p: list[float], values: list[float], weights: list[float]
) -> None:
    fitted = ChannelEffects(
        (1,), (Link((-1.0, 2.0), (-1.5, 1.5)),), ((weights[0], weights[1]), (weights[2], weights[3]))
    )
    matrix = np.column_stack([np.zeros(len(p)), values[: len(p)]]).astype(np.float32)
    whole = fitted(np.array(p), matrix)
    assert np.all((whole >= 0) & (whole <= 1))
    for row in range(len(p)):
        assert np.array_equal(fitted(np.array(p[row : row + 1]), matrix[row : row + 1]), whole[row : row + 1])


def test_a_missing_modifier_moves_nothing() -> None:
    fitted = ChannelEffects((0,), (Link((0.0, 1.0), (1.0, 2.0)),), ((0.2, 0.5), (0.0, 0.0)))
    found = fitted(np.array([0.5]), np.array([[np.nan]], dtype=np.float32))
    assert found[0].tolist() == pytest.approx([0.6, 0.5])


def _learned(draw: np.random.Generator, settings: TrainingSettings) -> tuple[Floats, Weights]:
    """Weights as the priors have them, and what is learned of them from decisions that follow them."""
    n, n_actions, k = 3_000, 4, 2
    own = draw.normal(0, settings.effects.own_sd, (n_actions - 1, 1 + k))
    own[:, 0] = draw.normal(0, 0.2, n_actions - 1)
    true = own + np.concatenate([[0.0], draw.normal(0, settings.effects.shared_sd, k)])
    action, modifiers = draw.integers(0, n_actions, n), draw.normal(size=(n, k))
    surprise = (action[:, None] == np.arange(n_actions)) - 1 / n_actions
    multiple = np.column_stack([true[:, 0] + modifiers @ true[:, 1:].T, np.zeros(n)])
    left = (surprise * multiple).sum(axis=1) + draw.normal(size=n)
    rows = np.zeros(n)
    none = rows.astype(np.int64)
    moments = Moments(*[none] * len(fields(Moments)))
    decided = Decided(moments, action, rows, none.astype(np.bool_), rows, none.astype(np.bool_))
    return true, learn_weights(Regression(left, surprise, modifiers), decided, settings.effects)


def test_the_covariance_covers_what_is_true_as_often_as_it_says() -> None:
    draw, settings = np.random.default_rng(3), _settings()
    scores = []
    for _ in range(300):
        true, learned = _learned(draw, settings)
        # What a plan asks about: any sum of weights.
        slope = draw.normal(size=true.size)
        error = np.sqrt(slope @ learned.covariance @ slope)
        scores.append(float(slope @ (learned.value - true).ravel()) / error)
        assert np.sqrt(np.diag(learned.covariance)[:: true.shape[1]]) == pytest.approx(learned.error)
    assert np.mean(np.abs(scores) <= 1.96) == pytest.approx(0.95, abs=0.035)
    assert np.std(scores) == pytest.approx(1.0, abs=0.12)


def test_levels_from_elsewhere_bring_their_own_errors() -> None:
    _, learned = _learned(np.random.default_rng(4), _settings())
    level, error = np.array([0.1, 0.2, 0.3]), np.array([0.5, np.inf, 0.25])
    found = learned.with_levels(Estimates(level, error))
    assert found.value[:, 0].tolist() == [0.1, learned.value[1, 0], 0.3]
    assert np.array_equal(found.value[:, 1:], learned.value[:, 1:])
    variances = np.diag(found.covariance)[::3]
    assert variances.tolist() == [0.25, learned.covariance[3, 3], 0.0625]
    assert not found.covariance[0, 1:].any()
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-12


def test_the_fitted_effects_say_how_sure_they_are() -> None:
    even, rare = {CALL: 0.5, NONE: 0.5}, {CALL: 0.97, NONE: 0.03}
    sure, unsure = (_learn(_decided({CALL: 0.2, NONE: 0.1}, often)) for often in (even, rare))
    width = 1 + len(_settings().effects.modifiers)
    errors = []
    for effects in (sure, unsure):
        assert effects.fitted is not None
        covariance = np.array(effects.fitted.covariance)
        assert covariance.shape == (NONE * width, NONE * width)
        errors.append(np.sqrt(covariance[CALL * width, CALL * width]))
    assert 0 < errors[0] < errors[1]
