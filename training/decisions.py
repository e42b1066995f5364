"""Decisions to learn from: what was chosen for an account at a moment, with what chance, and what followed.

They are read from the log of decisions where the portfolio has one. Where it has none they are built from contacts: a
day on which an account was contacted is a decision for that channel (the first of the day), a day without is one to
wait. The chance of each choice is not known then, and nothing says that it did not depend on what the data do not
hold: effects learned from such decisions are said to be so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import standing
from features.events import owners
from features.histories import Histories, attempted_channels
from features.units import DAY, Rows
from training.bundle import Floats
from training.moments import Moments, is_paid, sample_moments, with_outcomes
from training.settings import TrainingSettings

Flags = npt.NDArray[np.bool_]

#: A choice at least this probable was no matter of chance: nothing can be learned from what would else have happened.
CERTAIN = 1 - 1e-9


@dataclass(frozen=True)
class Decided:
    """Decisions on live accounts with their outcomes, `(n,)` each.

    `action` is the position in the actions (`none` last). `propensity` is the logged chance of the choice, NaN where
    none was logged. `explored` says that it was drawn at random. `weight` is how many decisions each stands for.
    """

    moments: Moments
    action: Rows
    propensity: Floats
    explored: Flags
    weight: Floats
    paid: Flags

    def __len__(self) -> int:
        """The number of decisions."""
        return len(self.action)

    def take(self, rows: npt.NDArray[np.generic]) -> Decided:
        """The decisions at `rows` (positions or a mask)."""
        return Decided(
            self.moments.take(rows), self.action[rows], self.propensity[rows], self.explored[rows], self.weight[rows],
            self.paid[rows],
        )  # fmt: skip


def are_logged(histories: Histories, known_before: int) -> bool:
    """Whether there is a log of decisions, as known before an instant; else they are built from contacts."""
    return bool((histories.decisions.known < known_before).any())


def decisions_between(
    histories: Histories, begin: int, end: int, horizon_days: int, known_before: int, settings: TrainingSettings
) -> Decided:
    """All decisions on live accounts in `[begin, end]`, with what followed.

    Args:
        histories: packed histories.
        begin: the first instant of a decision.
        end: the last one, by which outcomes have matured at `known_before`.
        horizon_days: how far the outcome looks.
        known_before: when decisions and outcomes are looked at.
        settings: which payments count, and the seed by which days without contact are drawn.
    """
    if are_logged(histories, known_before):
        chosen = _logged(histories, begin, end, known_before)
    else:
        chosen = _from_contacts(histories, begin, end, horizon_days, known_before, settings.seed)
    moments = with_outcomes(
        histories, chosen["account"].to_numpy(), chosen["at"].to_numpy(), horizon_days, known_before
    )  # fmt: skip
    return Decided(
        moments,
        chosen["action"].to_numpy(np.int64),
        chosen["propensity"].to_numpy(np.float64),
        chosen["explored"].to_numpy(np.bool_),
        chosen["weight"].to_numpy(np.float64),
        is_paid(moments, settings.payment),
    )


def drawn(decided: Decided, most: int, seed: int) -> Decided:
    """At most so many decisions: what the rare actions leave of an equal share goes to the frequent ones."""
    generator = np.random.default_rng(seed)
    actions, counts = np.unique(decided.action, return_counts=True)
    weight, rows = decided.weight.copy(), [np.empty(0, dtype=np.int64)]
    left = most
    for place, which in enumerate(np.argsort(counts, kind="stable")):
        had = np.flatnonzero(decided.action == actions[which])
        kept = np.sort(generator.choice(had, min(len(had), left // (len(actions) - place)), replace=False))
        weight[kept] *= len(had) / max(len(kept), 1)
        rows.append(kept)
        left -= len(kept)
    return replace(decided, weight=weight).take(np.sort(np.concatenate(rows)))


def _logged(histories: Histories, begin: int, end: int, known_before: int) -> pd.DataFrame:
    """The decisions of the log that were a matter of chance, on accounts that were live."""
    log = histories.decisions
    account = owners(log.start)
    in_time = (log.at >= begin) & (log.at <= end) & (log.known < known_before)
    rows = np.flatnonzero(in_time & (log.propensity < CERTAIN))
    _, live = standing(histories, account[rows], log.at[rows])
    rows = rows[live]
    return pd.DataFrame(
        {
            "account": account[rows],
            "at": log.at[rows],
            "action": log.channel[rows],
            "propensity": log.propensity[rows],
            "explored": log.explored[rows],
            "weight": 1.0,
        }
    )


def _from_contacts(
    histories: Histories, begin: int, end: int, horizon_days: int, known_before: int, seed: int
) -> pd.DataFrame:
    """Days with an outbound contact, and a cross-section of the days without one, each at its first instant in UTC.

    What is known at a day's start holds neither the day's own contact nor what came of it.
    """
    attempts = _first_attempts(histories, known_before)
    stride = max(1, horizon_days // 4)
    days = sample_moments(histories, begin, end, stride, horizon_days, known_before, seed)
    waited = pd.DataFrame({"account": days.account, "at": days.as_of})
    worked_too = pd.MultiIndex.from_frame(waited).isin(pd.MultiIndex.from_frame(attempts[["account", "at"]]))
    waited = waited[~worked_too].assign(action=len(histories.settings.channel_names), weight=float(stride))
    worked = attempts[attempts["at"].between(begin, end)]
    _, live = standing(histories, worked["account"].to_numpy(), worked["at"].to_numpy())
    both = pd.concat([worked[live].assign(weight=1.0), waited], ignore_index=True)
    return both.assign(propensity=np.nan, explored=False)


def _first_attempts(histories: Histories, known_before: int) -> pd.DataFrame:
    """The first outbound contact of every account and day: `account`, `at` (the day's first instant), `action`."""
    channels, contacts = histories.settings.channel_names, histories.contacts
    frame = pd.DataFrame(
        {
            "account": owners(contacts.start),
            "happened": contacts.at,
            "at": contacts.at // DAY * DAY,
            "action": attempted_channels(channels).astype(np.int64)[contacts.kind],
        }
    )
    attempts = frame[(frame["action"] >= 0) & (contacts.known < known_before)]
    first = attempts.sort_values(["account", "happened", "action"]).drop_duplicates(["account", "at"])
    return first[["account", "at", "action"]]
