"""Reasons: what of an account's history speaks for or against a payment, as sentences for a collector.

They are the exact contributions of the features to the raw score of `p_pay` (TreeSHAP, Lundberg et al. 2020, as
LightGBM computes it). Features that say nearly the same share a topic: contributions add up, so a topic is weighed by
their sum and told by its strongest member, and nobody reads the same thing thrice.

They cost some hundred times as much as a score: they are for one account, a request, or the head of a queue.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from features.catalog.grammar import (
    UNITS,
    Attribute,
    Category,
    Count,
    DaysSince,
    Derived,
    Feature,
    GroupRate,
    Phrase,
    Quantity,
    Restricted,
    Total,
    Where,
    phrase,
)
from features.compute import FeatureSet
from features.histories import Histories
from features.kernel import Ratio
from features.units import Rows
from serving.languages.language import ENGLISH, Language
from serving.scoring import Scorer, features_of
from training.bundle import P_PAY, Floats, Matrix

#: How many topics a row's reasons name.
TOPICS_SHOWN = 3
#: Rows are explained in blocks of so many, for progress.
BLOCK = 128
#: The topic of the date, which is the same for all accounts and no reason for any.
DATE = "date"
#: The topics of what the kernel works out by hand.
TOPIC_OF_QUANTITY: Mapping[str, str] = {
    "no_answer_streak": "effort",
    "attempts_since_right_party": "effort",
    "days_since_first_contact": "effort",
    "promises_open": "promises",
    "open_promise_amount": "promises",
    "days_to_next_promise": "promises",
    "overdue_promises": "promises broken",
    "overdue_promise_amount": "promises broken",
    "overdue_promise_days": "promises broken",
    "last_promise_kept": "promises kept",
    "last_promise_amount": "promises",
    "broken_promise_paid_share": "promises broken",
    "broken_promise_streak": "promises broken",
    "days_to_keep_promise": "promises kept",
    "promises_paid_within_3d": "promises kept",
    "last_promise_days_late": "promises kept",
    "promise_days_late": "promises kept",
    "most_promise_days_late": "promises kept",
    "days_since_first_payment": "payments",
    "last_payment_amount": "payments",
    "largest_payment": "payments",
    "payment_gap_days": "payments",
    "longest_payment_gap_days": "payments",
    "token_payments": "payments",
    "usual_payday": "payday",
    "payday_share": "payday",
    "days_to_payday": "payday",
    "balance": "balance",
    "placed_balance": "balance",
    "balance_change_30d": "balance",
    "balance_change_90d": "balance",
    "paid_since_placed": "payments",
    "charged_since_placed": "charges",
    "cures": "cures",
    "days_since_last_cure": "cures",
    "age_days": "age",
    "days_since_placed": "age",
    "days_past_due": "age",
    "commission_rate": "commission",
    "restrictions_active": "restrictions",
    "calendar_month": DATE,
    "calendar_day": DATE,
    "calendar_weekday": DATE,
}
#: Outcomes whose counts say nearly what the count of attempts says: which of them a model goes by changes from one
#: training to the next, and what they add up to hardly does (`make bench-reasons`). Another outcome is its own topic.
TOPIC_OF_OUTCOME: Mapping[str, str] = {
    "promise": "promises",
    "sent": "effort",
    "delivered": "effort",
    "no_answer": "effort",
    "right_party": "effort",
}
#: Numbers that people know by a name.
NAMED = {
    "stage": ("not due", "early", "mid", "late", "front-end", "mid-end", "back-end"),
}
_PLURALS = (
    "attempts|calls|visits|letters|e-mails|contacts|talks|promises|payments|charges|disputes|notes|spaces|bans|"
    "channels|points|kinds"
)
#: How a filled-in sentence of a language is made to read well, in this order.
_POLISH: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        (r"^0 days past due", "due today"),
        (r"^owed nothing 0 times", "always owed something"),
        (r"^owed nothing 1 times", "owed nothing once"),
        (r"^0 attempts (?:more|fewer) in the last (\w+) than", r"attempts of the last \1 at"),
        (r"\b0 days\b", "less than a day"),
        (r"\b1 days\b", "1 day"),
        (r"^0 ", "no "),
        (r"^1 bankruptcies", "1 bankruptcy"),
        (rf"^1 ((?:\w+ ){{0,2}}?)({_PLURALS})\b", r"1 \1\2~"),
        (r"s~", ""),
    ),
    "zh-Hans": (
        (r"^逾期0天", "今天到期"),
        (r"^连续0次无人应答", "没有连续无人应答"),
        (r"(?<![\d,.])0天", "不到1天"),
    ),
}


@dataclass(frozen=True)
class Topic:
    """A topic with the columns of the features that speak of it."""

    name: str
    columns: tuple[int, ...]


def explain(
    scorer: Scorer,
    histories: Histories,
    account_rows: Rows,
    as_of: int,
    threads: int = 1,
    on_explained: Callable[[int], None] | None = None,
    language: Language = ENGLISH,
) -> list[str]:
    """The reasons of the accounts at `account_rows`, `(n,)`, as of a moment, strongest first, in one line.

    Each begins with `+` where it speaks for a payment, with `-` where it speaks against one.
    """
    found: list[str] = []
    for begin in range(0, len(account_rows), BLOCK):
        rows = account_rows[begin : begin + BLOCK]
        found += reasons_of(scorer, features_of(scorer, histories, rows, as_of), threads, language)
        if on_explained is not None:
            on_explained(len(rows))
    return found


def reasons_of(scorer: Scorer, features: Matrix, threads: int = 1, language: Language = ENGLISH) -> list[str]:
    """The reasons of accounts with these features, `(n, n_features)` float32; as `explain` gives them."""
    share = contributions(scorer, features, threads)
    return [language.joined(line) for line in _lines(scorer, topics_of(scorer), features, share, language)]


def contributions(scorer: Scorer, features: Matrix, threads: int = 1) -> Floats:
    """What each feature adds to the raw score of `p_pay`, exactly, `(n, n_features + 1)`; the last is the base."""
    found = scorer.bundle.models[P_PAY].predict(features, pred_contrib=True, num_threads=threads)
    return np.ascontiguousarray(found, dtype=np.float64)


def topics_of(scorer: Scorer) -> tuple[Topic, ...]:
    """The topics of a bundle's features; see `topics_among`."""
    return topics_among(scorer.features)


def topics_among(of: FeatureSet) -> tuple[Topic, ...]:
    """The topics of some features, each with its columns; the date is none, being the same for all accounts."""
    features = of.features
    known = {feature.name: feature for feature in (*features, *of.inputs)}
    columns: dict[str, list[int]] = {}
    for column, feature in enumerate(features):
        topic = topic_of(feature, known)
        if topic != DATE:
            columns.setdefault(topic, []).append(column)
    return tuple(Topic(name, tuple(members)) for name, members in columns.items())


def topic_weights(topics: tuple[Topic, ...], share: Floats) -> Floats:
    """What each topic adds to the raw score of each row, `(n, n_topics)`, given what each feature does."""
    # Column by column: the order of the sum must not depend on how many rows there are.
    weight = np.zeros((len(share), len(topics)))
    for place, topic in enumerate(topics):
        for column in topic.columns:
            weight[:, place] += share[:, column]
    return weight


def topic_of(feature: Feature, known: Mapping[str, Feature]) -> str:
    """What a feature speaks of; a derived one speaks of what its first input does."""
    measure = feature.measure
    if isinstance(measure, Derived):
        return topic_of(known[measure.inputs[0]], known)
    if isinstance(measure, Quantity):
        return TOPIC_OF_QUANTITY[measure.name]
    if isinstance(measure, Restricted):
        return measure.kind
    if isinstance(measure, Attribute | Category):
        return feature.name
    if isinstance(measure, GroupRate):
        return measure.group
    return _topic_of_events(measure)


def _topic_of_events(measure: Count | Total | DaysSince) -> str:
    table, conditions = measure.events.table, _conditions(measure.events)
    if table == "payments":
        reversal = conditions.get("sign") == ("reversal",)
        return "reversals" if reversal else "payments"
    if table == "settlements":
        return "promises broken" if conditions.get("state") == ("broken",) else "promises kept"
    if table != "contacts":
        return table
    if "outcome" not in conditions:
        return "inbound contacts" if conditions.get("direction") == ("inbound",) else "effort"
    outcome = conditions["outcome"][0]
    return TOPIC_OF_OUTCOME.get(outcome, outcome)


def _conditions(events: Where) -> dict[str, tuple[str, ...]]:
    return dict(events.conditions)


def told_by_topic(
    scorer: Scorer, features: Matrix, share: Floats, language: Language = ENGLISH
) -> list[tuple[str, float, str]]:
    """Every topic that moves one account's score: its name, its weight and its sentence, the heaviest first.

    Args:
        scorer: what scored.
        features: `(1, n_features)` float32.
        share: `(1, n_features + 1)`, their contributions.
        language: that of the sentence.
    """
    topics = topics_of(scorer)
    weight = topic_weights(topics, share)[0]
    order = [place for place in np.argsort(-np.abs(weight), kind="stable") if weight[place]]
    told = [_sentence(scorer, topics[place], weight[place], features[0], share[0], language) for place in order]
    return [(topics[place].name, float(weight[place]), text) for place, text in zip(order, told, strict=True)]


def _lines(
    scorer: Scorer, topics: tuple[Topic, ...], matrix: Matrix, share: Floats, language: Language
) -> list[list[str]]:
    """The reasons of each row of a block: `share` is `(n, n_features + 1)` contributions, the last one the base."""
    weight = topic_weights(topics, share)
    order = np.argsort(-np.abs(weight), axis=1, kind="stable")
    lines = []
    for row in range(len(matrix)):
        told = (
            _sentence(scorer, topics[place], weight[row, place], matrix[row], share[row], language)
            for place in order[row]
        )
        lines.append([text for _, text in zip(range(TOPICS_SHOWN), filter(None, told), strict=False)])
    return lines


def _sentence(scorer: Scorer, topic: Topic, weight: float, values: Matrix, share: Floats, language: Language) -> str:
    """The topic told by the feature that adds most in its direction; blank where none can tell it."""
    sign = 1.0 if weight > 0 else -1.0
    members = sorted(topic.columns, key=lambda column: (-sign * share[column], column))
    for column in members:
        text = _told(scorer, column, values, language)
        if sign * share[column] > 0 and text:
            return f"{'+' if sign > 0 else '-'} {text}"
    return ""


def _told(scorer: Scorer, column: int, values: Matrix, language: Language = ENGLISH) -> str:
    """What the feature of a column says, given the values of a row; a shrunk rate is told by what it was made of."""
    names, feature = scorer.features.names, scorer.features.features[column]
    measure = feature.measure
    if isinstance(measure, Derived) and measure.ratio is Ratio.shrunk_rate:
        if not set(measure.inputs) <= set(names):
            return ""  # the prior that it is shrunk to would be no fact of the account
        successes, attempts = (float(values[names.index(name)]) for name in measure.inputs)
        return rate_worded(feature, successes, attempts, language)
    return worded(feature, float(values[column]), scorer.features.categories, language)


def rate_worded(feature: Feature, successes: float, attempts: float, language: Language = ENGLISH) -> str:
    """What a rate says, for a person: the prior that it is shrunk to would be no fact of the account.

    >>> from features.catalog.promises import features
    >>> kept = {feature.name: feature for feature in features()}["kept_promise_rate"]
    >>> rate_worded(kept, 2, 3), rate_worded(kept, 0, 0)
    ('2 of 3 promises kept', '')
    """
    if not attempts > 0:
        return ""
    counts = {"part": language.number(successes), "whole": language.number(attempts)}
    return language.say(rate_template(feature), **counts)


def rate_template(feature: Feature) -> str:
    """How a shrunk rate is told by what it was made of.

    >>> from features.catalog.promises import features
    >>> rate_template({feature.name: feature for feature in features()}["kept_promise_rate"])
    '{part} of {whole} promises kept'
    """
    about, counted = "about {value} of", "{part} of {whole}"
    reason = feature.reason
    if isinstance(reason, Phrase):
        return phrase(reason.template.replace(about, counted), **reason.parts)
    return reason.replace(about, counted)


def worded(
    feature: Feature, value: float, categories: Mapping[str, tuple[str, ...]], language: Language = ENGLISH
) -> str:
    """What a feature's value says, for a person; blank where it says nothing.

    >>> from features.catalog.payments import features
    >>> payments = {feature.name: feature for feature in features()}
    >>> worded(payments["payments_30d"], 1.0, {}), worded(payments["days_since_last_payment"], 3.2, {})
    ('1 payment in the last 30 days', 'latest payment 3 days ago')
    """
    if math.isnan(value):
        return language.say(feature.absent)
    is_below = value < 0 and feature.below
    told = _value(feature, abs(value) if is_below else value, categories, language)
    text = language.say(feature.below if is_below else feature.reason, value=told)
    if isinstance(feature.measure, Attribute | Category):
        return text  # the portfolio's own words are left as they are
    for pattern, replacement in _POLISH[language.tag]:
        text = re.sub(pattern, replacement, text)
    return text


def _value(feature: Feature, value: float, categories: Mapping[str, tuple[str, ...]], language: Language) -> str:
    """A value as a person writes it."""
    if isinstance(feature.measure, Category):
        return categories[feature.measure.column][int(value)]
    if feature.name in NAMED:
        return language.gettext(NAMED[feature.name][int(value)])
    if feature.unit in _WRITTEN:
        return _WRITTEN[feature.unit](value, language)
    return UNITS[feature.unit].format(value)


def _ratio(value: float, language: Language) -> str:
    """A number of the portfolio's own; what is too large for a table is infinite there."""
    return UNITS["ratio"].format(value) if value % 1 else language.number(value)


def _amount(value: float, language: Language) -> str:
    return language.gain(value) if value else language.gettext("nothing")


def _share(value: float, language: Language) -> str:
    return language.gettext("less than 1%") if 0 < value < 0.01 else language.share(value)


#: The units that a person writes otherwise than the catalogue does.
_WRITTEN: Mapping[str, Callable[[float, Language], str]] = {
    "amount": _amount,
    "count": lambda value, language: language.number(value),
    "days": lambda value, language: language.number(float(np.trunc(value))),
    "flag": lambda value, language: language.gettext("yes") if value else language.gettext("no"),
    "ratio": _ratio,
    "share": _share,
}
