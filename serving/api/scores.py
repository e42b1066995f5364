"""`/v1/score`: the scores of some accounts, whose histories come with the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.checking import check_tables
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.units import format_instant
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, RequestError
from serving.reasons import explain
from serving.requests import QueueRequest, ScoreRequest, raw_tables
from serving.scoring import not_live, rows_of, score

#: Accounts a request for scores may hold.
MAX_ACCOUNTS = 1_000
#: Reasons cost some hundred times as much as a score; more of them than this belong into a batch.
MAX_EXPLAINED = 100


@dataclass(frozen=True)
class Received:
    """The histories of a request that passed the checks, the moment, and the rows that did not pass."""

    histories: Histories
    as_of: int
    rejects: pd.DataFrame


def answer(call: Call) -> Answer:
    """Answer a request for scores.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    engine = call.engine
    request: ScoreRequest = decoded(engine.types.score, call.body)
    limit = MAX_EXPLAINED if request.reasons else MAX_ACCOUNTS
    if len(request.histories.accounts) > limit:
        what = "with reasons " if request.reasons else ""
        raise RequestError(
            f"a request for scores {what}holds at most {limit:,} accounts, got {len(request.histories.accounts):,}; "
            f"send several"
        )
    found = received(call, request)
    scores = score(engine.scorer, found.histories, found.as_of)
    if request.reasons:
        rows = rows_of(found.histories, scores["account_id"])
        scores["reasons"] = pd.Series(explain(engine.scorer, found.histories, rows, found.as_of), dtype=object)
    content: dict[str, Any] = {
        "model": engine.label,
        "as_of": format_instant(found.as_of),
        "scores": records(scores.assign(as_of=format_instant(found.as_of))),
        "not_scored": records(not_live(found.histories, found.as_of)),
        "rejects": records(found.rejects),
    }
    return Answer(content)


def received(call: Call, request: ScoreRequest | QueueRequest) -> Received:
    """The histories of a request, checked as a portfolio is checked."""
    settings, as_of = call.engine.settings, call.moment(request.as_of)
    raw = raw_tables(request.histories, call.engine.types.columns)
    portfolio = Portfolio(settings, *check_tables(raw, settings, may_be_unusable=True))
    return Received(pack(portfolio, whole=False), as_of, portfolio.rejects.drop(columns="file"))
