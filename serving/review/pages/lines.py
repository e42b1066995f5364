"""Where several lines over time have their points, in the units of an SVG's box; figures need not begin at zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.review.pages.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

#: A point of a line: an instant and a figure.
Point = tuple[int, float]
#: So many points at most have a dot each: more would hide the line.
_DOTS = 60


@dataclass(frozen=True)
class Lines:
    """Axes of time, from `begins` to `ends`, and of figures, from `low` to `high`."""

    begins: int
    ends: int
    low: float
    high: float
    step: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM

    def x(self, at: int) -> float:
        """Where an instant is from the left; one moment alone stands in the middle."""
        span = self.ends - self.begins
        return round(self.left + (self.right - self.left) * ((at - self.begins) / span if span else 0.5), 1)

    def y(self, value: float) -> float:
        """Where a figure is from above."""
        share = (value - self.low) / (self.high - self.low)
        return round(TOP + (self.bottom - TOP) * (1 - min(max(share, 0.0), 1.0)), 1)

    def path(self, points: Iterable[Point]) -> str:
        """A line, as `points` of a polyline has it."""
        return " ".join(f"{self.x(at):g},{self.y(value):g}" for at, value in points)

    def dots(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        """Where the points of a line have their dots; only the last where there are many."""
        return [(self.x(at), self.y(value)) for at, value in (points if len(points) <= _DOTS else points[-1:])]

    @property
    def grid(self) -> list[tuple[float, str]]:
        """The heights of the grid, each with its figure."""
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        count = round((self.high - self.low) / self.step)
        values = [self.low + self.step * number for number in range(count + 1)]
        return [(self.y(value), f"{value:.{digits}f}") for value in values]


def lines(series: Sequence[Sequence[Point]], levels: Sequence[float] = (), from_zero: bool = False) -> Lines:
    """The axes that hold some series, of one point at least, and levels that are drawn across.

    >>> box = lines([[(0, 0.71), (10, 0.78)]], levels=[0.8])
    >>> box.low, box.high, [text for _, text in box.grid]
    (0.7, 0.8, ['0.70', '0.72', '0.74', '0.76', '0.78', '0.80'])
    """
    times = [at for points in series for at, _ in points]
    values = [*(value for points in series for _, value in points), *levels, *((0.0,) if from_zero else ())]
    least, most = min(values), max(values)
    step = _step(most - least or abs(most) or 1.0)
    low, high = math.floor(least / step + 1e-9) * step, math.ceil(most / step - 1e-9) * step
    if high - low < step / 2:
        low, high = low - step * (not from_zero), low + step
    return Lines(min(times), max(times), round(low, 12), round(high, 12), step)


def _step(span: float) -> float:
    """The least of 1, 2, 5, 10 ... times a power of ten that divides a span into five parts at most."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(power * part for part in (1, 2, 5, 10) if power * part >= rough * (1 - 1e-9)))


def spark(values: Sequence[float], top: float, width: int = 96, height: int = 24) -> str:
    """A small line of figures from 0 to `top`, evenly spaced, as `points` of a polyline has it; blank for one alone.

    >>> spark([0.0, 0.2, 0.1], top=0.2)
    '2,22 48,2 94,12'
    """
    if len(values) < 2:
        return ""
    across = (width - 4) / (len(values) - 1)
    points = (
        (2 + across * place, height - 2 - (height - 4) * min(value / top, 1)) for place, value in enumerate(values)
    )
    return " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)
