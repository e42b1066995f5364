"""Bodies in, JSON and errors out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pandas as pd
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from features.errors import ErasedError, MomentError, PortfolioError, RecoupError, SettingsError, StoreError
from serving.api.calls import Answer, Call, NoStoreError, RequestError
from serving.api.cursors import CursorError

#: The largest body that is read: the histories of some ten thousand accounts.
MAX_BODY_BYTES = 32 * 1024 * 1024
#: The code of an error that the request caused, and its status; 400 and `bad_request` where nothing is said here.
CODES: Mapping[type[RecoupError], tuple[int, str]] = {
    PortfolioError: (400, "portfolio"),
    MomentError: (400, "moment"),
    SettingsError: (400, "settings"),
    CursorError: (400, "cursor"),
    ErasedError: (409, "erased"),
    NoStoreError: (409, "no_store"),
    StoreError: (503, "store"),
}
STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 503: "not_ready"}

#: When to ask again what the store did not do, in seconds.
RETRY_SECONDS = 2

logger = logging.getLogger("recoup")


def answered(answer: Callable[[Call], Answer], call: Call, where: str) -> Response:
    """The answer to a call, or the error that it ended in; `where` names the endpoint, for the log."""
    try:
        found = answer(call)
        response = _response(found)
        if found.after is not None:
            found.after()
        return response
    except HTTPException as error:
        return on_http_error(error, where)
    except RecoupError as error:
        status, code = CODES.get(type(error), (400, "bad_request"))
        if isinstance(error, StoreError) and call.serving.metrics is not None:
            call.serving.metrics.store_errors.labels(where).inc()
        response = error_response(status, code, str(error))
        if status == 503:
            response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response
    except Exception as error:  # noqa: BLE001 the outermost frame of a request
        # Only what and where: a message may quote what was sent.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("fault in answering %s: %s, %s:%s", where, type(error).__name__, frame.filename, frame.lineno)  # noqa: TRY400
        return error_response(500, "internal", "this is a fault in Recoup; the request was not answered")


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The body of a request.

    Raises:
        RequestError: it is no JSON of the shape that the decoder asks for.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"the body must be JSON of the shape that the API states: {error}") from None


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON has them: floats whole, what is missing as null."""
    columns = {str(name): frame[name].tolist() for name in frame}
    for name, values in columns.items():
        if frame[name].isna().any():
            columns[name] = [
                None if missing else value for value, missing in zip(values, frame[name].isna(), strict=True)
            ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


async def read_body(request: Request) -> bytes:
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


def _response(answer: Answer) -> Response:
    if answer.media_type == "application/json":
        return json_response(answer.content, answer.status)
    return Response(answer.content, answer.status, media_type=answer.media_type)


def json_response(content: Any, status: int = 200) -> Response:
    """Any content as JSON; a NaN becomes null."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def error_response(status: int, code: str, message: str, detail: Any = None) -> Response:
    """An error in the one shape that all have."""
    return json_response({"error": {"code": code, "message": message, "detail": detail}}, status)


def on_http_error(error: HTTPException, path: str) -> Response:
    """What Starlette refuses, in the same shape."""
    allowed = error.headers or {}
    detail = {"path": path, **({"allow": allowed["Allow"]} if "Allow" in allowed else {})}
    return error_response(error.status_code, STATUS_CODES.get(error.status_code, "http"), error.detail, detail)


def _too_large() -> str:
    return f"a body holds at most {MAX_BODY_BYTES:,} bytes; send fewer accounts at once"
