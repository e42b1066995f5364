"""The month that a query names."""

from __future__ import annotations

from features.errors import SettingsError
from serving.review.months import in_words

#: The word for all months in a query.
ALL = "all"


def month_asked(text: str, months: list[int], preferred: list[int]) -> int | None:
    """The month that a query names: None for all, or where there is none; the last preferred one where it is blank.

    Raises:
        SettingsError: no score was rolled up in it.
    """
    if text == ALL:
        return None
    if not text:
        return next(iter((preferred or months)[-1:]), None)
    found = next((month for month in months if in_words(month) == text), None)
    if found is None:
        raise SettingsError(f"a month is one with scores that were rolled up, like 2026-10; got {text[:50]!r}")
    return found
