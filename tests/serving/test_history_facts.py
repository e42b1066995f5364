"""What a history says, against a slow second reading in plain Python; and that the future says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings

from features.contract import OUTCOMES
from features.histories import Histories
from features.settings import PortfolioSettings
from features.units import NULL_TIME
from serving.history_facts import HistoryFacts, State, history_facts
from serving.history_lines import lines_of
from serving.languages.language import ENGLISH
from tests.features.oracle import ANSWERED, RIGHT_PARTY, balance
from tests.features.seen import EVENT_TABLES, RawPortfolio, Row, Seen, known_at, latest, seen, settle, total
from tests.features.strategies import Case, cases, instant, money, packed

MANY, FEW = settings(max_examples=50, deadline=None), settings(max_examples=25, deadline=None)


def at_or_none(when: datetime | None) -> int:
    return NULL_TIME if when is None else instant(when)


def last_of(rows: list[Row], channels: tuple[str, ...]) -> Row | None:
    """The last to happen; of those at one instant the last known, and then by channel, outcome and direction."""
    return max(
        rows,
        key=lambda row: (
            row["at"],
            known_at("contacts", row),
            channels.index(row["channel"]),
            OUTCOMES.index(row["outcome"]),
            (row.get("direction") or "outbound") == "inbound",
        ),
        default=None,
    )


def promised(now: Seen) -> dict[str, Any]:
    """The promise that matters, chosen one by one."""
    in_order = sorted(
        now.rows["promises"],
        key=lambda row: (known_at("promises", row), row["made_at"], row["due_on"], row["amount"]),
    )
    promises = [settle(row, now.rows["payments"], now.as_of) for row in in_order]
    settled = {
        "n_broken": sum(promise.state == "broken" for promise in promises),
        "n_settled": sum(promise.state != "open" for promise in promises),
    }
    if not promises:
        none = {"made_at": NULL_TIME, "due_on": NULL_TIME, "amount": 0, "paid": 0, "state": State.OPEN}
        return {**none, **settled}
    made_at = max(promise.made_at for promise in promises)
    last = [promise for promise in promises if promise.made_at == made_at]
    waiting = [promise for promise in last if promise.state != "kept"]
    one = (
        min(waiting, key=lambda promise: promise.due_on)
        if waiting
        else min(last, key=lambda promise: made_at - promise.due_on)
    )
    return {
        "made_at": instant(one.made_at),
        "due_on": instant(one.due_on),
        "amount": money(one.amount),
        "paid": money(one.paid_in_time),
        "state": State[one.state.upper()],
        **settled,
    }


def paid(now: Seen) -> dict[str, Any]:
    """The last payment and the last reversal."""
    found: dict[str, Any] = {}
    for at, amount, sign in (("at", "amount", 1), ("reversed_at", "reversed", -1)):
        rows = [row for row in now.rows["payments"] if sign * row["amount"] > 0]
        when = latest(row["at"] for row in rows)
        together = total(row["amount"] for row in rows if row["at"] == when)
        found |= {at: at_or_none(when), amount: money(together)}
    return found


def contacted(now: Seen) -> dict[str, Any]:
    """The last of each kind of contact, and the counts."""
    channels, contacts = now.settings.channel_names, list(now.rows["contacts"])
    talk = last_of([row for row in contacts if row["outcome"] in RIGHT_PARTY], channels)
    attempt = last_of(now.attempts, channels)
    answered = latest(row["at"] for row in now.attempts if row["outcome"] in ANSWERED)
    unanswered = [row for row in now.attempts if row["outcome"] == "no_answer"]
    parts: list[list[Row]] = [[], [], []]
    for row in now.attempts:
        if row["channel"] == "call":
            hour = row["at"].astimezone(now.zone).hour
            parts[0 if hour < 12 else 1 if hour < 18 else 2].append(row)
    return {
        "at": at_or_none(latest(row["at"] for row in contacts)),
        "talked_at": at_or_none(talk["at"] if talk else None),
        "talk": OUTCOMES.index(talk["outcome"]) if talk else -1,
        "was_inbound": talk is not None and talk.get("direction") == "inbound",
        "attempted_at": at_or_none(attempt["at"] if attempt else None),
        "attempt": OUTCOMES.index(attempt["outcome"]) if attempt else -1,
        "channel": channels.index(attempt["channel"]) if attempt else -1,
        "n_refusals": sum(row["outcome"] == "refusal" for row in contacts),
        "n_unanswered": sum(answered is None or row["at"] > answered for row in unanswered),
        "calls": [len(part) for part in parts],
        "answers": [sum(row["outcome"] in RIGHT_PARTY for row in part) for part in parts],
    }


def dead(now: Seen) -> list[bool]:
    """Channels noted as invalid, or through which nothing but invalid numbers and addresses was tried."""
    noted = now.active("invalid_contact")
    points = {row.get("contact_point") for row in noted} - {None}
    found = []
    for channel in now.settings.channel_names:
        tried = [row for row in now.attempts if row["channel"] == channel]
        is_noted = any(row.get("channel") == channel for row in noted)
        found.append(is_noted or (bool(tried) and all(row.get("contact_point") in points for row in tried)))
    return found


SECTIONS: Mapping[str, Callable[[Seen], dict[str, Any]]] = {"promised": promised, "paid": paid, "contacted": contacted}


def moments(case: Case) -> list[datetime]:
    return sorted({question.as_of for question in case.questions})[:6]


@MANY
@given(case=cases())
def test_the_facts_are_those_of_a_plain_reading(case: Case) -> None:
    histories = packed(case.portfolio)
    for as_of in moments(case):
        facts = history_facts(histories, np.arange(len(histories)), instant(as_of))
        for row, account_id in enumerate(histories.accounts.account_id):
            now = seen(case.portfolio, account_id, as_of)
            for section, read in SECTIONS.items():
                for name, value in read(now).items():
                    assert np.array_equal(getattr(getattr(facts, section), name)[row], value), (section, name)
            assert facts.dead[row].tolist() == dead(now)
            assert facts.balance[row] == money(balance(now))
            assert facts.due_on[row] == at_or_none(now.account["due_on"])


@FEW
@given(case=cases())
def test_what_is_not_known_yet_says_nothing(case: Case) -> None:
    """A row that is known at the moment or later changes no fact and no line of that moment."""
    histories = packed(case.portfolio)
    for as_of in moments(case)[:3]:
        before = packed(without_the_future(case.portfolio, as_of))
        whole, part = (lines_at(one, as_of) for one in (histories, before))
        assert_same_facts(whole[0], part[0])
        assert whole[1] == part[1]


def lines_at(histories: Histories, as_of: datetime) -> tuple[HistoryFacts, list[str]]:
    facts = history_facts(histories, np.arange(len(histories)), instant(as_of))
    return facts, lines_of(facts, ENGLISH)


def without_the_future(portfolio: RawPortfolio, as_of: datetime) -> RawPortfolio:
    known = {
        table: [row for row in rows if table not in EVENT_TABLES or known_at(table, row) < as_of]
        for table, rows in portfolio.tables.items()
    }
    return replace(portfolio, tables=known)


def assert_same_facts(one: HistoryFacts, other: HistoryFacts) -> None:
    for field in fields(HistoryFacts):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        for left, right in zip(mine, theirs, strict=True) if isinstance(mine, tuple) else [(mine, theirs)]:
            np.testing.assert_array_equal(left, right, field.name)


@FEW
@given(case=cases())
def test_an_account_alone_has_the_line_that_it_has_among_others(case: Case) -> None:
    histories = packed(case.portfolio)
    as_of = instant(moments(case)[-1])
    together = lines_of(history_facts(histories, np.arange(len(histories)), as_of), ENGLISH)
    for row, line in enumerate(together):
        assert lines_of(history_facts(histories, np.array([row]), as_of), ENGLISH) == [line]
        assert line
        assert "{" not in line


def test_nobody_has_no_line() -> None:
    account = {"account_id": "a", "opened_at": datetime(2026, 1, 1, tzinfo=UTC), "balance": 1, "segment": "x"}
    portfolio = RawPortfolio(PortfolioSettings("one"), {"accounts": [account | {"due_on": None}]})
    histories, as_of = packed(portfolio), instant(datetime(2026, 2, 1, tzinfo=UTC) + timedelta(hours=1))
    assert lines_of(history_facts(histories, np.array([], dtype=np.int64), as_of), ENGLISH) == []
    assert lines_of(history_facts(histories, np.array([0]), as_of), ENGLISH) == [
        "never contacted, placed on 1 Jan; nothing paid so far"
    ]
