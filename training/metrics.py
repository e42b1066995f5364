"""How good predictions are: ranking, calibration, money, and the table by band that managers read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.bundle import BANDS

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def ranking_and_calibration(p: Floats, paid: Flags) -> dict[str, float]:
    """AUC, Brier score, log loss and expected calibration error of probabilities, `(n,)`, against outcomes.

    Nothing is said of ranking where all outcomes are alike.
    """
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    found = {"brier": float(brier_score_loss(paid, p)), "calibration_error": calibration_error(p, paid)}
    if 0 < paid.sum() < len(paid):
        found["auc"] = float(roc_auc_score(paid, p))
        found["log_loss"] = float(log_loss(paid, np.clip(p, 1e-9, 1 - 1e-9)))
    return found


def auc(score: Floats, paid: Flags) -> float:
    """The area under the ROC curve; missing scores rank lowest; NaN where all outcomes are alike."""
    from sklearn.metrics import roc_auc_score

    if not 0 < paid.sum() < len(paid):
        return float("nan")
    return float(roc_auc_score(paid, np.nan_to_num(score, nan=-1e300)))


def auc_error(auc: float, paid: Flags) -> float:
    """The standard error of an AUC (Hanley and McNeil, 1982)."""
    payers, others = int(paid.sum()), int((~paid).sum())
    both_payers, both_others = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (payers - 1) * (both_payers - auc**2) + (others - 1) * (both_others - auc**2)
    return float(np.sqrt(max(spread, 0.0) / max(payers * others, 1)))


def expected_auc(p: Floats) -> float:
    """The AUC to expect of calibrated probabilities, `(n,)`, before any outcome is known; NaN where none can be.

    Each pair of accounts counts as often as the first is expected to pay and the second not: the expectation of the
    Mann-Whitney count by that of the pairs (confidence-based performance estimation: Guillory et al., 2021; NannyML).
    It holds as long as the probabilities are right, that is, without concept drift.
    """
    values, count = np.unique(p, return_counts=True)
    pays = values * count
    rests = count - pays
    below = np.cumsum(rests) - rests
    # An account makes no pair with itself.
    itself = float((p * (1 - p)).sum())
    pairs = float(pays.sum() * rests.sum()) - itself
    won = float((pays * (below + rests / 2)).sum()) - itself / 2
    return won / pairs if pairs > 0 else float("nan")


def expected_brier(p: Floats) -> float:
    """The Brier score to expect of calibrated probabilities, `(n,)`, before any outcome is known."""
    return float((p * (1 - p)).mean())


def calibration_error(p: Floats, paid: Flags, bins: int = 10) -> float:
    """Mean distance of predicted from actual rate over `bins` groups of equal size, ordered by prediction."""
    order = np.argsort(p, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return float(sum(abs(p[group].mean() - paid[group].mean()) * len(group) for group in groups) / len(p))


def money(expected: Floats, actual: Floats, paid: Flags) -> dict[str, float]:
    """Totals, their ratio, and the share of the money that the top tenth by expected amount brought.

    The sampling error of the ratio is about `sqrt(4 / payers)`: a total of few payments is mostly chance.
    """
    top = np.argsort(-expected, kind="stable")[: max(1, len(expected) // 10)]
    total, payers = float(actual.sum()), int(paid.sum())
    found = {"predicted_amount": float(expected.sum()), "actual_amount": total, "payers": float(payers)}
    if total > 0:
        found["predicted_to_actual"] = float(expected.sum()) / total
        found["top_tenth_money_share"] = float(actual[top].sum()) / total
    if payers:
        found["predicted_to_actual_error"] = float(np.sqrt(4 / payers))
    return found


def by_band(
    band: npt.NDArray[np.object_], p: Floats, paid: Flags, expected: Floats, actual: Floats, balance: Floats
) -> pd.DataFrame:
    """The table of bands: accounts, balance, predicted and actual payers and money, and the cumulative money share."""
    frame = pd.DataFrame(
        {
            "band": band,
            "accounts": 1,
            "balance": balance,
            "predicted_payers": p,
            "actual_payers": paid.astype(int),
            "predicted_amount": expected,
            "actual_amount": actual,
        }
    )
    table = frame.groupby("band", sort=True).sum().reindex(list(BANDS), fill_value=0).reset_index()
    total = table["actual_amount"].sum()
    table["cumulative_money_share"] = table["actual_amount"].cumsum() / total if total else np.nan
    return table
