"""What is known of one account as of a moment, for a person to read."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from features.compute import FeatureSet, feature_matrix, prepare, standing
from features.contract import RESTRICTIONS
from features.histories import Histories, category_values, contact_kinds
from features.outcomes import promise_outcomes
from features.settings import PortfolioSettings
from features.units import FOREVER, MONEY_SCALE, NULL_TIME, Rows, format_instant, from_money
from serving.api.answers import AccountFacts, KnownContact, KnownPayment, KnownPromise, KnownRestriction
from serving.contact_rules.packs import named_packs
from serving.contact_rules.restrictions import active_restrictions
from serving.reasons import NAMED

#: So many contacts, payments and promises are shown.
SHOWN = 20
_STATED = ("days_past_due", "stage")


def account_facts(histories: Histories, as_of: int) -> AccountFacts:
    """What is known before a moment of the one account of these histories."""
    accounts, one = histories.accounts, np.zeros(1, dtype=np.int64)
    due, stage = feature_matrix(histories, one, np.array([as_of]), _stated(histories.settings))[0].tolist()
    segment, portfolio = (category_values(histories, name)[0] for name in ("segment", "portfolio"))
    return AccountFacts(
        opened_at=format_instant(int(accounts.opened_at[0])),
        placed_at=format_instant(int(accounts.placed_at[0])),
        due_on=moment_or_none(int(accounts.due_on[0])),
        balance=float(from_money(standing(histories, one, np.array([as_of]))[0])[0]),
        days_past_due=None if math.isnan(due) else due,
        stage=None if math.isnan(stage) else NAMED["stage"][int(stage)],
        segment=segment,
        portfolio=portfolio,
        commission_rate=float(accounts.commission_rate[0]),
        timezone=str(histories.timezones[0]),
        rules=named_packs(histories, one)[0],
        contacts=_contacts(histories, as_of),
        payments=_payments(histories, as_of),
        promises=_promises(histories, as_of),
        restrictions=_restrictions(histories, as_of),
    )


def moment_or_none(instant: int) -> str | None:
    """An instant in words; None where there is none, or it never comes."""
    return None if instant in (NULL_TIME, FOREVER) else format_instant(instant)


@lru_cache(maxsize=4)
def _stated(settings: PortfolioSettings) -> FeatureSet:
    return prepare(settings, _STATED)


def _latest(at: Rows, known: Rows, as_of: int) -> list[int]:
    """The places of what was known before a moment, the latest to happen first."""
    seen = np.flatnonzero(known < as_of)
    return [int(place) for place in seen[np.argsort(-at[seen], kind="stable")][:SHOWN]]


def _contacts(histories: Histories, as_of: int) -> list[KnownContact]:
    table, kinds = histories.contacts, contact_kinds(histories.settings.channel_names)
    found = []
    for place in _latest(table.at, table.known, as_of):
        kind = kinds[int(table.kind[place])]
        at = format_instant(int(table.at[place]))
        found.append(KnownContact(at, kind["channel"], kind["outcome"], kind["direction"]))
    return found


def _payments(histories: Histories, as_of: int) -> list[KnownPayment]:
    table = histories.payments
    return [
        KnownPayment(format_instant(int(table.at[place])), int(table.amount[place]) / MONEY_SCALE)
        for place in _latest(table.at, table.known, as_of)
    ]


def _promises(histories: Histories, as_of: int) -> list[KnownPromise]:
    table, became = histories.promises, promise_outcomes(histories, as_of)
    # What became of them is told of those that are known, which come first.
    over = np.where(as_of <= became.deadline, "open", "broken")
    state = np.where(became.kept, "kept", over).tolist()
    return [
        KnownPromise(
            format_instant(int(table.at[place])),
            format_instant(int(table.due_on[place])),
            int(table.amount[place]) / MONEY_SCALE,
            state[place],
        )
        for place in _latest(table.at, table.known, as_of)
    ]


def _restrictions(histories: Histories, as_of: int) -> list[KnownRestriction]:
    table, channels = histories.restrictions, histories.settings.channel_names
    return [
        KnownRestriction(
            format_instant(int(table.at[event])),
            RESTRICTIONS[int(table.kind[event])],
            channels[int(table.channel[event])] if table.channel[event] >= 0 else None,
            moment_or_none(int(table.until[event])),
        )
        for event in active_restrictions(histories, np.zeros(1, dtype=np.int64), as_of).event
    ]
