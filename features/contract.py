"""The data contract, as data: the tables of a portfolio, their columns, and the words that may stand in them.

Everything that reads, checks, writes or documents a portfolio takes its names from here. A table is a `Table`
of `Column`s; a column has a `Kind` (how its values are read) and, for a number, the `Interval` it lies in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

#: The channels a portfolio has unless its settings say otherwise, cheapest first.
CHANNELS = ("sms", "email", "call", "letter", "visit", "legal_letter")
#: The action of waiting: always possible, never a row of `contacts`.
NO_CHANNEL = "none"
#: What came of an attempt, from weakest to strongest evidence about the debtor.
OUTCOMES = (
    "sent",
    "delivered",
    "no_answer",
    "wrong_number",
    "third_party",
    "right_party",
    "promise",
    "refusal",
    "dispute",
)
#: Outcomes in which the debtor was spoken to, or answered.
REACHED_OUTCOMES = ("right_party", "promise", "refusal", "dispute")
DIRECTIONS = ("outbound", "inbound")
#: The direction of a contact that does not name one: an attempt of the collector.
DEFAULT_DIRECTION = "outbound"
#: Why an account, a channel or a contact point is not to be worked.
#: `closed` is settled, written off, recalled or sold.
RESTRICTIONS = (
    "closed",
    "deceased",
    "dispute",
    "fraud",
    "bankruptcy",
    "vulnerable",
    "breathing_space",
    "do_not_contact",
    "channel_opt_out",
    "invalid_contact",
)
#: How long after its due date a promise may still be paid before it counts as broken.
PROMISE_GRACE_DAYS = 3
#: Amounts beyond this, in the main unit, are taken for damage: sums of them would not fit an int64.
AMOUNT_LIMIT = 1e12
#: Ids are indexed, and an index takes no text of any length; a longer one is taken for damage.
LONGEST_ID = 500
#: Times outside these years are taken for damage (`0001-01-01`, `9999-12-31` and their like).
FIRST_YEAR, END_YEAR = 1900, 2200
SETTINGS_FILE = "portfolio.toml"


class Kind(StrEnum):
    """How the values of a column are read, and what they come out as."""

    ID = "id"  # text, kept exactly but for surrounding blanks
    TEXT = "text"  # free text; blank is null
    TIME = "time"  # ISO 8601 or native timestamp; without a zone it is UTC, a date is the start of its day
    END = "end"  # a time; one beyond all years (9999-12-31) stands for no end, and is null
    AMOUNT = "amount"  # money in the main unit
    SHARE = "share"  # a plain number with an interval: a rate or a probability
    NUMBER = "number"  # a declared numeric attribute
    CHANNEL = "channel"  # one of the portfolio's channels
    ACTION = "action"  # one of the portfolio's channels, or `none`
    OUTCOME = "outcome"  # one of OUTCOMES
    DIRECTION = "direction"  # one of DIRECTIONS
    RESTRICTION = "restriction"  # one of RESTRICTIONS
    ZONE = "zone"  # an IANA time zone
    FLAG = "flag"  # true or false


TEXT_KINDS = frozenset(
    {
        Kind.ID,
        Kind.TEXT,
        Kind.CHANNEL,
        Kind.ACTION,
        Kind.OUTCOME,
        Kind.DIRECTION,
        Kind.RESTRICTION,
        Kind.ZONE,
    }
)
TIME_KINDS = frozenset({Kind.TIME, Kind.END})
NUMBER_KINDS = frozenset({Kind.AMOUNT, Kind.SHARE, Kind.NUMBER})


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`, `low` itself left out when `above` is true."""

    low: float
    high: float
    above: bool = False

    def __str__(self) -> str:
        """Say the interval as a rule.

        >>> str(Interval(0, 1)), str(Interval(0, 1, above=True)), str(Interval(0, math.inf))
        ('from 0 to 1', 'above 0 and up to 1', 'at least 0')
        """
        if self.high == math.inf:
            return f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return f"above {self.low:g} and up to {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"


ANY_AMOUNT = Interval(-AMOUNT_LIMIT, AMOUNT_LIMIT)
NO_DEBT_OR_MORE = Interval(0, AMOUNT_LIMIT)
SOME_AMOUNT = Interval(0, AMOUNT_LIMIT, above=True)
RATE = Interval(0, 1)
PROBABILITY = Interval(0, 1, above=True)


@dataclass(frozen=True)
class Column:
    """One column: `required` means that it must be there, `nullable` that its cells may be blank."""

    name: str
    kind: Kind
    required: bool
    nullable: bool
    meaning: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Table:
    """One table: `time` names the column that says when a row happened, `id` the one that tells rows apart.

    `time` of accounts is `placed_at`, or `opened_at` where that is blank.
    """

    name: str
    required: bool
    time: str
    id: str | None
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the contract's columns, in the contract's order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; `KeyError` when the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def must(name: str, kind: Kind, meaning: str, interval: Interval | None = None) -> Column:
    """A column that must be there, with a value in every row."""
    return Column(name, kind, True, False, meaning, interval)


def may(name: str, kind: Kind, meaning: str, interval: Interval | None = None) -> Column:
    """A column that may be absent, and whose cells may be blank."""
    return Column(name, kind, False, True, meaning, interval)


_ACCOUNT = must("account_id", Kind.ID, "The account this belongs to.")
_RECORDED_AT = may("recorded_at", Kind.TIME, "When it was written down; the row counts from then (else from its time).")

_TABLES = (
    Table(
        "accounts",
        True,
        "placed_at",
        "account_id",
        "The debts, one row each.",
        (
            must("account_id", Kind.ID, "What the other tables call this debt by; unique."),
            must("opened_at", Kind.TIME, "When the debt arose."),
            Column("due_on", Kind.TIME, True, True, "The first missed due date; blank when there is none."),
            must("balance", Kind.AMOUNT, "What was owed at placed_at.", NO_DEBT_OR_MORE),
            must("segment", Kind.TEXT, "The kind of debt."),
            may("placed_at", Kind.TIME, "When it came to collections; opened_at when blank."),
            may("person_id", Kind.TEXT, "The debtor, who may owe several debts."),
            may("portfolio", Kind.TEXT, "The part of the book it belongs to."),
            may("commission_rate", Kind.SHARE, "The share of what is collected that is earned.", RATE),
            may("timezone", Kind.ZONE, "The debtor's IANA time zone."),
            may("jurisdiction", Kind.TEXT, "The rule pack for contacting this debtor."),
        ),
    ),
    Table(
        "contacts",
        True,
        "at",
        "contact_id",
        "Attempts to reach the debtor, and the debtor's own.",
        (
            _ACCOUNT,
            must("at", Kind.TIME, "When it happened."),
            must("channel", Kind.CHANNEL, "By which channel."),
            must("outcome", Kind.OUTCOME, "What came of it."),
            may("contact_id", Kind.ID, "What this contact is called by; unique."),
            may("direction", Kind.DIRECTION, "Who made it; outbound when blank."),
            may("contact_point", Kind.TEXT, "An opaque id of the number or address used."),
            may("cost", Kind.AMOUNT, "What it cost.", NO_DEBT_OR_MORE),
            may("agent", Kind.TEXT, "Who did it."),
            may("propensity", Kind.SHARE, "The probability with which the policy chose it.", PROBABILITY),
            _RECORDED_AT,
        ),
    ),
    Table(
        "payments",
        True,
        "at",
        "payment_id",
        "Money that came in, or was taken back.",
        (
            _ACCOUNT,
            must("at", Kind.TIME, "When it was paid."),
            must("amount", Kind.AMOUNT, "How much; negative is a reversal.", ANY_AMOUNT),
            may("payment_id", Kind.ID, "What this payment is called by; unique."),
            _RECORDED_AT,
        ),
    ),
    Table(
        "promises",
        False,
        "made_at",
        "promise_id",
        "Promises to pay.",
        (
            _ACCOUNT,
            must("made_at", Kind.TIME, "When it was made."),
            must("due_on", Kind.TIME, "When it is to be paid."),
            must("amount", Kind.AMOUNT, "How much was promised.", SOME_AMOUNT),
            may("promise_id", Kind.ID, "What this promise is called by; unique."),
            _RECORDED_AT,
        ),
    ),
    Table(
        "charges",
        False,
        "at",
        None,
        "What was added to the balance, or taken off it.",
        (
            _ACCOUNT,
            must("at", Kind.TIME, "When it was booked."),
            must("amount", Kind.AMOUNT, "How much; negative is a credit note or write-down.", ANY_AMOUNT),
            may("due_on", Kind.TIME, "When it is to be paid."),
            may("kind", Kind.TEXT, "What it is for."),
            _RECORDED_AT,
        ),
    ),
    Table(
        "restrictions",
        False,
        "at",
        None,
        "What forbids or ends work on an account, a channel or a contact point.",
        (
            _ACCOUNT,
            must("at", Kind.TIME, "From when."),
            must("kind", Kind.RESTRICTION, "What it is."),
            may("channel", Kind.CHANNEL, "The only channel it holds for; all when blank."),
            may("contact_point", Kind.TEXT, "The only contact point it holds for; all when blank."),
            may("until", Kind.END, "Until when; without end when blank."),
            _RECORDED_AT,
        ),
    ),
    Table(
        "decisions",
        False,
        "at",
        None,
        "What a policy chose, where it logs that.",
        (
            _ACCOUNT,
            must("at", Kind.TIME, "When it was chosen."),
            must("channel", Kind.ACTION, "What was chosen; none is to wait."),
            must("propensity", Kind.SHARE, "The probability with which the policy chose it.", PROBABILITY),
            may("explored", Kind.FLAG, "Drawn at random rather than by rule; false when blank."),
            may("policy", Kind.TEXT, "The policy that chose."),
            _RECORDED_AT,
        ),
    ),
)

#: Every table of a portfolio by its name, accounts first.
TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _TABLES})


def column_names() -> frozenset[str]:
    """Every column name that the contract uses in any table; an attribute may have none of them."""
    return frozenset(name for table in TABLES.values() for name in table.column_names)
