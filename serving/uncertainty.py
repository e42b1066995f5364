"""How sure it is what one plan brings more than another: on average, and on a single day.

Two things make it unsure, of the accounts whose action differs between the plans alone:

- Effects: the weights of channel effects (`training.effects`) are as uncertain as their covariance says, all accounts
  together, since an effect that is overstated is so for everyone. It does not average out over many such days.
- Chance: under two actions the same accounts pay, but for those that the difference of the two probabilities makes pay,
  or not; of each it is drawn on its own. They then pay all that they owe or nothing, with the expected amount that the
  model says: payments cannot vary more. It averages out.

Nothing else is counted: that the probabilities, the amounts or the covariance are wrong, what those knew who chose the
actions that effects were learned from, what a call by the hour is assumed to add, and that later days are not like the
past.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np

from features.compute import standing
from features.units import Rows, from_money
from serving.day import Day
from serving.scoring import features_of
from training.bundle import ChannelEffects, Floats

#: So many standard errors on either side hold 95 %.
_WIDE = 1.959964


@dataclass(frozen=True)
class Errors:
    """The standard errors of a difference, in the portfolio's currency."""

    effects: float
    chance: float

    def on_average(self, difference: float) -> tuple[float, float]:
        """The interval that holds what is to be expected at 95 %."""
        return _around(difference, self.effects)

    def on_a_day(self, difference: float) -> tuple[float, float]:
        """The interval that holds what comes of a single day at 95 %."""
        return _around(difference, hypot(self.effects, self.chance))


@dataclass(frozen=True)
class _Moved:
    """Accounts whose action differs between two plans, `(m,)`, and what goes for each.

    `earned` is what is earned where all that is expected of a payment comes in, `owed` where all that is owed does,
    both with what a payer is worth beside. `spread` is √(p(1 - p)), and `scaled`, `(m, 1 + n_modifiers)`, what the
    weights of an action are multiplied by.
    """

    places: Rows
    earned: Floats
    owed: Floats
    spread: Floats
    scaled: Floats


def errors_of(day: Day, choice: Rows, other: Day, other_choice: Rows) -> Errors | None:
    """The errors of what another plan brings more than one of the same accounts, at the same moment.

    Args:
        day: what the one is made of.
        choice: `(n,)` its options, -1 for none.
        other: what the other is made of.
        other_choice: `(n,)` its options.

    Returns:
        None where no effect is known, or not how sure it is.
    """
    effects = day.scorer.bundle.links.channel
    if effects is None or not effects.covariance or not day.actions.effects_known:
        return None
    ours, others = _design(day, choice), _design(other, other_choice)
    moved = _moved(day, effects, np.flatnonzero((ours != others).any(axis=1)))
    differ = (others - ours)[moved.places]
    # What each weight of each action adds to the difference.
    slope = np.einsum("i,ia,ik->ak", moved.earned * moved.spread, differ, moved.scaled).ravel()
    variance = float(slope @ np.array(effects.covariance) @ slope)
    weights = np.array(effects.weights)
    beyond_waiting = weights[:-1] - weights[-1]
    more = moved.spread * np.einsum("ia,ak,ik->i", differ, beyond_waiting, moved.scaled)
    # The expected amount is that of the difference of probabilities; it comes whole, or not at all.
    amount = np.abs(more) * moved.earned
    chance = float((amount * np.maximum(moved.owed - amount, 0.0)).sum())
    return Errors(max(variance, 0.0) ** 0.5, chance**0.5)


def _around(difference: float, error: float) -> tuple[float, float]:
    return difference - _WIDE * error, difference + _WIDE * error


def _design(day: Day, choice: Rows) -> Floats:
    """What an account's option is worth of the effect of each channel, `(n, n_channels)`: its reach, or 0."""
    found = np.zeros((len(choice), day.actions.waiting))
    taken = np.flatnonzero(choice >= 0)
    found[taken, day.options.channel[choice[taken]]] = day.options.reach_of(taken, choice[taken])
    return found


def _moved(day: Day, effects: ChannelEffects, places: Rows) -> _Moved:
    rows = day.rows[places]
    p_pay, expected = (day.scores[name].to_numpy(np.float64)[places] for name in ("p_pay", "expected_amount"))
    commission = day.histories.accounts.commission_rate[rows]
    if_paid = np.divide(expected, p_pay, out=np.zeros(len(places)), where=p_pay > 0)
    balance, _ = standing(day.histories, rows, np.full(len(rows), day.as_of))
    scaled = effects.scaled(features_of(day.scorer, day.histories, rows, day.as_of))
    each = day.histories.settings.queue.payer_worth
    earned, owed = commission * if_paid + each, commission * from_money(balance) + each
    return _Moved(places, earned, owed, np.sqrt(p_pay * (1 - p_pay)), scaled)
