"""The gate: each kind of worse model is refused by the check that is meant for it, and a good one passes all."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks._book import SETTINGS, Book, bundle, compared
from experiments.champion.comparison import Entrant
from experiments.champion.gate import check_candidate, read_gate
from features.catalog import catalogue
from features.errors import SettingsError
from features.settings import PortfolioSettings
from training.bundle import Suspect
from training.promotions import Check


@cache
def book() -> Book:
    return Book(1500, 1)


def failed(candidate: Entrant) -> set[str]:
    checks = check_candidate(compared(book().rightly(), candidate), bundle().manifest, candidate.bundle, read_gate())
    return {check.name for check in checks if not check.passed}


def checks_of(**changes: Any) -> dict[str, Check]:
    """The checks of a model as good as the champion, whose manifest says something else."""
    candidate = book().says(book().p, **changes)
    checks = check_candidate(
        compared(book().rightly(), candidate, repeats=2), bundle().manifest, candidate.bundle, read_gate()
    )
    return {check.name: check for check in checks}


def test_an_equal_model_passes() -> None:
    assert failed(book().rightly()) == set()


def test_a_better_model_passes() -> None:
    blurred = book().blurred(1.0)
    candidate = book().rightly()
    checks = check_candidate(compared(blurred, candidate), bundle().manifest, candidate.bundle, read_gate())
    assert all(check.passed for check in checks)


def test_a_model_that_ranks_worse_is_refused() -> None:
    assert {"AUC no worse", "Brier score no worse"} <= failed(book().blurred(1.0))


def test_a_model_that_finds_less_money_is_refused() -> None:
    # The same probabilities, but the amounts are taken from others: only the order by money is worse.
    held = book().rightly()
    expected = np.random.default_rng(1).permutation(held.holdout.expected_amount)
    share = {**held.holdout.metrics, "top_tenth_money_share": 0.1}
    lost = replace(held, holdout=replace(held.holdout, expected_amount=expected, metrics=share))
    assert failed(lost) == {"money from the top 10 % no worse"}


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_model_whose_totals_are_off_is_refused(factor: float) -> None:
    assert failed(book().says(book().p, amount_factor=factor)) == {"money predicted / actual"}


def test_a_model_whose_probabilities_are_off_is_refused() -> None:
    assert "calibration error" in failed(book().says(np.minimum(book().p * 1.8, 1.0)))


def test_bands_that_do_not_fall_are_refused() -> None:
    # Among the likely payers the model has the order the wrong way round.
    p = book().p.copy()
    top = np.flatnonzero(p > 0.15)
    rising = top[np.argsort(p[top])]
    p[rising] = p[rising][::-1]
    assert "actual rate falls from band to band" in failed(book().says(p))


def test_too_little_evidence_is_refused() -> None:
    small = Book(200, 3)
    checks = check_candidate(
        compared(small.rightly(), small.rightly(), repeats=20), bundle().manifest, bundle(), read_gate()
    )
    assert [check.name for check in checks if not check.passed] == ["accounts on unseen time"]


def test_an_audit_column_is_refused_though_the_model_calls_it_a_feature() -> None:
    # The champion's portfolio keeps gender for audits; the candidate's own settings declare it as an attribute.
    declared = replace(SETTINGS, categorical=("employment", "gender"), audit=())
    reading = {"features": ("days_past_due", "attribute_gender"), "categories": {"gender": ("f", "m")}}
    check = checks_of(portfolio=declared, **reading)["no audit column read"]
    assert (check.passed, check.found) == (False, "gender")
    assert checks_of()["no audit column read"].passed


def test_a_feature_that_is_not_there_is_refused() -> None:
    check = checks_of(features=("days_past_due", "days_since_eclipse"))["features available, also to the service"]
    assert not check.passed
    assert "days_since_eclipse" in check.found


def test_an_attribute_that_the_portfolio_does_not_declare_is_refused() -> None:
    other = replace(SETTINGS, numeric=("utilisation",))
    check = checks_of(portfolio=other, features=("attribute_utilisation",), categories={})
    assert "utilisation" in check["features available, also to the service"].found


def test_rates_of_the_whole_portfolio_are_refused_since_no_request_holds_them() -> None:
    rates = tuple(feature.name for feature in catalogue(SETTINGS) if feature.family == "portfolio")
    check = checks_of(features=("days_past_due", rates[0]))["features available, also to the service"]
    assert not check.passed
    assert rates[0] in check.found


def test_a_sign_of_a_leak_is_refused() -> None:
    check = checks_of(suspects=(Suspect("paid_in_next_30d", 0.98, "alone it ranks payers"),))["no sign of a leak"]
    assert (check.passed, check.found) == (False, "paid_in_next_30d")
    assert checks_of(suspects=())["no sign of a leak"].passed


def test_a_model_of_labels_is_asked_for_no_money() -> None:
    champion, candidate = (book().says(book().p, target="label") for _ in range(2))
    checks = check_candidate(compared(champion, candidate), champion.bundle.manifest, candidate.bundle, read_gate())
    assert all(check.passed for check in checks)
    of_payments = set(checks_of())
    assert of_payments - {check.name for check in checks} == {
        "money from the top 10 % no worse", "money predicted / actual",
    }  # fmt: skip


def test_a_model_of_labels_that_ranks_worse_or_promises_too_much_is_refused() -> None:
    champion = book().says(book().p, target="label")
    worse, bold = book().blurred(1.0).holdout.p_pay, np.minimum(book().p * 1.8, 1.0)
    for p, named in ((worse, "AUC no worse"), (bold, "calibration error")):
        candidate = book().says(p, target="label")
        checks = check_candidate(compared(champion, candidate), champion.bundle.manifest, candidate.bundle, read_gate())
        assert named in {check.name for check in checks if not check.passed}


def test_a_comparison_on_another_portfolio_is_no_evidence() -> None:
    check = checks_of(portfolio=PortfolioSettings("elsewhere"))["compared on its own portfolio"]
    assert (check.passed, check.found, check.needed) == (False, "small", "elsewhere")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[bands]", "[bandz]"), "bandz|bands"),
        (("auc = ", "acu = "), "acu|auc"),
        (("sampling_errors = 2.0", "sampling_errors = -1"), "calibration.sampling_errors"),
        (("false_alarm = 0.05", "false_alarm = 1.5"), "false_alarm"),
        (("[bands]", "[bands"), "cannot be read"),
    ],
)
def test_a_wrong_limit_is_named(root: Path, tmp_path: Path, change: tuple[str, str], named: str) -> None:
    text = (root / "experiments/champion/gate.toml").read_text("utf-8")
    assert change[0] in text
    (tmp_path / "gate.toml").write_text(text.replace(*change))
    with pytest.raises(SettingsError, match=named):
        read_gate(tmp_path / "gate.toml")


def test_a_missing_file_of_limits_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_gate(tmp_path / "nowhere.toml")
