"""Random numbers by counter: a draw is a pure function of who, when, what for and which future.

The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), entered at any place of its sequence. Since nothing is
consumed in turn, two futures of one account that differ in one action share every other draw (common random numbers).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from experiments.world.compiled import part

#: What tells one future of one account from every other.
Stream = np.uint64

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_R30, _R27, _R31, _R11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_PURPOSES = np.uint64(64)
_UNIT = 1.0 / 9007199254740992.0  # 2^-53


class Purpose(IntEnum):
    """What a draw is for: one number per day, account, future and purpose."""

    EXPLORE = 0
    CHANNEL = 1
    OVERRIDE = 2
    DECISION_TIME = 3
    NEXT_REVIEW = 4
    HOUR = 5
    MINUTE = 6
    WRONG_NUMBER = 7
    ANSWER = 8
    THIRD_PARTY = 9
    TALK = 10
    WRONG_NOTED = 11
    BAR = 12
    BAR_LENGTH = 13
    OPT_OUT = 14
    HARDSHIP = 15
    CONTACT_DELAY = 16
    PROMISE_DAY = 17
    PROMISE_LENGTH = 18
    PROMISE_SHARE = 19
    PROMISE_PART = 20
    INBOUND = 21
    INBOUND_TIME = 22
    PAY = 23
    CAUSE = 24
    FULL = 25
    SHARE = 26
    PAY_TIME = 27
    PAY_DELAY = 28
    DELAY_DAYS = 29
    REVERSAL = 30
    REVERSAL_DAY = 31
    REVERSAL_TIME = 32
    LIQUIDITY = 33
    CREDIT_NOTE = 34
    FIRST_PAYMENT = 35
    DELIVERY = 36
    CHARGE_TIME = 37


@part
def _mixed(value: np.uint64) -> Stream:
    value = (value ^ (value >> _R30)) * _FIRST
    value = (value ^ (value >> _R27)) * _SECOND
    return value ^ (value >> _R31)


@part
def stream(seed: int, account: int, draw: int) -> Stream:
    """The stream of one future of one account; draw 0 is what really happens."""
    key = _mixed(np.uint64(seed) + _STEP)
    key = _mixed(key ^ (np.uint64(account) * _STEP))
    return _mixed(key ^ (np.uint64(draw) * _STEP))


@part
def uniform(key: Stream, day: int, purpose: int) -> float:
    """A number in [0, 1) of stream `key` for that day and purpose."""
    place = np.uint64(day) * _PURPOSES + np.uint64(purpose) + np.uint64(1)
    return np.float64(_mixed(key + place * _STEP) >> _R11) * _UNIT
