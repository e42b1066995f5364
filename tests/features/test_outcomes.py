"""What followed a moment against its second reading, and what must not change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.outcomes import outcomes, promise_outcomes
from features.settings import PortfolioSettings
from tests.features import oracle
from tests.features.seen import RawPortfolio, Row, known_at, seen, settle
from tests.features.strategies import MICROSECOND, Case, Question, asked, cases, instant, money, packed

HORIZONS = (1, 7, 14, 30, 180)
DAY = timedelta(days=1)
AS_OF = datetime(2025, 11, 2, 5, 30, tzinfo=UTC)


def paid_once(at: datetime, amount: str = "10", recorded_at: datetime | None = None) -> RawPortfolio:
    """One account with one payment."""
    account: Row = {
        "account_id": "a",
        "opened_at": AS_OF - 90 * DAY,
        "balance": Decimal(100),
        "segment": "cards",
    }
    payment: Row = {"account_id": "a", "at": at, "amount": Decimal(amount), "recorded_at": recorded_at}
    return RawPortfolio(PortfolioSettings("east"), {"accounts": [account], "payments": [payment]})


def net_amount(portfolio: RawPortfolio, known_before: datetime) -> int:
    """What was paid in the 30 days from the moment on."""
    histories = packed(portfolio, whole=False)
    found = outcomes(histories, *asked(histories, [Question("a", AS_OF)]), 30, instant(known_before))
    return int(found.net_amount[0])


@settings(max_examples=40)
@given(cases(), st.sampled_from(HORIZONS), st.data())
def test_an_outcome_is_what_is_paid_within_the_horizon(case: Case, horizon: int, data: st.DataObject) -> None:
    ends = [question.as_of + horizon * DAY for question in case.questions]
    known_before = data.draw(st.sampled_from([*ends, *(end - MICROSECOND for end in ends), ends[0] + 400 * DAY]))
    histories = packed(case.portfolio, whole=False)
    found = outcomes(histories, *asked(histories, case.questions), horizon, instant(known_before))
    paid = [
        oracle.paid_after(case.portfolio, question.account_id, question.as_of, horizon * DAY, known_before)
        for question in case.questions
    ]
    assert found.net_amount.tolist() == [money(amount) for amount in paid]
    assert found.matured.tolist() == [end <= known_before for end in ends]
    assert found.net_amount.dtype == np.int64
    assert found.matured.dtype == np.bool_


@settings(max_examples=15)
@given(cases(), st.sampled_from(HORIZONS))
def test_what_is_known_later_changes_no_outcome(case: Case, horizon: int) -> None:
    # The next training, looking from the same instant, must find the same labels.
    known_before = case.questions[0].as_of + horizon * DAY
    rows = case.portfolio.tables["payments"]
    known = [row for row in rows if known_at("payments", row) < known_before]
    late = [{**row, "recorded_at": max(row["at"], known_before)} for row in rows]
    found = []
    for payments in (known, [*rows, *late]):
        histories = packed(replace(case.portfolio, tables={**case.portfolio.tables, "payments": payments}), whole=False)
        found.append(outcomes(histories, *asked(histories, case.questions), horizon, instant(known_before)))
    assert found[0].net_amount.tolist() == found[1].net_amount.tolist()


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (-MICROSECOND, 0),
        (timedelta(0), 100_000),
        (30 * DAY - MICROSECOND, 100_000),
        (30 * DAY, 0),
    ],
)
def test_the_horizon_begins_with_the_moment_and_ends_before_its_end(after: timedelta, wanted: int) -> None:
    # Half open, so that the horizons of a moment and of the next one share no payment and miss none.
    assert net_amount(paid_once(AS_OF + after), AS_OF + 400 * DAY) == wanted


def test_a_payment_made_in_the_horizon_and_recorded_after_it_counts_once_known() -> None:
    recorded_at = AS_OF + 40 * DAY
    portfolio = paid_once(AS_OF + DAY, recorded_at=recorded_at)
    assert net_amount(portfolio, recorded_at) == 0
    assert net_amount(portfolio, recorded_at + MICROSECOND) == 100_000


def test_a_reversal_in_the_horizon_may_make_the_outcome_negative() -> None:
    assert net_amount(paid_once(AS_OF + DAY, "-0.01"), AS_OF + 400 * DAY) == -100


@pytest.mark.parametrize(("looked", "matured"), [(-MICROSECOND, False), (timedelta(0), True)])
def test_an_outcome_has_matured_when_its_horizon_has_ended(looked: timedelta, matured: bool) -> None:
    histories = packed(paid_once(AS_OF))
    known_before = instant(AS_OF + 30 * DAY + looked)
    found = outcomes(histories, *asked(histories, [Question("a", AS_OF)]), 30, known_before)
    assert found.matured.tolist() == [matured]


@settings(max_examples=40)
@given(cases())
def test_a_promise_is_kept_as_the_features_settle_it(case: Case) -> None:
    known_before = case.questions[0].as_of
    histories = packed(case.portfolio, whole=False)
    found = promise_outcomes(histories, instant(known_before))
    got = zip(
        histories.accounts.account_id[found.account], found.as_of, found.deadline, found.was_open, found.kept,
        strict=True,
    )  # fmt: skip
    wanted = []
    for name in histories.accounts.account_id:
        now = seen(case.portfolio, name, known_before)
        for row in now.rows["promises"]:
            as_of = known_at("promises", row) + MICROSECOND
            then = settle(row, seen(case.portfolio, name, as_of).rows["payments"], as_of)
            settled = settle(row, now.rows["payments"], known_before)
            marks = (instant(as_of), instant(then.deadline), then.state == "open", settled.state == "kept")
            wanted.append((name, *marks))
    assert sorted(got) == sorted(wanted)


def test_a_payment_counts_for_a_promise_until_the_end_of_its_grace() -> None:
    promise: Row = {"account_id": "a", "made_at": AS_OF, "due_on": AS_OF + 5 * DAY, "amount": Decimal(10)}
    for after, kept in ((timedelta(0), True), (8 * DAY, True), (8 * DAY + MICROSECOND, False), (-MICROSECOND, False)):
        portfolio = paid_once(AS_OF + after)
        histories = packed(replace(portfolio, tables={**portfolio.tables, "promises": [promise]}))
        assert promise_outcomes(histories, instant(AS_OF + 400 * DAY)).kept.tolist() == [kept]
