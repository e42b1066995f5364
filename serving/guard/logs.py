"""The log of a worker: one line of JSON for each request and each message, with ids and figures alone.

No path as it was sent, no query and no body is ever in it: an endpoint is named by its pattern.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import IO, Any

import msgspec

from serving.guard import ids

NAME = "recoup"
#: Where a request's figures are in a record of the log.
FIELDS = "fields"

_requests = logging.getLogger(f"{NAME}.requests")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: at, level, message, the id of the request, and its figures where it is of one."""

    def __init__(self) -> None:
        super().__init__()
        self._encoder = msgspec.json.Encoder()

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; of an exception the kind and the place, since its message may quote what was sent."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        if request_id := ids.current.get():
            line["request_id"] = request_id
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = place_of(record.exc_info[1])
        line |= getattr(record, FIELDS, {})
        return self._encoder.encode(line).decode()


def place_of(error: BaseException) -> str:
    """The kind of an exception and the innermost place it came from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f", {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{where}"


def write_json_lines(stream: IO[str]) -> None:
    """Let all of Recoup's messages in this process go to a stream, as lines of JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(NAME)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def log_request(**fields: Any) -> None:
    """Write the line of a request."""
    _requests.info("request", extra={FIELDS: fields})
