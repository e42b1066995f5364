"""The training run: from packed histories to a bundle, and what it reaches on later, unseen time."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from features.catalog.grammar import Category
from features.compute import FeatureSet, feature_matrix, known_categories, prepare
from features.contract import NO_CHANNEL
from features.errors import HistoryError
from features.histories import Histories, contact_kinds
from features.progress import line
from features.selection import available, own_history
from features.units import DAY, Rows, format_instant, from_money
from training.bundle import FRACTION, P_PAY, PAYMENT, Bundle, Floats, Links, Manifest, Matrix
from training.decisions import are_logged, decisions_between
from training.effects import Effects, learn_effects
from training.fit import raw_scores
from training.heads import Heads, Sample, fit_heads
from training.holdout import Holdout, evaluate
from training.hours import learn_hours
from training.leaks import Asked, ask_attributes, find_suspects
from training.metrics import expected_auc, expected_brier
from training.moments import Cuts, Moments, account_folds, cut_time, entry_moments, is_paid, sample_moments, stride_for
from training.promises import measure_promises, with_promises
from training.reference import Reference, reference_of
from training.settings import TrainingSettings, settings_of_model

#: Fewer paying accounts than this tell nothing apart.
FEWEST_PAYERS = 30


@dataclass(frozen=True)
class Task:
    """What is to be learned: where the data came from, over which horizon, and until when."""

    horizon_days: int
    until: int | None
    now: int
    data_digest: str
    commit: str
    target: str = PAYMENT


@dataclass(frozen=True)
class Trained:
    """A bundle with its holdout; `holdout` is None where no outcome has matured after the cut."""

    bundle: Bundle
    holdout: Holdout | None
    cuts: Cuts
    counts: dict[str, int]


def train(histories: Histories, settings: TrainingSettings, task: Task, progress: Progress) -> Trained:
    """Train on what was known before the cut, evaluate on what came after it.

    Raises:
        HistoryError: the history is too short, or holds too few paying accounts.
    """
    cuts = cut_time(histories, task.horizon_days, task.until, task.now)
    stride = stride_for(histories, cuts, task.horizon_days, settings.moments.max_moments, settings.seed)
    with line(progress, "Features of training moments", 1):
        sample = training_sample(histories, cuts, stride, settings, task.horizon_days)
    fold = account_folds(histories, settings.folds.count, settings.seed)
    heads = fit_heads(sample, fold[sample.moments.account], task.horizon_days, settings, progress)
    effects = channel_effects(histories, sample.features, heads, cuts, task.horizon_days, settings, progress)
    bundle = put_together(histories, sample, heads, effects, cuts, settings, task)
    bundle = with_promises(bundle, histories, sample, cuts, settings, progress)
    holdout = evaluate(bundle, histories, sample.features, cuts, max(stride, task.horizon_days), settings)
    counts = counts_of(sample.moments, is_paid(sample.moments, settings.payment), holdout) | {"stride_days": stride}
    reached = figures_of(bundle, histories, sample.features, holdout, cuts, settings)
    bundle = replace(bundle, manifest=replace(bundle.manifest, holdout=reached))
    learned = Asked(sample, is_paid(sample.moments, settings.payment))
    attributes = ask_attributes(histories, sample.features.categories, cuts, task.horizon_days, settings)
    suspects = find_suspects(bundle, learned, attributes, settings)
    return Trained(replace(bundle, manifest=replace(bundle.manifest, suspects=suspects)), holdout, cuts, counts)


def counts_of(moments: Moments, paid: npt.NDArray[np.bool_], holdout: Holdout | None) -> dict[str, int]:
    """How much was learned from, and how much it was tried on."""
    return {
        "training_moments": len(moments),
        "training_accounts": len(np.unique(moments.account)),
        "training_payers": len(np.unique(moments.account[paid])),
        "test_moments": len(holdout.p_pay) if holdout else 0,
    }


def figures_of(
    bundle: Bundle, histories: Histories, features: FeatureSet, holdout: Holdout | None, cuts: Cuts,
    settings: TrainingSettings,
) -> dict[str, float]:  # fmt: skip
    """What the manifest says of unseen time: the holdout's figures, and those of promises; none without a holdout."""
    if holdout is None:
        return {}
    return holdout.metrics | measure_promises(bundle, histories, features, cuts, settings)


def training_sample(
    histories: Histories, cuts: Cuts, stride: int, settings: TrainingSettings, horizon_days: int
) -> Sample:
    """Draw the training moments and work out their features, with the categories that were known by the cut.

    Raises:
        HistoryError: they hold too few paying accounts.
    """
    categories = known_categories(histories, cuts.until)
    features = prepare(histories.settings, feature_names(histories, cuts.until, settings), categories)
    window = (cuts.begin, cuts.train_end)
    moments = sample_moments(histories, *window, stride, horizon_days, cuts.until, settings.seed)
    n_section = len(moments)
    if settings.moments.entry:
        moments = moments.and_then(entry_moments(histories, *window, horizon_days, cuts.until))
    is_section = np.arange(len(moments)) < n_section
    _check_payers(moments, is_section, settings)
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    return Sample(features, moments, matrix, is_section)


def feature_names(histories: Histories, until: int, settings: TrainingSettings) -> tuple[str, ...]:
    """What may be learned from: what had occurred by the cut; rates of the whole portfolio where they are wanted."""
    names = available(histories, until)
    return names if settings.features.portfolio_rates else own_history(histories.settings, names)


def channel_effects(
    histories: Histories, features: FeatureSet, heads: Heads, cuts: Cuts, horizon_days: int,
    settings: TrainingSettings, progress: Progress,
) -> Effects:  # fmt: skip
    """What choosing a channel does, from the decisions whose outcomes matured before the cut."""
    decided = decisions_between(histories, cuts.begin, cuts.train_end, horizon_days, cuts.until, settings)
    with line(progress, "Effect of each channel", settings.folds.count * settings.propensity.trees) as advance:
        return learn_effects(histories, decided, features, heads.held_out, settings, advance)


def put_together(
    histories: Histories, sample: Sample, heads: Heads, effects: Effects, cuts: Cuts, settings: TrainingSettings,
    task: Task,
) -> Bundle:  # fmt: skip
    """Put the parts together, with bands and percentiles fixed on the latest cross-section."""
    models, levels = {P_PAY: heads.probability.model}, {"p_pay": heads.probability.level}
    if heads.fraction is not None:
        models[FRACTION], levels["fraction"] = heads.fraction.model, heads.fraction.level
    links = Links(heads.probability.link, heads.fraction.link if heads.fraction else None, effects.fitted)
    as_of = sample.moments.as_of
    latest = sample.is_section & (as_of > as_of[sample.is_section].max() - task.horizon_days * DAY)
    manifest = Manifest(
        portfolio=histories.settings,
        horizon_days=task.horizon_days,
        features=sample.features.names,
        categories=dict(sample.features.categories),
        support=effects.support,
        usual_channel=_usual_channel(histories, cuts.until),
        band_thresholds=tuple(np.quantile(heads.p_pay[latest], np.arange(9, 0, -1) / 10).tolist()),
        value_percentiles=(),
        trained_until=format_instant(cuts.until),
        data_until=format_instant(cuts.data_end),
        data_digest=task.data_digest,
        settings=settings_of_model(settings),
        levels=levels,
        decisions_logged=are_logged(histories, cuts.until),
        levels_until=format_instant(int(as_of[sample.is_section].max())),
        versions=versions_of_libraries(),
        commit=task.commit,
        target=task.target,
    )
    reference, hours = _reference(sample, heads, latest, settings), learn_hours(histories, cuts.until)
    bundle = Bundle(manifest, links, models, reference=reference, hours=hours)
    value = _net_value(bundle, histories, sample, heads, latest)
    percentiles = tuple(np.quantile(value, np.arange(101) / 100).tolist())
    return replace(bundle, manifest=replace(manifest, value_percentiles=percentiles))


def reference_for(
    features: FeatureSet, matrix: Matrix, scores: Mapping[str, Floats], account: Rows, ranked: Floats
) -> Reference:
    """How features and scores are distributed in a cross-section of `n` moments.

    Args:
        features: the columns of `matrix`.
        matrix: `(n, n_features)`.
        scores: `(n,)` each: of the very model, as later ones will be.
        account: `(n,)` whose moments these are.
        ranked: `(n,)` probabilities that know no outcome of the rows, of which an AUC is expected.
    """
    n_values = {
        feature.name: len(features.categories[feature.measure.column])
        for feature in features.features
        if isinstance(feature.measure, Category)
    }
    columns = dict(zip(features.names, matrix.T, strict=True))
    promised = (expected_auc(ranked), expected_brier(ranked))
    return reference_of(columns, n_values, scores, len(np.unique(account)), *promised)


def _reference(sample: Sample, heads: Heads, rows: npt.NDArray[np.bool_], settings: TrainingSettings) -> Reference:
    """The reference at training: held-out scores, which are of several models, only say what ranking to expect."""
    matrix = sample.matrix[rows]
    p_pay = heads.probability.link(raw_scores(heads.probability.model, matrix, settings.threads))
    scores = {"p_pay": p_pay}
    if heads.fraction is not None:
        scores["expected_amount"] = p_pay * heads.amount_if_paid[rows]
    return reference_for(sample.features, matrix, scores, sample.moments.account[rows], heads.p_pay[rows])


def _net_value(
    bundle: Bundle, histories: Histories, sample: Sample, heads: Heads, rows: npt.NDArray[np.bool_]
) -> Floats:
    """What accounts are ordered by: the value of the best action above waiting, else the expected commission.

    Labels say nothing of money: there it is the probability.
    """
    manifest = bundle.manifest
    if manifest.target != PAYMENT:
        return heads.p_pay[rows]
    commission = histories.accounts.commission_rate[sample.moments.account[rows]]
    cost = {channel.name: channel.cost for channel in histories.settings.channels} | {NO_CHANNEL: 0.0}
    if not manifest.supported:
        expected = heads.p_pay[rows] * heads.amount_if_paid[rows]
        return expected * commission - cost.get(manifest.usual_channel, 0.0)
    found = bundle.predict(sample.matrix[rows], from_money(sample.moments.balance[rows]))
    value = found.expected_amount_by_action * commission[:, None] - np.array(
        [cost[action] for action in manifest.actions]
    )
    told = [manifest.actions.index(action) for action in manifest.supported]
    return np.asarray(value[:, told].max(axis=1) - value[:, manifest.actions.index(NO_CHANNEL)])


def _usual_channel(histories: Histories, until: int) -> str:
    """The channel of most attempts known before the cut; the first channel where there was none."""
    kinds = contact_kinds(histories.settings.channel_names)
    seen = histories.contacts.kind[histories.contacts.known < until]
    count = dict.fromkeys(histories.settings.channel_names, 0)
    for kind, times in zip(kinds, np.bincount(seen, minlength=len(kinds)), strict=True):
        if kind["direction"] == "outbound":
            count[kind["channel"]] += int(times)
    return max(count, key=lambda channel: count[channel])


def _check_payers(moments: Moments, is_section: npt.NDArray[np.bool_], settings: TrainingSettings) -> None:
    """Refuse a sample that has too few paying accounts, or none in the cross-section, which sets the levels."""
    paid = is_paid(moments, settings.payment)
    payers = len(np.unique(moments.account[paid]))
    if payers < FEWEST_PAYERS:
        raise HistoryError(
            f"training needs at least {FEWEST_PAYERS} accounts that paid within the horizon, got {payers} among "
            f"{len(np.unique(moments.account))} accounts; give more history, or a longer --horizon"
        )
    if not (paid & is_section).any():
        raise HistoryError(
            f"training needs payments after the day of placement, got none after {is_section.sum():,} later moments; "
            f"give more history, or a longer --horizon"
        )


def versions_of_libraries() -> dict[str, str]:
    """The versions of what decides a bundle."""
    names = ("recoup", "lightgbm", "numpy", "scikit-learn", "pandas", "numba")
    return {name: version(name) for name in names} | {"python": platform.python_version()}
