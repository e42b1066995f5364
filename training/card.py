"""The model card: what a model is, what it is for, what it was made from and reached, and what is known against it.

After Mitchell et al. (2019), "Model cards for model reporting". Every figure is read from the run; the same run gives
the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec
import pandas as pd

from training.bundle import LABEL, PAYMENT, Bundle, Manifest
from training.contributions import by_family
from training.train import Trained

#: What those are called that a model looks for, by its target.
SOUGHT = {PAYMENT: "payers", LABEL: "with label 1"}
#: Above this share the AUC of a model is rather a leak than a success.
SUSPICIOUS_AUC = 0.95
#: Above this, a total of so few payers is mostly chance.
LARGE_ERROR = 0.1

#: What a run counted, as the card names it.
COUNTS = {
    "training_moments": "training moments",
    "stride_days": "days from one moment of an account to its next",
    "training_accounts": "accounts in them",
    "training_payers": "of these, {sought}",
    "training_moments_not_live": "moments of accounts not live then",
    "undecided_labels": "labels within a horizon before the cut, not used",
    "test_moments": "moments of unseen time",
}

INTENDED = """\
It orders accounts in collections by the payment and the money to be expected within the horizon, so that people decide
whom to contact next. It is not for granting or pricing credit, for deciding on legal steps or write-offs without a
person, for portfolios other than the one it was trained on, or for horizons other than its own. A score says what
happens if work goes on as it has been; only the columns of a supported channel say what choosing that channel does."""

INTENDED_OF_LABELS = """\
It orders accounts by the probability of a label that its owner gave; what follows from that is for the owner to say. It
is not for deciding on legal steps or write-offs without a person, for portfolios other than the one it was trained on,
or for horizons other than its own. It says nothing of money, and nothing of what choosing a channel does."""


def model_card(trained: Trained, sealed: Bundle, contributions: pd.DataFrame | None) -> str:
    """Write the card of a training run, as Markdown.

    Args:
        trained: the run.
        sealed: its bundle as it was written, with the digests of its files.
        contributions: what the model goes by (see `training.contributions`), where there was unseen time to ask.
    """
    manifest = sealed.manifest
    of_labels = manifest.target == LABEL
    sections = {
        "What it is for": [INTENDED_OF_LABELS if of_labels else INTENDED],
        "Data": _data(trained, manifest),
        "Features": _features(manifest, contributions),
        "On unseen time": _figures(manifest),
        "Calibration by band": _bands(trained),
        "Channels": _channels(manifest),
        "Known limits": [f"- {limit}" for limit in limits(manifest)],
        "Fairness": [_fairness(manifest)],
        "How it was made": _made(manifest, sealed.digest),
    }
    lines = [
        f"# Model of {manifest.portfolio.name}",
        "",
        f"{_subject(manifest)} Learned from what was known before {manifest.trained_until}.",
    ]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


def _subject(manifest: Manifest) -> str:
    if manifest.target == LABEL:
        return f"The probability of label 1, which is decided within {manifest.horizon_days} days."
    return (
        f"The probability of a payment within {manifest.horizon_days} days, the money to be expected, and what each "
        f"channel adds where the history can tell."
    )


def limits(manifest: Manifest) -> list[str]:
    """What the run itself has shown against the model, a sentence each."""
    found = manifest.holdout
    if not found:
        return ["No outcome after the cut had matured: nothing is known of how it does on unseen time."]
    level = _level_limits(found, SOUGHT[manifest.target])
    return [*_money_limits(found), *level, *_ranking_limits(found), *_channel_limits(manifest)] or [
        "None showed on this unseen time; it was one stretch of time on one portfolio."
    ]


def _money_limits(found: dict[str, float]) -> Iterator[str]:
    if "predicted_amount" not in found:
        return
    if "predicted_to_actual" not in found:
        yield "Nothing was paid on unseen time: the level of the predictions could not be checked."
        return
    ratio, error = found["predicted_to_actual"], found["predicted_to_actual_error"]
    if abs(ratio - 1) > 2 * error:
        yield f"Money predicted was {ratio:.2f} of what was paid, further off than chance ({error:.2f}) explains."
    if error > LARGE_ERROR:
        yield f"{found['payers']:,.0f} payments were seen: totals are known to no better than {error:.0%}."


def _level_limits(found: dict[str, float], sought: str) -> Iterator[str]:
    payers, predicted = found["payers"], found["predicted_payers"]
    if payers and abs(predicted - payers) > 2 * payers**0.5:
        yield f"{predicted:,.0f} {sought} were predicted and {payers:,.0f} seen, further off than chance explains."


def _ranking_limits(found: dict[str, float]) -> Iterator[str]:
    if "auc" not in found:
        yield "All outcomes on unseen time were alike: nothing is known of the ranking."
        return
    auc, error, plain = found["auc"], found.get("auc_error", 0.0), found.get("auc_days_past_due", 0.5)
    if auc > SUSPICIOUS_AUC:
        yield f"An AUC of {auc:.3f} is more than can be foretold: look for a leak from after the moment."
    if auc - plain < 2 * error:
        yield f"It ranks no better than days past due alone ({plain:.3f}), within sampling error."


def _channel_limits(manifest: Manifest) -> Iterator[str]:
    if manifest.target == LABEL:
        return
    untold = [arm.action for arm in manifest.support if not arm.supported]
    if not manifest.supported:
        yield "The effect of no channel can be told: the order is that of expected money, not of what contact adds."
    elif untold:
        yield f"The effect of {', '.join(untold)} cannot be told from this history."
    if manifest.supported and not manifest.decisions_logged:
        yield "Effects were learned from contacts: what made a collector choose may be taken for what the choice did."


def _data(trained: Trained, manifest: Manifest) -> list[str]:
    sought = SOUGHT[manifest.target]
    rows = [
        ("data, sha256", manifest.data_digest),
        ("cuts", trained.cuts.text),
        ("known until", manifest.data_until),
        *(
            (name.format(sought=sought), f"{trained.counts[count]:,}")
            for count, name in COUNTS.items()
            if count in trained.counts
        ),
    ]
    return _table(("", ""), rows)


def _features(manifest: Manifest, contributions: pd.DataFrame | None) -> list[str]:
    if contributions is None:
        return [f"{len(manifest.features)} features; `manifest.json` names them."]
    families = [
        (row["family"], f"{row['features']}", f"{row['share']:.1%}")
        for row in by_family(contributions).to_dict("records")
    ]
    strongest = ", ".join(f"`{name}`" for name in contributions["feature"].head(10))
    return [
        *_table(("family", "features", "share of contributions"), families),
        "",
        f"The strongest: {strongest}. Contributions say what the model goes by, not what causes a payment.",
    ]


def _figures(manifest: Manifest) -> list[str]:
    found = manifest.holdout
    return _table(("figure", "value"), holdout_lines(found, manifest.target)) if found else ["There was none."]


def holdout_lines(found: dict[str, float], target: str) -> list[tuple[str, str]]:
    """The figures of a holdout as people read them, with their sampling errors."""
    sought = SOUGHT[target]
    lines = [(f"accounts, {sought}", f"{found['accounts']:,.0f}, {found['paying_accounts']:,.0f}")]
    if "auc" in found:
        error = f"  (sampling error {found['auc_error']:.3f})" if "auc_error" in found else ""
        lines.append(("AUC", f"{found['auc']:.3f}{error}"))
        if "auc_days_past_due" in found:
            lines.append(("AUC of days past due alone", f"{found['auc_days_past_due']:.3f}"))
    lines.append(("Brier score", f"{found['brier']:.4f}"))
    lines.append(("calibration error", f"{found['calibration_error']:.4f}"))
    lines.append((f"{sought} predicted, actual", f"{found['predicted_payers']:,.0f}, {found['payers']:,.0f}"))
    if "predicted_amount" in found:
        lines.append(("money predicted, actual", f"{found['predicted_amount']:,.0f}, {found['actual_amount']:,.0f}"))
    if "predicted_to_actual" in found:
        error = f"{found['predicted_to_actual_error']:.2f}"
        lines.append(("money predicted / actual", f"{found['predicted_to_actual']:.2f}  (sampling error {error})"))
        lines.append(("money from the top 10 %", f"{found['top_tenth_money_share']:.1%}"))
    if "promise_auc" in found:
        error = f"{found['promise_auc_error']:.3f}"
        lines.append(("AUC of promises kept", f"{found['promise_auc']:.3f}  (sampling error {error})"))
    if "promise_kept" in found:
        counts = f"{found['promise_predicted_kept']:,.0f}, {found['promise_kept']:,.0f}"
        lines.append(("promises kept predicted, actual", f"{counts}  (of {found['promise_promises']:,.0f})"))
    return lines


def _bands(trained: Trained) -> list[str]:
    if trained.holdout is None:
        return ["There was no unseen time."]
    sought = SOUGHT[trained.bundle.manifest.target]
    heads = ("band", "accounts", f"{sought} predicted", "actual", "sampling error", "money predicted", "actual")
    rows = [
        (
            row["band"], f"{row['accounts']:,.0f}", f"{row['predicted_payers']:,.1f}", f"{row['actual_payers']:,.0f}",
            f"{max(row['actual_payers'], 1) ** 0.5:,.1f}",
            *(f"{row[name]:,.0f}" for name in ("predicted_amount", "actual_amount") if name in row),
        )
        for row in trained.holdout.bands.to_dict("records")
    ]  # fmt: skip
    return _table(heads[: len(rows[0])], rows)


def _channels(manifest: Manifest) -> list[str]:
    if manifest.target == LABEL:
        return ["Labels say nothing of channels."]
    rows = [
        (arm.action, f"{arm.decisions:,}", f"{arm.accounts:,}", f"{arm.payers:,}", "yes" if arm.supported else "no")
        for arm in manifest.support
    ]
    return _table(("action", "decisions", "accounts", "of them paid", "effect can be told"), rows)


def _fairness(manifest: Manifest) -> str:
    audit = manifest.portfolio.audit
    if not audit:
        return "Columns kept for audits are not learned from; `recoup audit` compares groups of people by them."
    return f"The audit columns ({', '.join(audit)}) were not learned from; they are for comparing groups afterwards."


def _made(manifest: Manifest, digest: str) -> list[str]:
    settings = msgspec.json.encode(manifest.settings, order="deterministic")
    rows = [
        ("bundle, sha256", digest),
        ("settings, sha256", hashlib.sha256(settings).hexdigest()),
        ("seed", str(manifest.settings.get("seed", ""))),
        ("commit", manifest.commit or "not from a checkout"),
        *manifest.versions.items(),
    ]
    return _table(("", ""), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
