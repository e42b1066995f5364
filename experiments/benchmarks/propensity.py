"""Simulated worlds: who pays within 30 days, by Recoup, by simpler means, and by an oracle that knows the truth.

In each world everything is trained on what was known two horizons before its end, and asked at its end who will pay;
then the world goes on, and shows who did. Against days past due alone, against a plain LightGBM on twenty-five
features that an analyst would write first (same moments, same outcomes), and beside the true probability, which knows
each debtor's hidden state and is out of anyone's reach.
"""

from __future__ import annotations

import sys
import tomllib

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import Progress

from experiments.benchmarks._report import Figure, write_report
from experiments.world import World, WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.compute import FeatureSet, feature_matrix, prepare, standing
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.settings import parse_settings
from features.units import from_money
from training.bundle import Floats
from training.metrics import auc
from training.moments import cut_time, is_paid, sample_moments, stride_for
from training.settings import TrainingSettings, read_training_settings
from training.train import Task, train

SEEDS = (1, 2, 3)
ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 360, 30
BY_HAND = (
    "segment", "balance", "placed_balance", "days_past_due", "age_days", "days_since_placed", "commission_rate",
    "calls_7d", "calls_30d", "calls", "sms_30d", "letters", "visits", "calls_no_answer_30d", "right_party_contacts",
    "days_since_last_right_party_contact", "promises_made", "promises_broken", "promises_open", "payments_90d",
    "payments", "paid", "days_since_last_payment", "active_dispute", "attribute_utilisation",
)  # fmt: skip


def main() -> int:
    """Run the benchmark over the seeds."""
    found = [_world(seed) for seed in SEEDS]
    names = list(found[0])
    figures = [
        Figure(f"AUC of {name}", float(np.mean([aucs[name] for aucs in found])), "AUC", f"mean of {len(SEEDS)} worlds")
        for name in names
    ]
    for name in names[1:]:
        gain = np.array([aucs["Recoup"] - aucs[name] for aucs in found])
        figures.append(Figure("AUC gained", float(gain.mean()), "AUC", name))
        figures.append(Figure("AUC gained, least of the worlds", float(gain.min()), "AUC", name))
    write_report("propensity", figures)
    return 0


def _world(seed: int) -> dict[str, float]:
    """The AUC of each way in the world of one seed, on the same accounts and what followed."""
    world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=seed))
    declared = parse_settings(tomllib.loads(portfolio_toml(world.settings)), "simulated")
    histories = pack(portfolio_from_frames(world.frames, declared))
    settings = read_training_settings()
    task = Task(HORIZON_DAYS, None, environment.now(), "", "")
    with Progress() as progress:
        bundle = train(histories, settings, task, progress).bundle
    manifest = bundle.manifest
    rows, paid, truth = _followed(world, histories)
    as_of = np.full(len(rows), world.as_of)
    balance, _ = standing(histories, rows, as_of)
    ours = prepare(histories.settings, manifest.features, manifest.categories)
    by_hand = prepare(histories.settings, BY_HAND, manifest.categories)
    past_due = prepare(histories.settings, ("days_past_due",))
    matrix = feature_matrix(histories, rows, as_of, ours)
    plain = _plain(histories, settings, task, by_hand, feature_matrix(histories, rows, as_of, by_hand))
    alone = auc(feature_matrix(histories, rows, as_of, past_due)[:, 0].astype(np.float64), paid)
    return {
        "Recoup": auc(bundle.predict(matrix, from_money(balance), 2).p_pay, paid),
        "days past due alone": max(alone, 1 - alone),
        "a plain LightGBM on 25 features": auc(plain, paid),
        "the oracle that knows the truth": auc(truth, paid),
    }


def _followed(world: World, histories: Histories) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], Floats]:
    """The live accounts' positions, whether each paid in the horizon, and the true probability that it would."""
    policy = world.truth["actions"].query("action == 'policy'")
    truth = policy.merge(world.truth["followed"], on="account_id")
    place = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(truth["account_id"].to_numpy(object)))
    return place.astype(np.int64), truth["paid"].to_numpy(bool), truth["p_pay"].to_numpy(float)


def _plain(
    histories: Histories, settings: TrainingSettings, task: Task, features: FeatureSet, test: npt.NDArray[np.float32]
) -> Floats:
    """LightGBM as it comes, on the same moments and outcomes."""
    import lightgbm

    cuts = cut_time(histories, task.horizon_days, task.until, task.now)
    stride = stride_for(histories, cuts, task.horizon_days, settings.moments.max_moments, settings.seed)
    window = (cuts.begin, cuts.train_end, stride, task.horizon_days, cuts.until, settings.seed)
    moments = sample_moments(histories, *window)
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    data = lightgbm.Dataset(matrix, is_paid(moments, settings.payment).astype(float), categorical_feature=[0])
    model = lightgbm.train({"objective": "binary", "num_threads": 2, "verbosity": -1, "seed": 1}, data)
    return np.asarray(model.predict(test, num_threads=2))


if __name__ == "__main__":
    sys.exit(main())
