"""The queue: which accounts are worked, in which order and through which channel, under capacities and contact rules.

What counts is what working an account adds: the value of the action less that of waiting. Channels are given to
accounts so that all of it together is largest under the capacities (`serving.allocation`), and rows are ordered by what
they add less the price of the place that they take, which is what it would add elsewhere. Where no effect is known,
what is expected of an account counts, and the channel is the usual one. Accounts that are due (`serving.due`) come
before all others. Where a share is explored (`serving.exploration`), an account keeps the place in the order that it
has by rule.

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
from features.jit import compiled
from features.units import Instants, Rows, from_money
from serving.allocation import Allocation, Capacity, allocate
from serving.best_hour import best_hours
from serving.contact_rules.packs import named_packs, notes_of_packs, pack_called
from serving.contact_rules.rules import Forbidden, blocked_until, forbidden, next_allowed, reasons_held
from serving.contact_rules.windows import Window, window_from
from serving.due import Due, due_accounts
from serving.exploration import Drawn, Exploration, draw, plan_exploration
from serving.history_lines import history_lines
from serving.languages.language import ENGLISH, Language
from serving.scoring import Actions, Mask, Scorer, actions_of, allowed_actions, rows_of
from serving.why_channel import Offers, Right, lines_of
from training.bundle import Floats

_CALL = "call"
HELD_COLUMNS = ("account_id", "why", "next_allowed_at")
#: Why a live account is in neither the queue nor the list of those held back.
NOT_REACHED = {
    "beyond_capacity": "worth working, beyond the capacity of today",
    "no_gain": "working them is worth no more than waiting",
    "no_channel": "no channel that is worked today, allowed, and of known effect",
}


@dataclass(frozen=True)
class Alternative:
    """What other capacities would bring, by rule alone, in what the order goes by: money, or what a label counts.

    `value` is what all rows add together and `difference` what they add to those of the plan; `rows` and `prices` are
    by channel.
    """

    capacities: Mapping[str, int]
    value: float
    difference: float
    rows: Mapping[str, int]
    prices: Mapping[str, float]


@dataclass(frozen=True)
class Queue:
    """A queue. `rows` is in order of rank; `counts` says where every live account ended; `notes` is for people.

    `prices` is what one more place of each channel would add; `what_if` what other capacities would. What is told of a
    row, and why an account is held back, is in the language that was asked for.
    """

    rows: pd.DataFrame
    held: pd.DataFrame
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    prices: Mapping[str, float]
    what_if: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class _Sorted:
    """The scored accounts in the order of their ids, `(n,)`: so that the same scores give the same queue."""

    scores: pd.DataFrame
    rows: Rows
    blocked: Instants
    allowed: Mask


def build_queue(
    scorer: Scorer, scores: pd.DataFrame, histories: Histories, as_of: int, capacities: Mapping[str, int],
    exploration: Exploration | None = None, alternatives: Sequence[Mapping[str, int]] = (),
    language: Language = ENGLISH,
) -> Queue:  # fmt: skip
    """Order the scored accounts under capacities and contact rules.

    Args:
        scorer: what scored them.
        scores: the scores table as of that moment.
        histories: what was scored.
        as_of: the moment, an instant.
        capacities: how many actions a day each channel can take; a channel that is not named is not worked.
        exploration: which share of the places is given at random; none where it is None.
        alternatives: other capacities, of which it is told what they would bring.
        language: that of what is told of the rows, and of why accounts are held back.

    Returns:
        The queue, `reasons` still blank.
    """
    actions = actions_of(scorer.bundle, histories.settings)
    capacity = _places(capacities, actions)
    found = _sorted(scores, histories, as_of, actions)
    gain = _gains(found, actions, capacity > 0)
    due = due_accounts(histories, found.rows, as_of)
    chosen = _choose(gain, due, found.allowed & (capacity > 0), capacity, actions, exploration)
    held: Mask = ~np.asarray(found.allowed[:, : actions.waiting].any(axis=1))
    names = named_packs(histories, found.rows)
    taken = _in_rank(gain, chosen)
    offers = _offers(found, histories, as_of, actions, gain, chosen, capacity > 0, taken)
    rows = _queue_rows(scorer, found, histories, as_of, actions, chosen, names, taken)
    return Queue(
        rows=rows.assign(**_told(offers, histories, found.rows[taken], language), reasons=""),
        held=_held_rows(found, histories, as_of, actions, np.flatnonzero(held), names, language),
        counts=_counts(gain, chosen.by_rule, held),
        notes=(
            *_note_of_effects(actions, capacity),
            *due.notes(),
            *notes_of_packs(names, as_of),
        ),
        prices=_prices(chosen.prices, actions, capacity),
        what_if=_what_if(found, due, actions, capacities, alternatives),
    )


def with_reasons(queue: Queue, reasons: list[str]) -> Queue:
    """The queue with the reasons of its first rows."""
    texts = [*reasons, *[""] * (len(queue.rows) - len(reasons))]
    return replace(queue, rows=queue.rows.assign(reasons=pd.Series(texts, dtype=object)))


def _places(capacities: Mapping[str, int], actions: Actions) -> Rows:
    """The places of each action, `(n_actions,)`."""
    return np.array([capacities.get(name, 0) for name in actions.names], dtype=np.int64)


def _what_if(
    found: _Sorted, due: Due, actions: Actions, capacities: Mapping[str, int], alternatives: Sequence[Mapping[str, int]]
) -> tuple[Alternative, ...]:
    """What each of the alternatives would bring, and what that is more than the plan brings, by the same rule."""
    if not alternatives:
        return ()
    tried = []
    for one in (capacities, *alternatives):
        capacity = _places(one, actions)
        solved = _allocated(_gains(found, actions, capacity > 0), due, capacity)[0]
        used = zip(actions.names, solved.used.astype(int).tolist(), strict=False)
        rows = {name: number for name, number in used if name in one}
        tried.append((one, solved.value, rows, _prices(solved.prices, actions, capacity)))
    plan = tried[0][1]
    return tuple(Alternative(one, value, value - plan, rows, prices) for one, value, rows, prices in tried[1:])


def _prices(prices: Floats, actions: Actions, capacity: Rows) -> dict[str, float]:
    """What one more place adds, by the channels that are worked; `prices` is `(n_channels,)`."""
    worked = (capacity > 0) & actions.enabled
    if actions.effects_known:
        worked &= actions.supported
    return {name: price for name, price, one in zip(actions.names, prices.tolist(), worked, strict=False) if one}


def _sorted(scores: pd.DataFrame, histories: Histories, as_of: int, actions: Actions) -> _Sorted:
    if not scores["account_id"].is_monotonic_increasing:
        scores = scores.sort_values("account_id")
    scores = scores.reset_index(drop=True)
    rows = rows_of(histories, scores["account_id"])
    blocked = blocked_until(histories, rows, as_of, of_person=True)
    return _Sorted(scores, rows, blocked, allowed_actions(blocked, as_of, actions))


def _gains(found: _Sorted, actions: Actions, worked: Mask) -> Floats:
    """What each channel adds for each account, `(n, n_channels)`, cheapest channel first; -inf where it may not be."""
    value = np.column_stack([found.scores[f"value_{name}"].to_numpy(np.float64) for name in actions.names])
    channels = slice(0, actions.waiting)
    if actions.effects_known:
        eligible = found.allowed & actions.supported & worked
        return np.where(eligible, value - value[:, [actions.waiting]], -np.inf)[:, channels]
    # One channel each: the first of the fallback order that is allowed and worked, for what it is expected to bring.
    eligible = found.allowed & worked
    first = np.array(actions.fallback_order)[eligible[:, actions.fallback_order].argmax(axis=1)]
    only = eligible & (np.arange(len(actions.names)) == first[:, None])
    gain = value if actions.has_money else found.scores[["p_pay"]].to_numpy(np.float64)
    return np.where(only, gain, -np.inf)[:, channels]


@dataclass(frozen=True)
class _Chosen:
    """The channel of each account by rule, `(n,)`, -1 for none; the one that it gets; the prices, `(n_channels,)`.

    `right` is the `Right` by which an account came before all others, `(n,)`; `charge` is what a place costs an account
    altogether, `(n, n_channels)`.
    """

    by_rule: Rows
    drawn: Drawn
    prices: Floats
    right: Rows
    charge: Floats


def _choose(
    gain: Floats, due: Due, allowed: Mask, capacity: Rows, actions: Actions, exploration: Exploration | None
) -> _Chosen:
    channels = slice(0, actions.waiting)
    if exploration is None:
        solved, first = _allocated(gain, due, capacity)
        drawn = Drawn(solved.choice, np.zeros(len(gain), dtype=np.bool_), np.ones(len(gain)))
        return _Chosen(solved.choice, drawn, solved.prices, _rights(due, first), _charge(solved))
    solved, first = _allocated(gain, due, capacity - exploration.reserved(capacity, actions.names))
    chosen = solved.choice.copy()
    plan = plan_exploration(exploration, chosen, allowed[:, channels], capacity[channels], actions.names[channels])
    drawn = draw(plan, chosen, exploration.seed_number)
    # What is free now goes to the next in the order of the queue.
    order = _in_order(gain, solved.prices)
    _assign(order // gain.shape[1], order % gain.shape[1], plan.free.copy(), chosen)
    late = (solved.choice < 0) & (chosen >= 0)
    drawn.channel[late], drawn.propensity[late] = chosen[late], 1.0
    return _Chosen(chosen, drawn, solved.prices, _rights(due, first), _charge(solved))


def _rights(due: Due, first: Mask) -> Rows:
    """The `Right` by which each account came first, `(n,)`."""
    return np.where(due.broken, Right.BROKEN_PROMISE, np.where(first, Right.UNSEEN, Right.NONE)).astype(np.int64)


def _charge(solved: Allocation) -> Floats:
    """What a place costs each account at the prices, all that it takes together, `(n, n_channels)`."""
    return solved.charge[solved.kind]


def _allocated(gain: Floats, due: Due, capacity: Rows) -> tuple[Allocation, Mask]:
    """The allocation by rule, each channel with its places, and who came before all others in it, `(n,)`."""
    first = due.broken
    if due.unseen.any():
        # Of those not seen for long, as many as have a place by right; which channel they get is then open.
        right = np.floor(due.share * capacity)
        by_right = allocate(np.where(due.unseen[:, None], gain, -np.inf), _of_channels(gain, right), due.unseen)
        first = first | (by_right.choice >= 0)
    return allocate(gain, _of_channels(gain, capacity), first), first


def _of_channels(gain: Floats, places: Floats | Rows) -> list[Capacity]:
    """The capacity of each channel; `places` is `(n_actions,)`, with or without that of waiting."""
    return [Capacity(float(limit), use) for limit, use in zip(places, np.eye(gain.shape[1]), strict=False)]


def _in_order(gain: Floats, prices: Floats) -> Rows:
    """The places of all positive gains in the flattened array, largest first, less the price of what they take.

    Equal ones go by account, then channel.
    """
    positive = np.flatnonzero(gain.ravel() > 0)
    return positive[np.argsort(-(gain - prices).ravel()[positive], kind="stable")]


@compiled
def _assign(account: Rows, channel: Rows, places: Rows, chosen: Rows) -> None:
    """Take pairs in order: an account that is not taken gets the channel if it has a place left; writes `chosen`."""
    for pair in range(len(account)):
        if chosen[account[pair]] < 0 and places[channel[pair]] > 0:
            chosen[account[pair]] = channel[pair]
            places[channel[pair]] -= 1


def _in_rank(gain: Floats, chosen: _Chosen) -> Rows:
    """The accounts that are in the queue, in its order."""
    taken = np.flatnonzero(chosen.by_rule >= 0)
    by_rule = chosen.by_rule[taken]
    return taken[np.lexsort((chosen.prices[by_rule] - gain[taken, by_rule], chosen.right[taken] == Right.NONE))]


def _offers(
    found: _Sorted, histories: Histories, as_of: int, actions: Actions, gain: Floats, chosen: _Chosen, worked: Mask,
    taken: Rows,
) -> Offers:  # fmt: skip
    """What was chosen among for the accounts at `taken`."""
    channels, open_to = slice(0, actions.waiting), gain[taken] > -np.inf
    adds = np.where(open_to, gain[taken], np.nan)
    if actions.effects_known:
        # What those that are forbidden would add is known, too.
        value = np.column_stack([found.scores[f"value_{name}"].to_numpy(np.float64)[taken] for name in actions.names])
        adds = np.where(actions.supported, value - value[:, [actions.waiting]], np.nan)[:, channels]
    return Offers(
        channels=actions.names[channels],
        adds=adds,
        charge=chosen.charge[taken],
        open=open_to,
        worked=(worked & actions.enabled)[channels],
        blocked=found.blocked[taken],
        chosen=chosen.drawn.channel[taken],
        by_rule=chosen.by_rule[taken],
        explored=chosen.drawn.explored[taken],
        right=chosen.right[taken],
        usual=None if actions.effects_known else actions.usual,
        has_money=actions.has_money,
        zone=histories.timezones[found.rows[taken]],
        as_of=as_of,
    )


def _told(offers: Offers, histories: Histories, rows: Rows, language: Language) -> dict[str, pd.Series[str]]:
    """What is told of each row: what its history says, why it has its channel, and what would change that."""
    rules: list[list[Forbidden]] = [[] for _ in rows]
    barred = np.flatnonzero(offers.barred() >= 0)
    for place, against in zip(barred, forbidden(histories, rows[barred], offers.as_of, of_person=True), strict=True):
        rules[place] = against
    lines = lines_of(offers, rules, language)
    told = {"history": history_lines(histories, rows, offers.as_of, language)} | vars(lines)
    return {name: pd.Series(texts, dtype=object) for name, texts in told.items()}


def _queue_rows(
    scorer: Scorer, found: _Sorted, histories: Histories, as_of: int, actions: Actions, chosen: _Chosen,
    packs: list[str], taken: Rows,
) -> pd.DataFrame:  # fmt: skip
    """The rows of the accounts at `taken`, what is told of them apart."""
    drawn = chosen.drawn
    scores, channel = found.scores.iloc[taken].reset_index(drop=True), drawn.channel[taken]
    names = np.array(actions.names, dtype=object)[channel]
    windows = _windows(histories, found.rows[taken], as_of, [packs[one] for one in taken], names)
    hours = best_hours(scorer.bundle, histories, found.rows[taken], as_of, windows, names == _CALL)
    value = np.column_stack([scores[f"value_{name}"].to_numpy(np.float64) for name in actions.names])
    balance, _ = standing(histories, found.rows[taken], np.full(len(taken), as_of))
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
            "expected_net": value[np.arange(len(taken)), channel],
            "uplift": _uplifts(value, channel, actions),
            "band": scores["band"],
            "p_pay": scores["p_pay"],
            "expected_amount": scores["expected_amount"],
            "balance": from_money(balance),
            "propensity": drawn.propensity[taken],
            "explored": drawn.explored[taken],
        }
    )


def _uplifts(value: Floats, channel: Rows, actions: Actions) -> Floats:
    """What the channel of each account adds to waiting, `(n,)`; NaN where that cannot be told."""
    if not actions.effects_known:
        return np.full(len(channel), np.nan)
    gain = value[np.arange(len(channel)), channel] - value[:, actions.waiting]
    return np.where(actions.supported[channel], gain, np.nan)


def _held_rows(
    found: _Sorted, histories: Histories, as_of: int, actions: Actions, held: Rows, packs: list[str], language: Language
) -> pd.DataFrame:
    """The accounts held back: why, and from when on the first of the channels is allowed again."""
    rows = found.rows[held]
    channels, enabled = slice(0, actions.waiting), actions.enabled[: actions.waiting]
    again = [
        next_allowed(until, as_of, zone, pack_called(packs[one]), actions.names[channels], enabled)
        for until, zone, one in zip(found.blocked[held], histories.timezones[rows], held, strict=True)
    ]
    why = reasons_held(histories, rows, as_of, of_person=True, language=language)
    columns = (histories.accounts.account_id[rows], why, _texts(again))
    return pd.DataFrame(dict(zip(HELD_COLUMNS, columns, strict=True)), dtype=object)


def _windows(
    histories: Histories, rows: Rows, as_of: int, packs: list[str], channels: npt.NDArray[np.object_]
) -> list[Window]:
    """The window of each account for its channel; worked out once per zone, rule pack and channel."""
    asked = list(zip(histories.timezones[rows], packs, channels, strict=True))
    known = {one: window_from(as_of, one[0], pack_called(one[1]), one[2]) for one in set(asked)}
    return [known[one] for one in asked]


def _texts(moments: list[datetime] | list[datetime | None]) -> npt.NDArray[np.object_]:
    found = [None if moment is None else moment.isoformat() for moment in moments]
    return np.array(found, dtype=object)


def _counts(gain: Floats, chosen: Rows, held: Mask) -> dict[str, int]:
    """How many live accounts ended where; every account counts once."""
    queued = chosen >= 0
    rest = ~queued & ~held
    wanted, workable = (gain > 0).any(axis=1), (gain > -np.inf).any(axis=1)
    return {
        "live": len(gain),
        "queued": int(queued.sum()),
        "held": int(held.sum()),
        "beyond_capacity": int((rest & wanted).sum()),
        "no_gain": int((rest & ~wanted & workable).sum()),
        "no_channel": int((rest & ~workable).sum()),
    }


def _note_of_effects(actions: Actions, capacity: Rows) -> list[str]:
    if actions.effects_known:
        unknown = (capacity > 0) & actions.enabled & ~actions.supported
        names = [name for name, left_out in zip(actions.names, unknown, strict=True) if left_out]
        told = "not worked, since the history cannot tell what they achieve"
        return [f"{told}: {', '.join(names)}"] if names else []
    why, by = "the history cannot tell what each channel achieves", "the money expected of them"
    if not actions.has_money:
        why, by = "the model learned labels", "the probability of theirs"
    return [
        f"{why}: accounts are ordered by {by}, and "
        f"the channel is the usual one, {actions.names[actions.usual]}, where it is worked and allowed"
    ]
