"""The accounts that rules hold back today: why, and when each may be contacted again."""

from __future__ import annotations

from starlette.responses import Response

from features.units import format_instant
from serving.api.answering import records
from serving.languages.language import translatable
from serving.review.pages.cells import Column, cell_writer
from serving.review.pages.files import csv_file
from serving.review.pages.queue import look, pages_of
from serving.review.pages.visit import Visit

_COLUMNS = (
    Column("account_id", translatable("Account"), "account"),
    Column("stage", translatable("Stage"), "stage"),
    Column(
        "next_allowed_at",
        translatable("Next allowed"),
        "local_moment",
        unknown=translatable("until the rule is lifted"),
    ),
    Column("why", translatable("Why"), "text", style="wide"),
)


def show(visit: Visit) -> Response:
    """A page of them."""
    looked = look(visit)
    held = looked.made.queue.held
    pages = pages_of(visit, len(held))
    return visit.page(
        "held.html", looked=looked, pages=pages, grid=cell_writer(visit).grid(_COLUMNS, records(held.iloc[pages.rows])),
        pinned=format_instant(looked.as_of),
    )  # fmt: skip


def export(visit: Visit) -> Response:
    """All of them, as a table for a spreadsheet."""
    looked = look(visit)
    return csv_file(f"held-{format_instant(looked.as_of)[:10]}.csv", looked.made.queue.held)
