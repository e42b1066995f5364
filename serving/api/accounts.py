"""`/v1/accounts/{id}`: one account: its score, its history, what speaks for and against it, and what may be done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from starlette.exceptions import HTTPException

from features.histories import Histories
from features.units import Rows, format_instant
from serving.api.answers import AccountAnswer, ActionValue, Contribution, ErasedAnswer, RungState, TopicReason
from serving.api.calls import Answer, Call, Parameter
from serving.api.facts import account_facts, moment_or_none
from serving.api.given import check_ids
from serving.api.recording import Scores, for_challenger, record
from serving.api.scores import not_scored, score_rows
from serving.contact_rules.packs import named_packs, pack_called
from serving.contact_rules.rules import blocked_until, next_allowed, reasons_held
from serving.history_lines import history_lines
from serving.ladder.describing import rung_in_words
from serving.ladder.policy import ladder_of
from serving.ladder.rungs import Closed, rungs_of
from serving.languages.language import ENGLISH, Language, language_called
from serving.reasons import contributions, told_by_topic
from serving.requests import LanguageTag
from serving.scoring import Scored, Scorer, actions_of, scored
from serving.store.erasing import erase
from serving.store.persons import with_others_of_persons
from serving.store.reading import read_histories

PARAMETERS = (
    Parameter("id", str, "The account's id."),
    Parameter("as_of", str | None, "The moment, ISO 8601; the present where it is left out."),
    Parameter("language", LanguageTag | None, "The language of what is told; English where it is left out."),
)


@dataclass(frozen=True)
class _Contact:
    """Until when contact rules forbid each channel, `(n_channels,)`, by which, and when contact may be next.

    `rungs` say what the ladder leaves of it.
    """

    until: Sequence[int]
    why: str | None
    again: str | None
    rungs: list[RungState]


def answer(call: Call) -> Answer:
    """Show an account.

    Raises:
        HTTPException: the store does not hold it.
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    account_id, as_of = _named(call), call.moment(call.query.get("as_of"))
    language = language_called(call.query.get("language", ENGLISH.tag))
    read = read_histories(call.store, [account_id], call.engine.settings)
    if read.missing:
        raise HTTPException(404, "the store holds no account of this id")
    done = scored(call.engine.scorer, read.histories, as_of, keep_features=True)
    scores = Scores(done, "store", "account", read.histories, read.arrival)
    rows, others = score_rows(call.engine, done), not_scored(read.histories, as_of)
    base, by_feature, by_topic = _why(call.engine.scorer, done, language)
    contact = _contact(call, account_id, as_of, language)
    content = AccountAnswer(
        account_id=account_id,
        model=call.engine.label,
        as_of=format_instant(as_of),
        arrival=read.arrival,
        answer_id=record(call, scores),
        score=rows[0] if rows else None,
        not_scored=others[0]["why"] if others else None,
        history=history_lines(read.histories, np.zeros(1, dtype=np.int64), as_of, language)[0],
        facts=account_facts(read.histories, as_of),
        base=base,
        contributions=by_feature,
        reasons=by_topic,
        actions=_actions(call, done, contact.until),
        rungs=contact.rungs if len(done) else [],
        why_blocked=contact.why,
        next_allowed_at=contact.again,
    )
    return Answer(content, after=for_challenger(call, scores))


def forget(call: Call) -> Answer:
    """Erase an account from the store; what the ledger has of it keeps its figures and loses its id.

    Raises:
        HTTPException: the store does not hold it.
        RequestError: no store can hold an account of this id.
        StoreError: the store cannot be written; nothing was erased.
    """
    erased = erase(call.store, _named(call), call.now)
    if not erased.histories and not erased.ledger:
        raise HTTPException(404, "the store holds no account of this id")
    return Answer(ErasedAnswer(erased.histories, erased.ledger))


def _named(call: Call) -> str:
    """The id in the URL."""
    account_id = call.path["id"]
    check_ids([account_id])
    return account_id


def _why(
    scorer: Scorer, done: Scored, language: Language
) -> tuple[float | None, list[Contribution], list[TopicReason]]:
    """The base of the score, what each feature adds to it, largest first, and what each topic does."""
    if done.features is None or not len(done):
        return None, [], []
    share = contributions(scorer, done.features)
    values, added = done.features[0].tolist(), share[0].tolist()
    order = np.argsort(-np.abs(share[0, :-1]), kind="stable").tolist()
    names = scorer.features.names
    by_feature = [
        Contribution(names[column], values[column] if math.isfinite(values[column]) else None, added[column])
        for column in order
    ]
    return added[-1], by_feature, [TopicReason(*told) for told in told_by_topic(scorer, done.features, share, language)]


def _actions(call: Call, done: Scored, until: Sequence[int]) -> list[ActionValue]:
    """What each action is worth; none where the account is not live."""
    actions = actions_of(call.engine.scorer.bundle, call.engine.settings)
    return [
        ActionValue(
            channel=name,
            p_pay=float(done.predictions.p_pay_by_action[0, place]),
            value=float(done.choice.value[0, place]),
            effect_known=bool(actions.supported[place]),
            enabled=bool(actions.enabled[place]),
            allowed=bool(actions.enabled[place]) and not _is_blocked(until, place, done.as_of),
            blocked_until=moment_or_none(until[place]) if _is_blocked(until, place, done.as_of) else None,
        )
        for place, name in enumerate(actions.names)
        if len(done)
    ]


def _is_blocked(until: Sequence[int], place: int, as_of: int) -> bool:
    return place < len(until) and until[place] > as_of


def _contact(call: Call, account_id: str, as_of: int, language: Language) -> _Contact:
    """What contact rules say of the account; the person's other debts count, where a rule says so."""
    of_person = with_others_of_persons(call.store, [account_id])
    histories = read_histories(call.store, of_person, call.engine.settings).histories
    one = np.flatnonzero(histories.accounts.account_id == account_id)
    until = blocked_until(histories, one, as_of, of_person=True)[0]
    actions = actions_of(call.engine.scorer.bundle, call.engine.settings)
    channels = slice(0, actions.waiting)
    enabled = actions.enabled[channels]
    held = (until > as_of).any() or not enabled.any()
    pack, zone = pack_called(named_packs(histories, one)[0]), str(histories.timezones[one[0]])
    first = next_allowed(until, as_of, zone, pack, actions.names[channels], enabled)
    return _Contact(
        until=until.tolist(),
        why=reasons_held(histories, one, as_of, of_person=True, language=language)[0] if held else None,
        again=None if first is None else first.isoformat(),
        rungs=_rungs(call, histories, one, as_of, language),
    )


def _rungs(call: Call, histories: Histories, one: Rows, as_of: int, language: Language) -> list[RungState]:
    """The rungs of the service's ladder for the account at `one`, `(1,)`."""
    ladder = ladder_of(None, call.engine.settings)
    if ladder is None:
        return []
    found = map(Closed, rungs_of(ladder, histories, one, as_of).why[0].tolist())
    return [
        RungState(
            rung=rung.id,
            channel=rung.channel,
            open=closed is Closed.OPEN,
            why=None if closed is Closed.OPEN else closed.words,
            policy=rung_in_words(rung, language),
        )
        for rung, closed in zip(ladder.rungs, found, strict=True)
    ]
