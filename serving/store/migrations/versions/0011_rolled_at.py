"""When the roll-up last ran; not known until the next one where it did before."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Add the column."""
    if "rolled_at" not in {column["name"] for column in sql.inspect(op.get_bind()).get_columns("rollup_progress")}:
        op.add_column("rollup_progress", sql.Column("rolled_at", sql.BigInteger))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("rollup_progress", "rolled_at")
