"""The observable ceiling: what models with the same features reach that were fitted on the truth itself.

A world's truth knows each debtor's hidden state, which is out of anyone's reach. What can be reached is what features
tell of it: models of the true probability and of the true effect of each channel, fitted in another world of the same
kind, and asked about this one. How close a model that has seen outcomes alone comes to that is the measure of how well
it learned.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.world import World
from experiments.world.simulation import POLICY_ACTION
from experiments.world.writing import portfolio_toml
from features.compute import FeatureSet, feature_matrix, standing
from features.contract import NO_CHANNEL
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import parse_settings
from features.units import Rows, from_money
from training.bundle import Floats, Matrix
from training.fit import Learner, fit, raw_scores
from training.settings import TrainingSettings, TreeSettings

Flags = npt.NDArray[np.bool_]

#: Effects are smooth in what is seen, and the truth is known with little noise: small trees, slowly.
EFFECT_TREES = TreeSettings(
    trees=200, learning_rate=0.03, leaves=7, min_rows_per_leaf=100, row_share=0.8, feature_share=0.4, l2=5.0
)
PROBABILITY_TREES = TreeSettings(
    trees=400, learning_rate=0.03, leaves=24, min_rows_per_leaf=40, row_share=0.8, feature_share=0.4, l2=5.0
)


@dataclass(frozen=True)
class Asked:
    """The live accounts of a world at its end: what can be seen of them, what is true, and what followed.

    `(n,)`, or `(n, n_actions)` in the order of a model's actions (`none` last); money in the main unit. `chosen` is the
    chance with which the policy would choose each action, were the account reviewed now.
    """

    histories: Histories
    rows: Rows
    as_of: int
    balance: Floats
    commission: Floats
    cost: Floats
    p_pay: Floats
    amount: Floats
    p_pay_by_action: Floats
    amount_by_action: Floats
    chosen: Floats
    allowed: Flags
    paid: Flags
    paid_amount: Floats

    @property
    def value(self) -> Floats:
        """The true value of each action, `(n, n_actions)`: commission on what it brings, less its cost."""
        return self.amount_by_action * self.commission[:, None] - self.cost

    @property
    def effect(self) -> Floats:
        """What each action truly adds to the probability of payment, against waiting, `(n, n_actions)`."""
        return self.p_pay_by_action - self.p_pay_by_action[:, [-1]]

    @property
    def n_channels(self) -> int:
        """How many actions there are beside waiting."""
        return len(self.cost) - 1

    def features(self, features: FeatureSet) -> Matrix:
        """The accounts' features, `(n, n_features)`."""
        return feature_matrix(self.histories, self.rows, np.full(len(self.rows), self.as_of), features)


def ask(world: World) -> Asked:
    """The live accounts of a simulated world with truth."""
    settings = parse_settings(tomllib.loads(portfolio_toml(world.settings)), "simulated")
    histories = pack(portfolio_from_frames(world.frames, settings))
    actions = [*settings.channel_names, NO_CHANNEL]
    wide = world.truth["actions"].pivot(index="account_id", columns="action")
    followed = world.truth["followed"].set_index("account_id").loc[wide.index]
    rows = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(wide.index.to_numpy(object))).astype(np.int64)
    balance, _ = standing(histories, rows, np.full(len(rows), world.as_of))
    return Asked(
        histories=histories,
        rows=rows,
        as_of=world.as_of,
        balance=from_money(balance),
        commission=histories.accounts.commission_rate[rows],
        cost=np.array([*(channel.cost for channel in settings.channels), 0.0]),
        p_pay=wide["p_pay"][POLICY_ACTION].to_numpy(float),
        amount=wide["expected_amount"][POLICY_ACTION].to_numpy(float),
        p_pay_by_action=wide["p_pay"][actions].to_numpy(float),
        amount_by_action=wide["expected_amount"][actions].to_numpy(float),
        chosen=wide["policy_probability"][actions].to_numpy(float),
        allowed=wide["allowed"][actions].to_numpy(bool),
        paid=followed["paid"].to_numpy(bool),
        paid_amount=followed["paid_amount"].to_numpy(float),
    )


@dataclass(frozen=True)
class Ceiling:
    """What models fitted on the truth of another world say: `p_pay` and `amount` `(n,)`, `effect` `(n, n_actions)`."""

    p_pay: Floats
    amount: Floats
    effect: Floats


def ceiling(known: Asked, asked: Asked, features: FeatureSet, settings: TrainingSettings) -> Ceiling:
    """Fit on the truth of one world, and ask about another."""
    there, here = known.features(features), asked.features(features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)

    def told(objective: str, trees: TreeSettings, target: Floats, weight: Floats | None = None) -> Floats:
        learner = Learner(objective, trees, categories, settings.seed, settings.threads)
        model: Any = fit(learner, there, target, weight, lambda: None)
        return raw_scores(model, here, settings.threads)

    from scipy.special import expit

    fraction = known.amount / np.maximum(known.balance, 1.0)
    return Ceiling(
        p_pay=np.asarray(expit(told("cross_entropy", PROBABILITY_TREES, known.p_pay))),
        amount=told("regression", PROBABILITY_TREES, fraction, known.balance) * asked.balance,
        effect=effect_ceiling(known, asked, features, settings),
    )


def effect_ceiling(known: Asked, asked: Asked, features: FeatureSet, settings: TrainingSettings) -> Floats:
    """The effects alone, `(n, n_actions)`."""
    there, here = known.features(features), asked.features(features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    learner = Learner("regression", EFFECT_TREES, categories, settings.seed, settings.threads)
    models = [fit(learner, there, known.effect[:, action], None, lambda: None) for action in range(known.n_channels)]
    return np.column_stack([*(raw_scores(model, here, settings.threads) for model in models), np.zeros(len(here))])


def allocate(value: Floats, allowed: Flags, capacity: Floats) -> Floats:
    """The share of each action that each account gets, `(n, n_actions)`, for the largest total value.

    A linear programme: every account gets one action among those allowed, every action at most its capacity. It is
    stated in what actions are worth above waiting, and only of those worth more: who gets none of them waits, so that
    doing nothing is always a solution, and few variables are left. An account that is not to be decided on, for which
    not even waiting is allowed, gets nothing.

    Args:
        value: `(n, n_actions)`, `none` last.
        allowed: `(n, n_actions)`.
        capacity: `(n_actions,)`; that of waiting is not looked at.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, vstack

    worth = value[:, :-1] - value[:, [-1]]
    account, action = np.nonzero(allowed[:, :-1] & (worth > 0))
    share = np.zeros_like(value)
    if len(account):
        place, once = np.arange(len(account)), np.ones(len(account))
        one_each = csr_matrix((once, (account, place)), shape=(len(value), len(place)))
        used = csr_matrix((once, (action, place)), shape=(value.shape[1] - 1, len(place)))
        most = np.concatenate([np.ones(len(value)), capacity[:-1]])
        solved = linprog(-worth[account, action], vstack([one_each, used]), most, bounds=(0, 1), method="highs")
        if not solved.success:
            raise RuntimeError(f"an allocation must have a solution, got none: {solved.message}")
        share[account, action] = solved.x
    share[:, -1] = (1 - share.sum(axis=1)) * allowed[:, -1]
    return share


def gain(asked: Asked, effect: Floats, amount_if_paid: Floats) -> float:
    """What choosing by predicted effects truly gains over the logging policy, per account: the mean of `gains`."""
    return float(gains(asked, effect, amount_if_paid).mean())


def gains(asked: Asked, effect: Floats, amount_if_paid: Floats) -> Floats:
    """What choosing by predicted effects truly gains over the logging policy, `(n,)`, under the same capacities.

    Args:
        asked: the accounts.
        effect: `(n, n_actions)` predicted: what each action adds to the probability of payment.
        amount_if_paid: `(n,)` predicted.
    """
    predicted = effect * (amount_if_paid * asked.commission)[:, None] - asked.cost
    share = allocate(predicted, asked.allowed, asked.chosen.sum(axis=0))
    return np.asarray(((share - asked.chosen) * asked.value).sum(axis=1))


def auc_by_truth(score: Floats, p: Floats) -> float:
    """The AUC that a score has on average over the outcomes that true probabilities `p` may bring, `(n,)`."""
    order = np.argsort(score, kind="stable")
    paid, unpaid = p[order], 1 - p[order]
    return float((paid * (np.cumsum(unpaid) - unpaid)).sum() / (p.sum() * (1 - p).sum()))
