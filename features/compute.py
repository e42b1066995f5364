"""From histories, accounts and moments to a feature matrix: the one way, for one account as for a million."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import kernel
from features.catalog import catalogue
from features.catalog.grammar import Attribute, Calendar, Category, Column, Derived, Feature
from features.contract import RESTRICTIONS
from features.errors import SettingsError
from features.histories import Histories, utc_offset
from features.plan import compile_plan
from features.settings import PortfolioSettings
from features.units import FOREVER, Instants, Money, Rows

Categories = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class FeatureSet:
    """Features ready to be computed: the wanted ones first, then those that only serve as inputs of derived ones."""

    features: tuple[Feature, ...]
    inputs: tuple[Feature, ...]
    channels: tuple[str, ...]
    categories: Categories
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
    every = _with_inputs(wanted, known)
    columns = {name: column for column, name in enumerate(every)}
    channels = settings.channel_names
    return FeatureSet(
        features=tuple(known[name] for name in wanted),
        inputs=tuple(known[name] for name in every[len(wanted) :]),
        channels=channels,
        categories=categories or {},
        plan=compile_plan((known[name] for name in every), columns, channels),
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
        SettingsError: the histories have other channels than the features were prepared for.
    """
    if features.channels != histories.settings.channel_names:
        raise SettingsError(
            f"histories must have the channels that the features were prepared for, {', '.join(features.channels)}, "
            f"got {', '.join(histories.settings.channel_names)}; name the same ones in the same order"
        )
    every = (*features.features, *features.inputs)
    out = np.empty((len(account), len(every)), dtype=np.float32)
    tables = (
        histories.contacts,
        histories.payments,
        histories.charges,
        histories.promises,
        histories.restrictions,
    )
    kernel.fill(out, account, as_of, facts(histories), *tables, features.plan)
    column_of = {feature.name: column for column, feature in enumerate(every)}
    dated = any(isinstance(feature.measure, Calendar) for feature in every)
    calendar = _calendar(histories, account, as_of) if dated else {}
    for column, feature in enumerate(every):
        measure = feature.measure
        if isinstance(measure, Attribute):
            out[:, column] = histories.accounts.numeric[account, histories.settings.numeric.index(measure.column)]
        elif isinstance(measure, Category):
            known = features.categories.get(measure.column, ())
            out[:, column] = _positions(category_values(histories, measure.column)[account], known)
        elif isinstance(measure, Calendar):
            out[:, column] = calendar[measure.part]
    for column, feature in enumerate(every):
        if isinstance(feature.measure, Derived):
            inputs = (np.ascontiguousarray(out[:, column_of[name]]) for name in feature.measure.inputs)
            out[:, column] = feature.measure.function(*inputs)
    return np.ascontiguousarray(out[:, : len(features.features)])


def standing(histories: Histories, account: Rows, as_of: Instants) -> tuple[Money, npt.NDArray[np.bool_]]:
    """The balance as of each moment, `(n_moments,)` money, and whether the account is live then."""
    balance, live = kernel.standing(
        account, as_of, facts(histories), histories.payments, histories.charges, histories.restrictions,
        RESTRICTIONS.index("closed"),
    )  # fmt: skip
    return balance, live


def category_values(histories: Histories, column: str) -> npt.NDArray[np.object_]:
    """The values of a categorical column, `(n_accounts,)`: `segment`, `portfolio` or a categorical attribute."""
    if column in ("segment", "portfolio"):
        return histories.accounts.segment if column == "segment" else histories.accounts.portfolio
    return histories.accounts.categorical[:, histories.settings.categorical.index(column)]


def known_categories(histories: Histories, placed_before: int = FOREVER) -> dict[str, tuple[str, ...]]:
    """The values, sorted, that each categorical column has in the accounts placed before an instant."""
    placed = histories.accounts.placed_at < placed_before
    measures = (feature.measure for feature in catalogue(histories.settings))
    columns = [measure.column for measure in measures if isinstance(measure, Category)]
    return {
        column: tuple(sorted({str(value) for value in category_values(histories, column)[placed] if value is not None}))
        for column in columns
    }


def facts(histories: Histories) -> kernel.AccountFacts:
    """The numbers of the accounts that the kernel reads."""
    return kernel.AccountFacts(*(getattr(histories.accounts, name) for name in kernel.AccountFacts._fields))


def _with_inputs(wanted: tuple[str, ...], known: Mapping[str, Feature]) -> tuple[str, ...]:
    """The wanted names, then the inputs that they still lack; an input must not itself be derived."""
    measures = [known[name].measure for name in wanted]
    inputs = (name for measure in measures if isinstance(measure, Derived) for name in measure.inputs)
    return tuple(dict.fromkeys((*wanted, *inputs)))


def _positions(values: npt.NDArray[np.object_], known: tuple[str, ...]) -> Column:
    place = pd.Index(known, dtype=object).get_indexer(pd.Index(values, dtype=object))
    return np.where(place < 0, np.float32(np.nan), place.astype(np.float32))


def _calendar(histories: Histories, account: Rows, as_of: Instants) -> dict[str, npt.NDArray[np.int64]]:
    """The parts of each moment's debtor-local date, `(n_moments,)` each."""
    local = (as_of + utc_offset(as_of, histories.accounts.timezone[account])).astype("datetime64[us]")
    days, months = local.astype("datetime64[D]"), local.astype("datetime64[M]")
    return {
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        # 1970-01-01 was a Thursday.
        "weekday": (days.astype(np.int64) + 3) % 7,
    }
