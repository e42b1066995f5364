"""The catalogue: every feature there can be for a portfolio, one module per family, one entry per feature."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from features.catalog import ageing, attributes, balance, contacts, groups, payments, promises, restrictions
from features.catalog.grammar import Feature
from features.errors import SettingsError
from features.settings import PortfolioSettings

#: What a feature table has beside the features.
TABLE_COLUMNS = ("account_id", "as_of")


@lru_cache(maxsize=8)  # it takes a tenth of a second, and is asked for wherever features are
def catalogue(settings: PortfolioSettings) -> tuple[Feature, ...]:
    """Every feature of a portfolio with these channels and attributes; names are unique.

    Raises:
        SettingsError: a channel's name makes the name of a feature that there is already.
    """
    channels = settings.channel_names
    features = (
        *contacts.features(channels),
        *promises.features(),
        *payments.features(),
        *balance.features(),
        *ageing.features(),
        *restrictions.features(),
        *attributes.features(settings.numeric, settings.categorical),
        *groups.features(),
    )
    names = (*TABLE_COLUMNS, *(feature.name for feature in features))
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise SettingsError(
            f"every feature needs a name of its own, got {', '.join(twice)} twice; rename the channel that is called so"
        )
    return features
