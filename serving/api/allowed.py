"""`/v1/allowed`: whether accounts may be contacted now, to be asked at the moment of dialling.

Every rule is looked at anew, with what is known by then: a queue of the morning does not know of the noon's calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from features.histories import Histories
from features.units import FOREVER, Instants, format_instant
from serving.api.answering import decoded
from serving.api.answers import AllowedAnswer, PairAllowed, RuleAgainst
from serving.api.calls import Answer, Call, RequestError
from serving.api.facts import moment_or_none
from serving.api.overrides import Text
from serving.contact_rules.packs import RulePack, named_packs, pack_called
from serving.contact_rules.rules import Forbidden, blocked_until, forbidden
from serving.contact_rules.windows import first_allowed, hours_against, instant_of, window_from
from serving.languages.language import Language, language_called, translatable
from serving.requests import LanguageTag
from serving.scoring import why_not_live
from serving.store.persons import with_others_of_persons
from serving.store.reading import read_histories

#: Pairs that a request may hold.
MAX_PAIRS = 1_000
#: What forbids contact and is no contact rule.
UNKNOWN = RuleAgainst("unknown_account", translatable("the store holds no account of this id"), "", None)
NOT_ENABLED = RuleAgainst("channel_not_enabled", translatable("the portfolio does not use this channel"), "", None)
NOT_LIVE = "not_live"


class AskedPair(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An account, and the channel by which it is to be contacted."""

    account_id: Text
    channel: str


class AllowedRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which accounts are to be contacted by which channels; as of now where no moment is given.

    `language` is that of the rules' words.
    """

    pairs: Annotated[list[AskedPair], msgspec.Meta(min_length=1, max_length=MAX_PAIRS)]
    as_of: str | None = None
    language: LanguageTag = "en"


_DECODER = msgspec.json.Decoder(AllowedRequest)


@dataclass(frozen=True)
class _Account:
    """What contact rules say of a stored account: until when each channel is forbidden, `(n_channels,)`, by which."""

    zone: str
    pack: RulePack
    until: Instants
    rules: list[Forbidden]


def answer(call: Call) -> Answer:
    """Answer for every pair.

    Raises:
        RecoupError: the request cannot be answered; its message is for whoever sent it.
    """
    request, channels = decoded(_DECODER, call.body), call.engine.settings.channel_names
    for pair in request.pairs:
        if pair.channel not in channels:
            raise RequestError(f"a channel is one of {', '.join(channels)}; got {pair.channel[:100]!r}")
    as_of, asked = call.moment(request.as_of), sorted({pair.account_id for pair in request.pairs})
    read = read_histories(call.store, with_others_of_persons(call.store, asked), call.engine.settings)
    accounts = _accounts(read.histories, asked, as_of)
    never, language = dict(zip(*why_not_live(read.histories, as_of), strict=True)), language_called(request.language)
    pairs = []
    for pair in request.pairs:
        why = _never(call, pair, accounts, never)
        account_id, channel = pair.account_id, pair.channel
        if why is not None:
            why = msgspec.structs.replace(why, words=language.gettext(why.words))
            pairs.append(PairAllowed(account_id, channel, False, [why], None, None, None))
        else:
            place = channels.index(channel)
            pairs.append(_of_pair(accounts[account_id], account_id, place, channel, as_of, language))
    return Answer(AllowedAnswer(format_instant(as_of), read.arrival, pairs))


def _accounts(histories: Histories, asked: list[str], as_of: int) -> dict[str, _Account]:
    """Those of the accounts that are stored."""
    place = {account_id: row for row, account_id in enumerate(histories.accounts.account_id)}
    found = [account_id for account_id in asked if account_id in place]
    rows = np.array([place[account_id] for account_id in found], dtype=np.int64)
    said = zip(
        map(str, histories.timezones[rows]),
        map(pack_called, named_packs(histories, rows)),
        blocked_until(histories, rows, as_of, of_person=True),
        forbidden(histories, rows, as_of, of_person=True),
        strict=True,
    )
    return {account_id: _Account(*each) for account_id, each in zip(found, said, strict=True)}


def _never(
    call: Call, pair: AskedPair, accounts: Mapping[str, _Account], not_live: Mapping[str, str]
) -> RuleAgainst | None:
    """Why a pair is out of the question, whatever the contact rules say."""
    if pair.account_id not in accounts:
        return UNKNOWN
    if pair.account_id in not_live:
        return RuleAgainst(NOT_LIVE, not_live[pair.account_id], "", None)
    return None if pair.channel in call.engine.settings.actions else NOT_ENABLED


def _of_pair(
    account: _Account, account_id: str, place: int, channel: str, as_of: int, language: Language
) -> PairAllowed:
    zone, pack = account.zone, account.pack
    rules = [
        RuleAgainst(one.rule, one.in_words(language), one.source, moment_or_none(one.until))
        for one in account.rules
        if one.channel in ("", channel)
    ]
    opens = format_instant(instant_of(first_allowed(as_of, zone, pack, channel)))
    closed = hours_against(as_of, zone, pack, channel)
    rules += [RuleAgainst(one.id, language.gettext(one.words), one.source, opens) for one in closed]
    free = max(int(account.until[place]), as_of)
    if free == FOREVER:
        return PairAllowed(account_id, channel, False, rules, None, None, None)
    window = window_from(free, zone, pack, channel)
    first = first_allowed(free, zone, pack, channel)
    bounds = (moment.isoformat() for moment in (first, window.not_before, window.not_after))
    return PairAllowed(account_id, channel, not rules, rules, *bounds)
