"""The ledger of scores, the settings that they were given under, overrides, and what was erased."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0002"
# The ledger's tables name none of the histories'.
down_revision: str | None = "0001"

_COUNTER = sql.BigInteger().with_variant(sql.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "settings_used",
        sql.Column("digest", sql.LargeBinary(16), primary_key=True),
        sql.Column("content", sql.Text, nullable=False),
    )
    op.create_table(
        "answers",
        sql.Column("answer_id", _COUNTER, primary_key=True),
        sql.Column("request_id", sql.Text, nullable=False),
        sql.Column("purpose", sql.Text, nullable=False),
        sql.Column("scored_at", sql.BigInteger, nullable=False, index=True),
        sql.Column("as_of", sql.BigInteger, nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("bundle_sha256", sql.Text, nullable=False),
        sql.Column("role", sql.Text, nullable=False),
        sql.Column("source", sql.Text, nullable=False),
        sql.Column("settings_digest", sql.LargeBinary(16), nullable=False),
        sql.Column("actions", sql.Text, nullable=False),
        sql.Column("arrival", sql.BigInteger),
        sql.Column("key_id", sql.Text),
        sql.Column("policy", sql.Text),
        sql.Column("seed", sql.BigInteger),
    )
    op.create_table(
        "scores",
        sql.Column("answer_id", sql.BigInteger, primary_key=True, autoincrement=False),
        sql.Column("position", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("account_id", sql.Text, nullable=False, index=True),
        sql.Column("features_digest", sql.LargeBinary(16), nullable=False),
        sql.Column("p_pay", sql.Double, nullable=False),
        sql.Column("expected_amount", sql.Double),
        sql.Column("best_channel", sql.Text, nullable=False),
        sql.Column("uplift", sql.Double),
        sql.Column("priority", sql.Double),
        sql.Column("band", sql.Text, nullable=False),
        sql.Column("balance", sql.Double, nullable=False),
        sql.Column("commission_rate", sql.Double, nullable=False),
        sql.Column("p_by_action", sql.LargeBinary, nullable=False),
        sql.Column("value_by_action", sql.LargeBinary, nullable=False),
        sql.Column("blocked", sql.BigInteger, nullable=False),
        sql.Column("rules", sql.Text, nullable=False),
        sql.Column("rank", sql.BigInteger),
        sql.Column("channel", sql.Text),
        sql.Column("propensity", sql.Double),
        sql.Column("explored", sql.Boolean),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inputs",
        sql.Column("answer_id", sql.BigInteger, primary_key=True, autoincrement=False),
        sql.Column("features", sql.LargeBinary, nullable=False),
    )
    op.create_table(
        "overrides",
        sql.Column("override_id", _COUNTER, primary_key=True),
        sql.Column("account_id", sql.Text, nullable=False, index=True),
        sql.Column("at", sql.BigInteger, nullable=False, index=True),
        sql.Column("recommended", sql.Text, nullable=False),
        sql.Column("chosen", sql.Text, nullable=False),
        sql.Column("reason", sql.Text, nullable=False),
        sql.Column("answer_id", sql.BigInteger),
        sql.Column("key_id", sql.Text),
    )
    op.create_table(
        "erasures",
        sql.Column("token", sql.Text, primary_key=True),
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("rows", sql.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Refuse: the ledger is not dropped by a command."""
    raise NotImplementedError("a ledger is kept; restore a copy of the store from before instead")
