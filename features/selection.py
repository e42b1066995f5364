"""Which features of the catalogue a portfolio has something to say on."""

from __future__ import annotations

from features.catalog import catalogue
from features.catalog.grammar import Count, Feature, GroupRate, Where
from features.histories import Histories, contact_kinds
from features.overview import Overview
from features.plan import matches
from features.settings import PortfolioSettings


def available(histories: Histories, known_before: int) -> tuple[str, ...]:
    """The names of the features that histories can have: what has occurred, and of some accounts only their own."""
    if histories.overview is not None:
        return occurring(histories.settings, histories.overview, known_before)
    return own_history(histories.settings, tuple(feature.name for feature in catalogue(histories.settings)))


def occurring(settings: PortfolioSettings, overview: Overview, known_before: int) -> tuple[str, ...]:
    """The names of the catalogue's features, without the counts of a channel's outcome that never occurred.

    Args:
        settings: say which channels and attributes there are.
        overview: what the portfolio shows as a whole.
        known_before: an instant; what became known at it or later has not occurred yet.
    """
    kinds = contact_kinds(settings.channel_names)
    seen = [kind for kind, first in zip(kinds, overview.first_contact.tolist(), strict=True) if first < known_before]
    return tuple(feature.name for feature in catalogue(settings) if _may_vary(feature, seen))


def own_history(settings: PortfolioSettings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these features that an account's own rows decide: no other account has a part in them."""
    compared = {feature.name for feature in catalogue(settings) if isinstance(feature.measure, GroupRate)}
    return tuple(name for name in names if name not in compared)


def _may_vary(feature: Feature, seen: list[dict[str, str]]) -> bool:
    if not isinstance(feature.measure, Count) or not _is_outcome_of_channel(feature.measure.events):
        return True
    return any(matches(kind, feature.measure.events) for kind in seen)


def _is_outcome_of_channel(events: Where) -> bool:
    return {dimension for dimension, _ in events.conditions} == {"channel", "outcome", "direction"}
