"""Two models on the same unseen time: what each reached, the difference with its interval, and who changes places.

What both give the probability of decides which figures there are: where that is a label, there is no money, and
"paid" stands for label 1. Everything here is plain data, so that it can be kept beside a run and read again when one
of the two is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from experiments.champion.bands import BandRow, Rise, band_rows, largest_rise
from features.errors import GateError, HistoryError
from features.settings import PortfolioSettings
from training.bootstrap import (
    INTERVAL,
    account_weights,
    ranking,
    weighted_auc,
    weighted_calibration_error,
    weighted_top_tenth_share,
)
from training.bundle import PAYMENT, Bundle, Floats
from training.holdout import Holdout
from training.metrics import top_tenth

Flags = npt.NDArray[np.bool_]

REPEATS = 1_000
#: Fewer accounts than this that paid, or that did not, tell nothing, and a draw may hold none at all.
FEWEST_ACCOUNTS = 30


@dataclass(frozen=True)
class Question:
    """What both were asked: the target within a horizon of moments in `[since, until]`, ISO 8601, of one portfolio."""

    horizon_days: int
    since: str
    until: str
    data_digest: str
    portfolio: PortfolioSettings
    target: str = PAYMENT


@dataclass(frozen=True)
class Entrant:
    """A model and what it says of the moments."""

    bundle: Bundle
    holdout: Holdout


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """A figure of both models, and of `b` less `a`, drawn together."""

    a: Estimate
    b: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Side:
    """One model: its name and version, the identity of its bundle, and how it keeps its promises.

    `chance_calibration_error` is what the calibration error would be on average if every probability were right.
    """

    model: str
    sha256: str
    predicted_amount: float | None
    chance_calibration_error: float
    bands: tuple[BandRow, ...]
    rise: Rise | None


@dataclass(frozen=True)
class Cell:
    """Some of the moments: how many, of how many accounts, the share that paid, and the money, in the main unit."""

    moments: int
    accounts: int
    pay_rate: float | None
    amount: float | None


@dataclass(frozen=True)
class SwapSet:
    """Who is in the tenth that comes first: by both models, by one of them alone, by neither.

    Accounts are ordered by the money expected of them, or by the probability of the label.
    """

    both: Cell
    only_a: Cell
    only_b: Cell
    neither: Cell


@dataclass(frozen=True)
class Comparison:
    """Two models, `a` and `b`, on the same moments; `figures` by name, as in `training.metrics`.

    `paying_accounts` and `other_accounts` have a moment that was followed by a payment, or one that was not.
    `sampling_error` is that of predicted by actual money. None stands for money that labels do not speak of.
    """

    question: Question
    a: Side
    b: Side
    moments: int
    accounts: int
    payers: int
    paying_accounts: int
    other_accounts: int
    actual_amount: float | None
    sampling_error: float | None
    figures: dict[str, Paired]
    swap_set: SwapSet
    #: Why the value of the policies could not be told from logged decisions; empty where it could.
    no_policy_value: str = ""


def compare_holdouts(
    a: Entrant, b: Entrant, question: Question, seed: int, on_draw: Callable[[], None], repeats: int = REPEATS
) -> Comparison:
    """Compare two models that were asked about the same moments.

    Args:
        a: the one that stands.
        b: the one that would follow it.
        question: what both were asked.
        seed: decides the draws of the bootstrap.
        on_draw: called after each draw, for progress.
        repeats: how many draws.

    Raises:
        HistoryError: too few accounts paid, or did not, for anything to be told, or they paid nothing on balance.
    """
    asked = a.holdout.moments
    others = b.holdout.moments
    if not (np.array_equal(asked.account, others.account) and np.array_equal(asked.as_of, others.as_of)):
        raise ValueError("two models are compared on the same moments")
    paid = a.holdout.paid
    n_paying, n_other = (len(np.unique(asked.account[rows])) for rows in (paid, ~paid))
    _check_enough(n_paying, n_other, a.holdout, question)
    weights = account_weights(asked.account, repeats, seed)
    return Comparison(
        question=question,
        a=_side(a),
        b=_side(b),
        moments=len(asked),
        accounts=len(np.unique(asked.account)),
        payers=int(paid.sum()),
        paying_accounts=n_paying,
        other_accounts=n_other,
        actual_amount=_total(a.holdout, a.holdout.net_amount),
        sampling_error=a.holdout.metrics.get("predicted_to_actual_error"),
        figures=_figures(_Measured(a.holdout), _Measured(b.holdout), weights, on_draw),
        swap_set=_swap_set(a.holdout, b.holdout),
    )


def encode(comparison: Comparison) -> bytes:
    """Write as JSON."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n"


def decode(content: bytes) -> Comparison:
    """Read what `encode` wrote.

    Raises:
        GateError: it is something else, or of another version.
    """
    try:
        return msgspec.json.decode(content, type=Comparison)
    except msgspec.MsgspecError as error:
        raise GateError(
            f"a comparison is what `recoup compare` keeps, got something else: {error}; compare anew"
        ) from None


def _check_enough(n_paying: int, n_other: int, holdout: Holdout, question: Question) -> None:
    """Refuse moments from which nothing can be told."""
    if min(n_paying, n_other) < FEWEST_ACCOUNTS:
        one, other = ("paid", "did not") if holdout.has_money else ("have label 1", "have label 0")
        raise HistoryError(
            f"a comparison needs {FEWEST_ACCOUNTS} accounts that {one} on unseen time, and as many that {other}, got "
            f"{n_paying} and {n_other} from {question.since[:10]} on; let more time pass, or train both with an "
            f"earlier --until"
        )
    if holdout.has_money and (total := holdout.net_amount.sum()) <= 0:
        raise HistoryError(
            f"a comparison needs money that was paid on balance, got {total:,.2f} from {question.since[:10]} on; let "
            f"more time pass, or train both with an earlier --until"
        )


class _Measured:
    """One holdout, ordered once, to be measured with one weight of its rows after another."""

    def __init__(self, holdout: Holdout) -> None:
        p, paid = holdout.p_pay, holdout.paid
        self.holdout = holdout
        self.by_p, self.by_amount = ranking(p), ranking(-holdout.expected_amount)
        self.squared = (p - paid) ** 2
        right = np.clip(np.where(paid, p, 1 - p), 1e-9, 1 - 1e-9)
        self.log_loss = -np.log(right)

    def __call__(self, weight: Floats) -> dict[str, float]:
        held, total = self.holdout, weight.sum()
        found = {
            "auc": weighted_auc(self.by_p, held.paid, weight),
            "brier": float(weight @ self.squared / total),
            "calibration_error": weighted_calibration_error(self.by_p, held.p_pay, held.paid, weight),
            "log_loss": float(weight @ self.log_loss / total),
        }
        return found | self._money(weight) if held.has_money else found

    def _money(self, weight: Floats) -> dict[str, float]:
        held = self.holdout
        return {
            "predicted_to_actual": float((weight @ held.expected_amount) / (weight @ held.net_amount)),
            "top_tenth_money_share": weighted_top_tenth_share(self.by_amount, held.net_amount, weight),
        }


def _figures(a: _Measured, b: _Measured, weights: Iterable[Floats], on_draw: Callable[[], None]) -> dict[str, Paired]:
    drawn: list[tuple[dict[str, float], dict[str, float]]] = []
    for weight in weights:
        drawn.append((a(weight), b(weight)))
        on_draw()
    found = {}
    for name in drawn[0][0]:
        of_a, of_b = (np.array([draw[side][name] for draw in drawn]) for side in (0, 1))
        value_a, value_b = a.holdout.metrics[name], b.holdout.metrics[name]
        found[name] = Paired(
            _estimate(value_a, of_a), _estimate(value_b, of_b), _estimate(value_b - value_a, of_b - of_a)
        )
    return found


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.quantile(drawn, INTERVAL)
    return Estimate(value, float(low), float(high))


def _side(entrant: Entrant) -> Side:
    bundle, holdout = entrant.bundle, entrant.holdout
    return Side(
        model=bundle.label,
        sha256=bundle.digest,
        predicted_amount=_total(holdout, holdout.expected_amount),
        chance_calibration_error=chance_calibration_error(holdout.p_pay),
        bands=band_rows(holdout),
        rise=largest_rise(holdout, bundle.manifest.band_thresholds),
    )


def _total(holdout: Holdout, amount: Floats) -> float | None:
    """The sum of an amount, `(n,)`; None where the models say nothing of money."""
    return float(amount.sum()) if holdout.has_money else None


def chance_calibration_error(p: Floats, bins: int = 10) -> float:
    """The calibration error to expect of probabilities, `(n,)`, that are right, by chance alone.

    The actual rate of a group of `m` lies `sqrt(2 / pi)` standard errors from its mean on average, the standard error
    being `sqrt(sum p (1 - p)) / m`.
    """
    groups = np.array_split(p[np.argsort(p, kind="stable")], bins)
    return float(sum(np.sqrt(2 / np.pi * (group * (1 - group)).sum()) for group in groups) / len(p))


def _swap_set(a: Holdout, b: Holdout) -> SwapSet:
    of_a, of_b = (np.isin(np.arange(len(held.paid)), top_tenth(_order(held))) for held in (a, b))
    return SwapSet(
        both=_cell(a, of_a & of_b),
        only_a=_cell(a, of_a & ~of_b),
        only_b=_cell(a, of_b & ~of_a),
        neither=_cell(a, ~(of_a | of_b)),
    )


def _order(holdout: Holdout) -> Floats:
    """What accounts are ordered by, `(n,)`."""
    return holdout.expected_amount if holdout.has_money else holdout.p_pay


def _cell(holdout: Holdout, rows: Flags) -> Cell:
    moments = int(rows.sum())
    return Cell(
        moments=moments,
        accounts=len(np.unique(holdout.moments.account[rows])),
        pay_rate=float(holdout.paid[rows].mean()) if moments else None,
        amount=_total(holdout, holdout.net_amount[rows]),
    )
