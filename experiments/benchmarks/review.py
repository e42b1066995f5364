"""The roll-up of a large ledger, and how long the tables of the review take after it.

A store of SQLite is filled with scores of a book, day after day, some of them one by one, some of a challenger, and
with what followed. All is rolled up. Each table is then read, and the band table is held against one query over the raw
ledger.

`--rows` says how many rows the ledger has, `--accounts` how many accounts; `--folder` where the store is put.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sql
from rich.progress import Progress

from experiments.benchmarks._band_table import band_table
from experiments.benchmarks._report import Figure, call_once, measure, write_report
from features.contract import CHANNELS
from features.progress import bars
from features.settings import ChannelSettings, PortfolioSettings
from features.units import DAY, parse_instant
from serving.review.exporting import TABLES
from serving.review.reading import BY, Where
from serving.review.rollup import OnStep, progress_of, roll_up
from serving.review.statements import SETTLING
from serving.review.tables import against_actual
from serving.store.database import Store, open_store
from serving.store.ledger import settings_row

SETTINGS = PortfolioSettings(
    "bench", timezone="Asia/Shanghai", channels=tuple(ChannelSettings(name, 1.0) for name in CHANNELS)
)
START = parse_instant("2026-01-01")
#: Of twenty days' scores so many are a challenger's, and one is asked for one by one.
_OF_CHALLENGER, _EVERY = 2, 20

_NUMBER = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {}) "
#: A number from 0 to 1 at random.
_U = "(abs(random() % 1000000007) / 1000000007.0)"
_ID = "printf('A%07d', {})"
_ACCOUNTS = f"""INSERT INTO accounts (account_id, opened_at, due_on, balance, segment, placed_at, person_id, portfolio,
    arrival)
{_NUMBER.format(":accounts")}
SELECT {_ID.format("i")}, {START} - 200 * {DAY}, {START} - CAST({_U} * 150 AS INTEGER) * {DAY},
    CAST({_U} * 50000000 AS INTEGER), CASE i % 3 WHEN 0 THEN 'card' WHEN 1 THEN 'loan' ELSE 'telecom' END,
    {START} - CAST({_U} * 180 AS INTEGER) * {DAY}, 'P' || (i / 2), CASE i % 2 WHEN 0 THEN 'east' ELSE 'west' END, 1
FROM n"""
_EVENT = f"""{_NUMBER.format(":rows")}
SELECT {_ID.format(f"CAST({_U} * :accounts AS INTEGER)")} AS account_id,
    {START} + CAST({_U} * :days * {DAY} AS INTEGER) AS at"""
_RECORDED = f"CASE WHEN {_U} < 0.3 THEN {START} + CAST({_U} * :days * {DAY} AS INTEGER) END"
_EVENTS = {
    "contacts": (
        40,
        f"""INSERT INTO contacts (account_id, at, channel, outcome, agent, recorded_at, arrival, row_key) {_EVENT},
    CASE WHEN {_U} < 0.5 THEN 'call' WHEN {_U} < 0.9 THEN 'sms' ELSE 'visit' END,
    CASE WHEN {_U} < 0.2 THEN 'right_party' ELSE 'no_answer' END, 'agent ' || CAST({_U} * 30 AS INTEGER), NULL, 1,
    CAST(printf('%09d', i) AS BLOB) FROM n""",
    ),
    "payments": (
        6,
        f"""INSERT INTO payments (account_id, at, amount, recorded_at, arrival, row_key) {_EVENT},
    CAST({_U} * 3000000 AS INTEGER) + 1, {_RECORDED}, 1, CAST(printf('%09d', i) AS BLOB) FROM n""",
    ),
    "promises": (
        2,
        f"""INSERT INTO promises (account_id, made_at, due_on, amount, arrival, row_key)
    SELECT account_id, at, at + 10 * {DAY}, 1000000, 1, row_key FROM (
        {_EVENT}, CAST(printf('%09d', i) AS BLOB) AS row_key FROM n)""",
    ),
}
_ANSWER = """INSERT INTO answers (request_id, purpose, scored_at, as_of, model, bundle_sha256, role, source,
    settings_digest, actions, arrival) VALUES ('r', :purpose, :as_of, :as_of, :model, '0', :role, 'store', :digest,
    'sms,call,none', 1) RETURNING answer_id"""
_SINGLE_ANSWERS = f"""INSERT INTO answers (request_id, purpose, scored_at, as_of, model, bundle_sha256, role, source,
    settings_digest, actions, arrival) {_NUMBER.format(":accounts")}
    SELECT 'r', 'account', :as_of + i, :as_of + i, 'bench/1', '0', 'champion', 'store', :digest, 'sms,call,none', 1
    FROM n"""
#: Not drawn: SQLite would draw anew wherever the figure is used.
_U1, _U2 = "(rowid * 7919 + :day * 104729) % 997 / 997.0", "(rowid * 6007 + :day * 3571) % 991 / 991.0"
_P = f"({_U1} * {_U2} * 0.6)"
_SCORES = f"""INSERT INTO scores (answer_id, position, account_id, features_digest, p_pay, expected_amount,
    best_channel, uplift, priority, band, balance, commission_rate, p_by_action, value_by_action, blocked, rules, rank,
    channel, propensity, explored)
SELECT {{answer}}, {{position}}, account_id, zeroblob(16), p, p * 900, 'call', 1.5, 50.0,
    substr('JIHGFEDCBA', 1 + min(9, CAST(p * 40 AS INTEGER)), 1), balance / 10000.0, 0.2, zeroblob(24), zeroblob(24), 0,
    'default', rowid, 'call', 0.95, rowid % 20 = 0
FROM (SELECT rowid, account_id, balance, {_P} AS p FROM accounts)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, roll up, read, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, bars() as progress:
        store = open_store(f"sqlite:///{folder}/store.db")
        try:
            figures = _run(store, options.rows // options.accounts, options.accounts, progress)
        finally:
            store.close()
    write_report("review", figures)
    return 0


def _run(store: Store, days: int, accounts: int, progress: Progress) -> list[Figure]:
    rows = days * accounts
    _fill(store, days, accounts, progress)
    now = START + (days + 60) * DAY
    done, cpu, wall = call_once(lambda: roll_up(store, SETTINGS, now, on_step=_telling(progress)))
    again, _, idle = call_once(lambda: roll_up(store, SETTINGS, now))
    figures = [
        Figure("rows of the ledger", rows, "rows"),
        Figure("observations", done.observed, "rows"),
        Figure("outcomes matured", done.matured, "rows"),
        Figure("roll-up", rows / wall, "rows a second", "100,000"),
        Figure("roll-up, by CPU time", rows / cpu, "rows a CPU second"),
        Figure("roll-up, all of it", wall, "s"),
        Figure("roll-up with nothing new", idle, "s"),
        Figure("done again", sum(vars(again).values()), "rows", "0"),
    ]
    for by in BY:
        _, seconds = measure(lambda by=by: against_actual(store, by, Where()))  # type: ignore[misc]
        figures.append(Figure(f"all months by {by}", seconds.wall * 1000, "ms", "300"))
    for name, make in TABLES.items():
        if not name.startswith("by_"):
            _, seconds = measure(lambda make=make: make(store, 202603))  # type: ignore[misc]
            figures.append(Figure(name.replace("_", " "), seconds.wall * 1000, "ms", "300"))
    return [*figures, *_compared(store)]


def _compared(store: Store) -> list[Figure]:
    """The largest difference of a figure from that of a query over the raw ledger, as a share of it."""
    with store.reading() as connection:
        reached = progress_of(connection)
    assert reached is not None  # noqa: S101 it was rolled up
    horizon = SETTINGS.horizon_days * DAY
    begin = time.perf_counter()
    raw = band_table(store, "champion", 8, horizon, SETTLING, reached.known_until)
    seconds = time.perf_counter() - begin
    ours = against_actual(store, "band", Where()).rows
    largest = 0.0
    for name in raw.columns[1:]:
        first, second = ours[name].to_numpy(np.float64), raw[name].to_numpy(np.float64)
        largest = max(largest, float(np.max(np.abs(first - second) / np.maximum(np.abs(second), 1e-9))))
    return [
        Figure("accounts in the band table", int(ours["accounts"].sum()), "accounts"),
        Figure("largest difference from a query over the raw ledger", largest, "share", "0.000001"),
        Figure("that query", seconds, "s"),
    ]


def _fill(store: Store, days: int, accounts: int, progress: Progress) -> None:
    """The book, its events, and a score of every account on each day."""
    digest, content = settings_row(SETTINGS)
    task = progress.add_task("Filling", total=days)
    with store.writing() as connection:

        def run(statement: str, **values: object) -> sql.CursorResult[tuple[object, ...]]:
            return connection.execute(sql.text(statement), values)

        connection.exec_driver_sql("DROP INDEX ix_scores_account_id")
        run("INSERT INTO settings_used (digest, content) VALUES (:digest, :content)", digest=digest, content=content)
        run("INSERT INTO arrivals (arrival, received_at, erased) VALUES (1, 0, 0)")
        run(_ACCOUNTS, accounts=accounts)
        run("INSERT INTO changes (account_id, arrival) SELECT account_id, 1 FROM accounts")
        for per_account, statement in _EVENTS.values():
            run(statement, rows=per_account * accounts, accounts=accounts, days=days + 45)
        for day in range(days):
            as_of, place = START + day * DAY, day % _EVERY
            if place == _OF_CHALLENGER:
                first = run("SELECT coalesce(max(answer_id), 0) + 1 FROM answers").scalar_one()
                run(_SINGLE_ANSWERS, accounts=accounts, as_of=as_of, digest=digest)
                run(_SCORES.format(answer=f"{first} + rowid - 1", position=0), day=day)
            else:
                role = "challenger" if place < _OF_CHALLENGER else "champion"
                model = "bench/2" if role == "challenger" else "bench/1"
                values = {"purpose": "queue", "as_of": as_of, "model": model, "role": role, "digest": digest}
                answer_id = run(_ANSWER, **values).scalar_one()
                run(_SCORES.format(answer=answer_id, position="rowid - 1"), day=day)
            progress.advance(task)
        connection.exec_driver_sql("CREATE INDEX ix_scores_account_id ON scores (account_id)")


def _telling(progress: Progress) -> OnStep:
    tasks: dict[str, Callable[[int], None]] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            task = progress.add_task(what, total=total)
            tasks[what] = lambda done: progress.update(task, completed=done)
        tasks[what](done)

    return tell


if __name__ == "__main__":
    sys.exit(main())
