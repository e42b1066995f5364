"""The value of a policy from logged decisions: doubly robust, with an interval, or a refusal where it cannot be told.

For decision i with features x, logged action A and its logged propensity p, and outcome Y, a policy that would take
action a with probability pi(a | x) has the score

    sum_a pi(a | x) q(x, a)  +  pi(A | x) / p * (Y - q(x, A))

where q is a model of the outcome that has seen nothing of this account. The mean of the scores is the policy's value
(Robins, Rotnitzky and Zhao 1994; for policies Dudik, Langford and Li 2011). It is unbiased where the propensities are
those that were drawn from, however bad q is: q only makes the interval narrower. Weights are not clipped, since that
would let q decide where the log has little to say.

The scores of one account are not independent. The variance is that of their sums by account (Liang and Zeger 1986).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.units import Rows
from training.bundle import Floats

Flags = npt.NDArray[np.bool_]

#: The normal quantile of a two-sided 95 % interval; its lower end is a one-sided 97.5 % bound.
QUANTILE = 1.959964
#: A choice as probable as this was hardly a matter of chance.
NEARLY_CERTAIN = 0.99
#: With more such choices than this share of them, a log says next to nothing of other choices.
MOST = 0.5
#: Fewer paying accounts than this, after decisions on which log and policy agree, give no interval that can be trusted.
FEWEST_PAYERS = 30
#: Fewer equally weighted accounts than this say no more than the weights' luck.
FEWEST_EFFECTIVE = 200
#: By how much of the policy's choices the log may not have tried (or its propensities be wrong), beyond chance.
UNTRIED = 0.05
#: The half width that more decisions are counted for: this share of a gain that was told ...
OF_GAIN = 0.2
#: ... and, where none was, of what the log earns.
OF_LOGGING = 0.1


@dataclass(frozen=True)
class Logged:
    """Logged decisions, `(n,)` each: the action's position, its logged propensity, the account, whether it paid."""

    action: Rows
    propensity: Floats
    account: Rows
    paid: Flags

    def __len__(self) -> int:
        """The number of decisions."""
        return len(self.action)

    def taken(self, of_actions: Floats) -> Floats:
        """What a matrix by action, `(n, n_actions)`, says of the logged actions, `(n,)`."""
        return np.asarray(of_actions[np.arange(len(self)), self.action])

    def weights(self, target: Floats) -> Floats:
        """How many times likelier each logged action is under the policy `target`, `(n, n_actions)`; mean 1."""
        return self.taken(target) / self.propensity


@dataclass(frozen=True)
class Estimate:
    """A mean per decision with its standard error and 95 % interval; `low` is a one-sided 97.5 % bound, too."""

    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Needed:
    """About how many decisions like these would give an interval of the gain of so much to either side."""

    half_width: float
    decisions: int


@dataclass(frozen=True)
class Compared:
    """One outcome per decision: under the policy, as it was under the log, and what the policy adds."""

    policy: Estimate
    logging: Estimate
    gain: Estimate
    needed: Needed


@dataclass(frozen=True)
class Support:
    """What a log holds of a policy.

    `agreed` counts the decisions on which the log did what the policy might have done, `payers` the accounts that
    paid after one of those. `effective` is how many equally weighted accounts say as much. `mean_weight`, with its
    standard error, is 1 where the log may choose whatever the policy does, with the propensities that it states.
    """

    decisions: int
    accounts: int
    agreed: int
    payers: int
    effective: float
    mean_weight: float
    mean_weight_error: float
    nearly_certain: float


def scores(logged: Logged, outcome: Floats, target: Floats, nuisance: Floats) -> Floats:
    """The doubly robust score of every decision, `(n,)`.

    Args:
        logged: the decisions.
        outcome: `(n,)` what followed.
        target: `(n, n_actions)` the policy's probability of each action; rows add up to 1.
        nuisance: `(n, n_actions)` the outcome expected of each action, by a model that has not seen the account.
    """
    modelled = (target * nuisance).sum(axis=1)
    return np.asarray(modelled + logged.weights(target) * (outcome - logged.taken(nuisance)))


def estimate(values: Floats, account: Rows) -> Estimate:
    """The mean of one value per decision, `(n,)`, and its error, where those of an account, `(n,)`, go together."""
    mean = float(values.mean())
    _, which = np.unique(account, return_inverse=True)
    by_account = np.bincount(which, weights=values - mean)
    n_accounts = len(by_account)
    if n_accounts < 2:
        return Estimate(mean, np.inf, -np.inf, np.inf)
    error = float(np.sqrt((by_account**2).sum() * n_accounts / (n_accounts - 1))) / len(values)
    return Estimate(mean, error, mean - QUANTILE * error, mean + QUANTILE * error)


def compare(logged: Logged, outcome: Floats, target: Floats, nuisance: Floats) -> Compared:
    """The value of a policy, that of the log, and the difference; the arguments are those of `scores`."""
    return compared(scores(logged, outcome, target, nuisance), outcome, logged.account)


def compared(under_policy: Floats, outcome: Floats, account: Rows) -> Compared:
    """The same from the scores under the policy, `(n,)`."""
    logging, gain = estimate(outcome, account), estimate(under_policy - outcome, account)
    return Compared(estimate(under_policy, account), logging, gain, needed_for(gain, logging, len(outcome)))


def needed_for(gain: Estimate, logging: Estimate, decisions: int) -> Needed:
    """How many decisions would tell the gain to a fifth of itself; to a tenth of what the log earns where none is seen.

    >>> needed_for(Estimate(0.02, 0.01, 0.0004, 0.0396), Estimate(0.1, 0.0, 0.1, 0.1), 10_000)
    Needed(half_width=0.004, decisions=240091)
    """
    told = not gain.low <= 0 <= gain.high
    half_width = OF_GAIN * abs(gain.value) if told else OF_LOGGING * abs(logging.value)
    if half_width == 0 or not np.isfinite(gain.error):
        return Needed(half_width, 0)
    return Needed(half_width, round(decisions * (QUANTILE * gain.error / half_width) ** 2))


def support_of(logged: Logged, target: Floats) -> Support:
    """What the log holds of a policy, `(n, n_actions)`."""
    weight = logged.weights(target)
    agreed = weight > 0
    _, which = np.unique(logged.account, return_inverse=True)
    by_account = np.bincount(which, weights=weight)
    mean = estimate(weight, logged.account)
    squares = float((by_account**2).sum())
    return Support(
        decisions=len(logged),
        accounts=len(by_account),
        agreed=int(agreed.sum()),
        payers=len(np.unique(logged.account[agreed & logged.paid])),
        effective=float(by_account.sum()) ** 2 / squares if squares else 0.0,
        mean_weight=mean.value,
        mean_weight_error=mean.error,
        nearly_certain=float((logged.propensity >= NEARLY_CERTAIN).mean()),
    )


def refusal(support: Support) -> str | None:
    """Why a log cannot tell the value of a policy, and what it would take; None where it can."""
    if support.nearly_certain > MOST:
        return (
            f"a policy can be valued where choices were left to chance, but {support.nearly_certain:.0%} of the "
            f"{support.decisions:,} decisions had a propensity of {NEARLY_CERTAIN} or more; draw some decisions at "
            f"random (5 to 10 % of them, among the cheap channels) and log the propensity of each"
        )
    if support.payers < FEWEST_PAYERS:
        return (
            f"a policy can be valued from {FEWEST_PAYERS} accounts that paid after a decision on which log and policy "
            f"agree, got {support.payers} among {support.agreed:,} such decisions of {support.decisions:,}; "
            f"{_more(support, support.payers, FEWEST_PAYERS)}"
        )
    if abs(support.mean_weight - 1) > UNTRIED + 3 * support.mean_weight_error:
        above = "it was made knowing what the log chose, or the propensities are smaller than those drawn from"
        below = "it chooses what the log could not have, or the propensities are larger than those drawn from"
        return (
            f"the policy's probabilities by the logged ones must average 1, got {support.mean_weight:.2f} (error "
            f"{support.mean_weight_error:.2f}) over {support.decisions:,} decisions: "
            f"{above if support.mean_weight > 1 else below}; log the exact ones, and explore what the policy would "
            f"choose"
        )
    if support.effective < FEWEST_EFFECTIVE:
        return (
            f"a policy can be valued from as much as {FEWEST_EFFECTIVE} equally weighted accounts would say, the "
            f"{support.accounts:,} accounts here say as much as {support.effective:,.0f}; "
            f"{_more(support, support.effective, FEWEST_EFFECTIVE)}"
        )
    return None


def _more(support: Support, got: float, needed: int) -> str:
    """How many decisions would do, at the rate of these."""
    if got <= 0:
        return "log decisions that explore what it would choose"
    return f"about {support.decisions * needed / got:,.0f} decisions like these would do, or more exploration of them"
