"""A made-up book of which everything is known, and made-up models of it: to try comparisons and the gate on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.champion.comparison import Comparison, Entrant, Question, compare_holdouts
from features.settings import PortfolioSettings
from features.units import to_money
from training.bundle import LABEL, PAYMENT, Bundle, Floats, Link, Links, Manifest, band_of
from training.holdout import Holdout
from training.metrics import by_band, money, ranking_and_calibration
from training.moments import Moments

SETTINGS = PortfolioSettings("small", categorical=("employment",), audit=("gender",))
QUESTION = Question(30, "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "digest", SETTINGS)
THRESHOLDS = (0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02)
#: Of the log-odds of paying, over all moments.
MEAN, VARIANCE = -2.5, 1.2**2 + 0.3**2
FLAT = Link((0.0, 1.0), (0.1, 0.1))


def bundle(**changes: object) -> Bundle:
    """A bundle without models, whose manifest is changed as stated."""
    manifest = Manifest(
        portfolio=SETTINGS, horizon_days=30, features=("days_past_due", "segment"), categories={"segment": ("card",)},
        support=(), usual_channel="call", band_thresholds=THRESHOLDS,
        value_percentiles=(), trained_until="2026-01-01T00:00:00Z", data_until="2026-04-01T00:00:00Z",
        data_digest="digest", settings={"payment": {"above_amount": 0.0, "above_share": 0.0}},
    )  # fmt: skip
    return Bundle(replace(manifest, **changes), Links(FLAT, FLAT), {}, "small/1")  # type: ignore[arg-type]


class Book:
    """Accounts at two moments each, with the probability by which each really pays, and what followed."""

    def __init__(self, accounts: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.account = np.repeat(np.arange(accounts), 2)
        # What is peculiar to the account lasts: its two moments are not independent.
        self.score = np.repeat(generator.normal(MEAN, 1.2, accounts), 2) + generator.normal(0, 0.3, 2 * accounts)
        self.balance = np.repeat(generator.lognormal(6, 0.8, accounts), 2)
        self.p = _probability(self.score, 0.0)
        self.paid = generator.random(len(self.p)) < self.p
        self.net_amount = np.where(self.paid, self.balance * generator.uniform(0.1, 0.5, len(self.p)), 0.0)
        self.generator = generator

    def rightly(self) -> Entrant:
        """A model that knows the true probabilities."""
        return self.says(self.p)

    def blurred(self, noise: float) -> Entrant:
        """A model that sees the score through noise, and knows it: calibrated, and the worse in rank the more noise."""
        return self.seen(noise, self.generator.normal(0, 1, len(self.p)))

    def retrained(self, noise: float, before: Floats, shared: float = 0.9) -> Entrant:
        """A model whose noise is mostly that of another, `(n,)`, standard normal: the same features, learned anew."""
        own = self.generator.normal(0, 1, len(self.p))
        return self.seen(noise, shared * before + np.sqrt(1 - shared**2) * own)

    def seen(self, noise: float, drawn: Floats) -> Entrant:
        """A calibrated model that sees the score through this noise, `(n,)`, standard normal, times `noise`."""
        seen = self.score + noise * drawn
        trusted = VARIANCE / (VARIANCE + noise**2)
        return self.says(_probability(MEAN + trusted * (seen - MEAN), VARIANCE * (1 - trusted)))

    def says(self, p: Floats, amount_factor: float = 1.0, **changes: object) -> Entrant:
        """A model that gives these probabilities, and amounts that are right on average, times a factor.

        A model whose `target` is changed to `label` knows of no amounts.
        """
        made = bundle(**changes)
        unknown = np.nan if made.manifest.target == LABEL else 1.0
        expected, actual = p * 0.3 * amount_factor * self.balance * unknown, self.net_amount * unknown
        metrics = ranking_and_calibration(p, self.paid)
        if made.manifest.target == PAYMENT:
            metrics |= money(expected, actual, self.paid)
        band = band_of(p, made.manifest.band_thresholds)
        bands = by_band(band, p, self.paid, expected, actual, self.balance)
        as_of = np.tile([0, 1], len(self.p) // 2)
        moments = Moments(self.account, as_of, to_money(self.balance), to_money(self.net_amount))
        holdout = Holdout(
            moments, p, expected, self.paid, actual, band, days_past_due=np.zeros(len(p)), bands=bands,
            metrics=metrics, sample=np.empty((0, 2), dtype=np.float32),
        )  # fmt: skip
        return Entrant(made, holdout)


def compared(a: Entrant, b: Entrant, repeats: int = 200) -> Comparison:
    """Compare with few draws."""
    question = replace(QUESTION, target=a.bundle.manifest.target)
    return compare_holdouts(a, b, question, 1, lambda: None, repeats)


def _probability(mean: Floats, variance: float) -> Floats:
    """The mean probability where the log-odds are normal (MacKay, 1992), `(n,)`."""
    from scipy.special import expit

    return np.asarray(expit(mean / np.sqrt(1 + np.pi / 8 * variance)))
