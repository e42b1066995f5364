"""Which endpoint answers what, and under which scope: the table that routes and the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any

from serving.api import accounts, allowed, docs, events, model, openapi, overrides, queues, scores
from serving.api.answers import (
    AccountAnswer,
    AllowedAnswer,
    ErasedAnswer,
    EventsAnswer,
    KeptOverride,
    ModelAnswer,
    OverridesAnswer,
    QueueAnswer,
    ScoresAnswer,
)
from serving.api.calls import Endpoint, Scope

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", "/score", Scope.SCORE, "Score accounts.", scores.answer,
        request=lambda types: types.score.type,
        answers=lambda types: ScoresAnswer[types.score_row],  # type: ignore[name-defined]
    ),
    Endpoint(
        "POST", "/queue", Scope.SCORE, "Order the work queue.", queues.answer,
        request=lambda types: types.queue.type, answers=lambda _: QueueAnswer,
    ),
    Endpoint(
        "POST", "/allowed", Scope.SCORE, "Say whether accounts may be contacted now, by which rules not, and when.",
        allowed.answer, request=lambda _: allowed.AllowedRequest, answers=lambda _: AllowedAnswer,
    ),
    Endpoint(
        "GET", "/accounts/{id}", Scope.REVIEW, "Show an account: its score, its history, and why.", accounts.answer,
        answers=lambda types: AccountAnswer[types.score_row],  # type: ignore[name-defined]
        parameters=accounts.PARAMETERS,
    ),
    Endpoint(
        "DELETE", "/accounts/{id}", Scope.ADMIN, "Erase an account; the ledger keeps its figures.", accounts.forget,
        answers=lambda _: ErasedAnswer, parameters=accounts.PARAMETERS[:1],
    ),
    Endpoint(
        "POST", "/events", Scope.EVENTS, "Take in rows of any table; may be sent again.", events.answer,
        request=lambda types: types.events.type, answers=lambda _: EventsAnswer,
    ),
    Endpoint(
        "POST", "/overrides", Scope.REVIEW, "Keep a choice other than the one recommended.", overrides.write,
        request=lambda _: overrides.OverrideRequest, answers=lambda _: KeptOverride,
    ),
    Endpoint(
        "GET", "/overrides", Scope.REVIEW, "List overrides.", overrides.list_all,
        answers=lambda _: OverridesAnswer, parameters=overrides.PARAMETERS,
    ),
    Endpoint(
        "DELETE", "/overrides/{id}", Scope.REVIEW, "End an override; it is kept, with its end.", overrides.end,
        answers=lambda _: KeptOverride, parameters=overrides.END_PARAMETERS,
    ),
    Endpoint(
        "GET", "/model", Scope.SCORE, "Say which model answers, and what it knows.", model.answer,
        answers=lambda _: ModelAnswer,
    ),
    Endpoint(
        "GET", "/openapi.json", Scope.SCORE, "This API as an OpenAPI document.",
        lambda call: openapi.answer(call, ENDPOINTS), answers=lambda _: dict[str, Any],
    ),
    Endpoint(
        "GET", "/docs", Scope.SCORE, "This API as a page.",
        lambda call: docs.answer(call, ENDPOINTS), answers=lambda _: str, media_type="text/html",
    ),
)  # fmt: skip
