"""Scores of the small portfolio as the ledger takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from features.compute import standing
from features.histories import Histories
from features.units import Rows, from_money
from serving.contact_rules.packs import named_packs
from serving.contact_rules.rules import blocked_until
from serving.scoring import Scorer, actions_of, allowed_actions, choose, features_of, priority
from serving.store.ledger import Answer, Chosen, Scored
from tests.serving.small import AS_OF, SETTINGS
from training.bundle import band_of


def live_rows(histories: Histories, n: int) -> Rows:
    """The positions of the first `n` live accounts."""
    everyone = np.arange(len(histories))
    _, live = standing(histories, everyone, np.full(len(everyone), AS_OF))
    return everyone[live][:n]


def scored_of(scorer: Scorer, histories: Histories, rows: Rows) -> Scored:
    """The scores of live accounts at `rows`, step by step."""
    manifest, actions = scorer.bundle.manifest, actions_of(scorer.bundle, histories.settings)
    money, _ = standing(histories, rows, np.full(len(rows), AS_OF))
    balance, commission_rate = from_money(money), histories.accounts.commission_rate[rows]
    features = features_of(scorer, histories, rows, AS_OF)
    found = scorer.bundle.predict(features, balance)
    allowed = allowed_actions(blocked_until(histories, rows, AS_OF), AS_OF, actions)
    choice = choose(found, commission_rate, allowed, actions)
    return Scored(
        account_id=histories.accounts.account_id[rows],
        features=features,
        p_pay=found.p_pay,
        expected_amount=found.expected_amount,
        best=choice.best,
        uplift=choice.uplift,
        priority=priority(choice.order_value, manifest.value_percentiles),
        band=band_of(found.p_pay, manifest.band_thresholds),
        balance=balance,
        commission_rate=commission_rate,
        p_by_action=found.p_pay_by_action,
        value_by_action=choice.value,
        allowed=allowed,
        rules=named_packs(histories, rows),
    )


def answer_of(scorer: Scorer, **more: Any) -> Answer:
    """An answer from the store by the small bundle."""
    actions = scorer.bundle.manifest.actions
    answer = Answer(
        "request-1", "score", AS_OF + 1, AS_OF, "small/1", scorer.bundle.digest, "store", SETTINGS, actions, arrival=7
    )
    return replace(answer, **more)


def queued(scored: Scored) -> Scored:
    """The same as rows of a queue, the last of them explored."""
    n = len(scored)
    explored = np.arange(n) == n - 1
    return replace(scored, chosen=Chosen(np.arange(1, n + 1), ["sms"] * n, np.where(explored, 0.05, 0.95), explored))
