"""`/v1/score`: the scores of some accounts: from the store by their ids, from histories, or from features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import pandas as pd

from features.checking import check_tables
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.units import format_instant
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, RequestError
from serving.api.given import check_ids, read_features
from serving.api.recording import Scores, for_challenger, record
from serving.engine import Engine
from serving.languages.language import language_called, translatable
from serving.reasons import reasons_of
from serving.requests import QueueRequest, ScoreRequest, raw_tables
from serving.scoring import NOTHING_OWED, LiveAccounts, Scored, columns_of, scored, scored_features, why_not_live
from serving.store.reading import read_histories

#: Accounts a request for scores may hold.
MAX_ACCOUNTS = 1_000
#: Reasons cost some hundred times as much as a score; more of them than this belong into a batch.
MAX_EXPLAINED = 100
#: How a request may say what is to be scored: in one of these ways.
WAYS = ("account_ids", "histories", "features")
#: Why an account that the store does not hold is not scored.
UNKNOWN = "unknown"
NO_RULES = translatable(
    "features hold no restrictions: no contact rule was applied, and every enabled channel counts as allowed"
)


@dataclass(frozen=True)
class Received:
    """The histories of a request that passed the checks, the moment, and the rows that did not pass."""

    histories: Histories
    as_of: int
    rejects: pd.DataFrame


@dataclass(frozen=True)
class Found:
    """The scores of a request, and what of it was not scored or set aside."""

    scores: Scores
    not_scored: Sequence[dict[str, str]] = ()
    rejects: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()


def answer(call: Call) -> Answer:
    """Answer a request for scores.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    request: ScoreRequest = decoded(call.engine.types.score, call.body)
    found = _FOUND[way_of(request)](call, request)
    done = found.scores.scored
    # The features are kept by every way to the scores.
    reasons = None
    if request.reasons and done.features is not None:
        reasons = reasons_of(call.engine.scorer, done.features, language=language_called(request.language))
    content = {
        "model": call.engine.label,
        "as_of": format_instant(done.as_of),
        "answer_id": record(call, found.scores),
        "scores": score_rows(call.engine, done, reasons),
        "not_scored": found.not_scored,
        "rejects": found.rejects,
        "notes": found.notes,
    }
    return Answer(content, after=for_challenger(call, found.scores))


def way_of(request: ScoreRequest) -> str:
    """In which way a request says what is to be scored.

    Raises:
        RequestError: it does not in exactly one, or holds too many accounts.
    """
    given = [way for way in WAYS if getattr(request, way) is not None]
    if len(given) != 1:
        raise RequestError(f"a request for scores has one of {', '.join(WAYS)}, got {' and '.join(given) or 'none'}")
    n_accounts = _count(request)
    if not n_accounts and request.histories is None:  # histories without accounts are for the checks to refuse
        raise RequestError("a request for scores holds at least one account")
    limit = MAX_EXPLAINED if request.reasons else MAX_ACCOUNTS
    if n_accounts > limit:
        what = "with reasons " if request.reasons else ""
        raise RequestError(
            f"a request for scores {what}holds at most {limit:,} accounts, got {n_accounts:,}; send several"
        )
    return given[0]


def score_rows(engine: Engine, scored: Scored, reasons: Sequence[str] | None = None) -> list[Any]:
    """The scores as JSON has them, one struct for each account; a NaN becomes null when it is written."""
    columns: dict[str, Any] = {name: column.tolist() for name, column in columns_of(scored).items()}
    account_id, *others = columns.values()
    support = ",".join(scored.bundle.manifest.supported)
    common = [repeat(format_instant(scored.as_of)), repeat(scored.bundle.label), *others, repeat(support)]
    return list(map(engine.types.score_row, account_id, *common, *([] if reasons is None else [reasons])))


def received(call: Call, request: ScoreRequest | QueueRequest) -> Received:
    """The histories of a request, checked as a portfolio is checked."""
    settings, as_of = call.engine.settings, call.moment(request.as_of)
    raw = raw_tables(request.histories, call.engine.types.columns)
    portfolio = Portfolio(settings, *check_tables(raw, settings, may_be_unusable=True))
    return Received(pack(portfolio, whole=False), as_of, portfolio.rejects.drop(columns="file"))


def _by_id(call: Call, request: ScoreRequest) -> Found:
    account_ids = request.account_ids or []
    check_ids(account_ids)
    as_of, read = call.moment(request.as_of), read_histories(call.store, account_ids, call.engine.settings)
    done = scored(call.engine.scorer, read.histories, as_of, keep_features=True)
    scores = Scores(done, "store", histories=read.histories, arrival=read.arrival)
    return Found(scores, not_scored(read.histories, as_of, read.missing))


def _by_histories(call: Call, request: ScoreRequest) -> Found:
    found = received(call, request)
    done = scored(call.engine.scorer, found.histories, found.as_of, keep_features=True)
    scores = Scores(done, "request", histories=found.histories)
    return Found(scores, not_scored(found.histories, found.as_of), records(found.rejects))


def _by_features(call: Call, request: ScoreRequest) -> Found:
    assert request.features is not None  # noqa: S101 the way was chosen by it
    accounts, matrix = read_features(request.features, call.engine)
    owing = accounts.balance > 0
    others = [{"account_id": one, "why": NOTHING_OWED} for one in accounts.account_id[~owing]]
    if others:
        accounts, matrix = LiveAccounts(*(column[owing] for column in vars(accounts).values())), matrix[owing]
    as_of = call.moment(request.as_of)
    done = scored_features(call.engine.scorer, call.engine.settings, as_of, accounts, matrix)
    return Found(Scores(done, "features"), others, notes=[language_called(request.language).gettext(NO_RULES)])


_FOUND: Mapping[str, Callable[[Call, ScoreRequest], Found]] = {
    "account_ids": _by_id,
    "histories": _by_histories,
    "features": _by_features,
}


def _count(request: ScoreRequest) -> int:
    if request.histories is not None:
        return len(request.histories.accounts)
    return len(request.account_ids or ()) if request.features is None else len(request.features.account_id)


def not_scored(histories: Histories, as_of: int, missing: Sequence[str] = ()) -> list[dict[str, str]]:
    """The accounts without a score, each with why: those that are not live, and those that are not known at all."""
    pairs = zip(*why_not_live(histories, as_of), strict=True)
    found = [{"account_id": account_id, "why": why} for account_id, why in pairs]
    return [*found, *({"account_id": account_id, "why": UNKNOWN} for account_id in missing)]
