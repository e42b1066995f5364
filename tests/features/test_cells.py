"""Cells: each kind against Python's own reading of the same cell, alone and among others."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.cells import (
    BLANK,
    LINE_BREAK,
    NO_CONTACT,
    NO_FLAG,
    NO_NUMBER,
    NO_TIME,
    NO_ZONE,
    NUL,
    NUMBER_AS_TIME,
    OUTSIDE_YEARS,
    TOO_LONG,
    read_cells,
    value_type,
)
from features.contract import CHANNELS, LONGEST_ID, PROBABILITY, Column, Interval, Kind, may, must

UTC = dt.UTC
#: A day and the widest zone inside the years that are taken for real.
FIRST, LAST = dt.datetime.fromisoformat("1900-01-03"), dt.datetime.fromisoformat("2199-12-29")


def read(cells: Any, column: Column) -> tuple[list[Any], dict[int, str]]:
    """The values, and for each bad row the first reason."""
    array = cells if isinstance(cells, pa.Array) else pa.array(cells)
    found = read_cells(array, column, CHANNELS)
    assert found.array.type == value_type(column.kind)
    assert len(found.array) == len(array)
    reasons: dict[int, str] = {}
    for fault in found.faults:
        assert fault.column == column.name
        for row in np.flatnonzero(fault.rows):
            reasons.setdefault(int(row), fault.reason)
    return found.array.to_pylist(), reasons


def of(kind: Kind, interval: Interval | None = None) -> Column:
    return may("cell", kind, "", interval)


# ------------------------------------------------------------------------------------------------------------- times


@st.composite
def written_times(draw: st.DrawFn) -> tuple[str, dt.datetime]:
    """An ISO 8601 time in one of its forms, and the instant that it means."""
    minutes = draw(st.integers(-23 * 60, 23 * 60))
    zone = draw(st.sampled_from([None, UTC, dt.timezone(dt.timedelta(minutes=minutes))]))
    moment = draw(st.datetimes(FIRST, LAST)).replace(tzinfo=zone)
    form = draw(st.sampled_from(["extended", "seconds", "minutes", "basic", "date", "week"]))
    if form in ("date", "week"):
        moment = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        year, week, day = moment.isocalendar()
        text = moment.date().isoformat() if form == "date" else f"{year}-W{week:02d}-{day}"
    elif form == "basic":
        moment = moment.replace(microsecond=0)
        text = moment.strftime("%Y%m%dT%H%M%S%z")
    else:
        timespec = {"extended": "microseconds", "seconds": "seconds", "minutes": "minutes"}[form]
        moment = moment.replace(microsecond=moment.microsecond if form == "extended" else 0)
        moment = moment.replace(second=0) if form == "minutes" else moment
        text = moment.isoformat(draw(st.sampled_from("T ")), timespec)
        text = text.replace("+00:00", draw(st.sampled_from(["Z", "+00", "+0000", "+00:00", "-00:00"])))
    blank = draw(st.sampled_from(["", " ", "\t"]))
    return blank + text + blank, moment.replace(tzinfo=moment.tzinfo or UTC)


@given(times=st.lists(written_times(), min_size=1, max_size=8))
def test_every_form_of_iso_8601_is_the_instant_that_it_means(times: list[tuple[str, dt.datetime]]) -> None:
    values, reasons = read([text for text, _ in times], of(Kind.TIME))
    assert values == [moment for _, moment in times]
    assert not reasons


time_like = st.one_of(
    written_times().map(lambda time: time[0]),
    st.text("0123456789-:TZW+. ", max_size=28),
    st.from_regex(r"\A\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?(Z|[+-]\d\d(:?\d\d)?)?\Z"),
    st.sampled_from(["now", "today", "nan", "NaT", "null", "2024-02-30", "9999-12-31", "0000-00-00", "24:00"]),
)


@given(cells=st.lists(time_like, max_size=8))
@example(cells=["2024-01-01T10:00:00.", "2024-01-01"])
@example(cells=["2024-01-01T10:00+8", "2024-01-01T10:00+24:00", "2024-01-01T24:00:00", "x"])
def test_a_time_is_judged_alone_whatever_its_neighbours(cells: list[str]) -> None:
    together, reasons = read(pa.array(cells, pa.string()), of(Kind.TIME))
    for row, cell in enumerate(cells):
        alone, reason = read([cell], of(Kind.TIME))
        assert alone == [together[row]]
        assert reason.get(0) == reasons.get(row)


@given(cells=st.lists(time_like, max_size=8))
def test_a_time_is_read_or_refused_or_blank(cells: list[str]) -> None:
    values, reasons = read(pa.array(cells, pa.string()), of(Kind.TIME))
    for row, cell in enumerate(cells):
        assert (values[row] is None) == (row in reasons or not cell.strip())


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("01/03/2024", NO_TIME),
        ("2024-02-30", NO_TIME),
        ("2024-01-01T24:00:00", NO_TIME),
        ("2024-01-01T10:00:60", NO_TIME),
        ("2024-01-01T10:00+24:00", NO_TIME),
        ("now", NO_TIME),  # the clock is nobody's data
        ("1704067200", NUMBER_AS_TIME),
        ("20240101", NUMBER_AS_TIME),
        ("45292.5", NUMBER_AS_TIME),
        ("0001-01-01", OUTSIDE_YEARS),
        ("1899-12-31T23:59:59", OUTSIDE_YEARS),
        ("2200-01-01", OUTSIDE_YEARS),
        ("9999-12-31", OUTSIDE_YEARS),
    ],
)
def test_what_is_no_time_says_why(cell: str, reason: str) -> None:
    assert read([cell, "2024-01-01"], of(Kind.TIME))[1] == {0: reason}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_native_times_of_every_unit_keep_their_instant(unit: str, zone: str | None) -> None:
    moment = dt.datetime.fromisoformat("2024-02-29T23:59:59")
    aware = moment.replace(tzinfo=UTC)
    cells = pa.array([moment, None], pa.timestamp(unit, zone))
    assert read(cells, of(Kind.TIME)) == ([aware, None], {})


def test_native_times_far_out_are_refused_rather_than_wrapped_around() -> None:
    cells = pa.array([2**62, -(2**62), 0], pa.timestamp("s"))
    values, reasons = read(cells, of(Kind.TIME))
    assert values == [None, None, dt.datetime(1970, 1, 1, tzinfo=UTC)]
    assert set(reasons.values()) == {OUTSIDE_YEARS}


def test_native_dates_are_the_start_of_their_day() -> None:
    for kind in (pa.date32(), pa.date64()):
        assert read(pa.array([dt.date(2024, 2, 29)], kind), of(Kind.TIME))[0] == [dt.datetime(2024, 2, 29, tzinfo=UTC)]


@pytest.mark.parametrize("cells", [[1704067200], [1704067200.0], [True], [Decimal(20240101)]])
def test_native_numbers_are_no_times(cells: list[Any]) -> None:
    # Seconds, milliseconds, days since 1900, or a date written without hyphens: nobody can tell.
    assert read(cells, of(Kind.TIME)) == ([None], {0: NUMBER_AS_TIME})


# ----------------------------------------------------------------------------------------------------------- numbers


@given(cells=st.lists(st.one_of(st.floats().map(repr), st.decimals().map(str), st.text(max_size=6)), max_size=6))
@example(cells=["1,000", "1_000", "0x10", "1e400", "NaN", "inf", "-Infinity", "+1", "1.", ".5", "\u0661"])
def test_text_is_a_number_as_python_reads_it(cells: list[str]) -> None:
    values, reasons = read(pa.array(cells, pa.string()), of(Kind.NUMBER))
    for row, cell in enumerate(cells):
        text = cell.strip()
        plain = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
        expected = float(text) if plain and np.isfinite(float(text)) else None
        assert values[row] == expected
        assert reasons.get(row) == (NO_NUMBER if text and expected is None else None)


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([5], pa.int8()),
        pa.array([5], pa.uint64()),
        pa.array([5], pa.float32()),
        pa.array([Decimal("5.00")]),
        pa.array(["5"], pa.large_string()),
        pa.array(["5"]).dictionary_encode(),
    ],
)
def test_numbers_of_every_type_are_numbers(cells: pa.Array) -> None:
    assert read(cells, of(Kind.AMOUNT)) == ([5.0], {})


def test_what_is_no_number_is_refused() -> None:
    assert read([True], of(Kind.AMOUNT))[1] == {0: NO_NUMBER}
    assert read([FIRST], of(Kind.AMOUNT))[1] == {0: NO_NUMBER}
    assert read([float("nan"), float("inf"), 1.0], of(Kind.AMOUNT))[1] == {0: NO_NUMBER, 1: NO_NUMBER}
    # A column of floats has no other way to leave an attribute open.
    assert read([float("nan"), float("inf")], of(Kind.NUMBER)) == ([None, None], {1: NO_NUMBER})


def test_an_interval_may_leave_out_its_low_end() -> None:
    values, reasons = read(["0", "1e-9", "1", "1.0000001", ""], of(Kind.SHARE, PROBABILITY))
    assert values[1:3] == [1e-9, 1.0]
    assert reasons == {0: "is not above 0", 3: "is above 1"}


# ------------------------------------------------------------------------------------------------------- text, words


def test_text_is_kept_but_for_surrounding_blanks() -> None:
    cells = ["007", " A 1 ", "", " ", None, "\u00a0x\u00a0", "é"]
    assert read(cells, of(Kind.ID))[0] == ["007", "A 1", None, None, None, "x", "é"]


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (pa.array([7, None]), ["7", None]),
        (pa.array([7.0, None]), ["7", None]),
        (pa.array([7.5, float("nan")]), ["7.5", None]),
        (pa.array([Decimal(7), None]), ["7", None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([b"7", b"\xff"]), ["7", "\\xff"]),
        (pa.nulls(2), [None, None]),
        (pa.array(["7", None]).cast(pa.string_view()), ["7", None]),
    ],
)
def test_native_values_are_text_where_text_is_wanted(cells: pa.Array, text: list[str | None]) -> None:
    assert read(cells, of(Kind.TEXT)) == (text, {})


def test_an_id_over_two_lines_is_two_rows_run_together() -> None:
    assert read(["A1\nA2", "A3"], of(Kind.ID))[1] == {0: LINE_BREAK}


@pytest.mark.parametrize("kind", [Kind.ID, Kind.TEXT])
def test_a_text_with_a_nul_is_set_aside(kind: Kind) -> None:
    assert read(["A\0", "A1", None, "\0"], of(kind))[1] == {0: NUL, 3: NUL}
    assert read(pa.array(["A\0", "A1", "A2"])[1:], of(kind))[1] == {}


def test_an_id_is_no_longer_than_an_index_takes() -> None:
    longest = "Ä" * LONGEST_ID
    assert read([longest, longest + "1", None, ""], of(Kind.ID))[1] == {1: TOO_LONG}
    assert read([longest + "1"], of(Kind.TEXT))[1] == {}


def test_words_are_exactly_those_of_the_contract() -> None:
    assert set(read(["sms", "fax", "SMS", "none"], of(Kind.CHANNEL))[1]) == {1, 2, 3}
    assert read(["none"], of(Kind.CHANNEL))[1] == {0: NO_CONTACT}
    assert set(read(["sms", "none", "fax"], of(Kind.ACTION))[1]) == {2}
    assert set(read(["right_party", "rpc"], of(Kind.OUTCOME))[1]) == {1}
    assert set(read(["inbound", "in"], of(Kind.DIRECTION))[1]) == {1}
    assert set(read(["closed", "paused"], of(Kind.RESTRICTION))[1]) == {1}
    assert read(["UTC", "Mars/Olympus", "localtime", "../UTC", "utc "], of(Kind.ZONE))[1] == dict.fromkeys(
        [1, 2, 3, 4], NO_ZONE
    )


def test_flags_are_read_in_the_usual_spellings() -> None:
    cells = ["true", "F", "1", "no", "", None, "maybe"]
    values, reasons = read(cells, of(Kind.FLAG))
    assert values == [True, False, True, False, False, False, False]
    assert reasons == {6: NO_FLAG}
    assert read([1, 0, 2], of(Kind.FLAG))[1] == {2: NO_FLAG}
    assert read([True, None], of(Kind.FLAG)) == ([True, False], {})


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.FLAG])
def test_blank_is_refused_only_where_a_value_must_be(kind: Kind) -> None:
    for cells in (pa.array(["", " ", None]), pa.nulls(3)):
        assert read(cells, may("cell", kind, "")) == ([None] * 3, {})
        assert read(cells, must("cell", kind, ""))[1] == dict.fromkeys(range(3), BLANK)


@pytest.mark.parametrize("kind", list(Kind))
@given(cells=st.lists(st.one_of(st.none(), st.text(max_size=5), time_like, st.floats().map(str)), max_size=6))
def test_a_slice_is_read_like_what_it_was_cut_from(kind: Kind, cells: list[str | None]) -> None:
    # Batches are slices, and a slice has an offset that is easily forgotten.
    whole, faults = read(pa.array(["x", *cells, "y"], pa.string()), of(kind))
    part, part_faults = read(pa.array(["x", *cells, "y"], pa.string()).slice(1, len(cells)), of(kind))
    assert part == whole[1:-1]
    assert part_faults == {row - 1: why for row, why in faults.items() if 0 < row <= len(cells)}
