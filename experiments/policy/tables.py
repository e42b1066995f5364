"""The value of a policy, as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.policy.evaluation import MONEY, NET_VALUE, PAY_RATE, Report
from experiments.policy.value import Compared, Estimate

if TYPE_CHECKING:
    from rich.table import Table

_WORDS = {PAY_RATE: "pay rate", MONEY: "money", NET_VALUE: "net value"}


def report_lines(report: Report) -> Iterator[str]:
    """What was looked at, what the log holds of the policy, and what can be said."""
    drawn = f" (drawn from {report.drawn_from:,})" if report.drawn_from > report.decisions else ""
    yield (
        f"{report.policy} at {report.decisions:,} decisions{drawn} on {report.accounts:,} accounts from "
        f"{report.first_decision[:10]} to {report.last_decision[:10]}, and the {report.horizon_days} days after each."
    )
    if report.unmatched or report.silent:
        yield (
            f"{report.unmatched:,} rows of the file match none of the decisions looked at (matured, left to chance, on "
            f"a live account); of {report.silent:,} of those it says nothing."
        )
    found = report.support
    if found is None:
        return
    yield (
        f"The log did the same at {found.agreed:,} of them, after which {found.payers:,} accounts paid; weighted, they "
        f"say as much as {found.effective:,.0f} equal accounts. Mean weight {found.mean_weight:.3f} (1 expected, error "
        f"{found.mean_weight_error:.3f})."
    )
    yield _verdict(report.outcomes[NET_VALUE].gain)


def report_table(report: Report) -> Table:
    """Each outcome per decision: under the policy, as it was, and the gain, each with its 95 % interval."""
    from rich.table import Table

    table = Table("per decision", title="Value, with 95 % intervals", title_justify="left")
    headings = ("as it was",) if report.support is None else ("as it was", "policy", "gain", "decisions needed")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, words in _WORDS.items():
        table.add_row(words, *_cells(report.outcomes[name], name == PAY_RATE)[: len(headings)])
    return table


def _verdict(gain: Estimate) -> str:
    if gain.low > 0:
        return f"It would have added at least {gain.low:,.3f} net per decision (one-sided 97.5 % bound)."
    if gain.high < 0:
        return f"It would have lost at least {-gain.high:,.3f} net per decision (one-sided 97.5 % bound)."
    return "Whether it would have added net value, these decisions do not tell: the interval holds zero."


def _cells(found: Compared, is_share: bool) -> tuple[str, ...]:
    needed = found.needed
    within = f"± {_number(needed.half_width, is_share)}"
    estimates = (_cell(one, is_share) for one in (found.logging, found.policy, found.gain))
    return (*estimates, f"{needed.decisions:,} for {within}" if needed.decisions else "")


def _cell(one: Estimate, is_share: bool) -> str:
    value, low, high = (_number(each, is_share) for each in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def _number(value: float, is_share: bool) -> str:
    return f"{value:.3%}" if is_share else f"{value:,.3f}"
