"""What the kernel reads of the packed tables by number is what `features.events` calls by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features import events, histories, kernel, units
from features.plan import ROLES, kinds_of
from features.settings import PortfolioSettings
from tests.features.strategies import long_history, packed

#: Each table's columns in the order of a row, with the constants by which the kernel knows them.
COLUMNS: dict[str, dict[str, int | None]] = {
    "contacts": {
        "known": kernel.KNOWN,
        "at": kernel.AT,
        "kind": kernel.KIND,
        "cost": kernel.MONEY,
        "point": kernel.CONTACT_POINT,
    },
    "payments": {
        "known": kernel.KNOWN,
        "at": kernel.AT,
        "kind": kernel.KIND,
        "amount": kernel.MONEY,
        "by_time": kernel.BY_TIME,
    },
    "promises": {"known": kernel.KNOWN, "at": kernel.AT, "due_on": kernel.DUE_ON, "amount": kernel.MONEY},
    "restrictions": {
        "known": kernel.KNOWN,
        "at": kernel.AT,
        "kind": kernel.KIND,
        "until": kernel.UNTIL,
        "channel": kernel.CHANNEL,
        "point": kernel.RESTRICTED_POINT,
    },
}
TABLES: dict[str, Any] = {
    "contacts": events.Contacts,
    "payments": events.Amounts,
    "promises": events.Promises,
    "restrictions": events.Restrictions,
}


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_where_the_kernel_reads_them(name: str) -> None:
    columns = COLUMNS[name]
    row = np.arange(len(columns), dtype=np.int64)[np.newaxis]
    table = TABLES[name](start=np.array([0, 1]), rows=row)
    named = {key: int(getattr(table, key)[0]) for key in columns}
    assert named == columns == dict(zip(columns, range(len(columns)), strict=True))
    there_are = {key for key, value in vars(TABLES[name]).items() if isinstance(value, property)}
    assert there_are == set(columns)
    packed_table = getattr(packed(long_history(50, PortfolioSettings("east"))), name)
    assert packed_table.rows.shape[1] == len(columns)
    assert packed_table.rows.flags.c_contiguous


def test_charges_are_packed_like_payments_and_decisions_have_their_own_columns() -> None:
    of_account = packed(long_history(50, PortfolioSettings("east")))
    assert type(of_account.charges) is type(of_account.payments)
    decisions = events.Decisions(np.array([0, 1]), np.array([[7, 8, 9]]), np.array([0.5]), np.array([True]))
    assert (decisions.known[0], decisions.at[0], decisions.channel[0]) == (7, 8, 9)
    assert (kernel.KNOWN, kernel.AT) == (0, 1)


def test_what_the_kernel_reads_of_an_account_is_where_it_reads_it() -> None:
    of_account = packed(long_history(5, PortfolioSettings("east")))
    accounts, facts = of_account.accounts, of_account.facts
    columns = (kernel.OPENED_AT, kernel.PLACED_AT, kernel.DUE, kernel.PLACED_BALANCE)
    wanted = (accounts.opened_at, accounts.placed_at, accounts.due_on, accounts.balance)
    assert sorted(columns) == list(range(facts.shape[1]))
    for column, values in zip(columns, wanted, strict=True):
        np.testing.assert_array_equal(facts[:, column], values)


def test_the_kernel_means_the_same_by_its_numbers() -> None:
    # A compiled function reads no constant of another file; see features.jit.
    assert (kernel.DAY, kernel.MONEY_SCALE) == (units.DAY, units.MONEY_SCALE)
    assert (kernel.NEVER, kernel.FOREVER) == (units.NULL_TIME, units.FOREVER)
    assert kernel.NO_POINT == events.NO_POINT
    assert len(histories.MONTHDAYS) == kernel.MONTHDAYS
    assert kernel.QUICK == 3 * units.DAY
    assert kernel.AROUND == 2
    assert kernel.TOKEN_SHARE == 20
    assert kernel.PRIOR_ATTEMPTS == 5


def test_tables_kinds_and_roles_are_numbered_alike() -> None:
    kinds = kinds_of(("call",))
    assert list(kinds) == [table.name for table in sorted(kernel.Tallied)]
    assert [table.value for table in kernel.Tallied] == list(range(len(kinds)))
    assert list(ROLES) == [kernel.ATTEMPT, kernel.NO_ANSWER, kernel.ANSWERED, kernel.RIGHT_PARTY] == [1, 2, 4, 8]
    assert [quantity.value for quantity in kernel.Scanned] == list(range(kernel.N_SCANNED))
    for every in kinds.values():
        assert len({tuple(kind.items()) for kind in every}) == len(every)
