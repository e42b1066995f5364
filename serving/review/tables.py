"""The tables of the review pages, from sums alone: predicted against actual, by band or any cut, and the curves.

predicted_against_actual(sums, by)            actual over expected with intervals, coloured where beyond noise
calibration(sums), gain(sums)                 the curves, from sums by hundredths of `p_pay`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from serving.review.intervals import Floats, Ratios, beyond_noise, money_ratios, payers_ratios, unlike_the_rest
from serving.review.reading import Missing, Sums, Where, matured_in_words, missing, read_sums
from serving.store.database import Store

#: Points of a calibration curve at most, each of about as many accounts.
_POINTS = 20


@dataclass(frozen=True)
class Table:
    """A table of the review: its rows, which observations count (a sentence), and what is missing where it is empty."""

    rows: pd.DataFrame
    counted: str
    missing: Missing | None = None


def against_actual(store: Store, by: str, where: Where) -> Table:
    """Predicted against actual by one of `serving.review.reading.BY`, of the observations that count.

    Raises:
        SettingsError: there is no such table.
        StoreError: the store cannot be read.
    """
    rows = predicted_against_actual(read_sums(store, by, where), by)
    return Table(rows, matured_in_words(store), missing(store) if rows.empty else None)


def predicted_against_actual(sums: Sums, by: str) -> pd.DataFrame:
    """What was predicted and what followed, a row for each value of what the sums are by.

    Its columns: `by`; accounts, balance; predicted_payers, predicted_rate (of the accounts), actual_payers, pay_rate,
    payers_ratio with payers_low, payers_high and payers_beyond, payers_apart; predicted_amount, actual_amount,
    money_ratio with money_low, money_high and money_beyond; cumulative_share (of the money, from the first row on);
    worked_share (accounts contacted in their windows); contacts; cost; cost_per_unit (cost / actual_amount). Amounts
    are in the main unit; a `_beyond` is true where a
    ratio is other than 1 beyond noise, and `payers_apart` where it is other than that of all other rows together, each
    by all rows of the table together.

    Args:
        sums: of the observations that count.
        by: what they are by, a column of their rows.
    """
    rows = sums.rows
    payers, money = ratios_of(sums)
    figures = (rows["payers"].to_numpy(np.float64), rows["predicted_payers"].to_numpy(np.float64))
    total = rows["paid"].sum()
    return pd.DataFrame(
        {
            by: rows[by],
            "accounts": rows["accounts"],
            "balance": rows["balance"],
            "predicted_payers": rows["predicted_payers"],
            "predicted_rate": quotient(rows["predicted_payers"], rows["accounts"]),
            "actual_payers": rows["payers"],
            "pay_rate": quotient(rows["payers"], rows["accounts"]),
            **_columns("payers", payers),
            "payers_apart": beyond_noise(unlike_the_rest(*figures, sums.payers_spread)),
            "predicted_amount": rows["expected"],
            "actual_amount": rows["paid"],
            **_columns("money", money),
            "cumulative_share": rows["paid"].cumsum() / total if total else np.nan,
            "worked_share": quotient(rows["worked_accounts"], rows["accounts"]),
            "contacts": rows["contacts"],
            "cost": rows["cost"],
            "cost_per_unit": quotient(rows["cost"], rows["paid"]),
        }
    )


def ratios_of(sums: Sums) -> tuple[Ratios, Ratios]:
    """Actual over predicted payers, and paid over expected money, of each row."""
    figures = {name: sums.rows[name].to_numpy(np.float64) for name in sums.rows.columns[1:]}
    payers = payers_ratios(
        figures["payers"], figures["predicted_payers"], figures["payers_variance"], sums.payers_spread
    )
    squares = (figures["paid_squared"], figures["expected_squared"], figures["expected_times_paid"])
    return payers, money_ratios(figures["paid"], figures["expected"], squares, sums.money_spread)


def _columns(of: str, ratios: Ratios) -> dict[str, object]:
    ends = {f"{of}_ratio": ratios.value, f"{of}_low": ratios.low, f"{of}_high": ratios.high}
    return {**ends, f"{of}_beyond": beyond_noise(ratios.p_value)}


def quotient(above: pd.Series[float], below: pd.Series[float]) -> Floats:
    """One sum over another, `(n,)`; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = above.to_numpy(np.float64) / below.to_numpy(np.float64)
    return np.where(below.to_numpy() > 0, found, np.nan)


# ------------------------------------------------------------------------------- curves


def _by_chance(sums: Sums) -> pd.DataFrame:
    """Sums by hundredths of `p_pay`, the highest first."""
    rows = sums.rows.assign(p_pay=sums.rows["p_pay"].astype(np.int64))
    return rows.sort_values("p_pay", ascending=False, ignore_index=True)


def calibration(sums: Sums) -> pd.DataFrame:
    """Predicted against actual share of payers, over at most 20 groups of neighbouring hundredths, the highest first.

    Columns: accounts, predicted, actual, low, high (of what the actual share would be in truth), beyond.
    """
    rows = _by_chance(sums)
    if rows.empty:
        return pd.DataFrame(columns=["accounts", "predicted", "actual", "low", "high", "beyond"])
    reached = rows["accounts"].cumsum()
    group = ((reached - rows["accounts"] / 2) / reached.iloc[-1] * _POINTS).astype(np.int64)
    grouped = rows.groupby(group)[["accounts", "predicted_payers", "payers_variance", "payers"]].sum()
    n, predicted, variance, payers = (grouped[name].to_numpy(np.float64) for name in grouped)
    ratios = payers_ratios(payers, predicted, variance, sums.payers_spread)
    mean = predicted / n
    return pd.DataFrame(
        {
            "accounts": n.astype(np.int64),
            "predicted": mean,
            "actual": payers / n,
            "low": mean * ratios.low,
            "high": np.minimum(mean * ratios.high, 1.0),
            "beyond": beyond_noise(ratios.p_value),
        }
    )


@dataclass(frozen=True)
class Gain:
    """A gain curve and what it comes to.

    `curve` has the shares of accounts, payers and money reached from the highest `p_pay` on, the point zero included.
    `gini` is 2 × AUC - 1; `ks` is the largest distance between the shares of payers and of others; `lift` is the share
    of payers among the first tenth of accounts over that among all.
    """

    curve: pd.DataFrame
    gini: float
    ks: float
    lift: float


def gain(sums: Sums) -> Gain:
    """The gain curve; NaN for what cannot be told where nobody, or everybody, paid. Straight within a hundredth."""
    rows = _by_chance(sums)
    accounts, payers, paid = (
        np.r_[0.0, rows[name].to_numpy(np.float64).cumsum()] for name in ("accounts", "payers", "paid")
    )
    others = accounts - payers
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = pd.DataFrame(
            {"accounts": accounts / accounts[-1], "payers": payers / payers[-1], "money": paid / paid[-1]}
        )
        not_paying = others / others[-1]
        area = float(np.trapezoid(curve["payers"], not_paying))
        ks = float(np.max(curve["payers"].to_numpy() - not_paying))
        lift = float(np.interp(0.1, curve["accounts"], curve["payers"]) / 0.1)
    return Gain(curve, 2 * area - 1, ks, lift)


def tenths_of(curve: pd.DataFrame) -> pd.DataFrame:
    """The first row of a gain curve from each tenth of the accounts on: hundredths are for drawing."""
    tenths = curve.assign(tenth=(curve["accounts"] * 10).round(9).astype(int))
    return tenths[tenths["tenth"] > 0].drop_duplicates("tenth")
