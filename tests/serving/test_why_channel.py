"""Why this channel, and what would change it: true to the numbers that chose, and good to read in every language."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contract import CHANNELS
from features.settings import QueueRules
from features.units import FOREVER, parse_instant
from serving.contact_rules.restrictions import FREE
from serving.contact_rules.rules import Forbidden
from serving.exploration import Exploration
from serving.languages.language import ENGLISH, language_called
from serving.queue import Queue, build_queue
from serving.scoring import prepare_scorer, score
from serving.why_channel import Offers, Right, lines_of
from tests.serving.small import AS_OF, KNOWN, NONE_KNOWN, SETTINGS, small_bundle
from tests.serving.small import small_histories as histories

CHINESE = language_called("zh-Hans")
NAMES = ("sms", "call", "letter", "visit")
SMS, CALL, LETTER, VISIT = range(4)
MOMENT = parse_instant("2026-05-10T01:00:00Z")
OPT_OUT = Forbidden("letter", "channel_opt_out", "opted out", "", FOREVER)


def offer(chosen: int, adds: dict[int, float], charge: dict[int, float] | None = None, **more: Any) -> Offers:
    """One row: what the open channels add, and what their places cost."""
    told, prices = np.full((1, 4), np.nan), np.zeros((1, 4))
    for channel, value in adds.items():
        told[0, channel] = value
    for channel, value in (charge or {}).items():
        prices[0, channel] = value
    given_: dict[str, Any] = {
        "channels": NAMES,
        "hours": (None,) * 4,
        "adds": told,
        "charge": prices,
        "open": ~np.isnan(told),
        "worked": np.array([True] * 4),
        "blocked": np.full((1, 4), FREE),
        "closed": np.zeros((1, 4), dtype=np.bool_),
        "chosen": np.array([chosen]),
        "by_rule": np.array([chosen]),
        "explored": np.array([False]),
        "right": np.array([Right.NONE]),
        "usual": None,
        "beside": False,
        "has_money": True,
        "zone": np.array(["Asia/Shanghai"], dtype=object),
        "as_of": MOMENT,
    }
    return Offers(**{**given_, **more})


def without(offers: Offers, channel: int, until: int) -> Offers:
    """The same where a rule forbids a channel."""
    is_open, blocked = offers.open.copy(), offers.blocked.copy()
    is_open[:, channel], blocked[:, channel] = False, until
    return replace(offers, open=is_open, blocked=blocked)


def closed_by_ladder(offers: Offers, channel: int) -> Offers:
    """The same where the ladder does not open a channel."""
    is_open, closed = offers.open.copy(), offers.closed.copy()
    is_open[:, channel], closed[:, channel] = False, True
    return replace(offers, open=is_open, closed=closed)


PRICED = offer(CALL, {CALL: 12.3, LETTER: 8.1}, {CALL: 2.0})
TWO_DAYS_ON = parse_instant("2026-05-12T00:00:00+08:00")
CASES = {
    "a price": (
        PRICED,
        "call adds 12.30, letter 8.10 (less 2.00 for a call's place)",
        "letter instead once a call's place costs more than 4.20 (now 2.00)",
        "电话增收12.30，催收函8.10（扣除电话名额2.00）",
        "电话名额价格高于4.20时改用催收函（现为2.00）",
    ),
    "places left": (
        offer(CALL, {CALL: 12.3, LETTER: 8.1}),
        "call adds 12.30, letter 8.10",
        "letter instead once a call's place costs more than 4.20 (places are left)",
        "电话增收12.30，催收函8.10",
        "电话名额价格高于4.20时改用催收函（现有空余名额）",
    ),
    "nothing is better than the next best": (
        offer(CALL, {CALL: 12.3, LETTER: -0.5}, {CALL: 2.0, LETTER: 1.0}),
        "call adds 12.30, letter -0.50 (less 2.00 for a call's place)",
        "leaves the queue once a call's place costs more than 12.30 (now 2.00)",
        "电话增收12.30，催收函-0.50（扣除电话名额2.00）",
        "电话名额价格高于12.30时退出队列（现为2.00）",
    ),
    "full": (
        offer(SMS, {SMS: 3.0, CALL: 5.2}, {SMS: 0.5, CALL: 8.0}),
        "SMS adds 3.00 (less 0.50 for an SMS's place); "
        "call would add 5.20, but capacity is full: its place is worth 8.00 elsewhere",
        "call instead once a call's place costs less than 2.70 (now 8.00); "
        "leaves the queue once an SMS's place costs more than 3.00 (now 0.50)",
        "短信增收3.00（扣除短信名额0.50）；电话可增收5.20，但容量已满，其名额用于别处价值8.00",
        "电话名额价格低于2.70时改用电话（现为8.00）；短信名额价格高于3.00时退出队列（现为0.50）",
    ),
    "capacities beside those of channels": (
        offer(LETTER, {CALL: 5.2, LETTER: 3.5}, {CALL: 8.0, LETTER: 1.0}, beside=True),
        "letter adds 3.50 (less 1.00 for all that letter takes); "
        "call would add 5.20, but capacity is full: what it takes is worth 8.00 elsewhere",
        "call instead once all that call takes costs less than 2.70 (now 8.00); "
        "leaves the queue once all that letter takes costs more than 3.50 (now 1.00)",
        "催收函增收3.50（扣除催收函所占的全部容量1.00）；电话可增收5.20，但容量已满，其所占容量用于别处价值8.00",
        "电话所占的全部容量价格低于2.70时改用电话（现为8.00）；催收函所占的全部容量价格高于3.50时退出队列（现为1.00）",
    ),
    "effects not known": (
        offer(CALL, {CALL: 150.0}),
        "call adds 150; no other is open; effect not known: SMS, letter, visit",
        "leaves the queue once a call's place costs more than 150 (places are left)",
        "电话增收150；没有其他可用渠道；效果未知：短信、催收函、上门",
        "电话名额价格高于150时退出队列（现有空余名额）",
    ),
    "nothing else is worked": (
        offer(CALL, {CALL: 12.3}, worked=np.array([False, True, False, False])),
        "call adds 12.30; no other is open",
        "leaves the queue once a call's place costs more than 12.30 (places are left)",
        "电话增收12.30；没有其他可用渠道",
        "电话名额价格高于12.30时退出队列（现有空余名额）",
    ),
    "a better one is blocked for good": (
        without(offer(CALL, {CALL: 12.3, SMS: 1.0, LETTER: 20.0}), LETTER, FOREVER),
        "call adds 12.30, SMS 1.00; letter is blocked: opted out (channel_opt_out)",
        "letter, were it not blocked; SMS instead once a call's place costs more than 11.30 (places are left)",
        "电话增收12.30，短信1.00；催收函受限：已退订（channel_opt_out）",
        "若催收函不受限则改用；电话名额价格高于11.30时改用短信（现有空余名额）",
    ),
    "a better one is blocked for a while": (
        without(offer(CALL, {CALL: 12.3, LETTER: 20.0}), LETTER, TWO_DAYS_ON),
        "call adds 12.30; letter is blocked: opted out (channel_opt_out)",
        "letter from 12 May on, when it is no longer blocked; "
        "leaves the queue once a call's place costs more than 12.30 (places are left)",
        "电话增收12.30；催收函受限：已退订（channel_opt_out）",
        "5月12日起催收函解除限制，届时改用；电话名额价格高于12.30时退出队列（现有空余名额）",
    ),
    "the next best is blocked, and no better": (
        without(offer(CALL, {CALL: 12.3, SMS: 1.0, LETTER: 8.0}), LETTER, FOREVER),
        "call adds 12.30, SMS 1.00; letter is blocked: opted out (channel_opt_out)",
        "SMS instead once a call's place costs more than 11.30 (places are left)",
        "电话增收12.30，短信1.00；催收函受限：已退订（channel_opt_out）",
        "电话名额价格高于11.30时改用短信（现有空余名额）",
    ),
    "the ladder does not open a better one": (
        closed_by_ladder(offer(CALL, {CALL: 12.3, SMS: 1.0, VISIT: 20.0}), VISIT),
        "call adds 12.30, SMS 1.00; the ladder does not open visit",
        "visit once the ladder opens it; SMS instead once a call's place costs more than 11.30 (places are left)",
        "电话增收12.30，短信1.00；催收阶梯尚未开放上门",
        "催收阶梯开放上门后改用；电话名额价格高于11.30时改用短信（现有空余名额）",
    ),
    "a better one is blocked for a while, and the ladder does not open it": (
        without(closed_by_ladder(offer(CALL, {CALL: 12.3, LETTER: 20.0}), LETTER), LETTER, TWO_DAYS_ON),
        "call adds 12.30; the ladder does not open letter",
        "letter once the ladder opens it; leaves the queue once a call's place costs more than 12.30 (places are left)",
        "电话增收12.30；催收阶梯尚未开放催收函",
        "催收阶梯开放催收函后改用；电话名额价格高于12.30时退出队列（现有空余名额）",
    ),
    "the ladder does not open the usual channel": (
        closed_by_ladder(offer(CALL, {CALL: 30.0}, usual=LETTER), LETTER),
        "the ladder does not open the usual letter",
        "letter once the ladder opens it; leaves the queue once a call's place costs more than 30.00 (places are left)",
        "催收阶梯尚未开放常用渠道催收函",
        "催收阶梯开放催收函后改用；电话名额价格高于30.00时退出队列（现有空余名额）",
    ),
    "drawn": (
        offer(SMS, {CALL: 12.3, LETTER: 8.1}, by_rule=np.array([CALL]), explored=np.array([True])),
        "drawn at random, to learn; by rule call",
        "another draw",
        "为积累数据随机抽取；按规则为电话",
        "重新抽取即会改变",
    ),
    "drawn, as by rule": (
        replace(PRICED, explored=np.array([True])),
        "drawn at random, to learn; by rule it is the same",
        "letter instead once a call's place costs more than 4.20 (now 2.00)",
        "为积累数据随机抽取；按规则也是此渠道",
        "电话名额价格高于4.20时改用催收函（现为2.00）",
    ),
    "a promise was broken": (
        replace(PRICED, right=np.array([Right.BROKEN_PROMISE])),
        "comes first: a promise was broken since the day before; "
        "call adds 12.30, letter 8.10 (less 2.00 for a call's place)",
        "from tomorrow on it comes by what it adds",
        "优先处理：近一天内承诺爽约；电话增收12.30，催收函8.10（扣除电话名额2.00）",
        "明天起按增收排序",
    ),
    "not seen for long": (
        replace(PRICED, right=np.array([Right.UNSEEN])),
        "comes first: not seen for long; call adds 12.30, letter 8.10 (less 2.00 for a call's place)",
        "after any contact it comes by what it adds",
        "优先处理：久未联系；电话增收12.30，催收函8.10（扣除电话名额2.00）",
        "一经联系，便按增收排序",
    ),
    "the last places, actions being whole": (
        offer(CALL, {CALL: 12.3, LETTER: 8.1}, {CALL: 6.0}),
        "call adds 12.30, letter 8.10 (less 6.00 for a call's place)",
        "at today's prices letter is worth as much",
        "电话增收12.30，催收函8.10（扣除电话名额6.00）",
        "按今天的价格，催收函同样划算",
    ),
    "the last places, and nothing else": (
        offer(CALL, {CALL: 5.0}, {CALL: 6.0}, worked=np.array([False, True, False, False])),
        "call adds 5.00 (less 6.00 for a call's place); no other is open",
        "at today's prices it is worth no more than its place",
        "电话增收5.00（扣除电话名额6.00）；没有其他可用渠道",
        "按今天的价格，增收不高于其名额价值",
    ),
    "the usual channel": (
        offer(CALL, {CALL: 30.0}, {CALL: 2.0}, usual=CALL),
        "the usual channel, since what each achieves is not known",
        "leaves the queue once a call's place costs more than 30.00 (now 2.00)",
        "各渠道效果未知，采用常用渠道",
        "电话名额价格高于30.00时退出队列（现为2.00）",
    ),
    "the usual channel is blocked": (
        without(offer(CALL, {CALL: 30.0}, usual=LETTER), LETTER, TWO_DAYS_ON),
        "the usual letter is blocked: opted out (channel_opt_out)",
        "letter from 12 May on, when it is no longer blocked; "
        "leaves the queue once a call's place costs more than 30.00 (places are left)",
        "常用渠道催收函受限：已退订（channel_opt_out）",
        "5月12日起催收函解除限制，届时改用；电话名额价格高于30.00时退出队列（现有空余名额）",
    ),
    "the usual channel is not worked": (
        offer(CALL, {CALL: 30.0}, usual=SMS, worked=np.array([False, True, False, False])),
        "the usual SMS is not worked",
        "leaves the queue once a call's place costs more than 30.00 (places are left)",
        "常用渠道短信今天未启用",
        "电话名额价格高于30.00时退出队列（现有空余名额）",
    ),
    "calls of some hours": (
        replace(
            offer(CALL, {SMS: 1.0, CALL: 12.3, LETTER: 8.1}, {CALL: 2.0}),
            channels=("sms", "call", "call", "visit"),
            hours=(None, (18, 21), (0, 0), None),
        ),
        "call from 18:00 to 21:00 adds 12.30, call at other hours 8.10 "
        "(less 2.00 for a call's place from 18:00 to 21:00)",
        "call at other hours instead once a call's place from 18:00 to 21:00 costs more than 4.20 (now 2.00)",
        "电话（18:00至21:00）增收12.30，电话（其他时段）8.10（扣除电话名额（18:00至21:00）2.00）",
        "电话名额（18:00至21:00）价格高于4.20时改用电话（其他时段）（现为2.00）",
    ),
    "labels count": (
        offer(CALL, {CALL: 0.45}, {CALL: 0.3}, usual=CALL, has_money=False),
        "the usual channel, since what each achieves is not known",
        "leaves the queue once a call's place costs more than 45% (now 30%)",
        "各渠道效果未知，采用常用渠道",
        "电话名额价格高于45%时退出队列（现为30%）",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_lines(name: str) -> None:
    offers, why, change, chinese_why, chinese_change = CASES[name]
    for language, expected in ((ENGLISH, (why, change)), (CHINESE, (chinese_why, chinese_change))):
        lines = lines_of(offers, [[OPT_OUT]], language)
        assert (lines.why_channel[0], lines.would_change[0]) == expected


def test_of_several_rules_the_one_that_holds_longest_is_named() -> None:
    offers = without(offer(CALL, {CALL: 12.3, LETTER: 20.0}), LETTER, FOREVER)
    rules = [
        Forbidden("letter", "soon", "over soon", "", TWO_DAYS_ON),
        Forbidden("call", "other", "another", "", FOREVER),
    ]
    assert "opted out (channel_opt_out)" in lines_of(offers, [[*rules, OPT_OUT]], ENGLISH).why_channel[0]


def test_a_channel_of_the_portfolios_own_has_its_place() -> None:
    offers = replace(PRICED, channels=("sms", "web_chat", "letter", "visit"))
    assert lines_of(offers, [[]], ENGLISH).why_channel == [
        "web chat adds 12.30, letter 8.10 (less 2.00 for a place of web chat)"
    ]
    assert lines_of(offers, [[]], CHINESE).why_channel == ["web chat增收12.30，催收函8.10（扣除web chat名额2.00）"]


AMOUNTS = st.integers(-500, 2000).map(lambda cents: cents / 10)


@st.composite
def chosen_by_price(draw: st.DrawFn) -> Offers:
    """A row that has the channel that adds most less its place."""
    adds = dict(enumerate(draw(st.lists(AMOUNTS, min_size=4, max_size=4, unique=True))))
    charge = dict(enumerate(draw(st.lists(AMOUNTS.map(abs), min_size=4, max_size=4))))
    best = max(adds, key=lambda channel: adds[channel] - charge[channel])
    return offer(best, adds, charge)


def choice_at(offers: Offers, channel: int, price: float) -> int:
    """The channel of a row once a place of one costs so much; -1 where waiting is better."""
    charge = offers.charge[0].copy()
    charge[channel] = price
    net = offers.adds[0] - charge
    return int(net.argmax()) if net.max() > 0 else -1


@settings(max_examples=300)
@given(offers=chosen_by_price())
def test_the_choice_changes_at_the_price_that_is_told(offers: Offers) -> None:
    chosen = int(offers.chosen[0])
    if offers.adds[0, chosen] <= offers.charge[0, chosen]:
        return  # nobody would have it
    limit, (second, _) = float(offers.limit()[0]), offers.runner_up()
    assert limit >= offers.charge[0, chosen] - 1e-9
    assert choice_at(offers, chosen, limit - 0.001) == chosen
    assert choice_at(offers, chosen, limit + 0.001) in {int(second[0]), -1}
    told = lines_of(offers, [[]], ENGLISH).would_change[0]
    for other, price in re.findall(r"(\w+) instead once an? (?:\w+)'s place costs less than ([\d.,]+)", told):
        place, at = NAMES.index(other.lower()), float(price.replace(",", ""))
        assert choice_at(offers, place, at - 1) == place
        assert choice_at(offers, place, at + 1) == chosen


# ----------------------------------------------------------------------------------------------------- in whole queues


@cache
def scores_of(known: bool) -> pd.DataFrame:
    return score(prepare_scorer(small_bundle(KNOWN if known else NONE_KNOWN)), histories(), AS_OF)


def queue_of(known: bool, capacities: dict[str, int], scores: pd.DataFrame | None = None, **more: Any) -> Queue:
    scorer = prepare_scorer(small_bundle(KNOWN if known else NONE_KNOWN))
    return build_queue(scorer, scores_of(known) if scores is None else scores, histories(), AS_OF, capacities, **more)


CAPACITIES = st.dictionaries(st.sampled_from(CHANNELS), st.sampled_from([1, 7, 40, 1000]), min_size=1)


@settings(max_examples=15, deadline=None)
@given(known=st.booleans(), capacities=CAPACITIES)
def test_every_row_is_told_in_one_line_and_has_the_best_at_the_prices(known: bool, capacities: dict[str, int]) -> None:
    rows = queue_of(known, capacities).rows
    for name in ("history", "why_channel", "would_change"):
        assert rows[name].map(bool).all()
        assert not rows[name].str.contains(r"[{}\n]|nan|inf\b").any()
    # With a capacity for each channel alone the allocation is the best there is: none has what is second at its prices.
    assert not rows["would_change"].str.contains("at today's prices").any()


def test_what_a_row_adds_is_what_its_line_says() -> None:
    rows = queue_of(True, {"call": 60, "sms": 10}).rows
    for row in rows.to_dict("records"):
        assert row["why_channel"].startswith(f"{ENGLISH.channel(row['channel'])} adds {ENGLISH.gain(row['uplift'])}")


CHANGE = re.compile(
    r"(?:^|; )(?:(\w+) instead|leaves the queue) once a call's place costs more than ([\d.]+) \(now ([\d.]+)\)$"
)


@pytest.mark.parametrize(("plan", "second"), [({"call": 60}, None), ({"call": 60, "sms": 10}, "sms")])
def test_the_solver_changes_its_choice_where_a_line_says_so(plan: dict[str, int], second: str | None) -> None:
    """What a call adds to one account is lowered to just above, and just below, the price that its row names."""
    found = [(row, CHANGE.search(row["would_change"])) for row in queue_of(True, plan).rows.to_dict("records")]
    told = [(row["account_id"], match) for row, match in found if match is not None][::9]
    assert len(told) > 3
    for account_id, match in told:
        assert (match[1] and match[1].lower()) == second
        for beyond, channel in ((-0.02, "call"), (0.02, second)):
            lowered = scores_of(True).copy()
            lowered.loc[lowered["account_id"] == account_id, "value_call"] -= float(match[2]) - float(match[3]) + beyond
            anew = queue_of(True, plan, lowered).rows.set_index("account_id")["channel"]
            assert anew.get(account_id) == channel


def test_rows_that_are_drawn_or_come_first_say_so() -> None:
    rows = queue_of(True, {"call": 60, "sms": 1000}, exploration=Exploration(0.2, ("sms",), "")).rows
    assert rows["explored"].any()
    assert rows["why_channel"].str.startswith("drawn at random").tolist() == rows["explored"].tolist()
    rules = QueueRules(broken_promise_first=True, unseen_days=5, unseen_share=0.5)
    due = replace(histories(), settings=replace(SETTINGS, queue=rules))
    first = build_queue(prepare_scorer(small_bundle()), scores_of(True), due, AS_OF, {"call": 40}).rows
    told = first["why_channel"].str.startswith("comes first")
    assert told.any()
    assert told.is_monotonic_decreasing, "they come before all others"


def test_a_queue_is_told_in_chinese() -> None:
    english, chinese = (queue_of(True, {"call": 60, "sms": 10}, language=one) for one in (ENGLISH, CHINESE))
    told = ["history", "why_channel", "would_change"]
    pd.testing.assert_frame_equal(english.rows.drop(columns=told), chinese.rows.drop(columns=told))
    texts = [*chinese.rows[told].to_numpy().ravel(), *chinese.held["why"]]
    # The names of rules are the same in every language.
    assert not [text for text in texts if re.search("[A-Za-z]", re.sub(r"（[a-z0-9_-]+）", "", text))]
    assert set(chinese.rows["channel"]) <= {"call", "sms"}
