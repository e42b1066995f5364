"""A bundle: everything that a score needs of a model, as a folder of text and JSON that is checked when it is read.

    manifest.json   what the model is, what it reads, how it was made, and the sha256 of every other file
    p_pay.txt       LightGBM: raw score of a payment within the horizon
    fraction.txt    LightGBM: raw score of the fraction of the balance that is paid, where anything is (only where
                    payments were learned)
    promise.txt     LightGBM: raw score of a promise being kept, at the moment it is made (only where enough were
                    kept, and enough broken)
    links.json      the tables that turn raw scores into probabilities and fractions, and what choosing a channel adds
    hours.json      what calls have come to by hour of the debtor's day, per segment
    reference.json  how features and scores were distributed at training, for drift to be measured against

There is no pickle in it. A raw score is a sum of leaf values, and a link is a table between whose points one draws
straight lines: nothing here calls `exp`, whose last bit differs between processors (a square root's does not). So a
bundle gives the same bits everywhere, for one account as for a million.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from features.contract import NO_CHANNEL
from features.errors import BundleError
from features.histories import Histories
from features.hours import HourRates, HourTable, rates_by_hour
from features.settings import PortfolioSettings
from features.units import Rows
from training.reference import Reference

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

FORMAT = 5
#: What `p_pay` is the probability of: a payment within the horizon, or the label that a user gave.
PAYMENT, LABEL = "payment", "label"
BANDS = "ABCDEFGHIJ"
MANIFEST = "manifest.json"
LINKS, REFERENCE, HOURS = "links.json", "reference.json", "hours.json"
P_PAY, FRACTION, PROMISE = "p_pay.txt", "fraction.txt", "promise.txt"


def named(portfolio: str, target: str) -> str:
    """The name of a portfolio's model of payments or labels: neither must take the other's place.

    >>> named("cards-east", "label")
    'cards-east-labels'
    """
    return portfolio if target == PAYMENT else f"{portfolio}-labels"


@dataclass(frozen=True)
class Link:
    """A monotone table from raw scores to values: straight lines between points, flat beyond the ends."""

    raw: tuple[float, ...]
    value: tuple[float, ...]

    def __call__(self, raw: Floats) -> Floats:
        """Map raw scores, `(n,)`, to values, `(n,)`."""
        return np.asarray(np.interp(raw, *self._points))

    @cached_property
    def _points(self) -> tuple[Floats, Floats]:
        """The table as arrays: made once, since making them costs more than a score does."""
        return np.array(self.raw), np.array(self.value)

    def or_zero(self, raw: Floats | Matrix) -> Floats:
        """The same for what may be NaN, whose value is zero."""
        value = self(raw.astype(np.float64))
        return np.where(np.isnan(value), 0.0, value)


@dataclass(frozen=True)
class ChannelEffects:
    """What choosing an action adds to the probability of payment, p, as a multiple of √(p(1 - p)).

    The multiple is linear in a few modifiers: columns of the features, each by a table to its scale (zero where it is
    NaN). `weights` has a row for each action, waiting last: the level, then the weight of every modifier.

    `covariance` says how sure the weights are of every action but waiting, each less that of waiting, one action after
    the other; it is empty where that is not known.
    """

    modifiers: tuple[int, ...]
    scales: tuple[Link, ...]
    weights: tuple[tuple[float, ...], ...]
    covariance: tuple[tuple[float, ...], ...] = ()

    def __call__(self, p: Floats, matrix: Matrix) -> Floats:
        """The probability after each action, `(n, n_actions)`, of rows with probability `p`, `(n,)`."""
        spread = np.sqrt(p * (1 - p))
        level, *weights = self._weights
        multiple = np.repeat(level[None], len(p), axis=0)
        # One after the other, so that every row's sum has one order, whatever its company.
        for column, scale, weight in zip(self.modifiers, self.scales, weights, strict=True):
            multiple += scale.or_zero(matrix[:, column])[:, None] * weight
        return np.asarray(np.clip(p[:, None] + spread[:, None] * multiple, 0.0, 1.0))

    def scaled(self, matrix: Matrix) -> Floats:
        """What the weights of an action are multiplied by, `(n, 1 + n_modifiers)`: 1, then the modifiers, scaled."""
        found = np.ones((len(matrix), 1 + len(self.modifiers)))
        for place, (column, scale) in enumerate(zip(self.modifiers, self.scales, strict=True), 1):
            found[:, place] = scale.or_zero(matrix[:, column])
        return found

    @cached_property
    def _weights(self) -> tuple[Floats, ...]:
        """The level of every action, then what each modifier weighs with it, `(n_actions,)` each: made once."""
        return tuple(np.array(self.weights).T.copy())


@dataclass(frozen=True)
class Links:
    """The links of a bundle; no `channel` where no effect is known.

    There is no `fraction` where labels were learned: they say nothing of money. There is no `promise` where promises
    were not learned.
    """

    p_pay: Link
    fraction: Link | None
    channel: ChannelEffects | None = None
    promise: Link | None = None


@dataclass(frozen=True)
class Level:
    """Where a level stands that drifts: how far from what the links hold, with what variance.

    `step` is the variance by which it may move from one horizon to the next.
    """

    value: float
    variance: float
    step: float


@dataclass(frozen=True)
class ActionSupport:
    """What the history holds of one action: logged decisions, accounts that had it, and those that then paid."""

    action: str
    decisions: int
    accounts: int
    payers: int
    supported: bool


@dataclass(frozen=True)
class PromiseSupport:
    """Of how many promises the outcome was known before the cut, and whether that was enough to learn from."""

    kept: int = 0
    broken: int = 0
    supported: bool = False


@dataclass(frozen=True)
class Suspect:
    """A feature that may know the future: its name, the figure that says so, and why that is suspicious."""

    feature: str
    figure: float
    why: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle is. Amounts are in the portfolio's currency, times ISO 8601 in UTC."""

    portfolio: PortfolioSettings
    horizon_days: int
    features: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    support: tuple[ActionSupport, ...]
    usual_channel: str
    #: p_pay above which an account is in band A, B, ... I; the rest is J.
    band_thresholds: tuple[float, ...]
    #: The 0th to 100th percentile of the net value that accounts are ordered by, at training.
    value_percentiles: tuple[float, ...]
    trained_until: str
    data_until: str
    data_digest: str
    #: The training settings as they were used.
    settings: dict[str, Any]
    #: Where the levels of `p_pay` and `fraction`, where there is one, stood at the end of training: what a
    #: recalibration goes on from.
    levels: dict[str, Level] = field(default_factory=dict)
    #: The last moment whose outcome is in the levels.
    levels_until: str = ""
    #: Whether effects were learned from a log of decisions, rather than from what contacts tell of them.
    decisions_logged: bool = True
    #: What the model reached on later, unseen time.
    holdout: dict[str, float] = field(default_factory=dict)
    #: Features that may know the future: a model that has some is not to be trusted.
    suspects: tuple[Suspect, ...] = ()
    promises: PromiseSupport = PromiseSupport()
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    target: str = PAYMENT

    @property
    def name(self) -> str:
        """The name of the model: that of the portfolio; models of labels stand beside those of payments."""
        return named(self.portfolio.name, self.target)

    @property
    def actions(self) -> tuple[str, ...]:
        """Every action a score has a column for: the portfolio's channels, then `none`."""
        return (*self.portfolio.channel_names, NO_CHANNEL)

    @property
    def supported(self) -> tuple[str, ...]:
        """The actions whose effect this history could tell."""
        return tuple(arm.action for arm in self.support if arm.supported)


@dataclass(frozen=True)
class _Format:
    """What is read of a manifest before anything else."""

    format: int


@dataclass(frozen=True)
class Predictions:
    """What the models say of `n` accounts; the last two are `(n, n_actions)` in the manifest's order of actions.

    Amounts are NaN where labels were learned.
    """

    p_pay: Floats
    expected_amount: Floats
    p_pay_by_action: Floats
    expected_amount_by_action: Floats


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: immutable, shared by all who score with it.

    `label` is the name and version under which it was found, as scores carry it.
    """

    manifest: Manifest
    links: Links
    models: Mapping[str, Any]
    label: str = ""
    reference: Reference = field(default_factory=Reference)
    hours: HourTable = field(default_factory=HourTable)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the manifest, which holds that of every other file: the identity of the bundle."""
        return hashlib.sha256(encode(self.manifest)).hexdigest()

    def require_payments(self, wanted: str) -> None:
        """Refuse a model of labels, with `BundleError`, where what is `wanted` is measured by payments."""
        if self.manifest.target != PAYMENT:
            raise BundleError(
                f"{wanted} needs a model of payments, whose outcomes the portfolio holds, got {self.label}, which "
                f"learned labels; name a model that was trained without --labels"
            )

    def predict(self, matrix: Matrix, balance: Floats, threads: int = 1) -> Predictions:
        """Predict for accounts with these features and balances.

        Args:
            matrix: `(n, n_features)` float32, the manifest's features in its order.
            balance: `(n,)` owed, in the main unit.
            threads: how many threads LightGBM may use; the numbers do not depend on it.
        """
        p_pay = self.links.p_pay(self._raw(P_PAY, matrix, threads))
        amount_if_paid = self._amount_if_paid(matrix, balance, threads)
        by_action = self._by_action(matrix, p_pay)
        return Predictions(p_pay, p_pay * amount_if_paid, by_action, by_action * amount_if_paid[:, None])

    def predict_promise(self, matrix: Matrix, threads: int = 1) -> Floats:
        """The probability that a promise is kept, `(n,)`, from the features as of just after it became known.

        It says nothing of later moments: that a promise is still open some days on is news that it did not learn from.
        NaN throughout where promises were not learned.

        Args:
            matrix: `(n, n_features)` float32, the manifest's features in its order.
            threads: how many threads LightGBM may use; the numbers do not depend on it.
        """
        if self.links.promise is None:
            return np.full(len(matrix), np.nan)
        return self.links.promise(self._raw(PROMISE, matrix, threads))

    def rates_by_hour(self, histories: Histories, rows: Rows, as_of: int) -> HourRates:
        """The rates by hour of the accounts at `rows`, `(n,)`, as of a moment; see `features.hours`."""
        return rates_by_hour(self.hours, histories, rows, as_of)

    def _amount_if_paid(self, matrix: Matrix, balance: Floats, threads: int) -> Floats:
        if self.links.fraction is None:
            return np.full(len(balance), np.nan)
        return self.links.fraction(self._raw(FRACTION, matrix, threads)) * balance

    def _by_action(self, matrix: Matrix, p_pay: Floats) -> Floats:
        """The probability after each action.

        An action whose effect could not be told is given none: it has the probability of waiting. Where no effect
        could be told, every action has that of going on as before.
        """
        actions = self.manifest.actions
        supported = [actions.index(action) for action in self.manifest.supported]
        if self.links.channel is None or not supported:
            return np.repeat(p_pay[:, None], len(actions), axis=1)
        told = self.links.channel(p_pay, matrix)
        found = np.repeat(told[:, [actions.index(NO_CHANNEL)]], len(actions), axis=1)
        found[:, supported] = told[:, supported]
        return found

    def _raw(self, model: str, matrix: Matrix, threads: int) -> Floats:
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        return np.asarray(self.models[model].predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)


def with_action(matrix: Matrix, actions: list[int]) -> Matrix:
    """The matrix once per action, with the action's position as a last column: `(n_actions * n, n_features + 1)`."""
    n, width = matrix.shape
    stacked = np.empty((len(actions), n, width + 1), dtype=np.float32)
    stacked[:, :, :width] = matrix
    stacked[:, :, width] = np.array(actions, dtype=np.float32)[:, None]
    return stacked.reshape(len(actions) * n, width + 1)


def band_of(p_pay: Floats, thresholds: tuple[float, ...]) -> npt.NDArray[np.object_]:
    """The band of each probability: A above the first threshold, ..., J at or below the last.

    >>> band_of(np.array([0.9, 0.05, 0.5]), (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.01)).tolist()
    ['A', 'I', 'E']
    """
    rising = np.array(thresholds)[::-1]
    place = len(thresholds) - np.searchsorted(rising, p_pay, side="left")
    return np.array(list(BANDS), dtype=object)[place]


def encode(value: Manifest | Links) -> bytes:
    """Write as JSON for people to read: the same bytes for the same content."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def _compact(value: Reference | HourTable) -> bytes:
    """Write as JSON on one line, for what is long."""
    return msgspec.json.encode(value, order="deterministic") + b"\n"


def write_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """Write a bundle into an empty or new folder; returns it with the sha256 of every file in its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: _text_of(model) for name, model in bundle.models.items()}
    files[LINKS] = encode(bundle.links)
    files[REFERENCE] = _compact(bundle.reference)
    files[HOURS] = _compact(bundle.hours)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    sealed = replace(bundle, manifest=replace(bundle.manifest, sha256=digests))
    for name, content in (files | {MANIFEST: encode(sealed.manifest)}).items():
        (folder / name).write_bytes(content)
    return sealed


def _text_of(model: Any) -> bytes:
    """A booster as text, without how many threads fitted it: that changes nothing of the model."""
    return re.sub(rb"^\[num_threads: \d+\]\n", b"", model.model_to_string().encode(), flags=re.MULTILINE)


def read_bundle(folder: Path, label: str = "", digest: str | None = None) -> Bundle:
    """Read a bundle, and refuse one that is damaged.

    Args:
        folder: where it lies.
        label: the name and version it was found under.
        digest: the identity that the registry keeps of it, where there is one.

    Raises:
        BundleError: a file is missing, unreadable, of another format, or not the one that was written.
    """
    import lightgbm

    try:
        content = (folder / MANIFEST).read_bytes()
        # Before all else: a manifest of another format may have other fields.
        if (found := msgspec.json.decode(content, type=_Format).format) != FORMAT:
            raise BundleError(f"this version reads bundles of format {FORMAT}, got {found} in {folder}; train anew")
        manifest = msgspec.json.decode(content, type=Manifest)
        contents = {name: (folder / name).read_bytes() for name in manifest.sha256}
        links = msgspec.json.decode(contents[LINKS], type=Links)
        reference = msgspec.json.decode(contents[REFERENCE], type=Reference)
        hours = msgspec.json.decode(contents[HOURS], type=HourTable)
    except (OSError, KeyError, msgspec.MsgspecError) as error:
        raise BundleError(f"a bundle is a folder with {MANIFEST} and what it lists, got {folder}: {error}") from None
    damaged = [
        name for name, content in contents.items() if hashlib.sha256(content).hexdigest() != manifest.sha256[name]
    ]
    if damaged:
        raise BundleError(
            f"a bundle's files must match their sha256, {', '.join(damaged)} in {folder} do not; train anew"
        )
    texts = {name: content.decode() for name, content in contents.items() if name not in (LINKS, REFERENCE, HOURS)}
    models = {name: lightgbm.Booster(model_str=text) for name, text in texts.items()}
    bundle = Bundle(manifest, links, models, label, reference, hours)
    if digest is not None and bundle.digest != digest:
        raise BundleError(
            f"the bundle of {label} must be the one registered, sha256 {digest[:12]}, got another; train anew"
        )
    return bundle
