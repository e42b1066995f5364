"""Adding rows to packed histories: bit for bit what packing all rows together gives.

What is added is packed first, on its own. Rows are taken for different ones: whoever adds them sees to it that none is
added twice (ids are checked when rows are read, and are not kept).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import HistoryError
from features.events import Amounts, Contacts, Decisions, Promises, Restrictions
from features.histories import Accounts, Histories, by_time, overview_of
from features.overview import combine
from features.units import Rows

Table = TypeVar("Table", Contacts, Amounts, Promises, Restrictions, Decisions)


def append(histories: Histories, more: Histories) -> Histories:
    """These histories with more accounts, and more events of the accounts that there are.

    Args:
        histories: packed histories.
        more: what is added, packed with the same settings; an account that is there already comes as it is there.

    Raises:
        HistoryError: the settings differ, or an account differs from what it was.
    """
    if more.settings != histories.settings:
        raise HistoryError("rows are added to histories of the same settings, got other ones; pack them with the same")
    known = pd.Index(histories.accounts.account_id).get_indexer(pd.Index(more.accounts.account_id))
    more = _recoded(more, histories)
    histories = _recoded(histories, more)
    _check_same(histories, more, known)
    account_id = np.concatenate([histories.accounts.account_id, more.accounts.account_id[known < 0]])
    order = np.argsort(account_id, kind="stable")
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    known[known < 0] = np.arange(len(histories), len(order))
    new = known >= len(histories)
    columns = [(getattr(histories.accounts, name), getattr(more.accounts, name)) for name in Accounts._fields]
    accounts = Accounts(*(np.concatenate([old, added[new]])[order] for old, added in columns))
    tables = {
        name: _merged(getattr(histories, name), getattr(more, name), place_of[: len(histories)], place_of[known])
        for name in ("contacts", "payments", "charges", "promises", "restrictions", "decisions")
    }
    overview = None
    if histories.overview is not None:
        overview = combine([histories.overview, overview_of(more, placed=new)])
    return replace(histories, accounts=accounts, overview=overview, **tables)


def _recoded(histories: Histories, others: Histories) -> Histories:
    """The histories with the zones and levels of both, sorted, and their codes changed accordingly."""
    if histories.zones == others.zones and histories.levels == others.levels:
        return histories
    zones, zone = _joined(histories.zones, others.zones)
    pairs = [_joined(*levels) for levels in zip(histories.levels, others.levels, strict=True)]
    codes = histories.accounts.categories
    categories = np.column_stack([code[codes[:, column]] for column, (_, code) in enumerate(pairs)])
    accounts = histories.accounts._replace(zone=zone[histories.accounts.zone], categories=categories)
    return replace(histories, zones=zones, levels=tuple(levels for levels, _ in pairs), accounts=accounts)


def _joined(mine: tuple[str, ...], others: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The values of both, sorted, and the new code of each of mine; code -1, no value, takes the last of these."""
    values = tuple(sorted({*mine, *others}))
    place = {value: code for code, value in enumerate(values)}
    return values, np.array([*(place[value] for value in mine), -1], dtype=np.int32)


def _check_same(histories: Histories, more: Histories, known: Rows) -> None:
    here = known >= 0
    for name in Accounts._fields:
        old, new = getattr(histories.accounts, name)[known[here]], getattr(more.accounts, name)[here]
        differ = [row for row in range(len(old)) if repr(old[row]) != repr(new[row])]
        if differ:
            row = differ[0]
            account_id = more.accounts.account_id[here][row]
            raise HistoryError(
                f"an account that is there already must be added as it is, got another {name} for {account_id}; "
                f"pack the whole portfolio anew"
            )


def _merged(table: Table, more: Table, account: Rows, more_account: Rows) -> Table:
    """The rows of both tables, whose accounts are those at `account` and `more_account` of the result.

    The accounts of `table` keep their order in the result, and so its rows keep theirs; each added row finds its place.
    """
    n_accounts = int(max(account.max(initial=-1), more_account.max(initial=-1))) + 1
    length = np.zeros(n_accounts, dtype=np.int64)
    length[account] = np.diff(table.start)
    begin = np.concatenate([[0], np.cumsum(length)])
    added = np.diff(more.start)
    length[more_account] += added
    start = np.concatenate([[0], np.cumsum(length)])
    if not len(more.rows):
        return table._replace(start=start)
    owner = np.repeat(more_account, added)
    turn = np.argsort(owner, kind="stable")
    keys, old = _Keys(more), _Keys(table)
    place = np.array(
        [bisect_right(old, keys[row], begin[owner[row]], begin[owner[row] + 1]) for row in turn.tolist()],
        dtype=np.int64,
    )
    columns = zip(table._fields[1:], table[1:], more[1:], strict=True)
    columns_merged = {name: np.insert(mine, place, other[turn], axis=0) for name, mine, other in columns}
    merged = table._replace(start=start, **columns_merged)
    if isinstance(merged, Amounts):
        merged.by_time[:] = by_time(start, merged.at)
    return merged


class _Keys:
    """What the rows of a table are sorted by, within their account."""

    def __init__(self, table: Any) -> None:
        # The order in which amounts happened follows from the other columns, and changes as rows come in.
        self.rows = table.rows[:, :4] if isinstance(table, Amounts) else table.rows
        self.table = table

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[object, ...]:
        row = tuple(self.rows[place].tolist())
        if not isinstance(self.table, Decisions):
            return row
        propensity = float(self.table.propensity[place])
        unknown = math.isnan(propensity)
        return (*row, unknown, 0.0 if unknown else propensity, bool(self.table.explored[place]))
