"""Accounts that a queue works before all others, whatever that adds, and those that it leaves alone for some days.

A promise just broken, or nobody seen for long, comes first. Who was contacted a day or two ago rests: what another
contact so soon achieves, the history hardly tells, since nobody works like that. All are rules of the portfolio's
settings (`features.settings.QueueRules`), and off unless these say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.compute import standing
from features.events import owners
from features.histories import Histories, attempted_channels
from features.outcomes import promise_outcomes
from features.units import DAY, NULL_TIME, Rows, from_money
from serving.languages.language import ENGLISH, Language

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Due:
    """Accounts that come first, `(n,)` each: who just broke a promise, and who was not seen for long; and who rests.

    Of the places of each channel those not seen for long get `share` as a right.
    """

    broken: Mask
    unseen: Mask
    share: float
    resting: Mask

    def notes(self, language: Language = ENGLISH) -> list[str]:
        """What a person should know of it."""
        told = []
        if n_broken := int(self.broken.sum()):
            told.append(
                language.counted(
                    "{number} account broke a promise since the day before, and comes first",
                    "{number} accounts broke a promise since the day before, and come first",
                    n_broken,
                )
            )
        if n_unseen := int(self.unseen.sum()):
            told.append(
                language.counted(
                    "{number} account was not seen for long, and has a right to {share} of the places",
                    "{number} accounts were not seen for long, and have a right to {share} of the places",
                    n_unseen,
                    share=language.share(self.share),
                )
            )
        return told


def due_accounts(histories: Histories, rows: Rows, as_of: int) -> Due:
    """Which of the accounts at `rows`, `(n,)`, come first or rest as of a moment, by the rules of the portfolio."""
    rules, none = histories.settings.queue, np.zeros(len(rows), dtype=np.bool_)
    broken = just_broken(histories, as_of)[rows] if rules.broken_promise_first else none
    resting = none
    if rules.rest_days:
        resting = ~broken & (last_attempt(histories, as_of)[rows] >= as_of - rules.rest_days * DAY)
    if rules.unseen_days is None:
        return Due(broken, none, rules.unseen_share, resting)
    unseen = last_seen(histories, as_of)[rows] < as_of - rules.unseen_days * DAY
    balance, _ = standing(histories, rows, np.full(len(rows), as_of))
    return Due(broken, unseen & (from_money(balance) >= rules.unseen_balance), rules.unseen_share, resting)


def just_broken(histories: Histories, as_of: int) -> Mask:
    """Who has a promise whose grace ended, without its money, in the day before a moment: `(n_accounts,)`."""
    became = promise_outcomes(histories, as_of)
    over = ~became.kept & (became.deadline < as_of) & (became.deadline >= as_of - DAY)
    found = np.zeros(len(histories), dtype=np.bool_)
    found[became.account[over]] = True
    return found


def last_attempt(histories: Histories, as_of: int) -> Rows:
    """When each account was last contacted, as known by a moment, `(n_accounts,)`; `NULL_TIME` where it never was."""
    contacts, last = histories.contacts, np.full(len(histories), NULL_TIME, dtype=np.int64)
    is_attempt = attempted_channels(histories.settings.channel_names) >= 0
    account = owners(contacts.start)
    counts = (contacts.known < as_of) & is_attempt[contacts.kind]
    np.maximum.at(last, account[counts], contacts.at[counts])
    return last


def last_seen(histories: Histories, as_of: int) -> Rows:
    """When the last contact was that is known by a moment, `(n_accounts,)`; where there is none, the placement."""
    contacts, last = histories.contacts, histories.accounts.placed_at.copy()
    account = owners(contacts.start)
    known = contacts.known < as_of
    np.maximum.at(last, account[known], contacts.at[known])
    return last
