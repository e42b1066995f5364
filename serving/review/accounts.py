"""The accounts behind a figure: which were counted, page by page.

accounts_of(store, where, band, limit, after) -> rows
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import sqlalchemy as sql

from features.errors import SettingsError
from features.units import MONEY_SCALE, from_instants
from serving.review.reading import Where
from serving.review.statements import CUTS
from serving.store.database import Store
from serving.store.rollups import observations

COLUMNS = (
    *("observation_id", "account_id", "month", "as_of", "model", "band", "p_pay", "expected", "balance", "arm"),
    *("chosen", "segment", "portfolio", "vintage", "stage", "matured", "paid", "contacts", "channel", "cost"),
)
_MONEY = ("expected", "balance", "paid", "cost")


def accounts_of(store: Store, where: Where, band: str | None = None, limit: int = 100, after: int = 0) -> pd.DataFrame:
    """The observations that a figure counts, in the order in which they were made: `COLUMNS`, amounts in the main unit.

    Args:
        store: the store.
        where: which observations count, as for `read_sums`.
        band: of one band alone.
        limit: how many rows at most.
        after: only those after the `observation_id` of the last row of another page.

    Raises:
        SettingsError: there is no such cut.
        StoreError: the store cannot be read.
    """
    if where.cut not in CUTS:
        raise SettingsError(f"a cut is one of {', '.join(CUTS)}, got {where.cut!r}")
    table = observations.c
    conditions: list[sql.ColumnElement[bool]] = [
        table.observation_id > after,
        table.month.between(where.first_month, where.last_month),
        table.role == where.role,
        table.matured.is_(where.matured),
    ]
    given = ((table.model, where.model), (table.arm, where.arm), (table.band, band))
    conditions += [column == value for column, value in given if value is not None]
    if where.worked is not None:
        conditions.append((table.contacts > 0) if where.worked else sql.func.coalesce(table.contacts, 0) == 0)
    if where.cut != "all":
        conditions.append(sql.literal_column(CUTS[where.cut]) == where.value)
    query = sql.select(*(table[name] for name in COLUMNS)).where(*conditions)
    query = query.order_by(table.observation_id).limit(limit)
    with store.reading() as connection:
        # As tuples: pandas looks at every row of another kind for what it may be.
        rows = pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=list(COLUMNS))
    money = {name: rows[name].astype(np.float64) / MONEY_SCALE for name in _MONEY}
    return rows.assign(**money, as_of=from_instants(rows["as_of"].to_numpy(np.int64)), matured=rows["matured"] == 1)
