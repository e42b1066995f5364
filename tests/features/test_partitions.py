"""A portfolio in partitions is the portfolio: the same rows kept, set aside and refused, whatever their number."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contract import TABLES
from features.errors import PortfolioError
from features.histories import pack
from features.overview import combine
from features.partitions.shuffle import Shuffle, by_hash, by_range, quantiles
from features.partitions.split import Partitions, expected_bytes, n_buckets, split
from features.partitions.steps import steps
from features.partitions.storing import load, store
from features.portfolio import Portfolio, portfolio_from_frames, raw_tables, wanted_columns
from features.raw import raw_from_frames
from features.settings import PortfolioSettings
from tests.features import plain
from tests.features.seen import RawPortfolio
from tests.features.strategies import (
    assert_same_histories,
    assert_same_overview,
    assert_same_rows,
    frames,
    portfolios,
)
from tests.features.test_checking import spoilt_tables

T = TypeVar("T")

#: Into how many buckets, and how much of it in memory: all of it; every bucket a partition; or some together.
SIZES = ((1, 10**9), (3, 1), (6, 12_000), (9, 1))


def in_partitions(
    tables: Mapping[str, pd.DataFrame], portfolio_settings: PortfolioSettings, n: int, n_bytes: int
) -> tuple[list[Portfolio], pd.DataFrame]:
    """The partitions of frames, and the rejects of all."""
    raw = raw_from_frames(tables, wanted_columns(portfolio_settings))
    with TemporaryDirectory() as folder, steps(Path(folder) / "work", "key") as of_work:
        found = split(raw, portfolio_settings, of_work, n, n_bytes)
        return [found.portfolio(partition) for partition in range(len(found))], found.rejects()


def assert_same(
    tables: Mapping[str, pd.DataFrame], portfolio_settings: PortfolioSettings, n: int, n_bytes: int
) -> None:
    """In memory and in partitions, the same comes of it."""
    whole = refused_or(lambda: portfolio_from_frames(tables, portfolio_settings))
    split_up = refused_or(lambda: in_partitions(tables, portfolio_settings, n, n_bytes))
    if isinstance(whole, str) or isinstance(split_up, str):
        assert whole == split_up
        return
    parts, rejects = split_up
    pd.testing.assert_frame_equal(rejects, whole.rejects)
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(in_order([part.tables[name] for part in parts]), in_order([table]))
    histories = pack(whole)
    begin, overviews = 0, []
    for part in parts:
        packed = pack(part)
        assert_same_rows(packed, histories.take(np.arange(begin, begin + len(packed))))
        begin += len(packed)
        overviews += [packed.overview] if packed.overview else []
    assert begin == len(histories)
    assert histories.overview
    assert_same_overview(combine(overviews), histories.overview)


def refused_or(call: Callable[[], T]) -> T | str:
    """What a call gives, or in which words it refuses to."""
    try:
        return call()
    except PortfolioError as error:
        return str(error)


def in_order(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows in an order that does not depend on the one they came in."""
    joined = pd.concat(parts, ignore_index=True)
    order = joined.astype(str).sort_values(list(joined.columns)).index
    return joined.loc[order].reset_index(drop=True)


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    """Rows are checked, and dealt into buckets, eight at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.checking._BATCH_ROWS", 8)
        yield


@settings(max_examples=15)
@given(tables=spoilt_tables(), size=st.sampled_from(SIZES))
def test_rows_good_and_bad_are_those_of_the_whole(tables: dict[str, plain.Rows], size: tuple[int, int]) -> None:
    assert_same(plain.frames(tables), plain.SETTINGS, *size)


@settings(max_examples=15)
@given(tables=spoilt_tables(), size=st.sampled_from(SIZES), gone=st.sets(st.sampled_from(sorted(TABLES)), min_size=1))
def test_what_cannot_be_used_is_refused_in_the_same_words(
    tables: dict[str, plain.Rows], size: tuple[int, int], gone: set[str]
) -> None:
    # The first row of each table is its good one.
    assert_same(plain.frames({name: rows[name in gone :] for name, rows in tables.items()}), plain.SETTINGS, *size)


@settings(max_examples=12)
@given(portfolio=portfolios(), size=st.sampled_from(SIZES))
def test_histories_are_those_of_the_whole(portfolio: RawPortfolio, size: tuple[int, int]) -> None:
    assert_same(frames(portfolio), portfolio.settings, *size)


def many(n_accounts: int) -> dict[str, plain.Rows]:
    """Accounts in no order, each with some rows, and all rows without a fault."""
    tables = plain.rows()
    names = [f"A{(7 * place) % n_accounts:03d}" for place in range(n_accounts)]
    tables["accounts"] = [dict(tables["accounts"][place % 2], account_id=name) for place, name in enumerate(names)]
    for name, rows in tables.items():
        if name != "accounts":
            own = TABLES[name].id
            numbered = enumerate([*names, *reversed(names)])
            tables[name] = [
                {**rows[0], "account_id": account, **({own: f"{name}-{place}"} if own else {})}
                for place, account in numbered
            ]
    return tables


@pytest.mark.parametrize("size", SIZES)
def test_an_id_repeated_in_another_partition_is_found(size: tuple[int, int]) -> None:
    tables = many(24)
    for name in ("contacts", "payments", "promises"):
        own = str(TABLES[name].id)
        tables[name][40][own] = tables[name][3][own]
        tables[name][41][own] = tables[name][3][own]
        # The first with an id is no good, so that the second counts: by its cells, or since nobody knows its account.
        tables[name][5][own] = tables[name][30][own]
        tables[name][5]["amount" if name != "contacts" else "channel"] = "?"
        tables[name][6][own] = tables[name][35][own]
        tables[name][6]["account_id"] = "B"
    _, rejects = in_partitions(plain.frames(tables), plain.SETTINGS, *size)
    assert [rejects[rejects["table"] == name]["row"].tolist() for name in ("contacts", "payments", "promises")] == [
        [6, 7, 41, 42]
    ] * 3
    assert_same(plain.frames(tables), plain.SETTINGS, *size)


@pytest.mark.parametrize("size", SIZES)
def test_an_id_that_is_in_every_row_is_found_in_all_but_the_first(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.partitions.tables._MANY_IDS", 5)
    tables = many(24)
    tables["payments"] = [dict(row, payment_id="0") for row in tables["payments"]]
    parts, _ = in_partitions(plain.frames(tables), plain.SETTINGS, *size)
    assert sum(len(part.tables["payments"]) for part in parts) == 1
    assert_same(plain.frames(tables), plain.SETTINGS, *size)


def test_the_accounts_of_a_partition_come_before_those_of_the_next() -> None:
    parts, _ = in_partitions(plain.frames(many(24)), plain.SETTINGS, 8, 1)
    assert len(parts) == 8
    names = [sorted(part.tables["accounts"]["account_id"]) for part in parts]
    assert [name for some in names for name in some] == sorted(name for some in names for name in some)
    assert {len(some) for some in names} == {3}


def test_a_portfolio_of_one_account_is_one_partition_with_rows() -> None:
    tables = {name: [rows[0]] for name, rows in plain.rows().items()}
    assert_same(plain.frames(tables), plain.SETTINGS, 16, 1)


def test_files_are_split_as_frames_are(tmp_path: Path) -> None:
    folder = plain.write(tmp_path / "portfolio", many(24))
    rejected = (folder / "contacts.csv").read_text("utf-8").replace("call", "fax", 3) + "too,few\n"
    (folder / "contacts.csv").write_text(rejected, encoding="utf-8")
    with steps(tmp_path / "work", "key") as of_work:
        found = split(raw_tables(folder, plain.SETTINGS), plain.SETTINGS, of_work, 4, 1)
        assert found.rejects()[["file", "row"]].to_numpy().tolist() == [["contacts.csv", row] for row in (1, 2, 3, 49)]
        assert sum(len(found.portfolio(part).tables["contacts"]) for part in range(len(found))) == 45


def test_what_is_split_is_not_read_again(tmp_path: Path) -> None:
    raw = raw_from_frames(plain.frames(many(24)), wanted_columns(plain.SETTINGS))

    def read(but: tuple[str, ...] = ()) -> dict[str, Any]:
        return {name: unreadable(name) if name in but else parts for name, parts in raw.items()}

    with pytest.raises(InterruptedError, match="payments"), steps(tmp_path / "work", "key") as of_work:
        split(read(but=("payments",)), plain.SETTINGS, of_work, 4, 1)
    with steps(tmp_path / "work", "key") as of_work:
        assert of_work.resumed
        again = split(read(but=("accounts", "contacts")), plain.SETTINGS, of_work, 4, 1)
        assert rows_of(again) == {name: 24 if name == "accounts" else 48 for name in TABLES}
        once_more = split(read(but=tuple(raw)), plain.SETTINGS, of_work, 4, 1)
        assert rows_of(once_more) == rows_of(again)
        assert once_more.spans == again.spans


def unreadable(name: str) -> Iterator[Any]:
    """A table that must not be read, or is interrupted."""
    raise InterruptedError(name)
    yield


def rows_of(partitions: Partitions) -> dict[str, int]:
    parts = [partitions.portfolio(partition).tables for partition in range(len(partitions))]
    return {name: sum(len(part[name]) for part in parts) for name in TABLES}


def test_the_more_there_is_the_more_buckets(tmp_path: Path) -> None:
    folder = plain.write(tmp_path, many(200))
    expected = expected_bytes(folder)
    # 200 accounts, and twice as many rows in each of six tables.
    assert expected == 200 * 5_700 + 6 * 400 * 600 + (5_700 + 6 * 600)  # and the headers
    assert n_buckets(expected, expected) == 8
    assert n_buckets(10 * expected, expected) == 80
    assert n_buckets(10_000 * expected, expected) == 4_096


# --------------------------------------------------------------------------------------------------- rows on disk


@given(
    texts=st.lists(st.text(max_size=3)),
    bounds=st.lists(st.text(max_size=3), unique=True).map(sorted),
)
def test_ranges_are_in_the_order_of_python(texts: list[str], bounds: list[str]) -> None:
    found = by_range(pa.chunked_array([texts[:2], texts[2:]], pa.string()), bounds)
    assert found.tolist() == [sum(bound <= text for bound in bounds) for text in texts]


@given(st.lists(st.text(max_size=2), max_size=30), st.integers(1, 8))
def test_quantiles_deal_texts_evenly(texts: list[str], n: int) -> None:
    array = pa.chunked_array([texts], pa.string())
    bounds = quantiles([array], n)
    assert bounds == sorted(set(bounds))
    assert len(bounds) < n
    if len(set(texts)) == len(texts):
        assert all(size <= -(-len(texts) // n) + 1 for size in np.bincount(by_range(array, bounds)))


def test_a_bucket_by_hash_is_the_same_today_and_tomorrow() -> None:
    texts = pa.chunked_array([["A1", "A2"], ["", "Ä3", "A1"]], pa.string())
    assert by_hash(texts, 1_000).tolist() == [670, 493, 774, 210, 670]
    assert by_hash(texts, 1).tolist() == [0] * 5


def test_a_shuffle_gives_back_what_was_written(tmp_path: Path) -> None:
    words = pa.array(["x", "y"]).dictionary_encode()
    runs = [
        pa.table({"n": [1, 2, 3], "word": words.take(pa.array([0, 1, 1]))}),
        pa.table({"n": [4], "word": pa.array(["z"]).dictionary_encode()}),
    ]
    schema = runs[0].schema
    shuffle = Shuffle(tmp_path / "rows", 4)
    assert shuffle.read(schema).num_rows == 0
    for run, buckets in zip(runs, ([2, 0, 2], [0]), strict=True):
        shuffle.write(run, np.array(buckets))
    assert shuffle.counts.tolist() == [2, 0, 2, 0]
    assert shuffle.read(schema, 0, 1).to_pydict() == {"n": [2, 4], "word": ["y", "z"]}
    assert shuffle.read(schema, 1, 4, ["word"]).to_pydict() == {"word": ["x", "y"]}
    assert shuffle.read(schema, columns=["word", "n"]).column_names == ["word", "n"]


def test_a_bucket_without_rows_takes_no_room(tmp_path: Path) -> None:
    texts = pa.table({"text": [f"text {place}" for place in range(10_000)]})
    shuffle = Shuffle(tmp_path / "rows", 100)
    shuffle.write(texts, np.full(len(texts), 7))
    (run,) = shuffle.runs()
    assert run.stat().st_size < texts.nbytes
    before = pa.total_allocated_bytes()
    found = shuffle.read(texts.schema, 8, 100)
    assert len(found) == 0
    assert pa.total_allocated_bytes() - before < 100_000


@settings(max_examples=20)
@given(portfolio=portfolios())
def test_histories_are_stored_as_they_are(portfolio: RawPortfolio) -> None:
    histories = pack(portfolio_from_frames(frames(portfolio), portfolio.settings))
    before = copy.deepcopy(histories)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "histories.npz"
        store(histories, path)
        assert_same_histories(load(path), before)
