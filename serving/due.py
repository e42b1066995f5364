"""Accounts that a queue works before all others, whatever that adds: a promise just broken, nobody seen for long.

Both are rules of the portfolio's settings (`features.settings.QueueRules`), and off unless these say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.compute import standing
from features.histories import Histories
from features.outcomes import promise_outcomes
from features.units import DAY, Rows, from_money

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Due:
    """Accounts that come first, `(n,)` each: who just broke a promise, and who was not seen for long.

    Of the places of each channel the latter get `share` as a right.
    """

    broken: Mask
    unseen: Mask
    share: float

    def notes(self) -> list[str]:
        """What a person should know of it."""
        told = (
            (self.broken, "broke a promise since the day before, and come first"),
            (self.unseen, f"were not seen for long, and have a right to {self.share:.0%} of the places"),
        )
        return [f"{int(one.sum()):,} accounts {what}" for one, what in told if one.any()]


def due_accounts(histories: Histories, rows: Rows, as_of: int) -> Due:
    """Which of the accounts at `rows`, `(n,)`, come first as of a moment, by the rules of the portfolio."""
    rules, none = histories.settings.queue, np.zeros(len(rows), dtype=np.bool_)
    broken = just_broken(histories, as_of)[rows] if rules.broken_promise_first else none
    if rules.unseen_days is None:
        return Due(broken, none, rules.unseen_share)
    unseen = last_seen(histories, as_of)[rows] < as_of - rules.unseen_days * DAY
    balance, _ = standing(histories, rows, np.full(len(rows), as_of))
    return Due(broken, unseen & (from_money(balance) >= rules.unseen_balance), rules.unseen_share)


def just_broken(histories: Histories, as_of: int) -> Mask:
    """Who has a promise whose grace ended, without its money, in the day before a moment: `(n_accounts,)`."""
    became = promise_outcomes(histories, as_of)
    over = ~became.kept & (became.deadline < as_of) & (became.deadline >= as_of - DAY)
    found = np.zeros(len(histories), dtype=np.bool_)
    found[became.account[over]] = True
    return found


def last_seen(histories: Histories, as_of: int) -> Rows:
    """When the last contact was that is known by a moment, `(n_accounts,)`; where there is none, the placement."""
    contacts, last = histories.contacts, histories.accounts.placed_at.copy()
    account = np.repeat(np.arange(len(histories)), np.diff(contacts.start))
    known = contacts.known < as_of
    np.maximum.at(last, account[known], contacts.at[known])
    return last
