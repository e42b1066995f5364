"""A language: its texts, and how it writes numbers, money, shares and days.

A text is an English template; its translation is looked up by it, and English stands where there is none. Numbers and
days are written as the locale has them in CLDR, by Babel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from gettext import NullTranslations
from importlib import resources
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from features.catalog.grammar import Phrase
from features.errors import SettingsError

if TYPE_CHECKING:
    from babel import Locale

#: The languages there are, by their tags (BCP 47), and the locale that each writes as.
LANGUAGES: Mapping[str, str] = {"en": "en_GB", "zh-Hans": "zh_Hans"}
#: Amounts from here on are written without decimals.
_WHOLE_FROM = 100
#: Numbers from here on are written by their order of magnitude.
_UNCOUNTED = 1e15
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


#: What a channel is called; a portfolio's own goes by its name.
CHANNELS: Mapping[str, str] = {
    "sms": "SMS",
    "email": "e-mail",
    "call": "call",
    "letter": "letter",
    "visit": "visit",
    "legal_letter": "legal letter",
}


def translatable(text: str) -> str:
    """The text itself: it marks one that is looked up elsewhere, for whoever gathers the texts there are."""
    return text


@dataclass(frozen=True)
class Language:
    """A language, by its tag; what it needs is read when it is first used."""

    tag: str

    def say(self, template: str, **values: object) -> str:
        """A template in this language, filled in; the parts of a phrase are translated, too."""
        if isinstance(template, Phrase):
            parts = {name: self.gettext(part) for name, part in template.parts.items()}
            return self.gettext(template.template).format(**parts, **values)
        return self.gettext(template).format(**values)

    def counted(self, one: str, many: str, number: int, **values: object) -> str:
        """The template that goes with a number, filled in; `{number}` stands for it."""
        return self.translations.ngettext(one, many, number).format(number=self.number(number), **values)

    def channel(self, name: str) -> str:
        """What a channel is called."""
        return self.gettext(CHANNELS.get(name, name.replace("_", " ")))

    def joined(self, texts: Sequence[str]) -> str:
        """Some texts as one line."""
        return self.gettext("; ").join(texts)

    def listed(self, texts: Sequence[str]) -> str:
        """Some words as a list within a line."""
        return self.gettext(", ").join(texts)

    def gettext(self, text: str) -> str:
        """A text as it stands in the catalogue, not filled in."""
        # The blank one is the key of what the catalogue says of itself.
        return self.translations.gettext(text) if text else ""

    def number(self, value: float) -> str:
        """A whole number.

        >>> ENGLISH.number(1234)
        '1,234'
        """
        return self._decimal(round(value, 0) + 0.0, "#,##0")

    def amount(self, value: float) -> str:
        """Money: whole where it is large or whole anyway.

        >>> ENGLISH.amount(1234.56), ENGLISH.amount(50), ENGLISH.amount(12.3)
        ('1,235', '50', '12.30')
        """
        cents = _cents(value)
        return self._decimal(cents, "#,##0" if abs(cents) >= _WHOLE_FROM or cents == round(cents) else "#,##0.00")

    def gain(self, value: float) -> str:
        """What something adds or is worth, with decimals unless it is large, so that two of them compare.

        >>> ENGLISH.gain(1234.56), ENGLISH.gain(2)
        ('1,235', '2.00')
        """
        cents = _cents(value)
        return self._decimal(cents, "#,##0" if abs(cents) >= _WHOLE_FROM else "#,##0.00")

    def share(self, value: float) -> str:
        """A share, in whole per cent.

        >>> ENGLISH.share(0.3)
        '30%'
        """
        return self._decimal(value, "#,##0%")

    def day(self, day: date, today: date) -> str:
        """A day, with its year where that is not the one of today.

        >>> today = date(2026, 6, 1)
        >>> ENGLISH.day(date(2026, 5, 3), today), ENGLISH.day(date(2025, 5, 3), today)
        ('3 May', '3 May 2025')
        """
        return _day_written(self.tag, "MMMd" if day.year == today.year else "yMMMd", day)

    def month(self, day: date) -> str:
        """The month of a day, with its year.

        >>> ENGLISH.month(date(2026, 5, 3))
        'May 2026'
        """
        return _day_written(self.tag, "yMMM", day)

    @cached_property
    def translations(self) -> NullTranslations:
        """The catalogue of texts, as gettext and the templates of pages take it."""
        if self.tag == ENGLISH.tag:
            return NullTranslations()
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po
        from babel.support import Translations

        compiled = BytesIO()
        with catalogue_file(self.tag).open("rb") as file:
            write_mo(compiled, read_po(file, locale=LANGUAGES[self.tag]))
        compiled.seek(0)
        return Translations(compiled)

    def _decimal(self, value: float, pattern: str) -> str:
        # What nobody counts, or is infinite: a request may hold any number.
        return _number_written(self.tag, pattern, value) if abs(value) < _UNCOUNTED else f"{value:g}"


def _cents(value: float) -> float:
    """A value to the hundredth; never a zero with a sign."""
    return round(value, 2) + 0.0


#: What is read where nothing else is asked for.
ENGLISH = Language("en")


def language_called(tag: str) -> Language:
    """The language of a tag.

    Raises:
        SettingsError: there is none.
    """
    if tag not in LANGUAGES:
        raise SettingsError(f"a language is one of {', '.join(LANGUAGES)}; got {tag[:50]!r}")
    return _language(tag)


@lru_cache(maxsize=len(LANGUAGES))
def _language(tag: str) -> Language:
    """One of each, so that its catalogue is read once."""
    return Language(tag) if tag != ENGLISH.tag else ENGLISH


def catalogue_file(tag: str) -> Any:
    """The file with the texts of a language other than English."""
    return resources.files("serving.languages").joinpath(f"{LANGUAGES[tag]}.po")


@lru_cache(maxsize=65_536)
def local_day(instant: int, zone: str) -> date:
    """The day of an instant by the clock of a time zone."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).date()


@lru_cache(maxsize=len(LANGUAGES))
def _locale(tag: str) -> Locale:
    """How a language writes numbers and days."""
    from babel import Locale

    return Locale.parse(LANGUAGES[tag])


# Remembered, since many lines name the same few numbers and days.
@lru_cache(maxsize=65_536)
def _number_written(tag: str, pattern: str, value: float) -> str:
    from babel.numbers import format_decimal

    return format_decimal(value, pattern, locale=_locale(tag))


@lru_cache(maxsize=4_096)
def _day_written(tag: str, skeleton: str, day: date) -> str:
    from babel.dates import format_skeleton

    return format_skeleton(skeleton, day, locale=_locale(tag))
