"""Packed histories: order, known time, defaults, local time, and taking accounts out of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import NO_POINT
from features.histories import (
    SIGNS,
    Histories,
    amount_kinds,
    category_columns,
    category_values,
    contact_kinds,
    pack,
    utc_offset,
)
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from features.units import NULL_TIME
from tests.features.seen import EVENT_TABLES, RawPortfolio, Row, happened_at, known_at
from tests.features.strategies import (
    ANCHORS,
    STEPS,
    ZONES,
    assert_same_histories,
    assert_same_rows,
    frames,
    instant,
    money,
    packed,
    portfolios,
)

OPENED_AT = datetime(2025, 1, 1, tzinfo=UTC)
ACCOUNT: Row = {"account_id": "a", "opened_at": OPENED_AT, "balance": Decimal(100), "segment": "cards"}


def of_one_account(settings: PortfolioSettings, account: Row = ACCOUNT, **tables: list[Row]) -> Histories:
    return packed(RawPortfolio(settings, {"accounts": [account], **tables}), whole=False)


@settings(max_examples=20)
@given(portfolios(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_forgotten(portfolio: RawPortfolio, chance: random.Random) -> None:
    # Rows of one instant may come in any order; nothing downstream may depend on it, not even the last bit of a sum.
    tables = {name: chance.sample(list(rows), len(rows)) for name, rows in portfolio.tables.items()}
    assert_same_histories(packed(replace(portfolio, tables=tables)), packed(portfolio))


@settings(max_examples=25)
@given(portfolios())
def test_every_row_is_packed_under_its_account_in_the_order_of_known_time(portfolio: RawPortfolio) -> None:
    histories = packed(portfolio, whole=False)
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
    histories, rows = packed(portfolio, whole=False), portfolio.tables
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
    taken = histories.take(rows)
    assert_same_rows(taken, packed(replace(portfolio, tables=tables), whole=False))
    assert taken.overview is histories.overview


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
    assert packed(portfolio, whole=False).last_known == instant(max(placed + known))


def test_blank_cells_mean_what_the_settings_say() -> None:
    of_settings = of_one_account(PortfolioSettings("east", commission_rate=0.15, timezone="Asia/Shanghai"))
    assert of_settings.accounts.placed_at.tolist() == [instant(OPENED_AT)]
    assert of_settings.accounts.commission_rate.tolist() == [0.15]
    assert of_settings.timezones.tolist() == ["Asia/Shanghai"]
    assert of_settings.accounts.due_on.tolist() == [NULL_TIME]
    own = {"placed_at": OPENED_AT + timedelta(days=5), "commission_rate": 0.0, "timezone": "UTC"}
    of_account = of_one_account(PortfolioSettings("east", commission_rate=0.15), {**ACCOUNT, **own})
    assert of_account.accounts.placed_at.tolist() == [instant(OPENED_AT) + 5 * 86_400_000_000]
    assert of_account.accounts.commission_rate.tolist() == [0.0]
    assert of_account.timezones.tolist() == ["UTC"]


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
    # One moment is looked up one by one, many by zone: a request must have the hours that the batch has.
    named, moments = zip(*local_instants(), strict=True)
    zones = tuple(sorted(set(named)))
    zone = np.array([zones.index(name) for name in named], dtype=np.int32)
    instants = np.array([instant(at) for at in moments])
    offset = utc_offset(instants, zone, zones)
    wanted = [at.astimezone(ZoneInfo(name)).utcoffset() for name, at in zip(named, moments, strict=True)]
    assert [timedelta(microseconds=int(micro)) for micro in offset] == wanted
    for size in (1, 32, 33):
        parts = [slice(begin, begin + size) for begin in range(0, len(instants), size)]
        again = np.concatenate([utc_offset(instants[part], zone[part], zones) for part in parts])
        np.testing.assert_array_equal(again, offset)


def test_utc_is_not_ahead_of_itself() -> None:
    instants = np.array([instant(anchor) for anchor in ANCHORS])
    for zones in (("UTC",), ("Asia/Shanghai", "UTC")):
        zone = np.full(len(instants), len(zones) - 1, dtype=np.int32)
        assert not utc_offset(instants, zone, zones).any()
        assert not utc_offset(np.repeat(instants, 40), np.repeat(zone, 40), zones).any()
    assert len(utc_offset(instants[:0], np.zeros(0, np.int32), ("Asia/Shanghai",))) == 0


@settings(max_examples=15)
@given(portfolios())
def test_zones_and_categories_are_those_that_occur_and_codes_their_places(portfolio: RawPortfolio) -> None:
    histories, rows = packed(portfolio, whole=False), portfolio.tables["accounts"]
    by_id = [portfolio.account(account_id) for account_id in histories.accounts.account_id]
    assert histories.zones == tuple(sorted({row["timezone"] or portfolio.settings.timezone for row in rows}))
    assert histories.timezones.tolist() == [row["timezone"] or portfolio.settings.timezone for row in by_id]
    columns = category_columns(portfolio.settings)
    assert len(histories.levels) == len(columns)
    for levels, column in zip(histories.levels, columns, strict=True):
        assert levels == tuple(sorted({row[column] for row in rows} - {None}))
        assert category_values(histories, column).tolist() == [row[column] for row in by_id]


@settings(max_examples=8)
@given(portfolios())
def test_contact_points_are_told_apart_and_found_again(portfolio: RawPortfolio) -> None:
    histories = packed(portfolio, whole=False)
    contacts = sorted(portfolio.tables["contacts"], key=lambda row: row["account_id"])
    points = {point: packed_point(point) for point in (None, "n1", "n2")}
    assert len(set(points.values())) == 3
    assert points[None] == NO_POINT
    wanted = sorted((row["account_id"], instant(row["at"]), points[row["contact_point"]]) for row in contacts)
    account_id = np.repeat(histories.accounts.account_id, np.diff(histories.contacts.start))
    found = zip(account_id.tolist(), histories.contacts.at.tolist(), histories.contacts.point.tolist(), strict=True)
    assert sorted(found) == wanted


def packed_point(point: str | None) -> int:
    """What stands for a contact point, in a portfolio where it is the only one, for contacts and restrictions alike."""
    row: Row = {"account_id": "a", "at": OPENED_AT, "contact_point": point}
    contact = {**row, "channel": "call", "outcome": "sent"}
    restriction = {**row, "kind": "invalid_contact"}
    histories = of_one_account(PortfolioSettings("east"), contacts=[contact], restrictions=[restriction])
    assert histories.contacts.point.tolist() == histories.restrictions.point.tolist()
    return int(histories.contacts.point[0])


@settings(max_examples=20)
@given(portfolios())
def test_amounts_know_the_order_in_which_they_happened(portfolio: RawPortfolio) -> None:
    # Packed by known time, they are walked by their own time where a balance, a gap or a promise is followed.
    histories = packed(portfolio, whole=False)
    for table in (histories.payments, histories.charges):
        for begin, end in pairwise(table.start):
            places, at = table.by_time[begin:end], table.at[begin:end]
            assert sorted(places.tolist()) == list(range(end - begin))
            assert (np.diff(at[places]) >= 0).all()


@settings(max_examples=10)
@given(portfolios())
def test_an_event_is_of_the_kind_that_its_row_says(portfolio: RawPortfolio) -> None:
    histories = packed(portfolio, whole=False)
    kinds = contact_kinds(portfolio.settings.channel_names)
    found = [
        (kinds[kind]["channel"], kinds[kind]["outcome"], kinds[kind]["direction"]) for kind in histories.contacts.kind
    ]
    wanted = [(row["channel"], row["outcome"], row["direction"] or "outbound") for row in portfolio.tables["contacts"]]
    assert sorted(found) == sorted(wanted)
    for table, signs in SIGNS.items():
        amounts = getattr(histories, table)
        of_kind = [amount_kinds(table)[kind]["sign"] for kind in amounts.kind]
        assert of_kind == [
            signs[0] if amount > 0 else signs[1] if amount < 0 else signs[2] for amount in amounts.amount
        ]


@pytest.mark.parametrize(
    ("zone", "at", "weekpart", "monthday"),
    [
        ("UTC", "2025-01-31T23:59:59.999999+00:00", "workday", "31"),
        ("UTC", "2025-02-01T00:00:00+00:00", "weekend", "1"),
        ("UTC", "2025-02-02T23:59:59.999999+00:00", "weekend", "2"),
        ("UTC", "2025-02-03T00:00:00+00:00", "workday", "3"),
        ("Asia/Shanghai", "2025-01-31T15:59:59.999999+00:00", "workday", "31"),
        ("Asia/Shanghai", "2025-01-31T16:00:00+00:00", "weekend", "1"),
        ("America/New_York", "2025-03-10T03:59:59.999999+00:00", "weekend", "9"),
        ("America/New_York", "2025-03-10T04:00:00+00:00", "workday", "10"),
        ("UTC", "1969-12-31T23:59:59.999999+00:00", "workday", "31"),
        ("UTC", "1950-01-01T00:00:00+00:00", "weekend", "1"),
        ("UTC", "2024-02-29T12:00:00+00:00", "workday", "29"),
    ],
)
def test_days_of_the_week_and_of_the_month_are_the_debtors(zone: str, at: str, weekpart: str, monthday: str) -> None:
    # Clocks change on 9 March in New York, the day before the third.
    happened = datetime.fromisoformat(at)
    account = {**ACCOUNT, "opened_at": datetime(1949, 1, 1, tzinfo=UTC), "timezone": zone}
    contact = {"account_id": "a", "at": happened, "channel": "call", "outcome": "sent"}
    payment = {"account_id": "a", "at": happened, "amount": Decimal(1)}
    settings = PortfolioSettings("east")
    histories = of_one_account(settings, account, contacts=[contact], payments=[payment])
    assert contact_kinds(settings.channel_names)[histories.contacts.kind[0]]["weekpart"] == weekpart
    assert amount_kinds("payments")[histories.payments.kind[0]]["monthday"] == monthday
