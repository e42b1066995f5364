"""What an answer with scores leaves behind: its scores in the ledger, and work for the challenger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from features.histories import Histories
from features.units import SECOND
from serving.api.calls import Call
from serving.contact_rules.packs import named_packs
from serving.engine import Engine
from serving.scoring import LiveAccounts, Scored, scored, scored_features
from serving.store import ledger
from serving.store.database import Store


@dataclass(frozen=True)
class Scores:
    """Scores, and what they were made of: histories of the store as of `arrival`, those of a request, or features."""

    scored: Scored
    source: ledger.Source
    purpose: ledger.Purpose = "score"
    histories: Histories | None = None
    arrival: int | None = None

    @property
    def rules(self) -> list[str]:
        """The rule pack of each account; none where no contact rule was applied."""
        return [""] * len(self.scored) if self.histories is None else named_packs(self.histories, self.scored.rows)


def record(call: Call, scores: Scores) -> int | None:
    """Write scores into the ledger, durably; returns the answer's number, None where there is no ledger or no score.

    Raises:
        StoreError: the store did not take them; what is not recorded must not be sent.
    """
    store = call.serving.store
    return None if store is None or not len(scores.scored) else _record(store, call, call.engine, scores)


def for_challenger(call: Call, scores: Scores) -> Callable[[], None] | None:
    """What hands the same accounts to the challenger, once the answer is made; None where nothing is to be done."""
    shadow, store = call.serving.shadow, call.serving.store
    if shadow is None or store is None or not len(scores.scored):
        return None

    def work(challenger: Engine) -> None:
        again = _scored_again(challenger, call.engine, scores)
        if again is not None:
            _record(store, call, challenger, again)

    def hand_over() -> None:
        if not shadow.offer(work, len(scores.scored)) and call.serving.metrics is not None and shadow.challenger():
            call.serving.metrics.shadow_drops.inc()

    return hand_over


def _record(store: Store, call: Call, engine: Engine, scores: Scores) -> int:
    answer = ledger.Answer(
        request_id=call.request_id,
        purpose=scores.purpose,
        scored_at=call.now,
        as_of=scores.scored.as_of,
        model=engine.label,
        bundle_sha256=engine.scorer.bundle.digest,
        source=scores.source,
        settings=engine.settings,
        actions=engine.scorer.bundle.manifest.actions,
        role="challenger" if scores.purpose == "shadow" else "champion",
        arrival=scores.arrival,
        key_id=call.key_id,
    )
    answer_id = ledger.record(store, answer, _as_recorded(scores))
    if call.serving.metrics is not None:
        bands = Counter(scores.scored.band.tolist())
        call.serving.metrics.scored(engine.label, answer.role, bands, (call.serving.now() - call.now) / SECOND)
    return answer_id


def _as_recorded(scores: Scores) -> ledger.Scored:
    done = scores.scored
    assert done.features is not None  # noqa: S101 the ledger holds their digest: they are kept for it
    return ledger.Scored(
        account_id=done.account_id,
        features=done.features,
        p_pay=done.predictions.p_pay,
        expected_amount=done.predictions.expected_amount,
        best=done.choice.best,
        uplift=done.choice.uplift,
        priority=done.priority,
        band=done.band,
        balance=done.balance,
        commission_rate=done.commission_rate,
        p_by_action=done.predictions.p_pay_by_action,
        value_by_action=done.choice.value,
        allowed=done.allowed,
        rules=scores.rules,
    )


def _scored_again(challenger: Engine, champion: Engine, scores: Scores) -> Scores | None:
    """The same accounts by the challenger; None where it reads other features than those that were given."""
    done, histories = scores.scored, scores.histories
    if histories is not None:
        again = scored(challenger.scorer, histories, done.as_of, done.rows, keep_features=True)
        return Scores(again, scores.source, "shadow", histories, scores.arrival)
    names, categories = champion.scorer.features.names, champion.scorer.features.categories
    theirs = challenger.scorer.features
    if done.features is None or (names, categories) != (theirs.names, theirs.categories):
        return None
    accounts = LiveAccounts(done.account_id, done.balance, done.commission_rate)
    again = scored_features(challenger.scorer, challenger.settings, done.as_of, accounts, done.features)
    return Scores(again, scores.source, "shadow")
