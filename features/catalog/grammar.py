"""The grammar of the catalogue: what a feature is, and the few ways in which one can be measured.

A feature is data. `Count`, `Total` and `DaysSince` are declared over a `Where` and compiled into the kernel's plan;
a `Quantity` names one of the few things that the kernel works out by hand; `Derived` is a ratio of other features'
values; `Attribute` and `Category` come from the account alone, a `GroupRate` from the accounts that are like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from features.kernel import Ratio

#: The windows, in days before the moment, that counts and totals may be asked over; `None` is all time.
WINDOWS = (7, 30, 90, 180)


class Phrase(str):
    """A text that is made of a template and the texts of its parts: in another language these stand in another order.

    It is itself the English text; `{value}` and its like, for what is not known yet, stay in it.
    """

    template: str
    parts: Mapping[str, str]


def phrase(template: str, **parts: str) -> Phrase:
    """A text of a template and parts; a brace in a part stands for itself.

    >>> phrase("{value} {what} so far", what="calls")
    '{value} calls so far'
    """
    text = template
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part.replace("{", "{{").replace("}", "}}"))
    found = Phrase(text)
    found.template, found.parts = template, parts
    return found


def _as_phrase(text: str) -> Phrase:
    return text if isinstance(text, Phrase) else phrase(text)


def suffix(days: int | None) -> str:
    """The window as the end of a feature's name."""
    return "" if days is None else f"_{days}d"


def over(days: int | None) -> str:
    """The window as the end of a sentence."""
    return "so far" if days is None else f"in the last {days} days"


def window(days: int | None) -> str:
    """The window as the end of a label."""
    return "all time" if days is None else f"last {days} days"


@dataclass(frozen=True)
class Where:
    """Some events of one table: those whose every named dimension has one of the given values.

    Beside the contract's tables there is `settlements`: a promise that was kept, at the time at which it was covered,
    or broken, at the time at which its grace ran out.
    """

    table: str
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()


def where(table: str, **conditions: str | tuple[str, ...]) -> Where:
    """Select events of a table.

    >>> where("contacts", channel="call", outcome=("no_answer", "wrong_number")).conditions
    (('channel', ('call',)), ('outcome', ('no_answer', 'wrong_number')))
    """
    return Where(
        table,
        tuple((key, (value,) if isinstance(value, str) else value) for key, value in conditions.items()),
    )


@dataclass(frozen=True)
class Count:
    """How many of the events happened in the `days` before the moment, or ever."""

    events: Where
    days: int | None = None


@dataclass(frozen=True)
class Total:
    """The sum of the events' money (amount, or a contact's cost) in the `days` before the moment, or ever."""

    events: Where
    days: int | None = None


@dataclass(frozen=True)
class DaysSince:
    """Days from the latest of the events to the moment; missing where there was none."""

    events: Where


@dataclass(frozen=True)
class Quantity:
    """One of the things that the kernel works out by hand, by its name in `features.kernel.Scanned`."""

    name: str


@dataclass(frozen=True)
class Restricted:
    """Restrictions of one kind: how many are `active`, how many there `ever` were, or days `since` the latest began."""

    kind: str
    what: str


@dataclass(frozen=True)
class Derived:
    """A ratio of one or two other features, worked out from their values before these are rounded to float32.

    `weight` goes with the ratio: the prior rate of a `shrunk_rate`, what the second is multiplied by in an `excess`.
    """

    ratio: Ratio
    inputs: tuple[str, ...]
    weight: float = 0.0


@dataclass(frozen=True)
class Attribute:
    """A numeric column of the accounts."""

    column: str


@dataclass(frozen=True)
class Category:
    """A text column of the accounts, as its position among the categories known at training; else missing."""

    column: str


@dataclass(frozen=True)
class GroupRate:
    """A rate among the accounts of the same `segment` or `vintage`, as of the last UTC midnight.

    `part` by `whole`, both among `features.overview.MEASURES`: the part of what became known in the `days` before, or
    ever; balance placed counts from the beginning, any other whole over the same days. Missing where the whole is zero.
    """

    group: str
    part: str
    whole: str
    days: int | None = None


Measure = Count | Total | DaysSince | Quantity | Restricted | Derived | Attribute | Category | GroupRate


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

    `reason` is what a collector reads where the feature speaks for or against an account; `{value}` stands for the
    value in its unit. `absent` is read instead where the value is missing, `below` where it is below zero: there
    `{value}` stands for how far. `short` is what tables call it, where that does not follow from the reason. Each may
    be a `Phrase`.
    """

    name: str
    unit: str
    family: str
    sentence: str
    measure: Measure
    reason: str
    absent: str = ""
    below: str = ""
    short: str = ""

    @property
    def label(self) -> Phrase:
        """What tables call it, in few words.

        >>> counted = phrase("{value} {what} {over}", what="visits", over=over(30))
        >>> Feature("visits_30d", "count", "", "", Count(where("contacts"), 30), counted).label
        'visits, last 30 days'
        >>> Feature("refused", "days", "", "", DaysSince(where("contacts")), "latest refusal {value} days ago").label
        'days since the latest refusal'
        """
        if self.short:
            return _as_phrase(self.short)
        reason = _as_phrase(self.reason)
        template = reason.template
        for pattern, label in _LABELS:
            template = re.sub(pattern, label, template)
        return phrase(template, **reason.parts, window=window(self.window_days))

    @property
    def window_days(self) -> int | None:
        """The window in days, where the feature has one."""
        return self.measure.days if isinstance(self.measure, Count | Total | GroupRate) else None

    @property
    def reads(self) -> str:
        """What it is worked out from: tables of the contract, other features, or the date."""
        measure = self.measure
        if isinstance(measure, Count | Total | DaysSince):
            return "promises, payments" if measure.events.table == "settlements" else measure.events.table
        if isinstance(measure, Derived):
            return ", ".join(f"`{name}`" for name in measure.inputs)
        if isinstance(measure, Quantity):
            return TABLES_OF_QUANTITY.get(measure.name, QUANTITY_TABLES[self.family])
        if isinstance(measure, Restricted):
            return "restrictions"
        if isinstance(measure, GroupRate):
            return "accounts, payments" if measure.part == "paid" else "accounts, contacts"
        return "accounts"

    @property
    def is_category(self) -> bool:
        """Whether the column holds the position of a category rather than a quantity."""
        return isinstance(self.measure, Category)


#: How a reason becomes a label, in this order; of another form than these, its feature says what is `short` for it.
_LABELS = (
    (r"^latest (.+?)(?: began)? \{value\} days ago$", r"days since the latest \1"),
    (r"^\{value\} of (?:the )?", "share of "),
    (r"^\{value\} ", ""),
    (r" \{over\}$", ", {window}"),
)
#: The tables that the kernel reads for what it works out by hand, by the family of the feature.
QUANTITY_TABLES = {
    "contact history": "contacts",
    "promises": "promises, payments",
    "payments": "payments",
    "balance and charges": "accounts, charges, payments",
    "ageing": "accounts",
    "restrictions": "restrictions",
}
#: Those for which it reads others than their families do.
TABLES_OF_QUANTITY = {
    "placed_balance": "accounts",
    "last_promise_amount": "promises",
    "token_payments": "accounts, payments",
    "paid_since_placed": "accounts, payments",
    "usual_payday": "accounts, payments",
    "payday_share": "accounts, payments",
    "days_to_payday": "accounts, payments, the date",
    "calendar_month": "the date",
    "calendar_day": "the date",
    "calendar_weekday": "the date",
}

#: What a unit means, and how a value of it is written for a person.
UNITS = {
    "count": "{:.0f}",
    "days": "{:.0f}",
    "amount": "{:,.2f}",
    "share": "{:.0%}",
    "ratio": "{:.2f}",
    "flag": "{:.0f}",
    "category": "{}",
    "ordinal": "{:.0f}",
}
