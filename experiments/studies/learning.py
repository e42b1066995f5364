"""The learning curve: what more accounts to learn from are worth, by the AUC of `p_pay` on the same later time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.studies.question import Question
from features.histories import Histories
from training.metrics import auc, auc_error
from training.moments import account_draw, is_paid
from training.settings import TrainingSettings
from training.train import FEWEST_PAYERS

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True)
class Point:
    """What a share of the accounts taught; `auc_error` is that of who was asked, not of who was learned from."""

    share: float
    accounts: int
    payers: int
    auc: float
    auc_error: float


def learning_curve(
    histories: Histories, question: Question, settings: TrainingSettings, on_step: Callable[[], None]
) -> tuple[Point, ...]:
    """Learn from growing shares of the accounts, each within the next, and ask the same.

    A share with fewer paying accounts than training takes is left out.

    Args:
        histories: packed histories of a whole portfolio.
        question: what is learned from and what is asked.
        settings: the model and its seed.
        on_step: called after each share, for progress.
    """
    account = question.learned.moments.account
    draw = account_draw(histories, "learning curve", settings.seed)[account] / 2.0**64
    paid = is_paid(question.learned.moments, settings.payment)
    paid_later = is_paid(question.asked, settings.payment)
    points = []
    for share in SHARES:
        rows = np.flatnonzero(draw <= share)
        payers = len(np.unique(account[rows][paid[rows]]))
        if payers >= FEWEST_PAYERS:
            raw = question.answer(settings, lambda: None, rows=rows)
            error = auc_error(raw, paid_later, question.asked.account)
            points.append(Point(share, len(np.unique(account[rows])), payers, auc(raw, paid_later), error))
        on_step()
    return tuple(points)
