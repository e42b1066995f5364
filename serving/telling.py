"""What is told of the rows of a queue: what their history says, why they have their channel, what would change that.

Options of one channel, calls at other hours, are told as one: the row's own, else the one that is worth most at the
prices.
"""

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
    for place, against in zip(barred, forbidden(day.histories, rows[barred], day.as_of, of_person=True), strict=True):
        rules[place] = against
    lines = lines_of(offers, rules, language)
    told = {"history": history_lines(day.histories, rows, day.as_of, language)} | vars(lines)
    return {name: pd.Series(texts, dtype=object) for name, texts in told.items()}


def offers_of(day: Day, plan: DayPlan, by_rule: Rows, drawn: Drawn, taken: Rows) -> Offers:
    """What was chosen among for the accounts at `taken`; the arguments are those of `told_of`."""
    actions, of_option = day.actions, day.options.channel
    channels, row = slice(0, actions.waiting), np.arange(len(taken))[:, None]
    option = _one_each(day, plan, drawn, taken)
    gain = plan.gain[taken][row, option]
    adds = np.where(gain > -np.inf, gain, np.nan)
    if actions.effects_known:
        # What those that are closed would add is known, too.
        known = (day.worth[taken] - day.worth[taken][:, [actions.waiting]])[:, channels]
        adds = np.where(actions.supported[channels], np.where(gain > -np.inf, gain, known), np.nan)
    closed = np.zeros(gain.shape, dtype=np.bool_)
    if day.rungs is not None:
        closed = (day.allowed[taken] & ~day.rungs.channels(actions.names)[taken])[:, channels]
    return Offers(
        channels=actions.names[channels],
        adds=adds,
        charge=plan.charge[taken][row, option],
        open=gain > -np.inf,
        worked=(day.worked & actions.enabled)[channels],
        blocked=day.blocked[taken],
        closed=closed,
        chosen=of_option[drawn.channel[taken]],
        by_rule=of_option[by_rule[taken]],
        explored=drawn.explored[taken],
        right=np.where(day.due.broken, Right.BROKEN_PROMISE, np.where(plan.first, Right.UNSEEN, Right.NONE))[taken],
        usual=None if actions.effects_known else actions.usual,
        has_money=actions.has_money,
        zone=day.histories.timezones[day.rows[taken]],
        as_of=day.as_of,
    )


def _one_each(day: Day, plan: DayPlan, drawn: Drawn, taken: Rows) -> Rows:
    """The option by which each channel is told, `(m, n_channels)`."""
    of_option, net = day.options.channel, plan.gain[taken] - plan.charge[taken]
    found = np.empty((len(taken), day.actions.waiting), dtype=np.int64)
    for channel in range(day.actions.waiting):
        options = np.flatnonzero(of_option == channel)
        found[:, channel] = options[net[:, options].argmax(axis=1)]
    own = drawn.channel[taken]
    found[np.arange(len(taken)), of_option[own]] = own
    return found
