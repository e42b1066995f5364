"""`/v1/queue`: whom to contact, through which channel and in which hours, under capacities and contact rules.

The queue is that of the stored accounts, or of those whose histories the request brings. It comes in pages: the same
request with the cursor of a page gives the next one of the same queue.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from features.histories import Histories
from features.settings import PortfolioSettings
from features.units import format_day, format_instant
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, RequestError
from serving.api.cursors import Cursor, check_cursor, read_cursor, request_digest, write_cursor
from serving.api.filters import filtered
from serving.api.keeping import Given, check_may_log, log_decisions, may_log, note_in_ledger
from serving.api.scores import MAX_EXPLAINED, received
from serving.capacities import resolve_capacities
from serving.exploration import Exploration, check_exploration
from serving.ladder.policy import Ladder, ladder_of, shipped_ladders
from serving.languages.language import language_called, translatable
from serving.queue import Queue, build_queue
from serving.reasons import explain
from serving.requests import QueueRequest
from serving.scoring import not_live, rows_of, score
from serving.what_if import scenarios_of


@dataclass(frozen=True)
class Made:
    """A whole queue, of which pages are given; `arrival` is None where the histories came with the request."""

    queue: Queue
    histories: Histories
    scores: pd.DataFrame
    not_scored: pd.DataFrame
    arrival: int | None
    exploration: Exploration | None
    notes: Sequence[str]
    rejects: pd.DataFrame


def answer(call: Call) -> Answer:
    """Answer a request for a page of a queue.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    request: QueueRequest = decoded(call.engine.types.queue, call.body)
    from_store = request.histories is None
    place = _place(call, request)
    logging = request.log_decisions
    if logging is None:
        logging = call.serving.log_decisions and may_log(call, place.as_of, from_store)
    elif logging:
        check_may_log(call, place.as_of, from_store)
    made = _of_store(call, request, place) if from_store else _of_request(call, request, place)
    page = slice(place.offset, place.offset + request.limit)
    given = _given(call, made, place.as_of, page)
    if call.serving.store is not None:
        note_in_ledger(call, given)
    if logging:
        log_decisions(call, given)
    return Answer(_page(call, request, made, given, place, page))


def looked_at(call: Call, request: QueueRequest, as_of: int) -> Made:
    """The queue of the stored accounts as `answer` gives it, for a person to look at: nobody is sent out by it.

    It is neither in the ledger nor kept as decisions; `request` has no cursor and no histories.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    return _of_store(call, request, Cursor(as_of, -1, 0, call.engine.scorer.bundle.digest, request_digest(request)))


def _place(call: Call, request: QueueRequest) -> Cursor:
    """Where the page begins, and what it is pinned to; `arrival` is -1 where that is still open."""
    model, digest = call.engine.scorer.bundle.digest, request_digest(request)
    if request.cursor is None:
        return Cursor(call.moment(request.as_of), -1, 0, model, digest)
    place = read_cursor(request.cursor)
    check_cursor(place, model, digest)
    return place


def _of_store(call: Call, request: QueueRequest, place: Cursor) -> Made:
    """The queue of the stored accounts, made anew unless it is one that this worker made last."""
    books, until = call.books, None if place.arrival < 0 else place.arrival

    def key(arrival: int) -> Hashable:
        return place.request, place.as_of, arrival, place.model

    made: Made | None = None
    if until is not None:
        # Histories as they were are dear where much has come in since: not to be had for a queue that is there.
        made = books.kept_queue(key(until), until)
    if made is None:
        read = books.read(call.engine.settings, until)
        made = books.queue(key(read.arrival), lambda: _make(call, request, read.histories, place.as_of, read.arrival))
    return made


def _of_request(call: Call, request: QueueRequest, place: Cursor) -> Made:
    found = received(call, request)
    return replace(_make(call, request, found.histories, place.as_of, None), rejects=found.rejects)


def _make(call: Call, request: QueueRequest, histories: Histories, as_of: int, arrival: int | None) -> Made:
    engine = call.engine
    language = language_called(request.language)
    capacities = resolve_capacities(request.capacities, engine.settings, language)
    explored = _exploration(call, request, as_of, capacities.by_channel)
    others = scenarios_of(capacities, request.what_if, engine.settings)
    ladder = _ladder(request.ladder, engine.settings)
    rows = filtered(histories, as_of, request.portfolio, request.segment, request.stage)
    scores = score(engine.scorer, histories, as_of, rows)
    queue = build_queue(engine.scorer, scores, histories, as_of, capacities.limits, explored, others, ladder, language)
    not_scored = not_live(histories, as_of)
    if len(rows) < len(histories):
        not_scored = not_scored[not_scored["account_id"].isin(histories.accounts.account_id[rows])]
    notes = (*capacities.notes, *queue.notes)
    return Made(queue, histories, scores, not_scored, arrival, explored, notes, pd.DataFrame())


def _exploration(call: Call, request: QueueRequest, as_of: int, capacities: Mapping[str, int]) -> Exploration | None:
    """What is explored: as the request says, else as the service does; the day is the seed where none is given.

    Of the service's channels those that have places in this queue, and may be explored; a request must know what it
    asks for.
    """
    asked, found = request.exploration, call.serving.exploration
    if asked is not None:
        found = Exploration(asked.share, tuple(dict.fromkeys(asked.channels)), asked.seed or "")
        check_exploration(found, call.engine.settings, capacities)
    elif found is not None:
        by_hour = any(one.hours is not None for one in call.engine.settings.queue.capacities)
        closed = {"call"} if by_hour else set()
        found = replace(found, channels=tuple(n for n in found.channels if capacities.get(n) and n not in closed))
    if found is None or not found.channels or not found.share:
        return None
    return replace(found, seed=found.seed or format_day(as_of))


def _ladder(asked: str | None, settings: PortfolioSettings) -> Ladder | None:
    """The ladder that a request names, else the service's own. No request reads a file of the service's machine."""
    if asked is not None and asked.endswith(".toml"):
        raise RequestError(
            f"a request names a ladder that there is, {', '.join(shipped_ladders())}, got the path of a file; start "
            f"the service with --settings of which [queue] names that file"
        )
    return ladder_of(asked, settings)


def _given(call: Call, made: Made, as_of: int, page: slice) -> Given:
    rows = made.queue.rows.iloc[page]
    return Given(call.engine.scorer, made.histories, as_of, made.arrival, made.scores, rows, made.exploration)


def _page(call: Call, request: QueueRequest, made: Made, given: Given, place: Cursor, page: slice) -> dict[str, Any]:
    rows, notes = given.rows, list(made.notes)
    if request.reasons:
        language = language_called(request.language)
        head = rows_of(made.histories, rows["account_id"].head(MAX_EXPLAINED))
        reasons = explain(call.engine.scorer, made.histories, head, given.as_of, language=language)
        rows = rows.assign(reasons=np.array([*reasons, *[""] * (len(rows) - len(reasons))], dtype=object))
        told = translatable("the first {number} rows of a page carry reasons")
        notes += [language.say(told, number=MAX_EXPLAINED)] if len(rows) > MAX_EXPLAINED else []
    lists = {"rows": made.queue.rows, "held": made.queue.held, "not_scored": made.not_scored}
    more = max(map(len, lists.values())) > page.stop
    arrival = -1 if made.arrival is None else made.arrival
    ahead = msgspec.structs.replace(place, arrival=arrival, offset=page.stop)
    return {
        "model": call.engine.label,
        "as_of": format_instant(given.as_of),
        "arrival": made.arrival,
        "rows": records(rows),
        "held": records(made.queue.held.iloc[page]),
        "not_scored": records(made.not_scored.iloc[page]),
        "counts": dict(made.queue.counts),
        "totals": {name: len(frame) for name, frame in lists.items()},
        "prices": dict(made.queue.prices),
        "used": dict(made.queue.used),
        "what_if": [asdict(one) for one in made.queue.what_if],
        "notes": notes,
        "rejects": records(made.rejects) if len(made.rejects) else [],
        "cursor": write_cursor(ahead) if more else None,
    }
