"""What a portfolio shows as a whole: against plain sums, from its parts, and which features have something to say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog import catalogue
from features.catalog.grammar import Count
from features.contract import OUTCOMES
from features.histories import Histories, contact_kinds, overview_of
from features.overview import MEASURES, Overview, combine
from features.selection import occurring, own_history
from features.units import FOREVER
from tests.features.seen import RawPortfolio, known_at, placed_at, seen
from tests.features.strategies import (
    MICROSECOND,
    SETTINGS,
    assert_same_overview,
    edges_of,
    instant,
    long_history,
    money,
    packed,
    portfolios,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REACHED = ("right_party", "promise", "refusal", "dispute")
Sums = dict[tuple[str, object, int, str], int]


def overview(histories: Histories) -> Overview:
    """What a portfolio that is there as a whole shows."""
    assert histories.overview is not None
    return histories.overview


def day_of(moment: datetime) -> int:
    """The UTC day, counted from 1970."""
    return (moment.date() - EPOCH.date()).days


def month_of(moment: datetime) -> int:
    """The UTC month, counted from January 1970."""
    placed = moment.astimezone(UTC)
    return (placed.year - 1970) * 12 + placed.month - 1


def plain_sums(portfolio: RawPortfolio) -> Sums:
    """By grouping, group, day of known time and measure: sums, one row at a time."""
    sums: Sums = defaultdict(int)
    for row in portfolio.tables["accounts"]:
        when, account_id = placed_at(row), row["account_id"]
        moved = [(when, "placed", money(row["balance"]))]
        moved += [
            (known_at("payments", payment), "paid", money(payment["amount"]))
            for payment in portfolio.tables["payments"]
            if payment["account_id"] == account_id and payment["at"] >= when
        ]
        for contact in portfolio.tables["contacts"]:
            if contact["account_id"] == account_id and contact["direction"] != "inbound":
                known = known_at("contacts", contact)
                moved += [(known, "attempts", 1), (known, "right_party", int(contact["outcome"] in REACHED))]
        for known, measure, amount in moved:
            sums["segment", row["segment"], day_of(known), measure] += amount
            sums["vintage", month_of(when), day_of(known), measure] += amount
    return sums


def daily_sums(found: Overview) -> Iterator[tuple[tuple[str, object, int, str], int]]:
    """What an overview holds, number by number."""
    for grouping, daily in found.groups.items():
        for place, key in enumerate(daily.keys):
            rows = range(daily.start[place], daily.start[place + 1])
            assert (np.diff(daily.day[rows.start : rows.stop]) > 0).all()
            for row in rows:
                for column, measure in enumerate(MEASURES):
                    yield (grouping, key, int(daily.day[row]), measure), int(daily.sums[row, column])


@settings(max_examples=15)
@given(portfolios())
def test_daily_sums_are_those_of_the_rows_one_by_one(portfolio: RawPortfolio) -> None:
    found = overview(packed(portfolio))
    wanted = {key: amount for key, amount in plain_sums(portfolio).items() if amount}
    assert {key: amount for key, amount in daily_sums(found) if amount} == wanted
    for grouping, daily in found.groups.items():
        accounts = portfolio.tables["accounts"]
        vintages = sorted({month_of(placed_at(row)) for row in accounts})
        assert list(daily.keys) == (sorted({row["segment"] for row in accounts}) if grouping == "segment" else vintages)


@settings(max_examples=15)
@given(portfolios(), st.data())
def test_what_is_known_before_a_day_is_the_sum_of_the_days_before_it(
    portfolio: RawPortfolio, data: st.DataObject
) -> None:
    found, sums = overview(packed(portfolio)), plain_sums(portfolio)
    edges = sorted({day_of(at) for moments in edges_of(portfolio).values() for at in moments})
    far = [edges[0] - 400, edges[0] - 90, edges[-1] + 90, edges[-1] + 400]
    days = np.array(data.draw(st.lists(st.sampled_from([*edges, *far]), min_size=1, max_size=8)))
    for grouping, daily in found.groups.items():
        for place, key in enumerate(daily.keys):
            before = daily.known_before(np.full(len(days), place), days)
            wanted = [[_summed_before(sums, (grouping, key), day, what) for what in MEASURES] for day in days.tolist()]
            assert before.tolist() == wanted, f"{grouping} {key}"


def _summed_before(sums: Sums, group: tuple[str, object], before: int, measure: str) -> int:
    return sum(
        amount
        for (name, key, day, what), amount in sums.items()
        if (name, key) == group and what == measure and day < before
    )


@settings(max_examples=12)
@given(portfolios(), st.data())
def test_the_overview_of_the_parts_is_that_of_the_whole(portfolio: RawPortfolio, data: st.DataObject) -> None:
    # However the accounts are split: every account is in one part, and a part may have a segment of its own.
    histories = packed(portfolio)
    n = len(histories)
    part_of = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    taken = [np.flatnonzero(part_of == part) for part in data.draw(st.permutations(range(3)))]
    assert_same_overview(combine([overview_of(histories.take(rows)) for rows in taken]), overview(histories))
    own = set(histories.accounts.account_id[taken[0]].tolist())
    parts = [
        {name: [row for row in rows if (row["account_id"] in own) == here] for name, rows in portfolio.tables.items()}
        for here in (True, False)
    ]
    packed_parts = [
        overview_of(packed(replace(portfolio, tables=part), whole=False)) for part in parts if part["accounts"]
    ]
    assert_same_overview(combine(packed_parts), overview(histories))


def test_sums_of_money_are_whole_numbers_however_large() -> None:
    # A sum that passed through a float would lose its last digits.
    at = datetime(2025, 1, 2, tzinfo=UTC)
    account = {"opened_at": at, "balance": Decimal("999999999999.99"), "segment": "cards"}
    amounts = [Decimal("999999999999.99"), Decimal("0.0001"), Decimal("0.0002")]
    accounts = [{"account_id": name, **account} for name in "abcdefgh"]
    payments = [{"account_id": row["account_id"], "at": at, "amount": amount} for row in accounts for amount in amounts]
    tables = {"accounts": accounts, "payments": payments, "contacts": []}
    daily = overview(packed(RawPortfolio(SETTINGS[0], tables))).groups["segment"]
    assert daily.sums.dtype == np.int64
    sums = daily.known_before(np.array([0]), np.array([day_of(at) + 1]))
    assert sums.tolist() == [[8 * 9_999_999_999_999_900, 8 * (9_999_999_999_999_900 + 3), 0, 0]]


def test_days_before_1970_are_days() -> None:
    night = EPOCH - MICROSECOND
    account = {"account_id": "a", "opened_at": EPOCH - timedelta(days=40), "balance": Decimal(10), "segment": "cards"}
    payments = [{"account_id": "a", "at": at, "amount": Decimal(1)} for at in (night, EPOCH)]
    tables = {"accounts": [account], "payments": payments, "contacts": []}
    found = overview(packed(RawPortfolio(SETTINGS[0], tables)))
    assert found.groups["vintage"].keys == (-2,)
    assert found.groups["segment"].day.tolist() == [-40, -1, 0]
    paid = found.groups["segment"].known_before(np.zeros(4, np.int64), np.array([-40, -1, 0, 1]))
    assert paid[:, MEASURES.index("paid")].tolist() == [0, 0, 10_000, 20_000]


@settings(max_examples=15)
@given(portfolios())
def test_the_first_contact_of_each_kind_is_when_it_first_became_known(portfolio: RawPortfolio) -> None:
    first = overview(packed(portfolio)).first_contact
    kinds = contact_kinds(portfolio.settings.channel_names)
    assert len(first) == len(kinds)
    known: dict[tuple[str, str, str], int] = {}
    for kind, at in zip(kinds, first.tolist(), strict=True):
        key = (kind["channel"], kind["outcome"], kind["direction"])
        known[key] = min(known.get(key, FOREVER), at)
    wanted = dict.fromkeys(known, FOREVER)
    for row in portfolio.tables["contacts"]:
        key = (row["channel"], row["outcome"], row["direction"] or "outbound")
        wanted[key] = min(wanted[key], instant(known_at("contacts", row)))
    assert known == wanted


# --------------------------------------------------------------------------------------------- what there is to say on


@settings(max_examples=15)
@given(portfolios(), st.data())
def test_what_occurs_leaves_out_the_outcomes_of_channels_that_nobody_had(
    portfolio: RawPortfolio, data: st.DataObject
) -> None:
    known = sorted({known_at("contacts", row) for row in portfolio.tables["contacts"]})
    some_time = [placed_at(portfolio.tables["accounts"][0])]
    before = data.draw(st.sampled_from(known or some_time)) + data.draw(st.sampled_from([0, 1, 10**15])) * MICROSECOND
    names = occurring(portfolio.settings, overview(packed(portfolio)), instant(before))
    everybody = [seen(portfolio, row["account_id"], before) for row in portfolio.tables["accounts"]]
    every = catalogue(portfolio.settings)
    left_out = [
        feature.name
        for feature in every
        if isinstance(feature.measure, Count)
        and {dimension for dimension, _ in feature.measure.events.conditions} == {"channel", "outcome", "direction"}
        and not any(now.select(feature.measure.events) for now in everybody)
    ]
    assert names == tuple(feature.name for feature in every if feature.name not in left_out)
    assert {name.removesuffix(suffix) for name in left_out for suffix in ("_7d", "_30d", "_90d", "_180d")} >= {
        name for name in left_out if not name.endswith("d")
    }


@pytest.mark.parametrize("portfolio_settings", SETTINGS, ids=lambda each: each.name)
def test_without_a_contact_all_but_the_outcomes_of_channels_may_vary(portfolio_settings: object) -> None:
    of_whom = next(each for each in SETTINGS if each is portfolio_settings)
    histories = packed(replace(long_history(20, of_whom), tables={**long_history(20, of_whom).tables, "contacts": []}))
    names = occurring(of_whom, overview(histories), FOREVER)
    every = [feature.name for feature in catalogue(of_whom)]
    assert len(every) - len(names) == len(of_whom.channel_names) * len(OUTCOMES) * 5
    assert list(names) == [name for name in every if name in set(names)]


def test_other_accounts_count_in_the_portfolios_family_alone() -> None:
    every = catalogue(SETTINGS[1])
    names = tuple(feature.name for feature in every)
    assert own_history(SETTINGS[1], names) == tuple(each.name for each in every if each.family != "portfolio")
    assert own_history(SETTINGS[1], ("segment_paid_share", "calls")) == ("calls",)
