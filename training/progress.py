"""Lines of progress, on whatever bar the entry point gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress


@contextmanager
def line(progress: Progress, description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a line of progress; the function it gives is called after each of `total` steps."""
    task = progress.add_task(description, total=total)
    yield lambda: progress.advance(task)
    progress.update(task, completed=total)
