"""The reports of monitoring, as the review shows them.

    drift_reports   each report of a model as of a moment, and its figures for curves over time
    drift_shifts    the stability index of each score and feature
    drift_passed    the limits that a report passed

A report is kept once per model and moment: a second one of the same takes the place of the first. Instants are in
microseconds; what is not defined is null.

keep_report(store, judged, made_at)
list_reports(store, model) -> a row for each report
read_report(store, model, as_of) -> Judged
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd
import sqlalchemy as sql

from features.errors import StoreError
from features.units import format_instant, parse_instant
from serving.drift import Judged, Matured, Passed
from serving.store.database import Store
from serving.store.schema import metadata

#: `content` is the whole report, judged: MessagePack, compressed.
drift_reports = sql.Table(
    "drift_reports",
    metadata,
    sql.Column("model", sql.Text, primary_key=True),
    sql.Column("as_of", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("made_at", sql.BigInteger, nullable=False),
    sql.Column("accounts", sql.BigInteger, nullable=False),
    sql.Column("matured_as_of", sql.BigInteger),
    *(sql.Column(name, sql.Double) for name in ("expected_auc", "expected_brier", "auc", "brier")),
    *(sql.Column(name, sql.Double) for name in ("payers_ratio", "money_ratio")),
    sql.Column("content", sql.LargeBinary, nullable=False),
)
drift_shifts = sql.Table(
    "drift_shifts",
    metadata,
    sql.Column("model", sql.Text, primary_key=True),
    sql.Column("name", sql.Text, primary_key=True),
    sql.Column("as_of", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("psi", sql.Double, nullable=False),
    sql.Column("by_chance", sql.Double, nullable=False),
    sqlite_with_rowid=False,
)
#: `of` is one of `serving.drift.Of`; `name` is that of the column, blank where it is no index that passed.
drift_passed = sql.Table(
    "drift_passed",
    metadata,
    sql.Column("model", sql.Text, primary_key=True),
    sql.Column("as_of", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("of", sql.Text, primary_key=True),
    sql.Column("name", sql.Text, primary_key=True),
    sql.Column("figure", sql.Double, nullable=False),
    sql.Column("limit", sql.Double, nullable=False),
    sql.Column("warns", sql.Boolean, nullable=False),
)
#: What a row of `list_reports` has.
FIGURES = tuple(column for column in drift_reports.columns if column.name not in {"model", "content"})


@dataclass(frozen=True)
class PassedAt:
    """A limit that a report as of a moment passed."""

    as_of: int
    passed: Passed


def keep_report(store: Store, judged: Judged, made_at: int) -> None:
    """Keep a report, in the place of one that there is of the same model and moment.

    Raises:
        StoreError: the store did not take it.
    """
    report = judged.report
    key = {"model": report.model, "as_of": parse_instant(report.as_of)}
    figures = {"expected_auc": report.expected_auc, "expected_brier": report.expected_brier, **_of(report.matured)}
    content = zlib.compress(msgspec.msgpack.encode(judged))
    row = {"made_at": made_at, "accounts": report.accounts, "content": content}
    row |= {name: None if value is None or math.isnan(value) else value for name, value in figures.items()}
    shifts = [key | {"name": one.name, "psi": one.psi, "by_chance": one.by_chance} for one in report.shifts]
    passed = [key | msgspec.to_builtins(one) for one in judged.passed]
    with store.writing() as connection:
        for table in (drift_reports, drift_shifts, drift_passed):
            connection.execute(table.delete().where(*(table.c[name] == value for name, value in key.items())))
        connection.execute(drift_reports.insert(), key | row)
        for table, rows in ((drift_shifts, shifts), (drift_passed, passed)):
            if rows:
                connection.execute(table.insert(), rows)


def _of(matured: Matured | None) -> dict[str, float | None]:
    if matured is None:
        return dict.fromkeys(("matured_as_of", "auc", "brier", "payers_ratio", "money_ratio"))
    whole = {"payers_ratio": matured.whole.payers.ratio, "money_ratio": matured.whole.money.ratio}
    return {"matured_as_of": parse_instant(matured.as_of), "auc": matured.auc, "brier": matured.brier, **whole}


def list_models(store: Store) -> dict[str, int]:
    """The models that have reports, each with the moment of its last, the latest first.

    Raises:
        StoreError: the store cannot be read.
    """
    last = sql.func.max(drift_reports.c.as_of).label("last")
    query = sql.select(drift_reports.c.model, last).group_by(drift_reports.c.model)
    with store.reading() as connection:
        rows = connection.execute(query).fetchall()
    return {model: int(as_of) for model, as_of in sorted(rows, key=lambda row: (-row.last, row.model))}


def list_reports(store: Store, model: str, until: int | None = None) -> pd.DataFrame:
    """The reports of a model up to a moment, all where it is None, in the order of their moments, a row each.

    Columns: as_of, made_at, accounts, matured_as_of, expected_auc, expected_brier, auc, brier, payers_ratio,
    money_ratio.

    Raises:
        StoreError: the store cannot be read.
    """
    query = sql.select(*FIGURES).where(drift_reports.c.model == model).order_by(drift_reports.c.as_of)
    if until is not None:
        query = query.where(drift_reports.c.as_of <= until)
    with store.reading() as connection:
        rows = connection.execute(query).fetchall()
    found = pd.DataFrame([tuple(row) for row in rows], columns=[column.name for column in FIGURES])
    whole = {column.name: "Int64" for column in FIGURES if isinstance(column.type, sql.BigInteger)}
    return found.astype({name: whole.get(str(name), "float64") for name in found})


def read_report(store: Store, model: str, as_of: int) -> Judged:
    """The report of a model as of a moment.

    Raises:
        StoreError: there is none, or the store cannot be read.
    """
    query = sql.select(drift_reports.c.content)
    query = query.where(drift_reports.c.model == model, drift_reports.c.as_of == as_of)
    with store.reading() as connection:
        content = connection.execute(query).scalar_one_or_none()
    if content is None:
        raise StoreError(f"the store has no report of {model} as of {format_instant(as_of)}; call recoup monitor")
    return msgspec.msgpack.decode(zlib.decompress(content), type=Judged)


def read_passed(store: Store, model: str, until: int) -> list[PassedAt]:
    """The limits that the reports of a model passed up to a moment, in the order of these.

    Raises:
        StoreError: the store cannot be read.
    """
    table = drift_passed
    names = (table.c.as_of, table.c.of, table.c.figure, table.c.limit, table.c.warns, table.c.name)
    query = sql.select(*names).where(table.c.model == model, table.c.as_of <= until)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(table.c.as_of, table.c.of, table.c.name)).all()
    return [PassedAt(int(as_of), Passed(*rest)) for as_of, *rest in rows]


def read_shifts(store: Store, model: str, names: Sequence[str], since: int, until: int) -> pd.DataFrame:
    """The index of some columns from one moment to another, both included: name, as_of, psi, by_chance.

    Raises:
        StoreError: the store cannot be read.
    """
    table = drift_shifts
    query = sql.select(table.c.name, table.c.as_of, table.c.psi, table.c.by_chance).where(
        table.c.model == model, table.c.as_of.between(since, until), table.c.name.in_(names)
    )
    with store.reading() as connection:
        rows = connection.execute(query.order_by(table.c.name, table.c.as_of)).fetchall()
    return pd.DataFrame([tuple(row) for row in rows], columns=["name", "as_of", "psi", "by_chance"])
