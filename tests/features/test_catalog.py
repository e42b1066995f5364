"""Every entry of the catalogue: what a newcomer's feature must have, and names that must mean something."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from features.catalog import catalogue
from features.catalog.grammar import (
    UNITS,
    WINDOWS,
    Attribute,
    Category,
    Count,
    DaysSince,
    Derived,
    Feature,
    Quantity,
    Restricted,
    Total,
)
from features.contract import RESTRICTIONS
from features.errors import SettingsError
from features.histories import amount_kinds, contact_kinds
from features.kernel import Scanned
from features.settings import DEFAULT_CHANNELS, ChannelSettings, PortfolioSettings
from tests.features import oracle
from tests.features.seen import RawPortfolio, seen
from tests.features.strategies import SETTINGS

PLAIN, FURNISHED = SETTINGS
FEATURES = catalogue(FURNISHED)
BY_NAME = {feature.name: feature for feature in FEATURES}
over_the_catalogue = pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_names_are_unique_and_many(settings: PortfolioSettings) -> None:
    names = [feature.name for feature in catalogue(settings)]
    assert len(set(names)) == len(names) >= 100


@over_the_catalogue
def test_a_feature_is_named_and_documented(feature: Feature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
    assert feature.unit in UNITS
    assert feature.family
    assert re.fullmatch(r"[A-Z0-9].*[^.]\.", feature.sentence)


@over_the_catalogue
def test_a_reason_says_the_value_once(feature: Feature) -> None:
    said = feature.reason.format(value=UNITS[feature.unit].format(0.25))
    assert feature.reason.count("{value}") == 1
    assert not set("{}") & set(said + feature.absent)
    assert not said.endswith(".")


@over_the_catalogue
def test_a_name_ends_with_its_window(feature: Feature) -> None:
    named = re.search(r"_(\d+)d$", feature.name)
    days = int(named[1]) if named else None
    if isinstance(feature.measure, Count | Total):
        assert feature.window_days == days
        assert days in (None, *WINDOWS)
    elif isinstance(feature.measure, Derived) and days is not None:
        assert any(name.endswith(f"_{days}d") for name in feature.measure.inputs)


@over_the_catalogue
def test_a_selection_of_events_has_dimensions_and_values_that_exist(feature: Feature) -> None:
    # A misspelt value would select nothing, and the feature would be zero for ever.
    if not isinstance(feature.measure, Count | Total | DaysSince):
        return
    events = feature.measure.events
    kinds = contact_kinds(FURNISHED.channel_names) if events.table == "contacts" else amount_kinds(events.table)
    for dimension, values in events.conditions:
        assert set(values) <= {kind[dimension] for kind in kinds}
        assert len(set(values)) == len(values)


@over_the_catalogue
def test_a_derived_feature_is_made_of_features_that_are_not_derived(feature: Feature) -> None:
    if isinstance(feature.measure, Derived):
        inputs = [BY_NAME[name] for name in feature.measure.inputs]
        assert not [one.name for one in inputs if isinstance(one.measure, Derived | Category)]
        columns = [np.array([1, 2], dtype=np.float32) for _ in inputs]
        found = feature.measure.function(*columns)
        assert found.shape == (2,)
        assert found.dtype == np.float32


@over_the_catalogue
def test_restrictions_are_of_a_kind_that_exists(feature: Feature) -> None:
    if isinstance(feature.measure, Restricted):
        assert feature.measure.kind in RESTRICTIONS
        assert feature.measure.what in ("active", "ever", "since")


def test_what_the_kernel_works_out_is_used_and_what_is_used_is_worked_out() -> None:
    used = [feature.measure.name for feature in FEATURES if isinstance(feature.measure, Quantity)]
    assert sorted(used) == sorted(quantity.name for quantity in Scanned) == sorted(oracle.QUANTITIES)


def test_nothing_is_measured_twice() -> None:
    measures = [feature.measure for feature in FEATURES]
    twice = [feature.name for feature in FEATURES if measures.count(feature.measure) > 1]
    assert not twice


def test_a_feature_that_may_be_missing_says_what_that_means() -> None:
    # A collector would read an empty reason. An account that owes nothing, and of which nothing is known, lacks most.
    account = {"account_id": "a", "opened_at": datetime(2025, 1, 1, tzinfo=UTC), "balance": Decimal(0), "segment": "s"}
    now = seen(RawPortfolio(FURNISHED, {"accounts": [account]}), "a", datetime(2025, 3, 1, tzinfo=UTC))
    found = oracle.features_of(now, FEATURES, {})
    assert not [name for name, value in found.items() if np.isnan(value) and not BY_NAME[name].absent]
    assert not [name for name, value in found.items() if not np.isnan(value) and BY_NAME[name].absent]


def test_audit_attributes_are_no_features() -> None:
    # They may be supplied to measure fairness, and must never be learnt from.
    columns = {feature.measure.column for feature in FEATURES if isinstance(feature.measure, Attribute | Category)}
    assert columns == {"segment", "portfolio", "utilisation", "employment"}
    assert FURNISHED.audit == ("gender",)
    assert not [feature.name for feature in FEATURES if "gender" in f"{feature}"]


def test_a_custom_channel_has_the_features_of_a_channel() -> None:
    added = {feature.name for feature in FEATURES} - {feature.name for feature in catalogue(PLAIN)}
    assert added == {
        *("web_chat", "web_chat_7d", "web_chat_30d", "web_chat_90d"),
        *("web_chat_delivered", "days_since_last_web_chat", "attribute_utilisation", "attribute_employment"),
    }


@pytest.mark.parametrize("name", ["calls", "attempts", "payments", "balance", "segment", "bucket"])
def test_a_channel_named_like_a_feature_is_refused(name: str) -> None:
    # One of the two would silently take the other's place.
    settings = PortfolioSettings("east", channels=(*DEFAULT_CHANNELS, ChannelSettings(name)))
    with pytest.raises(SettingsError, match=f"needs a name of its own, got .*{name}.* rename the channel"):
        catalogue(settings)


def test_a_bucket_that_is_not_due_is_printed_as_zero() -> None:
    measure = BY_NAME["bucket"].measure
    assert isinstance(measure, Derived)
    days_past_due = np.array([-0.5, 0, 0.5, 30, 30.5, np.nan], dtype=np.float32)
    assert [f"{value:.0f}" for value in measure.function(days_past_due)] == ["0", "0", "1", "1", "2", "nan"]


def test_an_attribute_may_have_any_name() -> None:
    settings = PortfolioSettings("east", numeric=("used {0}",), categorical=("50 % {",))
    features = {feature.name: feature for feature in catalogue(settings)}
    assert features["attribute_used {0}"].reason.format(value="1.50") == "used {0} 1.50"
    assert features["attribute_50 % {"].reason.format(value="yes") == "50 % { yes"
