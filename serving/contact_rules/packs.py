"""Rule packs: the contact rules of a place or trade, as data with their sources and the date they were read on.

A pack is a TOML file in `rule_packs/`. Which one holds for an account is said by its jurisdiction, else by the
portfolio's `rules`, else it is `default`. Where a name has no file, the rules of all packs hold together, so that none
that could apply is broken.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Literal

import msgspec
import numpy as np

from features.contract import CHANNELS
from features.errors import SettingsError
from features.histories import Histories
from features.units import Rows, format_day
from serving.languages.language import ENGLISH, Language

DEFAULT_PACK, UNKNOWN_PACK = "default", "unknown"
#: A local time of day, and the end of the day.
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
#: No limit looks back further.
MAX_DAYS = 366
#: Stands for every channel of a portfolio.
CHANNELS_ALL = ("*",)

Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)]
DayKind = Literal["workday", "weekend", "holiday"]
#: What a limit counts: `attempts`, all that the collector began; `made`, those that came to the debtor or somebody
#: else, so all but calls and visits without an answer and wrong numbers; `unanswered`, those without an answer;
#: `third_party`, those that somebody else answered; `conversations`, talks with the debtor, whoever began them.
Counted = Literal["attempts", "made", "unanswered", "third_party", "conversations"]
#: Of what contacts are counted together: of one debt, or of all debts of a person.
Each = Literal["debt", "person"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every rule of a pack has: a name of its own, what it says, and where that is written."""

    id: str
    words: str
    source: str


class Hours(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """Hours of contact, debtor-local: `[from, to)`, or none where `closed`.

    They hold on those kinds of day and for those channels that are named, for all where none is. A holiday is a
    workday or part of a weekend too. Of several that hold, what all allow is allowed.
    """

    days: tuple[DayKind, ...] = ()
    channels: tuple[str, ...] = ()
    begin: str = "00:00"
    end: str = "24:00"
    closed: bool = False

    @property
    def opens(self) -> timedelta:
        """When contact may begin, since midnight by the clock on the wall."""
        return _since_midnight(self.begin)

    @property
    def closes(self) -> timedelta:
        """By when it has ended."""
        return _since_midnight(self.end)


class Limit(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At most `maximum` of what it counts in so many days, else its channels are forbidden until that is so again.

    Days are those of the debtor's calendar, today the last of them; where `rolling`, so many times 24 hours up to the
    moment. It counts contacts through `channels`, all where none is named, and forbids these; `forbids` names others.
    """

    counts: Counted
    maximum: Positive
    days: Positive
    each: Each
    channels: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    rolling: bool = False


class Wait(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No contact through `channels` for so many days of the debtor's calendar after a conversation on one of `after`.

    The day of the conversation is the first of them. Where none is named, all are meant.
    """

    days: Positive
    each: Each
    after: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class Forbidding(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a pack words that a kind of restriction forbids contact, as it does in every pack, and its source."""

    kind: str


class RulePack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """The contact rules of one place or trade; `dated` is the day on which its sources were read.

    `zones` are those that a debtor of whom no zone is known may live in: see `zones_of`. `holidays` are listed year by
    year.
    """

    name: str
    title: str
    source: str
    dated: date
    hours: tuple[Hours, ...]
    zones: tuple[str, ...] = ()
    holidays: frozenset[date] = frozenset()
    limits: tuple[Limit, ...] = ()
    waits: tuple[Wait, ...] = ()
    restrictions: tuple[Forbidding, ...] = ()

    def __hash__(self) -> int:
        """By the name: what is worked out per pack is looked up often, and packs that are equal have one name."""
        return hash(self.name)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All its rules."""
        return (*self.hours, *self.limits, *self.waits, *self.restrictions)

    @cached_property
    def counters(self) -> tuple[Limit, ...]:
        """All that is counted: a wait is a limit of one conversation."""
        return (*self.limits, *map(as_limit, self.waits))

    def hours_on(self, day: date, channel: str) -> list[Hours]:
        """The hours that hold for a channel on a day of the debtor's calendar."""
        kinds = {"weekend" if day.weekday() >= 5 else "workday", *(["holiday"] if day in self.holidays else [])}
        return [
            one
            for one in self.hours
            if (not one.days or kinds & {*one.days}) and (not one.channels or channel in one.channels)
        ]


def as_limit(wait: Wait) -> Limit:
    """A wait as what it is: at most one conversation in so many days, else its channels are forbidden."""
    return Limit(
        id=wait.id, words=wait.words, source=wait.source, counts="conversations", maximum=1, days=wait.days,
        each=wait.each, channels=wait.after, forbids=wait.channels or CHANNELS_ALL,
    )  # fmt: skip


def _since_midnight(text: str) -> timedelta:
    return timedelta(hours=int(text[:2]), minutes=int(text[3:]))


def read_pack(text: str) -> RulePack:
    """A rule pack from TOML, checked.

    Raises:
        SettingsError: a key that there is not, a value outside its range, hours that end before they begin, a rule
            whose name another one has.
    """
    try:
        pack = msgspec.convert(tomllib.loads(text), RulePack)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"a rule pack is TOML with the keys of RulePack: {error}; mend the file") from None
    _check(pack)
    return pack


def _check(pack: RulePack) -> None:
    for one in pack.hours:
        if not (_TIME.fullmatch(one.begin) and _TIME.fullmatch(one.end) and one.opens < one.closes):
            raise SettingsError(
                f"hours are times from 00:00 to 24:00 of one day, got {one.begin!r} to {one.end!r} in {one.id}"
            )
    twice = [name for name, times in Counter(rule.id for rule in pack.rules).items() if times > 1]
    if twice:
        raise SettingsError(f"a rule of a pack has a name of its own, got {', '.join(twice)} twice in {pack.name}")
    named = {
        name for rule in pack.rules for field in ("channels", "forbids", "after") for name in getattr(rule, field, ())
    }
    if named - {*CHANNELS}:
        raise SettingsError(
            f"a rule pack names channels of {', '.join(CHANNELS)}, got {', '.join(sorted(named - {*CHANNELS}))} in "
            f"{pack.name}"
        )


def together(packs: Sequence[RulePack]) -> RulePack:
    """The pack of which every rule of all of them is one: what it allows, each of them allows."""
    return RulePack(
        name=UNKNOWN_PACK,
        title="The rules of all packs together",
        source="; ".join(pack.source for pack in packs),
        dated=min(pack.dated for pack in packs),
        hours=tuple(one for pack in packs for one in pack.hours),
        holidays=frozenset(day for pack in packs for day in pack.holidays),
        limits=tuple(one for pack in packs for one in pack.limits),
        waits=tuple(one for pack in packs for one in pack.waits),
    )


@lru_cache(maxsize=1)
def rule_packs() -> dict[str, RulePack]:
    """Every rule pack there is, by its name, and `unknown`, of all together."""
    files = sorted(resources.files("serving").joinpath("rule_packs").iterdir(), key=lambda file: file.name)
    packs = [read_pack(file.read_text("utf-8")) for file in files if file.name.endswith(".toml")]
    return {pack.name: pack for pack in (*packs, together(packs))}


def pack_called(name: str) -> RulePack:
    """The rule pack of that name; all packs together where there is none."""
    return rule_packs().get(name, rule_packs()[UNKNOWN_PACK])


def named_packs(histories: Histories, rows: Rows) -> list[str]:
    """The name of the rule pack of each account at `rows`, `(n,)`, whether or not there is such a pack."""
    otherwise = histories.settings.rules or DEFAULT_PACK
    return [otherwise if name is None else str(name) for name in histories.accounts.jurisdiction[rows]]


def accounts_by_pack(histories: Histories, rows: Rows) -> Iterator[tuple[RulePack, Rows]]:
    """Each rule pack that holds for some of the accounts at `rows`, with their places among them."""
    named = histories.accounts.jurisdiction[rows]
    names = set(named.tolist())
    for name in names:
        pack = pack_called(histories.settings.rules or DEFAULT_PACK if name is None else str(name))
        yield pack, np.flatnonzero(np.equal(named, name)) if len(names) > 1 else np.arange(len(named))


def notes_of_packs(names: Sequence[str], as_of: int, language: Language = ENGLISH) -> list[str]:
    """One line for each rule pack that is named and not there, or whose holidays are not listed as far as a moment."""
    counts, packs = Counter(names), rule_packs()
    there = language.listed(sorted(set(packs) - {UNKNOWN_PACK}))
    notes = [
        language.say(
            "there is no rule pack '{name}': the rules of all packs hold together for {number} accounts; the packs are "
            "{packs}",
            name=name,
            number=language.number(counts[name]),
            packs=there,
        )
        for name in sorted(set(counts) - set(packs))
    ]
    for name in sorted(set(counts) & set(packs)):
        listed = packs[name].holidays
        if listed and int(format_day(as_of)[:4]) > max(listed).year:
            year = max(listed).year
            notes.append(
                language.say(
                    "the holidays of rule pack {name} are listed up to {year}: later ones are missed",
                    name=name,
                    year=year,
                )
            )
    return notes
