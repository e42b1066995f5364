"""The training run as a whole: what it may know, what it says of effects, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress

from features.errors import HistoryError
from features.histories import pack
from features.portfolio import Portfolio
from features.units import DAY, format_instant
from tests.training import world
from tests.training.world import files, histories, portfolio, quick_settings, task
from training.bundle import write_bundle
from training.moments import Moments
from training.train import _check_payers, train


def _run(of: Portfolio, until: int, folder: Path) -> dict[str, bytes]:
    bundle = train(pack(of), quick_settings(), task(until), Progress(disable=True)).bundle
    # What it reached later, and how far the data go, are facts about later time: they may differ.
    write_bundle(replace(bundle, manifest=replace(bundle.manifest, holdout={}, data_until="")), folder)
    return files(folder)


def test_what_became_known_after_the_cut_changes_nothing_learned(tmp_path: Path) -> None:
    # The model must be the one that could have been trained at the cut.
    until = world.trained().cuts.until
    cut = format_instant(until)
    later = _with_late_decisions(portfolio(), cut)
    tables = {}
    for name, frame in later.tables.items():
        time = {"accounts": "placed_at", "promises": "made_at"}.get(name, "at")
        known = frame[time] if name == "accounts" else frame[[time, "recorded_at"]].max(axis=1)
        tables[name] = frame[known < cut].reset_index(drop=True)
    earlier = Portfolio(portfolio().settings, tables, portfolio().rejects)
    assert _run(earlier, until, tmp_path / "a") == _run(later, until, tmp_path / "b")


def _with_late_decisions(whole: Portfolio, cut: str) -> Portfolio:
    """The portfolio with every third decision of before the cut written down after it."""
    decisions = whole.tables["decisions"]
    late = pd.Series(pd.Timestamp(cut) + pd.Timedelta(days=1), index=decisions.index).dt.as_unit("us")
    recorded = decisions["recorded_at"].mask(decisions.index % 3 == 0, late)
    return replace(whole, tables={**whole.tables, "decisions": decisions.assign(recorded_at=recorded)})


def test_a_cut_after_the_end_of_the_data_learns_nothing_from_what_is_not_known_yet() -> None:
    # Outcomes after the last payment are not known to be nothing: they must not be learned as unpaid.
    end = world.trained().cuts.data_end
    trained = train(histories(), quick_settings(), task(until=end + 400 * DAY), Progress(disable=True))
    assert trained.cuts.train_end + 30 * DAY <= end
    assert trained.holdout is None


def test_a_holdout_holds_matured_outcomes_alone() -> None:
    cuts = world.trained().cuts
    trained = train(histories(), quick_settings(), task(until=cuts.test_end - 5 * DAY), Progress(disable=True))
    assert trained.holdout is not None
    assert trained.holdout.moments.as_of.max() + 30 * DAY <= trained.cuts.data_end
    assert train(histories(), quick_settings(), task(until=cuts.test_end + DAY), Progress(disable=True)).holdout is None


def test_the_holdout_is_later_time() -> None:
    trained = world.trained()
    assert trained.holdout is not None
    assert trained.holdout.moments.as_of.min() >= trained.cuts.until
    assert trained.holdout.metrics["auc"] > 0.55
    assert trained.holdout.bands["accounts"].sum() == len(trained.holdout.p_pay)
    assert trained.holdout.bands["actual_amount"].sum() == pytest.approx(trained.holdout.net_amount.sum())


def test_no_moment_of_an_account_counts_twice_in_the_holdout() -> None:
    holdout = world.trained().holdout
    assert holdout is not None
    order = np.lexsort((holdout.moments.as_of, holdout.moments.account))
    account, as_of = holdout.moments.account[order], holdout.moments.as_of[order]
    same = account[1:] == account[:-1]
    assert np.all(np.diff(as_of)[same] >= 30 * 86_400_000_000)


def test_without_a_log_decisions_are_built_from_contacts_and_said_to_be_so() -> None:
    empty = portfolio().tables["decisions"].iloc[:0]
    bare = Portfolio(portfolio().settings, {**portfolio().tables, "decisions": empty}, portfolio().rejects)
    bundle = train(pack(bare), quick_settings(), task(), Progress(disable=True)).bundle
    assert not bundle.manifest.decisions_logged
    assert {arm.action for arm in bundle.manifest.support if arm.decisions} >= {"call", "sms", "none"}
    assert bundle.manifest.usual_channel == "call"


def test_too_few_payers_is_one_clear_error() -> None:
    payments = portfolio().tables["payments"]
    few = payments[payments["account_id"].isin(payments["account_id"].unique()[:3])].reset_index(drop=True)
    with pytest.raises(HistoryError, match="at least 30 accounts that paid"):
        train(
            pack(Portfolio(portfolio().settings, {**portfolio().tables, "payments": few}, portfolio().rejects)),
            quick_settings(),
            task(),
            Progress(disable=True),
        )


def test_a_cross_section_without_payers_is_one_clear_error() -> None:
    # Levels are set on the cross-section: where nobody in it paid, there is nothing to set them on.
    payers = np.arange(40)
    moments = Moments(payers, payers * DAY, np.full(40, 100), np.full(40, 50))
    with pytest.raises(HistoryError, match="payments after the day of placement"):
        _check_payers(moments, np.zeros(40, dtype=bool), quick_settings())
