"""The debtor types every collector names, as one table of figures, and what a contact does to a debtor.

The figures are made up; what they are set to reproduce is said beside each. All chances are per day or per contact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DebtorType:
    """One type. Chances to pay hold for a debtor of willingness, ability and season 1 who is not weary."""

    name: str
    share_new: float  # among accounts placed fresh
    share_aged: float  # among the stock that was handed over old
    self_cure: float  # chance a day of paying unasked
    reminder_gain: float  # added chance a day while freshly reminded
    pressure_gain: float  # added chance a day under the pressure of one lawyer's letter
    weariness: float  # how much weariness takes away
    promise_rate: float  # of conversations
    refusal_rate: float  # of conversations
    dispute_rate: float  # of conversations
    keeping: float  # chance of paying on a promised day, scaled by PROMISE_DAYS
    full_share: float  # of payments that are neither promised nor tokens
    token_share: float  # of debtors: those who pay a token amount every month
    answering: float  # scales answering calls


# fmt: off
DEBTOR_TYPES = (
    #                                new  aged   cure    remind press  weary prom  refu  disp  keep  full  token answ
    # Forgot: a sure thing; a cheap SMS does as much as a call.
    DebtorType("forgot",             .10, .015, .0015, .0140, .0022, .10,  .30,  .02,  .01,  .95,  .55,  .00,  1.1),
    # Intends to pay: a conversation brings it forward, and many would pay anyway.
    DebtorType("intends",            .15, .060, .0013, .0062, .0042, .15,  .30,  .03,  .01,  .95,  .32,  .01,  1.2),
    # Promises again and again and breaks it: the first to be called, and the worst to believe.
    DebtorType("serial_promiser",    .12, .150, .0004, .0010, .0032, .15,  .45,  .03,  .01,  .45,  .12,  .02,  1.1),
    # Short-term unable: nothing until the recovery day, then near payday; worth a call at the right time.
    DebtorType("short_term_unable",  .18, .120, .0010, .0047, .0011, .25,  .22,  .06,  .01,  .95,  .24,  .03,  1.0),
    # Long-term unable: the token amount every month, and hardly more.
    DebtorType("long_term_unable",   .16, .260, .0001, .0005, .0004, .30,  .08,  .12,  .02,  .55,  .02,  .14,  .9),
    # Unwilling or disputing: calls only annoy; fear of a lawyer moves those who can pay.
    DebtorType("unwilling",          .16, .230, .0002, .0000, .0046, .90,  .03,  .35,  .16,  .30,  .45,  .00,  .7),
    # Unreachable: wrong number, or home at hours nobody calls; pays like others once reached.
    DebtorType("unreachable",        .09, .120, .0004, .0047, .0019, .15,  .22,  .05,  .02,  .95,  .38,  .01,  1.0),
    # Deceased: the estate pays next to nothing; relatives say so when they are reached.
    DebtorType("deceased",           .015, .020, .0001, .0000, .0000, .00, .00,  .00,  .00,  .00,  .50,  .00,  .6),
    # Fraud: the person named never borrowed.
    DebtorType("fraud",              .025, .025, .0000, .0000, .0000, .00, .01,  .20,  .60,  .00,  .50,  .00,  .7),
)
# fmt: on
TYPE_NAMES = tuple(kind.name for kind in DEBTOR_TYPES)
(
    FORGOT,
    INTENDS,
    SERIAL_PROMISER,
    SHORT_TERM_UNABLE,
    LONG_TERM_UNABLE,
    UNWILLING,
    UNREACHABLE,
    DECEASED_TYPE,
    FRAUD_TYPE,
) = range(len(DEBTOR_TYPES))


def _column(name: str) -> npt.NDArray[np.float64]:
    return np.array([getattr(kind, name) for kind in DEBTOR_TYPES], dtype=np.float64)


SHARE_NEW, SHARE_AGED = _column("share_new"), _column("share_aged")
SELF_CURE, REMINDER_GAIN, PRESSURE_GAIN = (
    _column("self_cure"),
    _column("reminder_gain"),
    _column("pressure_gain"),
)
WEARINESS, KEEPING, FULL_SHARE = _column("weariness"), _column("keeping"), _column("full_share")
TOKEN_SHARE, ANSWERING_SCALE = _column("token_share"), _column("answering")
PROMISE_RATE, REFUSAL_RATE, DISPUTE_RATE = (
    _column("promise_rate"),
    _column("refusal_rate"),
    _column("dispute_rate"),
)

# Per action none, sms, email, call, letter, visit, legal_letter: what the mere attempt adds ...
REMINDER_OF_ATTEMPT = np.array([0, 0.60, 0.25, 0.04, 0.40, 0.30, 0.50])
PRESSURE_OF_ATTEMPT = np.array([0, 0.02, 0.01, 0.00, 0.15, 0.20, 1.00])
WEARINESS_OF_ATTEMPT = np.array([0, 0.12, 0.05, 0.18, 0.08, 0.30, 0.25])
# ... and what a conversation adds to that.
REMINDER_OF_TALK = np.array([0, 0, 0, 1.00, 0, 1.30, 0])
PRESSURE_OF_TALK = np.array([0, 0, 0, 0.12, 0, 0.50, 0])
WEARINESS_OF_TALK = np.array([0, 0, 0, 0.30, 0, 0.35, 0])
MOST_REMINDED, MOST_PRESSURE, MOST_FATIGUE = 2.0, 3.0, 6.0
# What is left of each a day later: half-lives of 5, 17 and 10 days.
REMINDER_KEPT, PRESSURE_KEPT, FATIGUE_KEPT = 0.87, 0.96, 0.933

#: Money in hand by days since payday: three weeks later half of it is left.
PAYDAY_CURVE = np.interp(np.arange(31), [0, 3, 10, 20, 30], [1.9, 1.7, 1.05, 0.75, 0.65])
#: Chance of the token amount on each of the three days from payday on, for those who pay one.
TOKEN_RATE, TOKEN_DAYS = 0.18, 3
#: What can be paid before a short-term unable debtor recovers, as a share of what can be paid later.
BEFORE_RECOVERY = 0.10
#: Chance of paying a promise by day from the one before the due date on, the last one within the grace of 3 days.
PROMISE_DAYS = np.array([0.12, 0.50, 0.40, 0.30])
#: "I'll pay at once" mostly does not pay within three days.
AT_ONCE_WEIGHT = 0.35
#: Who has promised waits for the day, mostly.
WAITING_FOR_PROMISED_DAY = 0.5

FIRST_HOUR, N_HOURS = 9, 12  # many banks forbid contact before 9:00 and from 21:00 on
# fmt: off
#: Chance of answering by hour from 9:00 on, relative to the best hour: (profile, hour).
ANSWERING = np.array([
    [1.0, 1.0, 0.8, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],  # at home in the morning
    [0.3, 0.3, 0.4, 1.0, 0.9, 0.4, 0.3, 0.3, 0.3, 0.4, 0.4, 0.3],  # lunch break
    [0.2, 0.2, 0.2, 0.3, 0.3, 0.2, 0.2, 0.2, 0.4, 0.9, 1.0, 0.9],  # after work
    [0.5, 0.7, 0.8, 0.7, 0.6, 0.8, 0.9, 1.0, 0.8, 0.6, 0.5, 0.4],  # at a desk all day
    [.15, .03, .03, .03, .03, .03, .03, .03, .03, .10, .60, 1.0],  # late only: "no answer at this hour"
])
#: When the diallers dial: share of contacts by hour from 9:00 on.
_DIALLING = np.array([9, 13, 12, 6, 6, 11, 12, 11, 8, 5, 4, 3], dtype=np.float64)
# fmt: on
DIALLING_UP_TO = np.cumsum(_DIALLING) / _DIALLING.sum()
LATE_ONLY = 4

#: Willingness and ability to pay through the year, January first: bonuses before the Spring Festival, then a dip.
SEASON = np.array([1.08, 0.98, 0.92, 0.97, 1.0, 1.02, 1.0, 0.98, 1.0, 0.97, 1.02, 1.06])
