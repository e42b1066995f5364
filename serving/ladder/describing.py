"""Ladders in words, for the page that documents them and for whoever asks why a rung is closed."""

from __future__ import annotations

from collections.abc import Iterator

from serving.ladder.policy import Agency, End, Ladder, Lawyer, Override, Rung, Sale, Threshold, shipped_ladders
from serving.languages.language import ENGLISH, Language


def ladders_in_words() -> str:
    """Each shipped ladder as tables of its rungs and its end, as docs/ladder.md has them."""
    return "\n".join(line for ladder in shipped_ladders().values() for line in _lines(ladder))


def rung_in_words(rung: Rung, language: Language = ENGLISH) -> str:
    """When a rung is open.

    >>> rung_in_words(Rung(id="l", channel="letter", source="", from_stage="mid", every_days=30, after={"call": 3}))
    'from mid on; after 3 by call; every 30 days'
    """
    say = language.say
    parts = [_begin(rung, language), _threshold(rung, language)]
    if rung.after:
        done = [
            say("{times} by {channel}", times=times, channel=language.channel(name))
            for name, times in rung.after.items()
        ]
        parts.append(say("after {contacts}", contacts=language.gettext(" and ").join(done)))
    parts += [say("every {days} days", days=rung.every_days)] if rung.every_days else []
    parts += [say("at most {times}", times=rung.at_most)] if rung.at_most else []
    return language.joined([part for part in parts if part]) or language.gettext("always")


def end_in_words(end: End) -> str:
    """Where an account reaches the end of a ladder."""
    parts = [_begin(end)]
    parts += ["where no rung is left"] if end.rungs_used else []
    if end.unprofitable_from is not None:
        parts += [f"from {end.unprofitable_from} on where {end.horizon_days} days of work bring no more than they cost"]
    return ", or ".join(part for part in parts if part) or "never"


def terms_in_words(terms: Agency | Lawyer | Sale) -> str:
    """The terms of what may be done at the end of a ladder; assumptions are called so."""
    if isinstance(terms, Sale):
        return f"{terms.price:.1%} of the balance; own debts only"
    if isinstance(terms, Agency):
        assumed = f"recovers {terms.recovers:g} times what going on would (assumption)"
        return "; ".join(part for part in (f"keeps {terms.commission:.0%}", assumed, _threshold(terms)) if part)
    fee = f"a fee of {terms.fee:,.0f} and {terms.share:.0%} of what is recovered"
    return "; ".join(part for part in (fee, _threshold(terms)) if part)


def _lines(ladder: Ladder) -> Iterator[str]:
    yield f"### `{ladder.name}`"
    yield ""
    yield f"{ladder.title}; in {ladder.currency}, read on {ladder.dated}. {ladder.source}."
    yield ""
    yield "| rung | channel | open | source |"
    yield "|---|---|---|---|"
    for rung in ladder.rungs:
        yield f"| `{rung.id}` | `{rung.channel}` | {rung_in_words(rung)} | {rung.source} |"
    yield ""
    end = ladder.end
    if end is not None:
        yield f"Its end is reached {end_in_words(end)}. {end.source}."
        yield ""
        yield "| at the end | terms | source |"
        yield "|---|---|---|"
        for name, terms in (("agency", end.agency), ("lawyer", end.lawyer), ("sale", end.sale)):
            if terms is not None:
                yield f"| {name} | {terms_in_words(terms)} | {terms.source} |"
        yield ""


def _begin(one: Rung | End, language: Language = ENGLISH) -> str:
    if one.from_stage is not None:
        return language.say("from {stage} on", stage=language.gettext(one.from_stage))
    return language.say("from {days} days past due on", days=one.from_days) if one.from_days else ""


def _threshold(threshold: Threshold, language: Language = ENGLISH) -> str:
    if not threshold.least_balance and not threshold.overrides:
        return ""
    others = [
        language.say("{least} for {whom}", least=_least(one, language, threshold.or_days), whom=_whom(one, language))
        for one in threshold.overrides
    ]
    least = _least(threshold, language)
    return language.say("{least} ({others})", least=least, others=language.listed(others)) if others else least


def _least(one: Threshold | Override, language: Language, or_days: int | None = None) -> str:
    """The least that is owed, or the age in its place, unless it is the one that was said before."""
    owed = language.number(one.least_balance)
    if one.or_days and one.or_days != or_days:
        return language.say("{amount} owed or {days} days past due", amount=owed, days=one.or_days)
    return language.say("{amount} owed", amount=owed)


def _whom(override: Override, language: Language) -> str:
    said = [f"{column} {language.gettext(' or ').join(values)}" for column, values in override.where.items()]
    return language.gettext(" and ").join(said)
