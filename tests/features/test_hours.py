"""Rates by hour against a second reading in plain Python, their limits, and what must not change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings

from features.histories import Histories
from features.hours import STRENGTH, HourCounts, HourTable, count_calls, rates_by_hour, strength_of
from features.settings import PortfolioSettings
from tests.features.oracle import RIGHT_PARTY
from tests.features.seen import RawPortfolio, Row, known_at, seen
from tests.features.strategies import MICROSECOND, Case, asked, cases, instant, packed

NOON = datetime(2025, 11, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=400)


def called(hour: int, times: int, reached: int, elsewhere: int = 0) -> HourCounts:
    """So many calls at one hour, of which some reached the right party; `elsewhere` as many at noon that did not."""
    attempts, right_party = [0] * 24, [0] * 24
    attempts[12] += elsewhere
    attempts[hour] += times
    right_party[hour] += reached
    return HourCounts(tuple(attempts), tuple(right_party))


def calls(at: Sequence[datetime], outcome: str = "no_answer", timezone: str = "UTC") -> RawPortfolio:
    """One account in a zone that was called at these times."""
    account: Row = {"account_id": "a", "opened_at": NOON - timedelta(days=900), "balance": Decimal(100)}
    contact: Row = {"account_id": "a", "channel": "call", "outcome": outcome}
    rows = [{**contact, "at": one} for one in at]
    tables = {"accounts": [{**account, "segment": "cards", "timezone": timezone}], "contacts": rows}
    return RawPortfolio(PortfolioSettings("east"), tables)


def rates(portfolio: RawPortfolio, table: HourTable, as_of: datetime = LATER) -> tuple[np.ndarray, np.ndarray]:
    """The rates and attempts of the first account."""
    found = rates_by_hour(table, packed(portfolio, whole=False), np.array([0]), instant(as_of))
    return found.rates[0], found.attempts[0]


@settings(max_examples=20)
@given(cases())
def test_calls_are_counted_as_they_are_read_by_hand(case: Case) -> None:
    histories = packed(case.portfolio, whole=False)
    for question in case.questions:
        rows, moments = asked(histories, [question])
        attempts, reached = count_calls(histories, rows, int(moments[0]))
        account = case.portfolio.account(question.account_id)
        zone = ZoneInfo(account.get("timezone") or case.portfolio.settings.timezone)
        wanted = np.zeros((2, 24), dtype=int)
        for row in seen(case.portfolio, question.account_id, question.as_of).rows["contacts"]:
            if row["channel"] == "call" and (row.get("direction") or "outbound") == "outbound":
                hour = row["at"].astimezone(zone).hour
                wanted[:, hour] += (1, row["outcome"] in RIGHT_PARTY)
        assert attempts[0].tolist() == wanted[0].tolist()
        assert reached[0].tolist() == wanted[1].tolist()


@settings(max_examples=10)
@given(cases())
def test_what_is_recorded_later_changes_no_rate(case: Case) -> None:
    question = case.questions[0]
    rows = case.portfolio.tables["contacts"]
    known = [row for row in rows if known_at("contacts", row) < question.as_of]
    late = [{**row, "recorded_at": max(row["at"], question.as_of)} for row in rows]
    table, found = HourTable(called(9, 100, 30)), []
    for contacts in (known, [*rows, *late]):
        histories = packed(replace(case.portfolio, tables={**case.portfolio.tables, "contacts": contacts}), whole=False)
        account, moments = asked(histories, [question])
        found.append(rates_by_hour(table, histories, account, int(moments[0])))
    assert np.array_equal(found[0].rates, found[1].rates, equal_nan=True)
    assert np.array_equal(found[0].attempts, found[1].attempts)


def test_a_call_counts_from_just_after_it_is_known() -> None:
    portfolio, table = calls([NOON]), HourTable(called(12, 100, 30))
    assert rates(portfolio, table, NOON)[1].sum() == 0
    assert rates(portfolio, table, NOON + MICROSECOND)[1].sum() == 1


@pytest.mark.parametrize(
    ("timezone", "at", "hour"),
    [
        ("America/New_York", datetime(2025, 11, 1, 16, tzinfo=UTC), 12),  # summer time, to 2 November
        ("America/New_York", datetime(2025, 11, 3, 16, tzinfo=UTC), 11),
        ("Asia/Shanghai", datetime(2025, 11, 3, 16, tzinfo=UTC), 0),
        ("Asia/Kolkata", datetime(2025, 11, 3, 3, 29, tzinfo=UTC), 8),
    ],
)
def test_the_hour_is_that_of_the_debtors_clock_at_the_call(timezone: str, at: datetime, hour: int) -> None:
    _, attempts = rates(calls([at], timezone=timezone), HourTable())
    assert np.flatnonzero(attempts).tolist() == [hour]


def test_an_account_never_called_has_the_rates_of_its_segment_and_one_of_no_known_segment_the_portfolios() -> None:
    everyone = called(9, 20_000, 4_000, elsewhere=20_000)
    cards, loans = called(9, 10_000, 3_000, elsewhere=10_000), called(9, 10_000, 1_000, elsewhere=10_000)
    own, attempts = rates(calls([]), HourTable(everyone, {"cards": cards, "loans": loans}))
    # The segments differ far more than by chance, and have many calls: each keeps its own rate.
    assert own[9] == pytest.approx(0.3, abs=0.002)
    assert attempts.sum() == 0
    other, _ = rates(calls([]), HourTable(everyone, {"loans": loans}))
    assert other[9] == pytest.approx(0.2, abs=0.002)


def test_segments_that_differ_by_chance_have_the_rate_of_the_portfolio() -> None:
    alike = {"cards": called(9, 1_000, 201), "loans": called(9, 1_000, 199)}
    found, _ = rates(calls([]), HourTable(called(9, 2_000, 400), alike))
    assert found[9] == pytest.approx(0.2, abs=0.001)


def test_few_calls_move_a_rate_by_their_weight_and_many_make_it_their_own() -> None:
    table = HourTable(called(12, 1_000_000, 200_000))
    for times in (1, STRENGTH, 4_000):
        at = [NOON + timedelta(days=-day, minutes=day % 50) for day in range(min(times, 400))] * max(times // 400, 1)
        found, attempts = rates(calls(at, "promise"), table)
        assert attempts[12] == times
        assert found[12] == pytest.approx((times + STRENGTH * 0.2) / (times + STRENGTH), abs=1e-5)


def test_an_hour_at_which_nobody_was_called_has_no_rate() -> None:
    found, attempts = rates(calls([NOON]), HourTable(called(9, 100, 30)))
    assert np.flatnonzero(~np.isnan(found)).tolist() == [9, 12]
    assert np.all(attempts[np.isnan(found)] == 0)


def test_the_strength_is_found_again_from_groups_drawn_with_it() -> None:
    # Groups whose rates are beta around the common one: that is what the strength is the parameter of.
    draw, rate = np.random.default_rng(5), np.full(24, 0.2)
    attempts = draw.integers(50, 400, (200, 24))
    for strength in (5.0, 40.0):
        own = draw.beta(strength * rate, strength * (1 - rate), (200, 24))
        assert strength_of(draw.binomial(attempts, own), attempts, rate) == pytest.approx(strength, rel=0.15)
    assert strength_of(draw.binomial(attempts, rate), attempts, rate) > 1_000
    assert strength_of(np.zeros((0, 24), dtype=np.int64), np.zeros((0, 24), dtype=np.int64), rate) > 900_000


def test_an_account_alone_has_the_rates_it_has_among_all() -> None:
    at = [NOON + timedelta(days=-day, hours=day % 7) for day in range(60)]
    portfolio = calls(at, "right_party", "America/New_York")
    other = {name: [{**row, "account_id": "b"} for row in rows[::2]] for name, rows in portfolio.tables.items()}
    tables = {name: [*rows, *other[name]] for name, rows in portfolio.tables.items()}
    both: Histories = packed(replace(portfolio, tables=tables), whole=False)
    table = HourTable(called(9, 100, 30))
    whole = rates_by_hour(table, both, np.array([1, 0]), instant(NOON))
    for place, row in enumerate((1, 0)):
        alone = rates_by_hour(table, both.take(np.array([row])), np.array([0]), instant(NOON))
        assert np.array_equal(alone.rates[0], whole.rates[place], equal_nan=True)
        assert np.array_equal(alone.attempts[0], whole.attempts[place])
