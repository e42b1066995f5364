"""A target of the user's own: labels at moments, learned in place of payments.

A label says of an account at a moment whether something will be so; it is decided within the horizon that the user
states. What is learned is its probability. Labels say nothing of money and nothing of the effect of a channel, and a
model of them claims neither.

Whether the account is live at the moment is the user's affair: a label that is given counts, with the features as of
its moment. The columns of the account itself (the balance at placement, attributes) carry no time, and are taken as
they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rich.progress import Progress

from features.cells import Fault
from features.checking import (
    Checked,
    check_rows,
    joined_rejects,
    merged,
    nothing_usable,
    of_known_accounts,
    row_schema,
    to_frame,
    without,
)
from features.compute import FeatureSet, feature_matrix, known_categories, prepare, standing
from features.contract import NO_CHANNEL, Kind, Table, must
from features.errors import HistoryError, PortfolioError
from features.histories import Histories
from features.portfolio import Portfolio
from features.progress import line
from features.raw import RawPart, raw_from_frames
from features.reading import read_file
from features.settings import PortfolioSettings
from features.units import DAY, Instants, Rows, format_instant, to_instants
from training.bundle import ActionSupport, Bundle
from training.effects import Effects
from training.heads import Heads, Sample, fit_probability
from training.holdout import Holdout, measure
from training.leaks import Asked, attributes_at, find_suspects
from training.moments import Cuts, Moments, account_folds
from training.settings import TrainingSettings
from training.train import Task, Trained, counts_of, feature_names, put_together

LABELS = Table(
    "labels",
    True,
    "as_of",
    None,
    "A target of the user's own.",
    (
        must("account_id", Kind.ID, "The account it speaks of."),
        must("as_of", Kind.TIME, "The moment; what was known strictly before it may be learned from."),
        must("label", Kind.FLAG, "Whether it came to be so: 1 or 0, true or false."),
    ),
)
#: About this share of the labels, the latest, is left for evaluation where the user names no cut.
UNSEEN_SHARE = 0.2
#: Fewer accounts than this with either label tell nothing apart.
FEWEST_ACCOUNTS = 30

_NOT_OPENED = "is before the account's opened_at"
_UNDECIDED = "is less than a horizon ago: its label is not decided yet"
_CONTRADICTS = "contradicts an earlier row of the same account_id and as_of; the first counts"
_REPEATS = "repeats the account_id and as_of of an earlier row; the first counts"


@dataclass(frozen=True)
class Labels:
    """Labels by account, then moment, `(n,)` each: the accounts' positions in the histories, moments, labels."""

    account: Rows
    as_of: Instants
    label: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of labels."""
        return len(self.account)

    def take(self, rows: npt.NDArray[np.bool_]) -> Labels:
        """The labels that a mask marks."""
        return Labels(self.account[rows], self.as_of[rows], self.label[rows])


def read_labels(path: Path, accounts: pd.DataFrame, decided_by: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a file of labels: the good rows, and those that are set aside with column, value and reason.

    Args:
        path: a CSV or Parquet file.
        accounts: the checked accounts of the portfolio.
        decided_by: one horizon before the present: a later moment has no label yet.

    Raises:
        PortfolioError: the file cannot be read, lacks a column, or holds no usable row.
    """
    return _checked(read_file(path, LABELS.column_names), accounts, decided_by)


def labels_from_frame(
    frame: pd.DataFrame, accounts: pd.DataFrame, decided_by: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check a frame of labels as a file of them is checked; a row's number in the rejects is its place."""
    parts = raw_from_frames({LABELS.name: frame}, {LABELS.name: LABELS.column_names})
    return _checked(parts[LABELS.name], accounts, decided_by)


def pack_labels(frame: pd.DataFrame, histories: Histories) -> Labels:
    """Checked labels, in an order that does not depend on that of their rows."""
    account = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(frame["account_id"].to_numpy(object)))
    as_of = to_instants(frame["as_of"])
    order = np.lexsort((as_of, account))
    return Labels(account[order].astype(np.int64), as_of[order], frame["label"].to_numpy(np.bool_)[order])


def label_cuts(labels: Labels, horizon_days: int, until: int | None) -> Cuts:
    """Divide labels in time: those decided before the cut are learned from, those from the cut on are unseen.

    Args:
        labels: all of them.
        horizon_days: within how many days after its moment a label is decided.
        until: the cut; such that about the latest fifth of the labels is unseen when None.
    """
    cut = int(np.quantile(labels.as_of, 1 - UNSEEN_SHARE, method="higher")) if until is None else until
    end = int(labels.as_of.max()) + 1
    return Cuts(int(labels.as_of.min()), cut - horizon_days * DAY, cut, end, end)


def train_on_labels(
    histories: Histories, labels: Labels, settings: TrainingSettings, task: Task, progress: Progress
) -> Trained:
    """Learn the probability of a label from those decided before the cut, and evaluate it on later ones.

    Raises:
        HistoryError: too few labels were decided before the cut.
    """
    cuts = label_cuts(labels, task.horizon_days, task.until)
    learned, unseen = labels.take(labels.as_of <= cuts.train_end), labels.take(labels.as_of >= cuts.until)
    _check_enough(learned, labels, cuts, task.horizon_days)
    with line(progress, "Features of labels", 1):
        sample, live = _sample(histories, learned, cuts, settings)
    fold = account_folds(histories, settings.folds.count, settings.seed)[learned.account]
    head, crossed = fit_probability(sample, learned.label, fold, task.horizon_days, settings, progress)
    heads = Heads(head, None, head.link(crossed.raw), np.full(len(crossed.raw), np.nan), crossed)
    bundle = put_together(histories, sample, heads, _no_effects(histories.settings), cuts, settings, task)
    holdout = measure_labels(bundle, histories, sample.features, unseen, settings) if len(unseen) else None
    counts = counts_of(sample.moments, learned.label, holdout) | {
        "training_moments_not_live": int((~live).sum()),
        "undecided_labels": len(labels) - len(learned) - len(unseen),
    }
    bundle = replace(bundle, manifest=replace(bundle.manifest, holdout=holdout.metrics if holdout else {}))
    asked = _ask_attributes(histories, labels, sample.features)
    suspects = find_suspects(bundle, Asked(sample, learned.label), asked, settings)
    return Trained(replace(bundle, manifest=replace(bundle.manifest, suspects=suspects)), holdout, cuts, counts)


def measure_labels(
    bundle: Bundle, histories: Histories, features: FeatureSet, labels: Labels, settings: TrainingSettings
) -> Holdout:
    """What a bundle says of the moments of labels, beside the labels."""
    moments, _ = _moments(histories, labels)
    return measure(bundle, histories, features, moments, labels.label, settings)


def with_labels(portfolio: Portfolio, labels: pd.DataFrame) -> Portfolio:
    """The portfolio with the labels as one more table, as its digest speaks of them."""
    return replace(portfolio, tables={**portfolio.tables, LABELS.name: labels})


def _checked(parts: Iterable[RawPart], accounts: pd.DataFrame, decided_by: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = PortfolioSettings(LABELS.name)  # labels have no column that depends on any
    none = pa.chunked_array([], pa.string())
    empty = Checked(row_schema(LABELS, settings).empty_table(), (), none)
    found = merged([empty, *check_rows(LABELS, parts, settings)])
    known = pa.chunked_array([pa.array(accounts["account_id"].to_numpy(object), pa.string())])
    found = of_known_accounts(LABELS, found, known, none)
    found = without(found, LABELS, _untimely(to_frame(found.rows), accounts, decided_by))
    found = without(found, LABELS, _repeated(to_frame(found.rows)))
    if not len(found.rows):
        raise nothing_usable(LABELS, found.rejects) if found.rejects else PortfolioError("the labels have no row")
    return to_frame(found.rows)[list(LABELS.column_names)], joined_rejects(found.rejects)


def _untimely(rows: pd.DataFrame, accounts: pd.DataFrame, decided_by: int) -> list[Fault]:
    opened_at = accounts.set_index("account_id")["opened_at"].reindex(rows["account_id"]).reset_index(drop=True)
    as_of = to_instants(rows["as_of"])
    not_opened, undecided = as_of < to_instants(opened_at), as_of > decided_by
    return [Fault("as_of", _NOT_OPENED, not_opened), Fault("as_of", _UNDECIDED, undecided)]


def _repeated(rows: pd.DataFrame) -> list[Fault]:
    alike = rows.groupby(["account_id", "as_of"], sort=False)
    later = (alike.cumcount() > 0).to_numpy(np.bool_)
    other = (rows["label"] != alike["label"].transform("first")).to_numpy(np.bool_)
    return [Fault("label", _CONTRADICTS, later & other), Fault("as_of", _REPEATS, later)]


def _check_enough(learned: Labels, labels: Labels, cuts: Cuts, horizon_days: int) -> None:
    """Refuse labels of which too few, of either kind, were decided before the cut."""
    n_one, n_zero = (len(np.unique(learned.account[learned.label == value])) for value in (True, False))
    if min(n_one, n_zero) < FEWEST_ACCOUNTS:
        raise HistoryError(
            f"training needs at least {FEWEST_ACCOUNTS} accounts with label 1 and as many with 0, {horizon_days} days "
            f"or more before the cut {format_instant(cuts.until)}, got {n_one} and {n_zero}; of {len(labels):,} labels "
            f"from {format_instant(int(labels.as_of.min()))} to {format_instant(int(labels.as_of.max()))}, "
            f"{len(learned):,} lie there; give more labels, a shorter --horizon, or another --until"
        )


def _moments(histories: Histories, labels: Labels) -> tuple[Moments, npt.NDArray[np.bool_]]:
    """The moments of labels, of which no amount is known, and whether the account is live then."""
    balance, live = standing(histories, labels.account, labels.as_of)
    return Moments(labels.account, labels.as_of, balance, np.zeros_like(balance)), live


def _sample(
    histories: Histories, learned: Labels, cuts: Cuts, settings: TrainingSettings
) -> tuple[Sample, npt.NDArray[np.bool_]]:
    names, categories = feature_names(histories, cuts.until, settings), known_categories(histories, cuts.until)
    features = prepare(histories.settings, names, categories)
    moments, live = _moments(histories, learned)
    matrix = feature_matrix(histories, learned.account, learned.as_of, features)
    return Sample(features, moments, matrix, np.ones(len(learned), dtype=np.bool_)), live


def _ask_attributes(histories: Histories, labels: Labels, features: FeatureSet) -> Asked:
    """The further columns of accounts at the moments of all labels: a leak may be about later time alone."""
    moments, _ = _moments(histories, labels)
    return attributes_at(
        histories, features.categories, moments, np.ones(len(labels), dtype=np.bool_), labels.label
    )  # fmt: skip


def _no_effects(settings: PortfolioSettings) -> Effects:
    return Effects(tuple(ActionSupport(action, 0, 0, 0, False) for action in (*settings.channel_names, NO_CHANNEL)))
