"""The report of a benchmark: a table for people, and a JSON file beside the other reports."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from features.files import replacing

REPORTS = Path("var/bench")

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One measured figure, its unit, and what it is held against (`""` where it stands alone)."""

    figure: str
    value: float
    unit: str
    against: str = ""


@dataclass(frozen=True)
class Seconds:
    """What a call cost: CPU seconds of the process, all threads together, and seconds on the wall clock."""

    cpu: float
    wall: float


def measure(call: Callable[[], T], repeats: int = 3) -> tuple[T, Seconds]:
    """Call it `repeats` times; its last result, and the least that it cost, as other work only adds to that."""
    result, cpu, wall = call_once(call)
    for _ in range(repeats - 1):
        result, next_cpu, next_wall = call_once(call)
        cpu, wall = min(cpu, next_cpu), min(wall, next_wall)
    return result, Seconds(cpu, wall)


def call_once(call: Callable[[], T]) -> tuple[T, float, float]:
    """The result of one call, its CPU seconds, and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def write_report(name: str, figures: Sequence[Figure], folder: Path = REPORTS) -> Path:
    """Print the figures as a table and write them to `folder/NAME.json`, a list of objects; its path."""
    table = Table("figure", title=name, title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("against")
    for each in figures:
        table.add_row(each.figure, f"{each.value:,.4g}", each.unit, each.against)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    path = folder / f"{name}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n", encoding="utf-8")
    return path
