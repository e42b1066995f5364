"""What the store gives back is what was taken in, bit for bit as packing gives it, in either database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pandas as pd
import pytest
import sqlalchemy as sql
from hypothesis import given

from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames, wanted_columns
from features.raw import raw_from_frames
from features.settings import PortfolioSettings
from serving.store.database import Store, open_store
from serving.store.erasing import Erased, erase
from serving.store.events import CHANGED, TakenIn, take_in
from serving.store.histories import changes, tables
from serving.store.histories import packed as packed_table
from serving.store.packed import from_bytes, to_bytes
from serving.store.reading import Book, read_histories
from tests.features.seen import RawPortfolio
from tests.features.strategies import assert_same_histories, portfolios
from tests.features.strategies import frames as raw_frames
from tests.features.strategies import packed as packed_raw
from tests.serving.small import SETTINGS, random_frames

NOW = 1_800_000_000_000_000


def send(store: Store, frames: Mapping[str, pd.DataFrame], settings: PortfolioSettings = SETTINGS) -> TakenIn:
    return take_in(store, raw_from_frames(frames, wanted_columns(settings)), settings, NOW)


def packed(frames: Mapping[str, pd.DataFrame]) -> Histories:
    return pack(portfolio_from_frames(frames, SETTINGS), whole=False)


def part(frames: Mapping[str, pd.DataFrame], share: int, of: int) -> dict[str, pd.DataFrame]:
    """Every n-th row of each table of events, and all accounts."""
    return {name: frame if name == "accounts" else frame.iloc[share::of] for name, frame in frames.items()}


def test_what_is_read_is_what_packing_gives(store: Store) -> None:
    frames = random_frames(60)
    taken = send(store, frames)
    assert taken.rejects.empty
    assert taken.accepted == {name: len(frame) for name, frame in frames.items()}
    ids = frames["accounts"]["account_id"].tolist()
    for _ in range(2):  # from the rows, then from what was packed of them
        read = read_histories(store, [*reversed(ids), ids[0], "nobody"], SETTINGS)
        assert (read.arrival, read.missing) == (1, ("nobody",))
        assert_same_histories(read.histories, packed(frames))
    assert_same_histories(Book(store, SETTINGS).read().histories, packed(frames))


def test_a_batch_sent_again_changes_nothing(store: Store) -> None:
    frames = random_frames(20)
    frames["payments"] = pd.concat([frames["payments"].iloc[:3]] * 2 + [frames["payments"]])
    first, second = send(store, frames), send(store, frames)
    assert first.accepted == second.duplicates
    assert not any(second.accepted.values())
    assert (first.arrival, second.arrival) == (1, 1)
    ids = frames["accounts"]["account_id"].tolist()
    assert_same_histories(read_histories(store, ids, SETTINGS).histories, packed(frames))


def test_a_batch_of_nothing_new_marks_no_account_as_changed(store: Store) -> None:
    """Else what comes in under the same number later would seem to be packed already."""
    account, payment = rows(account_id="a", **ACCOUNT), rows(account_id="a", at="2026-02-01", amount=[5.0, 6.0])
    send(store, {"accounts": account, "payments": payment.head(1)})
    send(store, {"payments": payment.head(1)})
    read_histories(store, ["a"], SETTINGS)
    assert send(store, {"payments": payment.tail(1)}).arrival == 2
    found = read_histories(store, ["a"], SETTINGS).histories
    assert_same_histories(found, packed({**random_frames(0), "accounts": account, "payments": payment}))


def test_what_comes_later_is_read_by_who_asks_later_and_not_by_who_asks_for_then(store: Store) -> None:
    frames = random_frames(40)
    ids, book = frames["accounts"]["account_id"].tolist(), Book(store, SETTINGS)
    for share in range(3):
        taken = send(store, part(frames, share, 3))
        assert taken.arrival == share + 1
        so_far = {
            name: frame if name == "accounts" else pd.concat([frame.iloc[s::3] for s in range(share + 1)])
            for name, frame in frames.items()
        }
        wanted = packed(so_far)
        assert_same_histories(read_histories(store, ids, SETTINGS).histories, wanted)
        assert_same_histories(book.read().histories, wanted)
    first = packed(part(frames, 0, 3))
    assert_same_histories(read_histories(store, ids, SETTINGS, until=1).histories, first)
    assert book.read() is book.read()


def rows(**cells: Any) -> pd.DataFrame:
    n = max(len(value) if isinstance(value, list) else 1 for value in cells.values())
    return pd.DataFrame({name: value if isinstance(value, list) else [value] * n for name, value in cells.items()})


ACCOUNT = {"opened_at": "2026-01-01", "due_on": None, "balance": 100.0, "segment": "card", "utilisation": 0.5,
           "employment": "self"}  # fmt: skip


def test_an_id_with_other_content_is_set_aside(store: Store) -> None:
    send(store, {"accounts": rows(account_id="a", **ACCOUNT)})
    payment = {"account_id": "a", "at": "2026-02-01", "payment_id": "p1"}
    assert send(store, {"payments": rows(**payment, amount=5.0)}).accepted["payments"] == 1
    again = send(store, {"payments": rows(account_id="a", at="2026-02-01", payment_id=["p1", "p1", "p2", "p2", "p2"],
                                          amount=[6.0, 5.0, 7.0, 8.0, 7.0])})  # fmt: skip
    assert again.accepted["payments"] == 1
    assert again.duplicates["payments"] == 2
    assert again.rejects[["row", "column", "value", "reason"]].to_numpy().tolist() == [
        [1, "payment_id", "p1", CHANGED],
        [4, "payment_id", "p2", CHANGED],
    ]
    other = send(store, {"accounts": rows(account_id="a", **{**ACCOUNT, "balance": 90.0})})
    assert other.rejects["reason"].tolist() == [CHANGED]


@pytest.mark.parametrize("text", ["p\0", "p" * 501], ids=["nul", "long"])
def test_a_text_that_no_database_keeps_does_not_take_the_batch_with_it(store: Store, text: str) -> None:
    payments = rows(account_id="a", at="2026-02-01", payment_id=[text, "p" * 500], amount=5.0)
    taken = send(store, {"accounts": rows(account_id="a", **ACCOUNT), "payments": payments})
    assert (taken.accepted["payments"], taken.rejects["value"].str[:2].tolist()) == (1, [text[:2]])


@pytest.mark.parametrize("known", [True, False])
def test_a_row_needs_an_account_that_there_is(store: Store, known: bool) -> None:
    if known:
        send(store, {"accounts": rows(account_id="a", **ACCOUNT)})
    taken = send(store, {"payments": rows(account_id="a", at="2026-02-01", amount=5.0)})
    assert taken.accepted["payments"] == known
    assert taken.rejects["reason"].tolist() == ([] if known else ["is not in accounts"])
    assert taken.arrival == (2 if known else 0)


def test_bytes_are_histories_in_another_form() -> None:
    histories = packed(random_frames(50))
    assert_same_histories(from_bytes(to_bytes(histories), SETTINGS), histories)
    nobody = histories.take(histories.accounts.placed_at[:0])
    assert len(from_bytes(to_bytes(nobody), SETTINGS)) == 0


def test_who_is_erased_is_gone_from_histories_and_from_memory(store: Store) -> None:
    frames = random_frames(20)
    send(store, frames)
    ids, book = frames["accounts"]["account_id"].tolist(), Book(store, SETTINGS)
    assert len(read_histories(store, ids, SETTINGS).histories) == len(book.read().histories) == 20
    assert erase(store, ids[3], NOW).histories > 0
    assert erase(store, ids[3], NOW) == Erased(0, 0)
    assert read_histories(store, ids, SETTINGS).missing == (ids[3],)
    left = {name: frame[frame["account_id"] != ids[3]] for name, frame in frames.items()}
    assert_same_histories(book.read().histories, packed(left))
    with store.reading() as connection:
        for table in (*tables.values(), changes, packed_table):
            query = sql.select(sql.func.count()).where(table.c.account_id == ids[3])
            assert connection.execute(query).scalar_one() == 0


def test_packed_by_other_settings_is_packed_anew(store: Store) -> None:
    frames = random_frames(10)
    send(store, frames)
    ids = frames["accounts"]["account_id"].tolist()
    read_histories(store, ids, SETTINGS)
    other = replace(SETTINGS, timezone="Europe/Berlin", commission_rate=0.9)
    wanted = pack(portfolio_from_frames(frames, other), whole=False)
    assert_same_histories(read_histories(store, ids, other).histories, wanted)


@given(portfolio=portfolios())
@hypothesis.settings(max_examples=20)
def test_hostile_portfolios_are_read_as_they_are_packed(portfolio: RawPortfolio) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.db")
        assert send(store, raw_frames(portfolio), portfolio.settings).rejects.empty
        ids = [row["account_id"] for row in portfolio.tables["accounts"]]
        wanted = replace(packed_raw(portfolio), overview=None)
        for _ in range(2):
            assert_same_histories(read_histories(store, ids, portfolio.settings).histories, wanted)
        store.close()
