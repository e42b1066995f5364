"""Leaks: what knows the future is named, and an honest history is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress
from sklearn.metrics import roc_auc_score

from features.compute import known_categories, prepare
from features.histories import pack
from features.portfolio import Portfolio, read_portfolio
from features.settings import PortfolioSettings
from features.units import DAY, from_instants, parse_instant
from tests.training.world import NOW, histories, portfolio, quick_settings, task
from training.bundle import LABEL
from training.heads import Sample
from training.labels import labels_from_frame, pack_labels, train_on_labels
from training.leaks import Asked, ask_attributes, auc_either_way, suspects_among, warnings_of
from training.metrics import auc_sampling_error
from training.moments import Cuts, Moments, cut_time
from training.settings import TrainingSettings
from training.train import Task, Trained, train

LEAK = "paid_in_next_30d"


@cache
def cuts() -> Cuts:
    return cut_time(histories(), 30, None, NOW)


def _trained(of: Portfolio, **leaks: object) -> Trained:
    settings = msgspec.to_builtins(quick_settings())
    settings["leaks"] |= leaks
    return train(pack(of), msgspec.convert(settings, TrainingSettings), task(), Progress(disable=True))


def _suspects(of: Portfolio) -> list[str]:
    """The suspects among the attributes alone, which need no model."""
    packed, settings = pack(of), quick_settings()
    asked = ask_attributes(packed, known_categories(packed), cuts(), 30, settings)
    return [suspect.feature for suspect in suspects_among(asked, 30, settings.leaks)]


def _with_column(name: str, values: npt.NDArray[np.generic], use: str = "numeric") -> Portfolio:
    whole = portfolio()
    numeric, categorical = whole.settings.numeric, whole.settings.categorical
    if use == "numeric":
        settings = replace(whole.settings, numeric=(*numeric, name))
    else:
        settings = replace(whole.settings, categorical=(*categorical, name))
    accounts = whole.tables["accounts"].assign(**{name: values})
    return Portfolio(settings, {**whole.tables, "accounts": accounts}, whole.rejects)


def _paid(begin: int | None, noise: float = 0.0) -> npt.NDArray[np.float64]:
    """Whether each account paid in 30 days from an instant, or from its placement; some at random the other way."""
    tables = portfolio().tables
    payments = tables["payments"].merge(tables["accounts"][["account_id", "placed_at", "opened_at"]], on="account_id")
    placed = payments["placed_at"].fillna(payments["opened_at"])
    since = placed if begin is None else pd.Series(pd.Timestamp(begin, unit="us", tz="UTC"), index=payments.index)
    within = (payments["at"] >= since) & (payments["at"] < since + pd.Timedelta(days=30))
    paid = tables["accounts"]["account_id"].isin(payments["account_id"][within]).to_numpy()
    other_way = np.random.default_rng(1).random(len(paid)) < noise
    return np.where(other_way, ~paid, paid).astype(np.float64)


def _names(trained: Trained) -> list[str]:
    return [suspect.feature for suspect in trained.bundle.manifest.suspects]


def test_an_honest_history_has_no_suspect() -> None:
    assert _names(_trained(portfolio())) == []
    assert warnings_of(()) == ()


def test_the_limit_is_not_one_that_nothing_could_reach() -> None:
    # Lowered to what honest features reach, the limits name them: the silence above is theirs.
    assert _names(_trained(portfolio(), history_auc=0.52, gain_share=1.0))


@pytest.mark.parametrize("when", ["training", "gap", "unseen", "placement"])
def test_the_outcome_left_among_the_attributes_is_flagged_whenever_it_was_taken(when: str) -> None:
    # A snapshot leaks about its own time: the gap and the unseen time are no part of what is learned from.
    begin = {"training": cuts().begin + 60 * DAY, "gap": cuts().until - 10 * DAY, "unseen": cuts().until + 5 * DAY}
    assert _suspects(_with_column(LEAK, _paid(begin.get(when)))) == [f"attribute_{LEAK}"]


def test_noise_does_not_hide_a_leak() -> None:
    trained = _trained(_with_column(LEAK, _paid(cuts().begin + 60 * DAY, noise=0.05)))
    (suspect,) = trained.bundle.manifest.suspects
    assert suspect.feature == f"attribute_{LEAK}"
    assert suspect.figure > 0.75
    warning, remedy = warnings_of(trained.bundle.manifest.suspects)
    assert suspect.feature in warning
    assert "[attributes] in portfolio.toml" in remedy


def test_a_status_in_words_leaks_too() -> None:
    status = np.where(_paid(cuts().begin + 60 * DAY) > 0, "settled", "open")
    assert _suspects(_with_column("status", status, "categorical")) == ["attribute_status"]


def test_a_column_of_noise_is_no_suspect() -> None:
    # Of many slices and columns the best is looked at: the limit must hold for all of them.
    draw = np.random.default_rng(2)
    of = _with_column("luck", draw.normal(size=len(portfolio().tables["accounts"])))
    assert _suspects(of) == []


def test_what_a_person_has_checked_is_not_flagged() -> None:
    of = _with_column(LEAK, _paid(None))
    assert _names(_trained(of, trusted=(f"attribute_{LEAK}",))) == []


def test_a_model_that_ranks_too_well_names_what_decides_it() -> None:
    # The limits are lowered, so that an honest model is beyond them.
    (suspect,) = _trained(portfolio(), model_auc=0.55).bundle.manifest.suspects
    assert "of the model's gain" in suspect.why


def _of_labels(of: Portfolio, label: npt.NDArray[np.generic]) -> list[str]:
    """The suspects of a model that learns a label of every account, three times."""
    accounts, packed = of.tables["accounts"], pack(of)
    days = [cuts().begin + days * DAY for days in (100, 130, 200)]
    rows = [pd.DataFrame({"account_id": accounts["account_id"], "as_of": from_instants(np.full(len(label), day)),
            "label": label}) for day in days]  # fmt: skip
    opened = accounts.set_index("account_id")["opened_at"]
    frame = pd.concat(rows)
    frame = frame[frame["as_of"] > opened.loc[frame["account_id"]].to_numpy()]
    labels = pack_labels(labels_from_frame(frame, accounts, NOW)[0], packed)
    learned = train_on_labels(packed, labels, quick_settings(), _label_task(), Progress(disable=True))
    return _names(learned)


def _label_task() -> Task:
    return replace(task(cuts().begin + 190 * DAY), target=LABEL)


def test_a_label_left_among_the_attributes_is_flagged() -> None:
    label = np.random.default_rng(4).random(len(portfolio().tables["accounts"])) < 0.7
    assert f"attribute_{LEAK}" in _of_labels(_with_column(LEAK, label.astype(float)), label.astype(int))
    assert _of_labels(portfolio(), label.astype(int)) == []


def test_a_few_of_either_outcome_tell_nothing_about_a_column() -> None:
    # One account among thousands that has no label 1 is the first of all by some column, by chance alone.
    names = tuple(f"attribute_{number}" for number in range(8))
    draw = np.random.default_rng(5)
    n = 3_000
    happened = np.ones(n, dtype=np.bool_)
    happened[draw.choice(n, 3, replace=False)] = False
    moments = Moments(np.arange(n), np.arange(n) * DAY // 50, np.ones(n, np.int64), np.zeros(n, np.int64))
    features = prepare(
        PortfolioSettings("any", numeric=tuple(map(str, range(8)))), names, {}
    )  # fmt: skip
    matrix = draw.normal(size=(n, 8)).astype(np.float32)
    asked = Asked(Sample(features, moments, matrix, np.ones(n, dtype=np.bool_)), happened)
    assert list(suspects_among(asked, 30, quick_settings().leaks)) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_auc_alone_is_the_better_of_both_directions(rows: list[tuple[int, bool]]) -> None:
    column = np.array([value for value, _ in rows], dtype=np.float32)
    paid = np.array([flag for _, flag in rows])
    if not 0 < paid.sum() < len(paid):
        assert auc_either_way(column, paid) == 0.5
        return
    found = roc_auc_score(paid, column)
    assert auc_either_way(column, paid) == pytest.approx(max(found, 1 - found))


def test_missing_values_rank_at_their_better_end() -> None:
    # No date of a next payment is a leak, on whichever side of the dates it is put.
    column = np.array([3, 5, 9, np.nan, np.nan], dtype=np.float32)
    assert auc_either_way(column, np.array([True, True, True, False, False])) == 1.0


def test_the_error_of_an_auc_is_how_far_it_strays() -> None:
    draw = np.random.default_rng(3)
    paid = np.arange(300) < 60
    found = [auc_either_way((draw.normal(size=300) + paid).astype(np.float32), paid) for _ in range(400)]
    assert np.std(found) == pytest.approx(auc_sampling_error(float(np.mean(found)), paid), rel=0.2)


@pytest.mark.real_data
def test_the_road_fines_have_no_suspect(real_data: Path) -> None:
    fines = pack(read_portfolio(real_data / "road_fines"))
    job = Task(180, parse_instant("2009-07-01"), NOW, "", "")
    assert train(fines, quick_settings(), job, Progress(disable=True)).bundle.manifest.suspects == ()
