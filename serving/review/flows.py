"""What becomes of accounts over months: liquidation of placements, moves between stages, and two models' orders.

liquidation(store)                 per vintage and month: what was paid of what was placed, and what was expected
roll_rates(store)                  from the stage of a month to that of the next
swap_set(store, months, tenths)    who is at the top by the champion, by the challenger, by both, and what they paid
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import sqlalchemy as sql

from features.units import MONEY_SCALE
from serving.languages.language import translatable
from serving.review.intervals import share_interval
from serving.review.months import shifted
from serving.review.reading import ROLLUP, Missing, matured_in_words, missing
from serving.review.rollup import progress_of
from serving.review.tables import Table, quotient
from serving.store.database import Store
from serving.store.rollups import P_SCALE, calendar_months, cells, collections, placements, stage_moves, swaps

#: After every month.
LAST_MONTH = 999_912
_NO_PLACEMENT = translatable(
    "no account was placed yet, or none was rolled up: load the portfolio, then call {command}"
)


def liquidation(store: Store) -> Table:
    """The liquidation curve of each placement month.

    Columns: vintage, month, age (whole months since); accounts, placed; paid (in the month), liquidation_rate (paid so
    far / placed); expected_rate and scored_rate, the same of what scores expected and of what was paid in their
    windows, so far as these have matured; complete, false for the month that is not over yet. Erased accounts are in
    none of it.
    """
    with store.reading() as connection:
        progress = progress_of(connection)
        placed = pd.DataFrame(
            connection.execute(sql.select(placements)).all(), columns=["vintage", "accounts", "placed"]
        )
        paid = pd.DataFrame(connection.execute(sql.select(collections)).all(), columns=["vintage", "month", "paid"])
        scored = _scored(connection)
        last = None if progress is None else _month_of(connection, progress.known_until - 1)
    counted = matured_in_words(store)
    if placed.empty or last is None:
        return Table(pd.DataFrame(columns=_LIQUIDATION), counted, Missing(_NO_PLACEMENT, parts=ROLLUP))
    months = [(vintage, month) for vintage in placed["vintage"] for month in _months_from(int(vintage), last)]
    rows = pd.DataFrame(months, columns=["vintage", "month"]).merge(placed, on="vintage")
    rows = rows.merge(paid, "left", ["vintage", "month"]).merge(scored, "left", ["vintage", "month"]).fillna(0)
    by_vintage = rows.groupby("vintage")
    for name in ("placed", "paid", "expected", "scored_paid"):
        rows[name] = rows[name].astype(np.float64) / MONEY_SCALE
    for rate, name in (
        ("liquidation_rate", "paid"), ("expected_rate", "expected"), ("scored_rate", "scored_paid")
    ):  # fmt: skip
        rows[rate] = quotient(by_vintage[name].cumsum(), rows["placed"])
    rows["age"], rows["complete"] = by_vintage.cumcount(), rows["month"] < last
    return Table(rows[list(_LIQUIDATION)], counted)


_LIQUIDATION = (
    *("vintage", "month", "age", "accounts", "placed", "paid", "liquidation_rate", "expected_rate", "scored_rate"),
    "complete",
)


def _months_from(vintage: int, last: int) -> list[int]:
    months = [vintage]
    while months[-1] < last:
        months.append(shifted(months[-1], 1))
    return months


def _month_of(connection: sql.Connection, instant: int) -> int:
    before = sql.select(calendar_months.c.month).where(calendar_months.c.start <= instant)
    return int(connection.execute(before.order_by(calendar_months.c.start.desc()).limit(1)).scalar_one())


def _scored(connection: sql.Connection) -> pd.DataFrame:
    """What the champion's scores expected of each vintage and month, and what was paid in their windows."""
    query = (
        sql.select(cells.c.value, cells.c.month, sql.func.sum(cells.c.expected), sql.func.sum(cells.c.paid))
        .where(cells.c.cut == "vintage", cells.c.role == "champion", cells.c.matured)
        .group_by(cells.c.value, cells.c.month)
    )
    rows = [(int(vintage), *rest) for vintage, *rest in connection.execute(query)]
    return pd.DataFrame(rows, columns=["vintage", "month", "expected", "scored_paid"])


def roll_rates(store: Store) -> Table:
    """From the stage of a month's first score to that of the next month's, by the champion's scores.

    Columns: month, stage, stage_after (`not scored`: paid off, closed, or not asked for), accounts, balance, share (of
    the stage's accounts), balance_share. A month is shown once the next is over.
    """
    with store.reading() as connection:
        progress = progress_of(connection)
        rows = pd.DataFrame(connection.execute(sql.select(stage_moves)).all(), columns=[*stage_moves.columns.keys()])
        last = None if progress is None else _month_of(connection, progress.known_until)
    rows = rows[rows["month"] < shifted(last, -1)] if last is not None else rows
    if rows.empty:
        lacks = missing(store) or Missing(translatable("roll rates come once two months with scores are over"))
        return Table(pd.DataFrame(columns=_ROLLS), matured_in_words(store), lacks)
    rows = rows.sort_values(["month", "stage", "stage_after"], ignore_index=True)
    rows["balance"] = rows["balance"].astype(np.float64) / MONEY_SCALE
    rows["stage_after"] = rows["stage_after"].replace("", "not scored")
    for share, name in (("share", "accounts"), ("balance_share", "balance")):
        rows[share] = quotient(rows[name], rows.groupby(["month", "stage"])[name].transform("sum"))
    return Table(rows[list(_ROLLS)], matured_in_words(store))


_ROLLS = ("month", "stage", "stage_after", "accounts", "balance", "share", "balance_share")


def months_of_swaps(store: Store) -> list[int]:
    """The months in which a champion and a challenger scored the same accounts, in order."""
    with store.reading() as connection:
        found = connection.execute(sql.select(swaps.c.month).distinct().order_by(swaps.c.month))
        return [int(month) for month in found.scalars()]


def swap_set(store: Store, first_month: int = 0, last_month: int = LAST_MONTH, tenths: int = 2) -> Table:
    """Champion and challenger on the same accounts at the same moments: who would be at the top by which.

    Columns: champion, challenger (the models), set (`both`, `champion alone`, `challenger alone`, `neither`), accounts,
    payers, pay_rate with its interval, predicted_by_champion, predicted_by_challenger (payers), paid. The top are the
    first `tenths` of a month's accounts by `p_pay`.
    """
    query = sql.select(swaps).where(swaps.c.month.between(first_month, last_month))
    with store.reading() as connection:
        rows = pd.DataFrame(connection.execute(query).all(), columns=[*swaps.columns.keys()])
    if rows.empty:
        lacks = missing(store) or Missing(
            translatable("no challenger has scored the same accounts, or none of its windows has matured")
        )
        return Table(pd.DataFrame(columns=_SWAPS), matured_in_words(store), lacks)
    by_champion, by_challenger = rows["champion_tenth"] <= tenths, rows["challenger_tenth"] <= tenths
    names = np.array(["neither", "challenger alone", "champion alone", "both"])
    rows["set"] = names[2 * by_champion.to_numpy(np.int64) + by_challenger.to_numpy(np.int64)]
    figures = ["accounts", "champion_payers", "challenger_payers", "payers", "paid"]
    found = rows.groupby(["champion", "challenger", "set"], as_index=False)[figures].sum()
    found["predicted_by_champion"] = found["champion_payers"] / P_SCALE
    found["predicted_by_challenger"] = found["challenger_payers"] / P_SCALE
    found["paid"] = found["paid"].astype(np.float64) / MONEY_SCALE
    payers, accounts = (found[name].to_numpy(np.float64) for name in ("payers", "accounts"))
    found["pay_rate"] = payers / accounts
    found["pay_rate_low"], found["pay_rate_high"] = share_interval(payers, accounts)
    return Table(found[list(_SWAPS)], matured_in_words(store))


_SWAPS = (
    *("champion", "challenger", "set", "accounts", "payers", "pay_rate", "pay_rate_low", "pay_rate_high"),
    *("predicted_by_champion", "predicted_by_challenger", "paid"),
)
