"""The upkeep of a service: the roll-ups and the watch over the model, brought up to date beside it, one at a time.

Each is a command of its own, in a process that ends when it is done. What does not go well is told in one line, and
tried again next time. The process that calls them is a child of the service's, of low priority: BentoML's supervisor
collects whatever child of its ends, and with it what that child ended with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: By how much the priority is lower than that of the workers, as `nice` counts.
NICENESS = 10
#: What did not go well is tried again after so many seconds, or earlier where it is due earlier.
RETRY_SECONDS = 3600.0
#: A command that is told to end is given so many seconds for it.
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_LONGEST_LINE = 400


@dataclass(frozen=True)
class Task:
    """A command that is called every so many seconds.

    With a `report`, the file that it writes, it is called once in each such span of time, counted from 1970: once a day
    is once between two midnights in UTC, however often the service was started.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    report: Path | None = None


def keep_up(
    tasks: Sequence[Task],
    say: Callable[[str], None],
    now: Callable[[], float],
    stop: threading.Event,
    environment: Mapping[str, str],
) -> None:
    """Call each task when it is due, one after the other, until told to stop; one that runs then is ended.

    Args:
        tasks: what to do; those of 0 seconds are never done.
        say: told what a person should hear, a line at a time, the same one once.
        now: the present, in seconds since 1970.
        stop: set when it is over.
        environment: what the commands find in their environment.
    """
    wanted = [task for task in tasks if task.seconds > 0]
    not_before = dict.fromkeys(wanted, 0.0)
    said: dict[Task, str] = {}
    while not stop.is_set():
        for task in wanted:
            begun = now()
            if begun < not_before[task] or _is_made(task, begun):
                continue
            not_before[task] = begun + (task.seconds if task.report is None else min(task.seconds, RETRY_SECONDS))
            line = _call(task, stop, environment)
            if stop.is_set():
                return
            if line != said.get(task, ""):
                say(_told(task, line, _is_made(task, begun)))
            said[task] = line
        stop.wait(_LOOK_SECONDS)


def _is_made(task: Task, at: float) -> bool:
    """Whether its report was written in the span of time that an instant lies in."""
    try:
        return task.report is not None and task.report.stat().st_mtime // task.seconds >= at // task.seconds
    except OSError:
        return False


def _told(task: Task, line: str, is_made: bool) -> str:
    if not line:
        return f"{task.name} works again."
    return f"Warning: {line}" if is_made else f"Warning: {task.name} failed, and is tried again: {line}"


def _call(task: Task, stop: threading.Event, environment: Mapping[str, str]) -> str:
    """Run a command to its end, or until told to stop; the last line that it told where it failed, "" where not."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(  # noqa: S603 our own
            task.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, env=dict(environment)
        )
        try:
            while process.poll() is None and not stop.wait(_LOOK_SECONDS):
                pass
        finally:
            _end(process)
        if process.returncode == 0 or stop.is_set():
            return ""
        told.seek(0)
        lines = told.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), f"it ended with {process.returncode}")
    return last.removeprefix("recoup: ")[:_LONGEST_LINE]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def recoup(*arguments: str) -> tuple[str, ...]:
    """A call of `recoup` by the interpreter that runs this."""
    return (sys.executable, "-m", "recoup", *arguments)


def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `recoup upkeep` as a child: it ends when this process closes its standard input, or is gone.

    Ctrl-C in the terminal reaches the service alone, which then ends it.
    """
    command = recoup("upkeep", "--until-input-ends", *arguments)
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 our own


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child that `start` made; what it does is undone, and taken up again next time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(2 * _END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def stop_at_end(of: IO[bytes], stop: threading.Event) -> None:
    """Set `stop` when a stream ends; waits for it in a thread of its own."""

    def wait() -> None:
        while of.read(1):
            pass
        stop.set()

    threading.Thread(target=wait, daemon=True).start()


def be_humble() -> None:
    """Give way to every process of usual priority; children inherit that."""
    os.nice(NICENESS)
