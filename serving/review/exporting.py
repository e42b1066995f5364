"""The tables of the review as files: each as CSV, all of them as sheets of one Excel file.

Machines read these: heads are the names of columns, in every language. `serving.review.pages.report` is for people.

TABLES                          every table of a month, by its name
csv_text(table)                 one table
excel_bytes(tables)             some tables, a sheet each
write_report(store, month, out) all of them, into a folder, with a page to print
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pandas as pd

from features.errors import HistoryError
from features.files import replacing
from serving.review import drift, flows, overview
from serving.review.months import in_words
from serving.review.reading import BY, Where, read_sums
from serving.review.tables import Table, against_actual, calibration, gain
from serving.store.database import Store

OfMonth = Callable[[Store, int], Table]
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _by(cut: str) -> OfMonth:
    return lambda store, month: against_actual(store, cut, Where(month, month))


def _challenger(store: Store, month: int) -> Table:
    return against_actual(store, "band", Where(month, month, role="challenger"))


def _calibration(store: Store, month: int) -> Table:
    whole = against_actual(store, "month", Where(month, month))
    return Table(calibration(read_sums(store, "p_pay", Where(month, month))), whole.counted, whole.missing)


def _gain(store: Store, month: int) -> Table:
    whole = against_actual(store, "month", Where(month, month))
    if whole.rows.empty:
        return Table(pd.DataFrame(columns=["accounts", "payers", "money"]), whole.counted, whole.missing)
    return Table(gain(read_sums(store, "p_pay", Where(month, month))).curve, whole.counted)


#: Every table of a month, in the order of a report. Curves over time are of all months.
TABLES: Mapping[str, OfMonth] = {
    "overview": overview.parts,
    "key_figures": overview.key_figures,
    "unlike_the_rest": overview.unlike_the_rest,
    "changes": overview.changes,
    **{f"by_{cut}": _by(cut) for cut in BY if cut not in {"month", "role", "p_pay"}},
    "by_band_challenger": _challenger,
    "calibration": _calibration,
    "gain": _gain,
    "swap_set": lambda store, month: flows.swap_set(store, month, month),
    "liquidation": lambda store, _: flows.liquidation(store),
    "roll_rates": lambda store, _: flows.roll_rates(store),
    **{name: drift.of_month(name) for name in drift.TABLES},
}


def csv_text(table: Table) -> str:
    """A table as CSV: numbers in full, and no text that a spreadsheet takes for a formula."""
    text: str = without_formulas(table.rows).to_csv(index=False)
    return text


def without_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of which no spreadsheet takes a cell for a formula."""
    texts = [name for name in rows if rows[name].dtype == object or pd.api.types.is_string_dtype(rows[name])]
    return rows.assign(**{str(name): rows[name].map(without_formula) for name in texts})


def without_formula(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def excel_bytes(tables: Mapping[str, Table], made_at: int) -> bytes:
    """Tables as an Excel file, a sheet each, the first saying what counts; it says it was made at `made_at`."""
    import xlsxwriter

    buffer = BytesIO()
    # A text stays a text, whatever it begins with; what is not a number is left blank.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
    with xlsxwriter.Workbook(buffer, options) as book:
        book.set_properties({"created": datetime.fromtimestamp(made_at / 1e6, UTC).replace(tzinfo=None)})
        bold = book.add_format({"bold": True})
        about = book.add_worksheet("about")
        about.write_row(0, 0, ["table", "rows", "counted", "missing"], bold)
        for place, (name, table) in enumerate(tables.items(), start=1):
            about.write_row(place, 0, [name, len(table.rows), table.counted, _lacks(table)])
            sheet = book.add_worksheet(name[:31])
            sheet.write_row(0, 0, [str(column) for column in table.rows], bold)
            cells = table.rows.astype(object).where(table.rows.notna() & ~table.rows.isin(_ENDLESS), None)
            for row, written in enumerate(cells.to_numpy().tolist(), start=1):
                sheet.write_row(row, 0, written)
                if row == _FITTED:
                    sheet.autofit()
            sheet.freeze_panes(1, 1)
            if len(cells) < _FITTED:
                sheet.autofit()
    return buffer.getvalue()


_ENDLESS = (float("inf"), float("-inf"))
#: Columns are as wide as so many rows need: to measure all of a long table takes seconds.
_FITTED = 200


def _lacks(table: Table) -> str:
    return table.missing.what if table.missing else ""


def write_report(
    store: Store, month: int, out: Path, made_at: int, printed: Callable[[Mapping[str, Table]], str],
    more: Mapping[str, Table] | None = None,
) -> dict[str, Table]:  # fmt: skip
    """Write every table of a month into a folder, as CSV, as one Excel file and as one page; the tables.

    Args:
        store: the store.
        month: the month, as the number 202610.
        out: the folder, made where it is not there.
        made_at: the present.
        printed: makes the page of the tables.
        more: tables that the store does not hold, by their names; they come last.

    Raises:
        HistoryError: the month has no scores, or they were not rolled up.
        StoreError: the store cannot be read.
    """
    months = overview.months_with_scores(store)
    if month not in months:
        span = f"{in_words(months[0])} to {in_words(months[-1])}" if months else "no month; call recoup rollup first"
        raise HistoryError(f"a report is of a month with scores that were rolled up, got {in_words(month)} of {span}")
    tables = {title: make(store, month) for title, make in TABLES.items()} | {**(more or {})}
    out.mkdir(parents=True, exist_ok=True)
    for title, table in tables.items():
        _write(out / f"{title}.csv", csv_text(table).encode())
    stem = f"report-{in_words(month)}"
    _write(out / f"{stem}.xlsx", excel_bytes(tables, made_at))
    _write(out / f"{stem}.html", printed(tables).encode())
    return tables


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
