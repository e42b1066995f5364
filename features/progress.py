"""What people see of a command: its answer on stdout; its progress on stderr, and none where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def wide_console(file_width: int = 160) -> Console:
    """Standard output; where it is no terminal, lines are wide enough for tables. Made by an entry point."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else file_width, markup=False, highlight=False)


def bars() -> Progress:
    """Bars that go when the work is done; to be entered by an entry point, and handed down."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def line(progress: Progress, description: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a line of progress; the function it gives is told of steps done, one unless it says how many."""
    task = progress.add_task(description, total=total)
    yield lambda steps=1: progress.advance(task, steps)
    progress.update(task, completed=total)
