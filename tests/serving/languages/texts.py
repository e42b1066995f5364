"""All texts that people may read in their language: those that the source marks, and those made of data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from babel.messages.extract import extract_from_dir

from features.catalog import catalogue
from features.catalog.grammar import Derived, Feature, Phrase
from features.kernel import Ratio
from features.settings import PortfolioSettings
from serving.contact_rules.packs import DEFAULT_PACK, rule_packs
from serving.contact_rules.restrictions import BLOCKS
from serving.languages.language import CHANNELS
from serving.reasons import NAMED, rate_template

ROOT = Path(__file__).resolve().parents[3]
#: The calls that look a text up, or mark one that is; `counted` takes one for a single thing and one for several.
KEYWORDS = {"say": None, "gettext": None, "_": None, "translatable": None, "counted": (1, 2)}
#: Python, and the templates of pages.
SOURCES = [("**.py", "python"), ("**/templates/*.html", "jinja2.ext:babel_extract")]
_ON = ("trimmed", "trim_blocks", "lstrip_blocks")
#: As the environment of the pages has them; a template that cannot be read is an error.
OPTIONS = {"**/templates/*.html": {**dict.fromkeys(_ON, "true"), "silent": "false"}}
#: A portfolio with all that the catalogue may speak of.
SETTINGS = replace(PortfolioSettings("any"), numeric=("score",), categorical=("employment",))
#: Words of a portfolio's own, which no catalogue can hold.
OWN_WORDS = {"score", "employment"}


def all_texts() -> set[str]:
    """Every text; of those for one and for several things, the one for a single thing."""
    names = (name for names in NAMED.values() for name in names)
    return {*marked_texts(), *texts_of_catalogue(), *texts_of_rules(), *CHANNELS.values(), *names} - OWN_WORDS


def marked_texts() -> Iterator[str]:
    """What the source of the service looks up or marks."""
    found = extract_from_dir(ROOT / "serving", SOURCES, options_map=OPTIONS, keywords=KEYWORDS)
    for _, _, text, _, _ in found:
        # What a call looks up that is no text of the source, like `_(name)`, is none here.
        if (first := text if isinstance(text, str) else text[0]) is not None:
            yield first


def texts_of_catalogue() -> Iterator[str]:
    """What reasons may say, template by template and part by part."""
    for feature in catalogue(SETTINGS):
        for text in _texts_of(feature):
            if isinstance(text, Phrase):
                yield from (text.template, *text.parts.values())
            else:
                yield text


def _texts_of(feature: Feature) -> list[str]:
    texts = [rate_template(feature) if is_rate(feature) else feature.reason, feature.absent, feature.below]
    return [text for text in (*texts, feature.label) if text]


def is_rate(feature: Feature) -> bool:
    """Whether a feature is told by what it was made of."""
    return isinstance(feature.measure, Derived) and feature.measure.ratio is Ratio.shrunk_rate


def texts_of_rules() -> Iterator[str]:
    """What the contact rules say that may forbid contact: hours, limits, waits and restrictions."""
    yield from (block.words for block in BLOCKS.values())
    for pack in rule_packs().values():
        yield from (rule.words for rule in pack.rules)
        # What is written nowhere is said in words, too; elsewhere a source is quoted as it is.
        yield from (rule.source for rule in pack.rules if pack.name == DEFAULT_PACK)
