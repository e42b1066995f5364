"""Every boundary, by example: what exactly at an instant, a microsecond beside it, or at the same time means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from features.compute import feature_matrix, prepare, standing
from features.settings import PortfolioSettings
from tests.features.seen import RawPortfolio, Row
from tests.features.strategies import MICROSECOND, Question, asked, packed

DAY = timedelta(days=1)
AS_OF = datetime(2025, 6, 1, 12, tzinfo=UTC)
PLACED_AT = AS_OF - 200 * DAY
SETTINGS = PortfolioSettings("east")


def ago(days: float, jitter: int = 0) -> datetime:
    """So many days before the moment, and so many microseconds after that."""
    return AS_OF - days * DAY + jitter * MICROSECOND


def contact(at: datetime, outcome: str = "no_answer", direction: str = "outbound", channel: str = "call") -> Row:
    return {"account_id": "a", "at": at, "channel": channel, "outcome": outcome, "direction": direction}


def paid(at: datetime, amount: str, recorded_at: datetime | None = None) -> Row:
    return {"account_id": "a", "at": at, "amount": Decimal(amount), "recorded_at": recorded_at}


def promised(made_at: datetime, due_on: datetime, amount: str = "100") -> Row:
    return {"account_id": "a", "made_at": made_at, "due_on": due_on, "amount": Decimal(amount)}


def restricted(kind: str, until: datetime | None) -> Row:
    return {"account_id": "a", "at": ago(50), "kind": kind, "until": until}


def portfolio_of(account: Row, tables: dict[str, list[Row]]) -> RawPortfolio:
    own = {"account_id": "a", "opened_at": PLACED_AT - 90 * DAY, "placed_at": PLACED_AT, "balance": Decimal(1_000)}
    return RawPortfolio(SETTINGS, {"accounts": [{**own, "segment": "cards", **account}], **tables})


def value_of(name: str, account: Row | None = None, **tables: list[Row]) -> float:
    """One feature as of the moment."""
    histories = packed(portfolio_of(account or {}, tables))
    found = feature_matrix(histories, *asked(histories, [Question("a", AS_OF)]), prepare(SETTINGS, (name,)))
    return float(found[0, 0])


def is_live(account: Row | None = None, **tables: list[Row]) -> bool:
    """Whether the account is live at the moment."""
    histories = packed(portfolio_of(account or {}, tables))
    return bool(standing(histories, *asked(histories, [Question("a", AS_OF)]))[1][0])


@pytest.mark.parametrize(
    ("at", "recorded_at", "seen"),
    [
        (ago(0, -1), None, 1),
        (ago(0), None, 0),
        (ago(1), ago(0, -1), 1),
        (ago(1), ago(0), 0),
        (ago(1), ago(2), 1),
        (ago(0), ago(2), 0),
    ],
)
def test_a_row_counts_when_it_is_known_strictly_before_the_moment(
    at: datetime, recorded_at: datetime | None, seen: int
) -> None:
    assert value_of("payments", payments=[paid(at, "1", recorded_at)]) == seen


@pytest.mark.parametrize(("days", "jitter", "inside"), [(7, 0, 1), (7, -1, 0), (7, 1, 1)])
def test_a_window_holds_its_first_instant(days: int, jitter: int, inside: int) -> None:
    assert value_of(f"attempts_{days}d", contacts=[contact(ago(days, jitter))]) == inside


@pytest.mark.parametrize(("jitter", "streak"), [(-1, 0), (0, 0), (1, 1)])
def test_a_streak_is_what_is_later_than_the_latest_answer(jitter: int, streak: int) -> None:
    contacts = [contact(ago(9), "refusal"), contact(ago(9, jitter))]
    assert value_of("no_answer_streak", contacts=contacts) == streak
    assert value_of("attempts_since_right_party", contacts=contacts) == streak


@pytest.mark.parametrize(
    ("outcome", "direction", "streak", "attempts"),
    [
        ("third_party", "outbound", 1, 3),
        ("wrong_number", "outbound", 1, 3),
        ("promise", "outbound", 1, 1),
        ("right_party", "inbound", 2, 1),
        ("delivered", "outbound", 2, 3),
    ],
)
def test_an_answer_is_the_debtors_to_an_attempt(outcome: str, direction: str, streak: int, attempts: int) -> None:
    # A call that the debtor makes is a talk, but no answer to an attempt; what arrives has not been answered.
    contacts = [contact(ago(9)), contact(ago(8), outcome, direction), contact(ago(7))]
    assert value_of("no_answer_streak", contacts=contacts) == streak
    assert value_of("attempts_since_right_party", contacts=contacts) == attempts


@pytest.mark.parametrize(
    ("payments", "state"),
    [
        ([paid(ago(20), "100")], "kept"),
        ([paid(ago(20, -1), "100")], "broken"),
        ([paid(ago(7), "100")], "kept"),
        ([paid(ago(7, 1), "100")], "broken"),
        ([paid(ago(15), "99.99")], "broken"),
        ([paid(ago(15), "60"), paid(ago(7), "40")], "kept"),
        ([paid(ago(15), "100"), paid(ago(8), "-0.01")], "broken"),
        ([paid(ago(15), "100"), paid(ago(7, 1), "-100")], "kept"),
        ([paid(ago(15), "100", ago(0, -1))], "kept"),
        ([paid(ago(15), "100", ago(0))], "broken"),
    ],
)
def test_a_promise_is_kept_by_what_is_paid_from_its_making_to_the_end_of_its_grace(
    payments: list[Row], state: str
) -> None:
    promises = [promised(ago(20), ago(10))]
    for name in ("kept", "broken", "open"):
        assert value_of(f"promises_{name}", promises=promises, payments=payments) == (name == state)


@pytest.mark.parametrize(("jitter", "broken"), [(-1, 1), (0, 0), (1, 0)])
def test_a_promise_is_open_until_its_grace_has_passed(jitter: int, broken: int) -> None:
    promises = [promised(ago(20), ago(3, jitter))]
    assert value_of("promises_broken", promises=promises) == broken
    assert value_of("promises_open", promises=promises) == 1 - broken
    assert value_of("open_promise_amount", promises=promises) == 100 * (1 - broken)


@pytest.mark.parametrize(("jitter", "inside"), [(-1, 0), (0, 1), (1, 1)])
def test_a_promise_is_broken_when_its_grace_ends(jitter: int, inside: int) -> None:
    promises = [promised(ago(120), ago(93, jitter))]
    assert value_of("promises_broken_90d", promises=promises) == inside
    assert value_of("days_since_last_broken_promise", promises=promises) == 90


@pytest.mark.parametrize(("amount", "kept"), [("99.9999", 0), ("100", 1), ("100.0001", 1)])
def test_a_promise_is_kept_as_soon_as_it_is_covered(amount: str, kept: int) -> None:
    promises, payments = [promised(ago(20), ago(-5))], [paid(ago(9), amount)]
    assert value_of("promises_kept", promises=promises, payments=payments) == kept
    assert value_of("promises_open", promises=promises, payments=payments) == 1 - kept


def test_one_payment_may_keep_two_promises() -> None:
    promises = [promised(ago(20), ago(10)), promised(ago(19), ago(9))]
    assert value_of("promises_kept", promises=promises, payments=[paid(ago(12), "100")]) == 2


def test_the_latest_settled_promise_is_the_one_made_last() -> None:
    kept_early, broken_late = promised(ago(40), ago(5)), promised(ago(39), ago(38))
    payments = [paid(ago(6), "100")]
    assert value_of("last_promise_kept", promises=[kept_early, broken_late], payments=payments) == 0
    for due_on, amount in ((ago(39), "100"), (ago(4), "101")):
        made_at_once = promised(ago(40), due_on, amount)
        assert value_of("promises_broken", promises=[made_at_once, kept_early], payments=payments) == 1
        assert value_of("last_promise_kept", promises=[made_at_once, kept_early], payments=payments) == 1


def test_a_net_reversal_on_a_broken_promise_is_nothing_paid() -> None:
    promises = [promised(ago(60), ago(50)), promised(ago(40), ago(30))]
    payments = [paid(ago(55), "-80"), paid(ago(35), "50")]
    assert value_of("broken_promise_paid_share", promises=promises, payments=payments) == 0.25


def test_the_next_promise_is_the_open_one_that_is_due_first() -> None:
    promises = [promised(ago(9), ago(1)), promised(ago(9), ago(-5)), promised(ago(9), ago(5))]
    assert value_of("days_to_next_promise", promises=promises) == -1


@pytest.mark.parametrize(("jitter", "balance"), [(-1, 1_000), (0, 1_005)])
def test_the_balance_moves_from_placement_on(jitter: int, balance: int) -> None:
    at = PLACED_AT + jitter * MICROSECOND
    assert value_of("balance", payments=[paid(at, "2")], charges=[paid(at, "7")]) == balance


@pytest.mark.parametrize(("amount", "tokens"), [("50", 0), ("49.9999", 1), ("0", 0), ("-1", 0)])
def test_a_token_payment_is_below_a_twentieth(amount: str, tokens: int) -> None:
    assert value_of("token_payments", payments=[paid(ago(9), amount)]) == tokens


@pytest.mark.parametrize("name", ["payments", "payment_reversals", "token_payments", "charges", "credit_notes"])
def test_a_row_of_no_money_is_no_payment_and_no_charge(name: str) -> None:
    nothing: dict[str, Any] = {"payments": [paid(ago(9), "0")], "charges": [paid(ago(9), "0")]}
    assert value_of(name, **nothing) == 0
    assert np.isnan(value_of("days_since_last_payment", **nothing))
    assert np.isnan(value_of("days_since_last_charge", **nothing))
    assert np.isnan(value_of("last_payment_amount", **nothing))


def test_payments_at_one_instant_are_several_and_the_latest_is_all_of_them() -> None:
    payments = [paid(ago(9), "30"), paid(ago(9), "20"), paid(ago(30), "40")]
    assert value_of("last_payment_amount", payments=payments) == 50
    assert value_of("largest_payment", payments=payments) == 40
    assert value_of("payments", payments=payments) == 3
    assert value_of("payment_gap_days", payments=payments) == 10.5


@pytest.mark.parametrize(("jitter", "active"), [(-1, 0), (0, 0), (1, 1)])
def test_a_restriction_ends_at_its_until(jitter: int, active: int) -> None:
    restrictions = [restricted("dispute", ago(0, jitter)), restricted("closed", ago(0, jitter))]
    assert value_of("active_dispute", restrictions=restrictions) == active
    assert value_of("restrictions_active", restrictions=restrictions) == 2 * active
    assert is_live(restrictions=restrictions) == (not active)


@pytest.mark.parametrize(("jitter", "live"), [(-1, True), (0, False)])
def test_a_live_account_was_placed_before_the_moment(jitter: int, live: bool) -> None:
    assert is_live({"placed_at": ago(0, jitter)}) == live


@pytest.mark.parametrize(("amount", "live"), [("999.9999", True), ("1000", False), ("1000.0001", False)])
def test_a_live_account_owes_something(amount: str, live: bool) -> None:
    assert is_live(payments=[paid(ago(9), amount)]) == live


@pytest.mark.parametrize(
    ("zone", "at", "daypart"),
    [
        ("America/New_York", "2025-03-08T16:59:59.999999+00:00", "morning"),
        ("America/New_York", "2025-03-08T17:00:00+00:00", "afternoon"),
        ("America/New_York", "2025-03-09T16:00:00+00:00", "afternoon"),
        ("America/New_York", "2025-03-09T15:59:59.999999+00:00", "morning"),
        ("America/New_York", "2025-03-09T21:00:00+00:00", "evening"),
        ("Australia/Lord_Howe", "2025-04-05T01:00:00+00:00", "afternoon"),
        ("Australia/Lord_Howe", "2025-04-06T01:29:59.999999+00:00", "morning"),
        ("Australia/Lord_Howe", "2025-04-06T01:30:00+00:00", "afternoon"),
        ("Asia/Shanghai", "2025-04-05T16:00:00+00:00", "morning"),
        ("Asia/Shanghai", "2025-04-05T15:59:59.999999+00:00", "evening"),
        ("UTC", "2025-04-05T17:00:00+00:00", "evening"),
    ],
)
def test_a_part_of_the_day_is_the_debtors(zone: str, at: str, daypart: str) -> None:
    # Clocks change on 9 March in New York, and by half an hour on 6 April (local) on Lord Howe.
    contacts = [contact(datetime.fromisoformat(at))]
    assert value_of(f"calls_{daypart}", {"timezone": zone}, contacts=contacts) == 1
