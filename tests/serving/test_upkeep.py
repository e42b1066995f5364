"""The upkeep calls what is due, one at a time, tells of a failure once, and ends with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

import recoup
from features.errors import NoPortfolioError
from serving import upkeep
from serving.commands import _as_watched
from serving.models.pointer import POINTER, Placed, Pointer, write_pointer
from serving.upkeep import Task, keep_up
from serving.upkeep_commands import _report_of
from training.bundle import MANIFEST

SECONDS = 60


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)


class Kept:
    """An upkeep in a thread, with a clock of its own and the lines that it said."""

    def __init__(self, *tasks: Task, at: float = 1_000.0, environment: dict[str, str] | None = None) -> None:
        self.at, self.lines, self.stop = at, list[str](), threading.Event()
        arguments = (tasks, self.lines.append, lambda: self.at, self.stop, environment or dict(os.environ))
        self.thread = threading.Thread(target=keep_up, args=arguments, daemon=True)

    def __enter__(self) -> Kept:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


def script(text: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-c", text, *map(str, arguments))


NOTE = (
    "import sys, time; open(sys.argv[1], 'a').write('begun ')\ntime.sleep(0.1)\nopen(sys.argv[1], 'a').write('done ')"
)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_LOOK_SECONDS", 0.01)


def test_each_is_called_when_it_is_due_and_never_two_at_once(tmp_path: Path) -> None:
    noted, never = tmp_path / "noted", tmp_path / "never"

    def calls() -> int:
        return noted.read_text().count("done") if noted.exists() else 0

    often, seldom = Task("One", script(NOTE, noted), 60), Task("Another", script(NOTE, noted), 600)
    with Kept(often, seldom, Task("None", script(NOTE, never), 0)) as kept:
        wait_for(lambda: calls() == 2)
        kept.at += 59
        time.sleep(0.2)
        assert calls() == 2
        kept.at += 2
        wait_for(lambda: calls() == 3)
        kept.at += 560
        wait_for(lambda: calls() == 5)
    assert noted.read_text() == "begun done " * 5
    assert not never.exists()
    assert not kept.lines


def test_a_failure_is_told_once_until_it_is_over(tmp_path: Path) -> None:
    cause = tmp_path / "cause"
    cause.write_text("the store is away")
    text = (
        "import sys; said = open(sys.argv[1]).read(); open(sys.argv[1] + '.calls', 'a').write('.')\n"
        "sys.exit(f'a word\\nrecoup: {said}\\n' if said else 0)"
    )
    calls = tmp_path / "cause.calls"
    with Kept(Task("The roll-up", script(text, cause), 60)) as kept:
        for expected in range(1, 4):
            wait_for(lambda expected=expected: calls.exists() and len(calls.read_text()) == expected)  # type: ignore[misc]
            kept.at += 61
        cause.write_text("")
        wait_for(lambda: len(kept.lines) == 2)
    assert kept.lines == [
        "Warning: The roll-up failed, and is tried again: the store is away",
        "The roll-up works again.",
    ]


def test_a_report_is_written_once_a_day_whoever_starts_the_service(tmp_path: Path) -> None:
    report, calls = tmp_path / "report", tmp_path / "calls"
    day = 86_400.0
    text = (
        "import os, sys; open(sys.argv[1], 'a').write('.')\n"
        "if os.environ.get('WRITES'): open(sys.argv[2], 'w').close(); os.utime(sys.argv[2], (1e6, 1e6))\n"
        "sys.exit('recoup: beyond its limits')"
    )
    task = Task("The watch", script(text, calls), day, lambda: report)
    with Kept(task, at=1e6) as kept:
        wait_for(lambda: len(kept.lines) == 1)
        kept.at += upkeep.RETRY_SECONDS
        wait_for(lambda: calls.read_text() == "..")
    assert kept.lines == ["Warning: The watch failed, and is tried again: beyond its limits"]
    writes = {**os.environ, "WRITES": "yes"}
    with Kept(task, at=1e6, environment=writes) as kept:
        wait_for(lambda: len(kept.lines) == 1)
    assert kept.lines == ["Warning: beyond its limits"]
    with Kept(task, at=1e6, environment=writes) as kept:
        time.sleep(0.2)
        assert calls.read_text() == "..."
        kept.at = (1e6 // day + 1) * day
        wait_for(lambda: calls.read_text() == "....")


def test_another_champion_has_its_report_soon(tmp_path: Path) -> None:
    pointer, written = tmp_path / POINTER, tmp_path / "monitor.json"
    text = (
        "import os, sys; open(sys.argv[1], 'w').close(); os.utime(sys.argv[1], (1e6, 1e6))\n"
        "sys.exit('recoup: beyond its limits' if sys.argv[1].endswith('aaa.json') else 0)"
    )

    def promote(digest: str) -> None:
        write_pointer(Pointer("cards@champion", Placed("cards/3", digest, str(tmp_path))), pointer)

    def reports() -> set[str]:
        return {path.name for path in tmp_path.glob("*.json")} - {POINTER}

    assert _report_of(written, None) == _report_of(written, pointer) == written
    promote("a" * 64)
    task = Task("The watch", script(text), 86_400, partial(_report_of, written, pointer))
    with Kept(task, at=1e6) as kept:
        wait_for(lambda: kept.lines == ["Warning: beyond its limits"])
        assert reports() == {f"monitor-{'a' * 16}.json"}
        promote("b" * 64)
        wait_for(lambda: len(kept.lines) == 2)
        assert reports() == {f"monitor-{'a' * 16}.json", f"monitor-{'b' * 16}.json"}
        promote("a" * 64)
        time.sleep(0.2)
    assert kept.lines[1:] == ["The watch has nothing to warn of any more."]


def test_an_empty_store_is_waited_for_and_no_failure(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text(NoPortfolioError.SAYS)
    text = "import sys; said = open(sys.argv[1]).read(); sys.exit(f'recoup: {said}' if said else 0)"
    with Kept(Task("The roll-up", script(text, said), 60)) as kept:
        wait_for(lambda: len(kept.lines) == 1)
        said.write_text("")
        kept.at += 61
        wait_for(lambda: len(kept.lines) == 2)
    assert kept.lines == [f"The roll-up waits: {NoPortfolioError.SAYS}.", "The roll-up found a portfolio."]


def test_the_roll_up_and_the_watch_wait_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    for arguments in (("rollup", "--store", url), ("monitor", url)):
        assert recoup.main(arguments) == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"recoup: {NoPortfolioError.SAYS}"


def test_an_upkeep_that_was_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    monkeypatch.setenv("RECOUP_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setattr(upkeep, "_REST_SECONDS", 0.1)
    children, lines, stop, start = list[subprocess.Popen[bytes]](), list[str](), threading.Event(), upkeep.start

    def counted(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        children.append(start(arguments))
        return children[-1]

    monkeypatch.setattr(upkeep, "start", counted)
    thread = threading.Thread(target=upkeep.keep_running, args=(["--monitor-hours", "0"], lines.append, stop))
    thread.start()
    try:
        wait_for(lambda: len(children) == 1)
        children[0].kill()
        wait_for(lambda: len(children) == 2)
        wait_for((tmp_path / "store.db").exists)
        assert children[1].poll() is None
    finally:
        stop.set()
        thread.join(SECONDS)
    assert not thread.is_alive()
    assert children[1].returncode == 0
    assert len(children) == 2
    (line,) = lines
    assert f"ended by itself (process {children[0].pid})" in line


def test_what_runs_ends_with_it(tmp_path: Path) -> None:
    begun = tmp_path / "pid"
    text = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} '); time.sleep(600)"
    with Kept(Task("Long", script(text, begun), 60)) as kept:
        wait_for(lambda: begun.exists() and begun.read_text().endswith(" "))
    assert not kept.lines
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_the_command_ends_when_its_starter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be told by the pipe of one that was killed, too. A store without a portfolio is told in one line."""
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    monkeypatch.setenv("RECOUP_STORE", f"sqlite:///{tmp_path}/store.db")
    child = upkeep.start(["--monitor-hours", "0"])
    wait_for((tmp_path / "store.db").exists)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) >= min(upkeep.NICENESS, 19)
    upkeep.end(child)
    assert child.returncode == 0


def test_the_model_that_is_watched_is_the_one_in_service(tmp_path: Path) -> None:
    assert _as_watched("champion", "cards/3") == "cards@champion"
    assert _as_watched("cards@best", "cards/3") == "cards@best"
    assert _as_watched("3", "cards/3") == "cards/3"
    (tmp_path / MANIFEST).touch()
    assert _as_watched(str(tmp_path), "bundle") == str(tmp_path)
