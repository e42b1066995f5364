"""Predicted against actual: a month's table by band or another cut, its curves, and the accounts behind a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import urlencode

import pandas as pd
from starlette.responses import Response

from features.errors import SettingsError
from serving.api.answering import records
from serving.languages.language import translatable
from serving.review.accounts import COLUMNS, accounts_of
from serving.review.months import in_words
from serving.review.overview import months_with_outcomes, months_with_scores, open_month
from serving.review.pages.cells import Column, Grid, cell_writer
from serving.review.pages.curves import square
from serving.review.pages.cuts import CUTS, ONE_OF, ROLES, words
from serving.review.pages.files import csv_file, csv_stream, excel_file, table_named
from serving.review.pages.months import ALL, month_asked
from serving.review.pages.sections import SECTIONS
from serving.review.pages.visit import ROOT, Visit
from serving.review.reading import OF_CELLS, Sums, Where, reached, read_sums, values
from serving.review.tables import Table, against_actual, calibration, gain, tenths_of
from serving.store.database import Store

PATH = "/predicted"
#: Accounts of a page, of an Excel file, which is made whole while others wait, and of a part of a CSV file.
PAGE, MOST, PART = 100, 20_000, 20_000
_WORKED: Mapping[str, bool | None] = {"": None, "yes": True, "no": False}
_ACCOUNTS = (
    Column("account_id", translatable("Account"), "account"),
    Column("as_of", translatable("Scored"), "day"),
    Column("band", translatable("Band"), "band"),
    Column("segment", translatable("Segment"), "text", below=Column("stage", "", "cut")),
    Column("balance", translatable("Balance"), "money"),
    Column("p_pay", translatable("Chance to pay"), "share"),
    Column("expected", translatable("Amount, predicted"), "money"),
    Column("paid", translatable("Amount, actual"), "money"),
    Column("contacts", translatable("Contacts")),
    Column("channel", translatable("Channel of the first contact"), "cut"),
)


@dataclass(frozen=True)
class Asked:
    """What a query asks for: of which observations, by which cut; `months` are those that may be chosen."""

    months: tuple[int, ...]
    month: int | None
    by: str
    where: Where
    #: No outcome of the month has matured yet.
    is_open: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether sums are kept of it: two cuts at once are not."""
        return self.by in OF_CELLS or self.where.cut in ("all", self.by)

    @property
    def name(self) -> str:
        """What a file of it is called."""
        return f"predicted-{in_words(self.month) if self.month else ALL}-by-{self.by}"

    def behind(self, value: str) -> tuple[Where, str | None]:
        """Which observations a row counts, and of which band."""
        by, where = self.by, self.where
        if by == "band":
            return where, value
        if by == "worked":
            return replace(where, worked=_WORKED[value]), None
        if by == "month":
            return replace(where, first_month=int(value), last_month=int(value)), None
        if by in ("model", "arm"):
            return replace(where, **{by: value}), None  # type: ignore[arg-type]
        return replace(where, cut=by, value=value), None


def asked_of(query: Mapping[str, str], months: list[int], matured_months: list[int]) -> Asked:
    """What a query asks for; where it names no month, the last that has a matured outcome.

    Raises:
        SettingsError: it asks for what there is not.
    """
    month = month_asked(query.get("month", ""), months, matured_months)
    by, role, worked = query.get("by") or "band", query.get("role") or "champion", query.get("worked", "")
    cut, _, value = query.get("only", "").partition(":")
    for what, given, known in (
        ("is cut by", by, tuple(CUTS)),
        ("is of a role,", role, tuple(ROLES)),
        ("is of accounts worked,", worked, tuple(_WORKED)),
        ("is of one value of", cut, ("", *ONE_OF)),
    ):
        if given not in known:
            raise SettingsError(f"the table {what} {', '.join(name for name in known if name)}; got {given[:50]!r}")
    where = Where(
        role=cast("Literal['champion', 'challenger']", role), model=query.get("model") or None,
        arm=query.get("arm") or None, worked=_WORKED[worked], cut=cut or "all", value=value,
    )  # fmt: skip
    span = replace(where, first_month=month, last_month=month) if month else where
    return Asked(tuple(months), month, by, span, month is not None and month not in matured_months)


def asked(visit: Visit) -> Asked:
    """What a visit asks for."""
    store = visit.call.store
    return asked_of(visit.call.query, months_with_scores(store), months_with_outcomes(store))


def show(visit: Visit) -> Response:
    """The page."""
    of, store = asked(visit), visit.call.store
    table = _table(store, of)
    by_chance = read_sums(store, "p_pay", of.where) if of.where.cut == "all" else None
    return visit.page(
        "predicted.html",
        asked=of,
        grid=_grid(visit, of, table),
        sections=SECTIONS,
        lacking=open_month(store, of.month) if table.missing is None and of.month and of.is_open else table.missing,
        options=_options(visit, of),
        curves=None if by_chance is None or by_chance.rows.empty else _curves(visit, by_chance),
        reached=reached(store),
        cuts=words(visit),
        files_of={kind: files_address(visit, kind) for kind in ("csv", "xlsx")},
        month_in_query=in_words,
    )


def export_csv(visit: Visit) -> Response:
    """The table, or a curve that the query names, as CSV."""
    of = asked(visit)
    tables = _tables(visit.call.store, of)
    name = visit.call.query.get("table") or f"by_{of.by}"
    rows = table_named(tables, name).rows
    stem = of.name if name.startswith("by_") else f"{of.name.partition('-by-')[0]}-{name}"
    return csv_file(f"{stem}.csv", rows)


def export_excel(visit: Visit) -> Response:
    """All tables of the page as an Excel file, a sheet each."""
    of = asked(visit)
    return excel_file(f"{of.name}.xlsx", _tables(visit.call.store, of), visit.call.now)


def show_accounts(visit: Visit) -> Response:
    """The accounts that a figure of the table counts, so many at a time."""
    of, value = asked(visit), visit.call.query.get("value", "")
    after = _after(visit.call.query.get("after", ""))
    found = _accounts(visit, of, PAGE + 1, after)
    table = _table(visit.call.store, of).rows
    counted = table.loc[_codes(table[of.by], of.by) == value, "accounts"].sum()
    more = len(found) > PAGE
    rows = found.iloc[:PAGE]
    return visit.page(
        "behind.html",
        asked=of,
        value=value,
        grid=cell_writer(visit).grid(_ACCOUNTS, records(rows)),
        total=int(counted),
        most=MOST,
        after=int(rows["observation_id"].iloc[-1]) if more else None,
        begins=bool(after),
        cuts=words(visit),
        back=f"{ROOT}{PATH}?{urlencode(_kept(visit, without=('value', 'after')))}",
        files_of={kind: files_address(visit, kind) for kind in ("csv", "xlsx")},
    )


def export_accounts_csv(visit: Visit) -> Response:
    """The accounts as CSV: all of them, part by part."""
    of = asked(visit)
    # What cannot be answered is refused before the file begins.
    first = _accounts(visit, of, PART)
    return csv_stream(f"accounts-{of.name}.csv", COLUMNS, _parts(visit, of, first))


def export_accounts_excel(visit: Visit) -> Response:
    """The first of the accounts as an Excel file."""
    of = asked(visit)
    rows = _accounts(visit, of, MOST)
    return excel_file(f"accounts-{of.name}.xlsx", {"accounts": Table(rows, "accounts behind a figure")}, visit.call.now)


def files_address(visit: Visit, kind: str) -> str:
    """Where a page's tables are had as a file, by the same query."""
    query = urlencode(_kept(visit, without=("after",)))
    return f"{ROOT}{visit.path}.{kind}{'?' if query else ''}{query}"


def _kept(visit: Visit, without: tuple[str, ...]) -> dict[str, str]:
    # A value may be blank and mean something: no contact, no agent.
    return {name: text for name, text in visit.call.query.items() if name not in without and (text or name == "value")}


def _table(store: Store, of: Asked) -> Table:
    if of.is_kept:
        return against_actual(store, of.by, of.where)
    # What has no sums has no rows: the page says so.
    empty = against_actual(store, "band", replace(of.where, first_month=0, last_month=0))
    return replace(empty, rows=empty.rows.rename(columns={"band": of.by}))


def _tables(store: Store, of: Asked) -> dict[str, Table]:
    tables = {f"by_{of.by}": _table(store, of)}
    if of.where.cut == "all":
        whole, sums = tables[f"by_{of.by}"], read_sums(store, "p_pay", of.where)
        tables["calibration"] = replace(whole, rows=calibration(sums))
        tables["gain"] = replace(whole, rows=pd.DataFrame() if sums.rows.empty else gain(sums).curve)
    return tables


def _codes(column: pd.Series[Any], by: str) -> pd.Series[str]:
    """Values as a query has them."""
    return column.map({True: "yes", False: "no"}) if by == "worked" else column.astype(str)


def _grid(visit: Visit, of: Asked, table: Table) -> Grid:
    """The table, each row with where its accounts and its own band table are, and last all together."""
    writer, rows = cell_writer(visit), _rows(visit, of, table)
    whole = records(against_actual(visit.call.store, "role", of.where).rows) if rows else []
    return writer.grid(SECTIONS[f"by_{of.by}"].columns, [*rows, *({**row, "cut": "all"} for row in whole)])


def _rows(visit: Visit, of: Asked, table: Table) -> list[dict[str, Any]]:
    """The rows, each with where its accounts and its own band table are."""
    codes, kept = _codes(table.rows[of.by], of.by), _kept(visit, without=("value", "after"))
    counted, value = visit.language.counted, words(visit).value
    found = []
    for code, row in zip(codes, records(table.rows), strict=True):
        behind = f"{ROOT}{PATH}/accounts?{urlencode({**kept, 'by': of.by, 'value': code})}"
        bands = f"{ROOT}{PATH}?{urlencode({**kept, 'by': 'band', 'only': f'{of.by}:{code}'})}"
        heard = [counted("{number} account", "{number} accounts", row["accounts"]), value(of.by, code)]
        links = {"behind": behind, "behind_heard": visit.language.listed(heard)}
        found.append({**row, **links, "bands": bands if of.by in ONE_OF else None})
    return found


def _options(visit: Visit, of: Asked) -> dict[str, list[str]]:
    """What each filter may choose in the months that are shown, and what it has chosen."""
    where = of.where
    found = values(visit.call.store, where.first_month, where.last_month)
    for name, chosen in (("model", where.model), ("arm", where.arm), (where.cut, where.value)):
        if chosen is not None and name != "all":
            found[name] = sorted({*found.get(name, []), chosen})
    return found


def _curves(visit: Visit, sums: Sums) -> dict[str, Any]:
    """The curves with the axes that they are drawn on, and as tables."""
    calibrated, gained, writer = calibration(sums), gain(sums), cell_writer(visit)
    points = records(calibrated)
    shares = calibrated[["predicted", "actual", "high"]].fillna(0).to_numpy().ravel().tolist()
    return {
        "calibration": points,
        "calibration_box": square(shares),
        "gain": gained,
        "gain_box": square([1.0]),
        "calibration_grid": writer.grid(SECTIONS["calibration"].columns, points),
        "gain_grid": writer.grid(SECTIONS["gain"].columns, records(tenths_of(gained.curve))),
    }


def _after(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _accounts(visit: Visit, of: Asked, limit: int, after: int = 0) -> pd.DataFrame:
    if not of.is_kept:
        return pd.DataFrame(columns=list(COLUMNS))
    where, band = of.behind(_known_value(visit.call.query.get("value", ""), of))
    found = accounts_of(visit.call.store, where, band, limit, after)
    # As texts: a moment in Excel has no time zone.
    return found.assign(as_of=[at.isoformat() for at in found["as_of"]])


def _parts(visit: Visit, of: Asked, part: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """This part of the accounts, and all that follow it."""
    yield part
    while len(part) == PART:
        part = _accounts(visit, of, PART, int(part["observation_id"].iloc[-1]))
        yield part


def _known_value(value: str, of: Asked) -> str:
    """The value of a row, as far as one could be.

    Raises:
        SettingsError: no row of the table has it.
    """
    known = {"worked": ("yes", "no"), "month": tuple(map(str, of.months))}
    if value not in known.get(of.by, (value,)):
        raise SettingsError(f"no row of a table by {of.by} is of {value[:50]!r}; go back to the table")
    return value
