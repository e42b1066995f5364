"""A ledger of any size for the benchmark of the review: a book scored day after day, and what followed.

It is made by the database itself, in SQLite, and copied from there into PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sql
from rich.progress import Progress

from features.contract import CHANNELS
from features.settings import ChannelSettings, PortfolioSettings
from features.units import DAY, parse_instant
from serving.store.database import Store
from serving.store.ledger import settings_row
from serving.store.portfolio import keep_settings
from serving.store.schema import metadata

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


def fill(store: Store, days: int, accounts: int, progress: Progress) -> None:
    """The book, its events, and a score of every account on each day."""
    digest, content = settings_row(SETTINGS)
    task = progress.add_task("Filling", total=days)
    keep_settings(store, SETTINGS)
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


#: What a filled store has rows in.
FILLED = ("accounts", "contacts", "payments", "promises", "changes", "arrivals", "settings_used", "answers", "scores")


def copy(source: Store, target: Store, progress: Progress) -> None:
    """Copy a filled store into an empty one of PostgreSQL, as it takes rows in fastest."""
    for name in progress.track(FILLED, description="Copying"):
        columns = metadata.tables[name].columns
        listed = ", ".join(column.name for column in columns)
        # What SQLite keeps as 0 and 1.
        flags = [place for place, column in enumerate(columns) if isinstance(column.type, sql.Boolean)]
        writing = target.engine.raw_connection()
        with source.reading() as reading, writing.cursor() as cursor:  # type: ignore[attr-defined]
            found = reading.execution_options(yield_per=10_000).exec_driver_sql(f"SELECT {listed} FROM {name}")
            with cursor.copy(f"COPY {name} ({listed}) FROM STDIN") as rows:
                for row in found:
                    cells = list(row)
                    for place in flags:
                        cells[place] = None if cells[place] is None else bool(cells[place])
                    rows.write_row(cells)
        writing.commit()
        writing.close()
    with target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
