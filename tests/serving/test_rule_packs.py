"""The rule packs: read strictly, complete, and each of their rules in an example with its date."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.contract import CHANNELS, RESTRICTIONS
from features.errors import SettingsError
from features.settings import zones
from features.units import DAY, parse_instant
from serving.contact_rules.describing import packs_in_words
from serving.contact_rules.packs import RulePack, notes_of_packs, read_pack, rule_packs
from serving.contact_rules.restrictions import FREE
from serving.contact_rules.rules import forbidden
from serving.contact_rules.windows import hours_against, instant_of, window_from
from tests.serving.dialling import Made, contact, dialled
from tests.serving.small import histories_of

SHIPPED = {name: pack for name, pack in rule_packs().items() if name != "unknown"}
SYDNEY, NEW_YORK, SHANGHAI = "Australia/Sydney", "America/New_York", "Asia/Shanghai"

#: Of each rule of hours: the zone, the channel, a moment that it forbids and one nearby that it does not.
HOURS = {
    "default-hours": ("Europe/Berlin", "sms", "2026-03-29T08:59:59+02:00", "2026-03-29T09:00:00+02:00"),
    "us-reg-f-hours": (NEW_YORK, "call", "2026-03-08T21:00:00-04:00", "2026-03-08T20:59:59-04:00"),
    "us-ma-hours": (NEW_YORK, "sms", "2026-11-01T07:59:59-05:00", "2026-11-01T08:00:00-05:00"),
    "cn-gbt-hours": (SHANGHAI, "call", "2026-02-17T22:00:00+08:00", "2026-02-17T21:59:59+08:00"),
    "cn-cba-hours": (SHANGHAI, "call", "2026-02-17T07:59:59+08:00", "2026-02-17T08:00:00+08:00"),
    "in-rbi-hours": ("Asia/Kolkata", "call", "2026-08-15T19:00:00+05:30", "2026-08-15T18:59:59+05:30"),
    "au-workdays": (SYDNEY, "call", "2026-05-04T07:29:59+10:00", "2026-05-04T07:30:00+10:00"),
    "au-weekends": (SYDNEY, "call", "2026-05-02T08:59:59+10:00", "2026-05-02T09:00:00+10:00"),
    # Good Friday, and the day before.
    "au-holidays": (SYDNEY, "email", "2026-04-03T12:00:00+11:00", "2026-04-02T12:00:00+11:00"),
    "au-visits": (SYDNEY, "visit", "2026-05-04T08:59:59+10:00", "2026-05-04T09:00:00+10:00"),
    "uk-hours": ("Europe/London", "call", "2026-03-29T07:59:59+01:00", "2026-03-29T08:00:00+01:00"),
}

#: Of each limit and wait: the zone, the contacts, the moment, the channel that it forbids, and until when.
COUNTERS: dict[str, tuple[str, list[Made], str, str, str]] = {
    "us-reg-f-7-in-7": (
        NEW_YORK, [contact(f"2026-06-{day:02d}T10:00:00-04:00") for day in range(1, 8)],
        "2026-06-07T12:00:00-04:00", "call", "2026-06-08T00:00:00-04:00",
    ),
    "us-reg-f-conversation": (
        NEW_YORK, [contact("2026-06-01T10:00:00-04:00", outcome="promise")],
        "2026-06-01T12:00:00-04:00", "call", "2026-06-08T00:00:00-04:00",
    ),
    "us-ma-2-in-7": (
        NEW_YORK, [contact("2026-06-01T10:00:00-04:00"), contact("2026-06-02T10:00:00-04:00", "sms", "sent")],
        "2026-06-02T12:00:00-04:00", "call", "2026-06-08T10:00:00-04:00",
    ),
    "us-ma-household": (
        NEW_YORK, [contact(f"2026-06-0{day}T10:00:00-04:00", outcome="third_party") for day in (1, 2)],
        "2026-06-02T12:00:00-04:00", "call", "2026-06-08T10:00:00-04:00",
    ),
    "us-ma-visit": (
        NEW_YORK, [contact("2026-06-01T10:00:00-04:00", "visit", "third_party")],
        "2026-06-02T12:00:00-04:00", "visit", "2026-07-01T10:00:00-04:00",
    ),
    "cn-gbt-3-a-day": (
        SHANGHAI, [contact(f"2026-06-01T{hour}:00:00+08:00", outcome="right_party") for hour in (10, 12, 14)],
        "2026-06-01T15:00:00+08:00", "call", "2026-06-02T00:00:00+08:00",
    ),
    "cn-cba-6-a-day": (
        SHANGHAI, [contact(f"2026-06-01T{hour}:00:00+08:00") for hour in range(10, 16)],
        "2026-06-01T15:30:00+08:00", "call", "2026-06-02T00:00:00+08:00",
    ),
    "au-3-a-week": (
        SYDNEY, [contact(f"2026-06-0{day}T10:00:00+10:00", "sms", "delivered") for day in (1, 2, 3)],
        "2026-06-03T12:00:00+10:00", "call", "2026-06-08T00:00:00+10:00",
    ),
    "au-10-a-month": (
        SYDNEY, [contact(f"2026-06-{day:02d}T10:00:00+10:00", outcome="refusal") for day in range(1, 29, 3)],
        "2026-06-30T12:00:00+10:00", "email", "2026-07-02T00:00:00+10:00",
    ),
}  # fmt: skip

#: Of each rule that words a restriction: its kind.
RESTRICTED = {
    "us-reg-f-cease": "do_not_contact",
    "us-reg-f-medium": "channel_opt_out",
    "us-reg-f-dispute": "dispute",
    "uk-breathing-space": "breathing_space",
    "uk-vulnerable": "vulnerable",
    "uk-requests": "do_not_contact",
    "uk-dispute": "dispute",
}


def pack_with(rule: str) -> RulePack:
    return next(pack for pack in SHIPPED.values() if rule in {one.id for one in pack.rules})


def test_the_page_has_the_rules_that_there_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "contact-rules.md").read_text("utf-8")
    assert packs_in_words().rstrip() in page, "put there what `packs_in_words` gives"


def test_the_example_of_a_pack_on_the_page_is_one() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "contact-rules.md").read_text("utf-8")
    assert len(read_pack(page.split("```toml\n")[1].split("```")[0]).rules) == 4


def test_every_rule_has_its_example_and_no_two_have_one_name() -> None:
    names = [rule.id for pack in SHIPPED.values() for rule in pack.rules]
    assert sorted(names) == sorted([*HOURS, *COUNTERS, *RESTRICTED])


@pytest.mark.parametrize("rule", HOURS)
def test_hours(rule: str) -> None:
    zone, channel, forbidden_at, allowed_at = HOURS[rule]
    pack = pack_with(rule)
    assert rule in {one.id for one in hours_against(parse_instant(forbidden_at), zone, pack, channel)}
    assert not hours_against(parse_instant(allowed_at), zone, pack, channel)
    found = window_from(parse_instant(allowed_at), zone, pack, channel)
    assert found.not_before.isoformat() <= allowed_at < found.not_after.isoformat()


@pytest.mark.parametrize("rule", COUNTERS)
def test_counters(rule: str) -> None:
    zone, contacts, as_of, channel, until = COUNTERS[rule]
    one, pack = np.array([0]), pack_with(rule)
    (found,) = forbidden(dialled(contacts, zone, pack.name), one, parse_instant(as_of))
    assert (channel, rule, parse_instant(until)) in {(each.channel, each.rule, each.until) for each in found}
    (fewer,) = forbidden(dialled(contacts[1:], zone, pack.name), one, parse_instant(as_of))
    assert rule not in {each.rule for each in fewer}
    (later,) = forbidden(dialled(contacts, zone, pack.name), one, parse_instant(until))
    assert rule not in {each.rule for each in later}


@pytest.mark.parametrize("rule", RESTRICTED)
def test_restrictions_are_worded_as_the_pack_says(rule: str) -> None:
    kind, pack = RESTRICTED[rule], pack_with(rule)
    opened = pd.Timestamp("2026-01-01", tz="UTC")
    accounts = pd.DataFrame(
        [
            {"account_id": "A", "opened_at": opened, "due_on": None, "balance": 10.0, "segment": "x"}
            | {"utilisation": 0.1, "employment": None, "jurisdiction": pack.name}
        ]
    )
    noted = [{"account_id": "A", "at": "2026-02-01", "kind": kind, "until": "2026-04-02"}]
    tables = {"accounts": accounts, "contacts": pd.DataFrame(), "payments": pd.DataFrame()}
    histories = histories_of(tables | {"restrictions": pd.DataFrame(noted)})
    ((one,),) = forbidden(histories, np.array([0]), parse_instant("2026-03-01"))
    assert (one.channel, one.rule, one.until) == ("", rule, parse_instant("2026-04-02"))
    assert one.words
    assert forbidden(histories, np.array([0]), parse_instant("2026-04-02")) == [[]]


def test_the_packs_are_named_as_their_files_and_all_is_cited() -> None:
    files = {file.name for file in resources.files("serving").joinpath("rule_packs").iterdir()}
    assert {f"{name}.toml" for name in SHIPPED} == files
    for pack in SHIPPED.values():
        assert pack.title
        assert all(rule.words and rule.source for rule in pack.rules)
        assert set(pack.zones) <= zones()
        assert {one.kind for one in pack.restrictions} <= set(RESTRICTIONS)


@pytest.mark.parametrize("name", rule_packs())
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_pack_leaves_some_hours_of_every_week_where_no_zone_is_known(name: str, channel: str) -> None:
    for week in range(3):
        begin = parse_instant("2026-12-24") + 7 * week * DAY
        assert instant_of(window_from(begin, "UTC", rule_packs()[name], channel).not_after) < begin + 7 * DAY


def test_of_a_debtor_of_no_known_zone_the_hours_of_all_zones_must_allow_it() -> None:
    found = window_from(parse_instant("2026-06-01"), "UTC", SHIPPED["us-reg-f"], "call")
    # From 8:00 in Honolulu to 21:00 in New York.
    assert (found.not_before.isoformat(), found.not_after.isoformat()) == (
        "2026-05-31T18:00:00+00:00",
        "2026-06-01T01:00:00+00:00",
    )


def test_the_unknown_pack_has_the_rules_of_all() -> None:
    unknown = rule_packs()["unknown"]
    every = {rule.id for pack in SHIPPED.values() for rule in pack.rules}
    assert {rule.id for rule in unknown.rules} == every - set(RESTRICTED)
    found = window_from(parse_instant("2026-05-04"), "Europe/Berlin", unknown, "call")
    assert (found.not_before.hour, found.not_after.hour) == (9, 19)


def test_the_national_holidays_of_australia_are_listed_and_later_ones_are_missed_aloud() -> None:
    days = {day.isoformat() for day in SHIPPED["au-accc-asic"].holidays}
    assert {"2026-01-01", "2026-01-26", "2026-04-03", "2026-04-06", "2026-04-25", "2026-12-25", "2026-12-28"} <= days
    assert notes_of_packs(["au-accc-asic"], parse_instant("2032-06-01")) == []
    (note,) = notes_of_packs(["au-accc-asic"], parse_instant("2033-06-01"))
    assert "listed up to 2032" in note


GOOD = 'name = "x"\ntitle = ""\nsource = ""\ndated = 2026-01-01\n'
ONE_RULE = '[[hours]]\nid = "h"\nwords = ""\nsource = ""\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "colour = 1\n" + ONE_RULE, "unknown field `colour`"),
        (GOOD + ONE_RULE + "until = 1\n", "unknown field `until`"),
        (GOOD, "missing required field `hours`"),
        (GOOD + ONE_RULE + 'from = "21:00"\nto = "09:00"\n', "hours are times from 00:00 to 24:00"),
        (GOOD + ONE_RULE + 'from = "9:00"\n', "hours are times from 00:00 to 24:00"),
        (GOOD + ONE_RULE + 'to = "24:30"\n', "hours are times from 00:00 to 24:00"),
        (GOOD + ONE_RULE + 'channels = ["phone"]\n', "names channels of sms"),
        (GOOD + ONE_RULE + 'days = ["monday"]\n', "Invalid enum value 'monday'"),
        (GOOD + ONE_RULE + ONE_RULE, "h twice in x"),
        ("name = ", "a rule pack is TOML"),
    ],
)
def test_a_pack_that_is_none_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_pack(text)


def test_hours_may_last_to_the_end_of_the_day() -> None:
    pack = read_pack(GOOD + ONE_RULE + 'from = "22:00"\nto = "24:00"\n')
    found = window_from(parse_instant("2026-03-10T23:59:59+08:00"), SHANGHAI, pack, "call")
    assert (found.not_before.isoformat(), found.not_after.isoformat()) == (
        "2026-03-10T22:00:00+08:00",
        "2026-03-11T00:00:00+08:00",
    )
    whole = read_pack(GOOD + ONE_RULE)
    found = window_from(parse_instant("2026-03-11T00:00:00+08:00"), SHANGHAI, whole, "call")
    assert found.not_before.isoformat() == "2026-03-11T00:00:00+08:00"


def test_nothing_is_counted_under_a_pack_without_limits() -> None:
    many = [contact(f"2026-06-01T10:{minute:02d}:00Z", outcome="promise") for minute in range(30)]
    assert forbidden(dialled(many, SHANGHAI, "default"), np.array([0]), parse_instant("2026-06-02")) == [[]]
    assert parse_instant("1900-01-01") > FREE
