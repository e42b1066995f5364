"""Cures, what the intervals of key figures need, until when models learned, and a count of changes to observations.

The next roll-up begins anew, as a rebuild does; until then there are no sums, and pages say that it was not made. Of
persons who are erased, before or meanwhile, the rows are gone: who of them paid the whole balance is a cure, and one by
herself where nobody contacted her at all.
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0008"
down_revision: str | None = "0007"

_CURES = ("cured", "self_cured")
_SQUARED = (
    *("paid", "balance", "worked_accounts", "accounts", "contacts", "calls", "payers", "right_parties", "promises"),
    *("promises_due", "promises_kept", "cost", "days_to_pay", "cured", "self_cured"),
)
_PAIRS = (
    *(("paid", "balance"), ("cured", "accounts"), ("self_cured", "accounts"), ("worked_accounts", "accounts")),
    *(("contacts", "worked_accounts"), ("calls", "payers"), ("right_parties", "contacts")),
    *(("promises", "right_parties"), ("promises_kept", "promises_due"), ("cost", "paid"), ("days_to_pay", "payers")),
)
_OF_PERSONS = (*(f"{name}_squared" for name in _SQUARED), *(f"{above}_times_{below}" for above, below in _PAIRS))
_ADDED = {
    "observations": ("cured_at", "first_contact_at"),
    "rollup_progress": ("changes",),
    "payment_terms": ("learned_until",),
    "cells": ("cured", "self_cured"),
    "residuals": _OF_PERSONS,
}


def upgrade() -> None:
    """Add the columns; what was rolled up is to be made anew."""
    there = sql.inspect(op.get_bind())
    for table, names in _ADDED.items():
        has = {column["name"] for column in there.get_columns(table)}
        kind = sql.Double if table == "residuals" else sql.BigInteger
        is_known = table != "observations"
        for name in set(names) - has:
            column = sql.Column(name, kind, nullable=not is_known, server_default="0" if is_known else None)
            op.add_column(table, column)
    op.execute(
        "UPDATE observations SET cured_at = CASE WHEN paid >= balance THEN window_end END, "
        "first_contact_at = CASE WHEN contacts > 0 THEN as_of END WHERE matured"
    )
    for table in ("cells", "residuals", "stage_moves", "swaps", "rollup_progress"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 our own words


def downgrade() -> None:
    """Drop the columns."""
    for table, names in _ADDED.items():
        for name in names:
            op.drop_column(table, name)
