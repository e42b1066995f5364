"""`/v1/events`: rows of every table into the store, each judged as those of a file are."""

from __future__ import annotations

from collections import Counter

from features.units import SECOND
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, RequestError
from serving.requests import n_rows, raw_tables
from serving.store.events import TakenIn, take_in

#: Rows a batch may hold, of all tables together.
MAX_ROWS = 10_000


def answer(call: Call) -> Answer:
    """Take in a batch: it is durable when it is answered, and may be sent again.

    Raises:
        RecoupError: nothing of the batch was kept.
    """
    store, types = call.store, call.engine.types
    batch = decoded(types.events, call.body)
    rows = n_rows(batch, types.columns)
    if rows > MAX_ROWS:
        raise RequestError(f"a batch holds at most {MAX_ROWS:,} rows, got {rows:,}; send several")
    taken = take_in(store, raw_tables(batch, types.columns), call.engine.settings, call.now)
    _count(call, taken)
    return Answer(
        {
            "arrival": taken.arrival,
            "accepted": dict(taken.accepted),
            "duplicates": dict(taken.duplicates),
            "rejects": records(taken.rejects.drop(columns="file")) if taken.n_rejects else [],
        }
    )


def _count(call: Call, taken: TakenIn) -> None:
    """Tell the figures of the service what became of a batch, and how late it came."""
    metrics = call.serving.metrics
    if metrics is None:
        return
    rejected = Counter(taken.rejects["table"].tolist() if taken.n_rejects else ())
    for table, accepted in taken.accepted.items():
        metrics.took_in(table, accepted, taken.duplicates[table], rejected[table])
    if taken.latest is not None:
        metrics.event_lag.observe(max(0, call.now - taken.latest) / SECOND)
