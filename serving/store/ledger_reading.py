"""Reading the ledger: an account's scores over time, and all scores of a span of time, page by page.

scores_of(store, account_id)           what was said of an account, the latest first
page_through(store, since, until)      what was said of everyone, in the order in which it was written
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import sqlalchemy as sql

from serving.store.database import Store
from serving.store.ledger import answers, scores

#: Of an answer and of a score, what is read: not the arrays, which `serving.store.replay` holds against a second run.
_OF_ANSWER = ("request_id", "purpose", "scored_at", "as_of", "model", "role", "source", "key_id", "policy", "seed")
_ARRAYS = ("features_digest", "p_by_action", "value_by_action")
_COLUMNS = (
    *(column for column in scores.columns if column.name not in _ARRAYS),
    *(answers.c[name] for name in _OF_ANSWER),
)
COLUMNS = tuple(column.name for column in _COLUMNS)
_SCORES = sql.select(*_COLUMNS).join(answers, answers.c.answer_id == scores.c.answer_id)


def scores_of(store: Store, account_id: str, limit: int = 100, before: int | None = None) -> pd.DataFrame:
    """The scores of an account, the latest first, at most `limit`: `COLUMNS`, instants in microseconds.

    Args:
        store: where the ledger is.
        account_id: whose.
        limit: how many at most.
        before: only answers with a number below this, so that one page follows the last row of another.
    """
    query = _SCORES.where(scores.c.account_id == account_id)
    if before is not None:
        query = query.where(scores.c.answer_id < before)
    query = query.order_by(scores.c.answer_id.desc(), scores.c.position.desc()).limit(limit)
    with store.reading() as connection:
        return _frame(connection, query)


def page_through(store: Store, since: int, until: int, rows: int = 10_000) -> Iterator[pd.DataFrame]:
    """The scores given in `[since, until)`, in the order in which they were written: frames of `COLUMNS`.

    A page is a transaction of its own, so that a long reading holds nothing up; what is written after it began is left
    to the next.

    Args:
        store: where the ledger is.
        since: the first instant.
        until: the instant after the last.
        rows: how many rows a page has at most.
    """
    # A span of time becomes one of numbers first: pages then go by the key alone, however much lies before them.
    within = (answers.c.scored_at >= since) & (answers.c.scored_at < until)
    with store.reading() as connection:
        first, final = connection.execute(
            sql.select(sql.func.min(answers.c.answer_id), sql.func.max(answers.c.answer_id)).where(within)
        ).one()
    last = None if first is None else (first, -1)
    while last is not None:
        with store.reading() as connection:
            page = _frame(connection, _after(last, final).where(within).limit(rows))
        if len(page):
            yield page
        full = len(page) == rows
        last = (int(page["answer_id"].iloc[-1]), int(page["position"].iloc[-1])) if full else None


def _after(last: tuple[int, int], final: int) -> sql.Select[tuple[object, ...]]:
    """The scores after a place, up to an answer's, in order."""
    key = sql.tuple_(scores.c.answer_id, scores.c.position)
    query = _SCORES.where(key > sql.tuple_(*last), scores.c.answer_id <= final)
    return query.order_by(scores.c.answer_id, scores.c.position)


def _frame(connection: sql.Connection, query: sql.Select[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(connection.execute(query).all(), columns=list(COLUMNS))
