"""What each family of features is worth: the AUC of `p_pay` on later time with more and more families, or without one.

Every step fits the same model on the same moments, with the columns of some families, and is asked about the same
later, unseen moments. What is added gains over what was there before it: what two families both know counts for the
first. What is taken away loses what no other family knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from experiments.studies.question import Question, put
from features.histories import Histories
from training.bundle import Floats
from training.metrics import auc, auc_draws
from training.moments import Cuts, is_paid
from training.settings import FeatureSettings, TrainingSettings

#: The order in which families are added: what a ledger knows, then what collecting adds.
ORDER = (
    ("balance and charges", "attributes"), ("payments",), ("contact history",), ("promises",), ("ageing",),
    ("restrictions",), ("portfolio",),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A step: the families it adds or takes away, how many features there are then, and what they reach on later time.

    `gain` is the AUC above the step before (above all families, where one is taken away), with the ends of its 95 %
    bootstrap interval over accounts.
    """

    families: tuple[str, ...]
    features: int
    auc: float
    gain: float
    gain_low: float
    gain_high: float


def add_families(
    histories: Histories, cuts: Cuts, horizon_days: int, settings: TrainingSettings, on_step: Callable[[], None]
) -> tuple[Step, ...]:
    """Fit `p_pay` on more and more families, the rates of the portfolio included, and ask each fit about later time.

    Args:
        histories: packed histories of a whole portfolio.
        cuts: what is learned from and what is asked about.
        horizon_days: the horizon.
        settings: the model, its moments and its seed.
        on_step: called after each step, for progress.

    Raises:
        HistoryError: no outcome after the cut has matured, or too few paid.
    """
    settings = msgspec.structs.replace(settings, features=FeatureSettings(portfolio_rates=True))
    question = put(histories, cuts, cuts.test_end, cuts.data_end, horizon_days, settings)
    steps: list[Step] = []
    families: tuple[str, ...] = ()
    before: Floats | None = None
    for added in ORDER:
        families += added
        step, before = _step(question, families, added, before, settings)
        steps.append(step)
        on_step()
    return tuple(steps)


def remove_families(question: Question, settings: TrainingSettings, on_step: Callable[[], None]) -> tuple[Step, ...]:
    """Fit `p_pay` on all families, then without each of them in turn; the first step is that with all.

    Args:
        question: what is learned from and what is asked.
        settings: the model and its seed.
        on_step: called after each step, for progress.
    """
    families = families_of(question)
    whole, raw = _step(question, families, (), None, settings)
    steps = [whole]
    on_step()
    for family in families:
        others = tuple(other for other in families if other != family)
        steps.append(_step(question, others, (family,), raw, settings)[0])
        on_step()
    return tuple(steps)


def families_of(question: Question) -> tuple[str, ...]:
    """The families that the features belong to, in the catalogue's order."""
    return tuple(dict.fromkeys(feature.family for feature in question.learned.features.features))


def _step(
    question: Question, kept: tuple[str, ...], changed: tuple[str, ...], before: Floats | None,
    settings: TrainingSettings,
) -> tuple[Step, Floats]:  # fmt: skip
    """The step with the families kept, against the raw scores before it; and its raw scores, `(n_asked,)`."""
    features = question.learned.features.features
    columns = [place for place, feature in enumerate(features) if feature.family in kept]
    raw = question.answer(settings, lambda: None, columns)
    paid, account = is_paid(question.asked, settings.payment), question.asked.account
    found = auc(raw, paid)
    if before is None:
        return Step(changed, len(columns), found, 0.0, 0.0, 0.0), raw
    draws = auc_draws(raw, paid, account, settings.seed) - auc_draws(before, paid, account, settings.seed)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Step(changed, len(columns), found, found - auc(before, paid), float(low), float(high)), raw
