"""How good predictions are: ranking, calibration, money, and the table by band that managers read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.units import Instants, Rows
from training.bootstrap import account_weights, ranking, weighted_auc
from training.bundle import BANDS

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Bootstrap draws: the error of an error from so many is about 5 %.
DRAWS = 200


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


def auc_draws(score: Floats, paid: Flags, account: Rows, seed: int = 0, draws: int = DRAWS) -> Floats:
    """The AUC in bootstrap samples of accounts, `(draws,)`: an account's moments, `(n,)`, come and go together.

    The same accounts and seed give the same samples, so that two scores can be compared draw by draw. NaN for a sample
    whose outcomes are all alike.
    """
    order = ranking(score)
    return np.array([weighted_auc(order, paid, weight) for weight in account_weights(account, draws, seed)])


def auc_error(score: Floats, paid: Flags, account: Rows) -> float:
    """The standard error of the AUC by a bootstrap over accounts; NaN where all outcomes are alike."""
    if not 0 < paid.sum() < len(paid):
        return float("nan")
    return float(np.nanstd(auc_draws(score, paid, account), ddof=1))


def by_month(as_of: Instants, p: Floats, paid: Flags, expected: Floats, actual: Floats, account: Rows) -> pd.DataFrame:
    """How good predictions are month after month (UTC), a row each; see `stability` for the columns."""
    month = as_of.astype("datetime64[us]").astype("datetime64[M]").astype(str)
    rows = [(str(name), np.flatnonzero(month == name)) for name in np.unique(month)]
    return pd.DataFrame(
        [
            {"period": name} | stability(p[part], paid[part], expected[part], actual[part], account[part])
            for name, part in rows
        ]
    )


def stability(p: Floats, paid: Flags, expected: Floats, actual: Floats, account: Rows) -> dict[str, float]:
    """What is watched over time: the AUC, payers and money predicted by actual, each with its sampling error.

    NaN where there is nothing to tell from: no payer, or nobody who did not pay.
    """
    payers, total = int(paid.sum()), float(actual.sum())
    payer_ratio = float(p.sum()) / payers if payers else float("nan")
    money_ratio = float(expected.sum()) / total if total > 0 else float("nan")
    return {
        "moments": float(len(p)),
        "payers": float(payers),
        "auc": auc(p, paid),
        "auc_error": auc_error(p, paid, account),
        "payers_predicted_to_actual": payer_ratio,
        "payers_predicted_to_actual_error": payer_ratio / np.sqrt(payers) if payers else float("nan"),
        "money_predicted_to_actual": money_ratio,
        "money_predicted_to_actual_error": float(np.sqrt(4 / payers)) if payers else float("nan"),
    }


def qini_curve(uplift: Floats, effect: Floats) -> tuple[Floats, Floats]:
    """What treating the share with the largest predicted uplift gains, per decision (Radcliffe, 2007).

    Args:
        uplift: `(n,)` predicted gain of the action over waiting.
        effect: `(n,)` a doubly robust score of the same gain: noisy, but right on average.

    Returns:
        The share treated, from 0 to 1, and the mean gain over all decisions at that share, `(n + 1,)` each.

    >>> share, gain = qini_curve(np.array([2.0, 1.0]), np.array([3.0, -1.0]))
    >>> share.tolist(), gain.tolist()
    ([0.0, 0.5, 1.0], [0.0, 1.5, 1.0])
    """
    order = np.argsort(-uplift, kind="stable")
    share = np.arange(len(uplift) + 1) / len(uplift)
    return share, np.concatenate([[0.0], np.cumsum(effect[order]) / len(uplift)])


def auc_sampling_error(auc: float, paid: Flags) -> float:
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


def calibration_error(p: Floats, paid: Flags | Floats, bins: int = 10) -> float:
    """Mean distance of predicted from actual (or true) rate over `bins` groups of equal size, ordered by prediction."""
    order = np.argsort(p, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return float(sum(abs(p[group].mean() - paid[group].mean()) * len(group) for group in groups) / len(p))


def money(expected: Floats, actual: Floats, paid: Flags) -> dict[str, float]:
    """Totals, their ratio, and the share of the money that the top tenth by expected amount brought.

    The sampling error of the ratio is about `sqrt(4 / payers)`: a total of few payments is mostly chance.
    """
    top = top_tenth(expected)
    total, payers = float(actual.sum()), int(paid.sum())
    found = {"predicted_amount": float(expected.sum()), "actual_amount": total, "payers": float(payers)}
    if total > 0:
        found["predicted_to_actual"] = float(expected.sum()) / total
        found["top_tenth_money_share"] = float(actual[top].sum()) / total
        found["predicted_to_actual_error"] = float(np.sqrt(4 / max(payers, 1)))
    return found


def top_tenth(expected: Floats) -> npt.NDArray[np.int64]:
    """The rows of the tenth that is expected to bring most, `(n // 10,)`, one at least."""
    return np.argsort(-expected, kind="stable")[: max(1, len(expected) // 10)]


def by_band(
    band: npt.NDArray[np.object_], p: Floats, paid: Flags, expected: Floats, actual: Floats, balance: Floats
) -> pd.DataFrame:
    """The table of bands: accounts, balance, predicted and actual payers and money, and the cumulative money share.

    Without the columns of money where amounts are not known.
    """
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
    if not is_known(actual):
        return table.drop(columns=["predicted_amount", "actual_amount"])
    total = table["actual_amount"].sum()
    table["cumulative_money_share"] = table["actual_amount"].cumsum() / total if total else np.nan
    return table


def is_known(amount: Floats) -> bool:
    """Whether amounts are known: of labels none is."""
    return bool(np.isfinite(amount).all())
