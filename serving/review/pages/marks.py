"""How a figure or a word is marked: its sign, its colour, and what who hears a page is told instead of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serving.languages.language import translatable


@dataclass(frozen=True)
class Mark:
    """A mark: the classes that styles know it by, the sign before what is marked, and what is said for the sign."""

    style: str
    sign: str = ""
    said: str = ""


#: What is said of a figure that is more, or less, than what it is compared with, beyond noise.
_THAN_PREDICTED = (
    translatable("more than predicted, beyond noise:"),
    translatable("less than predicted, beyond noise:"),
)
_THAN_BEFORE = (translatable("rose beyond noise:"), translatable("fell beyond noise:"))
_MOVED, _WATCH, _STABLE = (
    Mark("beyond verdict bad", "▲"),
    Mark("beyond verdict watch", "△"),
    Mark("beyond verdict good", "✓"),
)
#: The marks of words, by the kinds of their columns; of a verdict that is not here, that it is none.
OF_WORDS: Mapping[str, Mapping[Any, Mark]] = {
    "verdict": {"shifted": _MOVED, "watch": _WATCH, "stable": _STABLE},
    "level": {"breach": _MOVED, "warning": _WATCH},
    "held": {True: Mark("verdict", "✓"), False: Mark("beyond verdict bad", "✗")},
}
UNJUDGED = Mark("soft")


def mark(
    value: float | None, par: float | None, is_beyond: bool, better: Literal["more", "less", ""] = "more",
    than: Literal["predicted", "before"] = "predicted",
) -> Mark | None:  # fmt: skip
    """The mark of a figure; None where it is within noise of what it is compared with, or nothing is known.

    >>> mark(0.4, 0.3, True).style, mark(9.0, 7.0, True, better="less", than="before").said, mark(0.4, 0.3, False)
    ('beyond good', 'rose beyond noise:', None)
    """
    if not is_beyond or value is None or par is None:
        return None
    rose = value > par
    kind = ("good" if rose == (better == "more") else "bad") if better else "neutral"
    above, below = _THAN_PREDICTED if than == "predicted" else _THAN_BEFORE
    return Mark(f"beyond {kind}", *(("▲", above) if rose else ("▼", below)))
