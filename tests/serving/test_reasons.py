"""Reasons: true to the contributions, one for each topic, and good to read."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from features.catalog import catalogue
from features.catalog.grammar import Derived, Feature, Quantity, Total
from features.compute import feature_matrix
from features.histories import Histories
from features.kernel import Ratio
from serving.reasons import (
    NAMED,
    TOPIC_OF_QUANTITY,
    TOPICS_SHOWN,
    _told,
    explain,
    rate_worded,
    topic_of,
    topics_of,
    worded,
)
from serving.scoring import Scorer, prepare_scorer
from tests.serving.small import AS_OF, SETTINGS
from training.bundle import P_PAY

FEATURES = catalogue(SETTINGS)
BY_NAME = {feature.name: feature for feature in FEATURES}
#: What the kernel works out that may be below zero.
SIGNED_QUANTITIES = (
    "days_past_due", "days_to_next_promise", "balance_change_30d", "balance_change_90d", "paid_since_placed",
    "charged_since_placed", "last_promise_days_late", "promise_days_late", "most_promise_days_late",
)  # fmt: skip
CATEGORIES = {"segment": ("card", "loan"), "portfolio": ("east", "west"), "employment": ("employed", "none")}


def contributions(scorer: Scorer, histories: Histories, rows: np.ndarray) -> np.ndarray:
    matrix = feature_matrix(histories, rows, np.full(len(rows), AS_OF), scorer.features)
    found: np.ndarray = scorer.bundle.models[P_PAY].predict(matrix, pred_contrib=True)
    return found


def test_every_reason_is_of_a_topic_of_its_own_and_has_its_sign(scorer: Scorer, histories: Histories) -> None:
    rows = np.arange(40)
    share = contributions(scorer, histories, rows)
    names = scorer.features.names
    for row, text in enumerate(explain(scorer, histories, rows, AS_OF)):
        reasons = text.split("; ")
        assert 1 <= len(reasons) <= TOPICS_SHOWN
        weights = {topic.name: sum(share[row, column] for column in topic.columns) for topic in topics_of(scorer)}
        strongest = sorted(weights.values(), key=abs, reverse=True)[: len(reasons)]
        assert [reason[0] for reason in reasons] == ["+" if weight > 0 else "-" for weight in strongest]
    assert set(names) >= {"calls", "payments"}


def test_the_contributions_add_up_to_the_raw_score(scorer: Scorer, histories: Histories) -> None:
    # What makes it right to weigh a topic by the sum of its members.
    rows = np.arange(20)
    matrix = feature_matrix(histories, rows, np.full(20, AS_OF), scorer.features)
    raw = scorer.bundle.models[P_PAY].predict(matrix, raw_score=True)
    assert np.allclose(contributions(scorer, histories, rows).sum(axis=1), raw, atol=1e-9)


def test_every_feature_but_the_date_has_a_topic(scorer: Scorer) -> None:
    topics = {feature.name: topic_of(feature, BY_NAME) for feature in FEATURES}
    assert all(topics.values())
    told = {column for topic in topics_of(scorer) for column in topic.columns}
    untold = {name for column, name in enumerate(scorer.features.names) if column not in told}
    assert untold == {feature.name for feature in FEATURES if feature.name.startswith("calendar_")}


def may_be_below_zero(feature: Feature) -> bool:
    """Whether a value may be below zero: differences, net sums of money, and shares of these."""
    measure = feature.measure
    if isinstance(measure, Derived):
        return measure.ratio is Ratio.excess or (
            measure.ratio is Ratio.share and may_be_below_zero(BY_NAME[measure.inputs[0]])
        )
    if isinstance(measure, Total):
        return measure.events.table in ("payments", "charges") and not measure.events.conditions
    return isinstance(measure, Quantity) and measure.name in SIGNED_QUANTITIES


def test_what_may_be_below_zero_has_words_for_it() -> None:
    # "Balance up by -300" says the opposite of what it means to whoever reads on.
    signed = {feature.name for feature in FEATURES if may_be_below_zero(feature)}
    assert signed == {feature.name for feature in FEATURES if feature.below}


def test_the_portfolios_own_words_are_left_as_they_are() -> None:
    assert worded(BY_NAME["segment"], 0.0, {"segment": ("1 days late~",)}) == "segment 1 days late~"


def test_a_number_too_large_for_a_table_is_told() -> None:
    assert worded(BY_NAME["attribute_utilisation"], np.inf, CATEGORIES) == "utilisation inf"
    assert worded(BY_NAME["attribute_utilisation"], 1e30, CATEGORIES) == "utilisation 1e+30"
    assert worded(BY_NAME["days_past_due"], np.inf, CATEGORIES) == "inf days past due"
    assert worded(BY_NAME["balance"], np.inf, CATEGORIES) == "inf owed"


def test_a_rate_of_nothing_known_is_no_reason() -> None:
    # Features that come with a request may be missing.
    assert [rate_worded(BY_NAME["kept_promise_rate"], *counts) for counts in ((0, 0), (np.nan, np.nan))] == ["", ""]


def test_a_rate_of_what_never_occurred_is_no_reason(scorer: Scorer) -> None:
    # Its inputs are left out of a model; the prior that it is shrunk to is no fact of the account.
    manifest = scorer.bundle.manifest
    names = tuple(name for name in manifest.features if name != "calls_promise")
    bundle = replace(scorer.bundle, manifest=replace(manifest, features=names))
    without = prepare_scorer(bundle)
    values = np.full(len(names), 0.25, dtype=np.float32)
    assert _told(without, names.index("call_promise_rate"), values) == ""
    assert _told(scorer, manifest.features.index("call_promise_rate"), np.ones(len(manifest.features), np.float32))


def test_the_topics_of_quantities_are_those_that_the_catalogue_has() -> None:
    quantities = {feature.measure.name for feature in FEATURES if isinstance(feature.measure, Quantity)}
    assert set(TOPIC_OF_QUANTITY) == quantities


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_sentence_is_good_to_read(feature: Feature) -> None:
    if feature.is_category:
        values = [0.0, 1.0]
    elif feature.unit in ("share", "flag"):
        values = [0.0, 0.004, 0.5, 1.0]
    else:
        values = [0.0, 1.0, 2.0, 5.0] if feature.name in NAMED else [0.0, 0.3, 1.0, 2.6, 1500.0]
    values += [-0.3, -2.0] if feature.below else []
    for value in [*values, np.nan]:
        text = worded(feature, value, CATEGORIES)
        assert "{" not in text
        assert "nan" not in text
        assert "~" not in text
        assert not re.search(r"\b1 (\w+ )?\w+[^s\W]s\b(?! (is|was))", text.replace("address", "")), text
        assert not re.search(r"\b0 days|^0 |^-", text), text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("payments_30d", 0.0, "no payments in the last 30 days"),
        ("legal_letters", 1.0, "1 legal letter to the debtor so far"),
        ("days_since_last_payment", 0.4, "latest payment less than a day ago"),
        ("days_since_last_payment", 1.9, "latest payment 1 day ago"),
        ("days_since_last_payment", np.nan, "no payment so far"),
        ("days_past_due", -3.5, "due in 3 days"),
        ("paid_90d", 0.0, "nothing paid in the last 90 days"),
        ("paid_90d", 12345.6, "12,346 paid in the last 90 days"),
        ("last_promise_kept", 0.0, "latest settled promise kept: no"),
        ("stage", 4.0, "stage: front-end"),
        ("segment", 1.0, "segment loan"),
        ("segment", np.nan, "segment not known"),
        ("payment_overdue_days", -12.0, "12 days earlier than the usual gap between payments"),
        ("contact_intensity_change", -1.6, "2 attempts fewer in the last week than the pace of the month"),
        ("active_bankruptcy", 1.0, "1 bankruptcy"),
        ("last_payment_share_of_balance", 0.004, "latest payment was less than 1% of the balance"),
    ],
)
def test_sentences(name: str, value: float, expected: str) -> None:
    assert worded(BY_NAME[name], value, CATEGORIES) == expected


def test_a_rate_is_told_by_what_it_was_made_of(scorer: Scorer, histories: Histories) -> None:
    texts = " ".join(explain(scorer, histories, np.arange(100), AS_OF))
    assert re.search(r"\d+ of \d+ calls reach the right party", texts)
    assert "about" not in texts


def test_progress_is_told_of_every_row(scorer: Scorer, histories: Histories) -> None:
    told: list[int] = []
    explain(scorer, histories, np.arange(300), AS_OF, on_explained=told.append)
    assert sum(told) == 300
