"""Where a line chart has its points: figures over time, in the units of an SVG's box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The box, and the margins within which the line is drawn.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 200, 48, 16, 12, 28


@dataclass(frozen=True)
class Chart:
    """A line through points `(x, y)`, the heights of its grid `(y, value)`, and the ends of its time."""

    points: tuple[tuple[float, float], ...]
    grid: tuple[tuple[float, float], ...]
    begins: int
    ends: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM

    @property
    def path(self) -> str:
        """The line, as `points` of a polyline has it."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


def line_chart(times: Sequence[int], values: Sequence[float]) -> Chart:
    """The chart of values of at least 0, `(n,)`, at ascending instants, `(n,)`, n at least 1.

    >>> chart = line_chart([0, 10], [0.1, 0.2])
    >>> chart.points, chart.grid[-1]
    (((48.0, 92.0), (624.0, 12.0)), (12.0, 0.2))
    """
    top = rounded_up(max(values))
    span, height = max(times[-1] - times[0], 1), HEIGHT - TOP - BOTTOM
    # One moment alone stands in the middle.
    alone = (LEFT + WIDTH - RIGHT) / 2
    points = tuple(
        (round(LEFT + (WIDTH - LEFT - RIGHT) * (at - times[0]) / span, 1) if len(times) > 1 else alone,
         round(TOP + height * (1 - value / top), 1))
        for at, value in zip(times, values, strict=True)
    )  # fmt: skip
    grid = tuple((round(TOP + height * (1 - part / 2), 1), top * part / 2) for part in range(3))
    return Chart(points, grid, times[0], times[-1])


def rounded_up(value: float) -> float:
    """The end of an axis: the next of 0.01, 0.02, 0.05, 0.1, ... 1; a larger value itself."""
    return next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if value <= step), max(1.0, value))
