"""Languages: every text has its translation, none is stale, and a translation fills in what the text does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from string import Formatter
from typing import get_args

import numpy as np
import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from features.catalog import catalogue
from features.catalog.grammar import Feature, phrase
from features.errors import SettingsError
from serving.languages.language import ENGLISH, LANGUAGES, catalogue_file, language_called
from serving.reasons import NAMED, rate_worded, worded
from serving.requests import LanguageTag
from tests.serving.languages.texts import SETTINGS, all_texts, is_rate, marked_texts

OTHERS = [tag for tag in LANGUAGES if tag != ENGLISH.tag]
CHINESE = language_called("zh-Hans")
#: Punctuation, and templates that only put their parts together.
NO_WORDS = re.compile(r"[^A-Za-z]*")
ONLY_PARTS = {"{column} {value}", "{price} for {place}"}


def messages(tag: str) -> Iterator[Message]:
    with catalogue_file(tag).open("rb") as file:
        yield from (message for message in read_po(file, locale=LANGUAGES[tag]) if message.id)


def singular(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def forms(message: Message) -> list[str]:
    """The translations of a text; of one for one and for several things, that of each number."""
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def without_placeholders(text: str) -> str:
    return re.sub(r"\{\w*\}", "", text)


@pytest.mark.parametrize("tag", OTHERS)
def test_every_text_has_its_translation_and_every_translation_its_text(tag: str) -> None:
    translated, texts = [singular(message) for message in messages(tag)], all_texts()
    assert len(set(translated)) == len(translated)
    assert sorted(texts - {*translated}) == [], "add these to the catalogue"
    assert sorted({*translated} - texts) == [], "nothing says these any more: take them out of the catalogue"


@pytest.mark.parametrize("tag", OTHERS)
def test_a_translation_fills_in_what_the_text_does(tag: str) -> None:
    for message in messages(tag):
        # Of texts for one and for several, the latter names all that there is to fill in.
        text = message.id if isinstance(message.id, str) else message.id[1]
        assert not message.fuzzy, text
        assert all(forms(message)), text
        for form in forms(message):
            assert placeholders(form) == placeholders(text), text


def test_chinese_is_chinese() -> None:
    for message in messages("zh-Hans"):
        (form,) = forms(message)
        assert not re.search(r"[A-Za-z]", without_placeholders(form).replace("M", "")), form
        if not NO_WORDS.fullmatch(without_placeholders(singular(message))) and singular(message) not in ONLY_PARTS:
            assert re.search(r"[\u4e00-\u9fff]", form) or form == "0", form
        assert not re.search(r"[,;()]|:(?!\d\d)", form), "Chinese has its own punctuation"


def test_texts_are_found_where_the_source_has_them() -> None:
    found = {*marked_texts()}
    assert {"promised {amount} for {day}, nothing came", "a call's place", "nothing", "; "} <= found
    assert len(found) > 70


def features() -> tuple[Feature, ...]:
    return catalogue(SETTINGS)


CATEGORIES = {"segment": ("1 days", "2"), "portfolio": ("1 days", "2"), "employment": ("1 days", "2")}


@pytest.mark.parametrize("feature", features(), ids=lambda feature: feature.name)
def test_every_reason_is_good_to_read_in_chinese(feature: Feature) -> None:
    values = [0.0, 1.0] if feature.is_category or feature.unit == "flag" else [0.0, 0.004, 0.5, 1.0, 2.0, 5.0]
    values += [] if feature.is_category or feature.unit in ("share", "flag") or feature.name in NAMED else [1500.0]
    values += [-0.3, -2.0] if feature.below else []
    texts = [worded(feature, value, CATEGORIES, CHINESE) for value in [*values, np.nan] if not is_rate(feature)]
    if is_rate(feature):
        texts = [rate_worded(feature, 2, 5, CHINESE)]
    for text in texts:
        assert "{" not in text
        own = re.sub(r"1 days|score|employment|M\d|M1,500", "", text)
        assert not re.search(r"[A-Za-z~]", own), text
        assert not re.search(r"(?<![\d.,])0天|--", text), text


def test_labels_are_told_apart_in_chinese() -> None:
    labels = {feature.name: CHINESE.say(feature.label) for feature in features()}
    assert len(set(labels.values())) == len(labels)
    for name, label in labels.items():
        assert not re.search(r"[A-Za-z{}]", re.sub("score|employment", "", label)), name
        assert len(label) <= 25, name
    assert labels["payments_30d"] == "近30天还款次数"
    assert labels["days_since_last_payment"] == "距最近一次还款天数"
    assert labels["sms_no_answer"] == "累计短信无人应答次数"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("payments_30d", 0.0, "近30天还款0次"),
        ("days_since_last_payment", 0.4, "最近一次还款在不到1天前"),
        ("days_since_last_payment", 20.0, "最近一次还款在20天前"),
        ("days_since_last_payment", np.nan, "迄今没有还款"),
        ("days_past_due", 0.2, "今天到期"),
        ("days_past_due", 45.0, "逾期45天"),
        ("days_past_due", -3.5, "3天后到期"),
        ("paid_90d", 12345.6, "近90天还款金额12,346"),
        ("calls_no_answer_30d", 5.0, "近30天电话无人应答5次"),
        ("visits", 2.0, "迄今上门联系2次"),
        ("no_answer_streak", 0.0, "没有连续无人应答"),
        ("days_since_last_legal_letter", 12.0, "最近一次律师函在12天前"),
        ("stage", 4.0, "阶段：前端"),
        ("segment", 0.0, "客群 1 days"),
        ("last_promise_kept", 0.0, "最近一笔已了结承诺是否兑现：否"),
        ("last_payment_share_of_balance", 0.004, "最近一次还款占余额不足1%"),
    ],
)
def test_reasons_in_chinese(name: str, value: float, expected: str) -> None:
    feature = {feature.name: feature for feature in features()}[name]
    assert worded(feature, value, CATEGORIES, CHINESE) == expected


def test_numbers_money_and_days_are_written_as_a_person_does() -> None:
    today = date(2026, 6, 1)
    for language, day, year in ((ENGLISH, "3 May", "3 May 2025"), (CHINESE, "5月3日", "2025年5月3日")):
        assert (language.day(date(2026, 5, 3), today), language.day(date(2025, 5, 3), today)) == (day, year)
        assert [language.amount(value) for value in (1234.56, 50, 12.3, 99.999, 0)] == [
            *("1,235", "50", "12.30", "100", "0"),
        ]
        assert [language.gain(value) for value in (1234.56, 50, -0.001, -3)] == ["1,235", "50.00", "0.00", "-3.00"]
        assert (language.share(0.304), language.number(1234.0)) == ("30%", "1,234")


@pytest.mark.parametrize("value", [1e15, 1e30, -3.4e38, np.inf, -np.inf])
def test_a_number_that_nobody_counts_is_written_all_the_same(value: float) -> None:
    for language in (ENGLISH, CHINESE):
        for write in (language.number, language.amount, language.gain, language.share):
            assert float(write(value)) == value


def test_a_channel_of_the_portfolios_own_goes_by_its_name() -> None:
    assert [language.channel("web_chat") for language in (ENGLISH, CHINESE)] == ["web chat", "web chat"]
    assert [CHINESE.channel(name) for name in ("visit", "legal_letter")] == ["上门", "律师函"]


def test_parts_of_a_phrase_are_translated_and_words_of_the_portfolio_left_alone() -> None:
    text = phrase("{value} {channel} to the debtor {over}", channel="web {chat}", over="so far")
    assert text.format(value=3) == "3 web {chat} to the debtor so far"
    assert CHINESE.say(text, value=3) == "迄今web {chat}联系3次"


def test_a_language_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="one of en, zh-Hans; got 'tlh'"):
        language_called("tlh")


def test_requests_may_ask_for_the_languages_there_are() -> None:
    assert get_args(LanguageTag) == tuple(LANGUAGES)
