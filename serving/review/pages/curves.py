"""Where the curves of predicted against actual have their points, in the units of an SVG's box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The box, and the margins within which curves are drawn.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 340, 52, 24, 14, 46
#: The steps at which an axis of shares may end.
_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Square:
    """Two axes of shares from 0 to `top`, an equal length each."""

    top: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM
    above: int = TOP

    def x(self, share: float) -> float:
        """Where a share is from the left."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * min(share / self.top, 1), 1)

    def y(self, share: float) -> float:
        """Where a share is from above."""
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(share / self.top, 1)), 1)

    def path(self, across: Sequence[float], up: Sequence[float]) -> str:
        """A line through shares, as `points` of a polyline has it."""
        return " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in zip(across, up, strict=True))

    @property
    def grid(self) -> tuple[float, ...]:
        """The shares at which lines are drawn."""
        return tuple(self.top * part / 4 for part in range(5))


def square(shares: Sequence[float]) -> Square:
    """The axes that hold some shares.

    >>> square([0.03, 0.17]).top, square([0.7]).top
    (0.2, 1.0)
    """
    largest = max(shares, default=1.0)
    return Square(next((end for end in _ENDS if largest <= end), 1.0))
