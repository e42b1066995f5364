"""How a figure is marked that differs, beyond noise, from what it is compared with: where it went, and whether well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Mark:
    """A mark: whether the figure is above what it is compared with, and what that is, as styles name it."""

    rose: bool
    kind: Literal["good", "bad", "neutral"]

    @property
    def sign(self) -> str:
        """The sign before the figure."""
        return "▲" if self.rose else "▼"


def mark(
    value: float | None, par: float | None, is_beyond: bool, better: Literal["more", "less", ""] = "more"
) -> Mark | None:
    """The mark of a figure; None where it is within noise, or nothing is known.

    >>> mark(0.4, 0.3, True), mark(9.0, 7.0, True, better="less"), mark(0.4, 0.3, False)
    (Mark(rose=True, kind='good'), Mark(rose=True, kind='bad'), None)
    """
    if not is_beyond or value is None or par is None:
        return None
    rose = value > par
    if not better:
        return Mark(rose, "neutral")
    return Mark(rose, "good" if rose == (better == "more") else "bad")
