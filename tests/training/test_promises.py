"""The head of promises: from which it learns, what it may know, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress

from features.compute import FeatureSet, feature_matrix, prepare, standing
from features.histories import Histories, pack
from features.outcomes import promise_outcomes
from features.portfolio import Portfolio
from features.units import DAY, format_instant
from tests.training.world import histories, portfolio, quick_settings, trained
from training.bundle import PROMISE, Bundle, read_bundle, write_bundle
from training.promises import FEWEST, measure_promises, promise_moments, with_promises
from training.train import training_sample


@cache
def features() -> FeatureSet:
    manifest = trained().bundle.manifest
    return prepare(manifest.portfolio, manifest.features, manifest.categories)


def learned_anew(of: Histories) -> Bundle:
    """The bundle without its head of promises, and then with what these histories teach of them."""
    bundle, cuts = trained().bundle, trained().cuts
    models = {name: model for name, model in bundle.models.items() if name != PROMISE}
    bare = replace(bundle, models=models, links=replace(bundle.links, promise=None))
    sample = training_sample(histories(), cuts, 60, quick_settings(), 30)
    return with_promises(bare, of, sample, cuts, quick_settings(), Progress(disable=True))


def made(kept: bool, number: int) -> Histories:
    """The portfolio with so many of the promises that were kept, or broken, before the cut, and all of the others."""
    cuts, promises = trained().cuts, portfolio().tables["promises"]
    found = promise_outcomes(histories(), cuts.until)
    rows = np.flatnonzero((found.kept == kept) & (found.deadline < cuts.train_end + 30 * DAY))[number:]
    ids = histories().accounts.account_id[found.account[rows]]
    gone = pd.MultiIndex.from_arrays([ids, histories().promises.at[_places(cuts.until)][rows]])
    here = pd.MultiIndex.from_arrays([promises["account_id"], promises["made_at"].astype("int64")])
    left = promises[~here.isin(gone)].reset_index(drop=True)
    return pack(Portfolio(portfolio().settings, {**portfolio().tables, "promises": left}, portfolio().rejects))


def _places(until: int) -> np.ndarray:
    return np.flatnonzero(histories().promises.known < until)


def test_a_promise_is_learned_from_once_its_outcome_is_known() -> None:
    cuts = trained().cuts
    end = cuts.train_end + 30 * DAY
    learned = promise_moments(histories(), cuts.begin, end, cuts.until)
    found = promise_outcomes(histories(), cuts.until)
    assert 0 < len(learned) < len(found.account)
    assert set(zip(learned.account, learned.as_of, strict=True)) <= set(zip(found.account, found.as_of, strict=True))
    assert standing(histories(), learned.account, learned.as_of)[1].all()
    # It is open at its moment, with itself among what is known; of several made at once, all are.
    promises_open = prepare(histories().settings, ("promises_open",))
    assert np.all(feature_matrix(histories(), learned.account, learned.as_of, promises_open) >= 1)
    support = trained().bundle.manifest.promises
    assert (support.kept, support.broken) == (learned.kept.sum(), (~learned.kept).sum())


def test_unseen_promises_became_known_from_the_cut_on() -> None:
    cuts = trained().cuts
    unseen = promise_moments(histories(), cuts.until, cuts.test_end + 30 * DAY, cuts.data_end)
    holdout = trained().bundle.manifest.holdout
    assert unseen.as_of.min() > cuts.until
    assert holdout["promise_promises"] == len(unseen)
    assert holdout["promise_kept"] == unseen.kept.sum()
    assert holdout["promise_predicted_kept"] == pytest.approx(holdout["promise_kept"], rel=0.5)
    assert 0.4 < holdout["promise_auc"] < 0.9


def test_probabilities_are_possible_and_come_back_with_the_bundle(tmp_path: Path) -> None:
    bundle, cuts = trained().bundle, trained().cuts
    moments = promise_moments(histories(), cuts.begin, cuts.data_end, cuts.data_end)
    matrix = feature_matrix(histories(), moments.account, moments.as_of, features())
    p = bundle.predict_promise(matrix)
    assert np.all((p > 0) & (p < 1))
    assert len(np.unique(p)) > 10
    write_bundle(bundle, tmp_path / "bundle")
    read = read_bundle(tmp_path / "bundle")
    assert np.array_equal(read.predict_promise(matrix), p)
    assert read.predict_promise(matrix[5:6]).tolist() == p[5:6].tolist()
    assert read.predict_promise(matrix[:0]).shape == (0,)


@pytest.mark.parametrize("kept", [True, False])
def test_too_few_of_either_outcome_give_no_head_and_say_so(kept: bool) -> None:
    bundle = learned_anew(made(kept, FEWEST // 2))
    support = bundle.manifest.promises
    assert not support.supported
    assert 0 < (support.kept if kept else support.broken) < FEWEST
    assert PROMISE not in bundle.models
    assert np.isnan(bundle.predict_promise(np.zeros((3, len(features().names)), dtype=np.float32))).all()
    assert measure_promises(bundle, histories(), features(), trained().cuts, quick_settings()) == {}


def test_what_became_known_after_the_cut_changes_nothing_learned() -> None:
    cut = pd.Timestamp(format_instant(trained().cuts.until))
    tables = dict(portfolio().tables)
    for name, time in (("promises", "made_at"), ("payments", "at")):
        frame = tables[name]
        tables[name] = frame[frame[[time, "recorded_at"]].max(axis=1) < cut].reset_index(drop=True)
    earlier = learned_anew(pack(Portfolio(portfolio().settings, tables, portfolio().rejects)))
    whole = trained().bundle
    assert earlier.links.promise == whole.links.promise
    assert earlier.manifest.promises == whole.manifest.promises
    assert earlier.models[PROMISE].model_to_string() == whole.models[PROMISE].model_to_string()
