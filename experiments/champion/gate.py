"""The gate: what a model must hold, on unseen time and in what it reads, to become the champion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from experiments.champion.comparison import Comparison, Paired
from features.catalog import catalogue
from features.catalog.grammar import Attribute, Category
from features.errors import BundleError
from features.settings import PortfolioSettings
from serving.scoring import check_match, check_own_history, prepare_scorer
from training.bundle import BANDS, PAYMENT, Bundle, Manifest
from training.promotions import Check
from training.settings import NotNegative, Positive, Section, read_sections

Chance = Annotated[float, Meta(gt=0, lt=1)]


class Evidence(Section, frozen=True):
    """How many accounts must have been seen that paid, and as many that did not."""

    accounts: Positive


class Loss(Section, frozen=True):
    """How much worse than the champion a model may be, at the worse end of the interval."""

    auc: NotNegative
    brier_share: NotNegative
    top_tenth_money_share: NotNegative


class Calibration(Section, frozen=True):
    """How far predictions may be from what happened."""

    sampling_errors: NotNegative
    error: NotNegative


class Bands(Section, frozen=True):
    """How surely a rise from a better to a worse band must be told from chance."""

    false_alarm: Chance


class Gate(Section, frozen=True):
    """The limits of the gate."""

    evidence: Evidence
    loss: Loss
    calibration: Calibration
    bands: Bands


def read_gate(path: Path | None = None) -> Gate:
    """Read the limits, those of `gate.toml` beside this module where no file is named.

    Raises:
        SettingsError: the file cannot be read, or a limit is missing, unknown or outside its range.
    """
    return read_sections(Gate, "experiments.champion", "gate.toml", path)


def check_candidate(comparison: Comparison, champion: Manifest, candidate: Bundle, gate: Gate) -> tuple[Check, ...]:
    """Check the second model of a comparison against the gate; where labels were learned, nothing is asked of money.

    Args:
        comparison: of the champion with the candidate.
        champion: what the champion is.
        candidate: what would follow it.
        gate: the limits.
    """
    settings = comparison.question.portfolio
    return (
        *_on_unseen_time(comparison, candidate.manifest, gate),
        *_no_loss(comparison.figures, gate.loss),
        *_calibrated(comparison, gate.calibration),
        _bands(comparison, gate.bands),
        _computable(candidate, settings),
        _no_audit(candidate.manifest, (settings, champion.portfolio)),
        _no_leak(candidate.manifest),
    )


def audit_columns_read(manifest: Manifest, settings: PortfolioSettings) -> tuple[str, ...]:
    """The columns that a model reads although they are kept for audits."""
    known = {feature.name: feature.measure for feature in catalogue(manifest.portfolio)}
    measures = [known[name] for name in manifest.features if name in known]
    read = {measure.column for measure in measures if isinstance(measure, Attribute | Category)}
    return tuple(sorted((read | {*manifest.categories}) & {*settings.audit, *manifest.portfolio.audit}))


def _on_unseen_time(comparison: Comparison, candidate: Manifest, gate: Gate) -> tuple[Check, ...]:
    question, needed = comparison.question, gate.evidence.accounts
    counts = (comparison.paying_accounts, comparison.other_accounts)
    one, other = ("paid", "did not") if question.target == PAYMENT else ("label 1", "label 0")
    return (
        Check(
            "accounts on unseen time",
            min(counts) >= needed,
            f"{counts[0]:,} {one}, {counts[1]:,} {other}, from {question.since[:10]} to {question.until[:10]}",
            f"at least {needed:,} of either",
        ),
        Check(
            "compared on its own portfolio",
            question.portfolio.name == candidate.portfolio.name,
            question.portfolio.name,
            candidate.portfolio.name,
        ),
    )


def _no_loss(figures: dict[str, Paired], loss: Loss) -> Iterator[Check]:
    """The interval of each difference must exclude a loss beyond the margin (non-inferiority)."""
    auc, brier = (figures[name].difference for name in ("auc", "brier"))
    margin = loss.brier_share * figures["brier"].a.value
    yield Check(
        "AUC no worse",
        auc.low >= -loss.auc,
        f"{auc.value:+.4f} ({auc.low:+.4f} to {auc.high:+.4f})",
        f"lower end {-loss.auc:+.4f} at least",
    )
    yield Check(
        "Brier score no worse",
        brier.high <= margin,
        f"{brier.value:+.5f} ({brier.low:+.5f} to {brier.high:+.5f})",
        f"upper end {margin:+.5f} at most",
    )
    if "top_tenth_money_share" in figures:
        top = figures["top_tenth_money_share"].difference
        yield Check(
            "money from the top 10 % no worse",
            top.low >= -loss.top_tenth_money_share,
            f"{top.value:+.1%} ({top.low:+.1%} to {top.high:+.1%})",
            f"lower end {-loss.top_tenth_money_share:+.1%} at least",
        )


def _calibrated(comparison: Comparison, calibration: Calibration) -> Iterator[Check]:
    if comparison.sampling_error is not None:
        money = comparison.figures["predicted_to_actual"]
        allowed = calibration.sampling_errors * comparison.sampling_error
        yield Check(
            "money predicted / actual",
            abs(money.b.value - 1) <= allowed,
            f"{money.b.value:.2f} (champion {money.a.value:.2f})",
            f"{max(1 - allowed, 0):.2f} to {1 + allowed:.2f}",
        )
    error, limit = comparison.figures["calibration_error"], calibration.error + comparison.b.chance_calibration_error
    yield Check(
        "calibration error",
        error.b.value <= limit,
        f"{error.b.value:.4f} (champion {error.a.value:.4f})",
        f"{limit:.4f} at most, of it {comparison.b.chance_calibration_error:.4f} by chance",
    )


def _bands(comparison: Comparison, bands: Bands) -> Check:
    """No rise of the pay rate from a better to a worse band may stand out among all pairs of bands (Bonferroni)."""
    from scipy.stats import norm

    name, rise = "actual rate falls from band to band", comparison.b.rise
    limit = float(norm.isf(bands.false_alarm / (len(BANDS) * (len(BANDS) - 1) / 2)))
    needed = f"no rise of {limit:.1f} standard errors"
    if rise is None:
        return Check(name, True, "no rise", needed)
    errors = rise.rise / rise.standard_error
    return Check(
        name, errors < limit, f"{rise.better} to {rise.worse} {rise.rise:+.1%}, {errors:.1f} standard errors", needed
    )


def _computable(candidate: Bundle, settings: PortfolioSettings) -> Check:
    name, needed = "features available, also to the service", f"all {len(candidate.manifest.features)} of this version"
    try:
        scorer = prepare_scorer(candidate)
        check_match(scorer, settings)
        check_own_history(scorer)
    except BundleError as error:
        return Check(name, False, str(error), needed)
    return Check(name, True, f"{len(scorer.features.names)}", needed)


def _no_audit(candidate: Manifest, known: tuple[PortfolioSettings, ...]) -> Check:
    read = sorted({column for settings in known for column in audit_columns_read(candidate, settings)})
    return Check("no audit column read", not read, ", ".join(read) or "none", "none")


def _no_leak(candidate: Manifest) -> Check:
    named = ", ".join(suspect.feature for suspect in candidate.suspects)
    return Check("no sign of a leak", not named, named or "none", "none")
