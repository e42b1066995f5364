"""From histories, accounts and moments to a feature matrix: the one way, for one account as for a million."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from features import kernel
from features.catalog import catalogue
from features.catalog.grammar import Attribute, Category, Derived, Feature, GroupRate
from features.contract import RESTRICTIONS
from features.errors import SettingsError
from features.histories import Histories, category_columns, utc_offset, vintage
from features.jit import laid_out
from features.overview import MEASURES, Daily
from features.plan import Given, compile_plan, given_measures
from features.settings import PortfolioSettings
from features.units import DAY, FOREVER, Instants, Money, Rows

Categories = Mapping[str, tuple[str, ...]]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureSet:
    """Features ready to be computed, and those that only serve to derive them."""

    features: tuple[Feature, ...]
    inputs: tuple[Feature, ...]
    channels: tuple[str, ...]
    categories: Categories
    given: tuple[Given, ...]
    plan: kernel.Plan

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the matrix's columns, in order."""
        return tuple(feature.name for feature in self.features)


def prepare(
    settings: PortfolioSettings, names: tuple[str, ...] | None = None, categories: Categories | None = None
) -> FeatureSet:
    """Compile the features called `names` (the whole catalogue when not given) for portfolios like this one.

    Args:
        settings: says which channels and attributes there are.
        names: the wanted features, in the order of the matrix's columns.
        categories: the known values of each categorical column; a value that is not among them is missing.

    Raises:
        SettingsError: a name is not in the catalogue of such a portfolio.
    """
    known = {feature.name: feature for feature in catalogue(settings)}
    wanted = tuple(known) if names is None else names
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SettingsError(
            f"a feature must be in the catalogue, got {', '.join(unknown)}; the portfolio's channels and attributes "
            f"must be those of training"
        )
    features = tuple(known[name] for name in wanted)
    inputs = tuple(known[name] for name in _inputs(features) if name not in wanted)
    channels = settings.channel_names
    return FeatureSet(
        features=features,
        inputs=inputs,
        channels=channels,
        categories=categories or {},
        given=given_measures((*features, *inputs)),
        plan=compile_plan(features, inputs, channels),
    )


def feature_matrix(
    histories: Histories, account: Rows, as_of: Instants, features: FeatureSet
) -> npt.NDArray[np.float32]:
    """Compute the features of each account as of each moment, from what was known strictly before it.

    Args:
        histories: packed histories.
        account: `(n_moments,)` positions of accounts in the histories.
        as_of: `(n_moments,)` the moments.
        features: what to compute.

    Returns:
        `(n_moments, n_features)` float32, rows contiguous; missing values are NaN.

    Raises:
        SettingsError: the histories have other channels than the features were prepared for, or are of some accounts
            only where a feature compares with the whole portfolio.
    """
    if features.channels != histories.settings.channel_names:
        raise SettingsError(
            f"histories must have the channels that the features were prepared for, {', '.join(features.channels)}, "
            f"got {', '.join(histories.settings.channel_names)}; name the same ones in the same order"
        )
    account, as_of = laid_out(account), laid_out(as_of)
    out = np.empty((len(account), len(features.features)), dtype=np.float32)
    given = np.empty((len(account), len(features.given)), dtype=np.float64)
    rates = _group_rates([one for one in features.given if isinstance(one, GroupRate)], histories, account, as_of)
    for column, measure in enumerate(features.given):
        if isinstance(measure, GroupRate):
            given[:, column] = rates[measure]
        else:
            given[:, column] = _stated(measure, histories, account, features.categories)
    local = as_of + utc_offset(as_of, histories.accounts.zone[account], histories.zones)
    kernel.fill(out, account, as_of, local, given, _tables(histories), features.plan)
    return out


def standing(histories: Histories, account: Rows, as_of: Instants) -> tuple[Money, npt.NDArray[np.bool_]]:
    """The balance as of each moment, `(n_moments,)` money, and whether the account is live then."""
    balance, live = kernel.standing(
        laid_out(account), laid_out(as_of), facts(histories), histories.payments, histories.charges,
        histories.restrictions, RESTRICTIONS.index("closed"),
    )  # fmt: skip
    return balance, live


def known_categories(histories: Histories, placed_before: int = FOREVER) -> dict[str, tuple[str, ...]]:
    """The values, sorted, that each categorical column has in the accounts placed before an instant."""
    placed = histories.accounts.placed_at < placed_before
    columns = category_columns(histories.settings)
    codes = (np.unique(histories.accounts.categories[placed, place]) for place in range(len(columns)))
    return {
        column: tuple(levels[code] for code in present if code >= 0)
        for column, levels, present in zip(columns, histories.levels, codes, strict=True)
    }


def facts(histories: Histories) -> kernel.AccountFacts:
    """What the kernel reads of the accounts."""
    return kernel.AccountFacts(histories.facts, histories.accounts.commission_rate)


def _tables(histories: Histories) -> kernel.Tables:
    contacts, payments, charges = histories.contacts, histories.payments, histories.charges
    promises, restrictions = histories.promises, histories.restrictions
    return kernel.Tables(
        histories.facts, histories.accounts.commission_rate, contacts.start, contacts.rows, payments.start,
        payments.rows, charges.start, charges.rows, promises.start, promises.rows, restrictions.start,
        restrictions.rows,
    )  # fmt: skip


def _inputs(features: tuple[Feature, ...]) -> tuple[str, ...]:
    """What the derived ones are derived from; an input must not itself be derived."""
    measures = [feature.measure for feature in features]
    return tuple(dict.fromkeys(name for measure in measures if isinstance(measure, Derived) for name in measure.inputs))


def _stated(measure: Attribute | Category, histories: Histories, account: Rows, categories: Categories) -> Values:
    """What the accounts' own columns say, `(n_moments,)`."""
    if isinstance(measure, Attribute):
        return np.asarray(histories.accounts.numeric[account, histories.settings.numeric.index(measure.column)])
    place = category_columns(histories.settings).index(measure.column)
    positions = _positions(histories.levels[place], categories.get(measure.column, ()))
    return np.asarray(positions[histories.accounts.categories[account, place]])


@lru_cache(maxsize=64)
def _positions(levels: tuple[str, ...], known: tuple[str, ...]) -> Values:
    """The position among the known ones of each level, and of no value, which code -1 takes: missing."""
    position = {value: float(place) for place, value in enumerate(known)}
    return np.array([*(position.get(level, np.nan) for level in levels), np.nan])


def _group_rates(
    measures: list[GroupRate], histories: Histories, account: Rows, as_of: Instants
) -> dict[GroupRate, Values]:
    """The rates of the accounts' groups as of the last UTC midnight, `(n_moments,)` each; missing for no group."""
    if not measures:
        return {}
    if histories.overview is None:
        raise SettingsError(
            "a rate of the whole portfolio needs the whole portfolio, got some of its accounts; score them where the "
            "portfolio is, or train without the features of the family portfolio"
        )
    found: dict[GroupRate, Values] = {}
    today = as_of // DAY
    for name in dict.fromkeys(measure.group for measure in measures):
        daily = histories.overview.groups[name]
        group = _group_of(name, daily, histories, account)
        of_group = tuple(measure for measure in measures if measure.group == name)
        found |= zip(of_group, _rates(daily, group, today, of_group).T, strict=True)
    return found


def _rates(daily: Daily, group: Rows, today: Rows, measures: tuple[GroupRate, ...]) -> Values:
    """Each rate of each group as of the midnight that begins a day, `(n, n_rates)`; group -1 has none."""
    if not len(today):
        return np.empty((0, len(measures)))
    first = int(today.min())
    n_days = int(today.max()) - first + 1
    if n_days > 1 and len(daily.keys) * n_days > len(group):
        return _rates_each(daily, group, today, measures)
    # Fewer groups and days than moments, or a day that will be asked for again: each is worked out once. The last row
    # is that of no group.
    of_days = [_rates_of_day(daily, first + day, measures) for day in range(n_days)]
    return np.asarray(np.concatenate(of_days)[group % (len(daily.keys) + 1) + (len(daily.keys) + 1) * (today - first)])


def _rates_of_day(daily: Daily, day: int, measures: tuple[GroupRate, ...]) -> Values:
    """The rates of every group, `(n_groups + 1, n_rates)`, the last row that of no group."""
    if (day, measures) not in daily.by_day:
        group = np.arange(len(daily.keys) + 1)
        group[-1] = -1
        daily.by_day[day, measures] = _rates_each(daily, group, np.full(len(group), day), measures)
    return daily.by_day[day, measures]


def _rates_each(daily: Daily, group: Rows, today: Rows, measures: tuple[GroupRate, ...]) -> Values:
    windows = [0, *dict.fromkeys(measure.days for measure in measures if measure.days)]
    known = daily.known_before(group[:, None], today[:, None] - np.array(windows))
    rates = np.full((len(group), len(measures)), np.nan)
    for column, measure in enumerate(measures):
        part, whole = MEASURES.index(measure.part), MEASURES.index(measure.whole)
        until, since = known[:, 0], known[:, windows.index(measure.days)] if measure.days else 0
        over = until - since
        base = until[:, whole] if measure.whole == "placed" else over[:, whole]
        np.divide(over[:, part], base, out=rates[:, column], where=(base > 0) & (group >= 0))
    return rates


def _group_of(name: str, daily: Daily, histories: Histories, account: Rows) -> Rows:
    """The position of each account's group, `(n_moments,)`; -1 where nothing is known of it."""
    if name == "segment":
        place = {key: position for position, key in enumerate(daily.keys)}
        of_level = np.array([place.get(level, -1) for level in (*histories.levels[0], None)])
        return np.asarray(of_level[histories.accounts.categories[account, 0]])
    return daily.positions(vintage(histories.accounts.placed_at[account]))
