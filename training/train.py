"""The training run: from packed histories to a bundle, and what it reaches on later, unseen time."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import Progress

from features.compute import FeatureSet, feature_matrix, known_categories, prepare
from features.contract import NO_CHANNEL
from features.errors import HistoryError
from features.histories import Histories, contact_kinds
from features.units import DAY, format_instant, from_money
from training.bundle import CHANNEL, FRACTION, P_PAY, Bundle, Floats, Links, Manifest, Matrix, band_of
from training.calibration import exponential_link, sigmoid_link
from training.effects import Effects, learn_effects, sample_decisions
from training.fit import Learner, account_folds, fit, held_out
from training.metrics import auc, by_band, money, ranking_and_calibration
from training.moments import Cuts, Moments, cut_time, entry_moments, is_paid, sample_moments, stride_for
from training.settings import TrainingSettings

#: Fewer paying accounts than this tell nothing apart.
FEWEST_PAYERS = 30
#: A balance below this, in the main unit, counts as this where fractions of it are learned.
SMALLEST_BALANCE = 1.0


@dataclass(frozen=True)
class Task:
    """What is to be learned: where the data came from, over which horizon, and until when."""

    horizon_days: int
    until: int | None
    now: int
    data_digest: str
    commit: str


@dataclass(frozen=True)
class Holdout:
    """Predictions on later, unseen time beside what happened, `(n,)` each; money in the main unit."""

    moments: Moments
    p_pay: Floats
    expected_amount: Floats
    paid: npt.NDArray[np.bool_]
    net_amount: Floats
    bands: pd.DataFrame
    metrics: dict[str, float]


@dataclass(frozen=True)
class Trained:
    """A bundle with its holdout; `holdout` is None where no outcome has matured after the cut."""

    bundle: Bundle
    holdout: Holdout | None
    cuts: Cuts
    counts: dict[str, int]


@dataclass(frozen=True)
class Heads:
    """The models of payment and money, with the held-out predictions that set bands and percentiles."""

    links: Links
    models: dict[str, Any]
    p_pay: Floats
    amount_if_paid: Floats


def train(histories: Histories, settings: TrainingSettings, task: Task, progress: Progress) -> Trained:
    """Train on what was known before the cut, evaluate on what came after it.

    Raises:
        HistoryError: the history is too short, or holds too few paying accounts.
    """
    cuts = cut_time(histories, task.horizon_days, task.until, task.now)
    stride = stride_for(histories, cuts, task.horizon_days, settings.moments.max_moments, settings.seed)
    categories = known_categories(histories, histories.settings)
    features = prepare(histories.settings, None, categories)
    window = (task.horizon_days, cuts.until, settings.seed)
    section = sample_moments(histories, cuts.begin, cuts.train_end, stride, *window)
    entry = entry_moments(histories, cuts.begin, cuts.train_end, task.horizon_days, cuts.until)
    moments = _joined(section, entry) if settings.moments.entry else section
    is_section = np.arange(len(moments)) < len(section)
    _check_payers(moments, settings)
    with _task(progress, "Features of training moments", 1) as advance:
        matrix = feature_matrix(histories, moments.account, moments.as_of, features)
        advance()
    heads = _fit_heads(matrix, moments, is_section, features, len(histories), settings, progress)
    effects = _fit_effects(histories, features, cuts, task.horizon_days, settings, progress)
    bundle = _bundle(
        histories, features, heads, effects, matrix[is_section], moments.take(is_section), cuts, settings, task
    )
    holdout = _evaluate(bundle, histories, features, cuts, stride, settings, task)
    counts = {
        "training_moments": len(moments),
        "stride_days": stride,
        "test_moments": len(holdout.p_pay) if holdout else 0,
    }
    manifest = replace(bundle.manifest, holdout=holdout.metrics if holdout else {})
    return Trained(replace(bundle, manifest=manifest), holdout, cuts, counts)


def _fit_heads(
    matrix: Matrix, moments: Moments, is_section: npt.NDArray[np.bool_], features: FeatureSet, n_accounts: int,
    settings: TrainingSettings, progress: Progress,
) -> Heads:  # fmt: skip
    """Fit the probability on all moments, the fraction of the balance on paid ones; calibrate on held-out folds."""
    paid = is_paid(moments, settings.payment)
    fold = account_folds(moments.account, n_accounts, settings.folds.count, settings.seed)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    balance = np.maximum(from_money(moments.balance), SMALLEST_BALANCE)

    learner = Learner("binary", settings.p_pay, categories, settings.seed, settings.threads)
    with _task(progress, "Probability of payment", (settings.folds.count + 1) * settings.p_pay.trees) as advance:
        raw = held_out(learner, matrix, paid.astype(np.float64), None, fold, advance)
        p_model = fit(learner, matrix, paid.astype(np.float64), None, advance)
    latest = _latest(moments, paid, is_section, settings.folds.latest_payers)
    p_link = sigmoid_link(raw[is_section], paid[is_section], latest[is_section])

    learner = Learner("gamma", settings.fraction, categories, settings.seed, settings.threads)
    payers = np.flatnonzero(paid)
    fraction = from_money(moments.net_amount[payers]) / balance[payers]
    weight = balance[payers] / balance[payers].mean()
    with _task(progress, "Amount paid", (settings.folds.count + 1) * settings.fraction.trees) as advance:
        raw_fraction = held_out(learner, matrix[payers], fraction, weight, fold[payers], advance)
        f_model = fit(learner, matrix[payers], fraction, weight, advance)
    in_section = is_section[payers]
    modelled = np.exp(raw_fraction[in_section]) * from_money(moments.balance[payers][in_section])
    # Net of the windows in which more was reversed than paid, which no fraction above zero can hold.
    factor = float(from_money(moments.net_amount[is_section]).sum() / modelled.sum())
    f_link = exponential_link(raw_fraction, max(factor, 0.0))
    whole = np.asarray(f_model.predict(matrix, raw_score=True, num_threads=settings.threads))
    return Heads(
        Links(p_link, f_link),
        {P_PAY: p_model, FRACTION: f_model},
        p_link(raw)[is_section],
        (f_link(whole) * from_money(moments.balance))[is_section],
    )


def _fit_effects(
    histories: Histories, features: FeatureSet, cuts: Cuts, horizon_days: int, settings: TrainingSettings,
    progress: Progress,
) -> Effects:  # fmt: skip
    decided = sample_decisions(histories, cuts.begin, cuts.train_end, horizon_days, cuts.until, settings)
    with _task(progress, "Effect of each channel", (settings.folds.count + 1) * settings.channel.trees) as advance:
        return learn_effects(histories, decided, features, settings, advance)


def _bundle(
    histories: Histories, features: FeatureSet, heads: Heads, effects: Effects, matrix: Matrix, moments: Moments,
    cuts: Cuts, settings: TrainingSettings, task: Task,
) -> Bundle:  # fmt: skip
    """Put the parts together, with bands and percentiles fixed on the latest cross-section."""
    models = heads.models | ({CHANNEL: effects.model} if effects.model is not None else {})
    links = replace(heads.links, channel=effects.link, action_factor=effects.action_factor)
    latest = moments.as_of > moments.as_of.max() - task.horizon_days * DAY
    manifest = Manifest(
        portfolio=histories.settings,
        horizon_days=task.horizon_days,
        features=features.names,
        categories=dict(features.categories),
        support=effects.support,
        usual_channel=_usual_channel(histories, cuts.until),
        band_thresholds=tuple(np.quantile(heads.p_pay[latest], np.arange(9, 0, -1) / 10).tolist()),
        value_percentiles=(),
        trained_until=format_instant(cuts.until),
        data_until=format_instant(cuts.data_end),
        data_digest=task.data_digest,
        settings=msgspec.to_builtins(settings),
        versions=_versions(),
        commit=task.commit,
    )
    bundle = Bundle(manifest, links, models)
    value = _net_value(bundle, histories, matrix[latest], moments.take(latest), heads, latest)
    percentiles = tuple(np.quantile(value, np.arange(101) / 100).tolist())
    return replace(bundle, manifest=replace(manifest, value_percentiles=percentiles))


def _net_value(
    bundle: Bundle, histories: Histories, matrix: Matrix, moments: Moments, heads: Heads, latest: npt.NDArray[np.bool_]
) -> Floats:
    """What accounts are ordered by: the value of the best action above waiting, else the expected commission."""
    manifest = bundle.manifest
    commission = histories.accounts.commission_rate[moments.account]
    cost = {channel.name: channel.cost for channel in histories.settings.channels} | {NO_CHANNEL: 0.0}
    if not manifest.supported:
        expected = heads.p_pay[latest] * heads.amount_if_paid[latest]
        return expected * commission - cost.get(manifest.usual_channel, 0.0)
    found = bundle.predict(matrix, from_money(moments.balance)).expected_amount_by_action * commission[:, None]
    value = found - np.array([cost[action] for action in manifest.actions])
    told = [manifest.actions.index(action) for action in manifest.supported]
    return np.asarray(value[:, told].max(axis=1) - value[:, manifest.actions.index(NO_CHANNEL)])


def _evaluate(
    bundle: Bundle, histories: Histories, features: FeatureSet, cuts: Cuts, stride: int, settings: TrainingSettings,
    task: Task,
) -> Holdout | None:  # fmt: skip
    """Score the moments from the cut on as they would have been scored then, beside what followed."""
    # One horizon apart, so that no payment of an account is counted in two of its moments.
    apart = max(stride, task.horizon_days)
    moments = sample_moments(
        histories, cuts.until, cuts.test_end, apart, task.horizon_days, cuts.data_end, settings.seed
    )
    if not len(moments):
        return None
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    balance = from_money(moments.balance)
    found = bundle.predict(matrix, balance, settings.threads)
    paid = is_paid(moments, settings.payment)
    net_amount = from_money(moments.net_amount)
    metrics = {
        "accounts": float(len(np.unique(moments.account))),
        "moments": float(len(moments)),
        "predicted_payers": float(found.p_pay.sum()),
        "paying_accounts": float(len(np.unique(moments.account[paid]))),
        "auc_days_past_due": auc(matrix[:, features.names.index("days_past_due")].astype(np.float64), paid),
        **ranking_and_calibration(found.p_pay, paid),
        **money(found.expected_amount, net_amount),
    }
    band = band_of(found.p_pay, bundle.manifest.band_thresholds)
    table = by_band(band, found.p_pay, found.expected_amount, net_amount, balance)
    finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
    return Holdout(moments, found.p_pay, found.expected_amount, paid, net_amount, table, finite)


def _latest(
    moments: Moments, paid: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], payers: int
) -> npt.NDArray[np.bool_]:
    """The latest moments `among` some that hold so many paying accounts; all of them where there are fewer."""
    rows = np.flatnonzero(among & paid)
    rows = rows[np.argsort(-moments.as_of[rows], kind="stable")]
    _, first = np.unique(moments.account[rows], return_index=True)
    nth = np.sort(first)[min(payers, len(first)) - 1]
    return np.asarray(among & (moments.as_of >= moments.as_of[rows[nth]]))


def _usual_channel(histories: Histories, until: int) -> str:
    """The channel of most attempts known before the cut; the first channel where there was none."""
    kinds = contact_kinds(histories.settings.channel_names)
    seen = histories.contacts.kind[histories.contacts.known < until]
    count = dict.fromkeys(histories.settings.channel_names, 0)
    for kind, times in zip(kinds, np.bincount(seen, minlength=len(kinds)), strict=True):
        if kind["direction"] == "outbound":
            count[kind["channel"]] += int(times)
    return max(count, key=lambda channel: count[channel])


def _check_payers(moments: Moments, settings: TrainingSettings) -> None:
    payers = len(np.unique(moments.account[is_paid(moments, settings.payment)]))
    if payers < FEWEST_PAYERS:
        raise HistoryError(
            f"training needs at least {FEWEST_PAYERS} accounts that paid within the horizon, got {payers} among "
            f"{len(np.unique(moments.account))} accounts; give more history, or a longer --horizon"
        )


def _joined(first: Moments, second: Moments) -> Moments:
    return Moments(
        np.concatenate([first.account, second.account]),
        np.concatenate([first.as_of, second.as_of]),
        np.concatenate([first.balance, second.balance]),
        np.concatenate([first.net_amount, second.net_amount]),
    )


def _versions() -> dict[str, str]:
    names = ("recoup", "lightgbm", "numpy", "scikit-learn", "pandas", "numba")
    return {name: version(name) for name in names} | {"python": platform.python_version()}


class _task:  # noqa: N801
    """A line of progress: `with _task(...) as advance`, and `advance()` for every step done."""

    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self.progress, self.task = progress, progress.add_task(description, total=total)

    def __enter__(self) -> Callable[[], None]:
        return lambda: self.progress.advance(self.task)

    def __exit__(self, *_: object) -> None:
        self.progress.update(self.task, completed=self.progress.tasks[self.task].total)
