"""Labels: what is set aside and why, what may be learned from them, and what a model of them does not claim."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.progress import Progress

from features.compute import standing
from features.errors import BundleError, HistoryError, PortfolioError
from features.units import DAY, format_instant, from_instants
from serving.queue import build_queue
from serving.scoring import prepare_scorer, score
from tests.training.world import NOW, files, histories, portfolio, quick_settings, task
from training.bundle import LABEL, Bundle, read_bundle, write_bundle
from training.card import model_card
from training.commands import train as train_command
from training.labels import labels_from_frame, pack_labels, read_labels, train_on_labels
from training.moments import cut_time, is_paid, sample_moments
from training.plots import monthly
from training.recalibrate import recalibrate
from training.settings import TrainingSettings
from training.train import Trained, train

HORIZON = 30
STRIDE = 16


@cache
def _until() -> int:
    return cut_time(histories(), HORIZON, None, NOW).until


def _settings() -> TrainingSettings:
    """Without the moments just after placement, which no label stands for; with few decisions, as labels need none."""
    settings = msgspec.to_builtins(quick_settings())
    settings["moments"] |= {"entry": False, "max_decisions": 500}
    return msgspec.convert(settings, TrainingSettings)


@cache
def _paid_labels() -> pd.DataFrame:
    """Labels that say what is learned anyway: whether there was a payment after each moment."""
    cuts = cut_time(histories(), HORIZON, None, NOW)
    before = sample_moments(histories(), cuts.begin, cuts.train_end, STRIDE, HORIZON, cuts.until, 1)
    after = sample_moments(histories(), cuts.until, cuts.test_end, STRIDE, HORIZON, cuts.data_end, 1)
    moments = before.and_then(after)
    account_id = histories().accounts.account_id[moments.account]
    paid = is_paid(moments, quick_settings().payment)
    return pd.DataFrame({"account_id": account_id, "as_of": from_instants(moments.as_of), "label": paid.astype(int)})


def _kept(frame: pd.DataFrame) -> pd.DataFrame:
    return labels_from_frame(frame, portfolio().tables["accounts"], NOW)[0]


def _train(frame: pd.DataFrame, default_cut: bool = False) -> Trained:
    labels = pack_labels(_kept(frame), histories())
    of_labels = replace(task(None if default_cut else _until()), target=LABEL)
    return train_on_labels(histories(), labels, _settings(), of_labels, Progress(disable=True))


@cache
def _trained() -> Trained:
    return _train(_paid_labels())


def _written(bundle: Bundle, folder: Path) -> dict[str, bytes]:
    # What it reached later, and how far the labels go, are facts about later time: they may differ.
    write_bundle(replace(bundle, manifest=replace(bundle.manifest, holdout={}, data_until="")), folder)
    return files(folder)


def test_labels_that_say_what_was_paid_give_the_model_of_payments(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same moments with the same outcomes: whether they came as labels must make no difference.
    monkeypatch.setattr("training.train.stride_for", lambda *_: STRIDE)
    of_payments = train(histories(), _settings(), task(_until()), Progress(disable=True)).bundle
    of_labels = _trained().bundle
    assert of_labels.models["p_pay.txt"].model_to_string() == of_payments.models["p_pay.txt"].model_to_string()
    assert of_labels.links.p_pay == of_payments.links.p_pay
    assert of_labels.manifest.band_thresholds == of_payments.manifest.band_thresholds
    assert of_labels.manifest.features == of_payments.manifest.features


def test_labels_drawn_at_random_cannot_be_told() -> None:
    # What can be learned of a coin would be a leak.
    coin = np.random.default_rng(5).integers(0, 2, len(_paid_labels()))
    holdout = _train(_paid_labels().assign(label=coin)).holdout
    assert holdout is not None
    n_one, n_zero = int(holdout.paid.sum()), int((~holdout.paid).sum())
    error = np.sqrt((n_one + n_zero + 1) / (12 * n_one * n_zero))  # of the AUC where nothing can be told
    assert abs(holdout.metrics["auc"] - 0.5) < 3.5 * error


def test_labels_after_the_cut_change_nothing_learned(tmp_path: Path) -> None:
    # Those within a horizon before the cut were not decided then: they are later labels, too.
    labels = _paid_labels()
    decided = labels["as_of"] <= pd.Timestamp(format_instant(_until() - HORIZON * DAY))
    turned = labels.assign(label=labels["label"].where(decided, 1 - labels["label"]))
    first = _written(_trained().bundle, tmp_path / "a")
    assert _written(_train(turned).bundle, tmp_path / "b") == first
    assert _written(_train(labels[decided]).bundle, tmp_path / "c") == first


def test_the_order_of_labels_does_not_matter(tmp_path: Path) -> None:
    shuffled = _paid_labels().sample(frac=1.0, random_state=2)
    assert _written(_train(shuffled).bundle, tmp_path / "a") == _written(_trained().bundle, tmp_path / "b")


def test_about_a_fifth_of_the_labels_is_unseen_where_no_cut_is_named() -> None:
    trained = _train(_paid_labels(), default_cut=True)
    assert trained.holdout is not None
    assert trained.counts["test_moments"] / len(_paid_labels()) == pytest.approx(0.2, abs=0.03)
    assert trained.cuts.train_end == trained.cuts.until - HORIZON * DAY
    counts = trained.counts
    assert counts["training_moments"] + counts["undecided_labels"] + counts["test_moments"] == len(_paid_labels())


def test_what_was_reached_is_measured_on_unseen_labels() -> None:
    holdout = _trained().holdout
    assert holdout is not None
    assert holdout.moments.as_of.min() >= _until()
    assert holdout.metrics["auc"] > 0.55
    assert not holdout.has_money
    assert not any("amount" in name or "money" in name for name in holdout.metrics)


def test_labels_of_accounts_that_are_not_live_count() -> None:
    accounts = portfolio().tables["accounts"].query("opened_at < placed_at").head(40)
    early = accounts[accounts["placed_at"] < pd.Timestamp(format_instant(_until() - HORIZON * DAY))]
    unplaced = pd.DataFrame({"account_id": early["account_id"], "as_of": early["placed_at"], "label": 1})
    rows = pack_labels(_kept(unplaced), histories())
    assert not standing(histories(), rows.account, rows.as_of)[1].any()
    assert _train(pd.concat([_paid_labels(), unplaced])).counts["training_moments_not_live"] == len(unplaced) > 0


def test_a_model_of_labels_claims_neither_money_nor_effects(tmp_path: Path) -> None:
    sealed = write_bundle(_trained().bundle, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.digest == sealed.digest
    assert bundle.manifest.target == LABEL
    assert set(bundle.models) == {"p_pay.txt"}
    scores = score(prepare_scorer(bundle), histories(), _until())
    amounts = ["expected_amount", "uplift", *(name for name in scores.columns.astype(str) if name.startswith("value_"))]
    assert scores[amounts].isna().all(axis=None)
    assert (scores["channel_support"] == "").all()
    assert (scores["p_pay_call"] == scores["p_pay"]).all()


def test_neither_do_its_card_and_its_months(tmp_path: Path) -> None:
    holdout = _trained().holdout
    assert holdout is not None
    assert not monthly(holdout).columns.str.contains("money").any()
    assert monthly(holdout).notna().all(axis=None)
    card = model_card(_trained(), write_bundle(_trained().bundle, tmp_path / "bundle"), None)
    assert "The probability of label 1" in card
    figures = card[card.index("## Data") : card.index("## Known limits")]
    assert "with label 1 predicted, actual" in figures
    assert not any(word in figures for word in ("money", "payer", "call"))
    assert "channel" not in card[card.index("## Known limits") :]


def test_a_model_of_labels_cannot_be_recalibrated() -> None:
    # Its outcomes are the user's: the portfolio does not hold them.
    with pytest.raises(BundleError, match="which learned labels"):
        recalibrate(_trained().bundle, histories(), task(), 1)


def test_scores_and_queue_are_ordered_by_the_probability() -> None:
    scorer = prepare_scorer(_trained().bundle)
    scores = score(scorer, histories(), _until())
    ordered = scores.sort_values("p_pay")
    assert ordered["priority"].is_monotonic_increasing
    assert ordered["priority"].max() > 90
    queue = build_queue(scorer, scores, histories(), _until(), {"call": 50})
    assert len(queue.rows) == 50
    assert queue.rows["p_pay"].is_monotonic_decreasing
    assert any("the model learned labels" in note for note in queue.notes)


def _bad(**cells: object) -> pd.DataFrame:
    """A good label, then the same with other cells."""
    account = portfolio().tables["accounts"].iloc[0]
    good: dict[str, object] = {"account_id": account["account_id"], "as_of": "2025-03-01", "label": "1"}
    return pd.DataFrame([good, {**good, "as_of": "2025-03-02", **cells}], dtype=object)


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"account_id": "nobody"}, "account_id", "is not in accounts"),
        ({"account_id": None}, "account_id", "is blank"),
        ({"as_of": "last week"}, "as_of", "is not an ISO 8601 time"),
        ({"as_of": 20_250_302}, "as_of", "is a number, which says no time"),
        ({"as_of": None}, "as_of", "is blank"),
        ({"as_of": "1901-01-01"}, "as_of", "is before the account's opened_at"),
        ({"as_of": "2100-01-01"}, "as_of", "is less than a horizon ago"),
        ({"as_of": "2025-03-01"}, "as_of", "repeats the account_id and as_of"),
        ({"as_of": "2025-03-01T01:00:00+01:00"}, "as_of", "repeats the account_id and as_of"),
        ({"as_of": "2025-03-01", "label": "0"}, "label", "contradicts an earlier row"),
        ({"label": "2"}, "label", "is not true or false"),
        ({"label": "0.5"}, "label", "is not true or false"),
        ({"label": None}, "label", "is blank"),
    ],
)
def test_every_bad_row_is_set_aside_with_its_reason(cells: dict[str, object], column: str, reason: str) -> None:
    kept, rejects = labels_from_frame(_bad(**cells), portfolio().tables["accounts"], NOW)
    assert len(kept) == 1
    assert rejects[["table", "row", "column"]].to_numpy().tolist() == [["labels", 2, column]]
    assert reason in rejects["reason"][0]


def test_a_bad_row_does_not_stand_in_for_a_good_one() -> None:
    frame = _bad(as_of="2025-03-01", label="0")
    frame.loc[0, "label"] = "maybe"
    kept, rejects = labels_from_frame(frame, portfolio().tables["accounts"], NOW)
    assert kept["label"].tolist() == [False]
    assert rejects["row"].tolist() == [1]


@pytest.mark.parametrize("words", [(1, 0), (1.0, 0.0), (True, False), ("true", "false"), ("1.0", "0.0"), ("1", "0")])
def test_labels_are_zeros_and_ones_however_they_are_written(words: tuple[object, object], tmp_path: Path) -> None:
    frame = _bad().assign(label=pd.Series(words))
    frame.to_csv(tmp_path / "labels.csv", index=False)
    frame.astype({"account_id": str, "as_of": str}).to_parquet(tmp_path / "labels.parquet")
    for name in ("labels.csv", "labels.parquet"):
        kept, rejects = read_labels(tmp_path / name, portfolio().tables["accounts"], NOW)
        assert kept["label"].tolist() == [True, False]
        assert not len(rejects)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "account_id,label\nA,1\n", "needs the columns as_of"),
        ("labels.csv", "account_id;as_of;label\nA;2025-01-01;1\n", "separate columns by commas"),
        ("labels.csv", "account_id,as_of,label\n", "the labels have no row"),
        ("labels.csv", "account_id,as_of,label\nnobody,2025-01-01,1\n", "no usable row: all 1 are set aside"),
        ("labels.csv", "", "is empty"),
        ("labels.parquet", "account_id", "cannot be read"),
        ("labels.xlsx", "", "a table is a file ending in"),
        ("labels.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(PortfolioError, match=message):
        read_labels(tmp_path / name, portfolio().tables["accounts"], NOW)


@pytest.mark.parametrize("label", [0, 1])
def test_too_few_labels_of_a_kind_are_one_clear_error(label: int) -> None:
    few = _paid_labels().query(f"label != {label}")
    with pytest.raises(HistoryError, match="at least 30 accounts with label 1 and as many with 0"):
        _train(few)


def test_labels_of_one_moment_leave_nothing_decided_before_the_cut() -> None:
    with pytest.raises(HistoryError, match="got 0 and 0"):
        _train(_paid_labels().drop_duplicates("account_id").assign(as_of="2025-01-01"), default_cut=True)


def test_the_command_says_what_was_learned_and_what_was_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path / "var"))
    for name, frame in portfolio().tables.items():
        (tmp_path / "small").mkdir(exist_ok=True)
        frame.to_parquet(tmp_path / "small" / f"{name}.parquet")
    unknown = _paid_labels().head(3).assign(account_id="nobody")
    pd.concat([_paid_labels(), unknown]).to_csv(tmp_path / "labels.csv", index=False)
    quick = tmp_path / "quick.toml"
    quick.write_text("threads = 1\n[p_pay]\ntrees = 5\n", encoding="utf-8")
    arguments = [str(tmp_path / "small"), "--labels", str(tmp_path / "labels.csv"), "--config", str(quick)]
    assert "--labels needs --horizon" in CliRunner().invoke(train_command, arguments).output
    until = ["--until", format_instant(_until()), "--rejects", str(tmp_path / "bad")]
    result = CliRunner().invoke(train_command, [*arguments, "--horizon", str(HORIZON), *until])
    assert result.exit_code == 0, result.output
    kept = len(_paid_labels())
    assert f"Labels: {kept:,} are kept, 3 rows are set aside" in result.output
    assert pd.read_csv(tmp_path / "bad" / "labels.csv")["row"].tolist() == [kept + 1, kept + 2, kept + 3]
    assert f"Learned from {_trained().counts['training_moments']:,} labels" in result.output
