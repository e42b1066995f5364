"""Plots for the experiments' pages: how good predictions were on later time, and what the model goes by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.bundle import Floats
from training.contributions import by_family
from training.metrics import by_month, qini_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.holdout import Holdout

GROUPS = 10
TOP_FEATURES = 20


def write_plots(holdout: Holdout, contributions: pd.DataFrame, folder: Path) -> None:
    """Write every plot of a holdout, and of the contributions to its predictions, as a PNG into the folder.

    Where the model says nothing of money, neither do the plots.
    """
    drawn = {
        "calibration": calibration(holdout),
        "stability": stability(monthly(holdout), "month"),
        "contributions": contribution_bars(contributions),
    }
    if holdout.has_money:
        drawn |= {"gain": gain(holdout), "money_by_band": money_by_band(holdout)}
    for name, figure in drawn.items():
        write_figure(figure, folder / f"{name}.png")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG: the same bytes for the same figure."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def calibration(holdout: Holdout) -> Figure:
    """Predicted against actual rate, in ten groups of equal size."""
    figure, axes = _axes("Calibration on later, unseen time", "predicted rate", "actual rate")
    order = np.argsort(holdout.p_pay, kind="stable")
    groups = [group for group in np.array_split(order, GROUPS) if len(group)]
    predicted = [holdout.p_pay[group].mean() for group in groups]
    actual = [holdout.paid[group].mean() for group in groups]
    error = [np.sqrt(max(rate * (1 - rate), 1e-12) / len(group)) for rate, group in zip(actual, groups, strict=True)]
    top = max(*predicted, *actual) * 1.05
    axes.plot([0, top], [0, top], color="grey", linewidth=1, label="predicted = actual")
    axes.errorbar(predicted, actual, yerr=1.96 * np.array(error), fmt="o", label="groups, 95 % interval")
    axes.legend()
    return figure


def gain(holdout: Holdout) -> Figure:
    """Share of the money that the best share of the accounts brought, by expected amount and by probability."""
    figure, axes = _axes("Gain", "share of accounts worked", "share of the money paid")
    share = np.arange(1, len(holdout.p_pay) + 1) / len(holdout.p_pay)
    total = holdout.net_amount.sum() or 1.0
    for label, score in {"expected amount": holdout.expected_amount, "probability": holdout.p_pay}.items():
        order = np.argsort(-score, kind="stable")
        axes.plot(share, np.cumsum(holdout.net_amount[order]) / total, label=f"ordered by {label}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="in no order")
    axes.legend()
    return figure


def money_by_band(holdout: Holdout) -> Figure:
    """Predicted against actual money in each band."""
    figure, axes = _axes("Money by band", "band", "amount")
    place = np.arange(len(holdout.bands))
    axes.bar(place - 0.2, holdout.bands["predicted_amount"], 0.4, label="predicted")
    axes.bar(place + 0.2, holdout.bands["actual_amount"], 0.4, label="actual")
    axes.set_xticks(place, list(holdout.bands["band"]))
    axes.legend()
    return figure


def monthly(holdout: Holdout) -> pd.DataFrame:
    """The holdout month after month; see `training.metrics.stability` for the columns, of money where there is any."""
    table = by_month(
        holdout.moments.as_of, holdout.p_pay, holdout.paid, holdout.expected_amount, holdout.net_amount,
        holdout.moments.account,
    )  # fmt: skip
    return table if holdout.has_money else table.loc[:, ~table.columns.str.startswith("money_")]


def stability(table: pd.DataFrame, period: str) -> Figure:
    """AUC, and predicted by actual payers and money (where the table has it), over time with 95 % intervals.

    Args:
        table: a row per period: `period`, and the columns of `training.metrics.stability`.
        period: what a period is, for the axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    place = np.arange(len(table))
    upper.errorbar(place, table["auc"], yerr=1.96 * table["auc_error"], fmt="o-", capsize=3)
    upper.set(title="Over time, with 95 % intervals", ylabel="AUC")
    for shift, name in ((-0.06, "payers"), (0.06, "money")):
        if f"{name}_predicted_to_actual" not in table:
            continue
        ratio, error = table[f"{name}_predicted_to_actual"], table[f"{name}_predicted_to_actual_error"]
        lower.errorbar(place + shift, ratio, yerr=1.96 * error, fmt="o", capsize=3, label=name)
    lower.axhline(1, color="grey", linewidth=1)
    lower.set(xlabel=period, ylabel="predicted / actual")
    lower.set_xticks(place, list(table["period"]), rotation=30 if len(table) > 4 else 0)
    lower.legend()
    return figure


def contribution_bars(contributions: pd.DataFrame) -> Figure:
    """The features and the families that move the raw score most (see `training.contributions`)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1))
    top = contributions.head(TOP_FEATURES).iloc[::-1]
    upper.barh(top["feature"], top["contribution"])
    upper.set(title="What the probability goes by", xlabel="mean absolute contribution, log-odds")
    families = by_family(contributions).iloc[::-1]
    lower.barh(families["family"], families["share"])
    lower.set(xlabel="share of all contributions, by family")
    return figure


def qini(uplift: Floats, effect: Floats) -> Figure:
    """What treating by predicted uplift gains, against treating in no order (see `training.metrics.qini_curve`).

    Args:
        uplift: `(n,)` predicted gain of the action over waiting, of decisions that were not learned from.
        effect: `(n,)` a doubly robust score of the same gain.
    """
    figure, axes = _axes("Gain by predicted uplift", "share of accounts treated", "gain per account over treating none")
    share, gained = qini_curve(uplift, effect)
    axes.plot(share, gained, label="ordered by predicted uplift")
    axes.plot([0, 1], [0, gained[-1]], color="grey", linewidth=1, label="in no order")
    axes.legend()
    return figure


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    # A figure of its own rather than pyplot's: no global state, and nothing that needs a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
