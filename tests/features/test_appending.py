"""Adding rows to packed histories gives, bit for bit, what packing all of them together gives."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.appending import append
from features.errors import HistoryError
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from tests.features.seen import EVENT_TABLES, RawPortfolio, Row
from tests.features.strategies import SETTINGS, assert_same_histories, frames, long_history, packed, portfolios


def packed_part(portfolio: RawPortfolio) -> Histories:
    return pack(portfolio_from_frames(frames(portfolio), portfolio.settings), whole=False)


@settings(max_examples=40)
@given(portfolios(), st.randoms(use_true_random=False))
def test_rows_in_two_parts_are_as_all_at_once(portfolio: RawPortfolio, chance: random.Random) -> None:
    # Events arrive one by one, late ones among them; a service that adds them must score as a batch does.
    first: dict[str, list[Row]] = {}
    later: dict[str, list[Row]] = {}
    accounts = list(portfolio.tables["accounts"])
    here = [row for row in accounts if chance.random() < 0.7] or accounts[:1]
    ids = {row["account_id"] for row in here}
    for table in EVENT_TABLES:
        rows = list(portfolio.tables[table])
        early = [row["account_id"] in ids and chance.random() < 0.6 for row in rows]
        first[table] = [row for row, is_early in zip(rows, early, strict=True) if is_early]
        later[table] = [row for row, is_early in zip(rows, early, strict=True) if not is_early]
    touched = {row["account_id"] for rows in later.values() for row in rows}
    first["accounts"] = here
    later["accounts"] = [row for row in accounts if row["account_id"] in touched or row["account_id"] not in ids]
    if not later["accounts"]:
        return
    both = append(
        packed(replace(portfolio, tables=first)),
        packed_part(replace(portfolio, tables=later)),
    )
    whole = packed(portfolio)
    assert_same_histories(both, whole)


def test_one_event_at_a_time_is_as_all_at_once() -> None:
    portfolio = long_history(120, SETTINGS[1])
    account = portfolio.tables["accounts"]
    histories = packed(replace(portfolio, tables={"accounts": account, **{table: [] for table in EVENT_TABLES}}))
    for table in EVENT_TABLES:
        for row in portfolio.tables[table]:
            one = {name: [row] if name == table else [] for name in EVENT_TABLES}
            histories = append(histories, packed_part(replace(portfolio, tables={"accounts": account, **one})))
    assert_same_histories(histories, packed(portfolio))


def test_an_account_that_changed_is_refused() -> None:
    # What is packed of an account is not rewritten in passing: the portfolio is packed anew.
    portfolio = long_history(5, SETTINGS[0])
    changed = {**portfolio.tables["accounts"][0], "due_on": None}
    other = replace(portfolio, tables={**portfolio.tables, "accounts": [changed]})
    with pytest.raises(HistoryError, match="must be added as it is, got another due_on for a; pack the whole"):
        append(packed(portfolio), packed_part(other))


def test_other_settings_are_refused() -> None:
    portfolio = long_history(5, SETTINGS[0])
    other = replace(portfolio, settings=PortfolioSettings("other"))
    with pytest.raises(HistoryError, match="histories of the same settings"):
        append(packed(portfolio), packed_part(other))
