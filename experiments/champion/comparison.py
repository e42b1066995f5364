"""Two models on the same unseen time: what each reached, the difference with its interval, and who changes places.

Everything here is plain data, so that it can be kept beside a run and read again when one of the two is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from features.errors import GateError, HistoryError
from features.settings import PortfolioSettings
from features.units import Rows
from training.bootstrap import (
    INTERVAL,
    account_weights,
    ranking,
    weighted_auc,
    weighted_calibration_error,
    weighted_top_tenth_share,
)
from training.bundle import BANDS, Bundle, Floats, band_of
from training.holdout import Holdout
from training.metrics import top_tenth

Flags = npt.NDArray[np.bool_]

REPEATS = 1_000
#: Below this nothing can be told, and a draw may hold no payer at all.
FEWEST_PAYERS = 30


@dataclass(frozen=True)
class Question:
    """What both were asked: payments within the horizon of moments in `[since, until]`, ISO 8601, of one portfolio."""

    horizon_days: int
    since: str
    until: str
    data_digest: str
    portfolio: PortfolioSettings


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
class BandRow:
    """A band of one model; `accounts` counts an account once for each of its moments, amounts in the main unit."""

    band: str
    accounts: int
    predicted_payers: float
    actual_payers: int
    predicted_amount: float
    actual_amount: float


@dataclass(frozen=True)
class Rise:
    """The rise of the actual pay rate from a better band to a worse one that chance explains least."""

    better: str
    worse: str
    rise: float
    standard_error: float


@dataclass(frozen=True)
class Side:
    """One model: its name and version, the identity of its bundle, and how it keeps its promises.

    `chance_calibration_error` is what the calibration error would be on average if every probability were right.
    """

    model: str
    sha256: str
    predicted_amount: float
    chance_calibration_error: float
    bands: tuple[BandRow, ...]
    rise: Rise | None


@dataclass(frozen=True)
class Cell:
    """Some of the moments: how many, of how many accounts, the share that paid, and the money, in the main unit."""

    moments: int
    accounts: int
    pay_rate: float | None
    amount: float


@dataclass(frozen=True)
class SwapSet:
    """Who is in the tenth that is expected to bring most: by both models, by one of them alone, by neither."""

    both: Cell
    only_a: Cell
    only_b: Cell
    neither: Cell


@dataclass(frozen=True)
class Comparison:
    """Two models, `a` and `b`, on the same moments; `figures` by name, as in `training.metrics`.

    `sampling_error` is that of predicted by actual money.
    """

    question: Question
    a: Side
    b: Side
    moments: int
    accounts: int
    payers: int
    paying_accounts: int
    actual_amount: float
    sampling_error: float
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
        HistoryError: too few accounts paid for anything to be told, or they paid nothing on balance.
    """
    asked = a.holdout.moments
    others = b.holdout.moments
    if not (np.array_equal(asked.account, others.account) and np.array_equal(asked.as_of, others.as_of)):
        raise ValueError("two models are compared on the same moments")
    paid, actual = a.holdout.paid, a.holdout.net_amount
    paying_accounts = len(np.unique(asked.account[paid]))
    if paying_accounts < FEWEST_PAYERS or paid.all() or actual.sum() <= 0:
        raise HistoryError(
            f"a comparison needs {FEWEST_PAYERS} accounts that paid on unseen time, and some that did not, got "
            f"{paying_accounts} with {actual.sum():,.2f} paid on balance from {question.since[:10]} on; let more time "
            f"pass, or train both with an earlier --until"
        )
    weights = account_weights(asked.account, repeats, seed)
    return Comparison(
        question=question,
        a=_side(a),
        b=_side(b),
        moments=len(asked),
        accounts=len(np.unique(asked.account)),
        payers=int(paid.sum()),
        paying_accounts=paying_accounts,
        actual_amount=float(actual.sum()),
        sampling_error=a.holdout.metrics["predicted_to_actual_error"],
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
        return {
            "auc": weighted_auc(self.by_p, held.paid, weight),
            "brier": float(weight @ self.squared / total),
            "calibration_error": weighted_calibration_error(self.by_p, held.p_pay, held.paid, weight),
            "log_loss": float(weight @ self.log_loss / total),
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
    rows = holdout.bands.to_dict("records")
    return Side(
        model=bundle.label,
        sha256=bundle.digest,
        predicted_amount=float(holdout.expected_amount.sum()),
        chance_calibration_error=chance_calibration_error(holdout.p_pay),
        bands=tuple(
            BandRow(
                str(row["band"]), int(row["accounts"]), float(row["predicted_payers"]), int(row["actual_payers"]),
                float(row["predicted_amount"]), float(row["actual_amount"]),
            )
            for row in rows
        ),
        rise=largest_rise(holdout, bundle.manifest.band_thresholds),
    )  # fmt: skip


def chance_calibration_error(p: Floats, bins: int = 10) -> float:
    """The calibration error to expect of probabilities, `(n,)`, that are right, by chance alone.

    The actual rate of a group of `m` lies `sqrt(2 / pi)` standard errors from its mean on average, the standard error
    being `sqrt(sum p (1 - p)) / m`.
    """
    groups = np.array_split(p[np.argsort(p, kind="stable")], bins)
    return float(sum(np.sqrt(2 / np.pi * (group * (1 - group)).sum()) for group in groups) / len(p))


def largest_rise(holdout: Holdout, thresholds: tuple[float, ...]) -> Rise | None:
    """The rise of the actual pay rate from a better band to a worse one with the largest ratio to its standard error.

    The standard error is that of no difference between the two bands (a score test), summed by account, whose moments
    are not independent. None where no worse band paid more often than a better one.
    """
    accounts, which = np.unique(holdout.moments.account, return_inverse=True)
    place = np.array([BANDS.index(band) for band in band_of(holdout.p_pay, thresholds)])
    cell = which * len(BANDS) + place
    shape = (len(accounts), len(BANDS))
    moments = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    payers = np.bincount(cell[holdout.paid], minlength=shape[0] * shape[1]).reshape(shape)
    held = [band for band in range(len(BANDS)) if moments[:, band].any()]
    rises = [_rise(moments, payers, better, worse) for better in held for worse in held if better < worse]
    upward = [rise for rise in rises if rise.rise > 0]
    return max(upward, key=lambda rise: rise.rise / rise.standard_error, default=None)


def _rise(moments: Rows, payers: Rows, better: int, worse: int) -> Rise:
    """The rise between two bands, from the counts of each account in each of them, `(n_accounts, n_bands)`."""
    m, paid = moments[:, [better, worse]], payers[:, [better, worse]]
    total, rate = m.sum(axis=0), paid.sum(axis=0) / m.sum(axis=0)
    off = (paid - m * (paid.sum() / total.sum())) / total
    error = np.sqrt(((off[:, 1] - off[:, 0]) ** 2).sum())
    return Rise(BANDS[better], BANDS[worse], float(rate[1] - rate[0]), float(error))


def _swap_set(a: Holdout, b: Holdout) -> SwapSet:
    of_a, of_b = (np.isin(np.arange(len(held.paid)), top_tenth(held.expected_amount)) for held in (a, b))
    return SwapSet(
        both=_cell(a, of_a & of_b),
        only_a=_cell(a, of_a & ~of_b),
        only_b=_cell(a, of_b & ~of_a),
        neither=_cell(a, ~(of_a | of_b)),
    )


def _cell(holdout: Holdout, rows: Flags) -> Cell:
    moments = int(rows.sum())
    return Cell(
        moments=moments,
        accounts=len(np.unique(holdout.moments.account[rows])),
        pay_rate=float(holdout.paid[rows].mean()) if moments else None,
        amount=float(holdout.net_amount[rows].sum()),
    )
