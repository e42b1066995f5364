"""How stable reasons are when a model is trained anew: what two models of one world say of the same accounts.

A collector who reads another reason for the same history after every training stops reading reasons. Two models of
payments are trained on disjoint halves of the accounts with different seeds, as far apart as two trainings get, and two
on the same half with different seeds alone. Both models of a pair explain the same live accounts. How often do they
agree on the first reason, with its sign, and on how many of the first three? Against the same contributions without
topics, feature by feature, and against topics drawn at random that are as many and as large.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from experiments.benchmarks._report import Figure, write_report
from experiments.world import WorldSettings, simulate
from experiments.world.writing import portfolio_toml
from features import environment
from features.compute import FeatureSet, feature_matrix, standing
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.progress import bars
from features.settings import parse_settings
from serving.reasons import TOPICS_SHOWN, Topic, topic_weights, topics_among
from training.bundle import Floats
from training.fit import Learner, cross_fit
from training.heads import Sample
from training.moments import account_draw, account_folds, cut_time, is_paid, stride_for
from training.settings import TrainingSettings, read_training_settings
from training.train import training_sample

ACCOUNTS, DAYS, HORIZON_DAYS = 8_000, 300, 30
EXPLAINED = 400


@dataclass(frozen=True)
class Trained:
    """What a model of some accounts, trained with a seed, adds to each explained account, `(n, n_features)`."""

    half: int
    seed: int
    share: Floats


def main() -> int:
    """Run the benchmark."""
    histories, settings = _world(), read_training_settings()
    cuts = cut_time(histories, HORIZON_DAYS, None, environment.now())
    stride = stride_for(histories, cuts, HORIZON_DAYS, settings.moments.max_moments, settings.seed)
    sample = training_sample(histories, cuts, stride, settings, HORIZON_DAYS)
    matrix = _explained(histories, cuts.until, sample.features)
    wanted = ((0, 1), (1, 2), (0, 2))
    with bars() as progress:
        task = progress.add_task("Models", total=len(wanted))
        models = []
        for half, seed in wanted:
            models.append(Trained(half, seed, _contributions(histories, sample, matrix, half, seed, settings)))
            progress.advance(task)
    first, other_accounts, other_seed = models
    pairs = {"other accounts and seed": (first, other_accounts), "another seed": (first, other_seed)}
    write_report(
        "reasons", [figure for name, pair in pairs.items() for figure in _figures(name, pair, sample.features)]
    )
    return 0


def _world() -> Histories:
    world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=1, truth_draws=0))
    return pack(portfolio_from_frames(world.frames, parse_settings(tomllib.loads(portfolio_toml(world.settings)), "")))


def _explained(histories: Histories, as_of: int, features: FeatureSet) -> np.ndarray:
    """The features of some live accounts, `(n, n_features)`."""
    everyone = np.arange(len(histories))
    _, live = standing(histories, everyone, np.full(len(everyone), as_of))
    rows = np.sort(np.random.default_rng(1).permutation(everyone[live])[:EXPLAINED])
    return feature_matrix(histories, rows, np.full(len(rows), as_of), features)


def _contributions(
    histories: Histories, sample: Sample, matrix: np.ndarray, half: int, seed: int, settings: TrainingSettings
) -> Floats:
    """Train on a half of the accounts, and explain."""
    settings = msgspec.structs.replace(settings, seed=seed)
    account = sample.moments.account
    rows = np.flatnonzero((account_draw(histories, "half", 1) % np.uint64(2))[account] == half)
    fold = account_folds(histories, settings.folds.count, seed)[account[rows]]
    learner = Learner("binary", settings.p_pay, sample.categories, seed, settings.threads)
    paid = is_paid(sample.moments, settings.payment)[rows].astype(np.float64)
    model = cross_fit(learner, sample.matrix[rows], paid, None, fold, lambda: None).model
    found = model.predict(matrix, pred_contrib=True, num_threads=settings.threads)
    return np.asarray(found, dtype=np.float64)[:, :-1]


def _figures(name: str, pair: tuple[Trained, Trained], features: FeatureSet) -> Iterator[Figure]:
    """The agreement of a pair by topic, and against the baselines."""
    a, b = (one.share for one in pair)
    topics = topics_among(features)
    alone = tuple(Topic(features.names[column], (column,)) for topic in topics for column in topic.columns)
    grouped, single, shuffled = (_agreement(one, a, b) for one in (topics, alone, _at_random(topics)))
    for what, value in grouped.items():
        yield Figure(f"{name}: {what}", value, "share", f"{len(topics)} topics")
        yield Figure(
            f"{name}: {what}", value / single[what], "ratio", f"{len(alone)} features alone, {single[what]:.2f}"
        )
        yield Figure(f"{name}: {what}", value / shuffled[what], "ratio", f"topics at random, {shuffled[what]:.2f}")


def _at_random(topics: tuple[Topic, ...]) -> tuple[Topic, ...]:
    """As many topics, as large, of features that have nothing in common."""
    columns = np.random.default_rng(2).permutation([column for topic in topics for column in topic.columns])
    ends = np.cumsum([len(topic.columns) for topic in topics])[:-1]
    parts = np.split(columns, ends)
    return tuple(Topic(topic.name, tuple(part.tolist())) for topic, part in zip(topics, parts, strict=True))


def _agreement(topics: tuple[Topic, ...], a: Floats, b: Floats) -> Mapping[str, float]:
    """How often two models agree, given what each feature adds in either, `(n, n_features)`."""
    of_a, of_b = (_first(topic_weights(topics, share)) for share in (a, b))
    common = [len(set(one) & set(other)) for one, other in zip(of_a, of_b, strict=True)]
    return {
        "same first reason": float(np.mean([one[0] == other[0] for one, other in zip(of_a, of_b, strict=True)])),
        "first reason of one among the first three of the other": float(
            np.mean([one[0] in other for one, other in zip(of_a, of_b, strict=True)])
        ),
        "of the first three in common": float(np.mean(common)) / TOPICS_SHOWN,
    }


def _first(weight: Floats) -> list[list[tuple[int, bool]]]:
    """The strongest topics of each row of weights, `(n, n_topics)`, with whether they speak for a payment."""
    order = np.argsort(-np.abs(weight), axis=1, kind="stable")[:, :TOPICS_SHOWN]
    return [[(int(place), bool(weight[row, place] > 0)) for place in places] for row, places in enumerate(order)]


if __name__ == "__main__":
    sys.exit(main())
