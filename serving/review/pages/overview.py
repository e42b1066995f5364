"""The overview: a month's predicted and actual payers and money, its key figures, and what changed and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from features.errors import SettingsError
from serving.api.answering import records
from serving.review.months import in_words, shifted
from serving.review.overview import (
    changes,
    key_figures,
    matured_so_far,
    months_with_outcomes,
    months_with_scores,
    parts,
    unlike_the_rest,
    whole_months,
)
from serving.review.pages.cells import Grid, cell_writer
from serving.review.pages.cuts import ONE_OF
from serving.review.pages.files import csv_file, excel_file, table_named
from serving.review.pages.months import month_asked
from serving.review.pages.predicted import PATH as PREDICTED
from serving.review.pages.sections import SECTIONS
from serving.review.pages.visit import ROOT, Visit
from serving.review.reading import missing, reached
from serving.review.tables import Table

PATH = "/overview"
#: So many rows of where something is are shown; a file has all.
_MOST_ROWS = 12


def show(visit: Visit) -> Response:
    """The page."""
    store = visit.call.store
    months, month, told = _months(visit)
    if month is None:
        return visit.page("overview.html", months=(), month=None, missing=missing(store), reached=reached(store))
    tables = _tables(visit, month, told)
    return visit.page(
        "overview.html",
        months=months,
        month=month,
        told=told,
        so_far=matured_so_far(store, told) if told else None,
        before=shifted(told, -1) if told else None,
        missing=tables["overview"].missing,
        reached=reached(store),
        grids=_grids(visit, tables, told),
        sections=SECTIONS,
        changes_missing=tables["changes"].missing,
        month_in_query=in_words,
        files={name: f"{ROOT}{PATH}.csv?{urlencode({'month': in_words(month), 'table': name})}" for name in tables},
        book=f"{ROOT}{PATH}.xlsx?{urlencode({'month': in_words(month)})}",
    )


def export_csv(visit: Visit) -> Response:
    """The table that the query names, as CSV."""
    tables, month = _exported(visit)
    name = visit.call.query.get("table", "overview")
    return csv_file(f"{name}-{month}.csv", table_named(tables, name).rows)


def export_excel(visit: Visit) -> Response:
    """All tables of the page as an Excel file, a sheet each."""
    tables, month = _exported(visit)
    return excel_file(f"overview-{month}.xlsx", tables, visit.call.now)


def _months(visit: Visit) -> tuple[list[int], int | None, int | None]:
    """Months with scores; that of the page, the last unless the query names one; and that of the key figures.

    Key figures are those of the last month by then whose outcomes are all known; before there is one, of the last that
    has some.
    """
    store = visit.call.store
    months = months_with_scores(store)
    month = month_asked(visit.call.query.get("month", ""), months, months)
    candidates = [*reversed(whole_months(store)), *reversed(months_with_outcomes(store))]
    return months, month, next((each for each in candidates if month and each <= month), None)


def _tables(visit: Visit, month: int, told: int | None) -> dict[str, Table]:
    """Every table of the page; key figures and changes are those of the month `told`."""
    store = visit.call.store
    of = told or month
    return {
        "overview": parts(store, month),
        "key_figures": key_figures(store, of),
        "unlike_the_rest": unlike_the_rest(store, of),
        "changes": changes(store, of),
    }


def _exported(visit: Visit) -> tuple[dict[str, Table], str]:
    """Every table of the page, and the month in words.

    Raises:
        SettingsError: there is no month with scores.
    """
    _, month, told = _months(visit)
    if month is None:
        lacks = missing(visit.call.store)
        raise SettingsError(f"a file is of a month with scores; {lacks.what if lacks else 'there is none'}")
    return _tables(visit, month, told), in_words(month)


def _grids(visit: Visit, tables: Mapping[str, Table], told: int | None) -> dict[str, Grid]:
    """The tables as they are printed; where no month is told of, the first alone."""
    writer = cell_writer(visit)
    rows = {name: records(table.rows) for name, table in tables.items() if told or name == "overview"}
    heads = {}
    if told:
        now, before = writer.write.month(told), writer.write.month(shifted(told, -1))
        heads = {
            "key_figures": {"value": now, "value_before": before},
            "changes": {"actual_amount": now, "actual_amount_before": before},
        }
        rows |= {name: _linked(rows[name], told) for name in ("unlike_the_rest", "changes")}
    return {name: writer.grid(SECTIONS[name].columns, of, heads.get(name)) for name, of in rows.items()}


def _linked(rows: list[dict[str, Any]], month: int) -> list[dict[str, Any]]:
    """The first rows, each with where its band table is."""
    found = []
    for row in rows[:_MOST_ROWS]:
        query = {"month": in_words(month), "only": f"{row['cut']}:{row['value']}"}
        address = f"{ROOT}{PREDICTED}?{urlencode(query)}" if row["cut"] in ONE_OF else None
        found.append({**row, "address": address})
    return found
