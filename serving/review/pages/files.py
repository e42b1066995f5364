"""Tables as files: CSV and Excel, as pages offer them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from starlette.responses import Response, StreamingResponse

from features.errors import SettingsError
from serving.review.exporting import excel_bytes, without_formula
from serving.review.pages.visit import SECURITY
from serving.review.tables import Table

_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def table_named(tables: Mapping[str, Table], name: str) -> Table:
    """The table of that name.

    Raises:
        SettingsError: there is none.
    """
    if name not in tables:
        raise SettingsError(f"a file holds one of {', '.join(tables)}; got {name[:50]!r}")
    return tables[name]


def csv_file(name: str, table: pd.DataFrame) -> Response:
    """A table as a CSV file, which a spreadsheet reads as UTF-8 and in which no text is a formula."""
    rows = ([_cell(value) for value in row] for row in table.itertuples(index=False))
    return _file(name, "\ufeff" + _lines([table.columns]) + _lines(rows), "text/csv")


def csv_stream(name: str, columns: Sequence[str], parts: Iterable[pd.DataFrame]) -> Response:
    """A table that is read part by part as a CSV file like `csv_file`'s, however long it is."""

    def lines() -> Iterator[str]:
        yield "\ufeff" + _lines([columns])
        for part in parts:
            yield _lines([_cell(value) for value in row] for row in part[list(columns)].itertuples(index=False))

    return StreamingResponse(lines(), headers=_headers(name), media_type="text/csv")


def excel_file(name: str, tables: Mapping[str, Table], made_at: int) -> Response:
    """Tables as an Excel file."""
    return _file(name, excel_bytes(tables, made_at), _EXCEL)


def _file(name: str, content: str | bytes, kind: str) -> Response:
    return Response(content, headers=_headers(name), media_type=kind)


def _headers(name: str) -> dict[str, str]:
    return {**SECURITY, "Content-Disposition": f'attachment; filename="{name}"'}


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 only a NaN is not itself
        return ""
    return without_formula(value)
