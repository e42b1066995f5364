"""A small typed client of the service.

    with Client("http://127.0.0.1:3000", key="...") as recoup:
        recoup.events({"payments": [{"account_id": "A1", "at": "2026-03-01T09:30:00Z", "amount": 50}]})
        for row in recoup.queue(capacities={"call": 250}):
            print(row.rank, row.account_id, row.channel)

What the service is too busy for is asked again after a while; so is what a broken connection may have lost, where
asking twice does no harm: events that were sent before change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from features.errors import RecoupError
from serving.api.answers import (
    AllowedAnswer,
    ErrorAnswer,
    EventsAnswer,
    HeldBack,
    KeptOverride,
    ModelAnswer,
    OverridesAnswer,
    QueueAnswer,
    QueueRow,
    Reject,
    ScoresAnswer,
)

T = TypeVar("T")
Row = Mapping[str, Any]

#: Rows of a batch of events.
BATCH = 1_000
#: Too busy, or not there for now.
_BUSY = frozenset({429, 502, 503, 504})
_LONGEST_WAIT = 30.0


class ServiceError(RecoupError):
    """An error that the service answered with; `status` is 0 where it could not be reached."""

    def __init__(self, status: int, code: str, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.detail = status, code, detail


@dataclass
class Taken:
    """What became of events, batch by batch added up: rows by table that were kept, and that had been sent before.

    `rejects` are those set aside; `row` counts from 1 within all rows that were sent of that table.
    """

    accepted: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    arrival: int = 0


class Client:
    """A connection to a service; to be closed, or used in a `with` block.

    Args:
        url: where it is, without `/v1`.
        key: an API key; none for a service that asks for none.
        retries: how often what failed for now is asked again.
        timeout: seconds to wait for an answer.
        transport: how requests are sent, for tests.
        sleep: waits between two attempts, for tests.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retries: int = 5,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        base = url.rstrip("/") + "/v1"
        self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout, transport=transport)
        self._retries, self._sleep = retries, sleep

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def score(
        self,
        account_ids: Sequence[str] | None = None,
        *,
        histories: Mapping[str, Sequence[Row]] | None = None,
        as_of: str | None = None,
        reasons: bool = False,
        language: str | None = None,
    ) -> ScoresAnswer[dict[str, Any]]:
        """Scores of stored accounts, or of those whose histories are given; reasons in a language, else in English."""
        body: dict[str, Any] = {"account_ids": account_ids, "histories": histories, "as_of": as_of}
        body |= {"reasons": reasons, "language": language}
        return self._ask("POST", "/score", ScoresAnswer[dict[str, Any]], _given(body))

    def allowed(self, pairs: Iterable[tuple[str, str]], *, as_of: str | None = None) -> AllowedAnswer:
        """Whether each account may be contacted through its channel now: to be asked at the moment of dialling."""
        asked = [{"account_id": account_id, "channel": channel} for account_id, channel in pairs]
        return self._ask("POST", "/allowed", AllowedAnswer, _given({"pairs": asked, "as_of": as_of}))

    def queue(self, *, held: Callable[[HeldBack], None] | None = None, **request: Any) -> Iterator[QueueRow]:
        """The rows of a queue, page after page of the same queue; `request` is the body of `/v1/queue`.

        Args:
            held: told of each account held back.
            request: `as_of`, `capacities`, `portfolio`, `segment`, `stage`, `reasons`, `language`, `limit` (rows of
                a page) ...
        """
        for page in self.queue_pages(**request):
            yield from page.rows
            if held is not None:
                for one in page.held:
                    held(one)

    def queue_pages(self, **request: Any) -> Iterator[QueueAnswer]:
        """The pages of a queue."""
        cursor: str | None = None
        while True:
            page = self._ask("POST", "/queue", QueueAnswer, _given({**request, "cursor": cursor}))
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def events(self, tables: Mapping[str, Iterable[Row]]) -> Taken:
        """Send rows of any table, in batches, accounts first; may be called again with the same rows.

        Raises:
            ServiceError: a batch was refused, or not taken in time. Those before it are kept.
        """
        taken = Taken()
        for name in sorted(tables, key=lambda table: table != "accounts"):
            rows, sent = iter(tables[name]), 0
            while batch := list(islice(rows, BATCH)):
                found = self._ask("POST", "/events", EventsAnswer, {name: batch})
                _add(taken, found, sent)
                sent += len(batch)
        return taken

    def account(self, account_id: str, *, language: str | None = None) -> dict[str, Any]:
        """Everything that there is to say of one account, in a language, else in English."""
        return self._ask("GET", f"/accounts/{_quoted(account_id)}", dict[str, Any], query={"language": language})

    def override(
        self, account_id: str, *, recommended: str, chosen: str, reason: str,
        at: str | None = None, answer_id: int | None = None,
    ) -> KeptOverride:  # fmt: skip
        """Keep a choice other than the one recommended. Not asked again where a connection breaks: see `overrides`."""
        body = {"account_id": account_id, "recommended": recommended, "chosen": chosen, "reason": reason}
        body |= _given({"at": at, "answer_id": answer_id})
        return self._ask("POST", "/overrides", KeptOverride, body, repeatable=False)

    def end_override(self, override_id: int) -> KeptOverride:
        """End an override: it is kept, and holds no longer."""
        return self._ask("DELETE", f"/overrides/{override_id}", KeptOverride)

    def overrides(self, account_id: str | None = None) -> Iterator[KeptOverride]:
        """All overrides, in the order in which they were written."""
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", "/overrides", OverridesAnswer, query={"account_id": account_id, "after": after})
            yield from page.overrides
            after = page.after

    def model(self) -> ModelAnswer:
        """Which model answers, and what it knows."""
        return self._ask("GET", "/model", ModelAnswer)

    def _ask(
        self, method: str, path: str, answer: type[T], body: Any = None, *, query: Mapping[str, Any] | None = None,
        repeatable: bool = True,
    ) -> T:  # fmt: skip
        """Ask, and ask again after a while where that may help."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                response = self._http.request(
                    method, path, content=content, headers=headers, params=_given(query or {})
                )
            except httpx.TransportError as error:
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise ServiceError(0, "unreachable", f"the service was not reached: {error}") from error
                self._sleep(_wait(attempt, None))
                continue
            if response.status_code == 200:
                return msgspec.json.decode(response.content, type=answer)
            # A gateway's answer does not say whether the service got the request; its own 429 and 503 do: it did not.
            again = response.status_code in (_BUSY if repeatable else {429, 503})
            if last or not again:
                raise _error_of(response)
            self._sleep(_wait(attempt, response.headers.get("Retry-After")))
        raise AssertionError("the last attempt returns or raises")


def _wait(attempt: int, asked: str | None) -> float:
    """Seconds to wait: as the service asks, else twice as long each time."""
    seconds = float(asked) if asked and asked.isdigit() else 0.25 * 2**attempt
    return min(seconds, _LONGEST_WAIT)


def _error_of(response: httpx.Response) -> ServiceError:
    try:
        found = msgspec.json.decode(response.content, type=ErrorAnswer).error
    except msgspec.MsgspecError:
        return ServiceError(response.status_code, "http", f"the service answered {response.status_code}")
    return ServiceError(response.status_code, found.code, found.message, found.detail)


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in body.items() if value is not None}


def _add(taken: Taken, found: EventsAnswer, sent: int) -> None:
    """Add a batch; its rows follow those that were sent before of the same table."""
    for total, batch in ((taken.accepted, found.accepted), (taken.duplicates, found.duplicates)):
        for name, number in batch.items():
            total[name] = total.get(name, 0) + number
    taken.rejects += [msgspec.structs.replace(reject, row=reject.row + sent) for reject in found.rejects]
    taken.arrival = found.arrival


def _quoted(account_id: str) -> str:
    from urllib.parse import quote

    return quote(account_id, safe="")
