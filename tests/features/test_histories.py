"""Packed histories: order, known time, defaults, local time, and taking accounts out of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.histories import Histories, pack, utc_offset
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from features.units import NULL_TIME
from tests.features.seen import EVENT_TABLES, RawPortfolio, Row, happened_at, known_at
from tests.features.strategies import (
    ANCHORS,
    STEPS,
    ZONES,
    assert_same_histories,
    frames,
    instant,
    money,
    packed,
    portfolios,
)

OPENED_AT = datetime(2025, 1, 1, tzinfo=UTC)
ACCOUNT: Row = {"account_id": "a", "opened_at": OPENED_AT, "balance": Decimal(100), "segment": "cards"}


def of_one_account(settings: PortfolioSettings, account: Row = ACCOUNT, **tables: list[Row]) -> Histories:
    return packed(RawPortfolio(settings, {"accounts": [account], **tables}))


@settings(max_examples=20)
@given(portfolios(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_forgotten(portfolio: RawPortfolio, chance: random.Random) -> None:
    # Rows of one instant may come in any order; nothing downstream may depend on it, not even the last bit of a sum.
    tables = {name: chance.sample(list(rows), len(rows)) for name, rows in portfolio.tables.items()}
    assert_same_histories(packed(replace(portfolio, tables=tables)), packed(portfolio))


@settings(max_examples=25)
@given(portfolios())
def test_every_row_is_packed_under_its_account_in_the_order_of_known_time(portfolio: RawPortfolio) -> None:
    histories = packed(portfolio)
    for table in EVENT_TABLES:
        events = getattr(histories, table)
        assert (events.start[0], events.start[-1]) == (0, len(events.known))
        for place, account_id in enumerate(histories.accounts.account_id):
            rows = [row for row in portfolio.tables[table] if row["account_id"] == account_id]
            mine = slice(events.start[place], events.start[place + 1])
            pairs = list(zip(events.known[mine].tolist(), events.at[mine].tolist(), strict=True))
            wanted = [(instant(known_at(table, row)), instant(happened_at(table, row))) for row in rows]
            assert pairs == sorted(wanted)


@settings(max_examples=12)
@given(portfolios())
def test_what_is_packed_is_what_was_given(portfolio: RawPortfolio) -> None:
    histories, rows = packed(portfolio), portfolio.tables
    accounts = histories.accounts
    assert accounts.account_id.tolist() == sorted(row["account_id"] for row in rows["accounts"])
    for place, account_id in enumerate(accounts.account_id):
        row = portfolio.account(account_id)
        assert accounts.balance[place] == money(row["balance"])
        assert accounts.due_on[place] == (NULL_TIME if row["due_on"] is None else instant(row["due_on"]))
        assert accounts.person_id[place] == row["person_id"]
    for table in ("payments", "charges", "promises"):
        amounts = [money(row["amount"]) for row in rows[table]]
        assert sorted(getattr(histories, table).amount.tolist()) == sorted(amounts)
    costs = [money(row["cost"] or Decimal(0)) for row in rows["contacts"]]
    assert sorted(histories.contacts.cost.tolist()) == sorted(costs)
    actions = (*portfolio.settings.channel_names, "none")
    decided = sorted(
        (actions.index(row["channel"]), row["propensity"], bool(row["explored"])) for row in rows["decisions"]
    )
    columns = (histories.decisions.channel, histories.decisions.propensity, histories.decisions.explored)
    assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == decided


@settings(max_examples=8)
@given(portfolios())
def test_packing_leaves_the_tables_as_they_were(portfolio: RawPortfolio) -> None:
    checked = portfolio_from_frames(frames(portfolio), portfolio.settings)
    before = copy.deepcopy(dict(checked.tables))
    pack(checked)
    for name, table in checked.tables.items():
        pd.testing.assert_frame_equal(table, before[name])


@settings(max_examples=20)
@given(portfolios(), st.data())
def test_taken_accounts_are_those_of_a_portfolio_that_holds_no_others(
    portfolio: RawPortfolio, data: st.DataObject
) -> None:
    # One account taken out is the history that the service builds of a request for it.
    histories = packed(portfolio)
    kept = data.draw(st.sets(st.sampled_from(histories.accounts.account_id.tolist()), min_size=1))
    tables = {name: [row for row in rows if row["account_id"] in kept] for name, rows in portfolio.tables.items()}
    rows = np.flatnonzero([name in kept for name in histories.accounts.account_id])
    assert_same_histories(histories.take(rows), packed(replace(portfolio, tables=tables)))


@settings(max_examples=15)
@given(portfolios(), st.data())
def test_taking_twice_is_taking_once(portfolio: RawPortfolio, data: st.DataObject) -> None:
    # Repeated and permuted: accounts are sampled with replacement, and queues are in any order.
    histories = packed(portfolio)
    before = copy.deepcopy(histories)
    first = np.array(data.draw(st.lists(st.integers(0, len(histories) - 1), min_size=1, max_size=6)))
    second = np.array(data.draw(st.lists(st.integers(0, len(first) - 1), max_size=6)), dtype=np.int64)
    assert_same_histories(histories.take(first).take(second), histories.take(first[second]))
    assert_same_histories(histories.take(np.arange(len(histories))), histories)
    assert_same_histories(histories, before)


def test_no_account_at_all_is_a_history() -> None:
    none = of_one_account(PortfolioSettings("east")).take(np.array([], dtype=np.int64))
    assert len(none) == 0
    assert none.last_known == NULL_TIME
    assert none.contacts.start.tolist() == [0]


@settings(max_examples=10)
@given(portfolios())
def test_the_latest_known_row_is_that_of_any_table(portfolio: RawPortfolio) -> None:
    placed = [row["placed_at"] or row["opened_at"] for row in portfolio.tables["accounts"]]
    known = [known_at(table, row) for table in EVENT_TABLES for row in portfolio.tables[table]]
    assert packed(portfolio).last_known == instant(max(placed + known))


def test_blank_cells_mean_what_the_settings_say() -> None:
    of_settings = of_one_account(PortfolioSettings("east", commission_rate=0.15, timezone="Asia/Shanghai")).accounts
    assert of_settings.placed_at.tolist() == [instant(OPENED_AT)]
    assert of_settings.commission_rate.tolist() == [0.15]
    assert of_settings.timezone.tolist() == ["Asia/Shanghai"]
    assert of_settings.due_on.tolist() == [NULL_TIME]
    own = {"placed_at": OPENED_AT + timedelta(days=5), "commission_rate": 0.0, "timezone": "UTC"}
    of_account = of_one_account(PortfolioSettings("east", commission_rate=0.15), {**ACCOUNT, **own}).accounts
    assert of_account.placed_at.tolist() == [instant(OPENED_AT) + 5 * 86_400_000_000]
    assert of_account.commission_rate.tolist() == [0.0]
    assert of_account.timezone.tolist() == ["UTC"]


@pytest.mark.parametrize(("recorded", "known"), [(None, 0), (-5, 0), (0, 0), (5, 5)])
def test_a_row_is_known_from_when_it_was_recorded_and_never_before_it_happened(
    recorded: int | None, known: int
) -> None:
    recorded_at = None if recorded is None else OPENED_AT + timedelta(days=recorded)
    payment: Row = {"account_id": "a", "at": OPENED_AT, "amount": Decimal(1), "recorded_at": recorded_at}
    histories = of_one_account(PortfolioSettings("east"), payments=[payment])
    assert histories.payments.known.tolist() == [instant(OPENED_AT + timedelta(days=known))]


def test_a_restriction_without_end_never_ends() -> None:
    kept = {"account_id": "a", "at": OPENED_AT, "kind": "dispute"}
    until = OPENED_AT + timedelta(days=1)
    ended = {**kept, "kind": "fraud", "until": until, "channel": "call"}
    restrictions = of_one_account(PortfolioSettings("east"), restrictions=[kept, ended]).restrictions
    assert sorted(restrictions.until.tolist()) == [instant(until), np.iinfo(np.int64).max]
    assert sorted(restrictions.channel.tolist()) == [-1, 2]


@pytest.mark.parametrize("amount", ["0.01", "0.0001", "1999.9999", "2.675", "33333333.33", "999999999999.99"])
def test_cents_are_exact(amount: str) -> None:
    # A float holds none of these exactly; sums of ten-thousandths must.
    rows: list[Row] = [{"account_id": "a", "at": OPENED_AT, "amount": Decimal(amount)} for _ in range(3)]
    histories = of_one_account(PortfolioSettings("east"), payments=rows)
    assert histories.payments.amount.sum() == 3 * int(Decimal(amount) * 10_000)


def local_instants() -> Iterator[tuple[str, datetime]]:
    """Every zone around every clock change and at its very instant, and far in the past and future."""
    far = [datetime(year, month, 1, 12, tzinfo=UTC) for year in (1901, 1969, 2037, 2038, 2199) for month in (1, 7)]
    near = [anchor + sign * step for anchor in ANCHORS for step in STEPS[:12] for sign in (1, -1)]
    for zone in (*ZONES, "Europe/London", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca"):
        yield from ((zone, at) for at in (*near, *far))


def test_local_time_is_that_of_the_zone_at_that_instant() -> None:
    zones, instants = zip(*local_instants(), strict=True)
    offset = utc_offset(np.array([instant(at) for at in instants]), np.array(zones, dtype=object))
    wanted = [at.astimezone(ZoneInfo(zone)).utcoffset() for zone, at in zip(zones, instants, strict=True)]
    assert [timedelta(microseconds=int(micro)) for micro in offset] == wanted
