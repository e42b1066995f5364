"""What choosing a channel does: one pooled model of the decisions, its level for each action set by what happened.

One model with the action as a category (an S-learner; Künzel et al. 2019) with small trees ranks whom an action helps
most. It shrinks what an action does on average, as trees do with a small signal, and it takes who was chosen for what
the choice did where the two go together. So the level of each action is corrected, on the scale of log-odds, by the
augmented inverse-propensity estimate (Robins et al. 1994) of its mean against waiting, from held-out predictions:
among those who had a fair chance of either (overlap weights; Li et al. 2018), because a choice that was all but
certain says little of its alternative and much of chance. Each correction is shrunk by its own standard error.

Who chose may have known more than the data hold. Decisions drawn at random are free of that: where some were, the
correction from them is held against that from the rest, and the more the two differ beyond chance, the more those
drawn at random count.

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
from training.bundle import ActionSupport, Floats, Link, Matrix
from training.calibration import (
    UNKNOWN,
    fit_sigmoid,
    link_of,
    log_odds_shift,
    probability_level,
    with_more_log_odds,
)
from training.decisions import Decided, Flags, drawn
from training.fit import Learner, OnTree, Rows, fit, fold_models, held_out, raw_by_action
from training.moments import account_folds
from training.settings import TrainingSettings

#: A correction needs this many rows on either side; with fewer its standard error says nothing either.
FEWEST_ROWS = 30


@dataclass(frozen=True)
class Effects:
    """The fitted effects; without a model where no action's effect can be told. `links` has one for each action."""

    support: tuple[ActionSupport, ...]
    model: Any = None
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Estimates:
    """What is added to the log-odds of each action, `(n_actions,)`, with its standard error (infinite: unknown)."""

    shift: Floats
    error: Floats


def learn_effects(
    histories: Histories, everything: Decided, features: FeatureSet, horizon_days: int, settings: TrainingSettings,
    on_tree: OnTree,
) -> Effects:  # fmt: skip
    """Learn what each action does; says of which actions that can be told.

    Args:
        histories: packed histories.
        everything: all decisions; at most `max_decisions` of them are drawn to learn from.
        features: what was known at each.
        horizon_days: how far outcomes look; the level of all actions is followed in periods of that length.
        settings: how.
        on_tree: called after each tree, for progress.
    """
    actions = (*histories.settings.channel_names, NO_CHANNEL)
    support = tuple(_support(place, action, everything, settings) for place, action in enumerate(actions))
    if not decidable(support):
        return Effects(tuple(_unsupported(arm) for arm in support))
    told = np.array([arm.supported for arm in support])
    decided = drawn(everything.take(told[everything.action]), settings.moments.max_decisions, settings.seed)
    moments = decided.moments
    plain = feature_matrix(histories, moments.account, moments.as_of, features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    fold = account_folds(histories, settings.folds.count, settings.seed)[moments.account]
    fitted = fit_effects(plain, decided, categories, len(actions), fold, settings, on_tree)
    level = probability_level(fitted.p, decided.paid, moments.account, moments.as_of, horizon_days, UNKNOWN)
    return Effects(support, fitted.model, tuple(with_more_log_odds(link, level.value) for link in fitted.links))


@dataclass(frozen=True)
class Fitted:
    """The pooled model, the link of each action, and the held-out probability after each decision, `(n,)`."""

    model: Any
    links: tuple[Link, ...]
    p: Floats


def fit_effects(
    plain: Matrix, decided: Decided, categories: tuple[int, ...], n_actions: int, fold: Rows,
    settings: TrainingSettings, on_tree: OnTree,
) -> Fitted:  # fmt: skip
    """Fit the pooled model, and the link of each action.

    Args:
        plain: `(n, n_features)` what was known at each decision.
        decided: the decisions; of their moments only the accounts are read.
        categories: which columns hold categories.
        n_actions: how many actions there are; the last is to wait.
        fold: `(n,)` the fold of each decision's account.
        settings: how.
        on_tree: called after each tree, for progress.
    """
    model, raw = _fit(plain, decided, categories, n_actions, fold, settings, on_tree)
    chosen = raw[np.arange(len(raw)), decided.action]
    sigmoid = fit_sigmoid(chosen, decided.paid)
    p = sigmoid(raw)
    estimates = _corrections(plain, decided, p, categories, fold, settings)
    shift = _shrunk(estimates, settings.support.prior_sd)
    links = tuple(link_of(raw[:, place], sigmoid.shifted(float(shift[place]))) for place in range(n_actions))
    after = sigmoid.with_shifts(chosen, shift[decided.action])
    return Fitted(model, links, after)


def decidable(support: tuple[ActionSupport, ...]) -> bool:
    """Whether any effect can be told: waiting must be among what was tried, and something else."""
    told = {arm.action for arm in support if arm.supported}
    return NO_CHANNEL in told and len(told) > 1


def _fit(
    plain: Matrix, decided: Decided, categories: tuple[int, ...], n_actions: int, fold: Rows,
    settings: TrainingSettings, on_tree: OnTree,
) -> tuple[Any, Floats]:  # fmt: skip
    """The model, and the held-out raw score of every decision under every action, `(n, n_actions)`."""
    matrix = np.column_stack([plain, decided.action.astype(np.float32)])
    learner = Learner("binary", settings.channel, (*categories, plain.shape[1]), settings.seed, settings.threads)
    target = decided.paid.astype(np.float64)
    models = fold_models(learner, matrix, target, None, fold, on_tree)
    raw = held_out(models, fold, lambda model, rows: raw_by_action(model, plain[rows], n_actions, settings.threads))
    return fit(learner, matrix, target, None, on_tree), raw


def _corrections(
    plain: Matrix, decided: Decided, p: Floats, categories: tuple[int, ...], fold: Rows, settings: TrainingSettings
) -> Estimates:
    """The corrections from all decisions, unless those drawn at random tell that the rest were made knowing more."""

    def estimates(among: Flags) -> Estimates:
        return _estimates(plain, decided, p, categories, fold, settings, among)

    explored = decided.explored
    if _tells(decided.take(explored), fold[explored]) and _tells(decided.take(~explored), fold[~explored]):
        by_rule, at_random = estimates(~explored), estimates(explored)
        hidden = _hidden(by_rule, at_random)
        if hidden > 0:
            return _combined(by_rule, at_random, hidden)
    return estimates(np.ones(len(decided), dtype=np.bool_))


def _tells(decided: Decided, fold: Rows) -> bool:
    """Whether anything can be told from some decisions: two actions with enough rows of each, in two folds or more."""
    counts = np.bincount(decided.action)
    return int((counts >= FEWEST_ROWS).sum()) > 1 and len(np.unique(fold)) > 1


def _estimates(
    plain: Matrix, decided: Decided, p: Floats, categories: tuple[int, ...], fold: Rows, settings: TrainingSettings,
    among: Flags,
) -> Estimates:  # fmt: skip
    """The correction of each action's level, from the decisions `among` some: that of waiting, and of each against it.

    The chances of what was not chosen, which no log holds, are estimated; they only say who had a fair chance. What
    was chosen is weighted by its logged chance, or by the estimated one where none was logged, or where only decisions
    drawn at random, or only the others, are looked at: the log has the chance of all together.
    """
    rows = np.flatnonzero(among)
    some = decided.take(rows)
    chances = _chances(plain[rows], some, categories, p.shape[1], fold[rows], settings)
    given = chances[np.arange(len(rows)), some.action]
    chance = given if not among.all() else np.where(np.isnan(some.propensity), given, some.propensity)
    waiting = p.shape[1] - 1
    shift, error = np.zeros(waiting + 1), np.full(waiting + 1, np.inf)
    fair = chances[:, waiting] * (1 - chances[:, waiting])
    shift[waiting], error[waiting] = _residual(some, p[rows], fair / chance, waiting)
    for action in range(waiting):
        both = chances[:, action] + chances[:, waiting]
        weight = np.divide(chances[:, action] * chances[:, waiting], both, out=np.zeros_like(both), where=both > 0)
        this, this_error = _residual(some, p[rows], weight / chance, action)
        other, other_error = _residual(some, p[rows], weight / chance, waiting)
        shift[action], error[action] = this - other, np.hypot(this_error, other_error)
    return Estimates(shift, error)


def _chances(
    plain: Matrix, decided: Decided, categories: tuple[int, ...], n_actions: int, fold: Rows,
    settings: TrainingSettings,
) -> Floats:  # fmt: skip
    """The estimated chance of every action, `(n, n_actions)`, by models that did not see the account."""
    there, code = np.unique(decided.action, return_inverse=True)
    learner = Learner(
        "multiclass", settings.propensity, categories, settings.seed, settings.threads, n_classes=len(there)
    )  # fmt: skip
    models = fold_models(learner, plain, code.astype(np.float64), decided.weight, fold, lambda: None)
    found = np.zeros((len(plain), n_actions))
    found[:, there] = held_out(models, fold, lambda model, rows: _probabilities(model, plain[rows], settings.threads))
    return found


def _probabilities(model: Any, matrix: Matrix, threads: int) -> Floats:
    return np.asarray(model.predict(matrix, num_threads=threads), dtype=np.float64)


def _residual(decided: Decided, p: Floats, weight: Floats, action: int) -> tuple[float, float]:
    """By how much log-odds predictions after an action are off, where it counts by weight, and the error of that."""
    had = decided.action == action
    if had.sum() < FEWEST_ROWS:
        return 0.0, np.inf
    shift, variance = log_odds_shift(
        p[had, action], decided.paid[had], (weight * decided.weight)[had], decided.moments.account[had]
    )
    return (shift, float(np.sqrt(variance))) if np.isfinite(shift) else (0.0, np.inf)


def _hidden(by_rule: Estimates, at_random: Estimates) -> float:
    """The variance between corrections from decisions by rule and from those drawn at random: what choosers knew.

    By the method of moments (DerSimonian and Laird 1986); zero where they do not differ beyond chance (Cochran's Q, at
    5 %), since a few decisions drawn at random would else outweigh many for nothing but their noise.
    """
    from scipy.stats import chi2

    both = np.isfinite(by_rule.error) & np.isfinite(at_random.error)
    differ = (by_rule.shift - at_random.shift)[both]
    by_chance = (by_rule.error**2 + at_random.error**2)[both]
    if not len(differ) or (differ**2 / by_chance).sum() <= chi2.ppf(0.95, len(differ)):
        return 0.0
    weight = 1 / by_chance
    return max(0.0, float((weight * (differ**2 - by_chance)).sum() / weight.sum()))


def _combined(by_rule: Estimates, at_random: Estimates, hidden: float) -> Estimates:
    """Corrections from both, each by its precision; those by rule are the less precise for what choosers knew."""
    precision_rule = 1 / (by_rule.error**2 + hidden)
    precision_random = 1 / at_random.error**2
    total = precision_rule + precision_random
    known = total > 0
    mixed = precision_rule * by_rule.shift + precision_random * at_random.shift
    shift = np.divide(mixed, total, out=np.zeros_like(total), where=known)
    return Estimates(shift, np.where(known, 1 / np.sqrt(np.where(known, total, 1.0)), np.inf))


def _shrunk(estimates: Estimates, prior_sd: float) -> Floats:
    """The corrections, each shrunk towards none by its own error; those of actions on top of that of waiting."""
    trusted = prior_sd**2 / (prior_sd**2 + estimates.error**2)
    shift = trusted * estimates.shift
    shift[:-1] += shift[-1]
    return shift


def _support(place: int, action: str, decided: Decided, settings: TrainingSettings) -> ActionSupport:
    had = decided.action == place
    account = decided.moments.account
    payers = len(np.unique(account[had & decided.paid]))
    enough = payers >= settings.support.paying_accounts
    return ActionSupport(action, round(float(decided.weight[had].sum())), len(np.unique(account[had])), payers, enough)


def _unsupported(arm: ActionSupport) -> ActionSupport:
    return ActionSupport(arm.action, arm.decisions, arm.accounts, arm.payers, False)
