"""The model that answers: what it is, what it reached, and what is tried beside it."""

from __future__ import annotations

from starlette.responses import Response

from serving.api import model
from serving.review.pages.visit import Visit


def show(visit: Visit) -> Response:
    """The page."""
    found = model.answer(visit.call).content
    return visit.page("models.html", model=found)
