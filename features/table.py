"""The feature table: the features of every live account as of a moment, as a frame for people."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.catalog.grammar import Category
from features.compute import feature_matrix, prepare, standing
from features.errors import MomentError
from features.histories import Histories, category_values
from features.selection import available
from features.units import format_instant, from_instants


def feature_table(histories: Histories, as_of: int, may_be_empty: bool = False) -> pd.DataFrame:
    """Every live account: `account_id`, `as_of`, and one column for each feature that has occurred.

    Args:
        histories: packed histories.
        as_of: the moment, an instant.
        may_be_empty: take it that no account is live: in a part of a portfolio that may well be.

    Raises:
        MomentError: no account is live then.
    """
    everyone = np.arange(len(histories))
    _, live = standing(histories, everyone, np.full(len(everyone), as_of))
    rows = np.flatnonzero(live)
    if not len(rows) and not may_be_empty:
        raise none_live(as_of)
    features = prepare(histories.settings, available(histories, as_of))
    table = pd.DataFrame(
        feature_matrix(histories, rows, np.full(len(rows), as_of), features), columns=list(features.names)
    )
    for feature in features.features:
        if isinstance(feature.measure, Category):
            table[feature.name] = pd.Series(category_values(histories, feature.measure.column)[rows], dtype="str")
    table.insert(0, "account_id", pd.Series(histories.accounts.account_id[rows], dtype="str"))
    table.insert(1, "as_of", from_instants(np.full(len(rows), as_of)))
    return table


def none_live(as_of: int) -> MomentError:
    """The error of a moment at which no account is live."""
    return MomentError(f"no account is live as of {format_instant(as_of)}; give a moment within the portfolio's time")
