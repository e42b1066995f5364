"""Ends: of overrides, and of sessions before their time."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Make the tables."""
    counter = sql.BigInteger().with_variant(sql.Integer, "sqlite")
    op.create_table(
        "override_ends",
        sql.Column("override_id", counter, primary_key=True, autoincrement=False),
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("key_id", sql.Text),
        if_not_exists=True,
    )
    op.create_table(
        "ended_sessions",
        sql.Column("digest", sql.LargeBinary(32), primary_key=True),
        sql.Column("until", sql.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_ended_sessions_until", "ended_sessions", ["until"], if_not_exists=True)


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("ended_sessions")
    op.drop_table("override_ends")
