"""Decisions: read from the log, or built from contacts, and drawn so that rare actions stay."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from features.contract import CHANNELS
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.units import DAY
from tests.training.world import NOW, histories, portfolio, quick_settings
from training.decisions import Decided, are_logged, decisions_between, drawn
from training.moments import Cuts, cut_time

NONE = len(CHANNELS)


@cache
def _without_log() -> Histories:
    tables = portfolio().tables
    empty = tables["decisions"].iloc[:0]
    return pack(Portfolio(portfolio().settings, {**tables, "decisions": empty}, portfolio().rejects))


def _cuts() -> Cuts:
    return cut_time(histories(), 30, None, NOW)


def _all(of: Histories) -> Decided:
    cuts = _cuts()
    return decisions_between(of, cuts.begin, cuts.train_end, 30, cuts.until, quick_settings())


def test_every_decision_of_the_log_that_matured_is_there_when_there_is_room() -> None:
    log, cuts = histories().decisions, _cuts()
    decided = _all(histories())
    in_time = (log.at >= cuts.begin) & (log.at <= cuts.train_end) & (log.known < cuts.until) & (log.propensity < 1)
    assert 0.9 * in_time.sum() < len(decided) <= in_time.sum()  # the rest were taken on accounts that owed nothing
    assert np.all(decided.weight == 1)
    assert np.all((decided.propensity > 0) & (decided.propensity < 1))
    assert decided.explored.any()


def test_what_is_drawn_keeps_the_rare_and_stands_for_all() -> None:
    everything, some = _all(histories()), drawn(_all(histories()), 6_000, 1)
    assert len(some) <= 6_000
    for action in range(NONE + 1):
        had, kept = everything.action == action, some.action == action
        assert some.weight[kept].sum() == pytest.approx(had.sum())
        if had.sum() < 500:
            assert kept.sum() == had.sum()


def test_without_a_log_days_with_a_contact_are_decisions_and_days_without_are_waiting() -> None:
    decided = _all(_without_log())
    assert are_logged(histories(), NOW)
    assert not are_logged(_without_log(), NOW)
    assert not are_logged(histories(), int(histories().decisions.known.min()))
    assert np.all(np.isnan(decided.propensity))
    assert not decided.explored.any()
    assert np.all(decided.moments.as_of % DAY == 0)
    worked = _worked_days()
    is_worked = np.array(
        [(account, at) in worked for account, at in zip(decided.moments.account, decided.moments.as_of, strict=True)]
    )
    assert np.array_equal(is_worked, decided.action != NONE)


def test_the_first_contact_of_a_day_is_its_decision() -> None:
    worked = _worked_days()
    decided = _all(_without_log())
    for account, at, action in zip(decided.moments.account, decided.moments.as_of, decided.action, strict=True):
        if action != NONE:
            assert worked[account, at] == CHANNELS[action]


def _worked_days() -> dict[tuple[int, int], str]:
    """Of every account and day with outbound contacts, by the tables alone: the channel of the first."""
    contacts = portfolio().tables["contacts"]
    contacts = contacts[contacts["direction"].fillna("outbound") == "outbound"]
    place = pd.Index(histories().accounts.account_id).get_indexer(pd.Index(contacts["account_id"].to_numpy(object)))
    instants = contacts["at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    found: dict[tuple[int, int], str] = {}
    for row in np.argsort(instants, kind="stable"):
        found.setdefault((int(place[row]), int(instants[row]) // DAY * DAY), str(contacts["channel"].iloc[row]))
    return found
