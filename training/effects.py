"""What choosing a channel does: one pooled model of logged decisions, its level per action set by what happened.

A first honest method. One model with the action as a category (an S-learner, Künzel et al. 2019) with small trees;
then the level of each action is corrected by the augmented inverse-propensity estimate of its mean (Robins et al.
1994), from held-out predictions and the logged propensities, shrunk towards no correction by its own standard error.
It assumes what logged propensities give: that the choice depended on nothing but what the log knows.

An action that few paying accounts have had, or that was never a matter of chance, is not supported: nothing is said
of its effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from features.compute import FeatureSet, feature_matrix
from features.contract import NO_CHANNEL
from features.histories import Histories
from training.bundle import ActionSupport, Floats, Link, Matrix, with_action
from training.calibration import sigmoid_link
from training.decisions import Decided
from training.fit import Learner, OnTree, fit, held_out, raw_scores
from training.moments import account_folds
from training.settings import TrainingSettings


@dataclass(frozen=True)
class Effects:
    """The fitted effects; without a model where no action's effect can be told."""

    support: tuple[ActionSupport, ...]
    model: Any = None
    link: Link | None = None
    action_factor: tuple[float, ...] = ()


def learn_effects(
    histories: Histories, decided: Decided, features: FeatureSet, settings: TrainingSettings, on_tree: OnTree
) -> Effects:
    """Learn what each action does from sampled decisions; says of which actions that can be told."""
    actions = (*histories.settings.channel_names, NO_CHANNEL)
    support = tuple(_support(place, action, decided, settings) for place, action in enumerate(actions))
    if not decidable(support):
        return Effects(tuple(_unsupported(arm) for arm in support))
    usable = np.isin(decided.action, [place for place, arm in enumerate(support) if arm.supported])
    decided = decided.take(usable)
    plain = feature_matrix(histories, decided.moments.account, decided.moments.as_of, features)
    matrix = np.column_stack([plain, decided.action.astype(np.float32)])
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    learner = Learner("binary", settings.channel, (*categories, plain.shape[1]), settings.seed, settings.threads)
    target = decided.paid.astype(np.float64)
    weight = decided.weight / decided.weight.mean()
    fold = account_folds(histories, settings.folds.count, settings.seed)[decided.moments.account]
    raw = held_out(
        learner, matrix, target, weight, fold, on_tree,
        lambda model, rows: _all_actions(model, plain[rows], len(actions), settings.threads),
    )  # fmt: skip
    chosen = raw[np.arange(len(raw)), decided.action]
    link = sigmoid_link(chosen, decided.paid, np.ones(len(raw), dtype=np.bool_))
    factor = _factors(raw, link, decided, support, settings.support.prior_sd)
    return Effects(support, fit(learner, matrix, target, weight, on_tree), link, factor)


def decidable(support: tuple[ActionSupport, ...]) -> bool:
    """Whether any effect can be told: waiting must be among what was tried, and something else."""
    told = {arm.action for arm in support if arm.supported}
    return NO_CHANNEL in told and len(told) > 1


def _factors(
    raw: Floats, link: Link, decided: Decided, support: tuple[ActionSupport, ...], prior_sd: float
) -> tuple[float, ...]:
    """By how much each action's mean probability is corrected: the augmented estimate by the model's own, shrunk."""
    found = []
    for action, arm in enumerate(support):
        modelled = link(np.ascontiguousarray(raw[:, action]))
        if not arm.supported:
            found.append(1.0)
            continue
        had = decided.action == action
        residual = np.where(had, (decided.paid - modelled) / decided.propensity, 0.0)
        mean = float(np.average(modelled, weights=decided.weight))
        correction = float(np.average(residual, weights=decided.weight)) / mean
        share = decided.weight / decided.weight.sum()
        # Rows of one account are not independent: their residuals are summed before they are squared.
        by_account = np.bincount(decided.moments.account, weights=share * residual)
        error = float(np.sqrt((by_account**2).sum())) / mean
        found.append(max(1.0 + correction * prior_sd**2 / (prior_sd**2 + error**2), 0.0))
    return tuple(found)


def _all_actions(model: Any, plain: Matrix, n_actions: int, threads: int) -> Floats:
    """The raw score of every row under every action, `(n, n_actions)`."""
    stacked = with_action(plain, list(range(n_actions)))
    return raw_scores(model, stacked, threads).reshape(n_actions, len(plain)).T


def _support(place: int, action: str, decided: Decided, settings: TrainingSettings) -> ActionSupport:
    had = decided.action == place
    account = decided.moments.account
    payers = len(np.unique(account[had & decided.paid]))
    enough = payers >= settings.support.paying_accounts
    return ActionSupport(action, round(float(decided.weight[had].sum())), len(np.unique(account[had])), payers, enough)


def _unsupported(arm: ActionSupport) -> ActionSupport:
    return ActionSupport(arm.action, arm.decisions, arm.accounts, arm.payers, False)
