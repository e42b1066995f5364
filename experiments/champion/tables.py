"""A comparison and a gate as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from experiments.champion.bands import BandRow
from experiments.champion.comparison import Cell, Comparison, Estimate
from training.bundle import PAYMENT
from training.promotions import Check


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


def _share(value: float) -> str:
    return f"{value:.1%}"


#: The figures of a comparison, in the order in which people read them: words, and how a value is written. A figure
#: that is worked out elsewhere and put into `Comparison.figures` needs its line here.
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "auc": ("AUC", _number(4)),
    "brier": ("Brier score", _number(5)),
    "calibration_error": ("calibration error", _number(4)),
    "log_loss": ("log loss", _number(5)),
    "predicted_to_actual": ("money predicted / actual", _number(3)),
    "top_tenth_money_share": ("money from the top 10 %", _share),
    "policy_net_value": ("net value of its choices, per decision", _number(3)),
}


def comparison_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The figures, the swap set and the bands."""
    return _figures(comparison), _swap_set(comparison), _bands(comparison)


def comparison_line(comparison: Comparison) -> str:
    """Which moments were compared, in one line."""
    question = comparison.question
    what = (
        f"{comparison.moments:,} moments of {comparison.accounts:,} accounts from {question.since[:10]} to "
        f"{question.until[:10]}, unseen by both: "
    )
    if comparison.actual_amount is None:
        return (
            f"{what}{comparison.paying_accounts:,} accounts have label 1, {comparison.other_accounts:,} label 0, each "
            f"decided within {question.horizon_days} days."
        )
    return (
        f"{what}{comparison.paying_accounts:,} accounts paid {comparison.actual_amount:,.0f} within "
        f"{question.horizon_days} days."
    )


def check_table(checks: Sequence[Check]) -> Table:
    """The checks of a gate."""
    table = Table("check", "found", "needed", "", title="The gate", title_justify="left")
    for check in checks:
        table.add_row(check.name, check.found, check.needed, "pass" if check.passed else "FAIL")
    return table


def _figures(comparison: Comparison) -> Table:
    table = Table(title="On the same unseen time, with 95 % intervals", title_justify="left")
    table.add_column("figure")
    for heading in (f"a: {comparison.a.model}", f"b: {comparison.b.model}", "b - a"):
        table.add_column(heading, justify="right")
    for name, (words, write) in FIGURES.items():
        if name in comparison.figures:
            paired = comparison.figures[name]
            cells = (paired.a, paired.b, paired.difference)
            table.add_row(words, *(_estimate(cell, write, cell is paired.difference) for cell in cells))
    a, b = comparison.a.predicted_amount, comparison.b.predicted_amount
    if a is not None and b is not None:
        table.add_row("money predicted", f"{a:,.0f}", f"{b:,.0f}", f"{b - a:+,.0f}")
    return table


def _estimate(estimate: Estimate, write: Callable[[float], str], signed: bool) -> str:
    value, low, high = (
        f"{'+' if signed and one >= 0 else ''}{write(one)}" for one in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def _swap_set(comparison: Comparison) -> Table:
    swap = comparison.swap_set
    what = (
        "expected amount: accounts, pay rate, money paid" if _has_money(comparison) else "probability: accounts, rate"
    )
    table = Table(title=f"The top 10 % by {what}", title_justify="left")
    for heading in ("", "in the top 10 % of b", "not of b"):
        table.add_column(heading)
    table.add_row("in the top 10 % of a", _cell(swap.both), _cell(swap.only_a))
    table.add_row("not of a", _cell(swap.only_b), _cell(swap.neither))
    return table


def _cell(cell: Cell) -> str:
    rate = "-" if cell.pay_rate is None else f"{cell.pay_rate:.1%}"
    told = (f"{cell.accounts:,}", rate, None if cell.amount is None else f"{cell.amount:,.0f}")
    return ", ".join(filter(None, told))


def _bands(comparison: Comparison) -> Table:
    """What each model says of its bands, beside what happened."""
    headings = ("accounts", "pay rate", "payers", "money") if _has_money(comparison) else ("moments", "rate", "label 1")
    table = Table(title=f"By band; of {' and '.join(headings[2:])}: predicted, actual", title_justify="left")
    table.add_column("band")
    for side in ("a", "b"):
        for heading in headings:
            table.add_column(f"{side}: {heading}", justify="right")
    for rows in zip(comparison.a.bands, comparison.b.bands, strict=True):
        table.add_row(rows[0].band, *(text for row in rows for text in _band(row)))
    return table


def _band(row: BandRow) -> Iterator[str]:
    yield f"{row.accounts:,}"
    yield f"{row.actual_payers / row.accounts:.1%}" if row.accounts else "-"
    yield f"{row.predicted_payers:,.0f}, {row.actual_payers:,}"
    if row.predicted_amount is not None and row.actual_amount is not None:
        yield f"{row.predicted_amount:,.0f}, {row.actual_amount:,.0f}"


def _has_money(comparison: Comparison) -> bool:
    return comparison.question.target == PAYMENT
