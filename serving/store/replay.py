"""Replay: a score of the ledger is computed again, and every bit of it held against what was recorded.

It starts from what was there then: the store's histories up to the answer's last arrival, or the features that came
with the request; the bundle of the same sha256; the settings in force. Of a queue, the scores are replayed: which rank
and channel an account was given hangs on all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sql

from features.compute import standing
from features.errors import BundleError, StoreError
from features.histories import Histories
from features.settings import PortfolioSettings
from features.units import Rows, from_money
from serving.contact_rules.packs import named_packs
from serving.contact_rules.rules import blocked_until
from serving.scoring import (
    Mask,
    Scorer,
    actions_of,
    allowed_actions,
    check_match,
    choose,
    features_of,
    prepare_scorer,
    priority,
)
from serving.store.database import Store
from serving.store.erasing import erasures
from serving.store.ledger import (
    Answer,
    Scored,
    allowed_of,
    answers,
    columns_of,
    inputs,
    scores,
    settings_used,
    unpacked_matrix,
)
from serving.store.reading import Read, read_histories
from training.bundle import Bundle, Floats, Matrix, band_of

#: Finds a bundle by its sha256; `BundleError` where it is not there any more.
OpenBundle = Callable[[str], Bundle]
#: Why the score of an erased account cannot be replayed.
ERASED = "the account was erased"
#: The columns of `scores` that are computed, in their order; after them comes what a queue chose.
FIGURES = tuple(column.name for column in scores.columns)[3:-4]


#: Reads histories, as `read_histories` does.
ReadHistories = Callable[[Store, Sequence[str], PortfolioSettings, int | None], Read]


@dataclass(frozen=True)
class Difference:
    """A figure that came out otherwise: of which account, what was recorded, and what came out."""

    answer_id: int
    account_id: str
    column: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True)
class Replayed:
    """What a replay found: how many scores are the same to the last bit, what differs, and whose cannot be replayed."""

    same: int = 0
    differences: tuple[Difference, ...] = ()
    #: Of each answer and account, and why.
    impossible: tuple[tuple[int, str, str], ...] = ()

    def __add__(self, other: Replayed) -> Replayed:
        """Both together."""
        return Replayed(
            self.same + other.same, self.differences + other.differences, self.impossible + other.impossible
        )


@dataclass(frozen=True)
class _Recorded:
    """An answer as it was recorded: its scores, the tokens among their accounts, the features of a request."""

    answer_id: int
    answer: Answer
    rows: list[Any]
    erased: frozenset[str]
    features: Matrix | None

    def take(self, places: Sequence[int]) -> _Recorded:
        """The same with some of its rows."""
        features = None if self.features is None else self.features[list(places)]
        return replace(self, rows=[self.rows[place] for place in places], features=features)


@dataclass(frozen=True)
class _Given:
    """What scores are computed from, `(n,)` each: all but the bundle and the settings."""

    features: Matrix
    balance: Floats
    commission_rate: Floats
    allowed: Mask
    rules: list[str]


def replay(
    store: Store,
    answer_id: int,
    open_bundle: OpenBundle,
    account_id: str | None = None,
    read: ReadHistories = read_histories,
) -> Replayed:
    """Replay an answer, or the score of one account in it.

    Args:
        store: where the ledger and the histories are.
        answer_id: the number of the answer.
        open_bundle: finds the bundle that scored.
        account_id: whose score; those of all accounts when None.
        read: reads histories.

    Raises:
        StoreError: there is no such answer in the ledger.
    """
    recorded = _recorded(store, answer_id, account_id)
    try:
        scorer = prepare_scorer(open_bundle(recorded.answer.bundle_sha256))
        check_match(scorer, recorded.answer.settings)
    except BundleError as error:
        return _impossible(recorded, [str(error)] * len(recorded.rows))
    why = [ERASED if row.account_id in recorded.erased else "" for row in recorded.rows]
    if recorded.answer.source != "store":
        possible, others = _parted(recorded, why)
        return others + _compared(possible, scorer, _as_recorded(possible, scorer))
    answer, asked = recorded.answer, [row.account_id for row in recorded.rows]
    found = read(store, asked, answer.settings, answer.arrival)
    missing = frozenset(found.missing)
    why = [reason or (_MISSING if one in missing else "") for reason, one in zip(why, asked, strict=True)]
    possible, others = _parted(recorded, why)
    return others + _compared(possible, scorer, _from_histories(possible, scorer, found.histories))


def answers_with(store: Store, account_id: str) -> list[int]:
    """The numbers of the answers that an account is in, in order."""
    query = sql.select(scores.c.answer_id).where(scores.c.account_id == account_id).distinct()
    with store.reading() as connection:
        return sorted(connection.execute(query).scalars())


def last_answers(store: Store, n: int) -> list[int]:
    """The numbers of the last `n` answers, in order."""
    query = sql.select(answers.c.answer_id).order_by(answers.c.answer_id.desc()).limit(n)
    with store.reading() as connection:
        return sorted(connection.execute(query).scalars())


_NOT_OF_ANSWER = ("answer_id", "settings_digest", "actions")
_MISSING = "the account is not among the store's histories"


def _recorded(store: Store, answer_id: int, account_id: str | None) -> _Recorded:
    rows_of = sql.select(scores).where(scores.c.answer_id == answer_id).order_by(scores.c.position)
    if account_id is not None:
        rows_of = rows_of.where(scores.c.account_id == account_id)
    with store.reading() as connection:
        head = connection.execute(sql.select(answers).where(answers.c.answer_id == answer_id)).one_or_none()
        if head is None:
            raise StoreError(f"an answer is named by its number in the ledger, there is none with {answer_id}")
        used = sql.select(settings_used.c.content).where(settings_used.c.digest == head.settings_digest)
        settings = msgspec.json.decode(connection.execute(used).scalar_one(), type=PortfolioSettings)
        rows = list(connection.execute(rows_of).all())
        packed = connection.execute(
            sql.select(inputs.c.features).where(inputs.c.answer_id == answer_id)
        ).scalar_one_or_none()
        erased = frozenset(_erased(connection, [row.account_id for row in rows]))
    features = None if packed is None else unpacked_matrix(packed)[[row.position for row in rows]]
    return _Recorded(answer_id, _answer(head, settings), rows, erased, features)


def _erased(connection: sql.Connection, account_ids: list[str]) -> list[str]:
    tokens = [account_id for account_id in account_ids if account_id.startswith("erased-")]
    return list(connection.execute(sql.select(erasures.c.token).where(erasures.c.token.in_(tokens))).scalars())


def _answer(head: Any, settings: PortfolioSettings) -> Answer:
    given = {name: getattr(head, name) for name in head._fields if name not in _NOT_OF_ANSWER}
    return Answer(**given, settings=settings, actions=tuple(head.actions.split(",")))


def _parted(recorded: _Recorded, why: list[str]) -> tuple[_Recorded, Replayed]:
    """What can be replayed, and what cannot, with why."""
    possible = [place for place, reason in enumerate(why) if not reason]
    others = [place for place, reason in enumerate(why) if reason]
    return recorded.take(possible), _impossible(recorded.take(others), [why[place] for place in others])


def _impossible(recorded: _Recorded, why: list[str]) -> Replayed:
    named = zip(recorded.rows, why, strict=True)
    return Replayed(impossible=tuple((recorded.answer_id, row.account_id, reason) for row, reason in named))


def _as_recorded(recorded: _Recorded, scorer: Scorer) -> _Given:
    """What came with the request: the ledger has all of it."""
    rows, n_actions = recorded.rows, len(scorer.bundle.manifest.actions)
    if recorded.features is None:
        raise StoreError(f"answer {recorded.answer_id} must have its features in the ledger, they are not there")
    return _Given(
        recorded.features,
        np.array([row.balance for row in rows], dtype=np.float64),
        np.array([row.commission_rate for row in rows], dtype=np.float64),
        allowed_of(np.array([row.blocked for row in rows], dtype=np.int64), n_actions),
        [row.rules for row in rows],
    )


def _from_histories(recorded: _Recorded, scorer: Scorer, histories: Histories) -> _Given:
    """What the histories give: nothing is taken from the ledger but the moment and the settings."""
    as_of = recorded.answer.as_of
    rows = _rows_of(histories, [row.account_id for row in recorded.rows])
    money, _ = standing(histories, rows, np.full(len(rows), as_of))
    actions = actions_of(scorer.bundle, recorded.answer.settings)
    return _Given(
        features_of(scorer, histories, rows, as_of),
        from_money(money),
        histories.accounts.commission_rate[rows],
        allowed_actions(blocked_until(histories, rows, as_of), as_of, actions),
        named_packs(histories, rows),
    )


def _rows_of(histories: Histories, account_ids: list[str]) -> Rows:
    place = {account_id: row for row, account_id in enumerate(histories.accounts.account_id)}
    return np.array([place[account_id] for account_id in account_ids], dtype=np.int64)


def _compared(recorded: _Recorded, scorer: Scorer, given: _Given) -> Replayed:
    """Score again, and hold every column against the ledger's."""
    if not recorded.rows:
        return Replayed()
    account_ids = [row.account_id for row in recorded.rows]
    again = list(zip(*columns_of(recorded.answer, _scored(scorer, recorded.answer, account_ids, given)), strict=False))
    differences, same = [], 0
    for row, replayed in zip(recorded.rows, again, strict=True):
        kept, new = row[3 : 3 + len(FIGURES)], replayed[1 : 1 + len(FIGURES)]
        found = [
            Difference(recorded.answer_id, row.account_id, *each)
            for each in zip(FIGURES, kept, new, strict=True)
            if each[1] != each[2]
        ]
        differences += found
        same += not found
    return Replayed(same, tuple(differences))


def _scored(scorer: Scorer, answer: Answer, account_ids: list[str], given: _Given) -> Scored:
    manifest, actions = scorer.bundle.manifest, actions_of(scorer.bundle, answer.settings)
    found = scorer.bundle.predict(given.features, given.balance)
    choice = choose(found, given.commission_rate, given.allowed, actions)
    return Scored(
        account_ids,
        given.features,
        found.p_pay,
        found.expected_amount,
        choice.best,
        choice.uplift,
        priority(choice.order_value, manifest.value_percentiles),
        band_of(found.p_pay, manifest.band_thresholds),
        given.balance,
        given.commission_rate,
        found.p_pay_by_action,
        choice.value,
        given.allowed,
        given.rules,
    )
