"""What one account is at the start of a day: its debtor's hidden traits, and everything that changes.

Amounts are `int64` ten-thousandths of the main unit, days are counted from the start of the world.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.world.codes import BY_HABIT, N_ACTIONS, N_CHANCES

#: Hidden for good: who the debtor is. Nothing here is in the portfolio.
TRAITS = (
    ("debtor_type", "i8"),
    ("willingness", "f8"),  # scales every wish to pay; mean about 1
    ("ability", "f8"),  # what liquidity returns to; mean about 1
    ("self_cure", "f8"),  # scales paying without being asked; mean about 1
    ("pays_token", "i8"),  # a small amount every month
    ("payday", "i8"),  # day of the month, 1-28
    ("recovery_day", "i8"),  # until then hardly anything can be paid
    ("answering", "f8"),  # chance of answering a call at the best hour
    ("hours", "i8"),  # when calls are answered: row of ANSWERING
    ("sms_response", "f8"),  # scales the reminder in an SMS; mean about 1
    ("email_response", "f8"),
    ("phone_1_wrong", "i8"),
    ("phone_2_wrong", "i8"),
    ("email_wrong", "i8"),
    ("address_wrong", "i8"),
    ("close_day", "i8"),  # recalled or written off by the creditor
)
#: Known to the collector from the day of placement.
FACTS = (
    ("account", "i8"),  # place in the accounts table
    ("segment", "i8"),
    ("placed_day", "i8"),
    ("due_day", "i8"),  # LONG_AGO where the due date is not given
    ("has_phone_2", "i8"),
    ("has_email", "i8"),
    ("charge_every", "i8"),  # days between charges, 0 for none
    ("charge_amount", "i8"),  # fixed fee per charge; 0: interest on the balance
)
#: Hidden, and changing.
MOODS = (
    ("liquidity", "f8"),
    ("reminded", "f8"),  # how present the debt is in the debtor's mind
    ("pressure", "f8"),  # fear of legal and other trouble
    ("fatigue", "f8"),  # weariness of being contacted
)
#: The account's business, of which the policy sees what is recorded.
BUSINESS = (
    ("balance", "i8"),
    ("known_balance", "i8"),
    ("pending", "i8", (4,)),  # payments not recorded yet, by day modulo 4
    ("reversal_day", "i8"),
    ("reversal_amount", "i8"),
    ("promise_open", "i8"),
    ("promise_due", "i8"),
    ("promise_weight", "f8"),  # below 1 for "I'll pay at once"
    ("promise_amount", "i8"),
    ("promise_paid", "i8"),
    ("promise_known", "i8"),
    ("last_broken", "i8"),
    ("next_review", "i8"),
    ("last_sms", "i8"),
    ("last_letter", "i8"),
    ("last_visit", "i8"),
    ("last_legal", "i8"),
    ("last_reached", "i8"),
    ("last_paid", "i8"),  # as recorded
    ("unanswered", "i8"),  # calls since somebody answered
    ("phone", "i8"),  # contact point in use; 0 when none is left
    ("email_known_bad", "i8"),
    ("address_known_bad", "i8"),
    ("barred_until", "i8"),
    ("opted_out", "i8", (N_ACTIONS,)),
    ("closed", "i8"),
    ("net", "i8"),  # paid less reversed, since it was last set to 0
    ("first_paid", "i8"),  # instant of the first payment since it was last set to 0
)
STATE = np.dtype([*TRAITS, *FACTS, *MOODS, *BUSINESS], align=True)

#: One thing that happened. `known` is NULL_TIME when it was recorded at once.
EVENT = np.dtype(
    [
        ("table", "i8"),
        ("account", "i8"),
        ("at", "i8"),
        ("known", "i8"),
        ("action", "i8"),
        ("code", "i8"),  # outcome, kind of restriction or kind of charge
        ("point", "i8"),
        ("flag", "i8"),  # explored, or inbound
        ("amount", "i8"),
        ("until", "i8"),  # end of a restriction, due date of a promise or charge; NULL_TIME for none
        ("propensity", "f8"),
    ],
    align=True,
)
DAY_OF_WORLD = np.dtype([("day_of_month", "i8"), ("season", "f8")], align=True)

#: More events than any day of one account can bring.
EVENTS_A_DAY = 12
#: What a step works on beside the account: what holds for the whole world, and paper for one day. All in one record:
#: Numba counts references to every array at every call, which would take more time than the step itself.
DESK = np.dtype(
    [
        ("start", "i8"),  # instant of the first midnight
        ("exploration", "f8"),
        ("discretion", "f8"),
        ("hour", "i8"),  # of a call that is ordered: an hour of the day, BY_HABIT or AT_BEST
        ("chances", "f8", (N_CHANCES, N_ACTIONS)),  # filled by the ladder; `policy` names the rows
        ("events", EVENT, (EVENTS_A_DAY,)),
        ("written", "i8"),  # events of the day so far
    ],
    align=True,
)

#: A record of one of the above; compiled code reads and sets its fields.
Record = Any


def empty_desk(start: int, exploration: float, discretion: float) -> npt.NDArray[Any]:
    """A desk, `(1,)`, with nothing on it."""
    desk = np.zeros(1, DESK)
    desk["start"], desk["exploration"], desk["discretion"] = start, exploration, discretion
    desk["hour"] = BY_HABIT
    return desk
