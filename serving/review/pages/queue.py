"""Today's queue as collectors get it: the same order, under the portfolio's capacities, told row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

import msgspec
import numpy as np
import pandas as pd
from starlette.responses import Response

from features.histories import category_values
from features.units import SECOND, format_instant
from serving.api.answering import records
from serving.api.queues import Made, looked_at
from serving.languages.language import translatable
from serving.review.pages.cells import Column, cell_writer
from serving.review.pages.files import csv_file
from serving.review.pages.visit import Visit
from serving.scoring import rows_of

#: Rows of a page.
PAGE = 50
#: What the rows may be chosen by.
FILTERS = ("channel", "segment", "band")
_MINUTE = 60 * SECOND
_COLUMNS = (
    Column("rank", translatable("Rank")),
    Column("account_id", translatable("Account"), "account", below=Column("segment", "", "text")),
    Column("channel", translatable("Channel and hours"), "own"),
    Column("band", translatable("Band"), "own"),
    Column("expected_net", translatable("Expected net"), "gain"),
    Column("uplift", translatable("Adds"), "gain"),
    Column("balance", translatable("Balance"), "money", below=Column("stage", "", "stage")),
    Column(
        "history", translatable("What the history says, and why this channel"), "own", style="wide",
        short=translatable("History"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """The queue as of a moment, and its rows with the segment of each account."""

    made: Made
    as_of: int

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows."""
        made = self.made
        segments = category_values(made.histories, "segment")
        return made.queue.rows.assign(segment=segments[rows_of(made.histories, made.queue.rows["account_id"])])

    def options(self, name: str) -> list[str]:
        """What a filter may choose."""
        return sorted(set(self.rows[name].tolist()) - {None})

    def chosen(self, query: Mapping[str, str]) -> pd.DataFrame:
        """The rows that a query chooses; a filter that is left blank chooses all."""
        kept = np.ones(len(self.rows), dtype=np.bool_)
        for name in FILTERS:
            if wanted := query.get(name):
                kept &= (self.rows[name] == wanted).to_numpy()
        return self.rows[kept]


@dataclass(frozen=True)
class Pages:
    """Which rows of a list of `total` are shown; `number` counts from 1."""

    number: int
    total: int

    @property
    def last(self) -> int:
        """The number of the last page."""
        return max(1, -(-self.total // PAGE))

    @property
    def rows(self) -> slice:
        """The places of the rows shown."""
        return slice((self.number - 1) * PAGE, self.number * PAGE)


def show(visit: Visit) -> Response:
    """A page of the queue."""
    looked = look(visit)
    rows = looked.chosen(visit.call.query)
    pages = pages_of(visit, len(rows))
    return visit.page(
        "queue.html",
        looked=looked,
        queue=looked.made.queue,
        grid=cell_writer(visit).grid(_COLUMNS, records(rows.iloc[pages.rows])),
        pages=pages,
        filters={name: looked.options(name) for name in FILTERS},
        pinned=format_instant(looked.as_of),
        export=f"{visit.path}.csv?{urlencode({**visit.call.query, 'as_of': format_instant(looked.as_of)})}",
    )


def export(visit: Visit) -> Response:
    """All rows that are chosen, as a table for a spreadsheet."""
    looked = look(visit)
    rows = looked.chosen(visit.call.query)
    return csv_file(f"queue-{format_instant(looked.as_of)[:10]}.csv", rows)


def look(visit: Visit) -> Looked:
    """The queue of now, to the minute, or of the moment in the query: all pages of one look show the same queue."""
    call = visit.call
    asked = call.query.get("as_of")
    as_of = call.moment(asked) if asked else call.now // _MINUTE * _MINUTE
    request = call.engine.types.queue.decode(msgspec.json.encode({"language": visit.language.tag}))
    return Looked(looked_at(call, request, as_of), as_of)


def pages_of(visit: Visit, total: int) -> Pages:
    """The page that the query asks for; the nearest that there is."""
    asked = visit.call.query.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 1
    return Pages(min(max(number, 1), Pages(1, total).last), total)
