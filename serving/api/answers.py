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


class ErasedAnswer(msgspec.Struct):
    """What was erased: rows of histories that are gone, and rows of the ledger that no longer say whose they are."""

    histories: int
    ledger: int


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


class Contribution(msgspec.Struct):
    """What a feature, with this value, adds to the raw score of `p_pay`: exactly, and never a probability."""

    feature: str
    value: float | None
    contribution: float


class TopicReason(msgspec.Struct):
    """What features that say nearly the same add up to, and the sentence that tells it; blank where none can."""

    topic: str
    contribution: float
    reason: str


class ActionValue(msgspec.Struct):
    """What an action is worth now, and whether it may be chosen: forbidden until then, null where it is not."""

    channel: str
    p_pay: float | None
    value: float | None
    effect_known: bool
    enabled: bool
    allowed: bool
    blocked_until: str | None


class KnownContact(msgspec.Struct):
    """A contact."""

    at: str
    channel: str
    outcome: str
    direction: str


class KnownPayment(msgspec.Struct):
    """A payment, or, below zero, a reversal."""

    at: str
    amount: float


class KnownPromise(msgspec.Struct):
    """A promise, and whether it is `open`, `kept` or `broken` as of the moment."""

    made_at: str
    due_on: str
    amount: float
    state: str


class KnownRestriction(msgspec.Struct):
    """A restriction that is active; without end where `until` is null, of all channels where `channel` is."""

    at: str
    kind: str
    channel: str | None
    until: str | None


class AccountFacts(msgspec.Struct):
    """What is known of an account as of a moment; of contacts, payments and promises the latest, newest first."""

    opened_at: str
    placed_at: str
    due_on: str | None
    balance: float
    days_past_due: float | None
    stage: str | None
    segment: str | None
    portfolio: str | None
    commission_rate: float
    timezone: str
    rules: str
    contacts: list[KnownContact]
    payments: list[KnownPayment]
    promises: list[KnownPromise]
    restrictions: list[KnownRestriction]


class RungState(msgspec.Struct):
    """A rung of the ladder in force: whether it is open to the account, why it is not, and when it is by the policy."""

    rung: str
    channel: str
    open: bool
    why: str | None
    policy: str


class AccountAnswer(msgspec.Struct, Generic[Row]):
    """An account: its score, what it was made of and why. Where it is not live, `not_scored` says why it has none.

    `rungs` are those of the service's ladder, none where it has none or the account is not live.
    `history` is what its history says, in one line; it is in the language that was asked for, as are the sentences of
    `reasons` and `why_blocked`. `base` and all contributions add up to the raw score of `p_pay`. `why_blocked` says
    what forbids contact, and `next_allowed_at` when contact is first allowed, in the debtor's time; both are null where
    nothing does or it never is.
    """

    account_id: str
    model: str
    as_of: str
    arrival: int
    answer_id: int | None
    score: Row | None
    not_scored: str | None
    history: str
    facts: AccountFacts
    base: float | None
    contributions: list[Contribution]
    reasons: list[TopicReason]
    actions: list[ActionValue]
    rungs: list[RungState]
    why_blocked: str | None
    next_allowed_at: str | None


class QueueRow(msgspec.Struct):
    """A place in the queue.

    `best_hour` is when the hour begins at which a call is likeliest to reach the right party, by `right_party_rate`;
    null for other channels, and where nobody was called yet in the hours that are left. `calls_at_hour` are the
    account's own calls at that hour so far. `propensity` is the probability with which it was given this channel.
    `history` is what its history says, `why_channel` why it has this channel and not the next best, `would_change` what
    would change that, and `reasons` what speaks for or against a payment: a line each, in the language asked for.
    """

    rank: int
    account_id: str
    channel: str
    not_before: str
    not_after: str
    best_hour: str | None
    right_party_rate: float | None
    calls_at_hour: int
    priority: float | None
    expected_net: float | None
    uplift: float | None
    band: str
    p_pay: float
    expected_amount: float | None
    balance: float
    stage: str | None
    propensity: float
    explored: bool
    history: str
    why_channel: str
    would_change: str
    reasons: str


class RuleAgainst(msgspec.Struct):
    """A rule that forbids contact, where it is written, and until when it does; null where that is not known."""

    rule: str
    words: str
    source: str
    until: str | None


class PairAllowed(msgspec.Struct):
    """Whether an account may be contacted through a channel now; `rules` are those that forbid it.

    `next_allowed_at` is the first moment at which all of them allow it, and `not_before` and `not_after` are the window
    that it lies in, in the debtor's time; null where it is never.
    """

    account_id: str
    channel: str
    allowed: bool
    rules: list[RuleAgainst]
    next_allowed_at: str | None
    not_before: str | None
    not_after: str | None


class AllowedAnswer(msgspec.Struct):
    """What contact rules say of each pair, in the order in which they were asked; `arrival` as in other answers."""

    as_of: str
    arrival: int
    pairs: list[PairAllowed]


class HeldBack(msgspec.Struct):
    """An account that must not be contacted now, why, and from when on it may be."""

    account_id: str
    why: str
    next_allowed_at: str | None
    stage: str | None


class WhatIf(msgspec.Struct):
    """What other capacities, rules or costs would bring: what all rows add, and how much more than those of the plan.

    At 95 %, that is on average between `low` and `high`, and of a single day comes what lies between `day_low` and
    `day_high`; null where effects are not known, or not how sure they are.

    `rules` is the pack of all accounts, null where each has its own, and `costs` are those that differ. `rows` is by
    channel; `used` and `prices` are as those of the queue. Nothing of it is explored.
    """

    capacities: dict[str, float]
    rules: str | None
    costs: dict[str, float]
    value: float
    difference: float
    low: float | None
    high: float | None
    day_low: float | None
    day_high: float | None
    rows: dict[str, int]
    used: dict[str, float]
    prices: dict[str, float]


class QueueAnswer(msgspec.Struct):
    """A page of a queue: of its rows, the accounts held back and those not scored; `totals` are their numbers.

    `counts` says where every live account ended, `prices` what one more of each capacity would add, a place or a unit
    of money, and `used` how much is taken of those with a name of their own; `cursor` asks for the next page, and is
    null on the last.
    """

    model: str
    as_of: str
    arrival: int | None
    rows: list[QueueRow]
    held: list[HeldBack]
    not_scored: list[NotScored]
    counts: dict[str, int]
    totals: dict[str, int]
    prices: dict[str, float]
    used: dict[str, float]
    what_if: list[WhatIf]
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
    """A different choice that was kept; `ended_at` is null while it holds."""

    override_id: int
    account_id: str
    at: str
    recommended: str
    chosen: str
    reason: str
    answer_id: int | None
    key_id: str | None
    ended_at: str | None = None
    ended_key_id: str | None = None


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
