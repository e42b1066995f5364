"""The upkeep of a service: the roll-ups and the watch over the model, brought up to date beside it, one at a time.

Each is a command of its own, in a process that ends when it is done. What does not go well is told in one line, and
tried again next time. The process that calls them is a child of the service's, of low priority: BentoML's supervisor
collects whatever child of its ends, and with it what that child ended with. Where that process ends by itself, the
service starts another.
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
from typing import IO, Literal

from features.errors import NoPortfolioError

#: By how much the priority is lower than that of the workers, as `nice` counts.
NICENESS = 10
#: What did not go well is tried again after so many seconds, or earlier where it is due earlier.
RETRY_SECONDS = 3600.0
#: A command that is told to end is given so many seconds for it.
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.2
#: An upkeep that ended by itself is started again after so many seconds.
_REST_SECONDS = 60.0
_LONGEST_LINE = 400


@dataclass(frozen=True)
class Task:
    """A command that is called every so many seconds.

    With a `report`, which names the file that it writes and that is its last argument, it is called once in each such
    span of time, counted from 1970: once a day is once between two midnights in UTC, however often the service was
    started. Where that becomes another file, that one is due.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    report: Callable[[], Path] | None = None


@dataclass(frozen=True)
class _Outcome:
    """How a call went: well, or it waits for a portfolio, or it did its work and warns, or it failed; and its line."""

    how: Literal["well", "waits", "warns", "failed"] = "well"
    line: str = ""


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
    not_before: dict[tuple[Task, Path | None], float] = {}
    known: dict[Task, _Outcome] = {}
    while not stop.is_set():
        for task in wanted:
            begun, report = now(), None if task.report is None else task.report()
            if begun < not_before.get((task, report), 0.0) or _is_made(task, report, begun):
                continue
            not_before[task, report] = begun + (task.seconds if report is None else min(task.seconds, RETRY_SECONDS))
            line = _call(task.command if report is None else (*task.command, str(report)), stop, environment)
            if stop.is_set():
                return
            before, after = known.get(task, _Outcome()), _outcome(line, _is_made(task, report, begun))
            if after != before:
                say(_told(task, before, after))
            known[task] = after
        stop.wait(_LOOK_SECONDS)


def _is_made(task: Task, report: Path | None, at: float) -> bool:
    """Whether its report was written in the span of time that an instant lies in."""
    try:
        return report is not None and report.stat().st_mtime // task.seconds >= at // task.seconds
    except OSError:
        return False


def _outcome(line: str, is_made: bool) -> _Outcome:
    """How a call went that told a line where it did not end well, and whose report was written all the same."""
    if not line:
        return _Outcome()
    if line == NoPortfolioError.SAYS:
        return _Outcome("waits", line)
    return _Outcome("warns" if is_made else "failed", line)


def _told(task: Task, before: _Outcome, after: _Outcome) -> str:
    if after.how == "waits":
        return f"{task.name} waits: {after.line}."
    if after.how == "well":
        now = {"waits": "found a portfolio", "warns": "has nothing to warn of any more"}
        return f"{task.name} {now.get(before.how, 'works again')}."
    return f"Warning: {'' if after.how == 'warns' else f'{task.name} failed, and is tried again: '}{after.line}"


def _call(command: Sequence[str], stop: threading.Event, environment: Mapping[str, str]) -> str:
    """Run a command to its end, or until told to stop; the last line that it told where it failed, "" where not."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(  # noqa: S603 our own
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, env=dict(environment)
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


def keep_running(arguments: Sequence[str], say: Callable[[str], None], stop: threading.Event) -> None:
    """Start `recoup upkeep`, and again where it ends by itself, as for want of memory; end it when told to stop."""
    while not stop.is_set():
        try:
            child = start(arguments)
        except OSError as error:
            what = f"could not be started ({error})"
        else:
            while child.poll() is None and not stop.wait(_LOOK_SECONDS):
                pass
            end(child)
            what = f"ended by itself (process {child.pid})"
        if not stop.is_set():
            say(f"Warning: the upkeep of the review {what}; it is started again in {_REST_SECONDS:g} seconds.")
            stop.wait(_REST_SECONDS)


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
