"""From the catalogue to the kernel's plan: which events count in which slot, and which column each result goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from features.catalog.grammar import WINDOWS, Count, DaysSince, Feature, Quantity, Restricted, Total, Where
from features.contract import PROMISE_GRACE_DAYS, REACHED_OUTCOMES, RESTRICTIONS
from features.histories import amount_kinds, contact_kinds
from features.kernel import DAY, Plan, Scanned, TallyPlan

#: Outcomes of an attempt to talk, as against a message that is sent.
CONVERSATION = ("no_answer", "wrong_number", "third_party", *REACHED_OUTCOMES)


def compile_plan(features: Iterable[Feature], columns: Mapping[str, int], channels: tuple[str, ...]) -> Plan:
    """Compile the features that the kernel fills.

    Args:
        features: any features; those that are not the kernel's are passed over.
        columns: the column of the matrix that each feature's value goes to.
        channels: the portfolio's channels, in its order.
    """
    wanted = list(features)
    contacts = contact_kinds(channels)
    scanned = np.full(len(Scanned), -1, dtype=np.int64)
    restrictions = np.full((len(RESTRICTIONS), 3), -1, dtype=np.int64)
    for feature in wanted:
        if isinstance(feature.measure, Quantity):
            scanned[Scanned[feature.measure.name]] = columns[feature.name]
        elif isinstance(feature.measure, Restricted):
            what = ("active", "ever", "since").index(feature.measure.what)
            restrictions[RESTRICTIONS.index(feature.measure.kind), what] = columns[feature.name]
    return Plan(
        windows=np.array(WINDOWS, dtype=np.int64) * DAY,
        contacts=_tally_plan("contacts", contacts, wanted, columns),
        payments=_tally_plan("payments", amount_kinds("payments"), wanted, columns),
        charges=_tally_plan("charges", amount_kinds("charges"), wanted, columns),
        scanned=scanned,
        restrictions=restrictions,
        no_answer=_flags(contacts, direction=("outbound",), outcome=("no_answer",)),
        attempted=_flags(contacts, direction=("outbound",)),
        spoken=_flags(contacts, outcome=REACHED_OUTCOMES),
        conversation=_flags(contacts, direction=("outbound",), outcome=CONVERSATION),
        grace=PROMISE_GRACE_DAYS * DAY,
    )


def _tally_plan(
    table: str, kinds: list[dict[str, str]], features: list[Feature], columns: Mapping[str, int]
) -> TallyPlan:
    tallied = [
        (feature.name, feature.measure)
        for feature in features
        if isinstance(feature.measure, Count | Total | DaysSince) and feature.measure.events.table == table
    ]
    slots = list(dict.fromkeys(measure.events for _, measure in tallied))
    counts = np.full((len(slots), len(WINDOWS) + 1), -1, dtype=np.int64)
    totals = counts.copy()
    since = np.full(len(slots), -1, dtype=np.int64)
    for name, measure in tallied:
        slot = slots.index(measure.events)
        if isinstance(measure, DaysSince):
            since[slot] = columns[name]
        else:
            goal = counts if isinstance(measure, Count) else totals
            goal[slot, len(WINDOWS) if measure.days is None else WINDOWS.index(measure.days)] = columns[name]
    slots_of = [[slot for slot, events in enumerate(slots) if _matches(kind, events)] for kind in kinds]
    start = np.cumsum([0, *(len(these) for these in slots_of)]).astype(np.int64)
    flat = np.array([slot for these in slots_of for slot in these], dtype=np.int64)
    return TallyPlan(start, flat, counts, totals, since)


def _matches(kind: dict[str, str], events: Where) -> bool:
    return all(kind[dimension] in values for dimension, values in events.conditions)


def _flags(kinds: list[dict[str, str]], **conditions: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    events = Where("contacts", tuple(conditions.items()))
    return np.array([_matches(kind, events) for kind in kinds])
