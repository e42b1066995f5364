"""What a collector reads of a history: a table of histories, each with its line in every language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.settings import DEFAULT_CHANNELS, ChannelSettings, PortfolioSettings
from features.units import parse_instant
from serving.history_lines import MOST, history_lines
from serving.languages.language import LANGUAGES, Language, language_called
from tests.serving.small import histories_of, small_histories

Row = dict[str, Any]
SETTINGS = PortfolioSettings(
    "lines", timezone="Asia/Shanghai", channels=(*DEFAULT_CHANNELS, ChannelSettings("web_chat", 0.1))
)
#: Noon in Shanghai.
AS_OF = "2026-05-20T12:00:00+08:00"
ACCOUNT = {"account_id": "A", "opened_at": "2025-10-01", "placed_at": "2026-04-01", "due_on": "2026-04-20"}
CALL = {"channel": "call", "outcome": "no_answer"}
#: A payment long ago, so that a line has not to say that there is none.
PAID = {"at": "2026-01-05", "amount": 20}


def calls(day: str, outcome: str, *hours: int) -> list[Row]:
    """Calls at these hours of a day in Shanghai."""
    return [{**CALL, "at": f"{day}T{hour:02}:30:00+08:00", "outcome": outcome} for hour in hours]


def promise(due_on: str, amount: float = 1200, made_at: str = "2026-04-25T10:00:00+08:00") -> Row:
    return {"made_at": made_at, "due_on": due_on, "amount": amount}


def line_of(language: Language, account: Row | None = None, **tables: Sequence[Row]) -> str:
    frames = {name: pd.DataFrame([{"account_id": "A", **row} for row in rows]) for name, rows in tables.items()}
    for name in ("contacts", "payments"):
        frames.setdefault(name, pd.DataFrame())
    frames["accounts"] = pd.DataFrame([{**ACCOUNT, "balance": 5000, "segment": "card", **(account or {})}])
    histories = histories_of(frames, SETTINGS)
    return history_lines(histories, np.array([0]), parse_instant(AS_OF), language)[0]


TALK = calls("2026-05-18", "right_party", 10)
EVENING = [*calls("2026-05-18", "right_party", 18, 19, 20, 21), *calls("2026-05-17", "no_answer", 18, 19)]
MORNING = calls("2026-05-16", "no_answer", 9, 10, 11)
CASES: list[tuple[dict[str, Any], str, str]] = [
    # The sentences of the issue.
    (
        {"promises": [promise("2026-05-03")], "contacts": [*MORNING, *EVENING]},
        "promised 1,200 for 3 May, nothing came; answers after 18:00: 4 of 6; last talk on 18 May",
        "承诺5月3日还款1,200，未兑现；18:00后拨打6次，本人接听4次；最近于5月18日与本人沟通",
    ),
    (
        {"promises": [promise("2026-05-03")], "payments": [{"at": "2026-05-02", "amount": 400}], "contacts": TALK},
        "promised 1,200 for 3 May, of it 400 came; last talk on 18 May",
        "承诺5月3日还款1,200，只还了400；最近于5月18日与本人沟通",
    ),
    (
        {"promises": [promise("2026-05-03")], "payments": [{"at": "2026-05-05", "amount": 1200}], "contacts": TALK},
        "promised 1,200 for 3 May, kept; last talk on 18 May",
        "承诺5月3日还款1,200，已兑现；最近于5月18日与本人沟通",
    ),
    # Open: due later, today, in its grace; paid in part.
    (
        {"promises": [promise("2026-05-25", 99.5)], "contacts": calls("2026-05-18", "no_answer", 9, 10, 11)},
        "promised 99.50 for 25 May, not due yet; no answer 3 times in a row",
        "承诺5月25日还款99.50，未到期；连续3次无人应答",
    ),
    (
        {"promises": [promise("2026-05-20")], "contacts": TALK},
        "promised 1,200 for 20 May, due today; last talk on 18 May",
        "承诺5月20日还款1,200，今天到期；最近于5月18日与本人沟通",
    ),
    (
        {"promises": [promise("2026-05-19")], "contacts": TALK},
        "promised 1,200 for 19 May, nothing came yet; last talk on 18 May",
        "承诺5月19日还款1,200，尚未到账；最近于5月18日与本人沟通",
    ),
    (
        {"promises": [promise("2026-05-25")], "payments": [{"at": "2026-05-19", "amount": 300}], "contacts": TALK},
        "promised 1,200 for 25 May, 300 came so far; last talk on 18 May",
        "承诺5月25日还款1,200，目前还了300；最近于5月18日与本人沟通",
    ),
    # A plan of instalments: the first that is not kept is the one that matters.
    (
        {
            "promises": [promise("2026-05-01", 100), promise("2026-05-09", 300), promise("2026-06-09", 500)],
            "payments": [{"at": "2026-04-30", "amount": 100}],
            "contacts": TALK,
        },
        "promised 300 for 9 May, of it 100 came; last talk on 18 May",
        "承诺5月9日还款300，只还了100；最近于5月18日与本人沟通",
    ),
    # Promises before it.
    (
        {
            "promises": [promise("2026-05-03"), promise("2026-04-10", made_at="2026-04-05")],
            "contacts": TALK,
        },
        "promised 1,200 for 3 May, nothing came (broke the one before); last talk on 18 May",
        "承诺5月3日还款1,200，未兑现（此前爽约1次）；最近于5月18日与本人沟通",
    ),
    (
        {
            "promises": [promise("2026-05-25"), *(promise("2026-04-10", made_at=f"2026-04-0{day}") for day in (4, 5))],
            "contacts": TALK,
        },
        "promised 1,200 for 25 May, not due yet (broke all 2 before); last talk on 18 May",
        "承诺5月25日还款1,200，未到期（此前爽约2次）；最近于5月18日与本人沟通",
    ),
    (
        {
            "promises": [
                promise("2026-05-03"),
                promise("2026-04-10", made_at="2026-04-05"),
                promise("2026-03-10", 20, made_at="2026-03-05"),
            ],
            "payments": [{"at": "2026-03-09", "amount": 20}],
        },
        "promised 1,200 for 3 May, nothing came (broke 1 of 2 before); paid 20 on 9 Mar; "
        "never contacted, placed on 1 Apr",
        "承诺5月3日还款1,200，未兑现（此前承诺2次，爽约1次）；3月9日还款20；4月1日委案，从未联系",
    ),
    # Payments, and what was taken back.
    (
        {"payments": [{"at": "2026-05-12", "amount": 250}, {"at": "2026-05-12", "amount": 50}], "contacts": TALK},
        "paid 300 on 12 May; last talk on 18 May",
        "5月12日还款300；最近于5月18日与本人沟通",
    ),
    (
        {"payments": [{"at": "2026-05-12", "amount": 250}, {"at": "2026-05-14", "amount": -250}], "contacts": TALK},
        "250 taken back on 14 May; last talk on 18 May",
        "5月14日还款250被冲正；最近于5月18日与本人沟通",
    ),
    # Talks.
    (
        {"contacts": calls("2026-05-18", "refusal", 10), "payments": [PAID]},
        "refused to pay on 18 May; paid 20 on 5 Jan",
        "5月18日拒绝还款（累计1次）；1月5日还款20",
    ),
    (
        {"contacts": [*calls("2026-05-10", "refusal", 9), *calls("2026-05-18", "refusal", 10)]},
        "refused to pay 2 times, last on 18 May; nothing paid so far",
        "5月18日拒绝还款（累计2次）；至今未还款",
    ),
    (
        {"contacts": calls("2026-05-18", "dispute", 10)},
        "disputed the debt on 18 May; nothing paid so far",
        "5月18日对债务提出异议；至今未还款",
    ),
    (
        {"contacts": [{**CALL, "at": "2026-05-18", "outcome": "right_party", "direction": "inbound"}]},
        "got in touch on 18 May; nothing paid so far",
        "5月18日本人主动联系；至今未还款",
    ),
    # Numbers, addresses, others.
    (
        {"contacts": calls("2026-05-18", "wrong_number", 10)},
        "wrong number on 18 May; nothing paid so far",
        "5月18日号码有误，非本人；至今未还款",
    ),
    (
        {"contacts": [{"channel": "visit", "at": "2026-05-18", "outcome": "wrong_number"}]},
        "wrong address on 18 May; nothing paid so far",
        "5月18日地址有误；至今未还款",
    ),
    (
        {"contacts": [{"channel": "web_chat", "at": "2026-05-18", "outcome": "wrong_number"}]},
        "wrong number or address on 18 May; nothing paid so far",
        "5月18日号码或地址有误；至今未还款",
    ),
    (
        {"contacts": calls("2026-05-18", "third_party", 10)},
        "somebody else answered on 18 May; nothing paid so far",
        "5月18日由他人接听；至今未还款",
    ),
    (
        {
            "contacts": TALK,
            "restrictions": [
                {"at": "2026-05-01", "kind": "invalid_contact", "channel": channel} for channel in ("visit", "web_chat")
            ],
        },
        "number or address invalid: visit, web chat; last talk on 18 May; nothing paid so far",
        "号码或地址无效：上门、web chat；最近于5月18日与本人沟通；至今未还款",
    ),
    # Hours: a part of the day that does not stand out is not told.
    (
        {"contacts": [*EVENING, *calls("2026-05-16", "right_party", 9, 10)]},
        "last talk on 18 May; nothing paid so far",
        "最近于5月18日与本人沟通；至今未还款",
    ),
    (
        {"contacts": [*calls("2026-05-15", "right_party", 9, 10, 11), *calls("2026-05-16", "no_answer", 13, 14)]},
        "answers before 12:00: 3 of 3; last talk on 15 May; nothing paid so far",
        "12:00前拨打3次，本人接听3次；最近于5月15日与本人沟通；至今未还款",
    ),
    (
        {"contacts": [*calls("2026-05-15", "right_party", 12, 15, 17), *calls("2026-05-16", "no_answer", 9, 18)]},
        "answers from 12:00 to 18:00: 3 of 3; last talk on 15 May; nothing paid so far",
        "12:00至18:00拨打3次，本人接听3次；最近于5月15日与本人沟通；至今未还款",
    ),
    # Twice the rate of the other hours is just enough; so is that nobody called at these; a third of the calls is, too.
    (
        {"contacts": [*calls("2026-05-15", "right_party", 9, 10, 11, 13), *calls("2026-05-16", "no_answer", 14)]},
        "answers before 12:00: 3 of 3; last talk on 15 May; nothing paid so far",
        "12:00前拨打3次，本人接听3次；最近于5月15日与本人沟通；至今未还款",
    ),
    (
        {
            "contacts": [
                *calls("2026-05-15", "right_party", 9, 10, 11),
                *calls("2026-05-14", "no_answer", 8, 9, 10, 11),
                *calls("2026-05-13", "no_answer", 8, 9),
            ]
        },
        "answers before 12:00: 3 of 9; last talk on 15 May; nothing paid so far",
        "12:00前拨打9次，本人接听3次；最近于5月15日与本人沟通；至今未还款",
    ),
    (
        {
            "contacts": [
                *calls("2026-05-15", "right_party", 9, 10, 11),
                *calls("2026-05-14", "no_answer", 8, 9, 10, 11),
                *calls("2026-05-13", "no_answer", 8, 9, 10),
            ]
        },
        "last talk on 15 May; nothing paid so far",
        "最近于5月15日与本人沟通；至今未还款",
    ),
    # Long ago, and nothing at all.
    (
        {"contacts": calls("2026-04-10", "no_answer", 10)},
        "not contacted since 10 Apr; nothing paid so far",
        "4月10日以来未再联系；至今未还款",
    ),
    (
        {"contacts": calls("2026-05-18", "no_answer", 10)},
        "nothing paid so far; owes 5,000, 30 days past due",
        "至今未还款；欠款5,000，逾期30天",
    ),
    (
        {"account": {"due_on": "2026-05-19"}, "contacts": calls("2026-05-18", "no_answer", 10)},
        "nothing paid so far; owes 5,000, 1 day past due",
        "至今未还款；欠款5,000，逾期1天",
    ),
    (
        {"account": {"due_on": "2026-05-20"}, "contacts": calls("2026-05-18", "no_answer", 10)},
        "nothing paid so far; owes 5,000, due today",
        "至今未还款；欠款5,000，今天到期",
    ),
    (
        {"account": {"due_on": "2026-06-20"}, "contacts": calls("2026-05-18", "no_answer", 10)},
        "nothing paid so far; owes 5,000, due on 20 Jun",
        "至今未还款；欠款5,000，6月20日到期",
    ),
    (
        {"account": {"due_on": None}, "contacts": calls("2026-05-18", "no_answer", 10)},
        "nothing paid so far; owes 5,000",
        "至今未还款；欠款5,000",
    ),
    (
        {"account": {"placed_at": "2025-11-20"}},
        "never contacted, placed on 20 Nov 2025; nothing paid so far",
        "2025年11月20日委案，从未联系；至今未还款",
    ),
    # What is old gives way to what is so today.
    (
        {
            "promises": [promise("2025-12-03", made_at="2025-11-25")],
            "contacts": [*calls("2025-12-10", "refusal", 9), *calls("2026-05-18", "no_answer", 9, 10, 11)],
            "payments": [{"at": "2026-05-01", "amount": 10}],
        },
        "paid 10 on 1 May; no answer 3 times in a row; promised 1,200 for 3 Dec 2025, nothing came",
        "5月1日还款10；连续3次无人应答；承诺2025年12月3日还款1,200，未兑现",
    ),
]


@pytest.mark.parametrize(("history", "english", "chinese"), CASES, ids=[case[1] for case in CASES])
def test_lines(history: dict[str, Any], english: str, chinese: str) -> None:
    assert line_of(language_called("en"), **history) == english
    assert line_of(language_called("zh-Hans"), **history) == chinese


def test_days_are_the_debtors_and_a_day_that_was_given_stays_that_day() -> None:
    english = language_called("en")
    late = [{**CALL, "at": "2026-05-17T20:00:00Z", "outcome": "refusal"}]
    assert line_of(english, contacts=late).startswith("refused to pay on 18 May")
    assert line_of(english, {"timezone": "America/New_York"}, contacts=late).startswith("refused to pay on 17 May")
    plain = [promise("2026-05-03")]
    for zone in ("America/New_York", "Asia/Shanghai"):
        assert line_of(english, {"timezone": zone}, promises=plain).startswith("promised 1,200 for 3 May, nothing came")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_line_tells_a_few_things_and_each_once(tag: str) -> None:
    histories, language = small_histories(), language_called(tag)
    separator = language.joined(["", ""])
    for line in history_lines(histories, np.arange(len(histories)), parse_instant("2026-04-01"), language):
        things = line.split(separator)
        assert 1 <= len(things) <= MOST
        assert len(set(things)) == len(things)
        assert all(things)
