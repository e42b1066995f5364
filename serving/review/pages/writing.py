"""Moments, money and shares as a page writes them, in a language and a time zone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from features.units import parse_instant
from serving.languages.language import Language
from serving.review.reading import Day, Missing, Month

#: What stands where nothing is known.
UNKNOWN = "–"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Writing:
    """Writes in a language, by the clock of a zone; `now` is the present, an instant: its year goes without saying."""

    language: Language
    zone: ZoneInfo
    now: int

    def local(self, instant: int | str) -> datetime:
        """An instant, or an ISO 8601 time, by the clock here."""
        at = parse_instant(instant) if isinstance(instant, str) else instant
        return (_EPOCH + timedelta(microseconds=at)).astimezone(self.zone)

    def day(self, instant: int | str | None) -> str:
        """The day of a moment."""
        if instant is None:
            return UNKNOWN
        return self.language.day(self.local(instant).date(), self.local(self.now).date())

    def moment(self, instant: int | str | None) -> str:
        """A moment to the minute."""
        return UNKNOWN if instant is None else f"{self.day(instant)} {self.local(instant):%H:%M}"

    def window(self, begins: str, ends: str) -> str:
        """A window of a day, its day where that is not today; both are ISO 8601, in the debtor's own time."""
        first, last = datetime.fromisoformat(begins), datetime.fromisoformat(ends)
        today = self.local(self.now).astimezone(first.tzinfo).date()
        hours = f"{first:%H:%M}–{last:%H:%M}"
        return hours if first.date() == today else f"{self.language.day(first.date(), today)} {hours}"

    def local_moment(self, text: str | None) -> str:
        """A moment that is in the debtor's own time, ISO 8601, to the minute."""
        if text is None:
            return UNKNOWN
        moment = datetime.fromisoformat(text)
        today = self.local(self.now).astimezone(moment.tzinfo).date()
        return f"{self.language.day(moment.date(), today)} {moment:%H:%M}"

    def gain(self, value: float | None) -> str:
        """Money that compares: with decimals unless it is large."""
        return UNKNOWN if value is None or math.isnan(value) else self.language.gain(value)

    def money(self, value: float | None) -> str:
        """Money."""
        return UNKNOWN if value is None or math.isnan(value) else self.language.amount(value)

    def share(self, value: float | None) -> str:
        """A probability or a share, in per cent; with a decimal where it is small.

        >>> from serving.languages.language import ENGLISH
        >>> [Writing(ENGLISH, ZoneInfo("UTC"), 0).share(value) for value in (0.304, 0.034, 0.0)]
        ['30%', '3.4%', '0%']
        """
        if value is None or math.isnan(value):
            return UNKNOWN
        return self.language.share(value) if value >= 0.1 or not value else f"{value * 100:.1f}%"

    def number(self, value: float | None) -> str:
        """A whole number."""
        return UNKNOWN if value is None or math.isnan(value) else self.language.number(value)

    def month(self, number: int) -> str:
        """A month, which is a number like 202610.

        >>> from serving.languages.language import ENGLISH
        >>> Writing(ENGLISH, ZoneInfo("UTC"), 0).month(202610)
        'Oct 2026'
        """
        return self.language.month(date(number // 100, number % 100, 1))

    def ratio(self, value: float | None) -> str:
        """How many times one figure is another, or what a unit costs: to the hundredth, small ones further."""
        if value is None or math.isnan(value):
            return UNKNOWN
        if math.isinf(value):
            return "∞"
        return self.language.gain(value) if abs(value) >= 0.1 or not value else f"{value:#.2g}"

    def missing(self, missing: Missing) -> str:
        """What there is not yet."""
        return self.language.say(missing.template, **{name: self._part(part) for name, part in missing.parts.items()})

    def _part(self, part: str | int | Day | Month) -> str:
        match part:
            case Day():
                return self.day(part.at)
            case Month():
                return self.month(part.number)
            case int():
                return self.number(part)
        return part
