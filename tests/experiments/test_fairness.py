"""Fairness: every figure against a second way to it, and flags where there is something to flag."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from experiments.watch.fairness import (
    COMPARED,
    MISSING,
    POOLED,
    RATES,
    SMALLEST_GROUP,
    Audited,
    ColumnAudit,
    Group,
    audit_column,
    pool,
    top_tenth,
)
from training.metrics import calibration_error


def _audited(n: int = 900, seed: int = 1, moments: int = 1) -> Audited:
    draw = np.random.default_rng(seed)
    p = draw.beta(1, 6, n)
    paid = draw.random(n) < p
    return Audited(
        account=np.arange(n) // moments,
        p_pay=p,
        expected_amount=100 * p,
        selected=top_tenth(p, p),
        contacted=draw.random(n) < 0.6,
        paid=paid,
        net_amount=np.where(paid, draw.gamma(2, 50, n), 0.0),
    )


def _groups(n: int = 900) -> np.ndarray:
    return np.array(["a", "b", "c"], dtype=object)[np.arange(n) % 3]


def _group(audit: ColumnAudit, value: str) -> Group:
    return next(group for group in audit.groups if group.value == value)


def test_figures_of_a_group_are_those_of_its_rows_alone() -> None:
    of, groups = _audited(), _groups()
    audit, rows = audit_column("any", groups, of, 1), groups == "b"
    figures = {name: one.value for name, one in _group(audit, "b").figures.items()}
    true_negative, false_positive, false_negative, true_positive = confusion_matrix(
        of.paid[rows], of.selected[rows]
    ).ravel()
    assert figures["auc"] == pytest.approx(roc_auc_score(of.paid[rows], of.p_pay[rows]))
    assert figures["false_negative_rate"] == pytest.approx(false_negative / (false_negative + true_positive))
    assert figures["false_positive_rate"] == pytest.approx(false_positive / (false_positive + true_negative))
    assert figures["calibration_error"] == pytest.approx(calibration_error(of.p_pay[rows], of.paid[rows]))
    assert figures["selection_rate"] == pytest.approx(of.selected[rows].mean())
    assert figures["contact_rate"] == pytest.approx(of.contacted[rows].mean())
    assert figures["payers_predicted_by_actual"] == pytest.approx(of.p_pay[rows].sum() / of.paid[rows].sum())
    assert figures["actual_amount"] == pytest.approx(of.net_amount[rows].sum())


def test_groups_add_up_to_the_whole() -> None:
    audit = audit_column("any", _groups(), _audited(), 1)
    for name in ("predicted_payers", "actual_payers", "predicted_amount", "actual_amount"):
        assert sum(group.figures[name].value for group in audit.groups) == pytest.approx(
            audit.whole.figures[name].value
        )
    assert sum(group.accounts for group in audit.groups) == audit.whole.accounts


def test_intervals_are_as_wide_as_theory_says() -> None:
    # One moment to an account: the bootstrap's spread is the binomial one.
    of, groups = _audited(), _groups()
    found, rows = _group(audit_column("any", groups, of, 1), "a").figures["contact_rate"], groups == "a"
    error = np.sqrt(of.contacted[rows].mean() * (1 - of.contacted[rows].mean()) / rows.sum())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_moments_of_an_account_are_drawn_together() -> None:
    # Three equal moments to an account tell no more than one: the interval must be that of the accounts.
    one = _audited(300)
    thrice = Audited(*(np.repeat(column, 3) for column in vars(one).values()))
    groups = _groups(300)
    once = _group(audit_column("any", groups, one, 1), "a").figures["contact_rate"]
    again = _group(audit_column("any", np.repeat(groups, 3), thrice, 1), "a").figures["contact_rate"]
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))


def test_a_group_that_is_passed_over_is_flagged() -> None:
    of, groups = _audited(3000), _groups(3000)
    passed_over = of.contacted & ~((groups == "c") & (np.arange(3000) % 2 == 0))
    audit = audit_column("any", groups, Audited(**{**vars(of), "contacted": passed_over}), 1)
    found = _group(audit, "c")
    assert found.flagged == found.certain == ("contact_rate",)
    assert found.differences["contact_rate"].excludes_zero
    assert found.ratios["contact_rate"].value == pytest.approx(0.5, abs=0.1)
    assert all(not _group(audit, name).certain for name in ("a", "b"))


def test_equal_treatment_is_seldom_called_different() -> None:
    # 5 % of figures by chance, in 12 worlds of 3 groups.
    beyond = [
        group.differences[name].excludes_zero
        for seed in range(12)
        for group in audit_column("any", _groups(450), _audited(450, seed), seed).groups
        for name in (*RATES, "auc")
    ]
    assert np.mean(beyond) < 0.15


def test_small_groups_are_pooled_and_not_judged() -> None:
    values = np.array([None] * 120 + ["x"] * 150 + ["y"] * 60 + [np.nan] * 10 + ["z"] * 30, dtype=object)
    groups = pool(values)
    assert (groups == MISSING).sum() == 130
    assert (groups == POOLED).sum() == 90
    assert set(groups) == {"x", POOLED, MISSING}
    audit = audit_column("any", groups, _audited(len(values)), 1)
    assert [group.value for group in audit.groups] == ["x", MISSING, POOLED]
    assert _group(audit, POOLED).accounts < SMALLEST_GROUP
    assert _group(audit, POOLED).ratios == {}
    assert set(_group(audit, "x").ratios) == set(RATES)


def test_a_figure_that_a_group_cannot_have_is_left_open() -> None:
    of, groups = _audited(), _groups()
    nobody = Audited(**{**vars(of), "paid": of.paid & (groups != "a"), "net_amount": of.net_amount * (groups != "a")})
    found = _group(audit_column("any", groups, nobody, 1), "a")
    assert all(
        np.isnan(found.figures[name].value) for name in ("auc", "false_negative_rate", "money_predicted_by_actual")
    )
    assert not any(found.differences[name].excludes_zero for name in ("auc", "false_negative_rate"))
    assert set(found.differences) == set(COMPARED)


def test_the_top_tenth_is_by_priority_and_then_by_value() -> None:
    priority = np.array([100.0, 50.0, 100.0, *([1.0] * 17)])
    chosen = top_tenth(priority, np.arange(20.0))
    assert np.flatnonzero(chosen).tolist() == [0, 2]
    assert np.flatnonzero(top_tenth(np.ones(12), np.arange(12.0))).tolist() == [11]
