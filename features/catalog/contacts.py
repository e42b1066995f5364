"""Contact history: how often, through what, with what answer, how long ago, and at what hour."""

from __future__ import annotations

from features.catalog.grammar import Count, DaysSince, Derived, Feature, Quantity, Total, where
from features.catalog.ratios import share, shrunk_rate, weekly_change
from features.contract import REACHED_OUTCOMES

#: What a channel's contacts are called.
PLURALS = {
    "sms": "SMS",
    "email": "e-mails",
    "call": "calls",
    "letter": "letters",
    "visit": "visits",
    "legal_letter": "legal letters",
}
#: Answers, with what a collector would say.
ANSWERS = {
    "no_answer": (("no_answer",), "without an answer"),
    "wrong_number": (("wrong_number",), "to a wrong number or address"),
    "third_party": (("third_party",), "answered by somebody else"),
    "right_party": (REACHED_OUTCOMES, "that reached the right party"),
    "promise": (("promise",), "that brought a promise"),
    "refusal": (("refusal",), "that ended in a refusal"),
}
#: Channels on which somebody can answer; what is sent only arrives.
SPEAKING = ("call", "visit")
WINDOWS = (7, 30, 90, None)
DAYPARTS = {"morning": "before noon", "afternoon": "from noon to five", "evening": "after five"}


def features(channels: tuple[str, ...]) -> tuple[Feature, ...]:
    """Every feature of the contact history, for these channels."""
    return (
        *_attempts(channels),
        *_answers(channels),
        *_recency(channels),
        *_rates(),
        *_hours(),
        *_effort(),
    )


def plural(channel: str) -> str:
    """A channel's name as the stem of a feature's name.

    >>> plural("call"), plural("sms")
    ('calls', 'sms')
    """
    return PLURALS.get(channel, channel).lower().replace("-", "").replace(" ", "_")


def suffix(days: int | None) -> str:
    """The window as the end of a feature's name."""
    return "" if days is None else f"_{days}d"


def over(days: int | None) -> str:
    """The window as the end of a sentence."""
    return "so far" if days is None else f"in the last {days} days"


def _count(name: str, what: str, days: int | None, **conditions: str | tuple[str, ...]) -> Feature:
    return Feature(
        name=name + suffix(days),
        unit="count",
        family="contact history",
        sentence=f"How many {what} there were {over(days)}.",
        measure=Count(where("contacts", **conditions), days),
        reason=f"{{value}} {what} {over(days)}",
    )


def _attempts(channels: tuple[str, ...]) -> list[Feature]:
    found = [_count("attempts", "attempts to make contact", days, direction="outbound") for days in WINDOWS]
    for channel in channels:
        what = f"{PLURALS.get(channel, channel)} to the debtor"
        found += [_count(plural(channel), what, days, channel=channel, direction="outbound") for days in WINDOWS]
    found += [_count("inbound_contacts", "contacts made by the debtor", days, direction="inbound") for days in WINDOWS]
    return found


def _answers(channels: tuple[str, ...]) -> list[Feature]:
    found: list[Feature] = []
    for channel in (channel for channel in channels if channel in SPEAKING):
        for answer, (outcomes, words) in ANSWERS.items():
            name, what = f"{plural(channel)}_{answer}", f"{PLURALS[channel]} {words}"
            windows = WINDOWS if channel == "call" else (None,)
            found += [
                _count(name, what, days, channel=channel, outcome=outcomes, direction="outbound") for days in windows
            ]
    for channel in (channel for channel in channels if channel not in SPEAKING):
        name, what = f"{plural(channel)}_delivered", f"{PLURALS.get(channel, channel)} known to have arrived"
        found.append(_count(name, what, None, channel=channel, outcome="delivered", direction="outbound"))
    for days in (30, None):
        found.append(_count("right_party_contacts", "talks with the right party", days, outcome=REACHED_OUTCOMES))
        found.append(_count("disputes_raised", "contacts in which the debt was disputed", days, outcome="dispute"))
    return found


def _days_since(name: str, what: str, **conditions: str | tuple[str, ...]) -> Feature:
    return Feature(
        name=f"days_since_last_{name}",
        unit="days",
        family="contact history",
        sentence=f"Days since the latest {what}.",
        measure=DaysSince(where("contacts", **conditions)),
        reason=f"latest {what} {{value}} days ago",
        absent=f"no {what} so far",
    )


def _recency(channels: tuple[str, ...]) -> list[Feature]:
    singular = {channel: channel.replace("_", " ") for channel in channels} | {
        "sms": "SMS",
        "email": "e-mail",
    }
    return [
        _days_since("attempt", "attempt to make contact", direction="outbound"),
        *(_days_since(channel, singular[channel], channel=channel, direction="outbound") for channel in channels),
        _days_since("right_party_contact", "talk with the right party", outcome=REACHED_OUTCOMES),
        _days_since("no_answer", "attempt without an answer", outcome="no_answer", direction="outbound"),
        _days_since("refusal", "refusal", outcome="refusal"),
        _days_since("wrong_number", "wrong number or address", outcome="wrong_number", direction="outbound"),
        _days_since("third_party", "answer by somebody else", outcome="third_party", direction="outbound"),
        _days_since("inbound_contact", "contact made by the debtor", direction="inbound"),
        Feature(
            "days_since_first_contact",
            "days",
            "contact history",
            "Days since the first contact, by either side.",
            Quantity("days_since_first_contact"),
            "first contact {value} days ago",
            "no contact so far",
        ),
    ]  # fmt: skip


def _rate(name: str, sentence: str, part: str, whole: str, reason: str) -> Feature:
    return Feature(name, "share", "contact history", sentence, Derived(shrunk_rate, (part, whole)), reason)


def _rates() -> list[Feature]:
    return [
        _rate(
            "call_right_party_rate", "Share of calls that reached the right party, shrunk to a prior of 20 %.",
            "calls_right_party", "calls", "about {value} of calls reach the right party",
        ),
        _rate(
            "call_right_party_rate_30d", "The same over the last 30 days.",
            "calls_right_party_30d", "calls_30d", "about {value} of calls reached the right party in the last 30 days",
        ),
        _rate(
            "promise_rate", "Share of calls to the right party that brought a promise, shrunk.",
            "calls_promise", "calls_right_party", "about {value} of talks bring a promise",
        ),
        _rate(
            "refusal_rate", "Share of calls to the right party that were refused, shrunk.",
            "calls_refusal", "calls_right_party", "about {value} of talks end in a refusal",
        ),
        _rate(
            "call_no_answer_rate", "Share of calls without an answer, shrunk.",
            "calls_no_answer", "calls", "about {value} of calls stay without an answer",
        ),
        Feature(
            "call_share", "share", "contact history", "Share of all attempts that were calls.",
            Derived(share, ("calls", "attempts")), "{value} of the attempts were calls", "no attempt so far",
        ),
    ]  # fmt: skip


def _hours() -> list[Feature]:
    found: list[Feature] = []
    for daypart, words in DAYPARTS.items():
        found.append(
            _count(
                f"calls_{daypart}",
                f"calls {words}",
                None,
                channel="call",
                direction="outbound",
                daypart=daypart,
            )
        )
        found.append(
            _count(
                f"calls_right_party_{daypart}", f"calls {words} that reached the right party", None,
                channel="call", direction="outbound", outcome=REACHED_OUTCOMES, daypart=daypart,
            )
        )  # fmt: skip
        found.append(
            _rate(
                f"call_right_party_rate_{daypart}", f"Share of calls {words} that reached the right party, shrunk.",
                f"calls_right_party_{daypart}", f"calls_{daypart}",
                f"about {{value}} of calls {words} reach the right party",
            )
        )  # fmt: skip
    return found


def _effort() -> list[Feature]:
    cost = where("contacts", direction="outbound")
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
        ),
        Feature(
            "contact_intensity_change", "count", "contact history",
            "Attempts of the last 7 days above the pace of the last 30.",
            Derived(weekly_change, ("attempts_7d", "attempts_30d")),
            "{value} attempts more in the last week than the pace of the month",
        ),
        Feature(
            "contact_cost", "amount", "contact history", "Cost of all attempts so far.",
            Total(cost), "{value} spent on contact so far",
        ),
        Feature(
            "contact_cost_90d", "amount", "contact history", "Cost of the attempts of the last 90 days.",
            Total(cost, 90), "{value} spent on contact in the last 90 days",
        ),
    ]  # fmt: skip
