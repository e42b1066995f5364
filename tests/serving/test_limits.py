"""Limits and waits against a plain count of dates, at their edges, over random histories, zones and rule packs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contract import CHANNELS, OUTCOMES
from features.settings import zones
from features.units import DAY, HOUR, SECOND, parse_instant
from serving.contact_rules import packs
from serving.contact_rules.limits import limited_until
from serving.contact_rules.packs import Counted, Each, Hours, Limit, RulePack, Wait, pack_called, rule_packs
from serving.contact_rules.restrictions import FREE
from serving.contact_rules.rules import blocked_until, forbidden, next_allowed
from serving.contact_rules.windows import instant_of, zones_of
from tests.serving.dialling import Made, contact, dialled, is_forbidden, rules_broken, wall_of

NEW_YORK = "America/New_York"
ONE = np.array([0])
MINUTE = 60 * SECOND


def calls(*at: str, outcome: str = "no_answer") -> list[Made]:
    return [contact(moment, outcome=outcome) for moment in at]


def until(contacts: list[Made], as_of: str, pack: str = "us-reg-f", zone: str = NEW_YORK, channel: str = "call") -> str:
    """Until when a channel is forbidden, by the clock on the wall; blank where it is not."""
    found = blocked_until(dialled(contacts, zone, pack), ONE, parse_instant(as_of))[0, CHANNELS.index(channel)]
    return "" if found == FREE else wall_of(int(found), zone).isoformat()


SEVEN = [f"2026-03-{day:02d}T10:00:00-05:00" for day in range(2, 8)] + ["2026-03-08T10:00:00-04:00"]


def test_seven_calls_in_seven_days_are_the_last_until_the_first_of_them_is_a_week_old() -> None:
    # The clock was changed on the 8th: the days are those of the calendar.
    assert until(calls(*SEVEN), "2026-03-08T12:00:00-04:00") == "2026-03-09T00:00:00-04:00"
    assert until(calls(*SEVEN), "2026-03-09T03:59:59Z") == "2026-03-09T00:00:00-04:00"
    assert until(calls(*SEVEN), "2026-03-09T04:00:00Z") == ""
    assert until(calls(*SEVEN[1:]), "2026-03-08T12:00:00-04:00") == ""
    # The first is of a day earlier: there are never seven in seven days.
    assert until(calls("2026-03-01T23:59:59-05:00", *SEVEN[1:]), "2026-03-08T12:00:00-04:00") == ""


def test_seven_calls_of_one_day_forbid_until_that_day_has_left_the_week() -> None:
    at_once = calls(*(f"2026-06-01T10:{minute:02d}:00-04:00" for minute in range(7)))
    assert until(at_once, "2026-06-01T11:00:00-04:00") == "2026-06-08T00:00:00-04:00"
    assert until(at_once[:6], "2026-06-01T11:00:00-04:00") == ""
    assert until([*at_once, *at_once], "2026-06-01T11:00:00-04:00") == "2026-06-08T00:00:00-04:00"


def test_only_calls_of_the_collector_that_are_known_count() -> None:
    as_of = "2026-03-08T12:00:00-04:00"
    inbound = [Made(one.at, direction="inbound") for one in calls(*SEVEN)]
    assert until(inbound, as_of) == ""
    assert until([Made(one.at, "sms", "sent") for one in calls(*SEVEN)], as_of) == ""
    late = [*calls(*SEVEN[1:]), Made(parse_instant(SEVEN[0]), known=parse_instant(as_of))]
    assert until(late, as_of) == ""
    assert until(late, "2026-03-08T12:00:01-04:00") == "2026-03-09T00:00:00-04:00"


def test_the_day_of_a_conversation_is_the_first_of_seven() -> None:
    for one in (
        calls("2026-03-02T20:59:00-05:00", outcome="promise"),
        [contact("2026-03-02T09:00:00-05:00", outcome="right_party", direction="inbound")],
    ):
        assert until(one, "2026-03-04") == "2026-03-09T00:00:00-04:00"
        assert until(one, "2026-03-09T04:00:00Z") == ""
        assert until(one, "2026-03-04", channel="sms") == ""
    assert until(calls("2026-03-02T20:59:00-05:00", outcome="third_party"), "2026-03-04") == ""


def test_a_rolling_window_ends_at_the_hour() -> None:
    two = calls("2026-03-02T10:00:00-05:00", "2026-03-03T15:30:00-05:00")
    assert until(two, "2026-03-05", "us-ma-940-cmr-7") == "2026-03-09T11:00:00-04:00"
    assert until(two, "2026-03-05", "us-ma-940-cmr-7", channel="sms") == "2026-03-09T11:00:00-04:00"
    assert until(two[:1], "2026-03-05", "us-ma-940-cmr-7") == ""


def test_a_debtor_who_moved_is_counted_by_the_days_of_where_she_is_now() -> None:
    # Three calls were answered in Shanghai from 23:00 to 01:00: of two days there, of one in London.
    answered = calls(*(f"2026-05-04T{hour}:00:00Z" for hour in (15, 16, 17)), outcome="third_party")
    as_of, pack = "2026-05-04T17:30:00Z", "cn-gbt-45251-2025"
    assert until(answered, as_of, pack, "Asia/Shanghai") == ""
    assert until(answered, as_of, pack, "Europe/London") == "2026-05-05T00:00:00+01:00"


def test_of_a_debtor_of_no_known_zone_the_days_of_all_that_may_be_count() -> None:
    seven = calls(*(f"2026-06-01T{hour}:00:00Z" for hour in range(16, 23)))
    assert until(seven, "2026-06-02", zone="UTC") == "2026-06-08T10:00:00+00:00", "midnight in Honolulu"


def test_what_is_counted_per_person_counts_her_other_debts_where_that_is_asked() -> None:
    answered = [contact(f"2026-05-04T0{hour}:00:00Z", outcome="refusal", account=hour % 2) for hour in (1, 2, 3)]
    both = dialled(answered, "Asia/Shanghai", "cn-gbt-45251-2025", ["P", "P", "Q", None])
    as_of, everyone = parse_instant("2026-05-04T04:00:00Z"), np.array([3, 0, 2, 1, 0])
    call = CHANNELS.index("call")
    assert (blocked_until(both, everyone, as_of)[:, call] == FREE).all()
    found = blocked_until(both, everyone, as_of, of_person=True)[:, call]
    assert (found != FREE).tolist() == [False, True, False, True, True]
    # A rule per debt counts none of them.
    per_debt = dialled(answered * 3, NEW_YORK, "us-reg-f", ["P", "P", "P"])
    assert (blocked_until(per_debt, np.array([2]), as_of, of_person=True) == FREE).all()


def test_a_rule_that_forbids_is_named_with_its_source_and_its_end() -> None:
    histories = dialled(calls("2026-03-02T20:59:00-05:00", outcome="promise"), NEW_YORK, "us-reg-f")
    ((one,),) = forbidden(histories, ONE, parse_instant("2026-03-04"))
    assert str(one) == ("call: no call within 7 days after a conversation, its day the first (us-reg-f-conversation)")
    assert one.source.startswith("12 CFR 1006.14")
    assert one.until == parse_instant("2026-03-09T04:00:00Z")


MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 the strategy adds the zone
COUNTED: st.SearchStrategy[Counted] = st.sampled_from(get_args(Counted))
SOME = st.lists(st.sampled_from(CHANNELS), max_size=2, unique=True).map(tuple)
OF: st.SearchStrategy[Each] = st.sampled_from(get_args(Each))


@st.composite
def random_packs(draw: st.DrawFn) -> RulePack:
    """A shipped pack, or one with random limits and waits."""
    if draw(st.booleans()):
        return draw(st.sampled_from(list(rule_packs().values())))
    limits = [
        Limit(
            id=f"limit-{number}", words="", source="", counts=draw(COUNTED), maximum=draw(st.integers(1, 4)),
            days=draw(st.integers(1, 10)), each=draw(OF), channels=draw(SOME), forbids=draw(SOME),
            rolling=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    waits = [
        Wait(id=f"wait-{number}", words="", source="", days=draw(st.integers(1, 8)), each=draw(OF),
             after=draw(SOME), channels=draw(SOME))
        for number in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    begin, length = draw(st.integers(0, 20)), draw(st.integers(1, 4))
    end = min(begin + length, 24)
    hours = Hours(id="hours", words="", source="", begin=f"{begin:02d}:00", end=f"{end:02d}:00")
    return RulePack(
        name="drawn", title="", source="", dated=rule_packs()["default"].dated, hours=(hours,),
        limits=tuple(limits), waits=tuple(waits),
    )  # fmt: skip


@st.composite
def contacts(draw: st.DrawFn, around: int) -> list[Made]:
    """Contacts of three accounts in the weeks before a moment and shortly after it, some known late."""
    found = []
    for _ in range(draw(st.integers(0, 25))):
        at = around - draw(st.integers(-DAY, 12 * DAY))
        at -= at % HOUR if draw(st.booleans()) else 0
        known = at + draw(st.sampled_from([0, 0, HOUR, 2 * DAY]))
        where = draw(st.sampled_from(["call", "call", *CHANNELS]))
        direction = draw(st.sampled_from(["outbound", "outbound", "inbound"]))
        found.append(Made(at, where, draw(st.sampled_from(OUTCOMES)), direction, draw(st.integers(0, 2)), known))
    return found


#: Whose clocks are never changed at midnight in these years, so that there is one reading of every day.
PLAIN_ZONES = ["Asia/Shanghai", "Asia/Kolkata", NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]


@given(data=st.data(), moment=MOMENTS, pack=random_packs(), zone=st.sampled_from(PLAIN_ZONES), of_person=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_end_of_every_limit_is_that_of_a_plain_count(
    data: st.DataObject, moment: datetime, pack: RulePack, zone: str, of_person: bool
) -> None:
    as_of = instant_of(moment)
    made = data.draw(contacts(as_of))
    with mock.patch.object(packs, "rule_packs", return_value={"drawn": pack, "unknown": pack}):
        histories = dialled(made, zone, "drawn", ["P", "P", None])
        rows = np.arange(3)
        found = limited_until(histories, rows, np.full(3, as_of), of_person)
    for row in rows.tolist():
        same = {0, 1} if of_person and row < 2 else {row}
        known = [one for one in made if max(one.at, one.known) < as_of]
        for place, channel in enumerate(CHANNELS):
            assert found[row, place] == plain_end(pack, known, as_of, zone, channel, row, same)


def plain_end(
    pack: RulePack, known: list[Made], as_of: int, zone: str, channel: str, account: int, same: set[int]
) -> int:
    """The first moment, of those at which a day begins or a contact is so many days old, that breaks no limit."""
    bare = RulePack(
        name="", title="", source="", dated=pack.dated, hours=(), zones=pack.zones, limits=pack.limits, waits=pack.waits
    )
    ends = [as_of]
    for limit in pack.counters:
        for one in known:
            if limit.rolling:
                ends.append(one.at + limit.days * DAY)
            else:
                for name in zones_of(zone, pack):
                    local = wall_of(one.at, name)
                    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
                    ends.append(instant_of(midnight + timedelta(days=limit.days)))
    first = min(
        end for end in ends if end >= as_of and not rules_broken(bare, known, end, zone, channel, account, same)
    )
    return FREE if first == as_of else first


@given(
    data=st.data(),
    moment=MOMENTS,
    pack=random_packs(),
    zone=st.sampled_from(sorted(zones())),
)
@settings(max_examples=60, deadline=None)
def test_who_dials_at_the_first_allowed_moment_breaks_no_rule(
    data: st.DataObject, moment: datetime, pack: RulePack, zone: str
) -> None:
    """The hardest use: a contact at the very moment that is given, again and again, for two debts of one person."""
    now, made = instant_of(moment), list[Made]()
    with mock.patch.object(packs, "rule_packs", return_value={"drawn": pack, "unknown": pack}):
        for _ in range(12):
            account, channel = data.draw(st.integers(0, 1)), data.draw(st.sampled_from(["call", "sms", "visit"]))
            histories = dialled(made, zone, "drawn", ["P", "P"])
            until = blocked_until(histories, np.array([account]), now, of_person=True)[0]
            only = np.array([name == channel for name in CHANNELS])
            begin = next_allowed(until, now, zone, pack, CHANNELS, only)
            assert begin is not None
            at = instant_of(begin)
            assert not rules_broken(pack, made, at, zone, channel, account, {0, 1})
            made.append(Made(at, channel, data.draw(st.sampled_from(OUTCOMES)), account=account))
            now = at + data.draw(st.sampled_from([1, HOUR, DAY]))


@pytest.mark.parametrize("zone", ["America/Havana", "America/St_Johns", "America/Sao_Paulo", "Africa/Cairo"])
def test_where_clocks_are_changed_at_midnight_a_day_never_ends_early(zone: str) -> None:
    pack, day = pack_called("cn-gbt-45251-2025"), instant_of(datetime(1995, 1, 1, tzinfo=UTC))
    changes = [
        day + number * DAY
        for number in range(2500)
        if wall_of(day + number * DAY, zone).utcoffset() != wall_of(day + (number + 1) * DAY, zone).utcoffset()
    ]
    assert len(changes) > 5
    for change in changes:
        made = [Made(change + number * 30 * MINUTE, outcome="refusal") for number in range(0, 70, 3)]
        for number in range(3, len(made) + 1):
            histories = dialled(made[:number], zone, pack.name)
            end = int(blocked_until(histories, ONE, made[number - 1].at + 1)[0, CHANNELS.index("call")])
            assert end == FREE or rules_broken(pack, made[:number], end, zone, "call", 0, {0}) <= {"cn-gbt-hours"}


def test_what_limits_forbid_is_what_they_name() -> None:
    limit = Limit(id="", words="", source="", counts="attempts", maximum=1, days=1, each="debt", channels=("call",))
    assert [name for name in CHANNELS if is_forbidden(limit, name)] == ["call"]
