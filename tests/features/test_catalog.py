"""Every entry of the catalogue: what a newcomer's feature must have, and names that must mean something."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
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
    GroupRate,
    Quantity,
    Restricted,
    Total,
)
from features.compute import feature_matrix, prepare
from features.contract import OUTCOMES, RESTRICTIONS
from features.errors import SettingsError
from features.kernel import Ratio, Scanned
from features.overview import MEASURES
from features.plan import kinds_of, matches
from features.settings import DEFAULT_CHANNELS, ChannelSettings, PortfolioSettings
from tests.features import oracle
from tests.features.seen import RawPortfolio, seen
from tests.features.strategies import SETTINGS, instant, packed

PLAIN, FURNISHED = SETTINGS
FEATURES = catalogue(FURNISHED)
BY_NAME = {feature.name: feature for feature in FEATURES}
#: How the names of a channel's counts go on: all its attempts, and each thing that may come of one.
ANSWERS = ("", *(f"_{outcome}" for outcome in OUTCOMES))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_names_are_unique_and_many(settings: PortfolioSettings) -> None:
    names = [feature.name for feature in catalogue(settings)]
    assert len(set(names)) == len(names) >= 250


def test_a_feature_is_named_and_documented() -> None:
    for feature in FEATURES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name), feature.name
        assert feature.unit in UNITS, feature.name
        assert feature.family, feature.name
        assert feature.reads, feature.name
        assert re.fullmatch(r"[A-Z0-9].*[^.]\.", feature.sentence), feature.name


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_a_label_is_short_and_the_features_own(settings: PortfolioSettings) -> None:
    labels = {feature.name: feature.label for feature in catalogue(settings)}
    assert [label for label, times in Counter(labels.values()).items() if times > 1] == []
    for name, label in labels.items():
        assert 3 <= len(label) <= 45, name
        # Neither a gap for a value, nor a sentence: what is counted, summed, dated or shared.
        assert not re.search(r"\{|…|_|\bvalue\b|\.$", label.replace(name.removeprefix("attribute_"), "")), name


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("payments_90d", "payments, last 90 days"),
        ("payments", "payments, all time"),
        ("days_since_last_payment", "days since the latest payment"),
        ("days_since_last_dispute", "days since the latest dispute"),
        ("calls_no_answer_30d", "calls, no answer, last 30 days"),
        ("call_no_answer_rate", "share of calls without an answer"),
        ("paid_share_of_placed_balance", "share of placed balance paid since"),
        ("active_fraud", "active fraud notes"),
        ("segment", "segment"),
    ],
)
def test_a_label_follows_from_the_reason_or_says_it_shorter(name: str, label: str) -> None:
    assert BY_NAME[name].label == label


def test_a_reason_says_the_value_once() -> None:
    for feature in FEATURES:
        said = feature.reason.format(value=UNITS[feature.unit].format(0.25))
        assert feature.reason.count("{value}") == 1, feature.name
        assert not set("{}") & set(said + feature.absent), feature.name
        assert not said.endswith("."), feature.name


def test_a_name_ends_with_its_window() -> None:
    for feature in FEATURES:
        named = re.search(r"_(\d+)d$", feature.name)
        days = int(named[1]) if named else None
        if isinstance(feature.measure, Count | Total | GroupRate):
            assert feature.window_days == days, feature.name
            assert days in (None, *WINDOWS), feature.name
        elif isinstance(feature.measure, Derived) and days is not None:
            assert any(name.endswith(f"_{days}d") for name in feature.measure.inputs), feature.name


def test_a_selection_of_events_has_dimensions_and_values_that_exist() -> None:
    # A misspelt value would select nothing, and the feature would be zero for ever.
    kinds = kinds_of(FURNISHED.channel_names)
    there_are = {
        table: {dimension: {kind[dimension] for kind in every} for dimension in every[0]}
        for table, every in kinds.items()
    }
    selections = {
        feature.measure.events for feature in FEATURES if isinstance(feature.measure, Count | Total | DaysSince)
    }
    assert {events.table for events in selections} == set(there_are)
    for events in selections:
        for dimension, values in events.conditions:
            assert set(values) <= there_are[events.table][dimension]
            assert len(set(values)) == len(values)
        assert any(matches(kind, events) for kind in kinds[events.table])


def test_money_is_summed_of_what_has_money() -> None:
    tables = {feature.measure.events.table for feature in FEATURES if isinstance(feature.measure, Total)}
    assert tables == {"contacts", "payments", "charges", "promises", "settlements"}


def test_a_derived_feature_is_made_of_numbers_that_are_not_derived() -> None:
    for measure in (feature.measure for feature in FEATURES):
        if isinstance(measure, Derived):
            inputs = [BY_NAME[name] for name in measure.inputs]
            assert not [one.name for one in inputs if isinstance(one.measure, Derived | Category)]
            assert len(inputs) == (1 if measure.ratio in (Ratio.bucket, Ratio.stage) else 2), measure
            assert (0 < measure.weight <= 1) == (measure.ratio in (Ratio.shrunk_rate, Ratio.excess)), measure


def test_restrictions_are_of_a_kind_that_exists() -> None:
    restricted = [feature.measure for feature in FEATURES if isinstance(feature.measure, Restricted)]
    assert {measure.kind for measure in restricted} == set(RESTRICTIONS) - {"closed"}
    assert {measure.what for measure in restricted} == {"active", "ever", "since"}


def test_the_accounts_like_it_are_grouped_as_in_the_overview() -> None:
    rates = [feature.measure for feature in FEATURES if isinstance(feature.measure, GroupRate)]
    assert {rate.group for rate in rates} == {"segment", "vintage"}
    assert {rate.part for rate in rates} | {rate.whole for rate in rates} == set(MEASURES)
    assert [feature.name for feature in FEATURES if isinstance(feature.measure, GroupRate)] == [
        feature.name for feature in FEATURES if feature.family == "portfolio"
    ]


def test_every_channel_has_every_outcome_in_every_window() -> None:
    # One may be all that a portfolio's contacts differ in; those that never came are left out when a model is trained.
    counted = {
        (*(values for _, values in feature.measure.events.conditions), feature.measure.days)
        for feature in FEATURES
        if isinstance(feature.measure, Count)
        and {name for name, _ in feature.measure.events.conditions} == {"channel", "outcome", "direction"}
    }
    talks = ("right_party", "promise", "refusal", "dispute")
    assert counted == {
        ((channel,), talks if outcome == "right_party" else (outcome,), ("outbound",), days)
        for channel in FURNISHED.channel_names
        for outcome in OUTCOMES
        for days in (7, 30, 90, 180, None)
    }


def test_what_the_kernel_works_out_is_used_and_what_is_used_is_worked_out() -> None:
    used = [feature.measure.name for feature in FEATURES if isinstance(feature.measure, Quantity)]
    assert sorted(used) == sorted(quantity.name for quantity in Scanned) == sorted(oracle.QUANTITIES)


def test_nothing_is_measured_twice() -> None:
    times = Counter(feature.measure for feature in FEATURES)
    assert not [feature.name for feature in FEATURES if times[feature.measure] > 1]


def test_a_feature_that_may_be_missing_says_what_that_means() -> None:
    # A collector would read an empty reason. An account that owes nothing, and of which nothing is known, lacks most;
    # one that is yet to be placed lacks the rest.
    as_of = datetime(2025, 3, 1, tzinfo=UTC)
    account = {"account_id": "a", "opened_at": as_of - timedelta(days=60), "balance": Decimal(0), "segment": "s"}
    missing = {
        name
        for placed_at in (None, as_of + timedelta(days=1))
        for name, value in oracle.features_of(
            seen(RawPortfolio(FURNISHED, {"accounts": [{**account, "placed_at": placed_at}]}), "a", as_of), FEATURES, {}
        ).items()
        if np.isnan(value)
    }
    assert missing == {feature.name for feature in FEATURES if feature.absent}


def test_audit_attributes_are_no_features() -> None:
    # They may be supplied to measure fairness, and must never be learnt from.
    columns = {feature.measure.column for feature in FEATURES if isinstance(feature.measure, Attribute | Category)}
    assert columns == {"segment", "portfolio", "utilisation", "employment"}
    assert FURNISHED.audit == ("gender",)
    assert not [feature.name for feature in FEATURES if "gender" in f"{feature}"]


def test_a_custom_channel_has_the_features_of_a_channel() -> None:
    added = {feature.name for feature in FEATURES} - {feature.name for feature in catalogue(PLAIN)}
    assert added == {
        *(f"web_chat{answer}{days}" for answer in ANSWERS for days in ("", "_7d", "_30d", "_90d", "_180d")),
        *("days_since_last_web_chat", "attribute_utilisation", "attribute_employment"),
    }


@pytest.mark.parametrize("name", ["calls", "attempts", "payments", "balance", "segment", "bucket"])
def test_a_channel_named_like_a_feature_is_refused(name: str) -> None:
    # One of the two would silently take the other's place.
    settings = PortfolioSettings("east", channels=(*DEFAULT_CHANNELS, ChannelSettings(name)))
    with pytest.raises(SettingsError, match=f"needs a name of its own, got .*{name}.* rename the channel"):
        catalogue(settings)


@pytest.mark.parametrize(
    ("days", "bucket", "stage"),
    [
        (None, "nan", "nan"),
        (-0.5, "0", "0"),
        (0, "0", "0"),
        (0.5, "1", "1"),
        (5, "1", "1"),
        (5.5, "1", "2"),
        (18, "1", "2"),
        (28, "1", "3"),
        (28.5, "1", "4"),
        (30, "1", "4"),
        (30.5, "2", "4"),
        (60, "2", "4"),
        (60.5, "3", "5"),
        (120, "4", "5"),
        (120.5, "5", "6"),
        (360, "12", "6"),
        (360.5, "13", "6"),
        (5_000, "13", "6"),
    ],
)
def test_a_bucket_and_a_stage_end_with_their_last_day(days: float | None, bucket: str, stage: str) -> None:
    # Printed, so that what is not due is 0 and not -0.
    as_of = datetime(2025, 3, 1, tzinfo=UTC)
    account = {"account_id": "a", "opened_at": as_of, "balance": Decimal(0), "segment": "s"}
    account["due_on"] = None if days is None else as_of - timedelta(days=days)
    histories = packed(RawPortfolio(PLAIN, {"accounts": [account]}))
    features = prepare(PLAIN, ("bucket", "stage"))
    found = feature_matrix(histories, np.array([0]), np.array([instant(as_of)]), features)
    assert [f"{value:.0f}" for value in found[0]] == [bucket, stage]


def test_an_attribute_may_have_any_name() -> None:
    settings = PortfolioSettings("east", numeric=("used {0}",), categorical=("50 % {",))
    features = {feature.name: feature for feature in catalogue(settings)}
    assert features["attribute_used {0}"].reason.format(value="1.50") == "used {0} 1.50"
    assert features["attribute_50 % {"].reason.format(value="yes") == "50 % { yes"
    assert features["attribute_50 % {"].label.format() == "50 % {"
