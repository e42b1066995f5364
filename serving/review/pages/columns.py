"""Scores and features in words, and what falls into the bins of their distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from features.catalog import catalogue
from features.catalog.grammar import Attribute, Category, Feature
from features.settings import PortfolioSettings
from serving.drift import WHAT, Of
from serving.languages.language import Language, translatable
from serving.reasons import NAMED
from serving.review.drift import SCORES, Bin
from serving.review.pages.writing import Writing

#: The units of scores, as the catalogue has those of features.
_UNITS = {"p_pay": "share", "expected_amount": "amount"}
_WHOLE = ("count", "flag", "ordinal")
_UP_TO = translatable("up to {value}")
_BELOW = translatable("below {value}")
_ABOVE = translatable("above {value}")
_NOT_KNOWN = translatable("not known")
#: Numbers from here on are written whole.
_LARGE = 1000


@lru_cache(maxsize=4)
def features_of(settings: PortfolioSettings) -> Mapping[str, Feature]:
    """The catalogue of a portfolio by name."""
    return {feature.name: feature for feature in catalogue(settings)}


@dataclass(frozen=True)
class ColumnWords:
    """The words for columns and bins in a language; a column that the catalogue does not have goes by its name."""

    features: Mapping[str, Feature]
    language: Language
    write: Writing

    def column(self, name: str) -> str:
        """What a column holds, in few words, as it begins a line."""
        if name in SCORES:
            return self.language.gettext(SCORES[name])
        feature = self.features.get(name)
        if feature is None:
            return name
        text = self.language.say(feature.label)
        # The portfolio's own words are left as they are.
        is_own = isinstance(feature.measure, Attribute | Category) and name.startswith("attribute_")
        return text if is_own else text[:1].upper() + text[1:]

    def told(self, of: Of, name: str) -> str:
        """Of what a limit was passed, of the column of that name where it is of one."""
        return self.language.say(WHAT[of], psi="PSI", auc="AUC", name=self.column(name))

    def bin(self, name: str, one: Bin) -> str:
        """What falls into a bin."""
        if one.value is not None:
            return one.value
        if math.isnan(one.high):
            return self.language.gettext(_NOT_KNOWN)
        low, high = one.low, one.high
        if self._unit(name) in _WHOLE:
            # What is above 1, up to 4, is 2 to 4.
            high = math.ceil(high) - 1 if one.is_below and math.isfinite(high) else high
            low = math.floor(low) + 1 if low < one.high and math.isfinite(low) else low
        elif one.is_below and not math.isfinite(low):
            return self.language.say(_BELOW, value=self._figure(name, high))
        return self._between(name, low, high)

    def _between(self, name: str, low: float, high: float) -> str:
        unit = self._unit(name)
        if low >= high or (math.isinf(low) and unit == "count" and high <= 0):
            return self._figure(name, high)
        if math.isinf(low):
            return self.language.say(_UP_TO, value=self._figure(name, high))
        if math.isinf(high):
            # Of whole numbers the least is said, of others what they are above.
            text = "≥ {value}" if unit in _WHOLE else _ABOVE
            return self.language.say(text, value=self._figure(name, low))
        return f"{self._figure(name, low)} – {self._figure(name, high)}"

    def _figure(self, name: str, value: float) -> str:
        unit = self._unit(name)
        if name in NAMED and 0 <= value < len(NAMED[name]):
            return self.language.gettext(NAMED[name][int(value)])
        if unit == "flag":
            return self.language.gettext("yes") if value else self.language.gettext("no")
        if unit == "share":
            return f"{value * 100:.3g}%"
        if unit == "amount":
            return self.write.money(value)
        return self.language.number(value) if abs(value) >= _LARGE else f"{value:.3g}"

    def _unit(self, name: str) -> str:
        return _UNITS.get(name) or (self.features[name].unit if name in self.features else "ratio")
