"""The collectors' rule ladder, as an exact probability for every action given what is on record.

Reminder SMS about every two weeks -> call -> letter -> visit -> lawyer's letter. The rules say how much weight each
action has for an account in its stage; the rest is who happens to be reached on a day's list, so that each probability
is the weight's share. Nothing hidden enters: a rule reads only what is recorded by the morning of the day.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from experiments.world.chance import Purpose, Stream, uniform
from experiments.world.codes import (
    ALLOWED,
    AT_RANDOM,
    BY_RULE,
    CALL,
    CHANCE,
    EMAIL,
    LEGAL_LETTER,
    LETTER,
    LONG_AGO,
    N_ACTIONS,
    NO_POINT,
    NONE,
    SMS,
    VISIT,
)
from experiments.world.compiled import part
from experiments.world.market import AGE_UNKNOWN_DAYS, TELECOM
from experiments.world.state import Record
from features.units import MONEY_SCALE

Shares = npt.NDArray[np.float64]

#: A stage ends this many days after placement: an agency's drill is 3 calls in the first 7 days and at least 2 more in
#: the next 15; then months 1-2, 3-5 and the rest.
STAGE_ENDS = np.array([7, 22, 60, 150, 10_000])
#: Days to the next review by stage: those worked hardest are looked at most often. Daily rows would say little more,
#: since an action taken today or tomorrow hardly differs, and would be five times as many.
REVIEW_DAYS = np.array([2, 4, 5, 6, 7])
#: Weight of each action by stage. Effort goes on for months, which is what makes 125 calls a recovery.
# fmt: off
STAGE_WEIGHTS = np.array([
    # none  sms  email  call  letter visit  legal
    [0.08, 0.15, 0.05, 0.68, 0.04, 0.000, 0.000],
    [0.20, 0.15, 0.05, 0.50, 0.08, 0.010, 0.005],
    [0.30, 0.14, 0.05, 0.41, 0.08, 0.012, 0.015],
    [0.42, 0.12, 0.04, 0.34, 0.05, 0.012, 0.020],
    [0.52, 0.10, 0.03, 0.30, 0.03, 0.008, 0.015],
])
#: Factors on those weights where something is on record.
#                           none   sms  email  call letter visit legal
_PROMISED = np.array(      [8.00, 0.60, 0.50, 0.08, 0.00, 0.00, 0.00])  # leave a promise alone ...
_PROMISE_DUE = np.array(   [8.00, 4.00, 2.00, 0.30, 0.00, 0.00, 0.00])  # ... but remind of it the day before
_BROKEN = np.array(        [0.25, 0.60, 0.60, 3.00, 1.00, 1.50, 2.00])  # follow up a broken promise
_JUST_PAID = np.array(     [5.00, 1.00, 1.00, 0.50, 0.50, 0.20, 0.20])  # who pays is left alone a while
_JUST_SPOKEN = np.array(   [2.00, 1.00, 1.00, 0.35, 1.00, 0.30, 1.00])  # a conversation a day or two ago
_UNANSWERED = np.array(    [0.90, 1.30, 1.30, 0.80, 2.00, 2.50, 1.50])  # four calls and nobody picked up
_DEAD_PHONE = np.array(    [1.00, 0.00, 1.50, 0.00, 3.00, 8.00, 2.00])  # a visit within a week of a dead phone
_LARGE_BALANCE = np.array( [0.60, 0.80, 0.80, 1.30, 1.20, 2.50, 2.00])
_SMALL_BALANCE = np.array( [1.60, 1.50, 1.30, 0.45, 0.40, 0.00, 0.30])
# fmt: on
_LARGE, _SMALL = 10_000 * MONEY_SCALE, 800 * MONEY_SCALE
_BROKEN_DAYS, _PAID_DAYS, _SPOKEN_DAYS, _UNANSWERED_CALLS = 10, 14, 4, 4
#: Least days between two of a kind: a reminder about every two weeks, a letter a month, a lawyer's every two.
_SMS_EVERY, _SMS_SOONER = 14, 0.15
_LETTER_EVERY, _VISIT_EVERY, _LEGAL_EVERY = 30, 45, 60
#: Legal steps from 5,000 CNY or one year; telecom debts from one year only. A visit must be worth the way.
_LEGAL_FROM, _LEGAL_AGE = 5_000 * MONEY_SCALE, 365
_VISIT_FROM = 2_000 * MONEY_SCALE
#: What exploration draws from; visits and lawyers' letters would be what costs.
_CHEAP = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
#: How ready a debtor must be, hidden from the data, for an agent to call against the rules.
_READY = 0.8


@part
def stage_of(state: Record, day: int) -> int:
    """The stage an account is in, 0-4, by days since placement."""
    stage = 0
    while day - state.placed_day >= STAGE_ENDS[stage]:
        stage += 1
    return stage


@part
def _allow(state: Record, day: int, allowed: Shares) -> None:
    """Mark each action 1.0 or 0.0: waiting always, the rest unless restricted or without a contact point."""
    open_to_contact = 0.0 if day < state.barred_until else 1.0
    for action in range(N_ACTIONS):
        allowed[action] = open_to_contact if state.opted_out[action] == 0 else 0.0
    allowed[NONE] = 1.0
    if state.phone == NO_POINT:
        allowed[SMS] = allowed[CALL] = 0.0
    if state.has_email == 0 or state.email_known_bad == 1:
        allowed[EMAIL] = 0.0
    if state.address_known_bad == 1:
        allowed[LETTER] = allowed[VISIT] = allowed[LEGAL_LETTER] = 0.0
    if state.segment == TELECOM:
        allowed[LETTER] = allowed[VISIT] = 0.0


@part
def _times(weights: Shares, factors: Shares) -> None:
    for action in range(N_ACTIONS):
        weights[action] *= factors[action]


@part
def _weigh_record(state: Record, day: int, weights: Shares) -> None:
    """Apply what promises, payments and answers on record say."""
    if state.promise_open == 1:
        _times(weights, _PROMISE_DUE if 0 <= state.promise_due - day <= 2 else _PROMISED)
    elif day - state.last_broken < _BROKEN_DAYS:
        _times(weights, _BROKEN)
    if day - state.last_paid < _PAID_DAYS:
        _times(weights, _JUST_PAID)
    if day - state.last_reached < _SPOKEN_DAYS:
        _times(weights, _JUST_SPOKEN)
    if state.phone == NO_POINT:
        _times(weights, _DEAD_PHONE)
    elif state.unanswered >= _UNANSWERED_CALLS:
        _times(weights, _UNANSWERED)


@part
def _weigh_means(state: Record, day: int, weights: Shares) -> None:
    """Apply what the balance bears, and how often each means may be used."""
    if state.known_balance >= _LARGE:
        _times(weights, _LARGE_BALANCE)
    elif state.known_balance < _SMALL:
        _times(weights, _SMALL_BALANCE)
    if day - state.last_sms < _SMS_EVERY:
        weights[SMS] *= _SMS_SOONER
    if day - state.last_letter < _LETTER_EVERY:
        weights[LETTER] = 0.0
    if day - state.last_visit < _VISIT_EVERY or state.known_balance < _VISIT_FROM:
        weights[VISIT] = 0.0
    due = state.placed_day - AGE_UNKNOWN_DAYS if state.due_day == LONG_AGO else state.due_day
    old = day - due >= _LEGAL_AGE
    valuable = state.known_balance >= _LEGAL_FROM and state.segment != TELECOM
    if day - state.last_legal < _LEGAL_EVERY or not (old or valuable):
        weights[LEGAL_LETTER] = 0.0


@part
def ladder(state: Record, day: int, desk: Record) -> None:
    """Fill `desk.chances` with the exact probability of every action, exploration included."""
    chances, allowed = desk.chances[CHANCE], desk.chances[ALLOWED]
    by_rule, at_random = desk.chances[BY_RULE], desk.chances[AT_RANDOM]
    _allow(state, day, allowed)
    stage = stage_of(state, day)
    for action in range(N_ACTIONS):
        by_rule[action] = STAGE_WEIGHTS[stage, action]
    _weigh_record(state, day, by_rule)
    _weigh_means(state, day, by_rule)
    weight, cheap = 0.0, 0.0
    for action in range(N_ACTIONS):
        by_rule[action] *= allowed[action]
        at_random[action] = _CHEAP[action] * allowed[action]
        weight += by_rule[action]
        cheap += at_random[action]
    for action in range(N_ACTIONS):
        by_rule[action] /= weight
        at_random[action] /= cheap
        chances[action] = by_rule[action] + desk.exploration * (at_random[action] - by_rule[action])


@part
def _drawn(shares: Shares, draw: float) -> int:
    """The action that `draw` in [0, 1) falls on, by shares that add up to 1."""
    chosen, passed = NONE, 0.0
    for action in range(N_ACTIONS):
        if shares[action] > 0.0 and draw >= passed:
            chosen = action
        passed += shares[action]
    return chosen


@part
def choose(state: Record, day: int, key: Stream, desk: Record) -> tuple[int, int]:
    """Draw an action from the ladder just filled: the action, and 1 where it was explored."""
    draw = uniform(key, day, Purpose.CHANNEL)
    if uniform(key, day, Purpose.EXPLORE) < desk.exploration:
        return _drawn(desk.chances[AT_RANDOM], draw), 1
    if uniform(key, day, Purpose.OVERRIDE) < desk.discretion:
        return _overridden(state, desk.chances[ALLOWED]), 0
    return _drawn(desk.chances[BY_RULE], draw), 0


@part
def _overridden(state: Record, allowed: Shares) -> int:
    """What an agent does who feels how ready the debtor is: call the ready, leave the others."""
    ready = state.willingness * state.liquidity > _READY
    return CALL if ready and allowed[CALL] == 1.0 else NONE
