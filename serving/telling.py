"""What is told of the rows of a queue: what their history says, why they have their channel, what would change that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.units import Rows
from serving.contact_rules.rules import Forbidden, forbidden
from serving.day import Day
from serving.exploration import Drawn
from serving.history_lines import history_lines
from serving.languages.language import Language
from serving.planning import DayPlan
from serving.why_channel import Offers, Right, lines_of

Mask = npt.NDArray[np.bool_]


def told_of(
    day: Day, plan: DayPlan, by_rule: Rows, drawn: Drawn, taken: Rows, language: Language
) -> dict[str, pd.Series[str]]:
    """The columns `history`, `why_channel` and `would_change` of the accounts at `taken`, `(m,)`.

    Args:
        day: what was chosen among.
        plan: the plan by rule, with its prices.
        by_rule: `(n,)` the option of each account by rule.
        drawn: the option that each account gets.
        taken: those in the queue, in its order.
        language: that of the lines.
    """
    offers, rows = offers_of(day, plan, by_rule, drawn, taken), day.rows[taken]
    rules: list[list[Forbidden]] = [[] for _ in rows]
    barred = np.flatnonzero(offers.barred() >= 0)
    for place, against in zip(barred, forbidden(day.under, rows[barred], day.as_of, of_person=True), strict=True):
        rules[place] = against
    lines = lines_of(offers, rules, language)
    told = {"history": history_lines(day.histories, rows, day.as_of, language)} | vars(lines)
    return {name: pd.Series(texts, dtype=object) for name, texts in told.items()}


def offers_of(day: Day, plan: DayPlan, by_rule: Rows, drawn: Drawn, taken: Rows) -> Offers:
    """What was chosen among for the accounts at `taken`, by option; the arguments are those of `told_of`."""
    actions, channel, gain = day.actions, day.options.channel, plan.gain[taken]
    adds = np.where(gain > -np.inf, gain, np.nan)
    if actions.effects_known:
        # What those that are closed would add is known, too.
        worth = day.worth[taken]
        by_channel = np.where(actions.supported, worth - worth[:, [actions.waiting]], np.nan)
        adds = np.where(gain > -np.inf, gain, by_channel[:, channel])
    closed = np.zeros(gain.shape, dtype=np.bool_)
    if day.rungs is not None:
        closed = day.rungs.shut(actions.names)[taken][:, channel]
    right = np.where(day.due.broken, Right.BROKEN_PROMISE, np.where(plan.first, Right.UNSEEN, Right.NONE))
    return Offers(
        channels=tuple(actions.names[place] for place in channel),
        hours=tuple(map(_span, day.options.hours)),
        adds=adds,
        charge=plan.charge[taken],
        open=gain > -np.inf,
        worked=(day.worked & actions.enabled)[channel],
        blocked=day.blocked[taken][:, channel],
        closed=closed,
        chosen=drawn.channel[taken],
        by_rule=by_rule[taken],
        explored=drawn.explored[taken],
        right=right[taken].astype(np.int64),
        usual=None if actions.effects_known else int(np.flatnonzero(channel == actions.usual)[0]),
        beside=len(day.supply.names) > actions.waiting,
        has_money=actions.has_money,
        zone=day.histories.timezones[day.rows[taken]],
        as_of=day.as_of,
    )


def _span(hours: Mask) -> tuple[int, int] | None:
    """From when to when some hours of the day, `(24,)`, are; None for the whole day, and `(0, 0)` for what is left."""
    found = np.flatnonzero(hours)
    if len(found) == len(hours):
        return None
    is_one = len(found) and found[-1] - found[0] + 1 == len(found)
    return (int(found[0]), int(found[-1]) + 1) if is_one else (0, 0)
