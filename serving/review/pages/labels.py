"""The words for the contract's codes: outcomes, restrictions, states, and where accounts of a queue end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from features.contract import NO_CHANNEL
from features.stages import STAGES
from serving.languages.language import Language, translatable

OUTCOMES: Mapping[str, str] = {
    "sent": translatable("sent"),
    "delivered": translatable("delivered"),
    "no_answer": translatable("no answer"),
    "wrong_number": translatable("wrong number or address"),
    "third_party": translatable("somebody else answered"),
    "right_party": translatable("talk with the debtor"),
    "promise": translatable("promise to pay"),
    "refusal": translatable("refusal"),
    "dispute": translatable("dispute"),
}
RESTRICTIONS: Mapping[str, str] = {
    "closed": translatable("closed"),
    "deceased": translatable("deceased"),
    "dispute": translatable("dispute"),
    "fraud": translatable("fraud"),
    "bankruptcy": translatable("bankruptcy"),
    "vulnerable": translatable("vulnerable"),
    "breathing_space": translatable("breathing space"),
    "do_not_contact": translatable("no contact"),
    "channel_opt_out": translatable("opted out"),
    "invalid_contact": translatable("invalid number or address"),
}
STATES: Mapping[str, str] = {
    "open": translatable("open"),
    "kept": translatable("kept"),
    "broken": translatable("broken"),
}
#: Where a live account of a queue ends.
ENDS: Mapping[str, str] = {
    "queued": translatable("in the queue"),
    "held": translatable("held back by rules"),
    "beyond_capacity": translatable("worth working, beyond today's capacity"),
    "no_gain": translatable("worth no more than waiting"),
    "no_channel": translatable("no channel that is worked, allowed and of known effect"),
    "no_rung": translatable("the ladder closes every channel"),
    "resting": translatable("left alone after a recent contact"),
    "other_debt": translatable("another debt of the same person comes first"),
}
NOT_SCORED: Mapping[str, str] = {
    "not yet placed": translatable("not yet placed"),
    "nothing owed": translatable("nothing owed"),
    "closed": translatable("closed"),
}
RUNGS: Mapping[str, str] = {
    "cannot be used": translatable("cannot be used"),
    "used up": translatable("used up"),
    "too early": translatable("too early"),
    "too little owed": translatable("too little owed"),
    "others come first": translatable("others come first"),
    "too soon after the last": translatable("too soon after the last"),
}
WAITING = translatable("wait")


@dataclass(frozen=True)
class Words:
    """The words in a language; a code that has none stands as it is."""

    language: Language

    def outcome(self, code: str) -> str:
        """What came of a contact."""
        return self._of(OUTCOMES, code)

    def restriction(self, code: str) -> str:
        """A kind of restriction."""
        return self._of(RESTRICTIONS, code)

    def state(self, code: str) -> str:
        """What became of a promise."""
        return self._of(STATES, code)

    def end(self, code: str) -> str:
        """Where an account ended."""
        return self._of(ENDS, code)

    def not_scored(self, code: str) -> str:
        """Why an account has no score."""
        return self._of(NOT_SCORED, code)

    def rung(self, code: str) -> str:
        """Why a rung is closed."""
        return self._of(RUNGS, code)

    def action(self, code: str) -> str:
        """A channel, or waiting."""
        return self.language.gettext(WAITING) if code == NO_CHANNEL else self.language.channel(code)

    def stage(self, code: str | None) -> str:
        """A stage, as tables name it."""
        return self.language.gettext(code) if code in STAGES else code or ""

    def _of(self, words: Mapping[str, str], code: str) -> str:
        return self.language.gettext(words.get(code, code))
