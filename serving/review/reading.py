"""Sums as the tables read them: which cells, and what is missing where there are none.

read_sums(store, by, where) -> Sums
values(store, first_month, last_month) -> what there is to choose from
missing(store) -> Missing | None
reached(store) -> how far sums reach
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sql

from features.errors import SettingsError
from features.units import DAY, MONEY_SCALE, format_day
from serving.languages.language import translatable
from serving.review import statements
from serving.review.months import in_words
from serving.review.rollup import Progress, last_rolled, progress_of
from serving.review.statements import CUTS, SETTLING
from serving.store.database import Store
from serving.store.histories import tables
from serving.store.ledger import answers, scores
from serving.store.rollups import OF_PERSONS, P_SCALE, SQUARES, SUMS, cells, observations, residuals

#: What a table's rows may be of: a cut of `serving.review.statements`, or one of these.
OF_CELLS = ("band", "month", "model", "arm", "worked", "role")
BY = (*OF_CELLS, *(cut for cut in CUTS if cut != "all"))
#: What makes the sums.
ROLLUP: Mapping[str, str] = {"command": "recoup rollup"}
#: The accounts that were contacted in their windows.
WORKED = "worked_accounts"
_MONEY = ("balance", "expected", "paid", "cost")
#: What one unit of a sum is in the store; other sums are whole numbers there and here, and squares are as they are.
_UNITS = dict.fromkeys(_MONEY, MONEY_SCALE) | {
    "predicted_payers": P_SCALE,
    "payers_variance": P_SCALE,
    "days_to_pay": DAY,
}
_WHOLE = tuple(name for name in SUMS if name not in _UNITS)


@dataclass(frozen=True)
class Where:
    """Which observations count: of some months, both included, a role, and what else is given.

    `cut` and `value` name one value of a cut, such as `segment` and `card`.
    """

    first_month: int = 0
    last_month: int = 999_912
    role: Literal["champion", "challenger"] = "champion"
    matured: bool = True
    model: str | None = None
    arm: str | None = None
    worked: bool | None = None
    cut: str = "all"
    value: str = ""


@dataclass(frozen=True)
class Day:
    """The day of an instant, to be written as a page writes days."""

    at: int

    def __str__(self) -> str:
        return format_day(self.at)


@dataclass(frozen=True)
class Month:
    """A month, a number like 202610, to be written as a page writes months."""

    number: int

    def __str__(self) -> str:
        return in_words(self.number)


@dataclass(frozen=True)
class Missing:
    """What there is not yet, and when it comes: an instant, None where that hangs on somebody.

    `template` is what is said of it, to be translated, then filled in with `parts`: texts, counts, days and months.
    """

    template: str
    comes_at: int | None = None
    parts: Mapping[str, str | int | Day | Month] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What is said of it in English, days and months as machines write them."""
        return self.template.format(**self.parts)


@dataclass(frozen=True)
class Sums:
    """Sums of what was predicted and what followed.

    `rows` has a row for each value of what it is by, in the column `by`; `SUMS` and `SQUARES`, in the main unit; and in
    `worked_accounts` how many accounts were contacted in their windows.
    `payers_spread` and `money_spread` are how much wider outcomes spread than independent ones would, since a person
    may owe several debts; at least 1.
    """

    rows: pd.DataFrame
    payers_spread: float = 1.0
    money_spread: float = 1.0


def read_sums(store: Store, by: str, where: Where) -> Sums:
    """The sums of the cells that count, by one of `BY`.

    Raises:
        SettingsError: there is no such table, or it is one of two cuts at once, which are not kept.
        StoreError: the store cannot be read.
    """
    if by not in BY or where.cut not in CUTS:
        raise SettingsError(f"a table's rows are by {', '.join(BY)}; got {by!r} of {where.cut!r}")
    if by not in OF_CELLS and where.cut not in {"all", by}:
        raise SettingsError(f"sums are kept by one cut at a time, got {by} of one {where.cut}; leave one of them out")
    cut = where.cut if by in OF_CELLS else by
    key = cells.c[by] if by in OF_CELLS else cells.c.value
    names = (*SUMS, *SQUARES)
    figures = [sql.func.sum(cells.c[name]) for name in names]
    worked = sql.func.sum(sql.case((cells.c.worked, cells.c.accounts), else_=0))
    query = sql.select(key, *figures, worked).where(*_conditions(where, cut)).group_by(key).order_by(key)
    spread = sql.select(*(sql.func.sum(residuals.c[name]) for name in _RESIDUALS))
    spread = spread.where(*_of(residuals, where))
    with store.reading() as connection:
        found = connection.execute(query).all()
        each, together, money_each, money_together = tuple(connection.execute(spread).one())
    columns = zip(*found, strict=True) if found else ((),) * (len(names) + 2)
    keys, *figures_of = columns
    rows = pd.DataFrame({by: list(keys), **_in_units(dict(zip((*names, WORKED), figures_of, strict=True)))})
    return Sums(rows, _spread(together, each), _spread(money_together, money_each))


def read_person_squares(store: Store, where: Where) -> dict[str, float]:
    """The sums of squares and products over persons, `OF_PERSONS`; NaN of what is cut further than by model.

    Raises:
        StoreError: the store cannot be read.
    """
    if (where.cut, where.arm, where.worked, where.matured) != ("all", None, None, True):
        return dict.fromkeys(OF_PERSONS, np.nan)
    query = sql.select(*(sql.func.sum(residuals.c[name]) for name in OF_PERSONS)).where(*_of(residuals, where))
    with store.reading() as connection:
        found = connection.execute(query).one()
    return {name: np.nan if value is None else float(value) for name, value in zip(OF_PERSONS, found, strict=True)}


_RESIDUALS = ("payers_each", "payers_by_person", "money_each", "money_by_person")


def _of(table: sql.Table, where: Where) -> list[sql.ColumnElement[bool]]:
    conditions = [table.c.month.between(where.first_month, where.last_month), table.c.role == where.role]
    return conditions if where.model is None else [*conditions, table.c.model == where.model]


def read_maturity(store: Store, where: Where) -> dict[int, tuple[int, int]]:
    """Of how many accounts of each month the outcome is known, and of how many it is not, by the month, in order.

    Raises:
        StoreError: the store cannot be read.
    """
    accounts = sql.func.sum(cells.c.accounts)
    query = sql.select(cells.c.month, cells.c.matured, accounts).where(*_places(where, where.cut))
    found: dict[int, tuple[int, int]] = {}
    with store.reading() as connection:
        for month, is_known, n in connection.execute(query.group_by(cells.c.month, cells.c.matured)):
            known, unknown = found.get(month, (0, 0))
            found[int(month)] = (known + int(n), unknown) if is_known else (known, unknown + int(n))
    return dict(sorted(found.items()))


def _conditions(where: Where, cut: str) -> list[sql.ColumnElement[bool]]:
    return [*_places(where, cut), cells.c.matured.is_(where.matured)]


def _places(where: Where, cut: str) -> list[sql.ColumnElement[bool]]:
    """Which cells count, whether they have matured or not."""
    conditions = [*_of(cells, where), cells.c.cut == cut]
    if where.cut != "all":
        conditions.append(cells.c.value == where.value)
    if where.arm is not None:
        conditions.append(cells.c.arm == where.arm)
    if where.worked is not None:
        conditions.append(cells.c.worked.is_(where.worked))
    return conditions


def _in_units(sums: Mapping[str, Sequence[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Counts as whole numbers, amounts in the main unit, times in days; PostgreSQL gives sums as decimals."""
    whole = {name: np.array(column, np.int64) for name, column in sums.items() if name in {*_WHOLE, WORKED}}
    others = {name: np.array(column, np.float64) / _UNITS.get(name, 1) for name, column in sums.items()}
    return others | whole


def _spread(together: float | None, each: float | None) -> float:
    return max(1.0, float(together) / float(each)) if together and each else 1.0


def values(store: Store, first_month: int, last_month: int) -> dict[str, list[str]]:
    """What observations of some months may be chosen by: the values of each cut, of models, arms and roles, in order.

    Raises:
        StoreError: the store cannot be read.
    """
    of_months = cells.c.month.between(first_month, last_month)
    cut_values = sql.select(cells.c.cut, cells.c.value).where(of_months, cells.c.cut.not_in(["all", "p_pay"]))
    others = [
        sql.select(sql.literal(name), cells.c[name]).where(of_months, cells.c.cut == "all")
        for name in ("model", "arm", "role")
    ]
    found: dict[str, list[str]] = {}
    with store.reading() as connection:
        for name, value in sorted(tuple(row) for row in connection.execute(sql.union(cut_values, *others))):
            found.setdefault(name, []).append(value)
    return found


@dataclass(frozen=True)
class Reached:
    """How far sums reach: windows that ended by `matured_until` have matured, an instant.

    `rolled_at` is the moment of the last roll-up; both are None where there is none yet. `is_behind` says whether
    scores were given since that are in no sum.
    """

    matured_until: int | None = None
    rolled_at: int | None = None
    is_behind: bool = False


def reached(store: Store) -> Reached:
    """How far the sums of a store reach.

    Raises:
        StoreError: the store cannot be read.
    """
    with store.reading() as connection:
        progress = progress_of(connection)
        if progress is None:
            return Reached()
        until = _matured_until(progress)
        rolled_at, rolled_to = last_rolled(connection)
        later = sql.select(scores.c.answer_id).where(scores.c.answer_id > (rolled_to or 0))
        return Reached(until, rolled_at, rolled_to is not None and _has(connection, later))


def _matured_until(progress: Progress) -> int | None:
    return progress.known_until - SETTLING if progress.known_until else None


def matured_in_words(store: Store) -> str:
    """Up to where outcomes are known: what is said with every table."""
    with store.reading() as connection:
        progress = progress_of(connection)
    until = None if progress is None else _matured_until(progress)
    if until is None:
        return "no outcome is known yet"
    when = f"scores whose windows ended by {format_day(until)}"
    return f"{when}; what was recorded up to {SETTLING // DAY} days later counts"


def missing(store: Store) -> Missing | None:
    """What is missing for predicted against actual; None where an outcome has matured."""
    with store.reading() as connection:
        progress = progress_of(connection)
        if progress is None:
            return _missing_of_scores(connection, None)
        if _has(connection, sql.select(observations.c.month).where(observations.c.matured)):
            is_paid = _has(connection, sql.select(tables["payments"].c.account_id))
            no_payment = translatable("no payment is in the store yet: send payments, or load them")
            return None if is_paid else Missing(no_payment)
        first_end = connection.execute(sql.select(sql.func.min(observations.c.window_end))).scalar_one()
        if first_end is None:
            return _missing_of_scores(connection, progress)
    comes_at = int(first_end) + SETTLING
    return Missing(
        translatable(
            "no outcome has matured yet: the first comes on {first}, once rows of that day are in the store; its last "
            "ones are of {last}"
        ),
        comes_at,
        {"first": Day(comes_at), "last": Day(progress.known_until)},
    )


def _missing_of_scores(connection: sql.Connection, progress: Progress | None) -> Missing:
    """What is missing where no score is observed."""
    has_accounts = _has(connection, sql.select(tables["accounts"].c.account_id))
    if not _has(connection, sql.select(answers.c.answer_id)):
        if not has_accounts:
            return Missing(translatable("no score was given yet, and no account is in the store: load the portfolio"))
        return Missing(translatable("no score was given yet: ask the service for a queue, or for scores"))
    if not has_accounts:
        no_account = translatable("no account is in the store: load the portfolio first, then call {command}")
        return Missing(no_account, parts=ROLLUP)
    if progress is None or _is_unread(connection, progress):
        unread = translatable(
            "scores were given and are not rolled up yet: the service does that every few minutes; to have it now, "
            "call {command}"
        )
        return Missing(unread, parts=ROLLUP)
    learned_until = connection.execute(sql.text(statements.LEARNED_UNTIL)).scalar()
    if learned_until is not None and not _has(connection, sql.text(statements.ANY_UNLEARNED)):
        learned = translatable(
            "every score so far is of time that its model had learned from, and predicts nothing: ask for scores as of "
            "{day} or later"
        )
        return Missing(learned, parts={"day": Day(int(learned_until))})
    return Missing(
        translatable("no scored account is in the store: load the portfolio, then call {command}"), parts=ROLLUP
    )


def _is_unread(connection: sql.Connection, progress: Progress) -> bool:
    """Whether scores lie beyond the place that the roll-up has reached."""
    place = {"answer_id": progress.answer_id, "position": progress.position}
    return connection.execute(sql.text(statements.IS_UNREAD), place).first() is not None


def _has(connection: sql.Connection, query: sql.Select[Any] | sql.TextClause) -> bool:
    """Whether a query finds anything; it is given as one of all rows, or limited already."""
    limited = query if isinstance(query, sql.TextClause) else query.limit(1)
    return connection.execute(limited).first() is not None
