"""Simulated worlds: who pays within 30 days and how much, beside simpler means and beside the observable ceiling.

In each world everything is trained on what was known at its end, and asked there who will pay; then the world goes on,
and shows who did. Against days past due alone and a plain LightGBM on twenty-five features that an analyst would write
first (same moments, same outcomes). The ceiling is what models with the same features reach that were fitted on the
true probabilities of another world (`experiments.ceiling`). A second model was trained three months before the end:
its totals at the end are looked at as it stands, and after the rolling refit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from experiments.benchmarks._report import Figure, write_report
from experiments.ceiling import Asked, Ceiling, ask, auc_by_truth, ceiling
from experiments.world import WorldSettings, simulate
from features import environment
from features.compute import FeatureSet, feature_matrix, prepare
from features.histories import Histories
from features.progress import bars, line
from features.units import DAY
from training.bundle import Bundle, Floats, Predictions
from training.metrics import auc, calibration_error, top_tenth
from training.moments import cut_time, is_paid, sample_moments, stride_for
from training.recalibrate import recalibrate
from training.settings import TrainingSettings, read_training_settings
from training.train import Task, train

SEEDS = (1, 2, 3)
ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 360, 30
#: The world whose truth the ceiling is fitted on.
KNOWN_SEED, KNOWN_ACCOUNTS = 101, 60_000
THREE_MONTHS = 90 * DAY
BY_HAND = (
    "segment", "balance", "placed_balance", "days_past_due", "age_days", "days_since_placed", "commission_rate",
    "calls_7d", "calls_30d", "calls", "sms_30d", "letters", "visits", "calls_no_answer_30d", "right_party_contacts",
    "days_since_last_right_party_contact", "promises_made", "promises_broken", "promises_open", "payments_90d",
    "payments", "paid", "days_since_last_payment", "active_dispute", "attribute_utilisation",
)  # fmt: skip

Found = dict[tuple[str, str, str], float]


def main() -> int:
    """Run the benchmark over the seeds."""
    with bars() as progress, line(progress, "Worlds", 1 + len(SEEDS)) as advance:
        known = ask(simulate(WorldSettings(accounts=KNOWN_ACCOUNTS, days=DAYS, seed=KNOWN_SEED)))
        advance()
        found = [_world(seed, known, advance) for seed in SEEDS]
    figures = []
    for figure, unit, against in found[0]:
        values = np.array([each[figure, unit, against] for each in found])
        spread = f"{values.min():.4g} to {values.max():.4g}"
        figures.append(Figure(f"{figure} ({spread})", float(values.mean()), unit, against))
    write_report("propensity", figures)
    return 0


def _world(seed: int, known: Asked, advance: Callable[..., None]) -> Found:
    """The figures of the world of one seed."""
    asked = ask(simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=seed)))
    settings = read_training_settings()
    with Progress(disable=True) as progress:
        bundle = train(asked.histories, settings, _task(asked.as_of), progress).bundle
        before = train(asked.histories, settings, _task(asked.as_of - THREE_MONTHS), progress).bundle
    after = recalibrate(before, asked.histories, _task(asked.as_of), settings.threads).bundle
    manifest = bundle.manifest
    features = prepare(asked.histories.settings, manifest.features, manifest.categories)
    ours, top = _predictions(bundle, asked), ceiling(known, asked, features, settings)
    found = _ranking(asked, ours, top, _plain(asked, settings, manifest.categories))
    found |= _money(asked, ours, top)
    for name, each in {"as it stands": before, "after the rolling refit": after}.items():
        late = _predictions(each, asked)
        against = f"the truth three months later, {name}"
        found["payers predicted / expected", "ratio", against] = late.p_pay.sum() / asked.p_pay.sum()
        found["money predicted / expected", "ratio", against] = late.expected_amount.sum() / asked.amount.sum()
    advance()
    return found


def _task(until: int) -> Task:
    return Task(HORIZON_DAYS, until, environment.now(), "", "")


def _predictions(bundle: Bundle, asked: Asked) -> Predictions:
    features = prepare(asked.histories.settings, bundle.manifest.features, bundle.manifest.categories)
    return bundle.predict(asked.features(features), asked.balance, 2)


def _ranking(asked: Asked, ours: Predictions, top: Ceiling, plain: Floats) -> Found:
    past_due = asked.features(prepare(asked.histories.settings, ("days_past_due",)))[:, 0].astype(np.float64)
    alone = auc(past_due, asked.paid)
    reached = auc_by_truth(ours.p_pay, asked.p_pay)
    return {
        ("AUC of Recoup", "AUC", "what followed"): auc(ours.p_pay, asked.paid),
        ("AUC of a plain LightGBM on 25 features", "AUC", "what followed"): auc(plain, asked.paid),
        ("AUC of days past due alone", "AUC", "what followed"): max(alone, 1 - alone),
        ("AUC of the truth itself", "AUC", "what followed"): auc(asked.p_pay, asked.paid),
        ("AUC of Recoup", "AUC", "expected, by the truth"): reached,
        ("AUC of a plain LightGBM", "AUC", "expected, by the truth"): auc_by_truth(plain, asked.p_pay),
        ("AUC of the ceiling", "AUC", "expected, by the truth"): auc_by_truth(top.p_pay, asked.p_pay),
        ("AUC short of the ceiling (asked: 0.01)", "AUC", "the ceiling"): (
            auc_by_truth(top.p_pay, asked.p_pay) - reached
        ),
        ("calibration error (asked: 0.004)", "probability", "the true probability"): calibration_error(
            ours.p_pay, asked.p_pay
        ),
    }


def _money(asked: Asked, ours: Predictions, top: Ceiling) -> Found:
    captured, most = _captured(ours.expected_amount, asked.amount), _captured(top.amount, asked.amount)
    return {
        ("money in the top tenth", "share", "the true expectation"): captured,
        ("money in the top tenth, of the ceiling's (asked: 0.95)", "ratio", "the ceiling"): (captured / most),
        ("payers predicted / expected", "ratio", "the true expectation"): ours.p_pay.sum() / asked.p_pay.sum(),
        ("money predicted / expected", "ratio", "the true expectation"): (
            ours.expected_amount.sum() / asked.amount.sum()
        ),
        ("money predicted / actual", "ratio", "what followed"): ours.expected_amount.sum() / asked.paid_amount.sum(),
        ("sampling error of money predicted / actual", "ratio", "what followed"): float(np.sqrt(4 / asked.paid.sum())),
    }


def _captured(order: Floats, amount: Floats) -> float:
    """The share of the money that the first tenth of an order brings."""
    return float(amount[top_tenth(order)].sum() / amount.sum())


def _plain(asked: Asked, settings: TrainingSettings, categories: dict[str, tuple[str, ...]]) -> Floats:
    """LightGBM as it comes, on the same moments and outcomes."""
    import lightgbm

    histories, task = asked.histories, _task(asked.as_of)
    features = prepare(histories.settings, BY_HAND, categories)
    matrix, paid = _learned(histories, settings, task, features)
    data = lightgbm.Dataset(matrix, paid.astype(float), categorical_feature=[0])
    model = lightgbm.train({"objective": "binary", "num_threads": 2, "verbosity": -1, "seed": 1}, data)
    return np.asarray(model.predict(asked.features(features), num_threads=2))


def _learned(
    histories: Histories, settings: TrainingSettings, task: Task, features: FeatureSet
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    cuts = cut_time(histories, task.horizon_days, task.until, task.now)
    stride = stride_for(histories, cuts, task.horizon_days, settings.moments.max_moments, settings.seed)
    moments = sample_moments(
        histories, cuts.begin, cuts.train_end, stride, task.horizon_days, cuts.until, settings.seed
    )
    return feature_matrix(histories, moments.account, moments.as_of, features), is_paid(moments, settings.payment)


if __name__ == "__main__":
    sys.exit(main())
