"""The queue: which accounts are worked, in which order and through which channel, under capacities and contact rules.

What counts is what working an account adds: the value of the action less that of waiting. Channels are given to
accounts so that all of it together is largest under the capacities (`serving.planning`), and rows are ordered by what
they add less the price of what they take, which is what that would add elsewhere. Where no effect is known, what is
expected of an account counts, and the channel is the usual one. Accounts that are due (`serving.due`) come before all
others. Where a share is explored (`serving.exploration`), an account keeps the place in the order that it has by rule.

Every live account ends in one place: in the queue, held back, or not reached, which is counted by why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import standing
from features.histories import Histories
from features.stages import stages
from features.units import Rows, from_money
from serving.best_hour import best_hours
from serving.contact_rules.packs import notes_of_packs, pack_called
from serving.contact_rules.rules import next_allowed, reasons_held
from serving.day import Day, Scenario, accounts_of, day_of
from serving.exploration import Drawn, Exploration, draw, plan_exploration
from serving.ladder.policy import Ladder
from serving.languages.language import ENGLISH, Language, translatable
from serving.persons import shared
from serving.planning import DayPlan, fill, plan_of, used_of
from serving.scoring import Actions, Mask, Scorer
from serving.telling import told_of
from serving.what_if import Alternative, alternatives_of
from training.bundle import Floats

_CALL = "call"
HELD_COLUMNS = ("account_id", "why", "next_allowed_at", "stage")
#: Why a live account is in neither the queue nor the list of those held back.
NOT_REACHED = {
    "beyond_capacity": "worth working, beyond the capacity of today",
    "no_gain": "working them is worth no more than waiting",
    "no_channel": "no channel that is worked today, allowed, and of known effect",
    "no_rung": "the ladder closes all channels that could be worked",
    "resting": "contacted in the last days, and left alone as the portfolio's rules say",
    "other_debt": "another debt of the same person is worked today, and rules leave no room for both",
}


@dataclass(frozen=True)
class Queue:
    """A queue. `rows` is in order of rank; `counts` says where every live account ended; `notes` is for people.

    `prices` is what one more of each capacity would add, `used` how much is taken of those that have a name of their
    own; `what_if` what other scenarios would bring. What is told of a row, and why an account is held back, is in the
    language that was asked for.
    """

    rows: pd.DataFrame
    held: pd.DataFrame
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    prices: Mapping[str, float]
    used: Mapping[str, float]
    what_if: tuple[Alternative, ...] = ()


def build_queue(  # noqa: PLR0913, PLR0917 an argument for each thing that may be asked for
    scorer: Scorer, scores: pd.DataFrame, histories: Histories, as_of: int, capacities: Mapping[str, float],
    exploration: Exploration | None = None, alternatives: Sequence[Scenario] = (), ladder: Ladder | None = None,
    language: Language = ENGLISH,
) -> Queue:  # fmt: skip
    """Order the scored accounts under capacities and contact rules.

    Args:
        scorer: what scored them.
        scores: the scores table as of that moment.
        histories: what was scored.
        as_of: the moment, an instant.
        capacities: how many actions a day each channel can take, and the limits of named capacities; a channel that is
            not named is not worked, a named capacity has its own limit.
        exploration: which share of the places is given at random; none where it is None.
        alternatives: other scenarios, of which it is told what they would bring.
        ladder: what closes channels to accounts, beside the contact rules; nothing where it is None.
        language: that of what is told of the rows, of why accounts are held back, and of the notes.

    Returns:
        The queue, `reasons` still blank.
    """
    day = day_of(scorer, scores, histories, as_of, Scenario(capacities), ladder)
    chosen = _choose(day, exploration)
    held: Mask = ~np.asarray(day.allowed[:, : day.actions.waiting].any(axis=1))
    taken = replace(chosen.plan, choice=chosen.by_rule).in_order()
    told = told_of(day, chosen.plan, chosen.by_rule, chosen.drawn, taken, language)
    return Queue(
        rows=_queue_rows(day, chosen, taken).assign(**told, reasons=""),
        held=_held_rows(day, np.flatnonzero(held), language),
        counts=_counts(day, chosen, held),
        notes=(
            *_note_of_effects(day.actions, day.worked, language),
            *day.due.notes(language),
            *([] if day.rungs is None else day.rungs.notes(language)),
            *notes_of_packs(day.packs, as_of, language),
            *_notes_of_capacities(day, language),
        ),
        prices=day.prices(chosen.plan.solved.prices),
        used=day.used(used_of(day, chosen.drawn.channel)),
        what_if=alternatives_of(day, plan_of(day) if exploration and alternatives else chosen.plan, alternatives),
    )


def with_reasons(queue: Queue, reasons: list[str]) -> Queue:
    """The queue with the reasons of its first rows."""
    texts = [*reasons, *[""] * (len(queue.rows) - len(reasons))]
    return replace(queue, rows=queue.rows.assign(reasons=pd.Series(texts, dtype=object)))


@dataclass(frozen=True)
class _Chosen:
    """The plan by rule, what each account has with it, `(n,)`, -1 for nothing, and what it is given in the end."""

    plan: DayPlan
    by_rule: Rows
    drawn: Drawn


def _choose(day: Day, exploration: Exploration | None) -> _Chosen:
    if exploration is None:
        plan = plan_of(day)
        return _Chosen(plan, plan.choice, Drawn(plan.choice, np.zeros(len(day.rows), np.bool_), np.ones(len(day.rows))))
    names = [day.actions.names[place] for place in day.options.channel]
    reserved = exploration.reserved(day.supply.capacities, names)
    plan = plan_of(day, replace(day.supply, capacities=tuple(reserved)))
    # Beside another proposal to the same person a rule may forbid what is drawn: who has one keeps what is planned.
    several = np.isin(np.arange(len(day.rows)), shared(day.person, np.flatnonzero(plan.choice >= 0)))
    may = (day.open_to & day.worked)[:, day.options.channel] & ~several[:, None]
    settled = plan_exploration(exploration, plan.choice, may, day.supply.capacities, names)
    drawn = draw(settled, plan.choice, exploration.seed_number)
    # What is free now goes to the next in the order of the queue.
    by_rule = plan.choice.copy()
    fill(day, plan, by_rule, settled.free.copy())
    late = (plan.choice < 0) & (by_rule >= 0)
    drawn.channel[late], drawn.propensity[late] = by_rule[late], 1.0
    return _Chosen(plan, by_rule, drawn)


def _queue_rows(day: Day, chosen: _Chosen, taken: Rows) -> pd.DataFrame:
    """The rows of the accounts at `taken`, what is told of them apart."""
    drawn, actions, histories = chosen.drawn, day.actions, day.histories
    rows, option = day.rows[taken], drawn.channel[taken]
    scores, channel = day.scores.iloc[taken].reset_index(drop=True), day.options.channel[option]
    names = np.array(actions.names, dtype=object)[channel]
    windows = day.windows(taken, channel)
    within = None if day.options.adds is None else day.options.hours[option]
    hours = best_hours(day.scorer.bundle, histories, rows, day.as_of, windows, names == _CALL, within)
    value, adds = day.value[taken], _adds_of_hours(day, taken, option)
    balance, _ = standing(histories, rows, np.full(len(taken), day.as_of))
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(taken) + 1),
            "account_id": scores["account_id"],
            "channel": names,
            "not_before": _texts([window.not_before for window in windows]),
            "not_after": _texts([window.not_after for window in windows]),
            "best_hour": _texts(hours.begin.tolist()),
            "right_party_rate": hours.rate,
            "calls_at_hour": hours.attempts,
            "priority": scores["priority"],
            "expected_net": value[np.arange(len(taken)), channel] + adds,
            "uplift": _uplifts(value, channel, actions) + adds,
            "band": scores["band"],
            "p_pay": scores["p_pay"],
            "expected_amount": scores["expected_amount"],
            "balance": from_money(balance),
            "stage": stages(histories, rows, day.as_of),
            "propensity": drawn.propensity[taken],
            "explored": drawn.explored[taken],
        }
    )


def _adds_of_hours(day: Day, taken: Rows, option: Rows) -> Floats:
    """What the hours of its option add to the value of each account's channel, `(n,)`."""
    if not day.actions.effects_known:
        return np.zeros(len(taken))
    channel = day.options.channel[option]
    effect = day.value[taken, channel] + day.actions.cost[channel] - day.value[taken, day.actions.waiting]
    return np.asarray(effect * (day.options.reach_of(taken, option) - 1.0))


def _uplifts(value: Floats, channel: Rows, actions: Actions) -> Floats:
    """What the channel of each account adds to waiting, `(n,)`; NaN where that cannot be told."""
    if not actions.effects_known:
        return np.full(len(channel), np.nan)
    gain = value[np.arange(len(channel)), channel] - value[:, actions.waiting]
    return np.where(actions.supported[channel], gain, np.nan)


def _held_rows(day: Day, held: Rows, language: Language) -> pd.DataFrame:
    """The accounts held back: why, and from when on the first of the channels is allowed again."""
    rows, actions, histories = day.rows[held], day.actions, day.histories
    channels, enabled = slice(0, actions.waiting), actions.enabled[: actions.waiting]
    again = [
        next_allowed(until, day.as_of, zone, pack_called(day.packs[one]), actions.names[channels], enabled)
        for until, zone, one in zip(day.blocked[held], histories.timezones[rows], held, strict=True)
    ]
    why = reasons_held(histories, rows, day.as_of, of_person=True, language=language)
    columns = (histories.accounts.account_id[rows], why, _texts(again), stages(histories, rows, day.as_of))
    return pd.DataFrame(dict(zip(HELD_COLUMNS, columns, strict=True)), dtype=object)


def _texts(moments: list[datetime] | list[datetime | None]) -> npt.NDArray[np.object_]:
    found = [None if moment is None else moment.isoformat() for moment in moments]
    return np.array(found, dtype=object)


def _counts(day: Day, chosen: _Chosen, held: Mask) -> dict[str, int]:
    """How many live accounts ended where; every account counts once."""
    queued, gain = chosen.by_rule >= 0, chosen.plan.gain
    resting = ~queued & ~held & day.due.resting
    rest = ~queued & ~held & ~resting
    wanted, workable = chosen.plan.wanted.any(axis=1), (day.gain > -np.inf).any(axis=1)
    beside = rest & ~wanted & chosen.plan.beside & (day.gain > 0).any(axis=1)
    closed = rest & ~workable & day.reachable
    return {
        "live": len(gain),
        "queued": int(queued.sum()),
        "held": int(held.sum()),
        "beyond_capacity": int((rest & wanted).sum()),
        "no_gain": int((rest & ~wanted & workable & ~beside).sum()),
        "no_channel": int((rest & ~workable & ~closed).sum()),
        "no_rung": int(closed.sum()),
        "resting": int(resting.sum()),
        "other_debt": int(beside.sum()),
    }


def _notes_of_capacities(day: Day, language: Language) -> list[str]:
    """A line for each named capacity that counts nobody here: its columns may be misspelt."""
    named = day.histories.settings.queue.capacities
    counts = ((one, accounts_of(day.histories, day.rows, one)) for one in named)
    return [language.say("the capacity {name} counts no account of this queue", name=one.name)
            for one, who in counts if who is not None and not who.any()]  # fmt: skip


def _note_of_effects(actions: Actions, worked: Mask, language: Language) -> list[str]:
    if actions.effects_known:
        unknown = worked & actions.enabled & ~actions.supported
        names = [language.channel(name) for name, left_out in zip(actions.names, unknown, strict=True) if left_out]
        told = translatable("not worked, since the history cannot tell what they achieve: {channels}")
        return [language.say(told, channels=language.listed(names))] if names else []
    told = translatable(
        "the model learned labels: accounts are ordered by the probability of theirs, and the channel is the usual "
        "one, {channel}, where it is worked and allowed"
    )
    if actions.has_money:
        told = translatable(
            "the history cannot tell what each channel achieves: accounts are ordered by the money expected of them, "
            "and the channel is the usual one, {channel}, where it is worked and allowed"
        )
    return [language.say(told, channel=language.channel(actions.names[actions.usual]))]
