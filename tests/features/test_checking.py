"""Checking: each rule alone, and that every row is kept or set aside exactly once, as a slow oracle says."""

from __future__ import annotations

import copy
import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.checking import REJECT_COLUMNS
from features.contract import TABLES, Kind
from features.errors import PortfolioError
from features.portfolio import Portfolio, portfolio_from_frames
from features.settings import ChannelSettings, PortfolioSettings, table_columns
from tests.features import plain

TABLE_COLUMNS = [(table.name, column.name) for table in TABLES.values() for column in table.columns]


def with_row(table: str, **cells: Any) -> dict[str, plain.Rows]:
    """The plain portfolio with one more row in a table: its second, with these cells changed."""
    tables = plain.rows()
    fresh = {"accounts": "account_id", "contacts": "contact_id", "payments": "payment_id", "promises": "promise_id"}
    own = {fresh[table]: "new"} if table in fresh else {}
    tables[table].append({**tables[table][1], **own, **cells})
    return tables


def reject_of(portfolio: Portfolio) -> tuple[Any, ...]:
    assert len(portfolio.rejects) == 1
    return tuple(portfolio.rejects.iloc[0])


def test_a_portfolio_in_which_everything_is_right_is_kept_whole() -> None:
    portfolio = plain.checked()
    assert {name: len(table) for name, table in portfolio.tables.items()} == dict.fromkeys(TABLES, 2)
    assert len(portfolio.rejects) == 0
    assert tuple(portfolio.rejects.columns) == REJECT_COLUMNS


@pytest.mark.parametrize(
    ("table", "cells", "column", "reason"),
    [
        ("accounts", {"account_id": " "}, "account_id", "is blank"),
        ("accounts", {"account_id": "A1"}, "account_id", "repeats an id"),
        ("accounts", {"opened_at": "01.02.2025"}, "opened_at", "is not an ISO 8601 time"),
        ("accounts", {"due_on": "soon"}, "due_on", "is not an ISO 8601 time"),
        ("accounts", {"balance": "-0.01"}, "balance", "is below 0"),
        ("accounts", {"balance": "1.1e12"}, "balance", "is above 1e"),
        ("accounts", {"balance": "NaN"}, "balance", "is not a finite number"),
        ("accounts", {"balance": "1,000"}, "balance", "is not a finite number"),
        ("accounts", {"balance": ""}, "balance", "is blank"),
        ("accounts", {"segment": None}, "segment", "is blank"),
        ("accounts", {"commission_rate": "15"}, "commission_rate", "is above 1"),
        ("accounts", {"commission_rate": "-0.1"}, "commission_rate", "is below 0"),
        ("accounts", {"timezone": "CST+8"}, "timezone", "is not an IANA time zone"),
        ("contacts", {"account_id": "A9"}, "account_id", "is not in accounts"),
        ("contacts", {"at": "1712000000"}, "at", "is a number"),
        ("contacts", {"channel": "fax"}, "channel", "is not one of sms"),
        ("contacts", {"channel": "none"}, "channel", "is no contact"),
        ("contacts", {"outcome": "paid"}, "outcome", "is not one of sent"),
        ("contacts", {"direction": "out"}, "direction", "is not one of outbound"),
        ("contacts", {"contact_id": "C1"}, "contact_id", "repeats an id"),
        ("contacts", {"cost": "-1"}, "cost", "is below 0"),
        ("contacts", {"propensity": "0"}, "propensity", "is not above 0"),
        ("contacts", {"recorded_at": "0001-01-01"}, "recorded_at", "is not in the years 1900 to 2199"),
        ("payments", {"amount": "inf"}, "amount", "is not a finite number"),
        ("payments", {"amount": "-1e13"}, "amount", "is below -1e"),
        ("payments", {"payment_id": "Y1"}, "payment_id", "repeats an id"),
        ("promises", {"amount": "0"}, "amount", "is not above 0"),
        ("promises", {"due_on": "2025-04-28"}, "due_on", "is more than a day before made_at"),
        ("promises", {"promise_id": "M1"}, "promise_id", "repeats an id"),
        ("charges", {"amount": "x"}, "amount", "is not a finite number"),
        ("restrictions", {"kind": "paused"}, "kind", "is not one of closed"),
        ("restrictions", {"channel": "none"}, "channel", "is no contact"),
        ("restrictions", {"until": "2025-05-31"}, "until", "is before at"),
        ("decisions", {"channel": "fax"}, "channel", "is not one of sms"),
        ("decisions", {"propensity": "1.01"}, "propensity", "is above 1"),
        ("decisions", {"propensity": ""}, "propensity", "is blank"),
        ("decisions", {"explored": "perhaps"}, "explored", "is not true or false"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_column_and_reason(
    table: str, cells: dict[str, Any], column: str, reason: str
) -> None:
    portfolio = plain.checked(with_row(table, **cells))
    assert len(portfolio.tables[table]) == 2
    found = dict(zip(REJECT_COLUMNS, reject_of(portfolio), strict=True))
    assert (found["table"], found["row"], found["column"]) == (table, 3, column)
    assert reason in found["reason"]
    value = (cells[column] or "").strip()
    assert ("" if pd.isna(found["value"]) else found["value"]) == value


@pytest.mark.parametrize(
    ("table", "cells"),
    [
        ("payments", {"amount": "0"}),  # the contract forbids no such payment, and it changes no sum
        ("payments", {"amount": "-1e12"}),
        ("charges", {"amount": "-5"}),
        ("accounts", {"balance": "1e12"}),
        ("accounts", {"due_on": "2024-01-01"}),  # due before it arose, as some systems date it
        ("promises", {"made_at": "2025-05-01T23:59:00-12:00", "due_on": "2025-05-01"}),  # on one local day
        ("restrictions", {"until": "2025-06-01"}),
        ("contacts", {"recorded_at": "2025-01-01"}),  # counts from its time all the same
        ("contacts", {"contact_id": ""}),
        ("decisions", {"channel": "none", "propensity": "1"}),
    ],
)
def test_what_is_only_unusual_is_kept(table: str, cells: dict[str, Any]) -> None:
    portfolio = plain.checked(with_row(table, **cells))
    assert not len(portfolio.rejects)
    assert len(portfolio.tables[table]) == 3


def test_ids_that_are_blank_are_no_duplicates() -> None:
    tables = plain.rows()
    tables["contacts"] += [{**tables["contacts"][1], "contact_id": ""} for _ in range(3)]
    assert len(plain.checked(tables).tables["contacts"]) == 5


def test_of_rows_with_one_id_the_first_good_one_is_kept() -> None:
    tables = plain.rows()
    spoilt, other = dict(tables["payments"][0], amount="much"), dict(tables["payments"][0], amount="7")
    tables["payments"] = [spoilt, *tables["payments"], other]
    portfolio = plain.checked(tables)
    assert list(portfolio.tables["payments"]["amount"]) == [50.0, -50.0]
    assert portfolio.rejects[["row", "column"]].to_numpy().tolist() == [[1, "amount"], [4, "payment_id"]]


def test_rows_of_an_account_that_was_set_aside_say_so() -> None:
    tables = with_row("accounts", account_id="A3", balance="-1")
    tables["payments"] += [{**tables["payments"][1], "account_id": "A3", "payment_id": "Y3"}]
    reasons = plain.checked(tables).rejects["reason"]
    assert list(reasons) == ["is below 0", "is an account that was set aside"]


def test_a_repeated_account_keeps_its_rows() -> None:
    portfolio = plain.checked(with_row("accounts", account_id="A1", balance="7"))
    assert list(portfolio.tables["accounts"]["balance"]) == [120.5, 0.0]
    assert len(portfolio.tables["payments"]) == 2


def test_a_row_with_several_faults_is_set_aside_once() -> None:
    portfolio = plain.checked(with_row("contacts", account_id="A9", at="x", channel="y", outcome="z"))
    assert reject_of(portfolio)[3] == "at"


def test_channels_are_those_of_the_portfolio() -> None:
    channels = (ChannelSettings("sms"), ChannelSettings("call", enabled=False), ChannelSettings("fax"))
    own = PortfolioSettings("own", channels=channels)
    tables = with_row("contacts", channel="fax")
    tables["contacts"].append(dict(tables["contacts"][1], channel="letter", contact_id="C9"))
    portfolio = plain.checked(tables, own)
    assert list(portfolio.tables["contacts"]["channel"]) == ["call", "sms", "fax"]
    assert portfolio.rejects["reason"].str.contains("sms, call, fax").all()


# ---------------------------------------------------------------------------------------------------- whole tables


@pytest.mark.parametrize("name", ["accounts", "contacts", "payments"])
def test_a_required_table_must_be_there(name: str) -> None:
    tables = plain.rows()
    del tables[name]
    with pytest.raises(PortfolioError, match=f"at least the tables accounts, contacts, payments.*add {name}"):
        plain.checked(tables)


def test_a_table_of_another_name_is_refused() -> None:
    with pytest.raises(PortfolioError, match=r"got payment$"):
        portfolio_from_frames({**plain.frames(), "payment": pd.DataFrame()}, plain.SETTINGS)


@pytest.mark.parametrize(("table", "column"), TABLE_COLUMNS)
def test_a_required_column_must_be_there_and_another_may_be_absent(table: str, column: str) -> None:
    frames = plain.frames()
    del frames[table][column]
    if TABLES[table].column(column).required:
        with pytest.raises(PortfolioError, match=f"{table} needs the columns {column}; it has "):
            portfolio_from_frames(frames, plain.SETTINGS)
    else:
        portfolio = portfolio_from_frames(frames, plain.SETTINGS)
        assert not len(portfolio.rejects)
        empty = False if TABLES[table].column(column).kind is Kind.FLAG else None
        assert portfolio.tables[table][column].astype(object).where(lambda cells: cells.notna(), None).tolist() == [
            empty,
            empty,
        ]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_a_usable_row_stops_the_run(name: str) -> None:
    tables = plain.rows()
    tables[name] = [dict(row, **{TABLES[name].columns[1].name: "03/04/2025 Li"}) for row in tables[name]]
    with pytest.raises(PortfolioError, match=rf"^{name} has no usable row: all 2 are set aside, 2 of them") as caught:
        plain.checked(tables)
    # What stands in a column of times by mistake may be a name: only its form is shown.
    assert "'99/99/9999 aa'" in str(caught.value)
    assert "Li" not in str(caught.value).split("where it has")[1]


def test_the_most_frequent_reason_is_named() -> None:
    tables = plain.rows()
    payment = tables["payments"][1]
    tables["payments"] = [dict(payment, at="x"), *(dict(payment, amount="y", payment_id=str(i)) for i in range(4))]
    rule = "all 5 are set aside, 4 of them because amount is not a finite number; first in payments, data row 2,"
    with pytest.raises(PortfolioError, match=rule):
        plain.checked(tables)


def test_a_portfolio_without_accounts_is_refused() -> None:
    for accounts in (pd.DataFrame(), plain.frames()["accounts"].iloc[:0]):
        with pytest.raises(PortfolioError, match="accounts has no row"):
            portfolio_from_frames({**plain.frames(), "accounts": accounts}, plain.SETTINGS)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "accounts"])
def test_an_empty_table_is_a_table(name: str) -> None:
    full = plain.checked()
    for empty in (pd.DataFrame(), plain.frames()[name].iloc[:0]):
        portfolio = portfolio_from_frames({**plain.frames(), name: empty}, plain.SETTINGS)
        assert len(portfolio.tables[name]) == 0
        assert portfolio.tables[name].dtypes.equals(full.tables[name].dtypes)


# ------------------------------------------------------------------------------------------------------ attributes


def test_declared_attributes_are_read_by_their_use() -> None:
    settings = PortfolioSettings("east", numeric=("age",), categorical=("job",), audit=("gender",))
    tables = plain.rows()
    for row, cells in zip(
        tables["accounts"],
        ({"age": "41", "job": "7", "gender": "f"}, {"age": "", "job": "", "gender": ""}),
        strict=True,
    ):
        row.update(cells, other="ignored")
    accounts = plain.checked(tables, settings).tables["accounts"]
    assert tuple(accounts.columns) == (*TABLES["accounts"].column_names, "age", "job", "gender")
    assert accounts["age"].dtype == np.float64
    assert accounts[["age", "job", "gender"]].iloc[0].tolist() == [41.0, "7", "f"]
    assert accounts[["age", "job", "gender"]].iloc[1].isna().all()


def test_a_numeric_attribute_that_is_no_number_is_a_bad_value_like_any_other() -> None:
    tables = with_row("accounts", age="forty")
    portfolio = plain.checked(tables, PortfolioSettings("east", numeric=("age",)))
    assert list(portfolio.tables["accounts"]["account_id"]) == ["A1", "A2"]
    assert portfolio.rejects.iloc[0]["column"] == "age"


def test_a_declared_attribute_that_is_not_there_is_an_error() -> None:
    with pytest.raises(PortfolioError, match=r"accounts needs the columns age, as declared under \[attributes\]"):
        plain.checked(settings=PortfolioSettings("east", numeric=("age",)))


# ---------------------------------------------------------------------------------------------------- native frames


def native(cell: Any, kind: Kind) -> Any:
    """The cell as a program would hold it."""
    if cell is None or cell == "":
        return None
    if kind in (Kind.TIME, Kind.END):
        moment = dt.datetime.fromisoformat(cell)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    if kind in (Kind.AMOUNT, Kind.SHARE):
        return Decimal(cell)
    return cell == "true" if kind is Kind.FLAG else cell


def test_native_values_give_the_same_portfolio_as_text() -> None:
    frames = plain.frames()
    for table in TABLES.values():
        for column in table_columns(table, plain.SETTINGS):
            cells = [native(cell, column.kind) for cell in frames[table.name][column.name]]
            frames[table.name][column.name] = pd.Series(cells, dtype=object)
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert not len(portfolio.rejects)
    for name, expected in plain.checked().tables.items():
        pd.testing.assert_frame_equal(portfolio.tables[name], expected)


def test_checked_tables_pass_the_check_unchanged() -> None:
    once = plain.checked()
    again = portfolio_from_frames(once.tables, plain.SETTINGS)
    assert not len(again.rejects)
    for name, table in once.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        # Arrow, asked for one type, makes a date of the time, microseconds of the number, and 1.0 of a truth.
        ([dt.date(2025, 4, 1), dt.datetime(2025, 4, 1, 10, tzinfo=dt.UTC)], ["2025-04-01", "2025-04-01T10:00Z"]),
        ([dt.datetime(2025, 4, 1, tzinfo=dt.UTC), 5], ["2025-04-01"]),
        (["2025-04-01", 20250401], ["2025-04-01"]),
        ([pd.Timestamp("2025-04-01"), pd.NaT], ["2025-04-01"]),
        ([pd.Timestamp("2025-04-01", tz="Asia/Tokyo"), "2025-04-01Z"], ["2025-03-31T15:00Z"]),
        ([dt.date(2025, 4, 1), [2025]], ["2025-04-01"]),
    ],
)
def test_cells_of_mixed_types_are_judged_one_by_one(cells: list[Any], kept: list[str]) -> None:
    frames = plain.frames()
    frames["payments"]["at"] = pd.Series(cells, dtype=object)
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert list(portfolio.tables["payments"]["at"]) == [pd.to_datetime(time, utc=True) for time in kept]


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([5, None], dtype="Int64"),
        pd.Series(["5", None], dtype="string"),
        pd.Series(["5", None], dtype="category"),
        pd.Series([5.0, np.nan], dtype="float32"),
        pd.Series([5, None], dtype=pd.ArrowDtype(pa.int64())),
    ],
)
def test_columns_of_every_pandas_type_are_read(cells: pd.Series[Any]) -> None:
    frames = plain.frames()
    frames["payments"]["amount"] = cells
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert list(portfolio.tables["payments"]["amount"]) == [5.0]
    assert reject_of(portfolio)[-1] == "is blank"


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series(pd.to_datetime(["2025-04-01", "NaT"])),
        pd.Series(pd.to_datetime(["2025-04-01", "NaT"], utc=True)).dt.tz_convert("Asia/Tokyo"),
        pd.Series(pd.to_datetime(["2025-04-01", "NaT"])).astype("datetime64[s]"),
    ],
)
def test_times_of_every_pandas_type_keep_their_instant(cells: pd.Series[Any]) -> None:
    frames = plain.frames()
    frames["payments"]["at"] = cells
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert list(portfolio.tables["payments"]["at"]) == [pd.Timestamp("2025-04-01", tz="UTC")]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (True, "is not a finite number"),
        (10**400, "is not a finite number"),
        (2**70, "is above 1e+12"),
        ("\ud800", "is not a finite number"),
        ([5], "is not a finite number"),
        (float("nan"), "is blank"),
        (pd.NA, "is blank"),
    ],
)
def test_odd_cells_are_rejects_and_no_crash(odd: Any, reason: str) -> None:
    frames = plain.frames()
    frames["payments"]["amount"] = pd.Series([odd, 1.5], dtype=object)
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert list(portfolio.tables["payments"]["amount"]) == [1.5]
    assert reject_of(portfolio)[-1] == reason


def test_the_index_says_nothing_and_frames_stay_as_they_were() -> None:
    frames = plain.frames(with_row("contacts", channel="fax"))
    for place, frame in enumerate(frames.values()):
        frame.index = pd.Index([7] * len(frame) if place % 2 else range(len(frame), 0, -1))
    before = copy.deepcopy(frames)
    portfolio = portfolio_from_frames(frames, plain.SETTINGS)
    assert reject_of(portfolio)[2] == 3
    for name, table in portfolio.tables.items():
        pd.testing.assert_frame_equal(table, plain.checked().tables[name])
        pd.testing.assert_frame_equal(frames[name], before[name])


def test_columns_have_one_type_whatever_is_in_them() -> None:
    bare = {name: [{**table[1], "account_id": "A2"}] for name, table in plain.rows().items()}
    for portfolio in (plain.checked(), plain.checked(bare)):
        for table in TABLES.values():
            frame = portfolio.tables[table.name]
            assert isinstance(frame.index, pd.RangeIndex)
            for column in table.columns:
                time = "datetime64[us, UTC]"
                expected = {Kind.TIME: time, Kind.END: time, Kind.FLAG: "bool"}.get(column.kind)
                number = column.kind in (Kind.AMOUNT, Kind.SHARE)
                assert str(frame[column.name].dtype) == (expected or ("float64" if number else "str"))


# ------------------------------------------------------------------------------------------- the oracle, with chance

#: For every column, cells that are good on their own and cells that are not; None is blank.
POOLS: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {
    "accounts": {
        "account_id": (["A1", "A2", "A3", " A1 "], ["", None]),
        "opened_at": (["2025-01-01", "2025-01-01T00:00:00+08:00", "20250101T10Z"], ["", "x", "20250101", "0001-01-01"]),
        "due_on": (["2025-02-01", "", None], ["x", "12"]),
        "balance": (["0", "1e3", " 5.25"], ["", "-1", "nan", "1e13", "1 000"]),
        "segment": (["card"], ["", "a\nb"]),
        "timezone": (["UTC", "", None], ["CET+1"]),
        "commission_rate": (["0", "1", None], ["1.5", "x"]),
    },
    "contacts": {
        "account_id": (["A1", "A2"], ["", "A9"]),
        "at": (["2025-04-01", "2025-04-01 10:00:00.5Z"], ["", "soon"]),
        "channel": (["sms", "call"], ["", "none", "fax"]),
        "outcome": (["sent"], ["", "SENT"]),
        "contact_id": (["C1", "C2", "", None], ["C\n1"]),
        "cost": (["0", "", None], ["-1", "x"]),
    },
    "payments": {
        "account_id": (["A1", "A2"], ["", "A9"]),
        "at": (["2025-04-01"], ["", "soon"]),
        "amount": (["5", "-5", "0"], ["", "inf", "-1e13"]),
        "payment_id": (["Y1", "Y2", ""], []),
    },
    "decisions": {
        "account_id": (["A1", "A2"], ["A9"]),
        "at": (["2025-04-01"], ["soon"]),
        "channel": (["sms", "none"], ["", "fax"]),
        "propensity": (["0.5", "1"], ["", "0", "1.5"]),
        "explored": (["true", "0", ""], ["2"]),
    },
}
#: A column of each table that takes any text, to tell rows apart by.
TAGS = {"accounts": "person_id", "contacts": "agent", "payments": "tag", "decisions": "policy"}


@st.composite
def spoilt_tables(draw: st.DrawFn) -> dict[str, plain.Rows]:
    """Tables with bad cells anywhere, after one good row each, so that no table is wholly bad."""
    tables = {}
    for name, pools in POOLS.items():
        row = st.fixed_dictionaries(
            {
                column: st.one_of(st.sampled_from(good), st.sampled_from(good + bad))
                for column, (good, bad) in pools.items()
            }
        )
        first = {column: good[0] for column, (good, _) in pools.items()}
        drawn = [first, *draw(st.lists(row, max_size=12))]
        tables[name] = [{**cells, TAGS[name]: f"{name}{place}"} for place, cells in enumerate(drawn)]
    return tables


def kept_by_hand(tables: dict[str, plain.Rows]) -> dict[str, set[int]]:
    """Row by row: the places, from 0, of the rows that are to be kept."""
    kept: dict[str, set[int]] = {}
    accounts: set[str] = set()
    for name, pools in POOLS.items():
        kept[name], seen = set(), set()
        for place, row in enumerate(tables[name]):
            good = all(row[column] in fine for column, (fine, _) in pools.items())
            known = name == "accounts" or row["account_id"] in accounts
            own = str(row.get(TABLES[name].id or "") or "").strip()
            if good and known and not (own and own in seen):
                kept[name].add(place)
                seen.add(own)
        if name == "accounts":
            accounts = {str(tables[name][place]["account_id"]).strip() for place in kept[name]}
    return kept


@given(tables=spoilt_tables())
def test_every_row_is_kept_or_set_aside_exactly_once(tables: dict[str, plain.Rows]) -> None:
    portfolio = plain.checked(tables)
    for name, expected in kept_by_hand(tables).items():
        rejects = portfolio.rejects[portfolio.rejects["table"] == name]
        set_aside = [int(row) - 1 for row in rejects["row"]]
        assert sorted([*expected, *set_aside]) == list(range(len(tables[name])))
        if TAGS[name] in portfolio.tables[name]:
            tags = [tables[name][place][TAGS[name]] for place in sorted(expected)]
            assert list(portfolio.tables[name][TAGS[name]]) == tags
        else:
            assert len(portfolio.tables[name]) == len(expected)
    assert portfolio.rejects["reason"].notna().all()


@settings(max_examples=40)
@given(tables=spoilt_tables(), seed=st.integers(0, 9))
def test_which_rows_are_kept_does_not_depend_on_their_order(tables: dict[str, plain.Rows], seed: int) -> None:
    # Of rows with one id it is the first that counts, so ids are made unique here.
    for name, table in tables.items():
        own = TABLES[name].id
        for place, row in enumerate(table):
            if own and row[own] and "\n" not in row[own] and row[own].strip():
                row[own] = f"{row[own]}" if name == "accounts" and place == 0 else f"{row[own].strip()}-{place}"
    shuffled = {
        name: [table[place] for place in np.random.default_rng(seed).permutation(len(table))]
        for name, table in tables.items()
    }
    one, other = plain.checked(tables), plain.checked(shuffled)
    assert sorted(one.rejects["reason"]) == sorted(other.rejects["reason"])
    for name in POOLS:
        tag = TAGS[name] if TAGS[name] in one.tables[name] else "amount"
        assert sorted(one.tables[name][tag]) == sorted(other.tables[name][tag])


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_batches_change_nothing(n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = plain.rows()
    contact = tables["contacts"][1]
    tables["contacts"] = [
        dict(contact, contact_id=f"C{place % 15}", channel="fax" if place % 4 == 3 else "sms") for place in range(20)
    ]
    whole = plain.checked(tables)
    monkeypatch.setattr("features.checking._BATCH_ROWS", n_rows)
    parts = plain.checked(tables)
    pd.testing.assert_frame_equal(parts.rejects, whole.rejects)
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(parts.tables[name], table)


@pytest.mark.parametrize("end", ["9999-12-31", "9999-12-31T23:59:59Z", "2200-01-01"])
def test_an_end_beyond_all_years_is_no_end(end: str) -> None:
    # Many systems write "open" so; were the row set aside, whom it protects would be contacted.
    tables = plain.rows()
    tables["restrictions"] = [{"account_id": "A1", "at": "2025-05-01", "kind": "deceased", "until": end}]
    found = plain.checked(tables)
    assert not len(found.rejects)
    assert found.tables["restrictions"]["until"].isna().all()
