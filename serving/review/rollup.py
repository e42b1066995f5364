"""The roll-up: from every score given to what was predicted of whom, what followed, and the sums that pages read.

    roll_up(store, settings, now) -> RolledUp

An *observation* is the first score of an account in a calendar month (the portfolio's), in each role, of time that its
model has not learned from: windows hardly overlap then, and money adds up. It stays open until its window and a while
for late recordings are over, and the store holds rows from after that; then what followed is looked for, among the rows
known by then. In PostgreSQL one whose time has come when its score is read is written with what followed at once.

Observations are a function of the ledger and the histories alone. Scores are read once, in the order of the ledger; the
place reached is kept in the same transaction as what was made of them. A row that arrives late reopens the outcomes
that it may change, and an account that comes into the store late gets the observations that it would have had. Sums of
a month are made anew, as a whole, where one of its observations changed. So an interruption or a second process at the
same time loses and doubles nothing, and a rebuild comes to the same numbers.

Of an erased person the open observations go; the others stay under the ledger's token, since the rows that they were
made of are gone. A rebuild keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sql

from features.contract import END_YEAR, FIRST_YEAR
from features.errors import StoreError
from features.settings import PortfolioSettings
from features.units import DAY, MONEY_SCALE, SECOND
from serving.review import statements
from serving.review.months import shifted
from serving.store.database import Store
from serving.store.events import last_arrival
from serving.store.inserting import is_sqlite
from serving.store.ledger import ERASING, settings_used
from serving.store.rollups import (
    calendar_months,
    cells,
    channel_costs,
    collections,
    payment_terms,
    placements,
    residuals,
    rollup_progress,
    score_terms,
    stage_moves,
    swaps,
)

#: In PostgreSQL who rolls up holds this lock until its transaction ends. SQLite has one writer anyway.
_TURN = 7326004
#: Sums of a month are made beside those who write, and again where observations changed meanwhile; after so many times
#: others wait for them.
_TRIES = 3


@dataclass(frozen=True)
class Pace:
    """How many rows of the ledger, and observations, a transaction takes on, while others wait that write.

    After each it rests for `rest` times as long as it took.
    """

    span_rows: int = 50_000
    ripe_rows: int = 5_000
    rest: float = 0.0


#: As fast as can be. In PostgreSQL only who erases a person waits for it, and of more rows at once more are no news.
FAST = Pace()
FAST_IN_POSTGRESQL = Pace(100_000, 20_000)
#: Beside a service: others hardly wait for it.
CONSIDERATE = Pace(1_000, 125, 3.0)

#: Told what is being done, how much of it is done, and of how much.
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PaymentTerms:
    """What counts as a payment within the horizon: a net amount above both, in the main unit and of the balance.

    The model has learned from what was known before `learned_until`, an instant; 0 where that is not known.
    """

    above_amount: float = 0.0
    above_share: float = 0.0
    learned_until: int = 0


#: Any net payment above zero, by a model that learned nobody knows until when.
ANY_PAYMENT = PaymentTerms()
#: Says what the bundle with a sha256 counts as a payment, and until when it learned.
PaymentOf = Callable[[str], PaymentTerms]


@dataclass(frozen=True)
class RolledUp:
    """What a roll-up did: scores read, observations made of them, outcomes found, months summed anew.

    `learned` is how many answers of the whole ledger are of time that their model had learned from.
    """

    scores: int
    observed: int
    matured: int
    months: int
    learned: int = 0


def _silent(what: str, done: int, total: int) -> None:
    pass


def roll_up(
    store: Store,
    settings: PortfolioSettings,
    now: int,
    *,
    rebuild: bool = False,
    payment_of: PaymentOf = lambda _: ANY_PAYMENT,
    on_step: OnStep = _silent,
    pace: Pace | None = None,
) -> RolledUp:
    """Bring the roll-ups up to date with the ledger and the histories; what was stopped goes on.

    Args:
        store: the store.
        settings: the portfolio's; months are those of its time zone.
        now: the present; rows known after it are not looked at.
        rebuild: whether to begin anew, from the first row of the ledger.
        payment_of: says what a bundle counts as a payment, and until when it learned; asked once for each bundle, and
            once more by a rebuild.
        on_step: told of progress.
        pace: how long others wait for it; as fast as can be where nothing is said.

    Raises:
        StoreError: the store cannot be read or written, or was rolled up in another time zone.
    """
    pace = pace or (FAST if store.is_sqlite else FAST_IN_POSTGRESQL)
    _prepare(store, settings, rebuild)
    final = _ledger_end(store)
    _note_payment_terms(store, final, payment_of)
    _take_on_late_rows(store, now)
    scores, observed, matured = _observe(store, final, pace, on_step)
    matured += _mature(store, pace, on_step)
    months = _sum_up(store, on_step)
    _sum_up_collections(store)
    with _turn(store) as (connection, _):
        # Another may have begun later, and ended before.
        rolled_at, rolled_to = last_rolled(connection)
        _advance(connection, rolled_at=max(now, rolled_at or now), rolled_to=max(final, rolled_to or 0))
    with store.reading() as connection:
        learned = connection.execute(sql.text(statements.COUNT_LEARNED)).scalar_one()
    return RolledUp(scores, observed, matured, months, learned)


@dataclass(frozen=True)
class Progress:
    """How far a store is rolled up: the last score read, the last batch of histories, and when outcomes are known.

    When that was is none of it: two that are the same stand for the same observations.
    """

    answer_id: int
    position: int
    arrival: int
    known_until: int
    timezone: str
    collected_arrival: int
    collected_until: int
    changes: int


def progress_of(connection: sql.Connection) -> Progress | None:
    """How far the roll-up is; None where none was made yet."""
    columns = [rollup_progress.c[name] for name in Progress.__dataclass_fields__]
    row = connection.execute(sql.select(*columns)).one_or_none()
    return None if row is None else Progress(*row)


def last_rolled(connection: sql.Connection) -> tuple[int | None, int | None]:
    """The moment of the last roll-up that came to its end, and the last answer that it read; None if not known."""
    query = sql.select(rollup_progress.c.rolled_at, rollup_progress.c.rolled_to)
    row = connection.execute(query).one_or_none()
    return (None, None) if row is None else (row.rolled_at, row.rolled_to)


@contextmanager
def _turn(store: Store, rest: float = 0.0) -> Iterator[tuple[sql.Connection, Progress]]:
    """A transaction that no other roll-up and no erasure runs beside, and how far things are in it; then the rest."""
    with store.writing() as connection:
        _take_turn(connection)
        begun = time.monotonic()
        progress = progress_of(connection)
        assert progress is not None  # noqa: S101 it was prepared
        yield connection, progress
    if rest:
        time.sleep(rest * (time.monotonic() - begun))


def _take_turn(connection: sql.Connection) -> None:
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({ERASING})")
        # A statement of so many parts would be compiled each time, for longer than it runs.
        connection.exec_driver_sql("SET LOCAL jit = off")
        # What is joined of many rows fits into it.
        connection.exec_driver_sql("SET LOCAL work_mem = '64MB'")
        # How many rows a statement takes on is known before it is planned.
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")


def _advance(connection: sql.Connection, **values: int) -> None:
    connection.execute(sql.update(rollup_progress).values(**values))


def note_change(connection: sql.Connection) -> None:
    """Note that observations change in this transaction: sums that are being made of them are not kept."""
    connection.execute(sql.update(rollup_progress).values(changes=rollup_progress.c.changes + 1))


def _execute(connection: sql.Connection, statement: str, values: Mapping[str, Any] | None = None) -> int:
    """Run a statement; how many rows it concerned."""
    return connection.execute(sql.text(statement), values or {}).rowcount


# ------------------------------------------------------------------------------- where it begins


def _prepare(store: Store, settings: PortfolioSettings, rebuild: bool) -> None:
    """Make the first row of progress and the months; with `rebuild`, begin anew."""
    with store.writing() as connection:
        _take_turn(connection)
        progress = progress_of(connection)
        if progress is not None and not rebuild:
            if progress.timezone != settings.timezone:
                raise StoreError(
                    f"the store is rolled up by months of {progress.timezone}, the portfolio's are of "
                    f"{settings.timezone}; call recoup rollup --rebuild"
                )
            return
        if progress is None or progress.timezone != settings.timezone:
            connection.execute(sql.delete(calendar_months))
            connection.execute(sql.insert(calendar_months), _months(settings.timezone))
        _execute(connection, statements.MARK_SUMMED)
        _execute(connection, statements.FORGET_OBSERVATIONS)
        _execute(connection, statements.MARK_KEPT)
        # Sums are those of the last one until they are made anew.
        rolled_at, rolled_to = last_rolled(connection)
        connection.execute(sql.delete(rollup_progress))
        first = {"number": 1, "timezone": settings.timezone, "answer_id": 0, "position": -1, "arrival": 0}
        known = (
            {"known_until": progress.known_until, "changes": progress.changes + 1} if progress else {"known_until": 0}
        )
        collected = {"collected_arrival": 0, "collected_until": 0, "rolled_at": rolled_at, "rolled_to": rolled_to}
        connection.execute(sql.insert(rollup_progress), first | known | collected)


def _months(timezone: str) -> list[dict[str, object]]:
    """When each month begins in a time zone, of all years that a portfolio may hold."""
    zone = ZoneInfo(timezone)
    return [
        {
            "start": int(datetime(year, month, 1, tzinfo=zone).timestamp()) * SECOND,
            "month": year * 100 + month,
            "stale": False,
        }
        for year in range(FIRST_YEAR - 1, END_YEAR + 1)
        for month in range(1, 13)
    ]


def _ledger_end(store: Store) -> int:
    """The last answer before which every one is committed or never will be; 0 where there is none."""
    with store.writing() as connection:
        if not is_sqlite(connection):
            # First the turn: whoever waits for the next lock behind a roll-up has every answer wait behind it.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
            # Who writes an answer shares this lock from before its number is drawn until it is committed.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ERASING})")
        final = connection.execute(sql.text("SELECT max(answer_id) FROM answers")).scalar_one()
        _note_terms(connection)
    return int(final or 0)


def _note_terms(connection: sql.Connection) -> None:
    """Note the horizon and the costs of settings that are new in the ledger."""
    new = sql.select(settings_used).where(settings_used.c.digest.not_in(sql.select(score_terms.c.digest)))
    for digest, content in connection.execute(new).all():
        given = msgspec.json.decode(content, type=PortfolioSettings)
        values = {"digest": digest, "horizon": given.horizon_days * DAY}
        connection.execute(sql.insert(score_terms), values)
        costs = [
            {"digest": digest, "channel": channel.name, "cost": round(channel.cost * MONEY_SCALE)}
            for channel in given.channels
        ]
        if costs:
            connection.execute(sql.insert(channel_costs), costs)


def _note_payment_terms(store: Store, final: int, payment_of: PaymentOf) -> None:
    """Ask for the terms of bundles that come up in the ledger after the place reached, and note them once."""
    with store.reading() as connection:
        progress = progress_of(connection)
        span = {"answer_id": progress.answer_id if progress else 0, "final": final}
        come_up = set(connection.execute(sql.text(statements.BUNDLES), span).scalars())
        if span["answer_id"]:
            come_up -= set(connection.execute(sql.select(payment_terms.c.bundle_sha256)).scalars())
    rows = [
        {
            "bundle_sha256": bundle_sha256,
            "above_amount": round(terms.above_amount * MONEY_SCALE),
            "above_share": terms.above_share,
            "learned_until": terms.learned_until,
        }
        for bundle_sha256 in sorted(come_up)
        for terms in (payment_of(bundle_sha256),)
    ]
    if rows:
        with _turn(store) as (connection, _):
            connection.execute(sql.delete(payment_terms).where(payment_terms.c.bundle_sha256.in_(come_up)))
            connection.execute(sql.insert(payment_terms), rows)


# ------------------------------------------------------------------------------- what came in since


def _take_on_late_rows(store: Store, now: int) -> None:
    """Note up to when outcomes are known; reopen those that new rows may change; observe accounts that are new."""
    with store.reading() as connection:
        # What is looked for in many rows is looked for while nobody waits.
        latest = connection.execute(sql.text(statements.LAST_KNOWN), {"now": now}).scalar_one()
        before, arrival = progress_of(connection), last_arrival(connection)
        assert before is not None  # noqa: S101 it was prepared
        since = {"arrival": before.arrival, "last_arrival": arrival}
        is_news = arrival > before.arrival and before.answer_id > 0
        late = connection.execute(sql.text(statements.LATE), since).scalars().all() if is_news else []
    with _turn(store) as (connection, progress):
        if is_news:
            place = {"answer_id": progress.answer_id, "position": progress.position}
            if _execute(connection, statements.OBSERVE_NEWCOMERS, since | place):
                _execute(connection, statements.MARK_KEPT)
                note_change(connection)
            if late:
                connection.execute(sql.text(statements.REOPEN), [{"observation_id": each} for each in late])
                _execute(connection, statements.MARK_REOPENED)
                note_change(connection)
        known_until = max(progress.known_until, 0 if latest is None else int(latest) + 1)
        _advance(connection, arrival=max(arrival, progress.arrival), known_until=known_until)


# ------------------------------------------------------------------------------- scores, then outcomes


def _observe(store: Store, final: int, pace: Pace, on_step: OnStep) -> tuple[int, int, int]:
    """Read the ledger from the place reached up to an answer: how many rows, new observations, and matured of these."""
    read = observed = matured = 0
    with store.reading() as connection:
        progress = progress_of(connection)
        first = progress.answer_id if progress else 0
    while True:
        with _turn(store, pace.rest) as (connection, progress):
            span, rows = _next_span(connection, progress, final, pace.span_rows)
            if not rows:
                return read, observed, matured
            if store.is_sqlite:
                new, ripe = _execute(connection, statements.OBSERVE_SPAN, span), 0
            else:
                values = span | {"known_until": progress.known_until}
                new, ripe = connection.execute(sql.text(statements.OBSERVE_AND_MATURE), values).one()
            if new:
                _execute(connection, statements.MARK_SPAN, span)
                note_change(connection)
            _advance(connection, answer_id=span["last_answer_id"], position=span["last_position"])
        read, observed, matured = read + rows, observed + new, matured + ripe
        on_step("Reading the ledger", span["last_answer_id"] - first, final - first)


def _next_span(connection: sql.Connection, progress: Progress, final: int, rows: int) -> tuple[dict[str, int], int]:
    """The next rows of the ledger, from after one place to another, and how many they are."""
    place = {"answer_id": progress.answer_id, "position": progress.position}
    until = {"final": final}
    end = connection.execute(sql.text(statements.SPAN_END), place | until | {"rows": rows - 1}).one_or_none()
    if end is None:
        rows = connection.execute(sql.text(statements.COUNT_REST), place | until).scalar_one()
        end = connection.execute(sql.text(statements.LEDGER_END), until).one_or_none()
    if end is None:
        return {}, 0
    return place | {"last_answer_id": end[0], "last_position": end[1]}, rows


def _mature(store: Store, pace: Pace, on_step: OnStep) -> int:
    """Find what followed of all whose time has come; of how many that was."""
    mature = statements.MATURE if store.is_sqlite else statements.MATURE_TOGETHER
    done = total = 0
    while True:
        with _turn(store, pace.rest) as (connection, progress):
            next_ones = {"known_until": progress.known_until, "rows": pace.ripe_rows}
            if not total:
                counted = {"known_until": progress.known_until}
                total = connection.execute(sql.text(statements.COUNT_RIPE), counted).scalar_one()
            if not total:
                return 0
            _execute(connection, statements.MARK_RIPE, next_ones)
            found = _execute(connection, mature, next_ones)
            note_change(connection)
        if not found:
            return done
        done += found
        on_step("Looking for what followed", done, max(done, total))


# ------------------------------------------------------------------------------- sums


def _sum_up(store: Store, on_step: OnStep) -> int:
    """Sum up anew every month in which something changed; how many these were."""
    with store.reading() as connection:
        stale = list(connection.execute(sql.select(calendar_months.c.month).where(calendar_months.c.stale)).scalars())
    if stale and not store.is_sqlite:
        with store.writing() as connection:
            # Before it is counted anew, PostgreSQL plans by what it knew of the table before it grew.
            connection.exec_driver_sql("ANALYZE observations (account_id, month, role, matured)")
    sum_up = _sum_up_beside if store.is_sqlite else _sum_up_in_turn
    for done, month in enumerate(sorted(stale), start=1):
        sum_up(store, month)
        on_step("Summing up", done, len(stale))
    return len(stale)


@dataclass(frozen=True)
class _Sum:
    """A table that sums up observations: by which statement, and of which months from the one that changed."""

    table: sql.Table
    statement: str
    months: tuple[int, ...] = (0,)


_SUMS = (
    _Sum(cells, statements.CELLS),
    _Sum(residuals, statements.RESIDUALS),
    _Sum(swaps, statements.SWAPS),
    _Sum(stage_moves, statements.MOVES, (-1, 0)),
)


def _sum_up_in_turn(store: Store, month: int) -> None:
    """Sum up a month in one transaction: in PostgreSQL nobody waits for it but who erases."""
    with _turn(store) as (connection, _):
        for each in _SUMS:
            columns = ", ".join(column.name for column in each.table.columns)
            insert = f"INSERT INTO {each.table.name} ({columns}) SELECT {columns} FROM ({each.statement}) AS anew"  # noqa: S608
            for values in _months_of(each, month):
                connection.execute(sql.delete(each.table).where(each.table.c.month == values["month"]))
                _execute(connection, insert, values)
        _note_summed(connection, month)


def _sum_up_beside(store: Store, month: int) -> None:
    """Sum up a month beside those who write: it takes long. It is kept where no observation changed meanwhile."""
    for _ in range(_TRIES):
        with store.reading() as connection:
            seen, anew = progress_of(connection), _summed_anew(connection, month)
        with _turn(store) as (connection, progress):
            if progress == seen:
                _keep_sums(connection, month, anew)
                return
    with _turn(store) as (connection, _):
        _keep_sums(connection, month, _summed_anew(connection, month))


#: The rows of tables, of a month each.
_Anew = list[tuple[sql.Table, int, list[dict[str, Any]]]]


def _keep_sums(connection: sql.Connection, month: int, anew: _Anew) -> None:
    for table, of_month, rows in anew:
        connection.execute(sql.delete(table).where(table.c.month == of_month))
        if rows:
            connection.execute(sql.insert(table), rows)
    _note_summed(connection, month)


def _summed_anew(connection: sql.Connection, month: int) -> _Anew:
    """The rows of each table, of each month that hangs on this one."""
    return [
        (each.table, values["month"], _rows(connection, each.statement, values))
        for each in _SUMS
        for values in _months_of(each, month)
    ]


def _rows(connection: sql.Connection, statement: str, values: Mapping[str, int]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sql.text(statement), values).mappings()]


def _months_of(each: _Sum, month: int) -> list[dict[str, int]]:
    return [{"month": shifted(month, step), "next_month": shifted(month, step + 1)} for step in each.months]


def _note_summed(connection: sql.Connection, month: int) -> None:
    connection.execute(sql.update(calendar_months).where(calendar_months.c.month == month).values(stale=False))


def _sum_up_collections(store: Store) -> None:
    """Sum up anew what was placed and paid, where rows came in or time went by since."""
    with store.reading() as connection:
        progress = progress_of(connection)
        assert progress is not None  # noqa: S101 it was prepared
        if (progress.collected_arrival, progress.collected_until) == (progress.arrival, progress.known_until):
            return
        known = {"known_until": progress.known_until}
        summed = {
            table: connection.execute(sql.text(query), known).mappings().all()
            for table, query in ((placements, statements.PLACEMENTS), (collections, statements.COLLECTIONS))
        }
    with _turn(store) as (connection, _):
        for table, rows in summed.items():
            connection.execute(sql.delete(table))
            if rows:
                connection.execute(sql.insert(table), [dict(row) for row in rows])
        _advance(connection, collected_arrival=progress.arrival, collected_until=progress.known_until)
