"""API keys."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Make the table of keys."""
    counter = sql.BigInteger().with_variant(sql.Integer, "sqlite")
    op.create_table(
        "api_keys",
        sql.Column("number", counter, primary_key=True),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("digest", sql.LargeBinary(32), nullable=False),
        sql.Column("scopes", sql.Text, nullable=False),
        sql.Column("created_at", sql.BigInteger, nullable=False),
        sql.Column("expires_at", sql.BigInteger),
        sql.Column("revoked_at", sql.BigInteger),
    )


def downgrade() -> None:
    """Drop the table of keys."""
    op.drop_table("api_keys")
