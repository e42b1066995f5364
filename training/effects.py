"""What choosing a channel does: a small regression on top of the probability of payment, by what was decided.

Effects are small and payers few, so that nearly everything that decisions can tell is how much each action brings on
average. The probability of payment is learned beforehand, from far more than decisions; what is left of an outcome is
regressed on what was chosen beyond what was to be expected (an R-learner; Robinson 1988, Nie and Wager 2021, with
several actions), both held out by account. Each residual is divided by its standard deviation, √(p(1 - p)), and an
effect is a multiple of it: so the many accounts that hardly pay, of which chance says little, count as much as they
tell. The multiple of an action is a level of its own, moved by a few features (effect modifiers): mostly for all
actions alike, and a little for each, as the priors of a ridge regression have it.

Who chose may have known more than the data hold. Decisions drawn at random are free of that: where some were, the
levels from them are held against those from the rest, and the more the two differ beyond chance, the more those
drawn at random count.

An action that few paying accounts have had, or that was never a matter of chance, is not supported: nothing is said
of its effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.compute import FeatureSet, feature_matrix
from features.contract import NO_CHANNEL
from features.histories import Histories
from training.bundle import ActionSupport, ChannelEffects, Floats, Link, Matrix
from training.decisions import Decided, Flags, drawn
from training.fit import Learner, OnTree, Rows, fold_models, held_out
from training.moments import account_folds
from training.settings import EffectSettings, TrainingSettings

#: What is predicted for rows by models that did not see their accounts: of a matrix, the fold of each
#: account, and the number of threads.
HeldOut = Callable[[Matrix, Rows, int], Floats]

#: A level needs this many rows on either side; with fewer its standard error says nothing either.
FEWEST_ROWS = 30
#: Below this a probability counts as this where residuals are divided: one payer must not outweigh all others.
LEAST_P = 0.004
#: A prior without an opinion, and that of what is told of an outcome whatever is chosen.
FLAT_SD, LEVEL_SD = 1e3, 0.5
#: A modifier is scaled by its rank among the decisions, looked up at so many quantiles.
QUANTILES = 101


@dataclass(frozen=True)
class Effects:
    """The fitted effects; None where no action's effect can be told."""

    support: tuple[ActionSupport, ...]
    fitted: ChannelEffects | None = None


@dataclass(frozen=True)
class Known:
    """What was known at `n` decisions, `(n, n_features)`, which columns may move an effect, which hold categories."""

    matrix: Matrix
    modifiers: tuple[int, ...]
    categories: tuple[int, ...]


@dataclass(frozen=True)
class Estimates:
    """The level of each action against waiting, `(n_actions - 1,)`, with its standard error (infinite: unknown)."""

    level: Floats
    error: Floats


@dataclass(frozen=True)
class Weights:
    """Of every action but waiting the level and the weight of each modifier, `(n_actions - 1, 1 + n_modifiers)`.

    `covariance` is that of the flattened weights, `error` that of each level. Of an action of which nothing could be
    told the one is zero, the other infinite.
    """

    value: Floats
    covariance: Floats
    error: Floats

    @property
    def levels(self) -> Estimates:
        """The levels alone."""
        return Estimates(self.value[:, 0], self.error)

    def with_levels(self, levels: Estimates) -> Weights:
        """The same with other levels, where they are known; these are taken to go with nothing else."""
        known = np.isfinite(levels.error)
        value, covariance = self.value.copy(), self.covariance.copy()
        value[known, 0] = levels.level[known]
        of_level = np.flatnonzero(known) * value.shape[1]
        covariance[of_level], covariance[:, of_level] = 0.0, 0.0
        covariance[of_level, of_level] = levels.error[known] ** 2
        return Weights(value, covariance, self.error)


@dataclass(frozen=True)
class Regression:
    """What the regression reads of `n` decisions.

    `left` `(n,)` is what is left of outcomes, in standard deviations, `surprise` `(n, n_actions)` what was chosen
    beyond what was to be expected, and `modifiers` `(n, n_modifiers)` are in their scale.
    """

    left: Floats
    surprise: Floats
    modifiers: Floats

    def take(self, rows: Flags) -> Regression:
        """That of some rows."""
        return Regression(self.left[rows], self.surprise[rows], self.modifiers[rows])


def learn_effects(
    histories: Histories, everything: Decided, features: FeatureSet, baseline: HeldOut, settings: TrainingSettings,
    on_tree: OnTree,
) -> Effects:  # fmt: skip
    """Learn what each action does; says of which actions that can be told.

    Args:
        histories: packed histories.
        everything: all decisions; at most `max_decisions` of them are drawn to learn from.
        features: what was known at each.
        baseline: the probability of payment, held out by account.
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
    modifiers = tuple(features.names.index(name) for name in settings.effects.modifiers if name in features.names)
    known, p = Known(plain, modifiers, categories), baseline(plain, fold, settings.threads)
    return Effects(support, fit_effects(known, decided, p, len(actions), fold, settings, on_tree))


def fit_effects(
    known: Known, decided: Decided, p: Floats, n_actions: int, fold: Rows, settings: TrainingSettings, on_tree: OnTree
) -> ChannelEffects:
    """Fit what each action does.

    Args:
        known: what was known at each decision.
        decided: the decisions; of their moments only the accounts are read.
        p: `(n,)` the probability of payment as work goes on, held out by account.
        n_actions: how many actions there are; the last is to wait.
        fold: `(n,)` the fold of each decision's account.
        settings: how.
        on_tree: called after each tree, for progress.
    """
    scales = tuple(_scale(known.matrix[:, column]) for column in known.modifiers)
    scaled = np.zeros((len(p), len(scales)))
    for place, column in enumerate(known.modifiers):
        scaled[:, place] = scales[place].or_zero(known.matrix[:, column])
    some = np.clip(p, LEAST_P, 1 - LEAST_P)
    left = (decided.paid - p) / np.sqrt(some * (1 - some))
    chances = _chances(known, decided, n_actions, fold, settings, on_tree)
    surprise = (decided.action[:, None] == np.arange(n_actions)) - chances
    regression = Regression(left, surprise, scaled)
    found = learn_weights(regression, decided, settings.effects)
    weights = np.vstack([found.value, np.zeros(found.value.shape[1])])
    often = np.bincount(decided.action, weights=decided.weight, minlength=n_actions) / decided.weight.sum()
    # The probability is that of work as it goes on: what all actions bring, as often as each is chosen, is in it.
    weights[:, 0] -= float((often * weights[:, 0]).sum())
    covariance = tuple(tuple(row) for row in found.covariance.tolist())
    return ChannelEffects(known.modifiers, scales, tuple(tuple(row) for row in weights.tolist()), covariance)


def decidable(support: tuple[ActionSupport, ...]) -> bool:
    """Whether any effect can be told: waiting must be among what was tried, and something else."""
    told = {arm.action for arm in support if arm.supported}
    return NO_CHANNEL in told and len(told) > 1


def _scale(column: Floats | Matrix) -> Link:
    """From a feature to its rank among these values, in standard deviations around the mean."""
    known = np.sort(column[~np.isnan(column)].astype(np.float64))
    if not len(known) or known[0] == known[-1]:
        return Link((0.0,), (0.0,))
    points = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES), method="nearest"))
    rank = (np.searchsorted(known, points, "left") + np.searchsorted(known, points, "right")) / 2 / len(known)
    return Link(tuple(points.tolist()), tuple(((rank - 0.5) * np.sqrt(12)).tolist()))


def learn_weights(regression: Regression, decided: Decided, settings: EffectSettings) -> Weights:
    """The weights of every action but waiting, from all decisions, and how sure they are."""
    found = _ridge(regression, decided.action, settings)
    explored = decided.explored
    if _tells(decided.take(explored)) and _tells(decided.take(~explored)):
        by_rule, at_random = (
            _ridge(regression.take(rows), decided.action[rows], settings).levels for rows in (~explored, explored)
        )
        hidden = _hidden(by_rule, at_random)
        if hidden > 0:
            return found.with_levels(_combined(by_rule, at_random, hidden))
    return found


def _ridge(regression: Regression, action: Rows, settings: EffectSettings) -> Weights:
    """The weights by a ridge regression, with their covariance after the data, of which the priors are part.

    An action with too few rows, or against too few of waiting, has no weights and an infinite error.
    """
    modifiers, n = regression.modifiers, len(regression.left)
    k, n_actions = modifiers.shape[1], regression.surprise.shape[1]
    enough = np.bincount(action, minlength=n_actions) >= FEWEST_ROWS
    told = np.flatnonzero(enough[:-1] & enough[-1])
    contacted = regression.surprise[:, told].sum(axis=1)
    columns, sd = [np.ones((n, 1)), modifiers, contacted[:, None] * modifiers], [FLAT_SD]
    sd += [LEVEL_SD] * k + [settings.shared_sd] * k
    for arm in told:
        surprise = regression.surprise[:, [arm]]
        columns += [surprise, surprise * modifiers]
        sd += [FLAT_SD] + [settings.own_sd] * k
    design = np.hstack(columns)
    variance = float(np.var(regression.left)) or 1.0
    # Sums in one order, whatever the number of threads: the same data give the same bundle.
    covariance = np.linalg.inv(np.einsum("ij,ik->jk", design, design) / variance + np.diag(1 / np.array(sd) ** 2))
    found = covariance @ np.einsum("ij,i->j", design, regression.left) / variance
    shared, own = found[1 + k : 1 + 2 * k], found[1 + 2 * k :].reshape(len(told), 1 + k)
    weights, error = np.zeros((n_actions - 1, 1 + k)), np.full(n_actions - 1, np.inf)
    weights[told] = own + np.concatenate([[0.0], shared])
    error[told] = np.sqrt(np.diag(covariance)[1 + 2 * k :: 1 + k])
    return Weights(weights, _of_weights(covariance, told, n_actions - 1, k), error)


def _of_weights(covariance: Floats, told: Rows, n_arms: int, k: int) -> Floats:
    """The covariance of the weights, each the sum of what is shared and what is its own, from that of the regression.

    The columns of the regression are `1 + k` of the outcome whatever is chosen, `k` shared ones, and `1 + k` of each
    action that is told.
    """
    # A last column that is always zero stands for what a level shares.
    padded = np.pad(covariance, (0, 1))
    own = np.arange(1 + 2 * k, 1 + 2 * k + len(told) * (1 + k))
    shared = np.tile([len(covariance), *range(1 + k, 1 + 2 * k)], len(told))
    found = sum(padded[np.ix_(one, other)] for one in (own, shared) for other in (own, shared))
    place = (told[:, None] * (1 + k) + np.arange(1 + k)).ravel()
    whole = np.zeros((n_arms * (1 + k), n_arms * (1 + k)))
    whole[np.ix_(place, place)] = found
    return whole


def _tells(decided: Decided) -> bool:
    """Whether anything can be told from some decisions: two actions with enough rows of each."""
    return int((np.bincount(decided.action) >= FEWEST_ROWS).sum()) > 1


def _chances(
    known: Known, decided: Decided, n_actions: int, fold: Rows, settings: TrainingSettings, on_tree: OnTree
) -> Floats:
    """The estimated chance of every action, `(n, n_actions)`, by models that did not see the account."""
    there, code = np.unique(decided.action, return_inverse=True)
    learner = Learner(
        "multiclass", settings.propensity, known.categories, settings.seed, settings.threads, n_classes=len(there)
    )  # fmt: skip
    # As often as they are among these decisions, of which rare actions may hold more than their share.
    models = fold_models(learner, known.matrix, code.astype(np.float64), None, fold, on_tree)
    found = np.zeros((len(fold), n_actions))

    def predict(model: Any, rows: Rows) -> Floats:
        return np.asarray(model.predict(known.matrix[rows], num_threads=settings.threads), dtype=np.float64)

    found[:, there] = held_out(models, fold, predict)
    return found


def _hidden(by_rule: Estimates, at_random: Estimates) -> float:
    """The variance between levels from decisions by rule and from those drawn at random: what choosers knew.

    By the method of moments (DerSimonian and Laird 1986); zero where they do not differ beyond chance (Cochran's Q, at
    5 %), since a few decisions drawn at random would else outweigh many for nothing but their noise.
    """
    from scipy.stats import chi2

    both = np.isfinite(by_rule.error) & np.isfinite(at_random.error)
    differ = (by_rule.level - at_random.level)[both]
    by_chance = (by_rule.error**2 + at_random.error**2)[both]
    if not len(differ) or (differ**2 / by_chance).sum() <= chi2.ppf(0.95, len(differ)):
        return 0.0
    weight = 1 / by_chance
    return max(0.0, float((weight * (differ**2 - by_chance)).sum() / weight.sum()))


def _combined(by_rule: Estimates, at_random: Estimates, hidden: float) -> Estimates:
    """Levels from both, each by its precision; those by rule are the less precise for what choosers knew."""
    precision_rule = 1 / (by_rule.error**2 + hidden)
    precision_random = 1 / at_random.error**2
    total = precision_rule + precision_random
    known = total > 0
    mixed = precision_rule * by_rule.level + precision_random * at_random.level
    level = np.divide(mixed, total, out=np.zeros_like(total), where=known)
    return Estimates(level, np.where(known, 1 / np.sqrt(np.where(known, total, 1.0)), np.inf))


def _support(place: int, action: str, decided: Decided, settings: TrainingSettings) -> ActionSupport:
    had = decided.action == place
    account = decided.moments.account
    payers = len(np.unique(account[had & decided.paid]))
    enough = payers >= settings.support.paying_accounts
    return ActionSupport(action, round(float(decided.weight[had].sum())), len(np.unique(account[had])), payers, enough)


def _unsupported(arm: ActionSupport) -> ActionSupport:
    return ActionSupport(arm.action, arm.decisions, arm.accounts, arm.payers, False)
