"""The API: `/v1/score`, `/v1/queue` and `/v1/model`, as a Starlette application around an `Engine`.

It takes histories in the request, checks them as a portfolio is checked, and answers with the same numbers as the
commands. Every error has one shape: `{"error": {"code": ..., "message": ..., "detail": ...}}`.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pandas as pd
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from features.as_of import check_moment
from features.checking import check_tables
from features.errors import MomentError, PortfolioError, RecoupError, SettingsError
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.settings import PortfolioSettings
from features.units import format_instant, parse_instant
from serving.capacities import resolve_capacities
from serving.queue import build_queue, with_reasons
from serving.reasons import explain
from serving.requests import QueueRequest, RequestTypes, ScoreRequest, raw_tables, request_types
from serving.scoring import Scorer, check_match, check_own_history, not_live, prepare_scorer, rows_of, score
from training.bundle import Bundle

#: The largest body that is read: the histories of some ten thousand accounts.
MAX_BODY_BYTES = 32 * 1024 * 1024
#: Accounts a request for scores may hold.
MAX_ACCOUNTS = 1_000
#: Reasons cost some hundred times as much as a score; more of them than this belong into a batch.
MAX_EXPLAINED = 100
CODES: Mapping[type[RecoupError], str] = {PortfolioError: "portfolio", MomentError: "moment", SettingsError: "settings"}
STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 503: "not_ready"}

logger = logging.getLogger("recoup")


class RequestError(RecoupError):
    """A request whose body is not what it must be."""


@dataclass(frozen=True)
class Engine:
    """What answers requests: one immutable bundle, and the portfolio's settings as they are now."""

    scorer: Scorer
    settings: PortfolioSettings
    types: RequestTypes
    #: Gives the present as an instant; the entry point hands it in.
    now: Callable[[], int]


@dataclass(frozen=True)
class Received:
    """The histories of a request that passed the checks, the moment, and the rows that did not pass."""

    histories: Histories
    as_of: int
    rejects: pd.DataFrame


Answer = Callable[[Engine, bytes], dict[str, Any]]


def make_engine(bundle: Bundle, settings: PortfolioSettings | None, now: Callable[[], int]) -> Engine:
    """Make an engine; `settings` are the bundle's own where none are given.

    Raises:
        BundleError: the settings have other channels than the bundle, or lack an attribute that it reads; or the bundle
            compares accounts with the whole portfolio, which no request holds.
    """
    scorer, current = prepare_scorer(bundle), settings or bundle.manifest.portfolio
    check_match(scorer, current)
    check_own_history(scorer)
    return Engine(scorer, current, request_types(current), now)


def application(engine: Engine) -> Starlette:
    """The API as an application, to be mounted at `/v1`."""
    # One at a time, beside the event loop: health checks are answered while scores are computed.
    turn = asyncio.Semaphore(1)

    def answering(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await _read_body(request)
            async with turn:
                return await run_in_threadpool(_answered, answer, engine, body, request.url.path)

        return endpoint

    async def model(_: Request) -> Response:
        return _json(describe_model(engine))

    return Starlette(
        routes=[
            Route("/score", answering(answer_score), methods=["POST"]),
            Route("/queue", answering(answer_queue), methods=["POST"]),
            Route("/model", model, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _on_http_error, ClientDisconnect: _on_client_gone},
    )


def answer_score(engine: Engine, body: bytes) -> dict[str, Any]:
    """Answer a request for scores.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    request: ScoreRequest = _decoded(engine.types.score, body)
    limit = MAX_EXPLAINED if request.reasons else MAX_ACCOUNTS
    if len(request.histories.accounts) > limit:
        what = "with reasons " if request.reasons else ""
        raise RequestError(
            f"a request for scores {what}holds at most {limit:,} accounts, got {len(request.histories.accounts):,}; "
            f"send several"
        )
    received = _received(engine, request)
    scores = score(engine.scorer, received.histories, received.as_of)
    if request.reasons:
        rows = rows_of(received.histories, scores["account_id"])
        scores["reasons"] = pd.Series(explain(engine.scorer, received.histories, rows, received.as_of), dtype=object)
    return {
        "model": engine.scorer.bundle.label,
        "as_of": format_instant(received.as_of),
        "scores": _records(scores.assign(as_of=format_instant(received.as_of))),
        "not_scored": _records(not_live(received.histories, received.as_of)),
        "rejects": _records(received.rejects),
    }


def answer_queue(engine: Engine, body: bytes) -> dict[str, Any]:
    """Answer a request for a queue.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    request: QueueRequest = _decoded(engine.types.queue, body)
    capacities = resolve_capacities(request.capacities, engine.settings)
    received = _received(engine, request)
    scores = score(engine.scorer, received.histories, received.as_of)
    queue = build_queue(engine.scorer, scores, received.histories, received.as_of, capacities.by_channel)
    notes = [*capacities.notes, *queue.notes]
    if request.reasons:
        rows = rows_of(received.histories, queue.rows["account_id"].head(MAX_EXPLAINED))
        queue = with_reasons(queue, explain(engine.scorer, received.histories, rows, received.as_of))
        notes += [f"the first {MAX_EXPLAINED} rows carry reasons"] if len(queue.rows) > MAX_EXPLAINED else []
    return {
        "model": engine.scorer.bundle.label,
        "as_of": format_instant(received.as_of),
        "rows": _records(queue.rows),
        "held": _records(queue.held),
        "counts": dict(queue.counts),
        "notes": notes,
        "not_scored": _records(not_live(received.histories, received.as_of)),
        "rejects": _records(received.rejects),
    }


def describe_model(engine: Engine) -> dict[str, Any]:
    """What model answers, and what it knows."""
    bundle, manifest = engine.scorer.bundle, engine.scorer.bundle.manifest
    return {
        "model": bundle.label,
        "sha256": bundle.digest,
        "portfolio": engine.settings.name,
        "target": manifest.target,
        "horizon_days": manifest.horizon_days,
        "channels": [{"name": channel.name, "cost": channel.cost, "enabled": channel.enabled,
                      "daily_capacity": channel.daily_capacity} for channel in engine.settings.channels],
        "channel_support": [msgspec.to_builtins(arm) for arm in manifest.support],
        "usual_channel": manifest.usual_channel,
        "band_thresholds": manifest.band_thresholds,
        "features": manifest.features,
        "trained_until": manifest.trained_until,
        "data_until": manifest.data_until,
        "holdout": manifest.holdout,
        "versions": manifest.versions,
        "commit": manifest.commit,
    }  # fmt: skip


def warm_up(engine: Engine) -> None:
    """Score and explain one made-up account, so that the first request does not wait for code to be compiled."""
    account = {"account_id": "-", "opened_at": "2000-01-01", "due_on": None, "balance": 1, "segment": "-"}
    others = dict.fromkeys(engine.settings.categorical + engine.settings.audit, "-")
    row = account | dict.fromkeys(engine.settings.numeric, 0) | others
    request = {"as_of": "2000-02-01", "histories": {"accounts": [row]}, "reasons": True}
    answer_score(engine, msgspec.json.encode(request))
    answer_queue(engine, msgspec.json.encode(request))


def _answered(answer: Answer, engine: Engine, body: bytes, path: str) -> Response:
    """The answer to a request, or the error that it ended in."""
    try:
        return _json(answer(engine, body))
    except RecoupError as error:
        return _error(400, CODES.get(type(error), "bad_request"), str(error))
    except Exception as error:  # noqa: BLE001 the outermost frame of a request
        # Only what and where: a message may quote what was sent.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("fault in answering %s: %s, %s:%s", path, type(error).__name__, frame.filename, frame.lineno)  # noqa: TRY400
        return _error(500, "internal", "this is a fault in Recoup; the request was not answered")


def _received(engine: Engine, request: ScoreRequest | QueueRequest) -> Received:
    as_of = parse_instant(request.as_of)
    check_moment(as_of, engine.now())
    raw = raw_tables(request.histories, engine.types.columns)
    portfolio = Portfolio(engine.settings, *check_tables(raw, engine.settings, may_be_unusable=True))
    return Received(pack(portfolio, whole=False), as_of, portfolio.rejects.drop(columns="file"))


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"the body must be JSON of the shape that the API states: {error}") from None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON has them: floats whole, what is missing as null."""
    columns = {str(name): frame[name].tolist() for name in frame}
    for name, values in columns.items():
        if frame[name].isna().any():
            columns[name] = [
                None if missing else value for value, missing in zip(values, frame[name].isna(), strict=True)
            ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


async def _read_body(request: Request) -> bytes:
    """The body, read no further than it may be long."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413, _too_large())
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_BODY_BYTES:
            raise HTTPException(413, _too_large())
        parts.append(part)
    return b"".join(parts)


def _too_large() -> str:
    return f"a body holds at most {MAX_BODY_BYTES:,} bytes; send fewer accounts at once"


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _error(status: int, code: str, message: str, detail: Any = None) -> Response:
    return _json({"error": {"code": code, "message": message, "detail": detail}}, status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = error.detail if isinstance(error, HTTPException) else ""
    allowed = getattr(error, "headers", None) or {}
    detail = {"path": request.url.path, **({"allow": allowed["Allow"]} if "Allow" in allowed else {})}
    return _error(status, STATUS_CODES.get(status, "http"), message, detail)


async def _on_client_gone(_: Request, __: Exception) -> Response:
    # Nobody reads it; the server wants an answer all the same.
    return _error(400, "bad_request", "the body must arrive whole; the connection was closed before its end")
