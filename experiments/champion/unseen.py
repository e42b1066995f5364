"""Two models asked about the same time, which neither has seen: whether they can be, which time it is, the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from rich.progress import Progress

from experiments.champion.comparison import (
    REPEATS,
    Comparison,
    Entrant,
    Estimate,
    Paired,
    Question,
    compare_holdouts,
)
from experiments.champion.gate import audit_columns_read
from experiments.policy import evaluation as policy
from experiments.watch.scored import payment_settings
from features.errors import BundleError, HistoryError, MomentError
from features.histories import Histories
from features.progress import line
from features.settings import PortfolioSettings
from features.units import DAY, format_instant, parse_instant
from serving.scoring import Scorer, check_match, prepare_scorer
from training.bundle import PAYMENT, Bundle
from training.holdout import Holdout, evaluate
from training.labels import Labels, measure_labels
from training.moments import Cuts, matured_end, payments_end, sample_moments
from training.settings import TrainingSettings, read_training_settings

#: The figure that holds what either model's choices would have earned per decision.
POLICY_VALUE = "policy_net_value"
#: Decisions beyond so many are drawn by account; the interval of the value is narrow long before.
MOST_DECISIONS = 200_000


@dataclass(frozen=True)
class Asked:
    """A comparison as it is asked for: of which portfolio, from when on (the later cut when None), and when.

    `portfolio` is as declared, audit columns included; `data_digest` is kept with the comparison. `labels` are what
    models of labels are asked about; all of those that there are.
    """

    portfolio: PortfolioSettings
    since: int | None
    now: int
    data_digest: str
    labels: Labels | None = None


def check_pair(a: Bundle, b: Bundle, target: str = PAYMENT) -> None:
    """Refuse two models that do not answer the same question, that of `target`, with `BundleError`."""
    if a.label == b.label:
        raise BundleError(f"two models are compared, got {a.label} twice; train another one, or name two versions")
    for bundle in (a, b):
        if bundle.manifest.target != target:
            raise BundleError(
                f"models are compared by what they learned, {a.label} and {b.label} by {target}s, but {bundle.label} "
                f"learned {bundle.manifest.target}s; models of labels are compared with --labels, others without"
            )
    days = [bundle.manifest.horizon_days for bundle in (a, b)]
    if days[0] != days[1]:
        raise BundleError(
            f"two models are compared over the same horizon, got {days[0]} days of {a.label} and {days[1]} days of "
            f"{b.label}; train one of them with the other's --horizon"
        )
    if target == PAYMENT and a.manifest.settings.get("payment") != b.manifest.settings.get("payment"):
        raise BundleError(
            f"two models are compared on what both take for a payment, but {a.label} and {b.label} were trained with "
            f"different settings of [payment]; train one of them with the other's"
        )


def compare_on(
    histories: Histories,
    bundles: tuple[Bundle, Bundle],
    asked: Asked,
    progress: Progress,
) -> Comparison:
    """Ask two models about the time from the later of their cuts on, and compare what they say with what happened.

    Args:
        histories: packed histories of a whole portfolio.
        bundles: the one that stands, and the one that would follow it; `check_pair` has passed them.
        asked: what is asked.
        progress: where to show it.

    Raises:
        BundleError: a model reads what this portfolio or this version does not have, or a column kept for audits.
        HistoryError: no outcome has matured since, or too few accounts have paid, or did not.
        MomentError: `since` is before a cut.
    """
    scorers = [_scorer(bundle, histories, asked.portfolio) for bundle in bundles]
    settings = _settings(bundles[0])
    begin = _begin(bundles, asked.since)
    if asked.labels is None:
        cuts = _until_matured(histories, begin, bundles[0].manifest.horizon_days, asked.now)
        entrants = _asked_of_payments(histories, scorers, cuts, settings, progress)
        comparison = _compared(entrants, asked, (cuts.until, cuts.test_end), settings, progress)
        return _with_policy_value(comparison, histories, scorers, cuts, settings, progress)
    unseen = _unseen_labels(asked.labels, begin)
    entrants = _asked_of_labels(histories, scorers, unseen, settings, progress)
    return _compared(entrants, asked, (begin, int(unseen.as_of.max())), settings, progress)


def _asked_of_payments(
    histories: Histories, scorers: Sequence[Scorer], cuts: Cuts, settings: TrainingSettings, progress: Progress
) -> list[Entrant]:
    """What each model says of one moment of each account per horizon."""
    stride = _stride(histories, cuts, scorers[0].bundle.manifest.horizon_days, settings)
    entrants = []
    for scorer in scorers:
        with line(progress, f"Asking {scorer.bundle.label}", 1):
            holdout = evaluate(scorer.bundle, histories, scorer.features, cuts, stride, settings)
        entrants.append(Entrant(scorer.bundle, _required(holdout, cuts)))
    return entrants


def _asked_of_labels(
    histories: Histories, scorers: Sequence[Scorer], unseen: Labels, settings: TrainingSettings, progress: Progress
) -> list[Entrant]:
    """What each model says of the moments of labels."""
    entrants = []
    for scorer in scorers:
        with line(progress, f"Asking {scorer.bundle.label}", 1):
            holdout = measure_labels(scorer.bundle, histories, scorer.features, unseen, settings)
        entrants.append(Entrant(scorer.bundle, holdout))
    return entrants


def _compared(
    entrants: Sequence[Entrant], asked: Asked, window: tuple[int, int], settings: TrainingSettings, progress: Progress
) -> Comparison:
    manifest = entrants[0].bundle.manifest
    since, until = map(format_instant, window)
    question = Question(manifest.horizon_days, since, until, asked.data_digest, asked.portfolio, manifest.target)
    with line(progress, "Drawing accounts anew", REPEATS) as advance:
        return compare_holdouts(entrants[0], entrants[1], question, settings.seed, advance)


def _with_policy_value(
    comparison: Comparison, histories: Histories, scorers: Sequence[Scorer], cuts: Cuts, settings: TrainingSettings,
    progress: Progress,
) -> Comparison:  # fmt: skip
    """The comparison with what either model's choices would have earned, or with why that cannot be told."""
    asked = policy.Question(
        cuts.until, cuts.test_end, comparison.question.horizon_days, cuts.data_end, MOST_DECISIONS
    )  # fmt: skip
    a, b = (policy.policy_of(scorer, histories, settings.threads, progress) for scorer in scorers)
    try:
        found = policy.compare_policies(histories, asked, (a, b), settings, progress)
    except HistoryError as error:
        return replace(comparison, no_policy_value=str(error))
    value = Paired(*(Estimate(each.value, each.low, each.high) for each in found))
    return replace(comparison, figures={**comparison.figures, POLICY_VALUE: value})


def _until_matured(histories: Histories, begin: int, horizon_days: int, now: int) -> Cuts:
    """Unseen time, to the last moment whose outcome has matured."""
    data_end = payments_end(histories, now)
    return Cuts(begin, begin, begin, matured_end(histories, horizon_days, data_end), data_end)


def _begin(bundles: Sequence[Bundle], since: int | None) -> int:
    """The later cut, or `since` where that is later still."""
    later = max(bundles, key=lambda bundle: parse_instant(bundle.manifest.trained_until))
    cut = parse_instant(later.manifest.trained_until)
    if since is not None and since < cut:
        raise MomentError(
            f"--since is a time that neither model has learned from, got {format_instant(since)}, but {later.label} "
            f"learned until {later.manifest.trained_until}; give that or later"
        )
    return since or cut


def _unseen_labels(labels: Labels, begin: int) -> Labels:
    unseen = labels.take(labels.as_of >= begin)
    if not len(unseen):
        raise HistoryError(
            f"models are compared on labels that neither has learned from, but none is of {format_instant(begin)} or "
            f"later: the last is of {format_instant(int(labels.as_of.max()))}; give later labels, or train both with "
            f"an earlier --until"
        )
    return unseen


def _scorer(bundle: Bundle, histories: Histories, declared: PortfolioSettings) -> Scorer:
    """The bundle, ready to be asked about these histories."""
    audit = audit_columns_read(bundle.manifest, declared)
    if audit:
        raise BundleError(
            f"model {bundle.label} reads {', '.join(audit)}, which this portfolio keeps for audits alone; train without"
        )
    scorer = prepare_scorer(bundle)
    check_match(scorer, histories.settings)
    return scorer


def _settings(bundle: Bundle) -> TrainingSettings:
    """The default settings, with what counts as a payment to the models."""
    return msgspec.structs.replace(read_training_settings(), payment=payment_settings(bundle))


def _stride(histories: Histories, cuts: Cuts, horizon_days: int, settings: TrainingSettings) -> int:
    """A horizon, so that no payment counts twice; wider where there would be too many moments."""
    probe = sample_moments(
        histories, cuts.until, cuts.test_end, horizon_days, horizon_days, cuts.data_end, settings.seed
    )  # fmt: skip
    return max(horizon_days, -(-len(probe) * horizon_days // settings.moments.max_moments))


def _required(holdout: Holdout | None, cuts: Cuts) -> Holdout:
    if holdout is None:
        last = format_instant(cuts.test_end - cuts.test_end % DAY)
        raise HistoryError(
            f"models are compared on outcomes that have matured, but none has since {format_instant(cuts.until)}: "
            f"the last moment whose outcome has is {last}; let more time pass, or train both with an earlier --until"
        )
    return holdout
