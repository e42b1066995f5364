"""Plots of a holdout for the experiment's page: calibration, gain, and money by band."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.holdout import Holdout

GROUPS = 10


def write_plots(holdout: Holdout, folder: Path) -> None:
    """Write every plot of a holdout as a PNG into the folder; without money, that of the calibration alone."""
    of_money = {"gain": gain, "money_by_band": money_by_band} if holdout.has_money else {}
    for name, draw in {"calibration": calibration, **of_money}.items():
        figure = draw(holdout)
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})


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


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    # A figure of its own rather than pyplot's: no global state, and nothing that needs a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
