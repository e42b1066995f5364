"""Every boundary, by example: what exactly at an instant, a microsecond beside it, or at the same time means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from features.compute import FeatureSet, feature_matrix, prepare, standing
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
    histories = packed(portfolio_of(account or {}, tables), whole=name.startswith(("segment", "vintage")))
    found = feature_matrix(histories, *asked(histories, [Question("a", AS_OF)]), prepared(name))
    return float(found[0, 0])


@cache
def prepared(name: str) -> FeatureSet:
    return prepare(SETTINGS, (name,))


def is_live(account: Row | None = None, **tables: list[Row]) -> bool:
    """Whether the account is live at the moment."""
    histories = packed(portfolio_of(account or {}, tables), whole=False)
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
    assert value_of("payment_gap_days", payments=payments) == 21


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


@pytest.mark.parametrize(("jitter", "quick"), [(-1, 1), (0, 1), (1, 0)])
def test_a_quick_promise_is_due_within_three_days_of_its_making(jitter: int, quick: int) -> None:
    assert value_of("quick_promises", promises=[promised(ago(20), ago(17, jitter))]) == quick


@pytest.mark.parametrize(
    ("payments", "within"),
    [
        ([paid(ago(20, -1), "100")], 0),
        ([paid(ago(20), "100")], 1),
        ([paid(ago(17), "100")], 1),
        ([paid(ago(17, 1), "100")], 0),
        ([paid(ago(19), "60"), paid(ago(18), "40")], 1),
        ([paid(ago(19), "100"), paid(ago(18), "-0.01")], 0),
        ([paid(ago(19), "100"), paid(ago(17, 1), "-100")], 1),
    ],
)
def test_a_promise_paid_within_three_days_is_covered_by_what_came_in_them(payments: list[Row], within: int) -> None:
    promises = [promised(ago(20), ago(10))]
    assert value_of("promises_paid_within_3d", promises=promises, payments=payments) == within


@pytest.mark.parametrize(
    ("payments", "days"),
    [
        ([paid(ago(20), "100")], 0),
        ([paid(ago(15), "100"), paid(ago(12), "100")], 5),
        ([paid(ago(15), "60"), paid(ago(12), "40")], 8),
        ([paid(ago(15), "100"), paid(ago(15), "-100"), paid(ago(12), "100")], 8),
        ([paid(ago(15), "100"), paid(ago(14), "-100"), paid(ago(12), "100")], 5),
        ([paid(ago(15), "99.9999"), paid(ago(12), "-5"), paid(ago(7), "5.0001")], 13),
    ],
)
def test_a_promise_is_kept_when_what_was_paid_since_first_covers_it(payments: list[Row], days: int) -> None:
    # Once all of an instant is counted: what comes and goes in one instant was never there.
    promises = [promised(ago(20), ago(10))]
    assert value_of("promises_kept", promises=promises, payments=payments) == 1
    assert value_of("days_to_keep_promise", promises=promises, payments=payments) == days
    assert value_of("days_since_last_kept_promise", promises=promises, payments=payments) == 20 - days


@pytest.mark.parametrize(("jitter", "inside"), [(-1, 0), (0, 1)])
def test_a_kept_promise_is_in_the_window_of_its_covering(jitter: int, inside: int) -> None:
    promises, payments = [promised(ago(120), ago(60))], [paid(ago(90, jitter), "100"), paid(ago(80), "1")]
    assert value_of("promises_kept_90d", promises=promises, payments=payments) == inside
    assert value_of("promises_kept_180d", promises=promises, payments=payments) == 1


@pytest.mark.parametrize(("jitter", "due"), [(-1, 1), (0, 0), (1, 0)])
def test_a_promise_has_come_due_when_its_grace_has_passed(jitter: int, due: int) -> None:
    promises, payments = [promised(ago(20), ago(3, jitter))], [paid(ago(19), "100")]
    assert value_of("promises_due", promises=promises, payments=payments) == due
    assert value_of("promises_due_kept", promises=promises, payments=payments) == due
    assert value_of("promises_kept", promises=promises, payments=payments) == 1
    assert value_of("promises_due", promises=promises) == due


@pytest.mark.parametrize(
    ("due_on", "payments", "overdue"),
    [
        (ago(1, 1), [], 0),
        (ago(1), [], 1),
        (ago(3), [], 1),
        (ago(9), [], 1),
        (ago(9), [paid(ago(1), "100")], 0),
        (ago(9), [paid(ago(1), "99.99")], 1),
        (ago(9), [paid(ago(20, -1), "100")], 1),
        (ago(9), [paid(ago(10), "100"), paid(ago(1), "-1")], 1),
    ],
)
def test_an_overdue_promise_is_past_its_due_date_and_not_made_good(
    due_on: datetime, payments: list[Row], overdue: int
) -> None:
    # A broken promise may be made good later; one that was kept is overdue again when its money is taken back.
    promises = [promised(ago(20), due_on)]
    assert value_of("overdue_promises", promises=promises, payments=payments) == overdue
    assert value_of("overdue_promise_amount", promises=promises, payments=payments) == 100 * overdue
    days = value_of("overdue_promise_days", promises=promises, payments=payments)
    assert days == pytest.approx((AS_OF - due_on) / DAY) if overdue else np.isnan(days)


@pytest.mark.parametrize(
    ("due_on", "payments", "late"),
    [
        (ago(10), [paid(ago(10), "100")], 0),
        (ago(10), [paid(ago(15), "60"), paid(ago(12), "40")], -2),
        (ago(10), [paid(ago(15), "60"), paid(ago(2), "40"), paid(ago(1), "100")], 8),
        (ago(10), [paid(ago(15), "60"), paid(ago(2), "39.9999")], 10),
        (ago(10), [paid(ago(20, -1), "100")], 10),
        (ago(10), [paid(ago(12), "100", ago(0, -1))], -2),
        (ago(10), [paid(ago(12), "100", ago(0))], 10),
        (ago(10), [paid(ago(12), "100"), paid(ago(12), "-100"), paid(ago(4), "100")], 6),
        (ago(10), [paid(ago(12), "100"), paid(ago(8), "-100"), paid(ago(4), "100")], -2),
        (ago(10), [paid(ago(12), "100"), paid(ago(5), "-0.0001")], 10),
        (ago(1), [], 1),
        (ago(1, 1), [], None),
        (ago(-5), [paid(ago(1), "99")], None),
        (ago(-5), [paid(ago(1), "100")], -6),
    ],
)
def test_a_promise_is_late_until_what_was_paid_since_first_covers_it(
    due_on: datetime, payments: list[Row], late: int | None
) -> None:
    # Early is below zero; one that is not covered is as late as it is overdue. Money taken back covers nothing.
    promises = [promised(ago(20), due_on)]
    for name in ("last_promise_days_late", "promise_days_late", "most_promise_days_late"):
        days = value_of(name, promises=promises, payments=payments)
        assert np.isnan(days) if late is None else days == late


def test_how_late_promises_are_is_told_of_the_latest_and_of_all() -> None:
    # Covered after 190 days, at once and a day early; overdue by 30; open. Of two made at once, the later covered.
    early = [promised(ago(400), ago(391), "100"), promised(ago(181), ago(181), "1")]
    promises = [
        *early,
        promised(ago(180), ago(159), "50"),
        promised(ago(180), ago(30), "999"),
        promised(ago(2), ago(0)),
    ]
    payments = [paid(ago(201), "100"), paid(ago(181), "1"), paid(ago(160), "50")]
    found = {
        name: value_of(name, promises=promises, payments=payments)
        for name in ("last_promise_days_late", "promise_days_late", "most_promise_days_late")
    }
    assert found == {
        "last_promise_days_late": 30,
        "promise_days_late": np.float32((190 + 0 - 1 + 30) / 4),
        "most_promise_days_late": 190,
    }


def test_a_row_of_broken_promises_ends_with_the_latest_that_was_kept() -> None:
    broken = [promised(ago(days), ago(days - 1), "7777") for days in (100, 50, 40, 40)]
    payments = [paid(ago(49), "100"), paid(ago(39), "100")]
    for kept_made_at, streak in ((ago(101), 4), (ago(50), 2), (ago(41), 2), (ago(40), 0), (ago(39), 0)):
        promises = [*broken, promised(kept_made_at, ago(30))]
        assert value_of("broken_promise_streak", promises=promises, payments=payments) == streak
    assert value_of("broken_promise_streak", promises=broken) == 4


def test_the_latest_promise_is_all_that_was_promised_at_that_instant() -> None:
    promises = [promised(ago(9), ago(1), "30"), promised(ago(9), ago(8), "40"), promised(ago(10), ago(1), "500")]
    assert value_of("last_promise_amount", promises=promises) == 70


@pytest.mark.parametrize(
    ("payments", "cures", "days"),
    [
        ([], 0, None),
        ([paid(ago(9), "999.9999")], 0, None),
        ([paid(ago(9), "1000")], 1, 9),
        ([paid(ago(9), "600"), paid(ago(8), "600")], 1, 8),
        ([paid(ago(9), "1000"), paid(ago(8), "-1000"), paid(ago(7), "1000")], 2, 7),
        ([paid(ago(9), "1000"), paid(ago(9), "-0.01")], 0, None),
        ([paid(ago(9), "1000"), paid(ago(8), "5")], 1, 9),
        ([paid(PLACED_AT, "1000")], 1, 200),
        ([paid(PLACED_AT - MICROSECOND, "1000")], 0, None),
    ],
)
def test_a_cure_is_a_fall_of_the_balance_to_zero(payments: list[Row], cures: int, days: int | None) -> None:
    assert value_of("cures", payments=payments) == cures
    since = value_of("days_since_last_cure", payments=payments)
    assert np.isnan(since) if days is None else since == days


def test_an_account_that_never_owed_is_not_cured_until_it_has_owed() -> None:
    nothing = {"balance": Decimal(0)}
    assert value_of("cures", nothing, payments=[paid(ago(9), "5")]) == 0
    assert value_of("cures", nothing, payments=[paid(ago(9), "5")], charges=[paid(ago(10), "5")]) == 1
    assert value_of("cures", nothing, payments=[paid(ago(9), "5")], charges=[paid(ago(9), "5")]) == 0


@pytest.mark.parametrize(("jitter", "change"), [(-1, 0), (0, 5)])
def test_the_balance_changes_within_the_window(jitter: int, change: int) -> None:
    moved: dict[str, Any] = {"payments": [paid(ago(30, jitter), "2")], "charges": [paid(ago(30, jitter), "7")]}
    assert value_of("balance_change_30d", **moved) == change
    assert value_of("balance_change_90d", **moved) == 5
    assert value_of("balance_change_90d", {"placed_at": ago(20)}, **moved) == 0


def on(*days: str) -> list[Row]:
    """A payment on each of some days, at noon."""
    return [paid(datetime.fromisoformat(f"{day}T12:00:00+00:00"), "1") for day in days]


@pytest.mark.parametrize(
    ("payments", "payday", "share"),
    [
        (on("2025-05-10"), None, None),
        (on("2025-05-10", "2025-04-20"), 10, 0.5),
        (on("2025-05-10", "2025-04-08", "2025-03-12"), 10, 1),
        (on("2025-05-10", "2025-04-07", "2025-03-13"), 10, 1 / 3),
        (on("2025-03-31", "2025-05-01", "2025-04-29"), 31, 1),
        (on("2025-03-31", "2025-05-03"), 3, 0.5),
        (on("2025-03-31", "2025-05-02"), 2, 1),
        (on("2025-01-30", "2025-05-01", "2025-04-16", "2025-04-17", "2025-03-18"), 17, 0.6),
        (on("2025-05-20", "2025-05-20", "2025-05-28"), 20, 2 / 3),
    ],
)
def test_the_usual_payday_is_the_one_with_most_payments_around_it(
    payments: list[Row], payday: int | None, share: float | None
) -> None:
    wanted = np.array([np.nan if payday is None else payday, np.nan if share is None else share], dtype=np.float32)
    found = [value_of(name, payments=payments) for name in ("usual_payday", "payday_share")]
    np.testing.assert_array_equal(np.array(found, dtype=np.float32), wanted)


@pytest.mark.parametrize(
    ("day", "zone", "days"),
    [(1, "UTC", 0), (2, "UTC", 1), (31, "UTC", 29), (31, "Pacific/Kiritimati", 28), (30, "UTC", 29), (20, "UTC", 19)],
)
def test_a_shorter_month_has_its_payday_on_its_last_day(day: int, zone: str, days: int) -> None:
    # The moment is noon of the 1st of June, UTC; on Kiritimati it is the 2nd already, and a payment at ten was as well.
    at = datetime(2025, 3, day, 9, tzinfo=UTC)
    payments = [paid(at, "1"), paid(at, "1")]
    assert value_of("days_to_payday", {"timezone": zone}, payments=payments) == days


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2025-06-01T00:00:00+00:00", 0),
        ("2025-05-31T23:59:59.999999+00:00", 1),
        ("2025-05-02T00:00:00+00:00", 1),
        ("2025-05-01T23:59:59.999999+00:00", 0),
    ],
)
def test_what_the_segment_paid_is_as_of_the_last_midnight(at: str, inside: int) -> None:
    payments = [paid(datetime.fromisoformat(at), "100")]
    for name in ("segment_paid_share_30d", "vintage_paid_share_30d"):
        assert value_of(name, payments=payments) == np.float32(0.1 * inside)
    late = [paid(ago(100), "100", datetime.fromisoformat(at))]
    assert value_of("segment_paid_share_30d", payments=late) == np.float32(0.1 * inside)
    assert value_of("segment_paid_share", payments=payments) == np.float32(0 if at.startswith("2025-06") else 0.1)
    assert value_of("segment_paid_share", payments=[paid(PLACED_AT - MICROSECOND, "100")]) == 0
    talks = [contact(datetime.fromisoformat(at), "refusal"), contact(datetime.fromisoformat(at), "refusal", "inbound")]
    rate = value_of("vintage_right_party_rate_90d", contacts=talks)
    assert np.isnan(rate) if at.startswith("2025-06") else rate == 1
