"""Made-up reports of monitoring, and a store that holds some."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.watch.drift import judge
from features.units import DAY, format_instant, parse_instant
from serving.drift import (
    Band,
    Bins,
    Judged,
    Limits,
    Matured,
    PsiLimits,
    RankingLimits,
    Ratio,
    RatioLimits,
    Report,
    Shift,
)
from serving.store.database import Store
from serving.store.drift import keep_report

FIRST = parse_instant("2026-03-01")
LIMITS = Limits(PsiLimits(0.1, 0.25, 0.01), RankingLimits(0.05, 0.05), RatioLimits(0.1, 0.2))
#: Features with their shares of the gain; the last follows the calendar, the one before is the age of accounts.
GAIN = {
    "balance": 0.5,
    "payments_30d": 0.3,
    "segment": 0.15,
    "days_since_last_right_party_contact": 0.005,
    "days_since_placed": 0.03,
}
GAIN |= {"calendar_month": 0.015}
#: One bin of exactly nothing, as columns have that are mostly zero.
_BELOW = 0.99999994


def bins_of(name: str, moved: float = 0.0) -> Bins:
    """Bins of a column, with a share moved from the first to the last that is not missing."""
    if name == "segment":
        return Bins((0.6, 0.4, 0.0), (0.6 - moved, 0.4 + moved, 0.0), None, ("card", "loan"))
    edges = (_BELOW, 1.0, 4.0) if name == "payments_30d" else (100.0, 250.5, 1200.0)
    training = (0.4, 0.3, 0.2, 0.08, 0.02)
    now = (0.4 - moved, 0.3, 0.2, 0.08 + moved, 0.02)
    return Bins(training, now, edges, as_old=name == "balance")


def judged_report(
    as_of: int, model: str = "small/1", psi: Mapping[str, float] | None = None, expected_auc: float = 0.78,
    matured: Matured | None = None, moved: float = 0.0,
) -> Judged:  # fmt: skip
    """A report, judged; columns that `psi` does not name have not moved."""
    found = psi or {}

    def shift(name: str) -> Shift:
        of_feature = {"gain": GAIN[name]} if name in GAIN else {}
        return Shift(
            name, found.get(name, 0.02), 0.03, **of_feature, calendar=name == "calendar_month",
            ageing=name == "days_since_placed", bins=bins_of(name, moved if name in found else 0.0),
        )  # fmt: skip

    report = Report(
        as_of=format_instant(as_of), model=model, accounts=1500, as_old=1300.0,
        scores=(shift("p_pay"), shift("expected_amount")), features=tuple(map(shift, GAIN)),
        expected_auc=expected_auc, expected_brier=0.081, reference_auc=0.79, holdout_auc=0.77, matured=matured,
        reference_brier=0.08, holdout_brier=0.083,
    )  # fmt: skip
    return Judged(report, LIMITS, judge(report, LIMITS))


def matured_report(as_of: int, ratio: float = 0.97, auc: float = 0.76) -> Matured:
    """What came of the scores of an earlier moment."""
    whole = Ratio(100 * ratio, 100.0, ratio, ratio - 0.08, ratio + 0.08)
    money = Ratio(5000 * ratio, 5000.0, ratio, ratio - 0.18, ratio + 0.18)
    band = Band("all", 1400, whole, money)
    return Matured(
        format_instant(as_of), band, (Band("A", 1400, whole, money),), auc, auc - 0.02, auc + 0.02, 0.78, 0.085, 0.082,
        0.012,
    )  # fmt: skip


def watched(store: Store, model: str = "small/1", days: int = 40) -> None:
    """Daily reports of a model: one that is beyond its limits for some days, and again at the end."""
    for day in range(days):
        as_of = FIRST + day * DAY
        psi = {"balance": 0.04 + 0.002 * day}
        if 10 <= day < 16:
            psi["payments_30d"] = 0.12 if day < 12 else 0.3
        if day >= days - 4:
            psi["balance"] = 0.3
            psi["segment"] = 0.14
        matured = matured_report(as_of - 37 * DAY, 0.97 + 0.002 * day) if day >= 5 else None
        keep_report(store, judged_report(as_of, model, psi, 0.78 - 0.0005 * day, matured, moved=0.08), as_of + DAY)
