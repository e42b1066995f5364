"""What all tables of the store share. A part of the store defines its own tables on `metadata`, in its own module.

Inside, an instant is a whole number of microseconds and money of ten-thousandths, as in `features.units`: both
databases keep those exactly, and nothing is turned into text and back.
"""

from __future__ import annotations

import sqlalchemy as sql

#: Names of constraints follow from what they hold, so that a migration can name them in either database.
metadata = sql.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: A key that the database counts up: SQLite counts only what it calls INTEGER.
Counter = sql.BigInteger().with_variant(sql.Integer, "sqlite")
