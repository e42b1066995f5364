"""Cursors: where the next page of a queue begins, and what pins the queue that it is a page of.

A cursor is a text that the client sends back as it is, with the same request. It pins the moment, the model, the last
batch of the store that was seen and the request itself: every page is one of the same queue, whatever came in since.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from features.errors import RecoupError

_CHECK_BYTES = 12


#: Whatever a cursor says fits into an instant and into a database's number, whoever wrote it.
_Number = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_Place = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class CursorError(RecoupError):
    """A cursor that is none, or of another request or model."""


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a page is pinned to: `arrival` is -1 where the histories came with the request."""

    as_of: _Number
    arrival: _Number
    offset: _Place
    model: str
    request: str


def request_digest(request: Any) -> str:
    """What tells one request from another, its page apart."""
    same = msgspec.structs.replace(request, cursor=None, limit=1)
    return blake2b(msgspec.json.encode(same, order="deterministic"), digest_size=16).hexdigest()


def write_cursor(cursor: Cursor) -> str:
    """The text of a cursor; the other way round it is `read_cursor`.

    >>> read_cursor(write_cursor(Cursor(1, 2, 3, "m", "r"))).offset
    3
    """
    content = msgspec.msgpack.encode(cursor)
    return urlsafe_b64encode(_check(content) + content).decode()


def read_cursor(text: str) -> Cursor:
    """The cursor that a text is.

    Raises:
        CursorError: it was not written by `write_cursor`, or was changed since.
    """
    try:
        whole = urlsafe_b64decode(text.encode())
        check, content = whole[:_CHECK_BYTES], whole[_CHECK_BYTES:]
        if check == _check(content):
            return msgspec.msgpack.decode(content, type=Cursor)
    except (Base64Error, ValueError, msgspec.MsgspecError):
        pass
    raise CursorError("a cursor is sent back as it came; this one was changed or cut: ask anew without a cursor")


def check_cursor(cursor: Cursor, model: str, request: str) -> None:
    """Refuse a cursor of another request, or of a model that is no longer in service, with `CursorError`."""
    if cursor.request != request:
        raise CursorError("a cursor goes with the request that it was given for; repeat that, or leave the cursor out")
    if cursor.model != model:
        raise CursorError("another model is in service since this queue was begun; ask for it anew without a cursor")


def _check(content: bytes) -> bytes:
    """Against slips, not against malice: whoever may ask for a queue may ask for this one."""
    return blake2b(content, digest_size=_CHECK_BYTES, person=b"queue cursor").digest()
