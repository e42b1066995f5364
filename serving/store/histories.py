"""The tables of the histories: the contract's columns, and beside them when a row came in and what tells it apart.

An *arrival* is the number of a batch, in the order in which batches were committed: all rows that arrived up to a
number are what the store held then, whatever comes later. That is what a past score is replayed from.

    portfolio    the one portfolio of this store: its settings
    arrivals     the batches
    accounts, contacts, payments, promises, charges, restrictions, decisions    the rows, as they were sent
    changes      of each account the last batch that brought something of it, or named it: the accounts there are
    packed       of each account its packed history as of some arrival; only a shortcut: rows alone are the truth
"""

from __future__ import annotations

import sqlalchemy as sql

from features.contract import TABLES, Column, Kind, Table
from serving.store.schema import metadata

#: Of a row without an id, the key is 128 bits of a hash: two rows that differ do not get the same one.
KEY_BYTES = 16

portfolio = sql.Table(
    "portfolio",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),  # always 1
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("settings", sql.Text, nullable=False),  # as a portfolio.toml says them
)

arrivals = sql.Table(
    "arrivals",
    metadata,
    sql.Column("arrival", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("received_at", sql.BigInteger, nullable=False),
    # Accounts that were erased by it: whoever holds accounts in memory must see which are gone.
    sql.Column("erased", sql.Integer, nullable=False),
)

changes = sql.Table(
    "changes",
    metadata,
    sql.Column("account_id", sql.Text, primary_key=True),
    sql.Column("arrival", sql.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

packed = sql.Table(
    "packed",
    metadata,
    # What was packed of an account must not outlive it, whoever writes when.
    sql.Column("account_id", sql.Text, sql.ForeignKey("changes.account_id", ondelete="CASCADE"), primary_key=True),
    sql.Column("arrival", sql.BigInteger, nullable=False),
    sql.Column("texts", sql.Text, nullable=False),
    sql.Column("history", sql.LargeBinary, nullable=False),
)

_TYPES = {
    Kind.TIME: sql.BigInteger,
    Kind.END: sql.BigInteger,
    Kind.AMOUNT: sql.BigInteger,
    Kind.SHARE: sql.Double,
    Kind.FLAG: sql.Boolean,
}


def _column(column: Column) -> sql.Column[object]:
    return sql.Column(column.name, _TYPES.get(column.kind, sql.Text)(), nullable=column.nullable)


def _of_table(table: Table) -> sql.Table:
    columns = [_column(column) for column in table.columns]
    if table.name == "accounts":
        # The portfolio's own attributes, those for audits included: a JSON object.
        attributes = sql.Column("attributes", sql.Text, nullable=True)
        arrival = sql.Column("arrival", sql.BigInteger, nullable=False)
        return sql.Table(
            table.name,
            metadata,
            *columns,
            attributes,
            arrival,
            sql.PrimaryKeyConstraint("account_id"),
            sql.Index(None, "person_id"),
        )
    return sql.Table(
        table.name,
        metadata,
        *columns,
        sql.Column("arrival", sql.BigInteger, nullable=False),
        sql.Column("row_key", sql.LargeBinary, primary_key=True),
        # Contacts are many: those of a window are found without reading the others of the account.
        sql.Index(None, "account_id", *(["at"] if table.name == "contacts" else [])),
    )


#: The tables of rows by their name, accounts first.
tables = {name: _of_table(table) for name, table in TABLES.items()}


def key_column(name: str) -> str:
    """The column by which a row of a table is told from others."""
    return "account_id" if name == "accounts" else "row_key"
