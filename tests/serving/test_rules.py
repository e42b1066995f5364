"""Restrictions and hours: what is forbidden until when, and the hours in every zone and at every clock change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.contract import CHANNELS, RESTRICTIONS
from features.histories import Histories
from features.settings import zones
from features.units import FOREVER, parse_instant
from serving.contact_rules.packs import DayKind, Hours, RulePack, notes_of_packs, pack_called, rule_packs
from serving.contact_rules.restrictions import BLOCKS, FREE, OF_PERSON
from serving.contact_rules.rules import blocked_until, reasons_held
from serving.contact_rules.windows import first_allowed, hours_against, instant_of, window_from, zones_of
from tests.serving.dialling import hours_allow
from tests.serving.small import histories_of

NINE_TO_NINE = rule_packs()["default"]
AS_OF = parse_instant("2026-03-10")
ONE = np.array([0])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pack_of(*hours: Hours, **more: Any) -> RulePack:
    """A pack of these hours."""
    return RulePack(name="own", title="", source="", dated=NINE_TO_NINE.dated, hours=hours, **more)


def histories_with(*restrictions: dict[str, Any]) -> Histories:
    """One account with these restrictions; the moment is 2026-03-10."""
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    account = {"account_id": "A", "opened_at": opened, "due_on": None, "balance": 10.0, "segment": "x"}
    accounts = pd.DataFrame([account | {"utilisation": 0.1, "employment": None}])
    rows = pd.DataFrame([{"account_id": "A", "at": "2026-02-01"} | row for row in restrictions])
    return histories_of(
        {"accounts": accounts, "contacts": pd.DataFrame(), "payments": pd.DataFrame(), "restrictions": rows}
    )


def blocked(*restrictions: dict[str, Any], as_of: int = AS_OF) -> dict[str, int]:
    """Until when each channel is forbidden, those that are free left out."""
    until = blocked_until(histories_with(*restrictions), ONE, as_of)[0]
    return {name: int(end) for name, end in zip(CHANNELS, until, strict=True) if end != FREE}


def window(local: str, zone: str, pack: RulePack = NINE_TO_NINE, channel: str = "call") -> tuple[str, str]:
    """The window at a moment that is given as local time with its offset, or in UTC."""
    found = window_from(parse_instant(local), zone, pack, channel)
    return found.not_before.isoformat(), found.not_after.isoformat()


def test_every_restriction_but_closed_has_its_block() -> None:
    assert set(BLOCKS) == set(RESTRICTIONS) - {"closed"}


@pytest.mark.parametrize("kind", ["deceased", "fraud", "bankruptcy", "dispute", "breathing_space", "vulnerable"])
@pytest.mark.parametrize("channel", [None, "call"])
def test_what_is_true_of_the_debtor_forbids_every_channel(kind: str, channel: str | None) -> None:
    assert blocked({"kind": kind, "channel": channel}) == dict.fromkeys(CHANNELS, FOREVER)


@pytest.mark.parametrize("kind", ["do_not_contact", "channel_opt_out", "invalid_contact"])
def test_what_is_true_of_a_channel_forbids_that_one(kind: str) -> None:
    assert blocked({"kind": kind, "channel": "visit"}) == {"visit": FOREVER}


@pytest.mark.parametrize("kind", ["do_not_contact", "channel_opt_out"])
def test_what_names_no_channel_holds_for_all(kind: str) -> None:
    assert blocked({"kind": kind}) == dict.fromkeys(CHANNELS, FOREVER)


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_what_is_true_of_the_person_holds_for_her_other_debts_where_that_is_asked(kind: str) -> None:
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    account = {"opened_at": opened, "due_on": None, "balance": 10.0, "segment": "x", "utilisation": 0.1}
    persons = {"A": "P", "B": "P", "C": "Q", "D": None, "E": None}
    accounts = pd.DataFrame(
        [account | {"account_id": name, "person_id": person, "employment": None} for name, person in persons.items()]
    )
    noted = [{"account_id": name, "at": "2026-02-01", "kind": kind, "until": "2026-04-01"} for name in ("A", "D")]
    tables = {"accounts": accounts, "contacts": pd.DataFrame(), "payments": pd.DataFrame()}
    histories = histories_of(tables | {"restrictions": pd.DataFrame(noted)})
    rows = np.arange(5)[::-1]
    alone = (blocked_until(histories, rows, AS_OF) != FREE).all(axis=1)
    together = (blocked_until(histories, rows, AS_OF, of_person=True) != FREE).all(axis=1)
    assert {"ABCDE"[row] for row in rows[together & ~alone]} == ({"B"} if kind in OF_PERSON else set())
    if kind in OF_PERSON:
        why = reasons_held(histories, np.array([1]), AS_OF, of_person=True)
        assert why == [f"{BLOCKS[kind].words}, as noted at another debt ({kind})"]
        assert (blocked_until(histories, np.array([1]), parse_instant("2026-04-01"), of_person=True) == FREE).all()


def tried(*contacts: dict[str, Any], invalid: tuple[str, ...] = ("old",), until: str | None = None) -> dict[str, int]:
    """Until when each channel is forbidden after these contacts, with some numbers noted as invalid."""
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    account = {"account_id": "A", "opened_at": opened, "due_on": None, "balance": 10.0, "segment": "x"}
    accounts = pd.DataFrame([account | {"utilisation": 0.1, "employment": None}])
    told = [{"account_id": "A", "at": "2026-02-01", "kind": "invalid_contact", "contact_point": one} for one in invalid]
    rows = [
        {"account_id": "A", "at": "2026-01-20", "channel": "call", "outcome": "no_answer"} | row for row in contacts
    ]
    histories = histories_of(
        {
            "accounts": accounts,
            "contacts": pd.DataFrame(rows),
            "payments": pd.DataFrame(),
            "restrictions": pd.DataFrame(told).assign(until=until),
        }
    )
    found = blocked_until(histories, ONE, AS_OF)[0]
    return {name: int(end) for name, end in zip(CHANNELS, found, strict=True) if end != FREE}


def test_a_channel_is_forbidden_when_all_that_was_tried_through_it_is_invalid() -> None:
    # Visit quotas are met with addresses known to be invalid: never again.
    by_phone = {"call": FOREVER, "sms": FOREVER}
    assert tried({"contact_point": "old"}, {"channel": "sms", "contact_point": "old", "outcome": "sent"}) == by_phone
    assert tried({"contact_point": "old"}, {"contact_point": "older"}, invalid=("old", "older")) == by_phone
    assert tried({"channel": "email", "contact_point": "old"}) == {"email": FOREVER}


def test_what_is_dead_for_one_channel_is_dead_for_those_that_lead_to_the_same() -> None:
    by_post = dict.fromkeys(("letter", "visit", "legal_letter"), FOREVER)
    assert tried({"channel": "visit", "contact_point": "old"}) == by_post
    # A second address, tried by letter, may be one to visit; the one that was visited is not.
    letter = {"channel": "letter", "contact_point": "new", "outcome": "sent"}
    assert tried({"channel": "visit", "contact_point": "old"}, letter) == {"visit": FOREVER}


def test_a_channel_with_another_number_is_not_forbidden() -> None:
    assert tried({"contact_point": "old"}, {"contact_point": "new"}) == {}
    assert tried({"contact_point": "old"}, {"contact_point": None}) == {}


def test_what_is_invalid_and_was_never_tried_forbids_nothing() -> None:
    assert tried({"contact_point": "new"}) == {}


def test_a_contact_of_the_debtors_own_is_no_attempt() -> None:
    assert tried({"contact_point": "old", "direction": "inbound"}) == {}


def test_an_invalid_number_may_be_valid_again_at_its_end() -> None:
    again = parse_instant("2026-06-01")
    assert tried({"contact_point": "old"}, until="2026-06-01") == {"call": again, "sms": again}


def test_closed_forbids_nothing_since_a_closed_account_is_not_live() -> None:
    assert blocked({"kind": "closed"}) == {}


def test_a_restriction_holds_from_when_it_is_known_and_ends_at_its_end() -> None:
    opted_out = {"kind": "channel_opt_out", "channel": "sms", "until": "2026-03-20"}
    end = parse_instant("2026-03-20")
    assert blocked(opted_out, as_of=end - 1) == {"sms": end}
    assert blocked(opted_out, as_of=end) == {}
    assert blocked(opted_out, as_of=parse_instant("2026-02-01")) == {}
    assert blocked(opted_out, as_of=parse_instant("2026-02-01") + 1) == {"sms": end}
    assert blocked(opted_out | {"recorded_at": "2026-03-10"}) == {}


def test_of_several_ends_the_last_one_counts() -> None:
    first = {"kind": "dispute", "until": "2026-03-20"}
    second = {"kind": "channel_opt_out", "channel": "sms", "until": "2026-04-01"}
    found = blocked(second, first)
    assert found["sms"] == parse_instant("2026-04-01")
    assert found["call"] == parse_instant("2026-03-20")


def test_the_reasons_name_what_holds_everything_first_and_each_once() -> None:
    opted_out = {"kind": "channel_opt_out", "channel": "sms"}
    histories = histories_with(opted_out, {"kind": "dispute"}, opted_out | {"at": "2026-02-03"})
    assert reasons_held(histories, ONE, AS_OF) == ["the debt is disputed (dispute); SMS: opted out (channel_opt_out)"]


def test_a_pack_that_is_not_there_gives_the_rules_of_all_and_a_note() -> None:
    assert pack_called("atlantis") is rule_packs()["unknown"]
    found = window("2026-03-10T20:00:00+08:00", "Asia/Shanghai", pack_called("atlantis"))
    assert found == ("2026-03-11T09:00:00+08:00", "2026-03-11T19:00:00+08:00")
    (line,) = notes_of_packs(["default", "atlantis", "atlantis"], AS_OF)
    assert line.startswith("there is no rule pack 'atlantis': the rules of all packs hold together for 2 accounts")
    assert notes_of_packs(["default"], AS_OF) == []


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-10T00:00:00+08:00", "2026-03-10"),
        ("2026-03-10T09:00:00+08:00", "2026-03-10"),
        ("2026-03-10T20:59:59.999999+08:00", "2026-03-10"),
        ("2026-03-10T21:00:00+08:00", "2026-03-11"),
        ("2026-03-10T23:59:59+08:00", "2026-03-11"),
    ],
)
def test_the_window_is_that_of_the_local_day_until_it_has_ended(moment: str, day: str) -> None:
    assert window(moment, "Asia/Shanghai") == (f"{day}T09:00:00+08:00", f"{day}T21:00:00+08:00")


def test_the_day_is_the_debtors_and_not_that_of_utc() -> None:
    assert window("2026-03-10T23:00:00Z", "Pacific/Auckland")[0] == "2026-03-11T09:00:00+13:00"
    # In Los Angeles it is 18:00 of the 9th: the window has three hours left.
    assert window("2026-03-10T01:00:00Z", "America/Los_Angeles")[0] == "2026-03-09T09:00:00-07:00"


def test_clock_changes_keep_the_hours_of_the_wall_clock() -> None:
    assert window("2026-03-08T01:30:00-05:00", "America/New_York") == (
        "2026-03-08T09:00:00-04:00",
        "2026-03-08T21:00:00-04:00",
    )
    assert window("2026-11-01T00:30:00-04:00", "America/New_York")[0] == "2026-11-01T09:00:00-05:00"
    assert window("2026-10-31T21:00:00-04:00", "America/New_York")[0] == "2026-11-01T09:00:00-05:00"


def test_a_day_that_a_zone_skipped_has_no_window() -> None:
    # Samoa went from 29 December 2011 to the 31st.
    assert window("2011-12-29T21:30:00-10:00", "Pacific/Apia")[0] == "2011-12-31T09:00:00+14:00"


def test_where_the_clock_changes_at_the_end_of_the_hours_the_narrower_reading_holds() -> None:
    two_to_three = pack_of(Hours(id="night", words="", source="", begin="02:30", end="03:30"))
    # Clocks in Berlin went from 2:00 to 3:00: 2:30 would have been 3:30, and then the hours are over.
    assert window("2026-03-29T00:00:00Z", "Europe/Berlin", two_to_three)[0] == "2026-03-30T02:30:00+02:00"
    # There 2:30 comes twice: from the second one on it is never again before 2:30.
    assert window("2026-10-25T00:00:00Z", "Europe/Berlin", two_to_three)[0] == "2026-10-25T02:30:00+01:00"


def test_the_first_allowed_moment_is_within_the_hours() -> None:
    within = first_allowed(parse_instant("2026-03-10T12:34:56+08:00"), "Asia/Shanghai", NINE_TO_NINE, "call")
    assert within.isoformat() == "2026-03-10T12:34:56+08:00"
    later = first_allowed(parse_instant("2026-03-10T22:00:00+08:00"), "Asia/Shanghai", NINE_TO_NINE, "call")
    assert later.isoformat() == "2026-03-11T09:00:00+08:00"


MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 the strategy adds the zone


@st.composite
def hours(draw: st.DrawFn, ids: Iterator[int]) -> Hours:
    """Hours of at least four, for some days and channels; at times none on holidays."""
    begin = draw(st.integers(0, 20 * 60))
    end = draw(st.integers(begin + 4 * 60, 24 * 60))
    walls = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (begin, end))
    kinds: list[DayKind] = ["workday", "weekend", "holiday"]
    days = draw(st.sets(st.sampled_from(kinds)))
    channels = draw(st.sets(st.sampled_from(CHANNELS), max_size=3))
    closed = days == {"holiday"} and draw(st.booleans())
    return Hours(
        id=str(next(ids)), words="", source="", begin=next(walls), end=next(walls), closed=closed,
        days=tuple(kind for kind in kinds if kind in days), channels=tuple(sorted(channels)),
    )  # fmt: skip


@st.composite
def packs(draw: st.DrawFn) -> RulePack:
    """A shipped pack, or one of random hours and holidays."""
    if draw(st.booleans()):
        return draw(st.sampled_from(list(rule_packs().values())))
    day = draw(st.dates(date(1990, 1, 1), date(2037, 12, 31)))
    ids = iter(range(100))
    return pack_of(
        *draw(st.lists(hours(ids), min_size=1, max_size=2)), holidays=frozenset({day, day + timedelta(days=1)})
    )


@given(
    moment=MOMENTS,
    zone=st.sampled_from(sorted(zones())),
    pack=packs(),
    channel=st.sampled_from(CHANNELS),
    share=st.floats(0, 0.999999),
)
@settings(max_examples=300, deadline=None)
def test_in_every_zone_at_every_time_no_hours_of_a_window_are_forbidden_and_none_are_missed(
    moment: datetime, zone: str, pack: RulePack, channel: str, share: float
) -> None:
    instant = instant_of(moment)
    try:
        found = window_from(instant, zone, pack, channel)
    except ValueError:
        # Two hours that have no moment in common leave none at all.
        assume(False)
        return
    begin, end = instant_of(found.not_before), instant_of(found.not_after)
    assert begin < end > instant
    within = begin + int(share * (end - begin))
    assert not hours_against(within, zone, pack, channel)
    for one in zones_of(zone, pack):
        wall = (EPOCH + timedelta(microseconds=within)).astimezone(ZoneInfo(one))
        assert all(hours_allow(one_rule, wall, pack, channel) for one_rule in pack.hours)
    # From the moment to the window, and just before it, nothing is allowed; narrower readings of a clock change may
    # forbid what the face of the clock allows.
    if begin > instant:
        before = instant + int(share * (begin - instant))
        assert hours_against(before, zone, pack, channel)
