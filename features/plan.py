"""From features to the kernel's plan: which events count in which slot, and where among the values each result is.

The order of the values is that of `kernel.fill`: what is worked out by hand, then table by table counts, totals and
times since, then restrictions, what is given, what is derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from features.catalog.grammar import (
    WINDOWS,
    Attribute,
    Category,
    Count,
    DaysSince,
    Derived,
    Feature,
    GroupRate,
    Measure,
    Quantity,
    Restricted,
    Total,
    Where,
    where,
)
from features.contract import PROMISE_GRACE_DAYS, REACHED_OUTCOMES, RESTRICTIONS
from features.histories import amount_kinds, contact_kinds, promise_kinds, settlement_kinds
from features.kernel import ANSWERED, ATTEMPT, DAY, N_SCANNED, NO_ANSWER, RIGHT_PARTY, Plan, Ratio, Scanned

#: What the kernel works out by hand, and cannot say of an account to which nothing has happened.
MISSING_AT_FIRST = frozenset(
    (
        "days_since_first_contact", "days_to_next_promise", "overdue_promise_days", "last_promise_kept",
        "last_promise_amount", "broken_promise_paid_share", "days_to_keep_promise", "days_since_first_payment",
        "last_payment_amount", "largest_payment", "payment_gap_days", "longest_payment_gap_days", "usual_payday",
        "payday_share", "days_to_payday", "days_since_last_cure", "last_promise_days_late", "promise_days_late",
        "most_promise_days_late",
    )
)  # fmt: skip
Given = Attribute | Category | GroupRate
Kinds = list[dict[str, str]]
Positions = npt.NDArray[np.uint32]

#: Somebody answers an attempt; what is sent only arrives.
ROLES = {
    ATTEMPT: where("contacts", direction="outbound"),
    NO_ANSWER: where("contacts", direction="outbound", outcome="no_answer"),
    ANSWERED: where("contacts", direction="outbound", outcome=("wrong_number", "third_party", *REACHED_OUTCOMES)),
    RIGHT_PARTY: where("contacts", outcome=REACHED_OUTCOMES),
}


def kinds_of(channels: tuple[str, ...]) -> dict[str, Kinds]:
    """Every kind of event of each tallied table, in the order of its code."""
    return {
        "contacts": contact_kinds(channels),
        "payments": amount_kinds("payments"),
        "charges": amount_kinds("charges"),
        "promises": promise_kinds(),
        "settlements": settlement_kinds(),
    }


def matches(kind: dict[str, str], events: Where) -> bool:
    """Whether events of a kind are among those of a selection."""
    return all(kind[dimension] in values for dimension, values in events.conditions)


def given_measures(features: Iterable[Feature]) -> tuple[Given, ...]:
    """What is to be looked up before the kernel runs, in the order in which it expects it."""
    measures = (feature.measure for feature in features)
    return tuple(dict.fromkeys(measure for measure in measures if isinstance(measure, Given)))


@lru_cache(maxsize=8)  # it takes a tenth of a second, and the same features are prepared again and again
def compile_plan(wanted: tuple[Feature, ...], inputs: tuple[Feature, ...], channels: tuple[str, ...]) -> Plan:
    """Compile features for the kernel.

    Args:
        wanted: the features that are the columns of the output, in order.
        inputs: those that only serve to derive others.
        channels: the portfolio's channels, in its order.
    """
    every = {feature.name: feature.measure for feature in (*wanted, *inputs)}
    measures = list(dict.fromkeys(every.values()))
    places: dict[Measure, int] = {Quantity(quantity.name): quantity.value for quantity in Scanned}
    place, n_kinds, rows, slots = N_SCANNED, 0, [], []
    for table, kinds in kinds_of(channels).items():
        tally = _Tally(table, kinds, measures)
        rows.append((n_kinds, *tally.sizes, place, *tally.widths))
        slots.append(tally.slots())
        n_kinds += len(kinds)
        places |= tally.places(place)
        place += tally.n_values
    restricted = place
    for kind in RESTRICTIONS:
        places |= {Restricted(kind, what): place + which for which, what in enumerate(("active", "ever", "since"))}
        place += 3
    given = place
    for measure in given_measures((*wanted, *inputs)):
        places[measure] = place
        place += 1
    derived = sorted((measure for measure in measures if isinstance(measure, Derived)), key=lambda one: one.ratio)
    places |= {one: place + which for which, one in enumerate(derived)}
    place += len(derived)
    inputs_of = [[places[every[name]] for name in measure.inputs] for measure in derived]
    contacts = contact_kinds(channels)
    return Plan(
        windows=np.array(WINDOWS, dtype=np.int64) * DAY,
        tables=np.array(rows, dtype=np.int64),
        slots=_stacked(slots),
        roles=np.array([_roles(kind) for kind in contacts], dtype=np.int32),
        derived=np.array([[of[0] for of in inputs_of], [of[-1] for of in inputs_of]], dtype=np.uint32),
        weights=np.array([measure.weight for measure in derived], dtype=np.float64),
        ratios_start=np.searchsorted([measure.ratio for measure in derived], np.arange(len(Ratio) + 1)),
        source=np.array([places[feature.measure] for feature in wanted], dtype=np.uint32),
        nothing=_nothing(places, place),
        restricted=restricted,
        given=given,
        grace=PROMISE_GRACE_DAYS * DAY,
    )


def _nothing(places: dict[Measure, int], n_values: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The values of an account to which nothing has happened: zero, or missing."""
    nothing = np.zeros(n_values)
    for measure, place in places.items():
        since = isinstance(measure, DaysSince) or (isinstance(measure, Restricted) and measure.what == "since")
        if since or (isinstance(measure, Quantity) and measure.name in MISSING_AT_FIRST):
            nothing[place] = np.nan
    return nothing


def _stacked(slots: Sequence[Positions]) -> Positions:
    """The slots of all tables' kinds, one table after the other, as wide as the widest."""
    stacked = np.zeros((sum(map(len, slots)), max(of_table.shape[1] for of_table in slots)), dtype=np.uint32)
    first = 0
    for of_table in slots:
        stacked[first : first + len(of_table), : of_table.shape[1]] = of_table
        first += len(of_table)
    return stacked


class _Tally:
    """The slots of one table: which selections of its events are counted, totalled and dated.

    After those asked for come as many that nobody asks for, for kinds that count in fewer than others do.
    """

    def __init__(self, table: str, kinds: Kinds, measures: Sequence[Measure]) -> None:
        self.kinds = kinds
        self.measures = [
            measure
            for measure in measures
            if isinstance(measure, Count | Total | DaysSince) and measure.events.table == table
        ]
        self.counted, self.totalled, self.dated = (self._selections(what) for what in (Count, Total, DaysSince))
        self.sorts = [self._slots_of_kinds(selections) for selections in (self.counted, self.totalled, self.dated)]

    def _selections(self, what: type) -> list[Where]:
        return list(dict.fromkeys(measure.events for measure in self.measures if isinstance(measure, what)))

    def _slots_of_kinds(self, selections: list[Where]) -> list[list[int]]:
        return [[slot for slot, events in enumerate(selections) if matches(kind, events)] for kind in self.kinds]

    @property
    def widths(self) -> tuple[int, int, int]:
        """The most slots of each sort that a kind has."""
        counted, totalled, dated = (max(map(len, of_kinds)) for of_kinds in self.sorts)
        return counted, totalled, dated

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many slots there are of each sort."""
        counted, totalled, dated = (
            len(selections) + width
            for selections, width in zip((self.counted, self.totalled, self.dated), self.widths, strict=True)
        )
        return counted, totalled, dated

    @property
    def n_values(self) -> int:
        counted, totalled, dated = self.sizes
        return (len(WINDOWS) + 1) * (counted + totalled) + dated

    def slots(self) -> Positions:
        """The slots of each kind, `(n_kinds, width)`: those counted, those totalled, those dated."""
        selections = (self.counted, self.totalled, self.dated)
        return np.array(
            [
                [
                    slot
                    for of_kinds, asked, width in zip(self.sorts, selections, self.widths, strict=True)
                    for slot in [*of_kinds[kind], *range(len(asked), len(asked) + width)][:width]
                ]
                for kind in range(len(self.kinds))
            ],
            dtype=np.uint32,
        ).reshape(len(self.kinds), sum(self.widths))

    def places(self, first: int) -> dict[Measure, int]:
        """Where among the values each measure's result is, when the table's own begin at `first`."""
        return {measure: first + self._place(measure) for measure in self.measures}

    def _place(self, measure: Count | Total | DaysSince) -> int:
        counted, totalled, _ = self.sizes
        n_bins = len(WINDOWS) + 1
        if isinstance(measure, DaysSince):
            return n_bins * (counted + totalled) + self.dated.index(measure.events)
        window = len(WINDOWS) if measure.days is None else WINDOWS.index(measure.days)
        if isinstance(measure, Count):
            return window * counted + self.counted.index(measure.events)
        return n_bins * counted + window * totalled + self.totalled.index(measure.events)


def _roles(kind: dict[str, str]) -> int:
    return sum(role for role, events in ROLES.items() if matches(kind, events))
