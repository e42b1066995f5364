"""The roll-ups behind the review pages."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_COUNTER = sql.BigInteger().with_variant(sql.Integer, "sqlite")
_SUMS = (
    *("accounts", "balance", "predicted_payers", "payers_variance", "expected", "payers", "paid", "contacts", "calls"),
    *("right_parties", "promises", "promises_due", "promises_kept", "cost", "days_to_pay"),
)
_SQUARES = ("expected_squared", "paid_squared", "expected_times_paid")
_TABLES = (
    "calendar_months", "rollup_progress", "score_terms", "channel_costs", "payment_terms", "observations", "cells",
    "residuals", "stage_moves", "swaps", "placements", "collections",
)  # fmt: skip


def upgrade() -> None:
    """Make the tables; contacts are found by account and time."""
    op.create_index("ix_contacts_account_id_at", "contacts", ["account_id", "at"], if_not_exists=True)
    op.drop_index("ix_contacts_account_id", "contacts", if_exists=True)
    _make(
        "calendar_months",
        _key("start", sql.BigInteger),
        _figure("month", sql.Integer),
        _figure("stale", sql.Boolean),
    )
    _make(
        "rollup_progress",
        _key("number", sql.Integer),
        _figure("timezone", sql.Text),
        *(_figure(name) for name in ("answer_id", "position", "arrival", "known_until")),
        *(_figure(name) for name in ("collected_arrival", "collected_until")),
    )
    _make("score_terms", sql.Column("digest", sql.LargeBinary(16), primary_key=True), _figure("horizon"))
    _make(
        "channel_costs",
        sql.Column("digest", sql.LargeBinary(16), primary_key=True),
        _key("channel", sql.Text),
        _figure("cost"),
    )
    _make(
        "payment_terms",
        _key("bundle_sha256", sql.Text),
        _figure("above_amount"),
        _figure("above_share", sql.Double),
    )
    _make_observations()
    _make(
        "cells",
        _key("cut", sql.Text),
        _key("month", sql.Integer),
        *(_key(name, sql.Text) for name in ("value", "role", "model", "arm")),
        *(_key(name, sql.Boolean) for name in ("matured", "worked")),
        _key("band", sql.Text),
        *(_figure(name) for name in _SUMS),
        *(_figure(name, sql.Double) for name in _SQUARES),
        sqlite_with_rowid=False,
    )
    _make(
        "residuals",
        _key("month", sql.Integer),
        *(_key(name, sql.Text) for name in ("role", "model")),
        *(_figure(name, sql.Double) for name in ("payers_each", "payers_by_person", "money_each", "money_by_person")),
    )
    _make(
        "stage_moves",
        _key("month", sql.Integer),
        *(_key(name, sql.Text) for name in ("stage", "stage_after")),
        *(_figure(name) for name in ("accounts", "balance")),
    )
    _make(
        "swaps",
        _key("month", sql.Integer),
        *(_key(name, sql.Text) for name in ("champion", "challenger")),
        *(_key(name, sql.Integer) for name in ("champion_tenth", "challenger_tenth")),
        *(_figure(name) for name in ("accounts", "champion_payers", "challenger_payers", "payers", "paid")),
    )
    _make("placements", _key("vintage", sql.Integer), *(_figure(name) for name in ("accounts", "balance")))
    _make("collections", _key("vintage", sql.Integer), _key("month", sql.Integer), _figure("paid"))


def _make_observations() -> None:
    _make(
        "observations",
        sql.Column("observation_id", _COUNTER, primary_key=True),
        _figure("account_id", sql.Text),
        _figure("month", sql.Integer),
        _figure("role", sql.Text),
        _figure("answer_id"),
        _figure("position", sql.Integer),
        *(_figure(name) for name in ("as_of", "window_end")),
        *(_figure(name, sql.Text) for name in ("model", "band")),
        _figure("p_pay", sql.Double),
        *(_figure(name) for name in ("expected", "balance", "threshold")),
        *(_figure(name, sql.Text) for name in ("arm", "chosen", "segment", "portfolio")),
        _figure("vintage", sql.Integer),
        _figure("stage", sql.Text),
        _figure("matured", sql.Boolean),
        *(sql.Column(name, sql.BigInteger) for name in ("paid", "first_paid_at", "contacts", "calls")),
        *(sql.Column(name, sql.BigInteger) for name in ("right_parties", "cost")),
        *(sql.Column(name, sql.Text) for name in ("channel", "agent")),
        *(sql.Column(name, sql.BigInteger) for name in ("promises", "promises_due", "promises_kept")),
    )
    name, keys = "uq_observations_account_id_month_role", ["account_id", "month", "role"]
    op.create_index(name, "observations", keys, unique=True, if_not_exists=True)
    op.create_index("ix_observations_month", "observations", ["month"], if_not_exists=True)
    is_open = sql.text("NOT matured")
    op.create_index(
        "ix_observations_open", "observations", ["window_end"], if_not_exists=True, sqlite_where=is_open,
        postgresql_where=is_open,
    )  # fmt: skip


def _make(name: str, *columns: sql.Column[Any], **options: bool) -> None:
    op.create_table(name, *columns, if_not_exists=True, **options)


def _key(name: str, kind: type[sql.types.TypeEngine[Any]]) -> sql.Column[Any]:
    return sql.Column(name, kind, primary_key=True, autoincrement=False)


def _figure(name: str, kind: type[sql.types.TypeEngine[Any]] = sql.BigInteger) -> sql.Column[Any]:
    return sql.Column(name, kind, nullable=False)


def downgrade() -> None:
    """Drop the tables: they can be made again from the ledger."""
    op.create_index("ix_contacts_account_id", "contacts", ["account_id"], if_not_exists=True)
    op.drop_index("ix_contacts_account_id_at", "contacts", if_exists=True)
    for name in reversed(_TABLES):
        op.drop_table(name)
