"""The tables of the histories."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of the histories."""
    op.create_table(
        "portfolio",
        sql.Column("number", sql.Integer, nullable=False, autoincrement=False),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("settings", sql.Text, nullable=False),
        sql.PrimaryKeyConstraint("number", name="pk_portfolio"),
    )
    op.create_table(
        "arrivals",
        sql.Column("arrival", sql.BigInteger, nullable=False, autoincrement=False),
        sql.Column("received_at", sql.BigInteger, nullable=False),
        sql.Column("erased", sql.Integer, nullable=False),
        sql.PrimaryKeyConstraint("arrival", name="pk_arrivals"),
    )
    op.create_table(
        "changes",
        sql.Column("account_id", sql.Text, nullable=False),
        sql.Column("arrival", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("account_id", name="pk_changes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "packed",
        sql.Column("account_id", sql.Text, nullable=False),
        sql.Column("arrival", sql.BigInteger, nullable=False),
        sql.Column("texts", sql.Text, nullable=False),
        sql.Column("history", sql.LargeBinary, nullable=False),
        sql.ForeignKeyConstraint(["account_id"], ["changes.account_id"], ondelete="CASCADE"),
        sql.PrimaryKeyConstraint("account_id", name="pk_packed"),
    )
    op.create_table(
        "accounts",
        sql.Column("account_id", sql.Text, nullable=False),
        sql.Column("opened_at", sql.BigInteger, nullable=False),
        sql.Column("due_on", sql.BigInteger),
        sql.Column("balance", sql.BigInteger, nullable=False),
        sql.Column("segment", sql.Text, nullable=False),
        sql.Column("placed_at", sql.BigInteger),
        sql.Column("person_id", sql.Text),
        sql.Column("portfolio", sql.Text),
        sql.Column("commission_rate", sql.Double),
        sql.Column("timezone", sql.Text),
        sql.Column("jurisdiction", sql.Text),
        sql.Column("attributes", sql.Text),
        sql.Column("arrival", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("account_id", name="pk_accounts"),
    )
    _events(
        "contacts",
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("channel", sql.Text, nullable=False),
        sql.Column("outcome", sql.Text, nullable=False),
        sql.Column("contact_id", sql.Text),
        sql.Column("direction", sql.Text),
        sql.Column("contact_point", sql.Text),
        sql.Column("cost", sql.BigInteger),
        sql.Column("agent", sql.Text),
        sql.Column("propensity", sql.Double),
        sql.Column("recorded_at", sql.BigInteger),
    )
    _events(
        "payments",
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("amount", sql.BigInteger, nullable=False),
        sql.Column("payment_id", sql.Text),
        sql.Column("recorded_at", sql.BigInteger),
    )
    _events(
        "promises",
        sql.Column("made_at", sql.BigInteger, nullable=False),
        sql.Column("due_on", sql.BigInteger, nullable=False),
        sql.Column("amount", sql.BigInteger, nullable=False),
        sql.Column("promise_id", sql.Text),
        sql.Column("recorded_at", sql.BigInteger),
    )
    _events(
        "charges",
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("amount", sql.BigInteger, nullable=False),
        sql.Column("due_on", sql.BigInteger),
        sql.Column("kind", sql.Text),
        sql.Column("recorded_at", sql.BigInteger),
    )
    _events(
        "restrictions",
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("kind", sql.Text, nullable=False),
        sql.Column("channel", sql.Text),
        sql.Column("contact_point", sql.Text),
        sql.Column("until", sql.BigInteger),
        sql.Column("recorded_at", sql.BigInteger),
    )
    _events(
        "decisions",
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("channel", sql.Text, nullable=False),
        sql.Column("propensity", sql.Double, nullable=False),
        sql.Column("explored", sql.Boolean),
        sql.Column("policy", sql.Text),
        sql.Column("recorded_at", sql.BigInteger),
    )


def _events(name: str, *columns: sql.Column[Any]) -> None:
    """A table of rows that belong to an account."""
    op.create_table(
        name,
        sql.Column("account_id", sql.Text, nullable=False),
        *columns,
        sql.Column("arrival", sql.BigInteger, nullable=False),
        sql.Column("row_key", sql.LargeBinary(16), nullable=False),
        sql.PrimaryKeyConstraint("row_key", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_account_id", name, ["account_id"])
