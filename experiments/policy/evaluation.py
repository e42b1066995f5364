"""From a portfolio's log of decisions to the value of a policy: which decisions, what was expected, what followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import Progress

from experiments.policy.choices import (
    SILENT,
    Choices,
    choices_of_constant,
    choices_of_file,
    choices_of_model,
)
from experiments.policy.value import (
    Compared,
    Estimate,
    Logged,
    Support,
    compare,
    compared,
    estimate,
    refusal,
    scores,
    support_of,
)
from experiments.watch.scored import payment_settings
from features.compute import feature_matrix, known_categories, prepare
from features.contract import NO_CHANNEL
from features.errors import HistoryError, MomentError
from features.histories import Histories
from features.progress import line
from features.selection import available, own_history
from features.units import NULL_TIME, Rows, format_day, format_instant, from_money, parse_instant
from serving.scoring import Scorer, check_match, prepare_scorer
from training.bundle import Bundle, Floats, Matrix
from training.decisions import Decided, are_logged, decisions_between
from training.fit import Learner, OnTree, fit, fold_models, held_out, raw_by_action, raw_scores
from training.moments import Moments, account_draw, account_folds, matured_end, payments_end
from training.settings import TrainingSettings, TreeSettings, read_training_settings

#: The policy that decided, and how a constant one is named.
LOGGING, CONSTANT = "logging", "always:"
PAY_RATE, MONEY, NET_VALUE = "pay_rate", "money", "net_value"

#: A small model of the outcome: it decides how wide the interval is, and nothing else.
TREES = TreeSettings(
    trees=100, learning_rate=0.08, leaves=7, min_rows_per_leaf=50, row_share=0.8, feature_share=0.5, l2=5.0
)


#: What a policy would have chosen at some moments.
Choose = Callable[[Moments], Choices]


@dataclass(frozen=True)
class Window:
    """What a user says of the decisions: from when, until when, how many at most; and when she says it."""

    since: int | None
    until: int | None
    now: int
    max_decisions: int


@dataclass(frozen=True)
class Question:
    """Which decisions a policy is asked about: those in `[since, until]`, by what is known before `known_before`."""

    since: int
    until: int
    horizon_days: int
    known_before: int
    max_decisions: int


@dataclass(frozen=True)
class Report:
    """What is said of a policy; amounts in the main unit, per decision. `support` is None for the log itself."""

    policy: str
    horizon_days: int
    first_decision: str
    last_decision: str
    decisions: int
    #: How many such decisions there are, where only those of some accounts were taken.
    drawn_from: int
    accounts: int
    #: Decisions of which the policy says nothing, and what it says of moments at which nothing was decided.
    silent: int
    unmatched: int
    support: Support | None
    outcomes: dict[str, Compared]


def evaluate_named(
    histories: Histories, name: str, bundle: Bundle | None, window: Window, progress: Progress
) -> Report:
    """Value the policy that is meant by `model`, `logging`, `always:CHANNEL` or the path of a file.

    Raises:
        BundleError: the model does not match the portfolio.
        HistoryError: the log cannot tell, with why and what it would take.
        MomentError: `since` is before the time until which the model learned.
        PortfolioError: the file of choices cannot be used.
        SettingsError: there is no such channel.
    """
    settings = read_training_settings()
    if bundle is not None:
        settings = msgspec.structs.replace(settings, payment=payment_settings(bundle))
    question = _question(histories, bundle, window)
    label, choose = _policy(histories, name, bundle, settings.threads, progress)
    return evaluate_policy(histories, question, label, choose, settings, progress)


def _policy(
    histories: Histories, name: str, bundle: Bundle | None, threads: int, progress: Progress
) -> tuple[str, Choose | None]:
    """What a policy is called, and how it chooses; None for the one that decided."""
    if bundle is not None:
        scorer = prepare_scorer(bundle)
        check_match(scorer, histories.settings)

        return policy_of(scorer, histories, threads, progress)
    if name == LOGGING:
        return name, None
    if name.startswith(CONSTANT):
        return name, partial(choices_of_constant, name.removeprefix(CONSTANT), _actions(histories), histories)
    return name, partial(choices_of_file, Path(name), _actions(histories), histories)


def policy_of(scorer: Scorer, histories: Histories, threads: int, progress: Progress) -> tuple[str, Choose]:
    """A model as a policy: its name, and how it chooses."""

    def choose(moments: Moments) -> Choices:
        with line(progress, f"Asking {scorer.bundle.label}", len(moments)) as advance:
            return choices_of_model(scorer, histories, moments, threads, advance)

    return scorer.bundle.label, choose


def _question(histories: Histories, bundle: Bundle | None, window: Window) -> Question:
    """The decisions that are looked at: a model's only from the time on until which it learned."""
    horizon_days = histories.settings.horizon_days if bundle is None else bundle.manifest.horizon_days
    known_before = payments_end(histories, window.now)
    test_end = matured_end(histories, horizon_days, known_before)
    since = NULL_TIME if window.since is None else window.since
    if bundle is not None:
        learned = parse_instant(bundle.manifest.trained_until)
        if window.since is not None and window.since < learned:
            raise MomentError(
                f"--since is a time that the model has not learned from, got {format_instant(window.since)}, but "
                f"{bundle.label} learned until {bundle.manifest.trained_until}; give that or later"
            )
        since = max(since, learned)
    until = test_end if window.until is None else min(test_end, window.until)
    return Question(since, until, horizon_days, known_before, window.max_decisions)


def evaluate_policy(
    histories: Histories, question: Question, name: str, choose: Choose | None, settings: TrainingSettings,
    progress: Progress,
) -> Report:  # fmt: skip
    """Value a policy from the log of decisions.

    Args:
        histories: packed histories.
        question: which decisions.
        name: what the policy is called.
        choose: what it would have chosen at each decision; None for the policy that made them.
        settings: which payments count, folds, seed and threads.
        progress: where to show it.

    Raises:
        HistoryError: the log cannot tell, with why and what it would take.
    """
    everything = logged_decisions(histories, question, settings)
    decided = of_some_accounts(histories, everything, question.max_decisions, settings.seed)
    choices = Choices(decided.action) if choose is None else choose(decided.moments)
    said = choices.action != SILENT
    if not said.any():
        raise HistoryError(
            f"a policy is valued at logged decisions, but none of the {choices.unmatched:,} rows of {name} is one of "
            f"the {len(decided):,} matured decisions on live accounts; give account_id and at as the log has them"
        )
    decided, action = decided.take(said), choices.action[said]
    logged = _logged(decided)
    support, outcomes = None, _as_logged(histories, decided)
    if choose is not None:
        target = np.eye(len(_actions(histories)))[action]
        support = support_of(logged, target)
        if (why := refusal(support)) is not None:
            raise HistoryError(f"the log cannot tell the value of {name}: {why}")
        expected = _expected(histories, decided, logged, settings, progress)
        outcomes = {
            name: compare(logged, followed, target, nuisance) for name, (followed, nuisance) in expected.items()
        }
    at = decided.moments.as_of
    return Report(
        policy=name,
        horizon_days=question.horizon_days,
        first_decision=format_instant(int(at.min())),
        last_decision=format_instant(int(at.max())),
        decisions=len(decided),
        drawn_from=len(everything),
        accounts=len(np.unique(logged.account)),
        silent=int((~said).sum()),
        unmatched=choices.unmatched,
        support=support,
        outcomes=outcomes,
    )


def logged_decisions(histories: Histories, question: Question, settings: TrainingSettings) -> Decided:
    """The logged decisions that were a matter of chance and whose outcomes have matured.

    Raises:
        HistoryError: there is no log, or no such decision in it.
    """
    if not are_logged(histories, question.known_before):
        raise HistoryError(
            "a policy is valued from logged decisions and the exact propensity of each, got no decisions table; log "
            "what is chosen and with what probability (propensities estimated afterwards from rules that leave next "
            "to nothing to chance would certify anything)"
        )
    decided = decisions_between(
        histories, question.since, question.until, question.horizon_days, question.known_before, settings
    )
    if not len(decided):
        first, last = int(histories.decisions.at.min()), int(histories.decisions.at.max())
        raise HistoryError(
            f"a policy is valued from decisions that left something to chance and whose {question.horizon_days} days "
            f"have passed, got none on live accounts from {format_day(max(question.since, first))} to "
            f"{format_day(question.until)} in a log from {format_day(first)} to {format_day(last)}; let more time "
            f"pass, give an earlier --since or a model of an earlier --until, or draw some decisions at random"
        )
    return decided


def of_some_accounts(histories: Histories, decided: Decided, most: int, seed: int) -> Decided:
    """At most so many decisions: all those of accounts drawn at random, since they go together."""
    if len(decided) <= most:
        return decided
    count = np.bincount(decided.moments.account, minlength=len(histories))
    order = np.argsort(account_draw(histories, "policy", seed), kind="stable")
    kept = order[np.cumsum(count[order]) <= most]
    return decided.take(np.isin(decided.moments.account, kept))


def compare_policies(
    histories: Histories, question: Question, policies: tuple[tuple[str, Choose], tuple[str, Choose]],
    settings: TrainingSettings, progress: Progress,
) -> tuple[Estimate, Estimate, Estimate]:  # fmt: skip
    """The net value per decision of two policies, from the same decisions, and of the second less the first.

    The arguments are those of `evaluate_policy`, with the name of each policy and how it chooses.

    Raises:
        HistoryError: the log cannot tell, with why and what it would take.
    """
    decided = of_some_accounts(
        histories, logged_decisions(histories, question, settings), question.max_decisions, settings.seed
    )
    logged = _logged(decided)
    targets = []
    for name, choose in policies:
        target = np.eye(len(_actions(histories)))[choose(decided.moments).action]
        if (why := refusal(support_of(logged, target))) is not None:
            raise HistoryError(f"the log cannot tell the value of {name}: {why}")
        targets.append(target)
    outcome, nuisance = _expected(histories, decided, logged, settings, progress)[NET_VALUE]
    first, second = (scores(logged, outcome, target, nuisance) for target in targets)
    account = logged.account
    return estimate(first, account), estimate(second, account), estimate(second - first, account)


def _logged(decided: Decided) -> Logged:
    return Logged(decided.action, decided.propensity, decided.moments.account, decided.paid)


def _expected(
    histories: Histories, decided: Decided, logged: Logged, settings: TrainingSettings, progress: Progress
) -> dict[str, tuple[Floats, Floats]]:
    """Of every outcome: what followed each decision, `(n,)`, and what was expected of each action, `(n, n_actions)`."""
    moments = decided.moments
    known_before = int(moments.as_of.max()) + 1
    names = own_history(histories.settings, available(histories, known_before))
    features = prepare(histories.settings, names, known_categories(histories, known_before))
    with line(progress, "Features of decisions", 1):
        matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    fold = account_folds(histories, settings.folds.count, settings.seed)[moments.account]
    amount = from_money(moments.net_amount)
    learner = Learner("binary", TREES, categories, settings.seed, settings.threads)
    with line(progress, "What each action was expected to bring", 2 * settings.folds.count * TREES.trees) as advance:
        p_pay = expected_payment(learner, matrix, logged, fold, len(_actions(histories)), advance)
        money = p_pay * expected_amount(learner, matrix, logged, amount, fold, advance)[:, None]
    commission, cost = histories.accounts.commission_rate[moments.account], _cost(histories)
    return {
        PAY_RATE: (logged.paid.astype(np.float64), p_pay),
        MONEY: (amount, money),
        NET_VALUE: (amount * commission - cost[logged.action], money * commission[:, None] - cost),
    }


def _as_logged(histories: Histories, decided: Decided) -> dict[str, Compared]:
    """Every outcome as it followed under the policy that decided: the plain mean."""
    account, amount = decided.moments.account, from_money(decided.moments.net_amount)
    net = amount * histories.accounts.commission_rate[account] - _cost(histories)[decided.action]
    outcomes = {PAY_RATE: decided.paid.astype(np.float64), MONEY: amount, NET_VALUE: net}
    return {name: compared(outcome, outcome, account) for name, outcome in outcomes.items()}


def expected_payment(
    learner: Learner, matrix: Matrix, logged: Logged, fold: Rows, n_actions: int, on_tree: OnTree
) -> Floats:
    """The probability of a payment after each action, `(n, n_actions)`, by a model that has not seen the account.

    One pooled model with the action as a category (an S-learner), cross-fitted over folds of accounts.
    """
    from scipy.special import expit

    learner = replace(learner, categories=(*learner.categories, matrix.shape[1]))
    with_chosen = np.column_stack([matrix, logged.action.astype(np.float32)])

    target = logged.paid.astype(np.float64)
    models = fold_models(learner, with_chosen, target, None, fold, on_tree)
    return np.asarray(
        expit(
            held_out(models, fold, lambda model, rows: raw_by_action(model, matrix[rows], n_actions, learner.threads))
        )
    )


def expected_amount(
    learner: Learner, matrix: Matrix, logged: Logged, amount: Floats, fold: Rows, on_tree: OnTree
) -> Floats:
    """The amount where anything is paid, `(n,)`, by a model fitted on the payers among other folds' accounts."""
    learner = replace(learner, objective="gamma")
    found = np.empty(len(matrix))
    for held in np.unique(fold):
        model = fit(learner, matrix, amount, None, on_tree, np.flatnonzero(logged.paid & (fold != held)))
        rows = np.flatnonzero(fold == held)
        found[rows] = np.exp(raw_scores(model, matrix[rows], learner.threads))
    return found


def encode(report: Report) -> bytes:
    """Write as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def _actions(histories: Histories) -> tuple[str, ...]:
    return (*histories.settings.channel_names, NO_CHANNEL)


def _cost(histories: Histories) -> Floats:
    """What each action costs, `(n_actions,)`, in the main unit."""
    return np.array([*(channel.cost for channel in histories.settings.channels), 0.0])
