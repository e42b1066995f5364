"""Until when models learned: scores of time that they had learned from are no predictions.

The next roll-up begins anew, as a rebuild does; until then there are no sums, and pages say that it was not made.
Observations stay meanwhile, for those of persons who are erased.
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Add the column; what was rolled up is to be made anew."""
    if "learned_until" not in {column["name"] for column in sql.inspect(op.get_bind()).get_columns("payment_terms")}:
        op.add_column("payment_terms", sql.Column("learned_until", sql.BigInteger, nullable=False, server_default="0"))
    for table in ("cells", "residuals", "stage_moves", "swaps", "rollup_progress"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 our own words


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("payment_terms", "learned_until")
