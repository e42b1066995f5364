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
from training.bundle import Bundle
from training.holdout import Holdout, evaluate
from training.moments import Cuts, matured_end, payments_end, sample_moments
from training.settings import TrainingSettings, read_training_settings

#: The figure that holds what either model's choices would have earned per decision.
POLICY_VALUE = "policy_net_value"
#: Decisions beyond so many are drawn by account; the interval of the value is narrow long before.
MOST_DECISIONS = 200_000


@dataclass(frozen=True)
class Asked:
    """A comparison as it is asked for: of which portfolio, from when on (the later cut when None), and when.

    `portfolio` is as declared, audit columns included; `data_digest` is kept with the comparison.
    """

    portfolio: PortfolioSettings
    since: int | None
    now: int
    data_digest: str


def check_pair(a: Bundle, b: Bundle) -> None:
    """Refuse two models that do not answer the same question, with `BundleError`."""
    if a.label == b.label:
        raise BundleError(f"two models are compared, got {a.label} twice; train another one, or name two versions")
    for bundle in (a, b):
        bundle.require_payments("a comparison")
    days = [bundle.manifest.horizon_days for bundle in (a, b)]
    if days[0] != days[1]:
        raise BundleError(
            f"two models are compared over the same horizon, got {days[0]} days of {a.label} and {days[1]} days of "
            f"{b.label}; train one of them with the other's --horizon"
        )
    if a.manifest.settings.get("payment") != b.manifest.settings.get("payment"):
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
        HistoryError: no outcome has matured since, or too few accounts have paid.
        MomentError: `since` is before a cut.
    """
    scorers = [_scorer(bundle, histories, asked.portfolio) for bundle in bundles]
    horizon_days = bundles[0].manifest.horizon_days
    settings = _settings(bundles[0])
    cuts = unseen_time(histories, bundles, asked.since, asked.now)
    stride = _stride(histories, cuts, horizon_days, settings)
    entrants = []
    for scorer in scorers:
        with line(progress, f"Asking {scorer.bundle.label}", 1):
            holdout = evaluate(scorer.bundle, histories, scorer.features, cuts, stride, settings)
        entrants.append(Entrant(scorer.bundle, _required(holdout, cuts)))
    question = Question(
        horizon_days, format_instant(cuts.until), format_instant(cuts.test_end), asked.data_digest, asked.portfolio
    )
    with line(progress, "Drawing accounts anew", REPEATS) as advance:
        comparison = compare_holdouts(entrants[0], entrants[1], question, settings.seed, advance)
    return _with_policy_value(comparison, histories, scorers, cuts, settings, progress)


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


def unseen_time(histories: Histories, bundles: Sequence[Bundle], since: int | None, now: int) -> Cuts:
    """From the later cut, or `since` where that is later still, to the last moment whose outcome has matured."""
    later = max(bundles, key=lambda bundle: parse_instant(bundle.manifest.trained_until))
    cut = parse_instant(later.manifest.trained_until)
    if since is not None and since < cut:
        raise MomentError(
            f"--since is a time that neither model has learned from, got {format_instant(since)}, but {later.label} "
            f"learned until {later.manifest.trained_until}; give that or later"
        )
    data_end = payments_end(histories, now)
    test_end = matured_end(histories, later.manifest.horizon_days, data_end)
    return Cuts(begin=cut, train_end=cut, until=since or cut, test_end=test_end, data_end=data_end)


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
