"""The overview: a month's predicted and actual payers and money, its key figures, and what changed since the last.

parts(store, month)          the part that has matured and the part that is open
key_figures(store, month)    each with its formula and interval, beside those of the month before
unlike_the_rest(...)         where payers are off by another ratio than in the rest
changes(store, month)        what was paid and what ratio to expectation changed, and where

Only months all of whose outcomes are known are compared: what a part of a month has paid says nothing of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import sqlalchemy as sql

from serving.languages.language import translatable
from serving.review.intervals import (
    Floats,
    Ratios,
    beyond_noise,
    changes_between,
    differences_between,
    predicted_range,
    share_ratios,
    sum_ratios,
)
from serving.review.months import shifted
from serving.review.reading import (
    Day,
    Missing,
    Month,
    Sums,
    Where,
    matured_in_words,
    missing,
    read_maturity,
    read_person_squares,
    read_sums,
)
from serving.review.rollup import progress_of
from serving.review.statements import SETTLING
from serving.review.tables import Table, against_actual, quotient, ratios_of
from serving.store.database import Store
from serving.store.rollups import observations

#: Where changes are looked for.
_PLACES = ("segment", "portfolio", "stage", "vintage", "channel")


@dataclass(frozen=True)
class KeyFigure:
    """A key figure: one sum over another, which it `is_part` of or not.

    `better` says whether more of it is better, or less; blank where neither is. A `share` is written in per cent.
    """

    name: str
    above: str
    below: str
    formula: str
    better: Literal["more", "less", ""]
    is_part: bool = False
    written: Literal["share", "ratio"] = "ratio"


KEY_FIGURES = (
    KeyFigure(
        translatable("recovery rate"), "paid", "balance", translatable("collected / outstanding of accounts scored"),
        "more", written="share",
    ),
    KeyFigure(
        translatable("cure rate"), "cured", "accounts",
        translatable("accounts that paid the whole balance / accounts scored"), "more", is_part=True, written="share",
    ),
    KeyFigure(
        translatable("self-cure rate"), "self_cured", "accounts",
        translatable("accounts that paid the whole balance before any contact / accounts scored"),
        "more", is_part=True, written="share",
    ),
    KeyFigure(
        translatable("penetration"), "worked_accounts", "accounts", translatable("accounts worked / accounts scored"),
        "", is_part=True, written="share",
    ),
    KeyFigure(translatable("intensity"), "contacts", "worked_accounts", translatable("attempts / accounts worked"), ""),
    KeyFigure(
        translatable("calls per recovery"), "calls", "payers", translatable("calls / accounts that paid"), "less"
    ),
    KeyFigure(
        translatable("right-party rate"), "right_parties", "contacts", translatable("right-party contacts / attempts"),
        "more", is_part=True, written="share",
    ),
    KeyFigure(
        translatable("promise rate"), "promises", "right_parties", translatable("promises / right-party contacts"),
        "more", written="share",
    ),
    KeyFigure(
        translatable("kept rate"), "promises_kept", "promises_due", translatable("promises kept / promises due"),
        "more", is_part=True, written="share",
    ),
    KeyFigure(translatable("cost per unit"), "cost", "paid", translatable("cost of contacts / collected"), "less"),
    KeyFigure(
        translatable("days to collect"), "days_to_pay", "payers",
        translatable("days from score to first payment / accounts that paid"), "less",
    ),
)  # fmt: skip
#: By their names.
FIGURES: Mapping[str, KeyFigure] = {figure.name: figure for figure in KEY_FIGURES}


def months_with_scores(store: Store) -> list[int]:
    """The months that have observations, open ones included, in order."""
    return list(read_maturity(store, Where()))


def months_with_outcomes(store: Store) -> list[int]:
    """The months that have observations whose outcome is known, in order."""
    return [month for month, (known, _) in read_maturity(store, Where()).items() if known]


def whole_months(store: Store) -> list[int]:
    """The months of whose observations every outcome is known, in order."""
    return [month for month, (_, unknown) in read_maturity(store, Where()).items() if not unknown]


def parts(store: Store, month: int, where: Where | None = None) -> Table:
    """A month's matured and open part, a row each.

    Columns: part; accounts, balance; predicted_payers with predicted_payers_low and _high (what it would be within by
    chance if predictions are right); actual_payers, payers_ratio, payers_low, payers_high, and payers_beyond, whether
    that range does not hold 1; the same of amounts. What is open has no actual figures, and its range of money is that
    of matured money, of this month or all, scaled to it.
    """
    of_month = _of_month(where, month)
    by_part = {name: read_sums(store, "month", replace(of_month, matured=name == "matured")) for name in _PARTS}
    money_variance = _variance_of_money(by_part["matured"])
    if np.isnan(money_variance):
        money_variance = _variance_of_money(read_sums(store, "month", replace(of_month, first_month=0)))
    rows = [_part(name, sums, money_variance) for name, sums in by_part.items() if len(sums.rows)]
    return Table(pd.DataFrame(rows), matured_in_words(store), _lacks(store, month, len(by_part["matured"].rows) > 0))


_PARTS = ("matured", "open")


def _of_month(where: Where | None, month: int) -> Where:
    return replace(where or Where(), first_month=month, last_month=month)


def _lacks(store: Store, month: int, is_known: bool) -> Missing | None:
    return None if is_known else missing(store) or open_month(store, month)


def open_month(store: Store, month: int) -> Missing:
    """That no outcome of a month has matured yet, and when the first does; only asked where that is so.

    Raises:
        StoreError: the store cannot be read.
    """
    first, _, known_until = _open_windows(store, month)
    if first is None:
        return Missing(translatable("no account was scored in {month}"), parts={"month": Month(month)})
    return Missing(
        translatable(
            "no outcome of {month} has matured yet: the first comes on {first}, once rows of that day are in the "
            "store; its last ones are of {last}"
        ),
        first,
        {"month": Month(month), "first": Day(first), "last": Day(known_until)},
    )


def unfinished_month(store: Store, month: int, where: Where | None = None) -> Missing | None:
    """That not every outcome of a month is known yet, and when all are; None where they are, or nobody was scored.

    Raises:
        StoreError: the store cannot be read.
    """
    matured, total = matured_so_far(store, month, where)
    if matured == total:
        return None
    _, last, known_until = _open_windows(store, month)
    if last is None:  # the last of them has matured since
        return None
    return Missing(
        translatable(
            "{matured} of {total} accounts of {month} have matured so far; all have on {whole}, once rows of that day "
            "are in the store; its last ones are of {last}"
        ),
        last,
        {
            "matured": matured, "total": total, "month": Month(month), "whole": Day(last), "last": Day(known_until),
        },
    )  # fmt: skip


def matured_so_far(store: Store, month: int, where: Where | None = None) -> tuple[int, int]:
    """Of how many accounts of a month the outcome is known, and how many there are."""
    known, unknown = read_maturity(store, _of_month(where, month)).get(month, (0, 0))
    return known, known + unknown


def _open_windows(store: Store, month: int) -> tuple[int | None, int | None, int]:
    """When the first and the last open outcome of a month come, and up to when rows are in the store."""
    end = observations.c.window_end
    ends = sql.select(sql.func.min(end), sql.func.max(end)).where(
        observations.c.month == month, observations.c.matured.is_(False)
    )
    with store.reading() as connection:
        found = connection.execute(ends).one()
        progress = progress_of(connection)
    first, last = (None if each is None else int(each) + SETTLING for each in found)
    return first, last, progress.known_until if progress else 0


def _variance_of_money(sums: Sums) -> float:
    """The variance of what is paid for each unit that is expected, by what followed; NaN where nothing has."""
    total = sums.rows[["paid_squared", "expected_squared", "expected_times_paid", "expected"]].sum()
    around = total["paid_squared"] - 2 * total["expected_times_paid"] + total["expected_squared"]
    return float(sums.money_spread * around / total["expected"]) if total["expected"] else np.nan


def _part(name: str, sums: Sums, money_variance: float) -> dict[str, object]:
    row = sums.rows.iloc[0]
    payers, money = ratios_of(sums)
    predicted, expected = np.array([row["predicted_payers"]]), np.array([row["expected"]])
    payers_range = predicted_range(predicted, sums.payers_spread * np.array([row["payers_variance"]]))
    money_range = predicted_range(expected, money_variance * expected)
    is_matured = name == "matured"

    def known(figure: float) -> float:
        return float(figure) if is_matured else np.nan

    def is_beyond(ratio: Ratios) -> bool:
        return is_matured and bool(ratio.low[0] > 1 or ratio.high[0] < 1)

    return {
        "part": name,
        "accounts": row["accounts"],
        "balance": row["balance"],
        "predicted_payers": predicted[0],
        "predicted_payers_low": payers_range[0][0],
        "predicted_payers_high": payers_range[1][0],
        "actual_payers": known(row["payers"]),
        "payers_ratio": known(payers.value[0]),
        "payers_low": known(payers.low[0]),
        "payers_high": known(payers.high[0]),
        "payers_beyond": is_beyond(payers),
        "predicted_amount": expected[0],
        "predicted_amount_low": money_range[0][0],
        "predicted_amount_high": money_range[1][0],
        "actual_amount": known(row["paid"]),
        "money_ratio": known(money.value[0]),
        "money_low": known(money.low[0]),
        "money_high": known(money.high[0]),
        "money_beyond": is_beyond(money),
    }


def key_figures(store: Store, month: int, where: Where | None = None) -> Table:
    """The key figures of a month's matured part, each with its interval, beside those of the month before.

    Columns: figure, formula; value, low, high; value_before, low_before, high_before; beyond: whether it is other than
    the month before beyond noise, by all figures together. Where cells are cut there are no intervals. What is before
    is NaN where the two months do not compare; there are no rows where no outcome is known.
    """
    places = [_of_month(where, each) for each in (month, shifted(month, -1))]
    sums = [read_sums(store, "month", place) for place in places]
    told = [
        _intervals(each.rows.drop(columns="month").sum(), read_person_squares(store, place))
        for each, place in zip(sums, places, strict=True)
    ]
    if _no_comparison(store, month, where):
        told[1] = Ratios(*np.full((len(_ENDS_OF), len(KEY_FIGURES)), np.nan))
    rows = pd.DataFrame(
        {
            "figure": [figure.name for figure in KEY_FIGURES],
            "formula": [figure.formula for figure in KEY_FIGURES],
            **_ends(told[0], ""),
            **_ends(told[1], "_before"),
            "beyond": beyond_noise(np.where(_IS_PART, differences_between(*told), changes_between(*told))),
        }
    )
    is_known = len(sums[0].rows) > 0
    return Table(rows if is_known else rows[:0], matured_in_words(store), _lacks(store, month, is_known))


def _no_comparison(store: Store, month: int, where: Where | None) -> Missing | None:
    """Why a month is not compared with the one before; None where every outcome of both is known."""
    for each in (month, shifted(month, -1)):
        matured, total = matured_so_far(store, each, where)
        if not matured:
            return _lacks(store, each, is_known=False)
        if matured < total:
            return unfinished_month(store, each, where)
    return None


_PAIRS = tuple((figure.above, figure.below) for figure in KEY_FIGURES)
_IS_PART = np.array([figure.is_part for figure in KEY_FIGURES])


def _intervals(total: pd.Series[float], squares: Mapping[str, float]) -> Ratios:
    """The key figures with their intervals, from the sums of a month."""
    above, below = (np.array([float(total[name]) for name in names]) for names in zip(*_PAIRS, strict=True))
    of_persons = (
        np.array([squares[f"{first}_squared"] for first, _ in _PAIRS]),
        np.array([squares[f"{second}_squared"] for _, second in _PAIRS]),
        np.array([squares[f"{first}_times_{second}"] for first, second in _PAIRS]),
    )
    parts_of, others = share_ratios(above, below, of_persons), sum_ratios(above, below, of_persons)
    return Ratios(*(np.where(_IS_PART, getattr(parts_of, name), getattr(others, name)) for name in _ENDS_OF))


_ENDS_OF = ("value", "low", "high", "p_value")


def _ends(told: Ratios, suffix: str) -> dict[str, Floats]:
    return {f"value{suffix}": told.value, f"low{suffix}": told.low, f"high{suffix}": told.high}


def unlike_the_rest(store: Store, month: int, where: Where | None = None) -> Table:
    """Where payers of a month's matured part are off by another ratio than in the rest of it, beyond noise.

    By each cut alone, so that one part may come up under several. Columns: cut, value; accounts, predicted_payers,
    actual_payers, payers_ratio with payers_low and payers_high; rest_ratio, that of all others. Where the most payers
    are off is first.
    """
    found = [_unlike(store, cut, _of_month(where, month)) for cut in _PLACES]
    rows = pd.concat([each for each in found if len(each)] or found, ignore_index=True)
    off = (rows["actual_payers"] - rows["predicted_payers"] * rows["rest_ratio"]).astype(np.float64).abs()
    shown = rows.loc[off.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
    is_known = len(shown) > 0 or matured_so_far(store, month, where)[0] > 0
    return Table(shown, matured_in_words(store), _lacks(store, month, is_known))


def _unlike(store: Store, cut: str, where: Where) -> pd.DataFrame:
    rows = against_actual(store, cut, where).rows
    others = {name: rows[name].sum() - rows[name] for name in ("actual_payers", "predicted_payers")}
    rows = rows.assign(cut=cut, value=rows[cut], rest_ratio=quotient(*others.values()))
    return rows.loc[rows["payers_apart"], list(_UNLIKE)]


_UNLIKE = (
    *("cut", "value", "accounts", "predicted_payers", "actual_payers", "payers_ratio", "payers_low", "payers_high"),
    "rest_ratio",
)


def changes(store: Store, month: int, where: Where | None = None) -> Table:
    """What changed since the month before: of all together, then of each value of some cuts, the largest change first.

    Columns: cut (`all` of the first row), value; actual_amount, actual_amount_before, change; money_ratio,
    money_ratio_before, and beyond: whether that ratio changed beyond noise, by all rows of the table together. There
    are no rows unless every outcome of both months is known.
    """
    lacks = _no_comparison(store, month, where)
    if lacks is not None:
        return Table(pd.DataFrame(columns=list(_CHANGES)), matured_in_words(store), lacks)
    whole = _changes_by(store, "role", month, where).assign(cut="all", value="")
    by_cut = pd.concat([_changes_by(store, cut, month, where) for cut in _PLACES], ignore_index=True)
    order = by_cut["change"].abs().sort_values(ascending=False, kind="stable").index
    rows = pd.concat([whole, by_cut.loc[order]], ignore_index=True)
    rows["beyond"] = beyond_noise(rows.pop("p_value").to_numpy(np.float64))
    return Table(rows[list(_CHANGES)], matured_in_words(store))


_CHANGES = (
    *("cut", "value", "actual_amount", "actual_amount_before", "change", "money_ratio", "money_ratio_before"),
    "beyond",
)


def _changes_by(store: Store, cut: str, month: int, where: Where | None) -> pd.DataFrame:
    both = [read_sums(store, cut, _of_month(where, each)) for each in (month, shifted(month, -1))]
    values = sorted({*both[0].rows[cut], *both[1].rows[cut]})
    now, before = (
        replace(sums, rows=sums.rows.set_index(cut).reindex(values).fillna(0).reset_index()) for sums in both
    )
    ratios = [ratios_of(sums)[1] for sums in (before, now)]
    paid, paid_before = now.rows["paid"], before.rows["paid"]
    return pd.DataFrame(
        {
            "cut": cut,
            "value": values,
            "actual_amount": paid,
            "actual_amount_before": paid_before,
            "change": paid - paid_before,
            "money_ratio": quotient(paid, now.rows["expected"]),
            "money_ratio_before": quotient(paid_before, before.rows["expected"]),
            "p_value": changes_between(*ratios),
        }
    )
