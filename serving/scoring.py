"""Scores: what a bundle says of every live account as of a moment, one row each.

The numbers of an account depend on its own history, the moment and the bundle, and on nothing else: everything here
works element by element, so that one account, a request and a million accounts give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.catalog.grammar import Attribute, Category
from features.compute import FeatureSet, feature_matrix, prepare, standing
from features.contract import NO_CHANNEL
from features.errors import BundleError, MomentError, SettingsError
from features.histories import Histories
from features.selection import own_history
from features.settings import PortfolioSettings
from features.units import Instants, Rows, format_instant, from_instants, from_money
from serving.contact_rules.restrictions import FREE
from serving.contact_rules.rules import blocked_until
from training.bundle import PAYMENT, Bundle, Floats, Matrix, Predictions, band_of

Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]
OnScored = Callable[[int], None]

#: Why an account without a balance is not scored.
NOTHING_OWED = "nothing owed"

#: Accounts are scored in blocks of so many, which bounds the memory; the numbers do not depend on it.
BLOCK = 16_384


@dataclass(frozen=True)
class Scorer:
    """A bundle, ready to score: shared by all who score with it."""

    bundle: Bundle
    features: FeatureSet

    @cached_property
    def attributes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns of accounts that are read: numbers, and texts."""
        measures = [feature.measure for feature in (*self.features.features, *self.features.inputs)]
        numeric = tuple(measure.column for measure in measures if isinstance(measure, Attribute))
        return numeric, tuple(measure.column for measure in measures if isinstance(measure, Category))


@dataclass(frozen=True)
class Actions:
    """The actions that scores speak of, in the manifest's order (`none` last), `(n_actions,)` each.

    `supported` are those whose effect the model could tell, `enabled` those that may be chosen at all. `has_money` is
    false where the model learned labels: it says nothing of money, and accounts are ordered by the probability.
    """

    names: tuple[str, ...]
    cost: Floats
    supported: Mask
    enabled: Mask
    usual: int
    has_money: bool = True

    @property
    def waiting(self) -> int:
        """The position of `none`."""
        return len(self.names) - 1

    @property
    def effects_known(self) -> bool:
        """Whether choosing an action can be told from waiting."""
        told = self.supported & self.enabled
        return bool(told[self.waiting] and told[: self.waiting].any())

    @property
    def cheapest_first(self) -> list[int]:
        """The positions of all actions by cost; waiting before a channel that costs nothing."""
        return sorted(range(len(self.names)), key=lambda place: (self.cost[place], place != self.waiting, place))

    @property
    def fallback_order(self) -> list[int]:
        """The channels in the order in which they are taken where no effect is known: the usual one first."""
        return [self.usual, *(place for place in range(self.waiting) if place != self.usual)]


@dataclass(frozen=True)
class Choice:
    """What is best for `n` accounts: `value` is `(n, n_actions)`, the rest `(n,)`; `uplift` is NaN where unknown."""

    value: Floats
    best: Rows
    uplift: Floats
    #: What accounts are ordered by: the uplift where it is known, else the value of the action.
    order_value: Floats


def prepare_scorer(bundle: Bundle) -> Scorer:
    """Compile the features that a bundle reads.

    Raises:
        BundleError: the bundle reads features that this version does not know.
    """
    manifest = bundle.manifest
    try:
        return Scorer(bundle, prepare(manifest.portfolio, manifest.features, manifest.categories))
    except SettingsError as error:
        raise BundleError(f"model {bundle.label} reads what this version does not know: {error}; train anew") from None


@dataclass(frozen=True)
class LiveAccounts:
    """What scoring reads of `n` live accounts beside their features, `(n,)` each; `balance` is in the main unit."""

    account_id: Texts
    balance: Floats
    commission_rate: Floats


@dataclass(frozen=True)
class Scored:
    """The scores of `n` live accounts as of a moment, an array of each: `(n,)`, `(n, n_channels)` of `blocked`.

    `rows` are the places of the accounts in what was scored, `balance` is in the main unit, `blocked` is until when
    contact rules forbid each channel, and `allowed`, `(n, n_actions)`, what may be chosen. `features` is
    `(n, n_features)` float32, where it was to be kept.
    """

    bundle: Bundle
    as_of: int
    rows: Rows
    account_id: Texts
    balance: Floats
    commission_rate: Floats
    predictions: Predictions
    blocked: Instants
    allowed: Mask
    choice: Choice
    priority: Floats
    band: Texts
    features: Matrix | None = None

    def __len__(self) -> int:
        """The number of accounts."""
        return len(self.rows)


def score(
    scorer: Scorer,
    histories: Histories,
    as_of: int,
    account_rows: Rows | None = None,
    threads: int = 1,
    on_scored: OnScored | None = None,
) -> pd.DataFrame:
    """Score every live account as of a moment: `scored`, as the contract's table.

    Returns:
        The scores table, one row per live account in the order of `account_rows`; money in the main unit.
    """
    return table_of(scored(scorer, histories, as_of, account_rows, threads, on_scored))


def scored(
    scorer: Scorer,
    histories: Histories,
    as_of: int,
    account_rows: Rows | None = None,
    threads: int = 1,
    on_scored: OnScored | None = None,
    keep_features: bool = False,
) -> Scored:
    """Score every live account as of a moment.

    Args:
        scorer: the prepared bundle.
        histories: packed histories, with the channels that the bundle was trained on.
        as_of: the moment, an instant; only what was known strictly before it counts.
        account_rows: `(n,)` positions of the accounts to consider; all when None.
        threads: how many threads LightGBM may use; the numbers do not depend on it.
        on_scored: told the number of accounts scored after each block, for progress.
        keep_features: whether the features are wanted too.

    Raises:
        BundleError: the histories have other channels than the bundle, or lack an attribute that it reads.
    """
    check_match(scorer, histories.settings)
    rows = np.arange(len(histories)) if account_rows is None else account_rows
    balance, live = standing(histories, rows, np.full(len(rows), as_of))
    rows, owed = rows[live], from_money(balance[live])
    kept = np.empty((len(rows) if keep_features else 0, len(scorer.features.features)), dtype=np.float32)
    found = _predict(scorer, histories, rows, as_of, owed, threads, on_scored, kept)
    accounts = histories.accounts
    live_ones = LiveAccounts(accounts.account_id[rows], owed, accounts.commission_rate[rows])
    blocked = blocked_until(histories, rows, as_of)
    done = _decided(scorer.bundle, histories.settings, as_of, live_ones, found, blocked)
    return replace(done, rows=rows, features=kept if keep_features else None)


def scored_features(
    scorer: Scorer,
    settings: PortfolioSettings,
    as_of: int,
    accounts: LiveAccounts,
    features: Matrix,
    threads: int = 1,
) -> Scored:
    """Score accounts whose features are given. No contact rule is known of them: every enabled channel is allowed.

    Args:
        scorer: the prepared bundle.
        settings: those of the portfolio as it is now.
        as_of: the moment that the features are of, an instant.
        accounts: the `n` accounts.
        features: `(n, n_features)` float32, the bundle's features in its order.
        threads: how many threads LightGBM may use; the numbers do not depend on it.
    """
    found = scorer.bundle.predict(features, accounts.balance, threads)
    blocked = np.full((len(features), len(settings.channels)), FREE)
    return replace(_decided(scorer.bundle, settings, as_of, accounts, found, blocked), features=features)


def check_match(scorer: Scorer, settings: PortfolioSettings) -> None:
    """Refuse a portfolio whose channels or attributes are not those of the bundle, with `BundleError`."""
    trained, label = scorer.bundle.manifest.portfolio, scorer.bundle.label
    if settings.channel_names != trained.channel_names:
        raise BundleError(
            f"model {label} was trained on the channels {', '.join(trained.channel_names)}, this portfolio has "
            f"{', '.join(settings.channel_names)}; name the same ones in the same order, or train anew"
        )
    numeric, text = scorer.attributes
    missing = [column for column in numeric if column not in settings.numeric]
    missing += [column for column in text if column not in ("segment", "portfolio", *settings.categorical)]
    if missing:
        raise BundleError(
            f"model {label} reads the attributes {', '.join(missing)}, which this portfolio does not declare; list "
            f"them under [attributes] in portfolio.toml, or train anew"
        )


def check_own_history(scorer: Scorer) -> None:
    """Refuse a bundle that reads rates of the portfolio as a whole, with `BundleError`: no request holds those."""
    names = scorer.features.names
    compared = sorted({*names} - {*own_history(scorer.bundle.manifest.portfolio, names)})
    if compared:
        raise BundleError(
            f"model {scorer.bundle.label} reads rates of the whole portfolio ({', '.join(compared)}), which a request "
            f"does not hold; use recoup score, or train with portfolio_rates = false"
        )


def not_live(histories: Histories, as_of: int) -> pd.DataFrame:
    """The accounts that are not scored, each with why: not yet placed, nothing owed, or closed."""
    account_id, why = why_not_live(histories, as_of)
    return pd.DataFrame({"account_id": account_id, "why": why}, dtype=object)


def why_not_live(histories: Histories, as_of: int) -> tuple[Texts, Texts]:
    """The accounts that are not scored, `(n,)`, and why, `(n,)`: not yet placed, nothing owed, or closed."""
    everyone = np.arange(len(histories))
    balance, live = standing(histories, everyone, np.full(len(everyone), as_of))
    unplaced = histories.accounts.placed_at >= as_of
    why = np.where(unplaced, "not yet placed", np.where(balance <= 0, NOTHING_OWED, "closed")).astype(object)
    return histories.accounts.account_id[~live], why[~live]


def require_live(histories: Histories, as_of: int) -> None:
    """Refuse a moment at which no account is live, with `MomentError` that counts why."""
    others = not_live(histories, as_of)
    if len(others) == len(histories):
        counts = ", ".join(f"{count:,} {why}" for why, count in others["why"].value_counts().items())
        raise MomentError(
            f"no account is live as of {format_instant(as_of)}: {counts}; give a moment within the portfolio's time"
        )


def actions_of(bundle: Bundle, settings: PortfolioSettings) -> Actions:
    """The actions of a bundle, with the costs and switches of the portfolio as it is now."""
    names = bundle.manifest.actions
    supported, enabled = bundle.manifest.supported, (*settings.actions, NO_CHANNEL)
    return Actions(
        names=names,
        cost=np.array([*(channel.cost for channel in settings.channels), 0.0]),
        supported=np.array([name in supported for name in names]),
        enabled=np.array([name in enabled for name in names]),
        usual=names.index(bundle.manifest.usual_channel),
        has_money=bundle.manifest.target == PAYMENT,
    )


def allowed_actions(blocked: Instants, as_of: int, actions: Actions) -> Mask:
    """Which actions may be chosen, `(n, n_actions)`, with each channel `blocked` until then; waiting always may be."""
    free = blocked <= as_of
    return np.column_stack([free, np.ones(len(free), dtype=np.bool_)]) & actions.enabled


def choose(found: Predictions, commission_rate: Floats, allowed: Mask, actions: Actions) -> Choice:
    """Choose the best action of each account among those that are allowed and whose effect is known.

    Where no effect is known, it is the first allowed channel of the fallback order, and the uplift is not known.

    Args:
        found: the predictions for `n` accounts.
        commission_rate: `(n,)` the share of what is collected that is earned.
        allowed: `(n, n_actions)`.
        actions: the actions.
    """
    value = found.expected_amount_by_action * commission_rate[:, None] - actions.cost
    everyone = np.arange(len(value))
    if actions.effects_known:
        best = _first_best(value, allowed & actions.supported, actions.cheapest_first)
        uplift = value[everyone, best] - value[:, actions.waiting]
        return Choice(value, best, uplift, uplift)
    best = _first(allowed, [*actions.fallback_order, actions.waiting])
    order_value = found.expected_amount * commission_rate - actions.cost[best] if actions.has_money else found.p_pay
    return Choice(value, best, np.full(len(value), np.nan), order_value)


def priority(order_value: Floats, percentiles: tuple[float, ...]) -> Floats:
    """Where values lie among those at training, 0 to 100, `(n,)`: fixed then, so the same for one account as for many.

    >>> priority(np.array([-1.0, 2.0, 9.0]), (0.0, 1.0, 3.0)).tolist()
    [0.0, 75.0, 100.0]
    """
    share = np.arange(len(percentiles)) * (100 / (len(percentiles) - 1))
    return np.asarray(np.interp(order_value, np.array(percentiles), share), dtype=np.float64)


def features_of(scorer: Scorer, histories: Histories, rows: Rows, as_of: int) -> Matrix:
    """The features of the accounts at `rows`, `(n,)`, as of a moment: `(n, n_features)` float32."""
    return feature_matrix(histories, rows, np.full(len(rows), as_of), scorer.features)


def rows_of(histories: Histories, account_id: pd.Series[str]) -> Rows:
    """The positions of accounts in the histories, `(n,)`, by their ids."""
    found = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(account_id.to_numpy(object)))
    return found.astype(np.int64)


def _first_best(value: Floats, eligible: Mask, order: list[int]) -> Rows:
    """The position of the largest eligible value in each row, the first in `order` where several are equal."""
    ranked = np.where(eligible, value, -np.inf)[:, order]
    return _at(order, ranked.argmax(axis=1))


def _first(allowed: Mask, order: list[int]) -> Rows:
    """The first allowed position of each row in `order`."""
    return _at(order, allowed[:, order].argmax(axis=1))


def _at(order: list[int], place: Rows) -> Rows:
    return np.array(order, dtype=np.int64)[place]


def _predict(
    scorer: Scorer, histories: Histories, rows: Rows, as_of: int, balance: Floats, threads: int,
    on_scored: OnScored | None, kept: Matrix,
) -> Predictions:  # fmt: skip
    """Predict in blocks of accounts; the features are written to `kept`, where it has a row for each."""
    n_actions = len(scorer.bundle.manifest.actions)
    found = Predictions(*(np.empty(len(rows)) for _ in range(2)), *(np.empty((len(rows), n_actions)) for _ in range(2)))
    for begin in range(0, len(rows), BLOCK):
        block = slice(begin, begin + BLOCK)
        matrix = features_of(scorer, histories, rows[block], as_of)
        part = scorer.bundle.predict(matrix, balance[block], threads)
        for name, values in vars(part).items():
            getattr(found, name)[block] = values
        if len(kept):
            kept[block] = matrix
        if on_scored is not None:
            on_scored(len(matrix))
    return found


def _decided(
    bundle: Bundle,
    settings: PortfolioSettings,
    as_of: int,
    accounts: LiveAccounts,
    found: Predictions,
    blocked: Instants,
) -> Scored:
    """Choose for each account, and place it among those of training."""
    actions = actions_of(bundle, settings)
    allowed = allowed_actions(blocked, as_of, actions)
    choice = choose(found, accounts.commission_rate, allowed, actions)
    return Scored(
        bundle=bundle,
        as_of=as_of,
        rows=np.arange(len(found.p_pay)),
        account_id=accounts.account_id,
        balance=accounts.balance,
        commission_rate=accounts.commission_rate,
        predictions=found,
        blocked=blocked,
        allowed=allowed,
        choice=choice,
        priority=priority(choice.order_value, bundle.manifest.value_percentiles),
        band=band_of(found.p_pay, bundle.manifest.band_thresholds),
    )


def columns_of(scored: Scored) -> dict[str, Texts | Floats]:
    """The columns of the contract's table that differ from account to account, in order, `(n,)` each."""
    found, actions = scored.predictions, scored.bundle.manifest.actions
    return {
        "account_id": scored.account_id,
        "p_pay": found.p_pay,
        "expected_amount": found.expected_amount,
        "best_channel": np.array(actions, dtype=object)[scored.choice.best],
        "uplift": scored.choice.uplift,
        "priority": scored.priority,
        "band": scored.band,
        **{f"p_pay_{action}": found.p_pay_by_action[:, place] for place, action in enumerate(actions)},
        **{f"value_{action}": scored.choice.value[:, place] for place, action in enumerate(actions)},
    }


def table_of(scored: Scored) -> pd.DataFrame:
    """The contract's scores table."""
    n, bundle = len(scored), scored.bundle
    table = pd.DataFrame(columns_of(scored))
    table.insert(1, "as_of", from_instants(np.full(n, scored.as_of)))
    table.insert(2, "model", np.full(n, bundle.label, dtype=object))
    return table.assign(channel_support=np.full(n, ",".join(bundle.manifest.supported), dtype=object))
