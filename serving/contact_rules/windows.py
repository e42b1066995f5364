"""Windows: in which hours a channel may be used, in the debtor's time.

Time of day is that of the clock on the debtor's wall, whatever is done to it: where the clock is changed at the very
end of some hours, the narrower reading holds. Of a debtor of whom no zone is known, all zones that she may live in
count: a moment is allowed where it is in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from serving.contact_rules.packs import Hours, RulePack

#: The zone of a debtor of whom none is known, since nobody lives in it.
NO_ZONE = "UTC"
#: Holidays and weekends may follow each other, and a zone may have skipped days; never so many.
_DAYS_AHEAD = 15
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE_DAY = (timedelta(0), timedelta(days=1))


@dataclass(frozen=True)
class Window:
    """When an account may be contacted, `[not_before, not_after)`, debtor-local."""

    not_before: datetime
    not_after: datetime


def zones_of(zone: str, pack: RulePack) -> tuple[str, ...]:
    """The zones that count for a debtor of that zone: it alone, unless it stands for none that is known."""
    return pack.zones if zone == NO_ZONE and pack.zones else (zone,)


def window_from(instant: int, zone: str, pack: RulePack, channel: str) -> Window:
    """The first window of a channel that has not ended at an instant: that of its local day, else of a later one.

    >>> from features.units import parse_instant
    >>> from serving.contact_rules.packs import pack_called
    >>> at_nine = parse_instant("2026-03-01T20:59:00+08:00")
    >>> window = window_from(at_nine, "Asia/Shanghai", pack_called("default"), "call")
    >>> window.not_before.isoformat(), window.not_after.isoformat()
    ('2026-03-01T09:00:00+08:00', '2026-03-01T21:00:00+08:00')
    """
    moment, local, zones = _utc(instant), ZoneInfo(zone), zones_of(zone, pack)
    for _ in range(_DAYS_AHEAD * len(zones)):
        windows = [_next_hours(moment, ZoneInfo(one), pack, channel) for one in zones]
        begin, end = max(first for first, _ in windows), min(last for _, last in windows)
        if begin < end:
            return Window(begin.astimezone(local), end.astimezone(local))
        # Where one zone opens another has closed: all of them must be open at once.
        moment = begin
    raise ValueError(f"the rule pack {pack.name} leaves no hours of contact through {channel} in {', '.join(zones)}")


def first_allowed(instant: int, zone: str, pack: RulePack, channel: str) -> datetime:
    """The first moment from an instant on at which the hours of a channel allow contact, debtor-local."""
    begin = window_from(instant, zone, pack, channel).not_before.astimezone(UTC)
    return max(_utc(instant), begin).astimezone(ZoneInfo(zone))


def hours_against(instant: int, zone: str, pack: RulePack, channel: str) -> list[Hours]:
    """The hours that forbid a channel at an instant, each once; none where it is allowed."""
    moment = _utc(instant)
    found = {}
    for name in zones_of(zone, pack):
        local = ZoneInfo(name)
        day = moment.astimezone(local).date()
        for one in pack.hours_on(day, channel):
            begin, end = _between(one, day, local)
            if not begin <= moment < end:
                found[one.id] = one
    return list(found.values())


def _next_hours(moment: datetime, zone: ZoneInfo, pack: RulePack, channel: str) -> tuple[datetime, datetime]:
    """The first hours of a channel in one zone that have not ended at a moment, in UTC.

    In UTC, because datetimes of one zone are compared by the face of the clock.
    """
    today = moment.astimezone(zone).date()
    for ahead in range(_DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        begin, end = _hours_of(day, zone, pack, channel)
        if begin < end and moment < end:
            return begin, end
    raise ValueError(f"the rule pack {pack.name} leaves no hours of contact through {channel} in {zone}")


@lru_cache(maxsize=16_384)
def _hours_of(day: date, zone: ZoneInfo, pack: RulePack, channel: str) -> tuple[datetime, datetime]:
    """The hours that all rules of a pack leave of a local day, in UTC; where none are left, no more than a begin."""
    hours = [_between(one, day, zone) for one in pack.hours_on(day, channel)] or [_on(day, *_WHOLE_DAY, zone)]
    return max(first for first, _ in hours), min(last for _, last in hours)


def _between(hours: Hours, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Hours on a local day, in UTC; those of a closed day end where they begin."""
    begin, end = _on(day, hours.opens, hours.closes, zone)
    return begin, begin if hours.closed else end


def _on(day: date, opens: timedelta, closes: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
    midnight = datetime.combine(day, time())
    return max(readings(midnight + opens, zone)), min(readings(midnight + closes, zone))


def readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The two instants, in UTC, that a local time may mean: they differ where it is skipped or comes twice."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def instant_of(moment: datetime) -> int:
    """A moment as an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _utc(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)
