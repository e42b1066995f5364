"""One account: its history on a time line, its score over time and why, what may be done, and what people chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
from starlette.exceptions import HTTPException
from starlette.responses import Response

from features.contract import NO_CHANNEL
from features.units import parse_instant
from serving.api import accounts, allowed, overrides
from serving.api.answering import records
from serving.api.answers import AccountAnswer, AccountFacts, AllowedAnswer
from serving.api.calls import RequestError
from serving.languages.language import translatable
from serving.review.pages.cells import CellWriter, Column
from serving.review.pages.chart import Chart, line_chart
from serving.review.pages.visit import ROOT, FormError, Visit
from serving.store.ledger_reading import scores_of
from serving.store.overrides import list_overrides

#: So many scores of the ledger are read, and so many overrides are listed.
_SCORES, _OVERRIDES = 1_000, 1_000
#: So many reasons are told.
_REASONS = 8


_PAST = (
    Column("as_of", translatable("Day"), "moment"),
    Column("p_pay", translatable("Chance to pay"), "share"),
    Column("band", translatable("Band"), "band"),
    Column("best_channel", translatable("Best now"), "channel"),
    Column("model", translatable("Model"), "text"),
)
_CHANNELS = (
    Column("name", translatable("Channel"), "own"),
    Column("value", translatable("Value"), "gain"),
    Column("p_pay", translatable("Chance to pay"), "share"),
    Column("effect_known", translatable("Effect known"), "yes"),
    Column("allowed", translatable("Allowed now"), "own"),
    Column("why", translatable("What forbids it, until when"), "own", style="wide"),
)
_RUNGS = (
    Column("rung", translatable("Rung"), "text"),
    Column("channel", translatable("Channel"), "channel"),
    Column("open", translatable("Open"), "rung"),
    Column("policy", translatable("Policy"), "text"),
)


@dataclass(frozen=True)
class Event:
    """An event of the time line: when, of which kind (`contact`, `payment`, ...), and the fact itself."""

    at: str
    kind: str
    fact: Any


def show(visit: Visit) -> Response:
    """The page of the account that the query names; the form that asks for one where it names none."""
    account_id = visit.call.query.get("id", "").strip()
    if not account_id:
        return visit.page("find.html", missing="", wanted="")
    try:
        return _page(visit, account_id)
    except HTTPException as error:
        if error.status_code != 404:
            raise
        return visit.page("find.html", 404, missing=account_id, wanted=account_id)


def override(visit: Visit) -> Response:
    """Keep a different choice, as the API does, and show the account again."""
    form = visit.form
    answer_id = form.get("answer_id", "")
    if answer_id and not (answer_id.isascii() and answer_id.isdecimal()):
        raise FormError("a form names the answer by its number; open the page anew")
    given = {name: form.get(name, "") for name in ("account_id", "recommended", "chosen", "reason")}
    body = msgspec.json.encode({**given, "answer_id": int(answer_id) if answer_id else None})
    try:
        overrides.write(replace(visit.call, body=body))
    except RequestError as error:
        if not given["account_id"]:
            raise
        return _page(visit, given["account_id"], str(error), given, 400)
    return visit.to(f"{ROOT}/account?{urlencode({'id': given['account_id']})}#overrides")


def end_override(visit: Visit) -> Response:
    """End a different choice, as the API does, and show the account again."""
    overrides.end(replace(visit.call, path={"id": visit.form.get("override_id", "")}))
    return visit.to(f"{ROOT}/account?{urlencode({'id': visit.form.get('account_id', '')})}#overrides")


def _page(
    visit: Visit, account_id: str, error: str = "", given: dict[str, str] | None = None, status: int = 200
) -> Response:
    # Before the page's own score is written: a look at an account is no news about it.
    scored = _scores(visit, account_id)
    found = _answer(visit, account_id)
    # The account's own clock: the debtor's days are meant by its rules.
    write = replace(visit.writing, zone=ZoneInfo(found.facts.timezone))
    writer, channels = CellWriter(write), _channels(visit, found)
    return visit.page(
        "account.html",
        status,
        write=write,
        account=found,
        facts=found.facts,
        events=timeline(found.facts),
        past=writer.grid(_PAST, records(scored.iloc[::-1])),
        chart=_chart(scored, found),
        reasons=_reasons(found),
        channels=channels,
        grid=writer.grid(_CHANNELS, channels),
        rungs=writer.grid(_RUNGS, map(msgspec.structs.asdict, found.rungs)),
        overrides=_overrides(visit, account_id),
        error=error,
        given=given or {},
    )


def _answer(visit: Visit, account_id: str) -> AccountAnswer[Any]:
    call = replace(visit.call, path={"id": account_id}, query={"language": visit.language.tag})
    found = accounts.answer(call)
    if found.after is not None:
        found.after()
    content: AccountAnswer[Any] = found.content
    return content


def _reasons(found: AccountAnswer[Any]) -> list[tuple[bool, str]]:
    """The strongest reasons: whether each speaks for a payment, and what it says, without the sign before it."""
    told = [one for one in found.reasons if one.reason][:_REASONS]
    return [(one.contribution > 0, one.reason.lstrip("+-− ")) for one in told]


def timeline(facts: AccountFacts) -> list[Event]:
    """What happened and what is known to come, the latest first."""
    events = [
        *(Event(one.at, "contact", one) for one in facts.contacts),
        *(Event(one.at, "payment", one) for one in facts.payments),
        *(Event(one.made_at, "promise", one) for one in facts.promises),
        *(Event(one.at, "restriction", one) for one in facts.restrictions),
        Event(facts.placed_at, "placed", facts),
        Event(facts.opened_at, "opened", facts),
        *([] if facts.due_on is None else [Event(facts.due_on, "due", facts)]),
    ]
    return sorted(events, key=lambda event: parse_instant(event.at), reverse=True)


def _scores(visit: Visit, account_id: str) -> pd.DataFrame:
    """The last score of each day in the ledger by the model that answered, the earliest first."""
    found = scores_of(visit.call.store, account_id, _SCORES)
    found = found[found["role"] == "champion"].iloc[::-1]
    day = [visit.writing.local(int(at)).date() for at in found["as_of"]]
    return found.assign(day=day).drop_duplicates("day", keep="last").sort_values("as_of")


def _chart(scored: pd.DataFrame, found: AccountAnswer[Any]) -> Chart | None:
    """The chart of past scores and the present one; None where there is not even that."""
    points = {int(at): float(p) for at, p in zip(scored["as_of"], scored["p_pay"], strict=True)}
    if found.score is not None:
        points[parse_instant(found.as_of)] = found.score.p_pay
    times = sorted(points)
    return line_chart(times, [points[at] for at in times]) if times else None


def _channels(visit: Visit, found: AccountAnswer[Any]) -> list[dict[str, Any]]:
    """Each channel, and waiting: what it is worth, whether it is allowed, and which rules forbid it until when."""
    worth = {one.channel: one for one in found.actions}
    names = [name for name in visit.call.engine.settings.channel_names if name in worth]
    asked = [{"account_id": found.account_id, "channel": name} for name in names]
    said: dict[str, Any] = {}
    if asked:
        body = msgspec.json.encode({"pairs": asked, "as_of": found.as_of, "language": visit.language.tag})
        content: AllowedAnswer = allowed.answer(replace(visit.call, body=body)).content
        said = {pair.channel: pair for pair in content.pairs}
    rest: Sequence[str] = [NO_CHANNEL] if NO_CHANNEL in worth else []
    best = None if found.score is None else found.score.best_channel
    return [
        {
            **msgspec.structs.asdict(worth[name]),
            "name": name,
            "rules": said.get(name),
            "style": "best" if name == best else "",
        }
        for name in (*names, *rest)
    ]


def _overrides(visit: Visit, account_id: str) -> list[dict[str, Any]]:
    """The account's overrides, the latest first."""
    found = list_overrides(visit.call.store, account_id, limit=_OVERRIDES)
    return records(found.iloc[::-1])
