"""The debts there are, as tables of figures: segments, sizes, ages, commissions, and what a creditor's file says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segment:
    """One kind of debt. `median` and `spread` are those of a log-normal balance in the main unit."""

    name: str
    share: float
    median: float
    spread: float
    least: float
    commission: float  # on debts up to a year old; beyond a year it is COMMISSION_AGED
    charge_every_days: int  # 0: no charges
    fee_share: float  # of the balance at placement, charged each time; 0: interest instead
    type_lift: tuple[tuple[str, float], ...]  # debtor types more or less common than elsewhere


# fmt: off
SEGMENTS = (
    # Mean of card and loan debts about 7,000; state banks pay 15 %, joint-stock banks 8 points more.
    Segment("credit_card", .40, 4_900, .85, 200, .15, 30, .0, ()),
    Segment("consumer_loan", .25, 4_700, .90, 200, .23, 30, .0,
            (("short_term_unable", 1.3), ("serial_promiser", 1.2))),
    # Many small debts; 15-25 %.
    Segment("telecom", .15, 260, .70, 30, .20, 0, .0,
            (("forgot", 2.0), ("unreachable", 1.6), ("long_term_unable", .6))),
    # Recurring charges; 15-20 %; service complaints.
    Segment("property_fee", .12, 2_300, .60, 200, .175, 91, .18,
            (("unwilling", 1.7), ("forgot", 1.4), ("fraud", .1))),
    # Monthly accounts and final instalments, with disputes.
    Segment("business_invoice", .08, 11_000, 1.0, 800, .20, 0, .0,
            (("unwilling", 1.6), ("intends", 1.5), ("deceased", .1))),
)
# fmt: on
SEGMENT_NAMES = tuple(segment.name for segment in SEGMENTS)
CREDIT_CARD, CONSUMER_LOAN, TELECOM, PROPERTY_FEE, BUSINESS_INVOICE = range(len(SEGMENTS))
COMMISSION_AGED = 0.30  # beyond one year

#: Interest and penalties on cards and loans, a month.
INTEREST_RATE = 0.008
#: Credit notes on a business invoice: chance a day, and the share of the balance taken off.
CREDIT_NOTE_RATE, CREDIT_NOTE_SHARE = 0.0006, 0.08

#: Share of the accounts that is an aged stock, handed over in the first weeks rather than placed fresh.
STOCK_SHARE, STOCK_HANDOVER_DAYS = 0.30, 28
#: Days past due at placement: (mean of an exponential, least, most).
FRESH_AGE, STOCK_AGE = (25.0, 1, 120), (260.0, 60, 1_100)
#: Share of fresh accounts that come with the Monday batch; the others trickle in daily.
MONDAY_SHARE = 0.6
#: A creditor recalls or writes off what is left after this many days, (least, most).
RECALL_DAYS = (180, 330)
#: Share of accounts without a due date on file, and what the rules then take for days past due at placement.
NO_DUE_DATE_SHARE, AGE_UNKNOWN_DAYS = 0.02, 30
#: Share of accounts whose debtor owes another of the accounts too.
SAME_PERSON_SHARE = 0.09

HAS_PHONE_2, HAS_EMAIL = 0.35, 0.55
#: Contact points on file that are wrong; for unreachable debtors, and for all others.
PHONE_WRONG, EMAIL_WRONG, ADDRESS_WRONG = (0.55, 0.07), (0.40, 0.12), (0.55, 0.10)
#: Share of unreachable debtors with right numbers who answer late only; among others it is rare.
ANSWERS_LATE_ONLY = (0.85, 0.03)

EMPLOYMENTS = ("employed", "self_employed", "unemployed", "retired")
#: Employment by ability to pay: of those able, and of those unable. Weak on purpose: files are old.
EMPLOYMENT_SHARES = np.array([[0.64, 0.20, 0.07, 0.09], [0.47, 0.24, 0.19, 0.10]])
#: Answering profile (row) by employment: morning, lunch break, after work, at a desk.
PROFILE_SHARES = np.array(
    [
        [0.08, 0.30, 0.40, 0.22],
        [0.15, 0.15, 0.25, 0.45],
        [0.45, 0.20, 0.15, 0.20],
        [0.60, 0.15, 0.05, 0.20],
    ]
)
REGIONS = ("north", "east", "south", "west", "northeast")
REGION_SHARES = np.array([0.20, 0.34, 0.25, 0.13, 0.08])
#: Ability to pay by region, as a factor.
REGION_ABILITY = np.array([1.0, 1.1, 1.05, 0.9, 0.8])
PORTFOLIOS = ("state_bank", "joint_stock_bank", "operator", "property_manager", "supplier")
#: Attributes missing from the file.
UTILISATION_MISSING, EMPLOYMENT_MISSING, REGION_MISSING = 0.06, 0.05, 0.01
#: Share of men by employment: the audit column is independent of the debtor type given employment.
MEN_BY_EMPLOYMENT = np.array([0.54, 0.60, 0.52, 0.48])

#: Cost of one action in the main unit: none, sms, email, call, letter, visit, legal_letter. A call is a collector's
#: month (8,000) over 5,000 calls; a visitor makes about 25 visits a month besides other work.
COSTS = np.array([0.0, 0.08, 0.02, 1.6, 5.0, 90.0, 40.0])
#: Daily capacity per account of the world, about what the ladder uses.
CAPACITY_PER_ACCOUNT = (
    ("sms", 0.015),
    ("email", 0.005),
    ("call", 0.03),
    ("letter", 0.004),
    ("visit", 0.0013),
    ("legal_letter", 0.0008),
)
#: Calls one collector makes a day: how many collectors there are follows from the calls.
CALLS_PER_COLLECTOR = 250
