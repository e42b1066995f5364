"""What a table is cut by, and its values, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serving.languages.language import translatable
from serving.review.pages.labels import Words
from serving.review.pages.visit import Visit
from serving.review.pages.writing import Writing

#: What a table's rows may be of, in the order of a form.
CUTS: Mapping[str, str] = {
    "band": translatable("Band"),
    "segment": translatable("Segment"),
    "stage": translatable("Stage"),
    "vintage": translatable("Month of placement"),
    "portfolio": translatable("Portfolio"),
    "channel": translatable("Channel of the first contact"),
    "chosen": translatable("Channel by the queue"),
    "agent": translatable("Agent"),
    "model": translatable("Model version"),
    "arm": translatable("Arm"),
    "worked": translatable("Worked or not"),
    "month": translatable("Month"),
}
#: Those of which one value may be kept, whatever else the rows are of.
ONE_OF = ("segment", "stage", "vintage", "portfolio", "channel", "chosen", "agent")
ROLES: Mapping[str, str] = {"champion": translatable("champion"), "challenger": translatable("challenger")}
_ARMS: Mapping[str, str] = {
    "explored": translatable("drawn at random, to learn"),
    "rule": translatable("queued by the model"),
    "score": translatable("scored, not queued"),
}
_WORKED: Mapping[str, str] = {"yes": translatable("worked"), "no": translatable("not worked")}
_TOGETHER = translatable("together")
#: What a value that is blank means.
_BLANK: Mapping[str, str] = {
    "channel": translatable("not contacted"),
    "chosen": translatable("not queued"),
    "agent": translatable("no agent"),
}


@dataclass(frozen=True)
class CutWords:
    """The words for cuts and their values in a language."""

    word: Words
    write: Writing
    names: tuple[str, ...] = tuple(CUTS)
    one_of: tuple[str, ...] = ONE_OF

    def cut(self, name: str) -> str:
        """What a cut is called."""
        return self._say(CUTS[name])

    def value(self, cut: str, value: str) -> str:
        """A value of a cut, as a query has it; of all accounts, that they are all."""
        if cut == "all":
            return self._say(_TOGETHER)
        if not value:
            return self._say(_BLANK[cut]) if cut in _BLANK else "–"
        if cut in ("vintage", "month"):
            return self.write.month(int(value)) if _MONTH.fullmatch(value) else value
        if cut == "stage":
            # A digit before it has them in order.
            return self._say(value) if value == _NO_STAGE else self.word.stage(value.partition(" ")[2])
        if cut in ("channel", "chosen"):
            return self.word.action(value)
        known = {"arm": _ARMS, "worked": _WORKED, "role": ROLES}.get(cut, {})
        return self._say(known[value]) if value in known else value

    def _say(self, text: str) -> str:
        return self.word.language.gettext(text)


def words(visit: Visit) -> CutWords:
    """The words in the language of a visit."""
    return CutWords(Words(visit.language), visit.writing)


_NO_STAGE = translatable("no due date")
#: A month as a value of a cut, like 202610; a query may hold anything.
_MONTH = re.compile("[1-9][0-9]{3}(0[1-9]|1[0-2])")
