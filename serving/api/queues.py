"""`/v1/queue`: whom to contact, through which channel and in which hours, under capacities and contact rules."""

from __future__ import annotations

from features.units import format_instant
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call
from serving.api.scores import MAX_EXPLAINED, received
from serving.capacities import resolve_capacities
from serving.queue import build_queue, with_reasons
from serving.reasons import explain
from serving.requests import QueueRequest
from serving.scoring import not_live, rows_of, score


def answer(call: Call) -> Answer:
    """Answer a request for a queue.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    engine = call.engine
    request: QueueRequest = decoded(engine.types.queue, call.body)
    capacities = resolve_capacities(request.capacities, engine.settings)
    found = received(call, request)
    scores = score(engine.scorer, found.histories, found.as_of)
    queue = build_queue(engine.scorer, scores, found.histories, found.as_of, capacities.by_channel)
    notes = [*capacities.notes, *queue.notes]
    if request.reasons:
        rows = rows_of(found.histories, queue.rows["account_id"].head(MAX_EXPLAINED))
        queue = with_reasons(queue, explain(engine.scorer, found.histories, rows, found.as_of))
        notes += [f"the first {MAX_EXPLAINED} rows carry reasons"] if len(queue.rows) > MAX_EXPLAINED else []
    return Answer(
        {
            "model": engine.label,
            "as_of": format_instant(found.as_of),
            "rows": records(queue.rows),
            "held": records(queue.held),
            "counts": dict(queue.counts),
            "notes": notes,
            "not_scored": records(not_live(found.histories, found.as_of)),
            "rejects": records(found.rejects),
        }
    )
