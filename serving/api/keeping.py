"""What a queue gave is kept before it is sent: its scores in the ledger, and what it chose as decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from features.errors import PortfolioError
from features.histories import Histories
from features.raw import RawPart
from features.units import DAY
from serving.api.calls import Call, RequestError
from serving.contact_rules.packs import named_packs
from serving.contact_rules.rules import blocked_until
from serving.exploration import Exploration
from serving.scoring import Scorer, actions_of, allowed_actions, features_of, rows_of
from serving.store.events import take_in
from serving.store.ledger import Answer, Chosen, Scored, record

#: A decision is noted as of the moment of its queue: one of long ago was not made then.
LATEST_SECONDS = DAY


@dataclass(frozen=True)
class Given:
    """A page of a queue, its scores with it: `rows` of the queue, `scores` of at least its accounts."""

    scorer: Scorer
    histories: Histories
    as_of: int
    arrival: int | None
    scores: pd.DataFrame
    rows: pd.DataFrame
    exploration: Exploration | None

    @property
    def policy(self) -> str:
        """What chose, the same from day to day."""
        label, explored = self.scorer.bundle.label, self.exploration
        by_rule = f"queue by {label}"
        return f"{by_rule}, {explored.share:g} of {'+'.join(explored.channels)} at random" if explored else by_rule


def note_in_ledger(call: Call, given: Given) -> None:
    """Write a page into the ledger.

    Raises:
        StoreError: the store did not take it.
    """
    bundle, explored = given.scorer.bundle, given.exploration
    answer = Answer(
        request_id=call.request_id,
        purpose="queue",
        scored_at=call.now,
        as_of=given.as_of,
        model=bundle.label,
        bundle_sha256=bundle.digest,
        source="request" if given.arrival is None else "store",
        settings=given.histories.settings,
        actions=bundle.manifest.actions,
        arrival=given.arrival,
        key_id=call.key_id,
        policy=given.policy,
        seed=explored.seed_number if explored else None,
    )
    record(call.store, answer, _scored(given))


def _scored(given: Given) -> Scored:
    rows, actions = given.rows, given.scorer.bundle.manifest.actions
    places = rows_of(given.histories, rows["account_id"])
    scores = given.scores.set_index("account_id").loc[rows["account_id"]]
    blocked = blocked_until(given.histories, places, given.as_of)
    best = np.array([actions.index(name) for name in scores["best_channel"]], dtype=np.int64)
    return Scored(
        account_id=rows["account_id"].to_numpy(object),
        features=features_of(given.scorer, given.histories, places, given.as_of),
        best=best,
        band=scores["band"].to_numpy(object),
        balance=rows["balance"].to_numpy(np.float64),
        commission_rate=given.histories.accounts.commission_rate[places],
        p_by_action=scores[[f"p_pay_{name}" for name in actions]].to_numpy(np.float64),
        value_by_action=scores[[f"value_{name}" for name in actions]].to_numpy(np.float64),
        allowed=allowed_actions(blocked, given.as_of, actions_of(given.scorer.bundle, given.histories.settings)),
        rules=named_packs(given.histories, places),
        chosen=Chosen(
            rows["rank"].to_numpy(np.int64),
            rows["channel"].to_numpy(object),
            rows["propensity"].to_numpy(np.float64),
            rows["explored"].to_numpy(np.bool_),
        ),
        **{name: scores[name].to_numpy(np.float64) for name in ("p_pay", "expected_amount", "uplift", "priority")},
    )


def may_log(call: Call, as_of: int, from_store: bool) -> bool:
    """Whether a queue was decided now, of accounts that are stored."""
    return from_store and as_of >= call.now - LATEST_SECONDS


def check_may_log(call: Call, as_of: int, from_store: bool) -> None:
    """Refuse to keep as decisions what cannot have been decided now, with `RequestError`."""
    if not from_store:
        raise RequestError("decisions are kept of stored accounts; leave the histories out, or log_decisions")
    if not may_log(call, as_of, from_store):
        raise RequestError("decisions are kept of a queue of today, got an as_of of more than a day ago")


def log_decisions(call: Call, given: Given) -> None:
    """Keep what the rows of a page chose as decisions of the store; the same page again adds nothing.

    Raises:
        StoreError: the store did not take them.
        PortfolioError: it refused one, so that propensities would be of a part of the page.
    """
    rows, n = given.rows, len(given.rows)
    if not n:
        return
    cells = {
        "account_id": pa.array(rows["account_id"].tolist(), pa.string()),
        "at": pa.array(np.full(n, given.as_of), pa.timestamp("us")),
        "channel": pa.array(rows["channel"].tolist(), pa.string()),
        "propensity": pa.array(rows["propensity"].to_numpy(np.float64)),
        "explored": pa.array(rows["explored"].to_numpy(np.bool_)),
        "policy": pa.array([given.policy] * n, pa.string()),
    }
    part = RawPart("decisions", tuple(cells), pa.table(cells), np.arange(1, n + 1))
    taken = take_in(call.store, {"decisions": (part,)}, call.engine.settings, call.now)
    if len(taken.rejects):
        reason = taken.rejects["reason"].iloc[0]
        raise PortfolioError(f"{len(taken.rejects)} decisions of this page were not kept: one {reason}; ask anew")
