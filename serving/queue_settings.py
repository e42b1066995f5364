"""What a service does with queues whose request says nothing of it, and the options of `recoup serve` that say so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from serving.exploration import MOST, Exploration

#: The variable in which `recoup serve` tells its workers, as JSON.
VARIABLE = "RECOUP_QUEUES"
_OPTIONS = (
    click.option(
        "--explore", type=click.FloatRange(0, MOST), default=0.0, show_default=True,
        help="The share of every queue that is drawn at random, unless its request says otherwise.",
    ),
    click.option(
        "--explore-channel", "channels", multiple=True, help="A cheap channel that may be drawn; once for each of them."
    ),
    click.option(
        "--log-decisions", is_flag=True, help="Keep what queues of today choose as decisions, to train on."
    ),
)  # fmt: skip


@dataclass(frozen=True)
class QueueSettings:
    """What queues explore, and whether they keep decisions, where their request does not say; by default neither."""

    exploration: Exploration | None = None
    log_decisions: bool = False


def write_queue_settings(settings: QueueSettings) -> str:
    """The settings as JSON."""
    return msgspec.json.encode(settings).decode()


def read_queue_settings(text: str | None) -> QueueSettings:
    """The settings from JSON; the default where there is none."""
    return msgspec.json.decode(text, type=QueueSettings) if text else QueueSettings()


def queue_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and hand it one `queues` in their place."""

    @functools.wraps(command)
    def with_queues(explore: float, channels: tuple[str, ...], log_decisions: bool, **others: Any) -> Any:
        exploration = Exploration(explore, tuple(dict.fromkeys(channels)), "") if explore or channels else None
        return command(queues=QueueSettings(exploration, log_decisions), **others)

    return functools.reduce(lambda found, option: option(found), reversed(_OPTIONS), with_queues)
