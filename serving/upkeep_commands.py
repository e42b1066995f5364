"""The verb `recoup upkeep`, and the options by which `recoup serve` calls it."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from features import environment
from features.errors import BundleError
from serving import upkeep as upkeeping
from serving.models.pointer import read_pointer

_MINUTE, _HOUR = 60.0, 3600.0
_OPTIONS = (
    click.option(
        "--rollup-minutes", type=click.FloatRange(min=0), default=15.0, show_default=True,
        help="Minutes between two roll-ups of predicted against actual; 0 for never.",
    ),
    click.option(
        "--monitor-hours", type=click.FloatRange(min=0), default=24.0, show_default=True,
        help="Hours between two looks at whether the model drifts, counted from midnight in UTC; 0 for never.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class UpkeepOptions:
    """How often roll-ups are made, and the model is looked at."""

    rollup_minutes: float
    monitor_hours: float

    def arguments(self) -> tuple[str, ...]:
        """The options as they are written."""
        return "--rollup-minutes", str(self.rollup_minutes), "--monitor-hours", str(self.monitor_hours)

    def is_never(self) -> bool:
        """Whether nothing is to be done."""
        return not self.rollup_minutes and not self.monitor_hours


def upkeep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and hand it one `upkeep` in their place."""

    @functools.wraps(command)
    def with_upkeep(rollup_minutes: float, monitor_hours: float, **others: Any) -> Any:
        return command(upkeep=UpkeepOptions(rollup_minutes, monitor_hours), **others)

    return functools.reduce(lambda found, option: option(found), reversed(_OPTIONS), with_upkeep)


@click.command()
@click.option(
    "--store", "url", help="The store's URL; RECOUP_STORE, else the SQLite file in the var folder, by default."
)
@click.option("--model", default="champion", show_default=True, help="An alias or version of the model that is served.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path),
    help="Where the last report on the model is written; monitor.json in the var folder by default.",
)  # fmt: skip
@click.option(
    "--pointer", type=click.Path(dir_okay=False, path_type=Path),
    help="The file that says which model is in service: each has a report of its own then, soon after a promotion.",
)  # fmt: skip
@click.option("--until-input-ends", is_flag=True, help="End when standard input does.")
@upkeep_options
def upkeep(
    url: str | None, model: str, report: Path | None, pointer: Path | None, until_input_ends: bool,
    upkeep: UpkeepOptions,
) -> None:  # fmt: skip
    """Keep predicted against actual and the watch over the model up to date, until Ctrl-C.

    `recoup serve` has one beside it; call it where a service runs without, as a Bento does. It calls `recoup rollup`
    and `recoup monitor`, one at a time and at a low priority. What fails is told in one line, and tried again.
    """
    upkeeping.be_humble()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if until_input_ends:
        upkeeping.stop_at_end(sys.stdin.buffer, stop)
    written = report or environment.var_folder() / "monitor.json"
    written.parent.mkdir(parents=True, exist_ok=True)
    report_of = functools.partial(_report_of, written, pointer)
    watched = upkeeping.recoup("monitor", "--model", model, "--out")
    tasks = (
        upkeeping.Task("The roll-up", upkeeping.recoup("rollup", "--considerate"), upkeep.rollup_minutes * _MINUTE),
        upkeeping.Task("The watch over the model", watched, upkeep.monitor_hours * _HOUR, report_of),
    )
    # In the environment, not on a command line that all can read: a store's URL may hold a password.
    found = {**os.environ, "RECOUP_STORE": url or environment.store_url()}
    upkeeping.keep_up(tasks, functools.partial(click.echo, err=True), lambda: environment.now() / 1e6, stop, found)


def _report_of(written: Path, pointer: Path | None) -> Path:
    """Where the report on the model in service is written: beside `written`, named by its digest where it is known."""
    if pointer is None:
        return written
    try:
        return written.with_stem(f"{written.stem}-{read_pointer(pointer).champion.digest[:16]}")
    except BundleError:
        return written
