"""Months, which are numbers like 202610."""

from __future__ import annotations


def shifted(month: int, by: int) -> int:
    """The month so many months later.

    >>> shifted(202612, 1), shifted(202601, -1)
    (202701, 202512)
    """
    count = month // 100 * 12 + month % 100 - 1 + by
    return count // 12 * 100 + count % 12 + 1


def in_words(month: int) -> str:
    """A month as people write it.

    >>> in_words(202610)
    '2026-10'
    """
    return f"{month // 100:04d}-{month % 100:02d}"
