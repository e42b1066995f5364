"""The tables of the roll-ups: what was predicted of whom, what followed, and the sums that review pages read.

    calendar_months   when each month begins in the portfolio's time zone, and whether its sums are to be made anew
    rollup_progress   how far the roll-up has read: in the ledger, and in the store's histories
    score_terms, channel_costs   of the settings that scores were given under: the horizon, and what a contact costs
                      where its row does not say
    payment_terms     what the models count as a payment, and up to when they learned
    observations      the first score of an account in a month, in each role, and what followed once that has matured
    cells             sums over observations, by month, cut and band
    residuals         by month and model, how far outcomes of one person go together
    stage_moves       from the stage of one month to that of the next
    swaps             champion and challenger on the same accounts: tenth by tenth of their orders
    placements, collections   what was placed in each month, and what was paid of it in each month since

All of it follows from the ledger and the histories (`serving.review.rollup`), but for observations of erased persons:
those stay without a name, as the ledger's scores do. Money is in ten-thousandths, instants in microseconds, a month is
the number 202610.
"""

from __future__ import annotations

import sqlalchemy as sql

from serving.store.schema import Counter, metadata

calendar_months = sql.Table(
    "calendar_months",
    metadata,
    sql.Column("start", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("month", sql.Integer, nullable=False),
    sql.Column("stale", sql.Boolean, nullable=False),
)
#: `answer_id` and `position` are the last score that was read, `arrival` is the last batch of histories, `known_until`
#: the instant up to which outcomes were looked for; `collected_` are those of `collections`. `changes` grows whenever
#: observations change. `rolled_at` is the moment of the last roll-up that came to its end, `rolled_to` the
#: last answer that it read.
rollup_progress = sql.Table(
    "rollup_progress",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),  # always 1
    sql.Column("timezone", sql.Text, nullable=False),
    sql.Column("answer_id", sql.BigInteger, nullable=False),
    sql.Column("position", sql.BigInteger, nullable=False),
    sql.Column("arrival", sql.BigInteger, nullable=False),
    sql.Column("known_until", sql.BigInteger, nullable=False),
    sql.Column("collected_arrival", sql.BigInteger, nullable=False),
    sql.Column("collected_until", sql.BigInteger, nullable=False),
    sql.Column("changes", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("rolled_at", sql.BigInteger),
    sql.Column("rolled_to", sql.BigInteger),
)
score_terms = sql.Table(
    "score_terms",
    metadata,
    sql.Column("digest", sql.LargeBinary(16), primary_key=True),
    sql.Column("horizon", sql.BigInteger, nullable=False),
)
channel_costs = sql.Table(
    "channel_costs",
    metadata,
    sql.Column("digest", sql.LargeBinary(16), primary_key=True),
    sql.Column("channel", sql.Text, primary_key=True),
    sql.Column("cost", sql.BigInteger, nullable=False),
)
#: What a bundle counts as a payment: a net amount above both of these, money and a share of the balance. What was known
#: before `learned_until` it has learned from, 0 where that is not known.
payment_terms = sql.Table(
    "payment_terms",
    metadata,
    sql.Column("bundle_sha256", sql.Text, primary_key=True),
    sql.Column("above_amount", sql.BigInteger, nullable=False),
    sql.Column("above_share", sql.Double, nullable=False),
    sql.Column("learned_until", sql.BigInteger, nullable=False, server_default="0"),
)
#: The columns up to `matured` are of the score and the account; those after it are null until that is true. Who paid
#: more than `threshold` is a payer; `chosen` is the channel that a queue chose, `channel` and `agent` are those of the
#: first contact in the window; `cured_at` is when payments first came to the whole balance, where they still do when
#: the window ends.
observations = sql.Table(
    "observations",
    metadata,
    sql.Column("observation_id", Counter, primary_key=True),
    sql.Column("account_id", sql.Text, nullable=False),
    sql.Column("month", sql.Integer, nullable=False),
    sql.Column("role", sql.Text, nullable=False),
    sql.Column("answer_id", sql.BigInteger, nullable=False),
    sql.Column("position", sql.Integer, nullable=False),
    sql.Column("as_of", sql.BigInteger, nullable=False),
    sql.Column("window_end", sql.BigInteger, nullable=False),
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("band", sql.Text, nullable=False),
    sql.Column("p_pay", sql.Double, nullable=False),
    sql.Column("expected", sql.BigInteger, nullable=False),
    sql.Column("balance", sql.BigInteger, nullable=False),
    sql.Column("threshold", sql.BigInteger, nullable=False),
    sql.Column("arm", sql.Text, nullable=False),
    sql.Column("chosen", sql.Text, nullable=False),
    sql.Column("segment", sql.Text, nullable=False),
    sql.Column("portfolio", sql.Text, nullable=False),
    sql.Column("vintage", sql.Integer, nullable=False),
    sql.Column("stage", sql.Text, nullable=False),
    sql.Column("matured", sql.Boolean, nullable=False),
    sql.Column("paid", sql.BigInteger),
    sql.Column("first_paid_at", sql.BigInteger),
    sql.Column("contacts", sql.BigInteger),
    sql.Column("calls", sql.BigInteger),
    sql.Column("right_parties", sql.BigInteger),
    sql.Column("cost", sql.BigInteger),
    sql.Column("channel", sql.Text),
    sql.Column("agent", sql.Text),
    sql.Column("promises", sql.BigInteger),
    sql.Column("promises_due", sql.BigInteger),
    sql.Column("promises_kept", sql.BigInteger),
    sql.Column("cured_at", sql.BigInteger),
    sql.Column("first_contact_at", sql.BigInteger),
    sql.Index("uq_observations_account_id_month_role", "account_id", "month", "role", unique=True),
    sql.Index("ix_observations_month", "month"),
    # Those that wait for their outcome.
    sql.Index(
        "ix_observations_open", "window_end", sqlite_where=sql.text("NOT matured"),
        postgresql_where=sql.text("NOT matured"),
    ),
)  # fmt: skip

#: What a row of `cells` is of.
DIMENSIONS = ("cut", "month", "value", "role", "model", "arm", "matured", "worked", "band")
_CURES = ("cured", "self_cured")
#: What it sums. Probabilities are in billionths, so that sums are whole and do not depend on the order of rows.
SUMS = (
    *("accounts", "balance", "predicted_payers", "payers_variance", "expected", "payers", "paid", "contacts", "calls"),
    *("right_parties", "promises", "promises_due", "promises_kept", "cost", "days_to_pay"),
    *_CURES,
)
#: And these, of money in the main unit, which no whole number holds: they serve for intervals alone.
SQUARES = ("expected_squared", "paid_squared", "expected_times_paid")
P_SCALE = 1_000_000_000

cells = sql.Table(
    "cells",
    metadata,
    sql.Column("cut", sql.Text, primary_key=True),
    sql.Column("month", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("value", sql.Text, primary_key=True),
    sql.Column("role", sql.Text, primary_key=True),
    sql.Column("model", sql.Text, primary_key=True),
    sql.Column("arm", sql.Text, primary_key=True),
    sql.Column("matured", sql.Boolean, primary_key=True),
    sql.Column("worked", sql.Boolean, primary_key=True),
    sql.Column("band", sql.Text, primary_key=True),
    *(
        sql.Column(name, sql.BigInteger, nullable=False, server_default="0" if name in _CURES else None)
        for name in SUMS
    ),
    *(sql.Column(name, sql.Double, nullable=False) for name in SQUARES),
    sqlite_with_rowid=False,
)
#: Key figures are one of these sums over another.
KEY_PAIRS = (
    *(("paid", "balance"), ("cured", "accounts"), ("self_cured", "accounts"), ("worked_accounts", "accounts")),
    *(("contacts", "worked_accounts"), ("calls", "payers"), ("right_parties", "contacts")),
    *(("promises", "right_parties"), ("promises_kept", "promises_due"), ("cost", "paid"), ("days_to_pay", "payers")),
)
#: The sums of squares and of products over persons, of what each person's observations come to together, that the
#: intervals of key figures need: of matured observations, amounts in the main unit, times in days.
SQUARED = tuple(dict.fromkeys(name for pair in KEY_PAIRS for name in pair))
OF_PERSONS = (*(f"{name}_squared" for name in SQUARED), *(f"{above}_times_{below}" for above, below in KEY_PAIRS))
#: Sums of squares of what followed less what was predicted: of each observation, and of each person's together.
residuals = sql.Table(
    "residuals",
    metadata,
    sql.Column("month", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("role", sql.Text, primary_key=True),
    sql.Column("model", sql.Text, primary_key=True),
    sql.Column("payers_each", sql.Double, nullable=False),
    sql.Column("payers_by_person", sql.Double, nullable=False),
    sql.Column("money_each", sql.Double, nullable=False),
    sql.Column("money_by_person", sql.Double, nullable=False),
    *(sql.Column(name, sql.Double, nullable=False, server_default="0") for name in OF_PERSONS),
)
#: `stage_after` is empty where the account was not scored in the month after.
stage_moves = sql.Table(
    "stage_moves",
    metadata,
    sql.Column("month", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("stage", sql.Text, primary_key=True),
    sql.Column("stage_after", sql.Text, primary_key=True),
    sql.Column("accounts", sql.BigInteger, nullable=False),
    sql.Column("balance", sql.BigInteger, nullable=False),
)
#: Tenths go by `p_pay`, 1 the highest.
swaps = sql.Table(
    "swaps",
    metadata,
    sql.Column("month", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("champion", sql.Text, primary_key=True),
    sql.Column("challenger", sql.Text, primary_key=True),
    sql.Column("champion_tenth", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("challenger_tenth", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("accounts", sql.BigInteger, nullable=False),
    sql.Column("champion_payers", sql.BigInteger, nullable=False),
    sql.Column("challenger_payers", sql.BigInteger, nullable=False),
    sql.Column("payers", sql.BigInteger, nullable=False),
    sql.Column("paid", sql.BigInteger, nullable=False),
)
placements = sql.Table(
    "placements",
    metadata,
    sql.Column("vintage", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("accounts", sql.BigInteger, nullable=False),
    sql.Column("balance", sql.BigInteger, nullable=False),
)
collections = sql.Table(
    "collections",
    metadata,
    sql.Column("vintage", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("month", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("paid", sql.BigInteger, nullable=False),
)
