"""When the roll-up last ran; not known until the next one where it did before."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Add the columns."""
    there = {column["name"] for column in sql.inspect(op.get_bind()).get_columns("rollup_progress")}
    for name in ("rolled_at", "rolled_to"):
        if name not in there:
            op.add_column("rollup_progress", sql.Column(name, sql.BigInteger))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("rolled_at", "rolled_to"):
        op.drop_column("rollup_progress", name)
