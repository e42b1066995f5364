"""Comparisons of models of which everything is known: differences, their intervals, swap sets and bands."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from experiments.benchmarks._book import QUESTION, THRESHOLDS, Book, compared
from experiments.champion.bands import largest_rise
from experiments.champion.comparison import chance_calibration_error, compare_holdouts, decode, encode
from experiments.champion.tables import FIGURES, comparison_line, comparison_tables
from experiments.champion.unseen import POLICY_VALUE
from features.errors import GateError, HistoryError
from training.metrics import auc, calibration_error


def test_a_model_and_itself_differ_by_exactly_nothing() -> None:
    book = Book(600, 1)
    found = compared(book.rightly(), book.rightly())
    for paired in found.figures.values():
        assert (paired.difference.value, paired.difference.low, paired.difference.high) == (0, 0, 0)
    assert (found.swap_set.only_a.moments, found.swap_set.only_b.moments) == (0, 0)
    assert found.swap_set.only_a.pay_rate is None
    assert found.a.bands == found.b.bands


def test_the_interval_covers_a_known_difference() -> None:
    # The difference in AUC of the two is known from a book so large that chance hardly matters.
    large = Book(60_000, 99)
    blurred = large.blurred(1.0)
    truth = auc(blurred.holdout.p_pay, large.paid) - auc(large.p, large.paid)
    assert truth < -0.05
    covered = 0
    for seed in range(20):
        book = Book(700, seed)
        difference = compared(book.rightly(), book.blurred(1.0), repeats=100).figures["auc"].difference
        covered += difference.low <= truth <= difference.high
    assert covered >= 16  # of 20 at 95 %: fewer than 16 happen once in 400 runs


def test_the_other_way_round_is_the_same_with_its_sign_changed() -> None:
    book = Book(500, 2)
    blurred = book.blurred(0.8)
    there, back = compared(book.rightly(), blurred), compared(blurred, book.rightly())
    for name, paired in there.figures.items():
        assert back.figures[name].difference.value == pytest.approx(-paired.difference.value)
        assert back.figures[name].difference.low == pytest.approx(-paired.difference.high)
    assert back.swap_set.only_a == there.swap_set.only_b


def test_pairing_takes_out_what_both_have_in_common() -> None:
    # Two models that nearly agree err together: their difference is told far better than either figure.
    book = Book(800, 3)
    found = compared(book.rightly(), book.blurred(0.1)).figures["auc"]
    assert found.difference.high - found.difference.low < (found.a.high - found.a.low) / 4


def test_the_swap_set_shares_all_moments_and_all_money_out() -> None:
    book = Book(500, 4)
    swap = compared(book.rightly(), book.blurred(1.5)).swap_set
    cells = (swap.both, swap.only_a, swap.only_b, swap.neither)
    assert sum(cell.moments for cell in cells) == len(book.p)
    amounts = [cell.amount or 0.0 for cell in cells]
    assert sum(amounts) == pytest.approx(book.net_amount.sum())
    assert swap.both.moments + swap.only_a.moments == len(book.p) // 10 == swap.both.moments + swap.only_b.moments
    assert amounts[1] > amounts[2]  # who only the better model puts first brings more


def test_a_comparison_comes_back_as_it_was_kept() -> None:
    book = Book(400, 5)
    found = compared(book.rightly(), book.blurred(0.5))
    assert decode(encode(found)) == found
    with pytest.raises(GateError, match="compare anew"):
        decode(b'{"figures": {}}')


def test_every_figure_has_its_words() -> None:
    book = Book(400, 5)
    # The value of the choices is told from logged decisions, where there are any.
    assert [*compared(book.rightly(), book.rightly()).figures, POLICY_VALUE] == list(FIGURES)


@pytest.mark.parametrize(
    ("target", "said"), [("payment", "30 accounts that paid on unseen"), ("label", "30 accounts that have label 1 on")]
)
def test_too_few_payers_are_one_clear_error(target: str, said: str) -> None:
    book = Book(60, 6)
    with pytest.raises(HistoryError, match=said):
        compared(book.says(book.p, target=target), book.says(book.p, target=target))


def test_labels_are_compared_as_payments_are_but_for_the_money() -> None:
    book = Book(600, 3)
    worse = book.blurred(0.8).holdout.p_pay
    of_payments, of_labels = (
        compared(book.says(book.p, target=target), book.says(worse, target=target)) for target in ("payment", "label")
    )
    without_money = ("auc", "brier", "calibration_error", "log_loss")
    assert of_labels.figures == {name: of_payments.figures[name] for name in without_money}
    assert of_labels.a.rise == of_payments.a.rise
    assert (of_labels.actual_amount, of_labels.b.predicted_amount, of_labels.sampling_error) == (None, None, None)
    assert of_labels.swap_set.only_a.amount is None
    rates = [cell.pay_rate or 0.0 for cell in (of_labels.swap_set.only_a, of_labels.swap_set.only_b)]
    assert rates[0] > rates[1]  # who only the better model puts first has label 1 more often
    assert decode(encode(of_labels)) == of_labels


def test_what_is_shown_of_labels_speaks_of_no_money() -> None:
    book = Book(400, 5)
    found = compared(book.says(book.p, target="label"), book.says(book.p, target="label"))
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison_line(found), *comparison_tables(found))
    said = console.export_text()
    assert "label 1" in said
    assert not any(word in said for word in ("money", "amount", "pay ", "paid", "nan"))


def test_other_moments_are_not_compared() -> None:
    one, other = Book(400, 7).rightly(), Book(500, 7).rightly()
    with pytest.raises(ValueError, match="same moments"):
        compare_holdouts(one, other, QUESTION, 1, lambda: None)


def test_right_probabilities_miss_by_chance_as_much_as_is_said() -> None:
    generator = np.random.default_rng(8)
    p = generator.beta(1, 12, 3000)
    missed = [calibration_error(p, generator.random(len(p)) < p) for _ in range(200)]
    assert np.mean(missed) == pytest.approx(chance_calibration_error(p), rel=0.06)


def test_bands_that_rise_by_chance_alone_seldom_stand_out() -> None:
    # Under one rate for all, the largest of 45 pairs exceeds 3.06 standard errors in fewer than 1 of 20 books.
    standing_out = 0
    for seed in range(40):
        book = Book(400, seed)
        paid = np.repeat(book.generator.random(400) < 0.15, 2)  # an account pays at both of its moments or at neither
        rise = largest_rise(replace(book.rightly().holdout, paid=paid), THRESHOLDS)
        standing_out += rise is not None and rise.rise > 3.06 * rise.standard_error
    assert standing_out <= 6  # of 40: more happen once in 200 runs at the very most


def test_a_rise_is_found_where_it_is() -> None:
    book = Book(1500, 9)
    swapped = book.p.copy()
    a, j = book.p > 0.4, book.p <= 0.02
    swapped[a], swapped[j] = 0.01, 0.5
    holdout = book.says(swapped).holdout
    rise = largest_rise(holdout, THRESHOLDS)
    assert rise is not None
    assert rise.worse == "J"
    bands = holdout.bands.set_index("band")
    rate = bands["actual_payers"] / bands["accounts"]
    assert rise.rise == pytest.approx(rate["J"] - rate[rise.better])
    assert rise.rise > 5 * rise.standard_error
