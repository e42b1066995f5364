"""Which endpoint answers what, and under which scope: the table that routes and the OpenAPI document are made of."""

from __future__ import annotations

from serving.api import model, queues, scores
from serving.api.calls import Endpoint, Scope

ENDPOINTS = (
    Endpoint("POST", "/score", Scope.SCORE, "Score accounts.", scores.answer),
    Endpoint("POST", "/queue", Scope.SCORE, "Order the work queue.", queues.answer),
    Endpoint("GET", "/model", Scope.SCORE, "Say which model answers, and what it knows.", model.answer),
)
