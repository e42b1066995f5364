"""Scores and queues for people: their heads as tables in the terminal, and as files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from features.errors import SettingsError
from features.files import replacing
from features.units import format_instant
from serving.capacities import Capacities, written
from serving.queue import NOT_REACHED, Queue
from serving.what_if import Alternative

SUFFIXES = (".parquet", ".csv")
#: Numbers of a head that are not money.
_FORMATS = {"p_pay": "{:.1%}", "rank": "{:,.0f}", "priority": "{:.1f}"}
SCORE_HEAD = ("account_id", "p_pay", "band", "expected_amount", "best_channel", "uplift", "priority", "reasons")
QUEUE_HEAD = (
    "rank",
    "account_id",
    "channel",
    "not_before",
    "not_after",
    "best_hour",
    "p_pay",
    "expected_net",
    "uplift",
    "priority",
    "history",
    "reasons",
)
#: What is told in sentences, which may be broken.
_TOLD = ("history", "reasons", "because")


ADVICE_HEAD = (
    "account_id",
    "stage",
    "balance",
    "advice",
    "evidence",
    "keep",
    "agency",
    "lawyer",
    "write_off",
    "because",
)


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say which form it is to have, with `SettingsError`."""
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"a table is written as .parquet or .csv, got {path}; end its name with one of them")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the form that its name says; nobody ever finds half of it.

    Numbers in CSV are written in full, so that they are read back as the same bits; times as ISO 8601 in UTC.
    """
    check_suffix(path)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            _as_text(frame).to_csv(temporary, index=False)


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    times = frame.select_dtypes("datetimetz").columns
    return frame.assign(
        **{name: frame[name].map(lambda moment: format_instant(moment.value // 1000)) for name in times}
    )


def scores_table(scores: pd.DataFrame, n_shown: int) -> Table:
    """The accounts with the highest priority."""
    head = scores.sort_values(["priority", "account_id"], ascending=[False, True]).head(n_shown)
    return _table(head, SCORE_HEAD, f"The {len(head)} of highest priority of {len(scores):,} live accounts")


def queue_table(queue: Queue, n_shown: int) -> Table:
    """The head of a queue; the window without its date and zone, which the file has."""
    head = queue.rows.head(n_shown)
    clock = {name: head[name].str.slice(11, 16) for name in ("not_before", "not_after", "best_hour")}
    return _table(
        head.assign(**clock),
        QUEUE_HEAD,
        f"The first {len(head)} of {len(queue.rows):,} in the queue; times are debtor-local",
    )


def _table(head: pd.DataFrame, wanted: tuple[str, ...], title: str) -> Table:
    columns = [name for name in wanted if name in head and not head[name].isna().all() and (head[name] != "").any()]
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        number = pd.api.types.is_numeric_dtype(head[name])
        shown.add_column(name, justify="right" if number else "left", no_wrap=name not in _TOLD, overflow="fold")
    for row in head[columns].to_dict("records"):
        shown.add_row(*(_cell(str(name), value) for name, value in row.items()))
    return shown


def _cell(name: str, value: object) -> str:
    if isinstance(value, int | float):
        return "" if math.isnan(value) else _FORMATS.get(name, "{:,.2f}").format(value)
    return str(value)


def advice_table(rows: pd.DataFrame, n_shown: int) -> Table:
    """The head of the advice."""
    return _table(rows.head(n_shown), ADVICE_HEAD, f"The first {min(n_shown, len(rows))} of {len(rows):,}")


def advice_summary(rows: pd.DataFrame, currency: str) -> Table:
    """What is advised of how many accounts, and what it is expected to earn, beside going on with all of them."""
    shown = Table(title=f"Advice, in {currency}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("advice")
    for name in ("accounts", "clear", "owed", "expected recovery", "expected profit", "if kept"):
        shown.add_column(name, justify="right")
    for advice, of in rows.groupby("advice", sort=False):
        best = of[["keep", "agency", "lawyer", "write_off"]].max(axis=1)
        money = (of["balance"], of["expected_recovery"], best, of["keep"])
        figures = ["" if one.isna().all() else f"{one.sum():,.0f}" for one in money]
        shown.add_row(str(advice), f"{len(of):,}", f"{(of['evidence'] == 'clear').sum():,}", *figures)
    return shown


def queue_summary(queue: Queue, capacities: Capacities, as_of: int) -> list[str]:
    """Where every live account ended, and how full each capacity is."""
    counts, used = queue.counts, {**queue.rows["channel"].value_counts(), **queue.used}
    filled = ", ".join(
        f"{name} {written(used.get(name, 0))} of {written(limit)}" for name, limit in capacities.limits.items()
    )
    lines = [
        f"As of {format_instant(as_of)}: {counts['live']:,} live accounts, {counts['queued']:,} in the queue "
        f"({filled}), {counts['held']:,} held back."
    ]
    rest = [f"{counts[name]:,} ({why})" for name, why in NOT_REACHED.items() if counts[name]]
    return [*lines, f"Not reached: {'; '.join(rest)}."] if rest else lines


def prices_text(queue: Queue) -> list[str]:
    """What one more of each capacity would add, a place or a unit of money; nothing where no channel is worked."""
    prices = ", ".join(f"{name} {price:,.2f}" for name, price in queue.prices.items())
    return [f"One more would add: {prices}."] if prices else []


def what_if_table(alternatives: Sequence[Alternative], texts: Sequence[str]) -> Table:
    """What each alternative would bring, under the text by which it was asked for."""
    shown = Table(
        title="With other capacities, rules or costs", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    shown.add_column("what if")
    between = [
        (f"{one.low:+,.0f} to {one.high:+,.0f}", f"{one.day_low:+,.0f} to {one.day_high:+,.0f}")
        for one in alternatives
        if one.low is not None
    ]
    for name in ("adds", "more than the plan", *(("at 95 %, on average", "on one day") if between else ())):
        shown.add_column(name, justify="right")
    for name in ("taken", "one more would add"):
        shown.add_column(name)
    for place, (one, text) in enumerate(zip(alternatives, texts, strict=True)):
        taken = ", ".join(f"{name} {written(some)}" for name, some in {**one.rows, **one.used}.items() if some)
        prices = ", ".join(f"{name} {price:,.2f}" for name, price in one.prices.items())
        value, difference = f"{one.value:,.2f}", f"{one.difference:+,.2f}"
        shown.add_row(text, value, difference, *(between[place] if between else ()), taken, prices)
    return shown
