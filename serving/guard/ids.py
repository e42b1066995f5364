"""An id for every request, so that an answer, a line of the log and a row of the ledger can be brought together."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = b"x-request-id"
#: What a caller may name a request: nothing that could break a line, a header or a page. Any other is replaced.
_FIT = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

#: The id of the request that is being answered, for the log; it is handed on to the thread that answers.
current: ContextVar[str] = ContextVar("request_id", default="")


def request_id(given: bytes | None) -> str:
    r"""The id of a request: the one it came with, where that is fit, else a new one of 128 random bits.

    >>> request_id(b"queue-42")
    'queue-42'
    >>> len(request_id(b"two\nlines"))
    32
    """
    return given.decode("ascii") if given is not None and _FIT.fullmatch(given) else secrets.token_hex(16)
