"""Simulated worlds: what the chosen channel truly gains over the logging policy, beside the observable ceiling.

Effects are learned from a log of 80,000 decisions, and from one of 1,000,000 (drawn from all that the world holds);
asked at the world's end whom to contact how, under the capacities that the logging policy uses there; and valued by the
truth. The ceiling is what models of the true effects reach that were fitted in another world (`experiments.ceiling`).
Beside it, from the same decisions: an S-learner as it comes, without correction, and the best channel of each stage.
Margins are those of 95 % intervals by account. In a last world agents set decisions aside for what they feel of the
debtor beyond the data; there effects are learned with and without the knowledge of which decisions were drawn at
random.

`--seeds 1,2,3` names the worlds, `--large 1` those that also learn from a million decisions; of the first of them is
the last world. `--paying-accounts 100` learns the effects once more, of the actions that so many paying accounts have
had, where the settings that are shipped ask for fewer or more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from rich.progress import Progress

from experiments.benchmarks._report import Figure, write_report
from experiments.ceiling import Asked, ask, effect_ceiling, gains
from experiments.world import World, WorldSettings, simulate
from features import environment
from features.compute import FeatureSet, feature_matrix
from features.progress import bars, line
from training.bundle import Bundle, Floats, Matrix
from training.decisions import Decided, decisions_between
from training.effects import learn_effects
from training.fit import Learner, fit, raw_by_action
from training.heads import Heads, fit_heads
from training.moments import account_folds, cut_time, stride_for
from training.settings import TrainingSettings, TreeSettings, read_training_settings
from training.train import Task, channel_effects, put_together, training_sample

ACCOUNTS, LARGE_ACCOUNTS, DAYS, HORIZON_DAYS = 20_000, 40_000, 360, 30
FEW, MANY = 80_000, 1_000_000
#: The world whose truth the ceiling is fitted on.
KNOWN_SEED, KNOWN_ACCOUNTS = 101, 60_000
DISCRETION = 0.15
CEILING, RECOUP = "the ceiling", "Recoup"
#: A plain S-learner: LightGBM's own defaults, but for the leaves.
PLAIN_TREES = TreeSettings(
    trees=100, learning_rate=0.1, leaves=31, min_rows_per_leaf=20, row_share=1.0, feature_share=1.0, l2=0.0
)

Found = dict[tuple[str, str, str], float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark over the worlds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--large", default="1")
    parser.add_argument("--paying-accounts", default="")
    chosen = parser.parse_args(arguments)
    small, large, thresholds = (
        [int(part) for part in text.split(",") if part] for text in (chosen.seeds, chosen.large, chosen.paying_accounts)
    )
    with bars() as progress, line(progress, "Worlds", 1 + len(small) + len(large) + len(small[:1])) as advance:
        known = ask(simulate(WorldSettings(accounts=KNOWN_ACCOUNTS, days=DAYS, seed=KNOWN_SEED)))
        advance()
        worlds: list[Found] = []
        for seed in small:
            worlds.append(_world(seed, ACCOUNTS, FEW, known, thresholds))
            advance()
        for seed in large:
            worlds.append(_world(seed, LARGE_ACCOUNTS, MANY, known, thresholds))
            advance()
        for seed in small[:1]:
            worlds.append(_with_discretion(seed, known))
            advance()
    write_report("channels", _figures(worlds))
    return 0


def _figures(worlds: list[Found]) -> list[Figure]:
    """The mean of every figure over the worlds that have it, with its range."""
    figures = []
    for key in dict.fromkeys(key for world in worlds for key in world):
        values = np.array([world[key] for world in worlds if key in world])
        name = key[0] if len(values) == 1 else f"{key[0]} ({values.min():.3g} to {values.max():.3g})"
        figures.append(Figure(name, float(values.mean()), key[1], key[2]))
    return figures


def _world(seed: int, accounts: int, decisions: int, known: Asked, thresholds: Sequence[int]) -> Found:
    """What each way gains in one world."""
    asked = ask(_thinned(simulate(WorldSettings(accounts=accounts, days=DAYS, seed=seed)), decisions))
    settings = _settings(decisions)
    return _compared(asked, known, _learned(asked, settings), settings, thresholds)


def _compared(
    asked: Asked, known: Asked, learned: _Learned, settings: TrainingSettings, thresholds: Sequence[int]
) -> Found:
    """What each way gains among the accounts of one world, from the decisions that the model learned from."""
    at = f"log of {settings.moments.max_decisions:,} decisions"
    decided, features, matrix = learned.decided, learned.features, asked.features(learned.features)
    found = learned.bundle.predict(matrix, asked.balance, settings.threads)
    rivals = {
        "an S-learner as it comes": _plain(asked, decided, features, matrix, settings),
        "the best channel of each stage": _by_stage(asked, decided, features, matrix),
    }
    others = {
        f"{RECOUP}, actions of {least} paying accounts": _learned_again(
            asked, learned, decided, _supporting(settings, least)
        )
        for least in thresholds
    }
    ways = {
        CEILING: effect_ceiling(known, asked, features, settings),
        RECOUP: _against_waiting(found.p_pay_by_action),
        **others,
        **rivals,
        "the truth": asked.effect,
    }
    amount = found.expected_amount / found.p_pay
    gained = {name: gains(asked, effect, amount) for name, effect in ways.items()}
    ceiling = float(gained[CEILING].mean())
    figures: Found = {}
    for name, each in gained.items():
        figures["gain over the logging policy", "per account", f"{at}, {name}"] = float(each.mean())
        figures["margin of the gain", "per account", f"{at}, {name}"] = _margin(each)
    for name in (RECOUP, *others, *rivals):
        share = float(gained[name].mean()) / ceiling
        figures["share of the ceiling's gain", "ratio", f"{at}, {name}"] = share
        margin = _margin(gained[name] - share * gained[CEILING]) / ceiling
        figures["margin of the share", "ratio", f"{at}, {name}"] = margin
    for name in (*others, *rivals):
        apart = gained[RECOUP] - gained[name]
        figures["ahead, share of the ceiling's gain", "ratio", f"{at}, of {name}"] = float(apart.mean()) / ceiling
        figures["margin of that", "ratio", f"{at}, of {name}"] = _margin(apart) / ceiling
    return figures | _calibration(asked, ways[RECOUP], learned.bundle, at)


def _with_discretion(seed: int, known: Asked) -> Found:
    """What is gained where agents know more than the data hold, with and without knowing what was drawn at random."""
    world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=seed, discretion=DISCRETION))
    asked, settings = ask(_thinned(world, FEW)), _settings(FEW)
    return _compared_blind(asked, known, _learned(asked, settings), settings)


def _compared_blind(asked: Asked, known: Asked, learned: _Learned, settings: TrainingSettings) -> Found:
    """What is gained with and without the knowledge of which decisions were drawn at random."""
    blind = replace(learned.decided, explored=np.zeros(len(learned.decided), dtype=np.bool_))
    found = learned.bundle.predict(asked.features(learned.features), asked.balance, settings.threads)
    ways = {
        CEILING: effect_ceiling(known, asked, learned.features, settings),
        "corrected on decisions drawn at random": _against_waiting(found.p_pay_by_action),
        "corrected on all decisions alone": _learned_again(asked, learned, blind, settings),
    }
    amount = found.expected_amount / found.p_pay
    at = f"log of {settings.moments.max_decisions:,} decisions, agents with discretion"
    figures: Found = {}
    for name, effect in ways.items():
        each = gains(asked, effect, amount)
        figures["gain over the logging policy", "per account", f"{at}, {name}"] = float(each.mean())
        figures["margin of the gain", "per account", f"{at}, {name}"] = _margin(each)
    return figures


def _learned_again(asked: Asked, learned: _Learned, decided: Decided, settings: TrainingSettings) -> Floats:
    """The effects, `(n, n_actions)`, with the same heads from other decisions or with other settings."""
    held_out, features = learned.heads.held_out, learned.features
    effects = learn_effects(asked.histories, decided, features, held_out, settings, lambda: None)
    bundle = replace(
        learned.bundle,
        manifest=replace(learned.bundle.manifest, support=effects.support),
        links=replace(learned.bundle.links, channel=effects.fitted),
    )
    found = bundle.predict(asked.features(features), asked.balance, settings.threads)
    return _against_waiting(found.p_pay_by_action)


def _margin(values: Floats) -> float:
    """Half the width of the 95 % interval of a mean over accounts, `(n,)`."""
    return 1.96 * float(values.std()) / float(np.sqrt(len(values)))


def _thinned(world: World, decisions: int) -> World:
    """The world with a log of so many decisions, each as likely as any other to be in it."""
    frame = world.frames["decisions"]
    kept = np.sort(np.random.default_rng(world.settings.seed).choice(len(frame), min(decisions, len(frame)), False))
    return replace(world, frames={**world.frames, "decisions": frame.iloc[kept].reset_index(drop=True)})


def _settings(decisions: int) -> TrainingSettings:
    settings = read_training_settings()
    moments = msgspec.structs.replace(settings.moments, max_decisions=decisions)
    return msgspec.structs.replace(settings, moments=moments)


def _supporting(settings: TrainingSettings, paying_accounts: int) -> TrainingSettings:
    """The settings with support from so many paying accounts of an action."""
    return msgspec.structs.replace(
        settings, support=msgspec.structs.replace(settings.support, paying_accounts=paying_accounts)
    )


@dataclass(frozen=True)
class _Learned:
    """The model of what was known at the world's end, its heads, and the decisions that it learned effects from."""

    bundle: Bundle
    heads: Heads
    decided: Decided
    features: FeatureSet


def _learned(asked: Asked, settings: TrainingSettings) -> _Learned:
    """Learn as `recoup train` does, but for what says nothing of channels: promises, unseen time, leaks."""
    histories, task = asked.histories, Task(HORIZON_DAYS, asked.as_of, environment.now(), "", "")
    cuts = cut_time(histories, HORIZON_DAYS, asked.as_of, task.now)
    stride = stride_for(histories, cuts, HORIZON_DAYS, settings.moments.max_moments, settings.seed)
    sample = training_sample(histories, cuts, stride, settings, HORIZON_DAYS)
    fold = account_folds(histories, settings.folds.count, settings.seed)[sample.moments.account]
    with Progress(disable=True) as progress:
        heads = fit_heads(sample, fold, HORIZON_DAYS, settings, progress)
        effects = channel_effects(histories, sample.features, heads, cuts, HORIZON_DAYS, settings, progress)
    bundle = put_together(histories, sample, heads, effects, cuts, settings, task)
    decided = decisions_between(histories, cuts.begin, cuts.train_end, HORIZON_DAYS, cuts.until, settings)
    return _Learned(bundle, heads, decided, sample.features)


def _against_waiting(p: Floats) -> Floats:
    return p - p[:, [-1]]


def _plain(asked: Asked, decided: Decided, features: FeatureSet, matrix: Matrix, settings: TrainingSettings) -> Floats:
    """The effects of a plain S-learner, `(n, n_actions)`."""
    from scipy.special import expit

    histories, moments = asked.histories, decided.moments
    plain = feature_matrix(histories, moments.account, moments.as_of, features)
    categories = tuple(place for place, feature in enumerate(features.features) if feature.is_category)
    learner = Learner("binary", PLAIN_TREES, (*categories, plain.shape[1]), settings.seed, settings.threads)
    learned = np.column_stack([plain, decided.action.astype(np.float32)])
    model = fit(learner, learned, decided.paid.astype(np.float64), None, lambda: None)
    raw = raw_by_action(model, matrix, len(asked.cost), settings.threads)
    return _against_waiting(np.asarray(expit(raw)))


def _by_stage(asked: Asked, decided: Decided, features: FeatureSet, matrix: Matrix) -> Floats:
    """The mean effect of each action in each collection stage, by inverse propensity, `(n, n_actions)`."""
    place = features.names.index("stage")
    moments = decided.moments
    learned = feature_matrix(asked.histories, moments.account, moments.as_of, features)[:, place]
    n_actions = len(asked.cost)
    effect = np.zeros((len(matrix), n_actions))
    for stage in np.unique(matrix[:, place][~np.isnan(matrix[:, place])]):
        there, here = learned == stage, matrix[:, place] == stage
        rates = np.zeros(n_actions)
        for action in range(n_actions):
            had = there & (decided.action == action)
            weight = (decided.weight / decided.propensity)[had]
            rates[action] = np.average(decided.paid[had], weights=weight) if had.any() else 0.0
        effect[here] = rates - rates[-1]
    return effect


def _calibration(asked: Asked, effect: Floats, bundle: Bundle, at: str) -> Found:
    """Predicted against true effects of each supported channel: their means, and over tenths by prediction."""
    found: Found = {}
    for place, action in enumerate(bundle.manifest.actions[:-1]):
        if action not in bundle.manifest.supported:
            continue
        allowed = asked.allowed[:, place]
        predicted, true = effect[allowed, place], asked.effect[allowed, place]
        tenths = np.array_split(np.argsort(predicted, kind="stable"), 10)
        apart = [abs(predicted[rows].mean() - true[rows].mean()) for rows in tenths]
        found["mean predicted effect", "probability", f"{at}, {action}"] = float(predicted.mean())
        found["mean true effect", "probability", f"{at}, {action}"] = float(true.mean())
        found["mean distance over tenths", "probability", f"{at}, {action}"] = float(np.mean(apart))
    return found


if __name__ == "__main__":
    sys.exit(main())
