"""A digital lender in Nigeria: what a history says of the next loan, learned as a user's own labels.

Each of 4,368 repeat customers has one loan approved in July 2017 with a flag: label 1 is Bad, not settled on time. The
moment is its approval. Known then are its terms, demographics, and the customer's earlier loans, all of them closed by
then (so histories hold lateness, but never a default). Recoup, with its own features and settings, against a plain
LightGBM on the account's columns, and against one with fifteen features made by hand besides: over ten random folds of
customers, as others have published, and once in the order of approvals, as `recoup train --labels` does it.

How the log becomes a portfolio: a customer is an account; a loan is a charge and a promise at its approval, for its
first instalment (one a month), due on the first due date. The log holds no instalments: the first repayment is taken
for one of them, or for half of what is owed where there is only one; the rest is taken for paid on closing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import Progress

from experiments.benchmarks._real_data import real_data
from experiments.benchmarks._report import Figure, write_report
from experiments.benchmarks._snapshots import (
    Snapshot,
    auc_by_fold,
    auc_interval,
    cross_validated,
    encode,
    gain_interval,
    keep,
    learned,
    random_folds,
)
from features import environment
from features.compute import feature_matrix, known_categories, prepare
from features.errors import HistoryError
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from features.units import parse_instant
from training.bundle import LABEL, Floats
from training.fit import Learner, Rows, cross_fit, raw_scores
from training.labels import Labels, labels_from_frame, pack_labels, train_on_labels
from training.metrics import auc
from training.settings import TreeSettings, read_training_settings
from training.train import Task, feature_names

FOLDS, INNER_FOLDS, SEED = 10, 3, 1
PUBLISHED = "ten folds; 0.699 is published"
#: Labels from here on are unseen in the split by time. No label of July was decided in July: a gap of a loan's term
#: would leave nothing to learn from, so this split is about drift between approvals alone.
CUT, GAP_DAYS = "2017-07-22", 1
NUMERIC = ("loan_amount", "total_due", "term_days", "loan_number", "referred", "birth_year")
CATEGORICAL = (
    "bank_account_type", "bank_name_clients", "employment_status_clients", "level_of_education_clients",
)  # fmt: skip
OURS, COLUMNS, BY_HAND = "Recoup", "the account's columns", "the columns and 15 features by hand"
#: Features and settings taken apart: whose trees read whose features.
OURS_PLAIN, BY_HAND_OURS = "Recoup's features, plain trees", "the same by hand, Recoup's trees"
OUR_TREES = (OURS, BY_HAND_OURS)
PLAIN = TreeSettings(
    trees=100, learning_rate=0.05, leaves=8, min_rows_per_leaf=20, row_share=1.0, feature_share=1.0, l2=0.0
)


def main() -> int:
    """Run the benchmark; without the real data it says so and does nothing."""
    folder = real_data("superlender_ng")
    if folder is None:
        return 0
    accounts, loans = _accounts(folder), _loans(folder)
    settings = PortfolioSettings("superlender", numeric=NUMERIC, categorical=CATEGORICAL)
    portfolio = portfolio_from_frames(_frames(accounts, loans), settings)
    histories = pack(portfolio)
    now = environment.now()
    kept, rejects = labels_from_frame(accounts[["account_id", "as_of", "label"]], portfolio.tables["accounts"], now)
    labels = pack_labels(kept, histories)
    n_rejects = len(rejects) + len(portfolio.rejects)
    figures = [Figure("loans", len(labels), "loans", f"{int(labels.label.sum())} bad; {n_rejects} rows set aside")]
    by_account = accounts.set_index("account_id").loc[histories.accounts.account_id[labels.account].tolist()]
    snapshots = {
        OURS: _our_snapshot(histories, labels),
        COLUMNS: encode(by_account[[*NUMERIC, *CATEGORICAL]], labels.label),
        BY_HAND: encode(_by_hand(by_account, loans), labels.label),
    }
    snapshots |= {OURS_PLAIN: snapshots[OURS], BY_HAND_OURS: snapshots[BY_HAND]}
    steps = _over_folds(snapshots) | _by_time(histories, labels, snapshots)
    keep("superlender", steps, {"folds": FOLDS, "seed": SEED, "cut": CUT})
    figures += [
        Figure(
            f"{step}: {name}",
            value,
            "AUC" if "auc" in name else "rate",
            PUBLISHED if "folds" in step else f"from {CUT}",
        )
        for step, found in steps.items()
        for name, value in found.items()
    ]
    write_report("superlender", figures)
    return 0


def _accounts(folder: Path) -> pd.DataFrame:
    """One row per customer: the portfolio's columns, the labelled loan's terms, moment and label, and demographics."""
    loan = pd.read_csv(folder / "trainperf.csv.gz")
    mapped = pd.read_csv(folder / "mapped_accounts.csv.gz")
    people = pd.read_csv(folder / "traindemographics.csv.gz").drop_duplicates("customerid")
    labelled = pd.DataFrame(
        {
            "account_id": loan["customerid"],
            "as_of": pd.to_datetime(loan["approveddate"], utc=True),
            "label": (loan["good_bad_flag"] == "Bad").astype(int),
            "loan_amount": loan["loanamount"],
            "total_due": loan["totaldue"],
            "term_days": loan["termdays"],
            "loan_number": loan["loannumber"],
            "referred": loan["referredby"].notna().astype(int),
        }
    )
    joined = labelled.merge(mapped[["account_id", "opened_on", "segment"]], on="account_id", validate="1:1")
    joined["opened_at"] = pd.to_datetime(joined.pop("opened_on"), utc=True)
    kept = ["customerid", "birth_year", *CATEGORICAL]
    return joined.merge(people[kept].rename(columns={"customerid": "account_id"}), on="account_id", how="left")


def _loans(folder: Path) -> pd.DataFrame:
    """One row per earlier loan: approval, due date, amount, instalments, first repayment and closing."""
    loans = pd.read_csv(folder / "mapped_promises.csv.gz", parse_dates=["made_on", "first_due_on"])
    payments = pd.read_csv(folder / "mapped_payments.csv.gz", parse_dates=["at"])
    paid_at = payments.pivot(index="loan_id", columns="kind", values="at").reset_index()
    loans = loans.merge(paid_at, on="loan_id", validate="1:1").sort_values(["account_id", "made_on"])
    return loans.assign(instalments=np.maximum(loans["term_days"] // 30, 1)).reset_index(drop=True)


def _frames(accounts: pd.DataFrame, loans: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of the contract; the first loan of a customer is what was owed from the start."""
    is_first = ~loans["account_id"].duplicated()
    first = loans[is_first].set_index("account_id")
    owed = accounts.assign(
        balance=accounts["account_id"].map(first["amount"]).fillna(0.0),
        due_on=accounts["account_id"].map(first["first_due_on"]),
    )
    later = loans[~is_first]
    charges = {
        "account_id": later["account_id"], "at": later["made_on"], "amount": later["amount"],
        "due_on": later["first_due_on"],
    }  # fmt: skip
    promises = {
        "account_id": loans["account_id"], "made_at": loans["made_on"], "due_on": loans["first_due_on"],
        "amount": loans["amount"] / loans["instalments"],
    }  # fmt: skip
    return {
        "accounts": owed.drop(columns=["as_of", "label"]),
        "contacts": pd.DataFrame(),
        "payments": _payments(loans),
        "charges": pd.DataFrame(charges),
        "promises": pd.DataFrame(promises),
    }


def _payments(loans: pd.DataFrame) -> pd.DataFrame:
    """A part at the first repayment, where that came before the closing, and the rest at the closing."""
    in_parts = loans["first_repayment"] < loans["closed_in_full"]
    part: pd.Series[float] = loans["amount"].where(in_parts, 0.0) / np.maximum(loans["instalments"], 2)
    first = pd.DataFrame({"account_id": loans["account_id"], "at": loans["first_repayment"], "amount": part})
    rest = {"account_id": loans["account_id"], "at": loans["closed_in_full"], "amount": loans["amount"] - part}
    return pd.concat([first[in_parts], pd.DataFrame(rest)], ignore_index=True)


def _our_snapshot(histories: Histories, labels: Labels) -> Snapshot:
    """Recoup's features at the moments of the labels."""
    end = int(labels.as_of.max()) + 1
    names = feature_names(histories, end, read_training_settings())
    features = prepare(histories.settings, names, known_categories(histories, end))
    matrix = feature_matrix(histories, labels.account, labels.as_of, features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    return Snapshot(matrix, categories, labels.label)


def _by_hand(accounts: pd.DataFrame, loans: pd.DataFrame) -> pd.DataFrame:
    """The account's columns and what an analyst would add: fifteen features of the loans closed before the approval."""
    known = loans.merge(accounts["as_of"].dt.tz_localize(None), left_on="account_id", right_index=True)
    known = known[known["closed_in_full"] < known["as_of"]]
    known = known.assign(
        late=_days(known, "first_due_on", "closed_in_full"),
        first_late=_days(known, "first_due_on", "first_repayment"),
        lasted=_days(known, "made_on", "closed_in_full"),
        since=_days(known, "closed_in_full", "as_of"),
        age=_days(known, "made_on", "as_of"),
    )
    of = known.groupby("account_id")
    found = pd.DataFrame(
        {
            "loans": of.size(),
            "borrowed": of["amount"].sum(),
            "mean_amount": of["amount"].mean(),
            "last_amount": of["amount"].last(),
            "last_term": of["term_days"].last(),
            "days_since_first": of["age"].max(),
            "days_since_closed": of["since"].min(),
            "mean_days_late": of["late"].mean(),
            "most_days_late": of["late"].max(),
            "last_days_late": of["late"].last(),
            "first_late_share": known.assign(flag=known["first_late"] > 0).groupby("account_id")["flag"].mean(),
            "mean_first_late": of["first_late"].mean(),
            "last_first_late": of["first_late"].last(),
            "mean_lasted": of["lasted"].mean(),
            "loans_90_days": known.assign(flag=known["age"] < 90).groupby("account_id")["flag"].sum(),
        }
    )
    return accounts[[*NUMERIC, *CATEGORICAL]].join(found)


def _days(loans: pd.DataFrame, begin: str, end: str) -> Floats:
    """The days from one time of a loan to another."""
    return np.asarray((loans[end] - loans[begin]).dt.total_seconds().to_numpy(np.float64) / 86_400)


def _raw(snapshot: Snapshot, name: str, train: np.ndarray | None = None, test: np.ndarray | None = None) -> Floats:
    """Raw scores over folds; of `test` by a model of `train` where these are given."""
    learner = snapshot.learner(None if name in OUR_TREES else PLAIN)
    if train is None or test is None:
        fold = random_folds(len(snapshot), FOLDS, SEED)
        if name in OUR_TREES:
            return _sized_within(snapshot, learner, fold)
        return cross_validated(snapshot, learner, fold)
    return learned(snapshot, learner, train, test)


def _sized_within(snapshot: Snapshot, learner: Learner, fold: Rows) -> Floats:
    """The raw score of each row by a model of the other folds, as large as their own held-out loss is least at.

    So it is how `recoup train` fits: nothing of the fold that is asked about decides the number of trees.
    """
    raw = np.empty(len(snapshot))
    for held in np.unique(fold):
        rows = np.flatnonzero(fold != held)
        inner = random_folds(len(rows), INNER_FOLDS, SEED)
        target = snapshot.outcome[rows].astype(np.float64)
        model = cross_fit(learner, snapshot.matrix[rows], target, None, inner, lambda: None).model
        raw[fold == held] = raw_scores(model, snapshot.matrix[fold == held], learner.threads)
    return raw


def _over_folds(snapshots: Mapping[str, Snapshot]) -> dict[str, dict[str, float]]:
    raw = {name: _raw(snapshot, name) for name, snapshot in snapshots.items()}
    outcome = snapshots[OURS].outcome
    fold = random_folds(len(outcome), FOLDS, SEED)
    steps = {}
    for name, scores in raw.items():
        found = auc_by_fold(scores, outcome, fold)
        steps[f"ten folds, {name}"] = {"auc": float(found.mean()), "auc_sd": float(found.std(ddof=1))}
    return steps | _gains(raw, outcome, "ten folds")


def _by_time(histories: Histories, labels: Labels, snapshots: Mapping[str, Snapshot]) -> dict[str, dict[str, float]]:
    """Earlier approvals are learned, later ones asked about: Recoup as it trains on labels, the others beside it."""
    task = Task(GAP_DAYS, parse_instant(CUT), environment.now(), "", "", LABEL)
    with Progress() as progress:
        trained = train_on_labels(histories, labels, read_training_settings(), task, progress)
    train, test = (
        np.flatnonzero(labels.as_of <= trained.cuts.train_end),
        np.flatnonzero(labels.as_of >= trained.cuts.until),
    )
    raw = {name: _raw(snapshot, name, train, test) for name, snapshot in snapshots.items() if name != OURS}
    if trained.holdout is None:
        raise HistoryError(f"the benchmark needs approvals from {CUT} on, got none; see the data")
    raw[OURS] = trained.holdout.p_pay
    outcome = labels.label[test]
    steps = {}
    for name, scores in raw.items():
        low, high = auc_interval(scores, outcome)
        steps[f"by time, {name}"] = {"auc": auc(scores, outcome), "auc_low": low, "auc_high": high}
    steps[f"by time, {OURS}"]["calibration_error"] = trained.bundle.manifest.holdout["calibration_error"]
    return steps | _gains(raw, outcome, "by time")


def _gains(raw: Mapping[str, Floats], outcome: np.ndarray, split: str) -> dict[str, dict[str, float]]:
    """What Recoup gains over the others, on the same loans."""
    steps = {}
    for name in (COLUMNS, BY_HAND):
        low, high = gain_interval(raw[OURS], raw[name], outcome)
        gain = auc(raw[OURS], outcome) - auc(raw[name], outcome)
        steps[f"{split}, gained over {name}"] = {"auc_gain": gain, "auc_gain_low": low, "auc_gain_high": high}
    return steps


if __name__ == "__main__":
    sys.exit(main())
