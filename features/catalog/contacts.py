"""Contact history: how often, through what, with what answer, how long ago, and at what hour."""

from __future__ import annotations

from features.catalog.grammar import (
    WINDOWS,
    Count,
    DaysSince,
    Derived,
    Feature,
    Phrase,
    Quantity,
    Total,
    over,
    phrase,
    suffix,
    where,
    window,
)
from features.contract import REACHED_OUTCOMES
from features.kernel import Ratio

#: What a channel's contacts are called.
PLURALS = {
    "sms": "SMS",
    "email": "e-mails",
    "call": "calls",
    "letter": "letters",
    "visit": "visits",
    "legal_letter": "legal letters",
}
#: What may come of an attempt, as outcomes of the contract, in words, and in few. A talk with the right party may end
#: in a promise, a refusal or a dispute; it counts as a talk whatever came of it.
ANSWERS = {
    "sent": (("sent",), "of which no more is known than that they were sent", "only sent"),
    "delivered": (("delivered",), "known to have arrived", "delivered"),
    "no_answer": (("no_answer",), "without an answer", "no answer"),
    "wrong_number": (("wrong_number",), "to a wrong number or address", "wrong number"),
    "third_party": (("third_party",), "answered by somebody else", "third party"),
    "right_party": (REACHED_OUTCOMES, "that reached the right party", "right party"),
    "promise": (("promise",), "that brought a promise", "promise"),
    "refusal": (("refusal",), "that ended in a refusal", "refusal"),
    "dispute": (("dispute",), "in which the debt was disputed", "dispute"),
}
EVER = (*WINDOWS, None)
DAYPARTS = {"morning": "before noon", "afternoon": "from noon to five", "evening": "after five"}
#: The usual share of each among calls or talks, which a rate over few of them is shrunk to.
PRIOR_RIGHT_PARTY, PRIOR_PROMISE, PRIOR_REFUSAL, PRIOR_NO_ANSWER, PRIOR_WRONG_NUMBER = 0.15, 0.25, 0.15, 0.75, 0.02


def features(channels: tuple[str, ...]) -> tuple[Feature, ...]:
    """Every feature of the contact history, for these channels."""
    return (
        *_attempts(channels),
        *_answers(channels),
        *_talks(),
        *_recency(channels),
        *(rate for rate in _rates() if _inputs_of(rate) <= _counted(channels)),
        *(_hours() if "call" in channels else ()),
        *_streaks(),
        *_effort(),
        *_cost(),
    )


def _inputs_of(feature: Feature) -> set[str]:
    return set(feature.measure.inputs) if isinstance(feature.measure, Derived) else set()


def _counted(channels: tuple[str, ...]) -> set[str]:
    """The names of what is counted: a portfolio without calls has no share of them either."""
    return {feature.name for feature in (*_attempts(channels), *_answers(channels))}


def plural(channel: str) -> str:
    """A channel's name as the stem of a feature's name.

    >>> plural("call"), plural("sms")
    ('calls', 'sms')
    """
    return PLURALS.get(channel, channel).lower().replace("-", "").replace(" ", "_")


def words(channel: str) -> str:
    """What a channel's contacts are called in a sentence."""
    return PLURALS.get(channel, channel.replace("_", " "))


def _count(name: str, what: str, days: int | None, short: str = "", **conditions: str | tuple[str, ...]) -> Feature:
    template, parts = ("{what}", {"what": what}) if not isinstance(what, Phrase) else (what.template, what.parts)
    return Feature(
        name=name + suffix(days),
        unit="count",
        family="contact history",
        sentence=f"How many {what} there were {over(days)}.",
        measure=Count(where("contacts", **conditions), days),
        reason=phrase(f"{{value}} {template} {{over}}", **parts, over=over(days)),
        short=short,
    )


def _attempts(channels: tuple[str, ...]) -> list[Feature]:
    found = [_count("attempts", "attempts to make contact", days, direction="outbound") for days in EVER]
    for channel in channels:
        what = phrase("{channel} to the debtor", channel=words(channel))
        found += [_count(plural(channel), what, days, channel=channel, direction="outbound") for days in EVER]
    found += [_count("inbound_contacts", "contacts made by the debtor", days, direction="inbound") for days in EVER]
    return found


def _answers(channels: tuple[str, ...]) -> list[Feature]:
    """Every channel with everything that may come of it; `features.selection` leaves out what never came."""
    return [
        _count(
            f"{plural(channel)}_{answer}", phrase("{channel} {answer}", channel=words(channel), answer=came_of_it),
            days, phrase("{channel}, {answer}, {window}", channel=words(channel), answer=short, window=window(days)),
            channel=channel, outcome=outcomes, direction="outbound",
        )
        for channel in channels
        for answer, (outcomes, came_of_it, short) in ANSWERS.items()
        for days in EVER
    ]  # fmt: skip


def _talks() -> list[Feature]:
    return [
        *(
            _count("right_party_contacts", "talks with the right party", days, outcome=REACHED_OUTCOMES)
            for days in EVER
        ),
        *(
            _count(
                "disputes_raised", "contacts in which the debt was disputed", days,
                phrase("disputes raised, {window}", window=window(days)), outcome="dispute",
            )
            for days in (30, None)
        ),
    ]  # fmt: skip


def _days_since(name: str, what: str, short: str = "", **conditions: str | tuple[str, ...]) -> Feature:
    return Feature(
        name=f"days_since_last_{name}",
        unit="days",
        family="contact history",
        sentence=f"Days since the latest {what}.",
        measure=DaysSince(where("contacts", **conditions)),
        reason=phrase("latest {what} {value} days ago", what=what),
        absent=phrase("no {what} so far", what=what),
        short=phrase("days since the latest {what}", what=short or what),
    )


def _recency(channels: tuple[str, ...]) -> list[Feature]:
    singular = {channel: channel.replace("_", " ") for channel in channels} | {
        "sms": "SMS",
        "email": "e-mail",
    }
    return [
        _days_since("attempt", "attempt to make contact", direction="outbound"),
        *(_days_since(channel, singular[channel], channel=channel, direction="outbound") for channel in channels),
        _days_since(
            "right_party_contact", "talk with the right party", "right-party contact", outcome=REACHED_OUTCOMES
        ),
        _days_since(
            "no_answer", "attempt without an answer", "unanswered attempt", outcome="no_answer", direction="outbound"
        ),
        _days_since("refusal", "refusal", outcome="refusal"),
        _days_since("dispute_raised", "contact in which the debt was disputed", "dispute raised", outcome="dispute"),
        _days_since("promise_given", "contact that brought a promise", "contact with a promise", outcome="promise"),
        _days_since(
            "wrong_number", "wrong number or address", "wrong number", outcome="wrong_number", direction="outbound"
        ),
        _days_since("third_party", "answer by somebody else", outcome="third_party", direction="outbound"),
        _days_since(
            "delivered", "message known to have arrived", "delivered message", outcome="delivered",
            direction="outbound",
        ),
        _days_since(
            "sent", "message known only to be sent", "message only sent", outcome="sent", direction="outbound"
        ),
        _days_since("inbound_contact", "contact made by the debtor", "contact by the debtor", direction="inbound"),
        Feature(
            "days_since_first_contact",
            "days",
            "contact history",
            "Days since the first contact, by either side.",
            Quantity("days_since_first_contact"),
            "first contact {value} days ago",
            "no contact so far",
            short="days since the first contact",
        ),
    ]  # fmt: skip


def _rate(name: str, sentence: str, part: str, whole: str, prior: float, reason: str, short: str) -> Feature:
    return Feature(
        name, "share", "contact history", f"{sentence}, shrunk to a prior of {prior:.0%}.",
        Derived(Ratio.shrunk_rate, (part, whole), prior), reason, short=short,
    )  # fmt: skip


def _rates() -> list[Feature]:
    reached = "Share of {} that reached the right party"
    return [
        _rate(
            "call_right_party_rate", reached.format("calls"), "calls_right_party", "calls", PRIOR_RIGHT_PARTY,
            "about {value} of calls reach the right party", "right-party rate of calls",
        ),
        *(
            _rate(
                f"call_right_party_rate_{days}d", reached.format(f"calls in the last {days} days"),
                f"calls_right_party_{days}d", f"calls_{days}d", PRIOR_RIGHT_PARTY,
                phrase("about {value} of calls reached the right party {over}", over=over(days)),
                phrase("right-party rate of calls, {window}", window=window(days)),
            )
            for days in (30, 90)
        ),
        _rate(
            "visit_right_party_rate", reached.format("visits"), "visits_right_party", "visits", PRIOR_RIGHT_PARTY,
            "about {value} of visits reach the right party", "right-party rate of visits",
        ),
        _rate(
            "call_promise_rate", "Share of calls to the right party that brought a promise",
            "calls_promise", "calls_right_party", PRIOR_PROMISE,
            "about {value} of calls to the right party bring a promise", "promise rate of right-party calls",
        ),
        _rate(
            "call_refusal_rate", "Share of calls to the right party that ended in a refusal",
            "calls_refusal", "calls_right_party", PRIOR_REFUSAL,
            "about {value} of calls to the right party end in a refusal", "refusal rate of right-party calls",
        ),
        _rate(
            "call_no_answer_rate", "Share of calls without an answer",
            "calls_no_answer", "calls", PRIOR_NO_ANSWER, "about {value} of calls stay without an answer",
            "share of calls without an answer",
        ),
        _rate(
            "call_wrong_number_rate", "Share of calls to a wrong number",
            "calls_wrong_number", "calls", PRIOR_WRONG_NUMBER, "about {value} of calls go to a wrong number",
            "share of calls to a wrong number",
        ),
        Feature(
            "call_share", "share", "contact history", "Share of all attempts that were calls.",
            Derived(Ratio.share, ("calls", "attempts")), "{value} of the attempts were calls", "no attempt so far",
            short="share of calls among attempts",
        ),
    ]  # fmt: skip


def _hours() -> list[Feature]:
    """When calls were made, debtor-local, and when they reached the right party."""
    times = {name: ("daypart", name, words) for name, words in DAYPARTS.items()}
    times |= {"weekend": ("weekpart", "weekend", "at the weekend")}
    found: list[Feature] = []
    for name, (dimension, value, words) in times.items():
        calls = {"channel": "call", "direction": "outbound", dimension: value}
        found += [
            _count(
                f"calls_{name}", phrase("calls {time}", time=words), None, phrase("calls {time}", time=words), **calls
            ),
            _count(
                f"calls_right_party_{name}", phrase("calls {time} that reached the right party", time=words), None,
                phrase("calls {time}, right party", time=words), **calls, outcome=REACHED_OUTCOMES,
            ),
            _rate(
                f"call_right_party_rate_{name}", f"Share of calls {words} that reached the right party",
                f"calls_right_party_{name}", f"calls_{name}", PRIOR_RIGHT_PARTY,
                phrase("about {value} of calls {time} reach the right party", time=words),
                phrase("right-party rate of calls {time}", time=words),
            ),
        ]  # fmt: skip
    return found


def _streaks() -> list[Feature]:
    return [
        Feature(
            "no_answer_streak", "count", "contact history",
            "Attempts without an answer since the latest with another answer, or ever; what is only sent has none.",
            Quantity("no_answer_streak"), "{value} attempts without an answer in a row",
        ),
        Feature(
            "attempts_since_right_party", "count", "contact history",
            "Attempts since the latest talk with the right party, by either side, or ever.",
            Quantity("attempts_since_right_party"), "{value} attempts since the latest talk with the right party",
            short="attempts since the latest talk",
        ),
    ]  # fmt: skip


def _effort() -> list[Feature]:
    return [
        Feature(
            "contact_intensity_change", "count", "contact history",
            "Attempts of the last 7 days above the pace of the last 30.",
            Derived(Ratio.excess, ("attempts_7d", "attempts_30d"), 7 / 30),
            "{value} attempts more in the last week than the pace of the month",
            below="{value} attempts fewer in the last week than the pace of the month",
            short="attempts of a week above the month's pace",
        ),
        Feature(
            "contact_intensity_change_30d", "count", "contact history",
            "Attempts of the last 30 days above the pace of the last 90.",
            Derived(Ratio.excess, ("attempts_30d", "attempts_90d"), 1 / 3),
            "{value} attempts more in the last month than the pace of the quarter",
            below="{value} attempts fewer in the last month than the pace of the quarter",
            short="attempts of a month above the quarter's pace",
        ),
    ]  # fmt: skip


def _cost() -> list[Feature]:
    spent = where("contacts", direction="outbound")
    return [
        *(
            Feature(
                f"contact_cost{suffix(days)}", "amount", "contact history", f"Cost of the attempts {over(days)}.",
                Total(spent, days), phrase("{value} spent on contact {over}", over=over(days)),
            )
            for days in (30, 90, None)
        ),
        Feature(
            "contact_cost_share_of_balance", "share", "contact history", "Cost of all attempts so far, by the balance.",
            Derived(Ratio.share, ("contact_cost", "balance")), "{value} of the balance spent on contact",
            "nothing owed",
        ),
        Feature(
            "contact_cost_per_right_party", "amount", "contact history",
            "Cost of all attempts so far by talks with the right party.",
            Derived(Ratio.share, ("contact_cost", "right_party_contacts")), "{value} spent for each talk",
            "no talk with the right party so far", short="cost per right-party contact",
        ),
    ]  # fmt: skip
