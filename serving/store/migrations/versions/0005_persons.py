"""The accounts of a person are found by her."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_accounts_person_id", "accounts", ["person_id"], if_not_exists=True)


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_accounts_person_id", "accounts")
