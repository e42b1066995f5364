"""Whether what is said of a policy's value holds: coverage of its intervals, and refusals where there should be some.

One simulated world gives the decisions, with a dozen features of each. On them a probability of payment and an amount
are fitted once for every action, and the logging policy's probability of every action: from then on these are the
truth, with payments made as rare as they usually are. A replication draws accounts with all their decisions from the
world, actions from the known probabilities, and outcomes from the truth, those of an account going together through a
hidden draw of its own; nuisance models are fitted anew, smaller than the real ones. Each interval then holds the true
value of the policy in the world, or not. The policies are a model learned from a draw of its own, and calling everyone.

Against plain inverse-propensity weighting and its self-normalised form on the same draws, with intervals by account.

Last, a world's own truth: what the log says of calling and of waiting, beside what follows each on the live accounts
at the world's end. The moments differ (decisions follow the accounts that are worked most), so this is no test.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, replace

import numpy as np

from experiments.benchmarks._report import Figure, write_report
from experiments.policy.evaluation import (
    PAY_RATE,
    Question,
    Window,
    evaluate_named,
    expected_amount,
    expected_payment,
    logged_decisions,
)
from experiments.policy.value import QUANTILE, Estimate, Logged, compare, estimate, refusal, support_of
from experiments.world import World, WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.compute import feature_matrix, known_categories, prepare
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.progress import bars, line
from features.settings import parse_settings
from features.units import DAY, NULL_TIME, Rows, from_money
from training.bundle import Floats, Matrix
from training.fit import Learner, fit, fold_models, held_out, raw_by_action, raw_scores
from training.moments import matured_end, payments_end
from training.settings import TreeSettings, read_training_settings

ACCOUNTS, DAYS, SEED = 5_000, 240, 1
DECISIONS, REPLICATIONS, REFUSED_REPLICATIONS = 100_000, 400, 20
FEATURES = (
    "segment", "balance", "days_past_due", "days_since_placed", "calls_7d", "calls_30d", "right_party_contacts",
    "promises_open", "promises_broken", "payments", "days_since_last_payment", "attribute_utilisation",
)  # fmt: skip
#: The share of decisions after which something is paid, where they follow each other closely in a late-stage book.
PAY_SHARE = 0.025
#: Differences between actions are widened so much on the scale of log-odds: a pooled model finds a part of them only.
WIDENED = 5.0
#: How much of what decides on a payment an account's decisions have in common.
SHARED = 0.5
EXPLORED = 0.08
#: In a log that leaves next to nothing to chance.
HARDLY_EXPLORED = 0.004
CHEAP = ("sms", "email", "call", "none")
TRUTH_TREES = TreeSettings(60, 0.1, 7, 200, 0.8, 0.8, 5.0)
QUICK_TREES = TreeSettings(25, 0.2, 7, 200, 0.8, 0.8, 5.0)


@dataclass(frozen=True)
class Pool:
    """The decisions of a world, `(n,)`, and the truth of them, `(n, n_actions)`; amounts in the main unit."""

    matrix: Matrix
    account: Rows
    p_pay: Floats
    amount: Floats
    chosen: Floats
    actions: tuple[str, ...]
    net: tuple[Floats, Floats]

    def place(self, action: str) -> int:
        """The position of an action."""
        return self.actions.index(action)


@dataclass(frozen=True)
class Draw:
    """What was chosen and paid in a replication, at which rows of the pool, `(n,)`."""

    rows: Rows
    logged: Logged
    amount: Floats


def main() -> int:
    """Run the benchmark."""
    world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=SEED, truth_draws=24))
    declared = parse_settings(tomllib.loads(portfolio_toml(world.settings)), "simulated")
    histories = pack(portfolio_from_frames(world.frames, declared))
    pool = _pool(histories)
    generator = np.random.default_rng(SEED)
    policies = {"a model": _learned(pool, generator), "calling everyone": _constant(pool, "call")}
    figures = [*_coverage(pool, policies, generator), *_refusals(pool, policies["a model"], generator)]
    write_report("policy_value", [*figures, *_world_truth(world, histories)])
    return 0


# ------------------------------------------------------------------------------------------------ what is drawn from


def _pool(histories: Histories) -> Pool:
    settings = read_training_settings()
    known_before = payments_end(histories, environment.now())
    question = Question(NULL_TIME, matured_end(histories, 30, known_before), 30, known_before, DECISIONS)
    decided = logged_decisions(histories, question, settings)
    moments, actions = decided.moments, (*histories.settings.channel_names, "none")
    features = prepare(histories.settings, FEATURES, known_categories(histories))
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    logged = Logged(decided.action, decided.propensity, moments.account, decided.paid)
    fold = moments.account % 2
    learner = Learner("binary", TRUTH_TREES, (0,), SEED, 1)
    p_pay = expected_payment(learner, matrix, logged, fold, len(actions), _nothing)
    paid_amount = np.maximum(from_money(moments.net_amount), 0.0)
    amount = expected_amount(learner, matrix, logged, paid_amount, fold, _nothing)
    cost = np.array([*(channel.cost for channel in histories.settings.channels), 0.0])
    return Pool(
        matrix, moments.account, _at_level(p_pay, PAY_SHARE), amount, _logging(matrix, decided.action, fold, actions),
        actions, (histories.accounts.commission_rate[moments.account], cost),
    )  # fmt: skip


def _at_level(p: Floats, share: float) -> Floats:
    """Probabilities by action, wider apart, and moved on the scale of log-odds until their mean is `share`."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    middle = logit(p).mean(axis=1, keepdims=True)
    raw = middle + WIDENED * (logit(p) - middle)
    level = brentq(lambda level: float(expit(raw + level).mean()) - share, -10, 10)
    return np.asarray(expit(raw + level))


def _logging(matrix: Matrix, action: Rows, fold: Rows, actions: tuple[str, ...]) -> Floats:
    """A logging policy like the world's: each action by rule, and a share at random among the cheap ones."""
    n = len(actions)
    rule = np.empty((len(matrix), n))
    for place in range(n):
        learner = Learner("binary", QUICK_TREES, (0,), SEED, 1)
        models = fold_models(learner, matrix, (action == place).astype(float), None, fold, _nothing)
        rule[:, place] = held_out(models, fold, lambda model, rows: raw_scores(model, matrix[rows], 1))
    rule = np.exp(rule) / (1 + np.exp(rule))
    return _explored(rule / rule.sum(axis=1, keepdims=True), actions, EXPLORED)


def _explored(rule: Floats, actions: tuple[str, ...], share: float) -> Floats:
    cheap = np.isin(actions, CHEAP) / len(CHEAP)
    return np.asarray((1 - share) * rule + share * cheap)


# ------------------------------------------------------------------------------------------------ replications


def _draw(pool: Pool, generator: np.random.Generator, chosen: Floats | None = None) -> Draw:
    """Accounts with all their decisions, drawn with replacement, what is chosen for them, and what they pay."""
    from scipy.special import ndtr

    order = np.argsort(pool.account, kind="stable")
    accounts, begin, count = np.unique(pool.account[order], return_index=True, return_counts=True)
    drawn = generator.integers(0, len(accounts), round(DECISIONS / count.mean()))
    rows = np.concatenate([order[begin[one] : begin[one] + count[one]] for one in drawn])
    account = np.repeat(np.arange(len(drawn)), count[drawn])
    chances = (pool.chosen if chosen is None else chosen)[rows]
    n = len(rows)
    action = np.minimum((generator.random(n)[:, None] > np.cumsum(chances, axis=1)).sum(axis=1), chances.shape[1] - 1)
    everyone = np.arange(n)
    hidden = np.sqrt(SHARED) * generator.standard_normal(len(drawn))[account]
    luck = ndtr(hidden + np.sqrt(1 - SHARED) * generator.standard_normal(n))
    paid = luck < pool.p_pay[rows, action]
    size = generator.gamma(2.0, 0.5, len(drawn))[account]
    logged = Logged(action, chances[everyone, action], account, paid)
    return Draw(rows, logged, np.where(paid, pool.amount[rows] * size, 0.0))


def _nuisance(pool: Pool, draw: Draw) -> tuple[Floats, Floats]:
    """What is expected of each action, `(n, n_actions)`: the probability of a payment, and the amount."""
    learner = Learner("binary", QUICK_TREES, (0,), SEED, 1)
    fold, matrix = draw.logged.account % 2, pool.matrix[draw.rows]
    p_pay = expected_payment(learner, matrix, draw.logged, fold, len(pool.actions), _nothing)
    amount = expected_amount(learner, matrix, draw.logged, draw.amount, fold, _nothing)
    return p_pay, p_pay * amount[:, None]


def _constant(pool: Pool, action: str) -> Floats:
    target = np.zeros((len(pool.matrix), len(pool.actions)))
    target[:, pool.place(action)] = 1.0
    return target


def _learned(pool: Pool, generator: np.random.Generator) -> Floats:
    """The cheap action of the highest net value by a model of a draw of its own, asked about the whole pool."""
    from scipy.special import expit

    draw = _draw(pool, generator)
    learner = Learner("binary", TRUTH_TREES, (0, len(FEATURES)), SEED, 1)
    matrix = np.column_stack([pool.matrix[draw.rows], draw.logged.action.astype(np.float32)])
    model = fit(learner, matrix, draw.logged.paid.astype(float), None, _nothing)
    n_actions = len(pool.actions)
    raw = raw_by_action(model, pool.matrix, n_actions, 1)
    commission, cost = pool.net
    value = np.where(
        np.isin(pool.actions, CHEAP), expit(raw) * (pool.amount * commission)[:, None] - cost, -np.inf
    )  # fmt: skip
    return np.asarray(np.eye(n_actions)[value.argmax(axis=1)], dtype=np.float64)


def _weighted(draw: Draw, outcome: Floats, target: Floats, normalised: bool) -> Estimate:
    """The value by inverse-propensity weights alone, with the interval by account; self-normalised or not."""
    weight = draw.logged.weights(target)
    if not normalised:
        return estimate(weight * outcome, draw.logged.account)
    mean = float((weight * outcome).sum() / weight.sum())
    spread = estimate(weight * (outcome - mean) / weight.mean(), draw.logged.account)
    return Estimate(mean, spread.error, mean - QUANTILE * spread.error, mean + QUANTILE * spread.error)


#: The ways of valuing a policy that are compared.
OURS, GAIN, IPS, SNIPS = WAYS = ("doubly robust", "gain", "inverse propensity", "self-normalised")


def _coverage(pool: Pool, policies: dict[str, Floats], generator: np.random.Generator) -> list[Figure]:
    """How often each interval, and each lower bound, holds the truth."""
    truth = {"pay rate": pool.p_pay, "money": pool.p_pay * pool.amount[:, None]}
    found: dict[tuple[str, str, str], list[Estimate]] = {}
    refused = dict.fromkeys(policies, 0)
    with bars() as progress, line(progress, "Replications", REPLICATIONS) as advance:
        for _ in range(REPLICATIONS):
            draw = _draw(pool, generator)
            outcome = {"pay rate": draw.logged.paid.astype(np.float64), "money": draw.amount}
            nuisance = dict(zip(outcome, _nuisance(pool, draw), strict=True))
            for policy, choices in policies.items():
                target = choices[draw.rows]
                refused[policy] += refusal(support_of(draw.logged, target)) is not None
                for what, followed in outcome.items():
                    valued = compare(draw.logged, followed, target, nuisance[what])
                    found.setdefault((policy, what, OURS), []).append(valued.policy)
                    found.setdefault((policy, what, GAIN), []).append(valued.gain)
                    found.setdefault((policy, what, IPS), []).append(_weighted(draw, followed, target, False))
                    found.setdefault((policy, what, SNIPS), []).append(_weighted(draw, followed, target, True))
            advance()
    figures = []
    for policy, choices in policies.items():
        figures.append(Figure(f"refused: {policy}", refused[policy] / REPLICATIONS, "share", "0 wanted"))
        for what, surface in truth.items():
            value = float((choices * surface).sum(axis=1).mean())
            gain = value - float((pool.chosen * surface).sum(axis=1).mean())
            figures += _figures(f"{what} of {policy}", {way: found[policy, what, way] for way in WAYS}, value, gain)
    return figures


def _figures(title: str, found: dict[str, list[Estimate]], value: float, gain: float) -> list[Figure]:
    """Coverage and width of each way for one outcome of one policy, whose true value and gain are given."""
    ours, gains = found[OURS], found[GAIN]
    nominal, bound = "0.95 nominal", "0.975 nominal"
    figures = [
        Figure(f"coverage, {title}", _share_held(ours, value), "share", nominal),
        Figure(f"coverage of the gain, {title}", _share_held(gains, gain), "share", nominal),
        Figure(f"lower bound holds, {title}", _share_below(ours, value), "share", bound),
        Figure(f"lower bound of the gain holds, {title}", _share_below(gains, gain), "share", bound),
        Figure(f"bias, {title}", float(np.mean([one.value for one in ours])) / value - 1, "of the value", "0 in truth"),
        Figure(f"true gain, {title}", gain / (value - gain), "of the log's value"),
        Figure(f"half width by true gain, {title}", _half_width(gains) / abs(gain), "ratio"),
    ]
    for way in (IPS, SNIPS):
        figures.append(Figure(f"coverage by {way} weights, {title}", _share_held(found[way], value), "share", nominal))
        wider = _half_width(found[way]) / _half_width(ours)
        figures.append(Figure(f"width by {way} weights, {title}", wider, "ratio", OURS))
    return figures


def _half_width(found: list[Estimate]) -> float:
    return float(np.mean([one.high - one.low for one in found])) / 2


def _share_held(found: list[Estimate], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def _share_below(found: list[Estimate], truth: float) -> float:
    return float(np.mean([one.low <= truth for one in found]))


# ------------------------------------------------------------------------------------------------ refusals


def _refusals(pool: Pool, target: Floats, generator: np.random.Generator) -> list[Figure]:
    """How often a log that cannot tell is refused."""
    rule = np.eye(len(pool.actions))[pool.chosen.argmax(axis=1)]
    hardly = _explored(rule, pool.actions, HARDLY_EXPLORED)
    visits = _constant(pool, "visit")
    log_by_rule = [_draw(pool, generator, hardly) for _ in range(REFUSED_REPLICATIONS)]
    log_explored = [_draw(pool, generator) for _ in range(REFUSED_REPLICATIONS)]
    cases = {
        "propensities nearly certain": [(draw.logged, target[draw.rows]) for draw in log_by_rule],
        "propensities nearly certain, and estimated": [
            (_estimated(pool, draw), target[draw.rows]) for draw in log_by_rule
        ],
        "visits only": [(draw.logged, visits[draw.rows]) for draw in log_explored],
    }
    figures = [Figure(f"refused: {name}", _share_refused(pairs), "share", "1 wanted") for name, pairs in cases.items()]
    return [*figures, *_unnoticed(pool, target, log_explored)]


def _unnoticed(pool: Pool, target: Floats, draws: list[Draw]) -> list[Figure]:
    """What becomes of estimated propensities where the log explores: which of them are noticed, and what is said."""
    value = float((target * pool.p_pay).sum(axis=1).mean())
    refused, told = 0, []
    for draw in draws:
        logged, wanted = _estimated(pool, draw), target[draw.rows]
        refused += refusal(support_of(logged, wanted)) is not None
        told.append(compare(logged, logged.paid.astype(np.float64), wanted, _nuisance(pool, draw)[0]).policy)
    name = "estimated in a log that explores"
    return [
        Figure(f"refused: {name}", refused / len(draws), "share", "cannot be known from the log"),
        Figure(f"coverage, {name}", _share_held(told, value), "share", f"0.95 nominal, {len(draws)} draws"),
        Figure(f"bias, {name}", float(np.mean([one.value for one in told])) / value - 1, "of the value", "0 in truth"),
    ]


def _share_refused(pairs: list[tuple[Logged, Floats]]) -> float:
    return float(np.mean([refusal(support_of(logged, target)) is not None for logged, target in pairs]))


def _estimated(pool: Pool, draw: Draw) -> Logged:
    """The log with propensities that a multinomial regression on the features found, in place of the exact ones."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.nan_to_num(pool.matrix[draw.rows], nan=-1.0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)).fit(features, draw.logged.action)
    columns = np.searchsorted(model.classes_, draw.logged.action)
    propensity = model.predict_proba(features)[np.arange(len(features)), columns]
    return replace(draw.logged, propensity=propensity)


# ------------------------------------------------------------------------------------------------ a world's own truth


def _world_truth(world: World, histories: Histories) -> list[Figure]:
    """What calling and waiting are worth by the log of the last 90 days, and by the truth at the world's end."""
    truth = world.truth["actions"].pivot(index="account_id", columns="action", values="p_pay")
    allowed = world.truth["actions"].pivot(index="account_id", columns="action", values="allowed")["call"].astype(bool)
    calling = truth["call"].where(allowed, truth["none"])
    ends = {"always:call": float(calling.mean()), "always:none": float(truth["none"].mean())}
    test_end = matured_end(histories, 30, payments_end(histories, environment.now()))
    window = Window(test_end - 90 * DAY, None, environment.now(), 1_000_000)
    with bars() as progress:
        found = {name: evaluate_named(histories, name, None, window, progress).outcomes[PAY_RATE] for name in ends}
    figures = []
    for name, at_end in ends.items():
        figures.append(Figure(f"pay rate of {name} at the world's end", at_end, "share", "truth"))
        one = found[name].policy
        against = f"from the log, {one.low:.4f} to {one.high:.4f}"
        figures.append(Figure(f"pay rate of {name} at decisions", one.value, "share", against))
    by_log = found["always:call"].policy.value / found["always:none"].policy.value
    by_truth = ends["always:call"] / ends["always:none"]
    figures.append(Figure("pay rate of calling by that of waiting", by_log, "ratio", f"truth {by_truth:.3f}"))
    return figures


def _nothing() -> None:
    """Progress is shown by replications."""


if __name__ == "__main__":
    sys.exit(main())
