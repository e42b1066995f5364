"""From a portfolio to the value of a policy: what it would have chosen, and what the command says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress

from experiments.policy import evaluation
from experiments.policy.choices import SILENT, allowed_at, choices_of_constant, choices_of_file, choices_of_model
from experiments.policy.evaluation import Window, evaluate_named, expected_amount, expected_payment, of_some_accounts
from experiments.policy.value import Logged
from experiments.world.writing import write_world
from features.compute import standing
from features.errors import HistoryError, PortfolioError, SettingsError
from features.histories import Histories, pack
from features.units import DAY, from_instants, parse_instant
from recoup import main
from serving.contact_rules.rules import blocked_until
from serving.scoring import prepare_scorer, score
from tests.experiments.worlds import histories, portfolio, world
from tests.serving.small import AS_OF, small_bundle, small_histories
from tests.training.world import quick_settings, task
from training.bundle import write_bundle
from training.decisions import Decided
from training.fit import Learner
from training.moments import Moments
from training.settings import TreeSettings
from training.train import train

NAMES = (*small_histories().settings.channel_names, "none")
QUICK = TreeSettings(8, 0.2, 5, 20, 1.0, 1.0, 1.0)


def _nothing(_: int = 1) -> None:
    """Progress that nobody watches."""


def _moments(of: Histories, as_of: int = AS_OF) -> Moments:
    """The live accounts as of a moment, and as of each of some days before it."""
    account = np.tile(np.arange(len(of)), 3)
    at = np.repeat([as_of, as_of - 9 * DAY, as_of - 30 * DAY], len(of))
    balance, live = standing(of, account, at)
    return Moments(account, at, balance, np.zeros_like(balance)).take(live)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models of the outcome: they only make intervals wider."""
    monkeypatch.setattr(evaluation, "TREES", QUICK)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world as a portfolio."""
    path = tmp_path_factory.mktemp("policy") / "small"
    write_world(world(), path)
    return path


@cache
def _trained() -> tuple[Any, str]:
    """A model of the world's first part, and the time until which it learned."""
    until = parse_instant(world().manifest["as_of"]) - 90 * DAY
    bundle = train(histories(), quick_settings(), task(until), Progress(disable=True)).bundle
    return bundle, bundle.manifest.trained_until


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That model, as a folder."""
    path = tmp_path_factory.mktemp("bundle") / "a-model"
    write_bundle(_trained()[0], path)
    return str(path)


# -------------------------------------------------------------------------------- what a policy would have chosen


def test_what_is_allowed_is_what_serving_allows_at_each_moment() -> None:
    moments = _moments(small_histories())
    found = allowed_at(small_histories(), moments.account, moments.as_of)
    for as_of in np.unique(moments.as_of).tolist():
        rows = np.flatnonzero(moments.as_of == as_of)
        expected = blocked_until(small_histories(), moments.account[rows], as_of) <= as_of
        np.testing.assert_array_equal(found[rows, :-1], expected)
    assert 0.5 < found[:, :-1].mean() < 1, "some are forbidden, or the test says nothing"
    assert found[:, -1].all(), "waiting is always allowed"


def test_a_model_chooses_what_its_scores_say() -> None:
    scorer, of = prepare_scorer(small_bundle()), small_histories()
    moments = _moments(of)
    found = choices_of_model(scorer, of, moments, 1, _nothing).action
    for as_of in np.unique(moments.as_of).tolist():
        rows = np.flatnonzero(moments.as_of == as_of)
        scores = score(scorer, of, as_of, moments.account[rows])
        assert [NAMES[place] for place in found[rows]] == scores["best_channel"].tolist()
    assert len(np.unique(found)) > 1


def test_a_constant_policy_waits_where_its_channel_is_forbidden() -> None:
    moments = _moments(small_histories())
    call = NAMES.index("call")
    allowed = allowed_at(small_histories(), moments.account, moments.as_of)[:, call]
    found = choices_of_constant("call", NAMES, small_histories(), moments).action
    np.testing.assert_array_equal(found == call, allowed)
    assert set(found[~allowed].tolist()) == {NAMES.index("none")}
    with pytest.raises(SettingsError, match=r"one of sms, .*, none, got 'telepathy'"):
        choices_of_constant("telepathy", NAMES, small_histories(), moments)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_is_matched_to_decisions_by_account_and_time(tmp_path: Path, suffix: str) -> None:
    of, moments = small_histories(), _moments(small_histories()).take(np.arange(5))
    at = from_instants(moments.as_of)
    frame = pd.DataFrame({"account_id": of.accounts.account_id[moments.account], "at": at, "channel": "call"})
    frame = frame.iloc[[3, 1]]
    frame.loc[3, "channel"] = "none"
    others = pd.DataFrame({"account_id": ["A00001", "B1", "B2"], "at": at.iloc[[0, 0, 0]], "channel": "sms"})
    others.loc[others.index[0], "at"] += pd.Timedelta("1s")
    frame = pd.concat([frame, others])
    path = tmp_path / f"choices{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    found = choices_of_file(path, NAMES, of, moments)
    assert found.action.tolist() == [SILENT, NAMES.index("call"), SILENT, NAMES.index("none"), SILENT]
    assert found.unmatched == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("account_id,at\nA1,2026-01-01\n", "lacks channel"),
        ("account_id,at,channel\nA1,2026-01-01,call\nA1,2026-01-02,fax\n", r"got 'fax' in row 2 of .*\(1 such rows\)"),
        ("account_id,at,channel\nA1,soon,call\n", "at of a file of choices must be an ISO 8601 time"),
        ("account_id,at,channel\nA1,2026-01-01,call\nA1,2026-01-01,sms\n", "given once for an account"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "choices.csv"
    path.write_text(text)
    with pytest.raises(PortfolioError, match=words):
        choices_of_file(path, NAMES, small_histories(), _moments(small_histories()))


# -------------------------------------------------------------------------------- what was expected


def test_what_is_expected_of_an_account_comes_from_other_accounts() -> None:
    # Else the model would know the outcome that it corrects, and the interval would be too narrow.
    generator = np.random.default_rng(1)
    account = np.repeat(np.arange(300), 4)
    matrix = generator.random((1200, 3)).astype(np.float32)
    paid = generator.random(1200) < 0.2 + 0.5 * (matrix[:, 0] > 0.5)
    logged = Logged(generator.integers(0, 2, 1200), np.full(1200, 0.5), account, paid)
    amount, fold = np.where(paid, 10 + 90 * matrix[:, 1], 0.0).astype(float), account % 3
    learner = Learner("binary", QUICK, (), 1, 1)
    own = fold == 1
    changed = replace(logged, paid=np.where(own, ~paid, paid))
    expected = expected_payment(learner, matrix, logged, fold, 2, _nothing)
    other = expected_payment(learner, matrix, changed, fold, 2, _nothing)
    np.testing.assert_array_equal(expected[own], other[own])
    assert (expected[~own] != other[~own]).any()
    assert np.corrcoef(expected[:, 0], matrix[:, 0] > 0.5)[0, 1] > 0.9
    money = expected_amount(learner, matrix, logged, amount, fold, _nothing)
    doubled = expected_amount(learner, matrix, logged, np.where(own, 2 * amount, amount), fold, _nothing)
    np.testing.assert_array_equal(money[own], doubled[own])
    assert np.corrcoef(money, matrix[:, 1])[0, 1] > 0.9


# -------------------------------------------------------------------------------- the command


def _evaluate(folder: Path, *options: str) -> int:
    return main(["evaluate-policy", str(folder), *options])


def test_the_log_itself_is_worth_what_followed_its_decisions(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A second implementation, on the tables alone.
    assert _evaluate(folder, "--policy", "logging", "--until", "2024-03-31", "--out", str(tmp_path / "log.json")) == 0
    assert "logging at" in capsys.readouterr().out
    found = json.loads((tmp_path / "log.json").read_text())
    decisions = portfolio().tables["decisions"].reset_index(names="row")
    payments = portfolio().tables["payments"][["account_id", "at", "amount"]]
    pairs = decisions.merge(payments, on="account_id", suffixes=("", "_paid"))
    after = pairs["at_paid"] - pairs["at"]
    within = pairs[(after >= pd.Timedelta(0)) & (after < pd.Timedelta(days=30))]
    net = within.groupby("row")["amount"].sum().reindex(decisions["row"], fill_value=0.0)
    of = histories()
    account = pd.Index(of.accounts.account_id).get_indexer(pd.Index(decisions["account_id"].to_numpy(object)))
    at = decisions["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    live = standing(of, account, at)[1] & (at <= parse_instant("2024-03-31")) & (decisions["propensity"] < 1).to_numpy()
    assert found["decisions"] == live.sum()
    assert found["outcomes"]["pay_rate"]["policy"]["value"] == pytest.approx((net[live] > 0).mean())
    assert found["outcomes"]["money"]["policy"]["value"] == pytest.approx(net[live].mean())
    cost = {channel.name: channel.cost for channel in of.settings.channels} | {"none": 0.0}
    earned = net.to_numpy() * of.accounts.commission_rate[account] - decisions["channel"].map(cost).to_numpy(float)
    assert found["outcomes"]["net_value"]["policy"]["value"] == pytest.approx(earned[live].mean())
    assert found["support"] is None


def test_a_file_of_the_same_choices_is_worth_the_same(
    folder: Path, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("--since", "2024-03-20", "--max-decisions", "6000")
    assert _evaluate(folder, "--policy", "always:call", *sizes, "--out", str(tmp_path / "call.json")) == 0
    assert " decisions (drawn from " in capsys.readouterr().out
    decisions = portfolio().tables["decisions"]
    decisions = decisions[decisions["at"] >= pd.Timestamp("2024-03-20", tz="UTC")]
    of = histories()
    account = pd.Index(of.accounts.account_id).get_indexer(pd.Index(decisions["account_id"].to_numpy(object)))
    at = decisions["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    allowed = allowed_at(of, account, at)[:, of.settings.channel_names.index("call")]
    choices = decisions[["account_id", "at"]].assign(channel=np.where(allowed, "call", "none"))
    choices.drop_duplicates(["account_id", "at"]).to_parquet(tmp_path / "choices.parquet")
    options = ("--policy", str(tmp_path / "choices.parquet"), *sizes, "--out", str(tmp_path / "file.json"))
    assert _evaluate(folder, *options) == 0
    assert "rows of the file match none of the decisions looked at" in capsys.readouterr().out
    constant, same = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("call", "file"))
    assert constant["outcomes"] == same["outcomes"]
    assert set(constant["outcomes"]) == {"pay_rate", "money", "net_value"}
    assert constant["support"] == same["support"]
    gain = constant["outcomes"]["pay_rate"]["gain"]
    assert gain["low"] < gain["value"] < gain["high"]
    assert constant["support"]["mean_weight"] == pytest.approx(1, abs=0.1)


def test_a_model_is_asked_about_what_it_has_not_learned_from(
    folder: Path, model: str, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = _trained()[1]
    assert _evaluate(folder, "--model", model, "--out", str(tmp_path / "model.json")) == 0
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["policy"] == "a-model"
    assert found["first_decision"] >= learned
    assert found["last_decision"] < str(world().manifest["as_of"])
    before = (pd.Timestamp(learned) - pd.Timedelta(days=1)).isoformat()
    capsys.readouterr()
    assert _evaluate(folder, "--model", model, "--since", before) == 1
    assert f"a-model learned until {learned}; give that or later" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--policy", "always:visit", "--max-decisions", "3000"), "the log cannot tell the value of always:visit: "),
        (("--policy", "logging", "--since", "2024-07-01"), "got none on live accounts from 2024-07-01"),
        (("--policy", "no-such.csv"), "no-such.csv cannot be read"),
    ],
)
def test_what_cannot_be_told_is_one_error_and_no_file(
    folder: Path, tmp_path: Path, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _evaluate(folder, *options, "--out", str(tmp_path / "it.json")) == 1
    output, error = capsys.readouterr()
    assert output == ""
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "it.json").exists()


def test_without_logged_propensities_nothing_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "unlogged"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("truth", "decisions.parquet"))
    assert _evaluate(copy, "--policy", "always:call") == 1
    assert "the exact propensity of each, got no decisions table" in capsys.readouterr().err


def test_of_too_many_decisions_those_of_some_accounts_are_taken() -> None:
    # All decisions of an account go together in the variance: a draw of single ones would tear them apart.
    moments = _moments(small_histories())
    n = len(moments)
    every = Decided(moments, np.zeros(n, np.int64), np.ones(n), np.zeros(n, bool), np.ones(n), np.zeros(n, bool))
    some = of_some_accounts(small_histories(), every, n // 3, 1)
    assert 0.9 * (n // 3) < len(some) <= n // 3
    counts = [pd.Series(one.moments.account).value_counts() for one in (every, some)]
    assert (counts[1] == counts[0][counts[1].index]).all()
    assert of_some_accounts(small_histories(), every, n, 1) is every


def test_a_log_by_rule_alone_is_refused() -> None:
    tables = dict(portfolio().tables)
    tables["decisions"] = tables["decisions"].assign(propensity=1.0)
    by_rule = pack(replace(portfolio(), tables=tables))
    with pytest.raises(HistoryError, match="left something to chance"):
        evaluate_named(by_rule, "always:call", None, Window(None, None, task().now, 1000), Progress(disable=True))
    tables["decisions"] = tables["decisions"].assign(propensity=0.995)
    nearly = pack(replace(portfolio(), tables=tables))
    with pytest.raises(HistoryError, match=r"100% of the \d+ decisions had a propensity"):
        evaluate_named(nearly, "always:call", None, Window(None, None, task().now, 1000), Progress(disable=True))


def test_a_report_is_written_as_json(folder: Path) -> None:
    report = evaluation.Report("p", 30, "2026-01-01", "2026-02-01", 2, 2, 1, 0, 0, None, {})
    assert msgspec.json.decode(evaluation.encode(report))["policy"] == "p"
