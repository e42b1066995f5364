"""The doubly robust value: unbiased where it is claimed to be, with intervals that hold, and refusals."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.policy.value import (
    FEWEST_PAYERS,
    Estimate,
    Logged,
    Support,
    compare,
    estimate,
    needed_for,
    refusal,
    scores,
    support_of,
)
from training.bundle import Floats

N_ACTIONS = 3
GOOD = Support(
    decisions=1000, accounts=600, agreed=400, payers=90, effective=300.0, mean_weight=1.0, mean_weight_error=0.01,
    nearly_certain=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Logged decisions with everything that is hidden in real ones."""

    logged: Logged
    outcome: Floats
    target: Floats
    logging: Floats
    truth: Floats


def _draw(seed: int, n_accounts: int = 400, each: int = 3) -> Drawn:
    """Accounts of two kinds, on which actions work the other way round, with what an account's decisions share."""
    generator = np.random.default_rng(seed)
    account = np.repeat(np.arange(n_accounts), each)
    kind = generator.integers(0, 2, n_accounts)[account]
    logging = np.array([[0.7, 0.2, 0.1], [0.15, 0.15, 0.7]])[kind]
    truth = np.array([[0.2, 0.3, 0.5], [0.5, 0.1, 0.3]])[kind]
    target = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])[kind]
    n = len(account)
    action = (generator.random(n)[:, None] > np.cumsum(logging, axis=1)[:, :-1]).sum(axis=1)
    shared = generator.random(n_accounts)[account]
    luck = np.where(generator.random(n) < 0.5, shared, generator.random(n))
    paid = luck < truth[np.arange(n), action]
    logged = Logged(action, logging[np.arange(n), action], account, paid)
    return Drawn(logged, paid.astype(float), target, logging, truth)


def test_a_case_worked_out_by_hand() -> None:
    # Decision 1: q of the target (0.5) + 1 / 0.25 x (1 - 0.5) = 2.5. Decision 2: the log did something else: 0.25.
    # Decision 3, of another account, by a policy that mixes: half of 0.25 + 0.75, + 0.5 / 0.5 x (0 - 0.75) = -0.25.
    logged = Logged(np.array([1, 0, 1]), np.array([0.25, 0.5, 0.5]), np.array([7, 7, 9]), np.array([True, True, False]))
    target = np.array([[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    nuisance = np.array([[0.1, 0.5], [0.9, 0.25], [0.25, 0.75]])
    found = scores(logged, np.array([1.0, 1.0, 0.0]), target, nuisance)
    assert found.tolist() == [2.5, 0.25, -0.25]
    # By account: (2.5 + 0.25 - 2 x mean) and (-0.25 - mean), squared, times 2 / (2 - 1), by 3 squared.
    mean = Fraction(5, 6)
    variance = ((Fraction(11, 4) - 2 * mean) ** 2 + (Fraction(-1, 4) - mean) ** 2) * 2 / 9
    one = estimate(found, logged.account)
    assert one.value == pytest.approx(float(mean))
    assert one.error == pytest.approx(float(variance) ** 0.5)


def test_an_exact_model_of_a_certain_outcome_leaves_nothing_to_chance() -> None:
    # Y = q(x, A) for every decision: the correction is zero, whatever the weights.
    drawn = _draw(1)
    outcome = drawn.logged.taken(drawn.truth)
    found = compare(drawn.logged, outcome, drawn.target, drawn.truth).policy
    assert found.value == pytest.approx(float((drawn.target * drawn.truth).sum(axis=1).mean()))
    constant = np.full_like(drawn.truth, 0.3)
    certain = compare(drawn.logged, drawn.logged.taken(constant), drawn.target, constant).policy
    assert certain.value == pytest.approx(0.3)
    assert certain.error == pytest.approx(0.0, abs=1e-12)


def test_the_logging_policy_is_worth_what_was_seen() -> None:
    drawn = _draw(2, n_accounts=4000)
    found = compare(drawn.logged, drawn.outcome, drawn.logging, drawn.truth)
    assert drawn.logged.weights(drawn.logging) == pytest.approx(1.0)
    assert found.gain.low < 0 < found.gain.high
    # With a model that sees no difference between actions the two are the same number.
    blind = compare(drawn.logged, drawn.outcome, drawn.logging, np.full_like(drawn.truth, 0.4))
    assert blind.policy.value == pytest.approx(drawn.outcome.mean())
    assert blind.gain.error == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("model", ["right", "absurd"])
def test_right_propensities_give_the_truth_however_wrong_the_model(model: str) -> None:
    truth = 0.5  # each kind of account gets the action after which half of them pay
    found: list[Estimate] = []
    for seed in range(500):
        drawn = _draw(seed)
        nuisance = drawn.truth if model == "right" else np.tile([0.9, 0.0, 0.1], (len(drawn.logged), 1))
        found.append(compare(drawn.logged, drawn.outcome, drawn.target, nuisance).policy)
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
    assert np.mean([one.error for one in found]) == pytest.approx(values.std(), rel=0.1)
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.92
    assert np.mean([one.low <= truth for one in found]) >= 0.95


def test_a_better_model_gives_a_narrower_interval() -> None:
    drawn = _draw(3, n_accounts=4000)
    right, absurd = (
        compare(drawn.logged, drawn.outcome, drawn.target, nuisance).policy.error
        for nuisance in (drawn.truth, np.tile([0.9, 0.0, 0.1], (len(drawn.logged), 1)))
    )
    assert right < 0.8 * absurd


def test_decisions_of_one_account_do_not_count_as_many() -> None:
    values = np.random.default_rng(1).random(50)
    one, repeated = estimate(values, np.arange(50)), estimate(np.repeat(values, 4), np.repeat(np.arange(50), 4))
    assert repeated.value == pytest.approx(one.value)
    assert repeated.error == pytest.approx(one.error)


@given(st.integers(0, 10_000))
def test_the_order_of_decisions_and_the_names_of_accounts_say_nothing(seed: int) -> None:
    drawn = _draw(seed, n_accounts=20)
    order = np.random.default_rng(seed).permutation(len(drawn.logged))
    logged = Logged(
        drawn.logged.action[order], drawn.logged.propensity[order], 1000 - drawn.logged.account[order],
        drawn.logged.paid[order],
    )  # fmt: skip
    straight = compare(drawn.logged, drawn.outcome, drawn.target, drawn.truth).gain
    other = compare(logged, drawn.outcome[order], drawn.target[order], drawn.truth[order]).gain
    assert other.value == pytest.approx(straight.value)
    assert other.error == pytest.approx(straight.error)


def test_one_account_alone_has_no_interval() -> None:
    found = estimate(np.array([0.2, 0.4]), np.array([3, 3]))
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_four_times_the_decisions_halve_the_interval() -> None:
    logging = Estimate(1.0, 0.0, 1.0, 1.0)
    told = needed_for(Estimate(0.5, 0.1, 0.3, 0.7), logging, 1000)
    assert told.half_width == pytest.approx(0.1)
    assert needed_for(Estimate(0.5, 0.2, 0.1, 0.9), logging, 1000).decisions == pytest.approx(
        4 * told.decisions, rel=1e-3
    )
    untold = needed_for(Estimate(0.01, 0.1, -0.19, 0.21), logging, 1000)
    assert untold.half_width == pytest.approx(0.1)


def test_what_a_log_holds_of_a_policy_is_counted() -> None:
    logged = Logged(
        np.array([0, 1, 1, 1]), np.array([0.5, 0.5, 0.25, 1.0]), np.array([4, 4, 5, 6]),
        np.array([True, True, False, True]),
    )  # fmt: skip
    found = support_of(logged, np.tile([0.0, 1.0], (4, 1)))
    assert (found.decisions, found.accounts, found.agreed, found.payers) == (4, 3, 3, 2)
    assert found.mean_weight == (0 + 2 + 4 + 1) / 4
    assert found.effective == pytest.approx((2 + 4 + 1) ** 2 / (4 + 16 + 1))
    assert found.nearly_certain == 0.25


def test_a_log_that_explores_tells() -> None:
    drawn = _draw(5, n_accounts=1200)
    assert refusal(support_of(drawn.logged, drawn.target)) is None
    assert refusal(GOOD) is None


@pytest.mark.parametrize(
    ("support", "words"),
    [
        (
            replace(GOOD, nearly_certain=0.6),
            "60% of the 1,000 decisions had a propensity of 0.99 or more; draw some decisions",
        ),
        (
            replace(GOOD, payers=29),
            "got 29 among 400 such decisions of 1,000; about 1,034 decisions like these would do",
        ),
        (replace(GOOD, payers=0), "got 0 among 400 such decisions of 1,000; log decisions that explore"),
        (replace(GOOD, effective=50.0), "say as much as 50; about 4,000 decisions like these would do"),
        (replace(GOOD, mean_weight=0.7), r"must average 1, got 0.70 \(error 0.01\)"),
        (replace(GOOD, mean_weight=1.3), r"must average 1, got 1.30"),
    ],
)
def test_what_a_log_cannot_tell_is_refused_with_what_it_would_take(support: Support, words: str) -> None:
    found = refusal(support)
    assert found is not None
    assert re.search(words, found)


def test_a_mean_weight_within_its_error_is_no_reason_to_refuse() -> None:
    assert refusal(replace(GOOD, mean_weight=0.8, mean_weight_error=0.06)) is None
    assert refusal(replace(GOOD, payers=FEWEST_PAYERS)) is None


def test_a_policy_made_from_the_log_s_own_choices_is_noticed() -> None:
    # It is right about every decision, and says nothing of what it would choose: its weights are 1 / p throughout.
    drawn = _draw(7, n_accounts=1000)
    found = refusal(support_of(drawn.logged, np.eye(N_ACTIONS)[drawn.logged.action]))
    assert found is not None
    assert "made knowing what the log chose" in found


def test_wrong_propensities_are_noticed() -> None:
    # The log says that it chose by the toss of a coin, and did not: weights of the policy no longer average 1.
    drawn = _draw(6, n_accounts=4000)
    claimed = replace(drawn.logged, propensity=np.full(len(drawn.logged), 1 / N_ACTIONS))
    found = refusal(support_of(claimed, drawn.target))
    assert found is not None
    assert "must average 1" in found
