"""The catalogue: every feature there can be for a portfolio, one module per family, one entry per feature."""

from __future__ import annotations

from features.catalog import ageing, attributes, balance, contacts, payments, promises, restrictions
from features.catalog.grammar import Feature
from features.settings import PortfolioSettings


def catalogue(settings: PortfolioSettings) -> tuple[Feature, ...]:
    """Every feature of a portfolio with these channels and attributes; names are unique."""
    channels = settings.channel_names
    return (
        *contacts.features(channels),
        *promises.features(),
        *payments.features(),
        *balance.features(),
        *ageing.features(),
        *restrictions.features(),
        *attributes.features(settings.numeric, settings.categorical),
    )
