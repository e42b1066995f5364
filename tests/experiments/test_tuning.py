"""Tuning: the space, the folds, the losses, and the command as its user gives it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_gamma_deviance

from experiments.studies.origins import rolling_origins
from experiments.studies.question import put
from experiments.studies.search import Search, best, search
from experiments.studies.space import changed_toml, read_tuning_settings, typed_settings
from experiments.studies.tuning import OBJECTIVES, Problem, _target, pose
from features.errors import HistoryError, SettingsError
from features.histories import Histories, pack
from features.portfolio import Portfolio
from features.units import DAY, format_instant
from tests.training.world import NOW, histories, portfolio, quick_settings
from training.fit import Learner, fit, raw_scores
from training.moments import cut_time
from training.settings import TreeSettings, read_training_settings

HORIZON = 14


@cache
def problem(head: str) -> Problem:
    return posed(histories(), head)


def posed(of: Histories, head: str, until: int | None = None) -> Problem:
    return pose(of, cut_time(of, HORIZON, until, NOW), HORIZON, head, 2, quick_settings(), NOW)


# ------------------------------------------------------------------------------------------------------------ space


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("fold = 3", "fold"),
        ("[p_pay]\nleafs = { low = 2, high = 3 }", "leafs"),
        ("[p_pay]\nleaves = { low = 2, hihg = 3 }", "hihg"),
        ("[channel]\nleaves = { low = 2, high = 3 }", "channel"),
        ("[p_pay]\nleaves = { low = 9, high = 3 }", "p_pay.leaves must go from low to high"),
        ("[p_pay]\nleaves = { low = 1, high = 3 }", "p_pay.leaves: 1.0 is no possible setting"),
        ("[p_pay]\nleaves = { low = 2.5, high = 3 }", "p_pay.leaves: 2.5 is no possible|whole ends"),
        ("[fraction]\nrow_share = { low = 0.5, high = 1.5 }", "fraction.row_share: 1.5 is no possible setting"),
        ("[fraction]\nl2 = { low = 0, high = 1, log = true }", "fraction.l2 must be above 0"),
        ("folds = 1", "folds"),
        ("folds = ", "cannot be read"),
    ],
)
def test_a_wrong_key_or_range_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        read_tuning_settings(tmp_path / "space.toml")


def test_the_default_settings_lie_in_the_default_space() -> None:
    # Else the search would not start from where the settings stand.
    for head in OBJECTIVES:
        stand, space = getattr(read_training_settings(), head), read_tuning_settings().of(head)
        assert set(space.drawn) | {"trees"} == set(TreeSettings.__struct_fields__)
        assert all(ends.low <= getattr(stand, name) <= ends.high for name, ends in space.drawn.items())


def test_what_is_written_is_what_was_tried(tmp_path: Path) -> None:
    default = read_training_settings()
    tried = typed_settings(default.p_pay, {"learning_rate": 0.123456789, "leaves": 11.0, "l2": 1e-3 / 3})
    found = msgspec.structs.replace(default, seed=9, p_pay=tried)
    text = changed_toml(msgspec.to_builtins(found), msgspec.to_builtins(default), "A test.")
    (tmp_path / "found.toml").write_text(text)
    assert read_training_settings(tmp_path / "found.toml") == found
    assert "row_share" not in text


# ------------------------------------------------------------------------------------------------------------ folds


def test_what_became_known_after_the_cut_changes_no_loss() -> None:
    # A setting chosen by what came after the cut would make the evaluation after the cut too good.
    until = cut_time(histories(), HORIZON, None, NOW).until
    tables = {}
    for name, frame in portfolio().tables.items():
        time = {"accounts": "placed_at", "promises": "made_at"}.get(name, "at")
        known = frame[time] if name == "accounts" else frame[[time, "recorded_at"]].max(axis=1)
        tables[name] = frame[known < format_instant(until)].reset_index(drop=True)
    earlier = pack(Portfolio(portfolio().settings, tables, portfolio().rejects))
    settings = quick_settings().p_pay
    losses = problem("p_pay").losses(settings, lambda: None)
    assert posed(earlier, "p_pay", until).losses(settings, lambda: None) == losses


def test_stretches_follow_each_other_up_to_the_end_with_a_gap_before_each() -> None:
    end = cut_time(histories(), HORIZON, None, NOW).train_end
    origins = rolling_origins(histories(), HORIZON, 3, end, NOW)
    assert len(origins) == 3
    assert [one.end for one in origins[:-1]] == [one.cuts.until for one in origins[1:]]
    assert 0 <= end - origins[-1].end < DAY
    assert all(one.cuts.train_end + HORIZON * DAY <= one.cuts.until for one in origins)


def test_a_history_for_one_fold_is_refused() -> None:
    begin = int(histories().accounts.placed_at.min())
    with pytest.raises(HistoryError, match="tuning needs a history that holds 2 cuts"):
        posed(histories(), "p_pay", begin + 5 * HORIZON * DAY)


@pytest.mark.parametrize("head", OBJECTIVES)
def test_the_loss_is_that_of_another_library_on_the_model_that_training_fits(head: str) -> None:
    settings = quick_settings()
    cuts = cut_time(histories(), HORIZON, None, NOW)
    (*_, origin) = rolling_origins(histories(), HORIZON, 2, cuts.train_end, NOW)
    question = put(histories(), origin.cuts, origin.end - 1, cuts.until, HORIZON, settings)
    # Every feature in every tree: which ones are drawn depends on how many are binned, and tuning bins for all trials.
    trees = msgspec.structs.replace(getattr(settings, head), feature_share=1.0)
    learner = Learner(OBJECTIVES[head][0], trees, question.learned.categories, settings.seed, settings.threads)
    rows, target, weight = _target(question.learned.moments, head, settings)
    model = fit(learner, question.learned.matrix[rows], target, weight, lambda: None)
    rows, target, weight = _target(question.asked, head, settings)
    raw = raw_scores(model, question.later[rows], 1)
    if head == "p_pay":
        expected = log_loss(target, 1 / (1 + np.exp(-raw)))
    else:
        expected = mean_gamma_deviance(target, np.exp(raw), sample_weight=weight)
    assert problem(head).losses(trees, lambda: None)[-1] == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------------------------------------------- the search


def test_a_search_finds_its_way_from_an_absurd_learning_rate(tmp_path: Path) -> None:
    absurd = msgspec.structs.replace(quick_settings().p_pay, learning_rate=0.0001)
    tuning = read_tuning_settings()
    space = msgspec.structs.replace(tuning.p_pay, trees=None)
    wanted = Search("planted", problem("p_pay"), absurd, msgspec.structs.replace(tuning, p_pay=space))
    found = best(search(wanted, tmp_path, 4, None, lambda _: None, lambda: None))
    assert found is not None
    assert found.settings.learning_rate >= 0.01
    before = problem("p_pay").losses(absurd, lambda: None)
    assert all(new < old for new, old in zip(found.losses, before, strict=True))
