"""`/v1/overrides`: a collector's different choice with its reason, kept as data to learn from; its end; their list."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pandas as pd
from starlette.exceptions import HTTPException

from features.contract import NO_CHANNEL
from features.units import format_instant
from serving.api.answering import decoded, records
from serving.api.calls import Answer, Call, Parameter, RequestError
from serving.store.inserting import unknown_accounts
from serving.store.overrides import Override, end_override, list_overrides, write_override

#: Overrides of a page of the list, where the request does not say how many; and the most that it may say.
DEFAULT_PAGE, MAX_PAGE = 100, 1_000
#: A number that a database counts up.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: A text that a person wrote or that names something: any but for the sign that no database keeps.
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000, pattern="^[^\\x00]*$")]
PARAMETERS = (
    Parameter("account_id", Text, "Only those of this account."),
    Parameter("after", Number, "Only those with a greater number: what the page before says."),
    Parameter("limit", Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)], f"How many at most; {DEFAULT_PAGE} if none."),
)
END_PARAMETERS = (Parameter("id", Number, "The number of the override."),)


class OverrideRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A choice other than the one that was recommended; `answer_id` is the ledger's answer that recommended it."""

    account_id: Text
    recommended: str
    chosen: str
    reason: Text
    at: str | None = None
    answer_id: Number | None = None


_DECODER = msgspec.json.Decoder(OverrideRequest)


def write(call: Call) -> Answer:
    """Keep an override: it is durable when it is answered.

    Raises:
        RecoupError: it was not kept.
    """
    store, request = call.store, decoded(_DECODER, call.body)
    _check(call, request)
    moment = call.moment(request.at)
    given = {name: getattr(request, name) for name in ("account_id", "recommended", "chosen", "reason", "answer_id")}
    number = write_override(store, Override(at=moment, key_id=call.key_id, **given))
    kept: dict[str, Any] = {"override_id": number, **given, "at": format_instant(moment), "key_id": call.key_id}
    return Answer({**kept, "ended_at": None, "ended_key_id": None})


def end(call: Call) -> Answer:
    """End an override: it is kept, and holds no longer. One that was ended already stays as it is.

    Raises:
        HTTPException: there is none of this number.
        RequestError: it is no number.
        StoreError: the store did not take it.
    """
    number = _read(END_PARAMETERS[0], call.path["id"])
    found = end_override(call.store, number, call.now, call.key_id)
    if found.empty:
        raise HTTPException(404, "the store holds no override of this number")
    return Answer(_rows(found)[0])


def _check(call: Call, request: OverrideRequest) -> None:
    actions = (*call.engine.settings.channel_names, NO_CHANNEL)
    for name in ("recommended", "chosen"):
        if getattr(request, name) not in actions:
            raise RequestError(f"{name} is one of {', '.join(actions)}; got {getattr(request, name)[:100]!r}")
    if request.chosen == request.recommended:
        raise RequestError(f"an override is another choice than the one recommended, got {request.chosen} for both")
    if not request.reason.strip():
        raise RequestError("an override has a reason that is not blank; say why in a few words")
    with call.store.reading() as connection:
        if unknown_accounts(connection, [request.account_id]):
            raise RequestError("an override is of a stored account, this one is not there; send it to /v1/events")


def list_all(call: Call) -> Answer:
    """List overrides in the order in which they were written."""
    query = {parameter.name: _read(parameter, call.query.get(parameter.name)) for parameter in PARAMETERS}
    limit = query["limit"] or DEFAULT_PAGE
    found = list_overrides(call.store, query["account_id"], query["after"] or 0, limit)
    rows = _rows(found)
    return Answer({"overrides": rows, "after": rows[-1]["override_id"] if len(rows) == limit else None})


def _rows(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Overrides as they are answered."""
    return [
        {**row, **{name: None if row[name] is None else format_instant(int(row[name])) for name in ("at", "ended_at")}}
        for row in records(found)
    ]


def _read(parameter: Parameter, text: str | None) -> Any:
    """What the URL says of a parameter; None where it says nothing."""
    if text is None:
        return None
    try:
        return msgspec.convert(text, parameter.type, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(f"{parameter.name} in the URL is not what it may be: {error}") from None
