"""What tests of contact rules share: histories of some contacts, and a second, plain reading of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features.contract import CHANNELS, REACHED_OUTCOMES
from features.events import NO_POINT, Contacts
from features.histories import Histories, contact_kinds
from features.units import DAY, parse_instant
from serving.contact_rules.packs import Hours, Limit, RulePack
from serving.contact_rules.windows import zones_of
from tests.serving.small import histories_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A contact, known from when it happened unless `known` is later; instants."""

    at: int
    channel: str = "call"
    outcome: str = "no_answer"
    direction: str = "outbound"
    account: int = 0
    known: int = 0


def contact(
    at: str, channel: str = "call", outcome: str = "no_answer", direction: str = "outbound", account: int = 0
) -> Made:
    """A contact at an ISO 8601 time."""
    return Made(parse_instant(at), channel, outcome, direction, account)


@cache
def _accounts(persons: tuple[str | None, ...]) -> Histories:
    opened = pd.Timestamp("2020-01-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "account_id": [f"A{place}" for place in range(len(persons))],
            "person_id": pd.Series(persons, dtype=object),
            "opened_at": opened,
            "due_on": opened,
            "balance": 10.0,
            "segment": "x",
            "timezone": "UTC",
            "jurisdiction": "default",
            "utilisation": 0.1,
            "employment": None,
        }
    )
    return histories_of({"accounts": frame, "contacts": pd.DataFrame(), "payments": pd.DataFrame()})


def dialled(contacts: Sequence[Made], zone: str, pack: str, persons: Sequence[str | None] = (None,)) -> Histories:
    """Histories of accounts of these persons in one zone, under one rule pack, with these contacts."""
    empty = _accounts(tuple(persons))
    kinds = contact_kinds(CHANNELS)
    code = {(kind["channel"], kind["outcome"], kind["direction"]): place for place, kind in enumerate(kinds)}
    rows = sorted(
        (one.account, max(one.known, one.at), one.at, code[one.channel, one.outcome, one.direction], 0, NO_POINT)
        for one in contacts
    )
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    start = np.searchsorted(table[:, 0], np.arange(len(persons) + 1))
    accounts = empty.accounts._replace(
        zone=np.zeros(len(persons), dtype=np.int32), jurisdiction=np.full(len(persons), pack, dtype=object)
    )
    return replace(
        empty, zones=(zone,), accounts=accounts, contacts=Contacts(start, np.ascontiguousarray(table[:, 1:]))
    )


def wall_of(instant: int, zone: str) -> datetime:
    """What the clock on the wall shows."""
    return (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))


def is_counted(limit: Limit, one: Made) -> bool:
    """Whether a limit counts a contact."""
    if limit.channels and one.channel not in limit.channels:
        return False
    if limit.counts == "conversations":
        return one.outcome in REACHED_OUTCOMES
    chosen = {
        "attempts": True,
        "made": one.outcome not in ("no_answer", "wrong_number"),
        "unanswered": one.outcome == "no_answer",
        "third_party": one.outcome == "third_party",
    }
    return one.direction == "outbound" and chosen[limit.counts]


def is_forbidden(limit: Limit, channel: str) -> bool:
    """Whether a limit that is reached forbids a channel."""
    named = limit.forbids or limit.channels
    return not named or named == ("*",) or channel in named


def broken(limit: Limit, before: Sequence[Made], instant: int, zone: str) -> bool:
    """Whether a limit forbids one more contact at an instant, after those before: by the dates on the wall."""
    counted = [one for one in before if is_counted(limit, one) and one.at < instant]
    if limit.rolling:
        recent = [one for one in counted if one.at > instant - limit.days * DAY]
    else:
        today = wall_of(instant, zone).date()
        recent = [one for one in counted if (today - wall_of(one.at, zone).date()).days < limit.days]
    return len(recent) >= limit.maximum


def hours_allow(hours: Hours, wall: datetime, pack: RulePack, channel: str) -> bool:
    """Whether hours allow what the clock on the wall shows."""
    kinds = {"weekend" if wall.weekday() > 4 else "workday"} | ({"holiday"} if wall.date() in pack.holidays else set())
    if (hours.days and not kinds & set(hours.days)) or (hours.channels and channel not in hours.channels):
        return True
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (hours.begin, hours.end))
    return not hours.closed and begin <= wall.hour * 60 + wall.minute < end


def rules_broken(
    pack: RulePack, before: Sequence[Made], instant: int, zone: str, channel: str, account: int, same: set[int]
) -> set[str]:
    """Which hours, limits and waits of a pack forbid a contact of an account; `same` are its person's accounts."""
    found = set()
    for one in zones_of(zone, pack):
        wall = wall_of(instant, one)
        found |= {hours.id for hours in pack.hours if not hours_allow(hours, wall, pack, channel)}
        for limit in pack.counters:
            accounts = same if limit.each == "person" else {account}
            group = [contact for contact in before if contact.account in accounts]
            if is_forbidden(limit, channel) and broken(limit, group, instant, one):
                found.add(limit.id)
    return found
