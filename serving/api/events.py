"""`/v1/events`: rows of every table into the store, each judged as those of a file are."""

from __future__ import annotations

from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, RequestError
from serving.requests import n_rows, raw_tables
from serving.store.events import take_in

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
    return Answer(
        {
            "arrival": taken.arrival,
            "accepted": dict(taken.accepted),
            "duplicates": dict(taken.duplicates),
            "rejects": records(taken.rejects.drop(columns="file")),
        }
    )
