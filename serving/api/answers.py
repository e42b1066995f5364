"""What the API answers, as types: the OpenAPI document is made of them, and the client reads answers into them.

What is not known is null. A table's row may have more columns than are named here.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class ErrorBody(msgspec.Struct):
    """What went wrong: a code for programs, the rule and what to do next for people."""

    code: str
    message: str
    detail: Any


class ErrorAnswer(msgspec.Struct):
    """The one shape of all errors."""

    error: ErrorBody


class Reject(msgspec.Struct):
    """A row that was set aside: which one of its table, counted from 1, and why."""

    table: str
    row: int
    column: str | None
    value: str | None
    reason: str


class NotScored(msgspec.Struct):
    """An account that is not scored, and why."""

    account_id: str
    why: str


class ScoresAnswer(msgspec.Struct, Generic[Row]):
    """Scores: each row has the columns of the scores table, among them those of the portfolio's channels.

    `answer_id` is the number of the answer in the ledger; null where there is none, or nothing was scored.
    """

    model: str
    as_of: str
    answer_id: int | None
    scores: list[Row]
    not_scored: list[NotScored]
    rejects: list[Reject]
    notes: list[str]


class QueueRow(msgspec.Struct):
    """A place in the queue. `propensity` is the probability with which the account was given this channel."""

    rank: int
    account_id: str
    channel: str
    not_before: str
    not_after: str
    priority: float | None
    expected_net: float | None
    uplift: float | None
    band: str
    p_pay: float
    expected_amount: float | None
    balance: float
    propensity: float
    explored: bool
    reasons: str


class HeldBack(msgspec.Struct):
    """An account that must not be contacted now, why, and from when on it may be."""

    account_id: str
    why: str
    next_allowed_at: str | None


class QueueAnswer(msgspec.Struct):
    """A page of a queue: of its rows, the accounts held back and those not scored; `totals` are their numbers.

    `counts` says where every live account ended; `cursor` asks for the next page, and is null on the last.
    """

    model: str
    as_of: str
    arrival: int | None
    rows: list[QueueRow]
    held: list[HeldBack]
    not_scored: list[NotScored]
    counts: dict[str, int]
    totals: dict[str, int]
    notes: list[str]
    rejects: list[Reject]
    cursor: str | None


class EventsAnswer(msgspec.Struct):
    """What became of a batch: by table how many rows were kept, and how many had been sent before.

    `arrival` is the number of the last batch that the store has kept.
    """

    arrival: int
    accepted: dict[str, int]
    duplicates: dict[str, int]
    rejects: list[Reject]


class KeptOverride(msgspec.Struct):
    """A different choice that was kept."""

    override_id: int
    account_id: str
    at: str
    recommended: str
    chosen: str
    reason: str
    answer_id: int | None
    key_id: str | None


class OverridesAnswer(msgspec.Struct):
    """Overrides in the order in which they were written; `after` asks for what follows them."""

    overrides: list[KeptOverride]
    after: int | None


class ModelChannel(msgspec.Struct):
    """A channel as it is now."""

    name: str
    cost: float
    enabled: bool
    daily_capacity: int | None


class ModelAnswer(msgspec.Struct):
    """Which model answers, and what it knows."""

    model: str
    sha256: str
    portfolio: str
    target: str
    horizon_days: int
    channels: list[ModelChannel]
    channel_support: list[dict[str, Any]]
    usual_channel: str
    band_thresholds: list[float]
    features: list[str]
    trained_until: str
    data_until: str
    holdout: dict[str, Any]
    versions: dict[str, Any]
    commit: str | None
