"""The reports of monitoring."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Make the tables."""
    _make(
        "drift_reports",
        _key("model", sql.Text),
        _key("as_of", sql.BigInteger),
        _column("made_at", sql.BigInteger),
        _column("accounts", sql.BigInteger),
        _column("matured_as_of", sql.BigInteger, nullable=True),
        *(_column(name, sql.Double, nullable=True) for name in ("expected_auc", "expected_brier", "auc", "brier")),
        *(_column(name, sql.Double, nullable=True) for name in ("payers_ratio", "money_ratio")),
        _column("content", sql.LargeBinary),
    )
    _make(
        "drift_shifts",
        *(_key(name, sql.Text) for name in ("model", "name")),
        _key("as_of", sql.BigInteger),
        *(_column(name, sql.Double) for name in ("psi", "by_chance")),
        sqlite_with_rowid=False,
    )
    _make(
        "drift_passed",
        _key("model", sql.Text),
        _key("as_of", sql.BigInteger),
        *(_key(name, sql.Text) for name in ("of", "name")),
        *(_column(name, sql.Double) for name in ("figure", "limit")),
        _column("warns", sql.Boolean),
    )


def _make(name: str, *columns: sql.Column[Any], **options: bool) -> None:
    op.create_table(name, *columns, if_not_exists=True, **options)


def _key(name: str, kind: type[sql.types.TypeEngine[Any]]) -> sql.Column[Any]:
    return sql.Column(name, kind, primary_key=True, autoincrement=False)


def _column(name: str, kind: type[sql.types.TypeEngine[Any]], nullable: bool = False) -> sql.Column[Any]:
    return sql.Column(name, kind, nullable=nullable)


def downgrade() -> None:
    """Drop the tables: what monitoring found then cannot be made again but for what MLflow has."""
    for name in ("drift_passed", "drift_shifts", "drift_reports"):
        op.drop_table(name)
