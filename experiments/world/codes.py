"""The numbers by which compiled code calls channels, outcomes, restrictions and tables."""

from __future__ import annotations

from enum import IntEnum

from features.contract import CHANNELS, NO_CHANNEL, OUTCOMES, RESTRICTIONS

#: What can be chosen, waiting first: the code of an action is its place here.
ACTIONS = (NO_CHANNEL, *CHANNELS)
NONE, SMS, EMAIL, CALL, LETTER, VISIT, LEGAL_LETTER = (
    ACTIONS.index(name) for name in ("none", "sms", "email", "call", "letter", "visit", "legal_letter")
)
N_ACTIONS = len(ACTIONS)
#: In the truth, beside the actions: work goes on as it has been, the policy choosing when it next would.
POLICY = -1
#: When an ordered call is made: at an hour of the day as diallers dial, or at the one at which the debtor answers most.
BY_HABIT, AT_BEST = -1, -2
#: Rows of the ladder's chances: the propensity, 1 where an action is allowed, and what the propensity is mixed from.
CHANCE, ALLOWED, BY_RULE, AT_RANDOM = range(4)
N_CHANCES = 4

SENT, DELIVERED, NO_ANSWER, WRONG_NUMBER, THIRD_PARTY, RIGHT_PARTY, PROMISE, REFUSAL, DISPUTE = (
    OUTCOMES.index(name)
    for name in (
        "sent",
        "delivered",
        "no_answer",
        "wrong_number",
        "third_party",
        "right_party",
        "promise",
        "refusal",
        "dispute",
    )
)

(
    CLOSED,
    DECEASED,
    DISPUTED,
    FRAUD,
    BANKRUPTCY,
    VULNERABLE,
    BREATHING_SPACE,
    DO_NOT_CONTACT,
    CHANNEL_OPT_OUT,
    INVALID_CONTACT,
) = (
    RESTRICTIONS.index(name)
    for name in (
        "closed",
        "deceased",
        "dispute",
        "fraud",
        "bankruptcy",
        "vulnerable",
        "breathing_space",
        "do_not_contact",
        "channel_opt_out",
        "invalid_contact",
    )
)


class TableCode(IntEnum):
    """The table that an event is a row of."""

    DECISIONS = 0
    CONTACTS = 1
    PROMISES = 2
    RESTRICTIONS = 3
    PAYMENTS = 4
    CHARGES = 5


#: Where a debtor is reached. The code of a contact point is its place here; 0 is none.
CONTACT_POINTS = ("", "phone-1", "phone-2", "email", "address")
NO_POINT, PHONE_1, PHONE_2, EMAIL_ADDRESS, ADDRESS = range(5)

#: What a charge is for.
CHARGE_KINDS = ("interest", "service_fee", "credit_note")
INTEREST, SERVICE_FEE, CREDIT_NOTE = range(3)

#: A day before every other one: it never happened.
LONG_AGO = -1_000_000
#: A day after every other one: it never ends.
FOREVER = 1_000_000
