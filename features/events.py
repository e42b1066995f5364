"""The packed tables of events: whole numbers, one row for each event, account by account in known-time order.

Every table is in compressed-row form: the events of account `i` are `rows[start[i]:start[i + 1]]`, sorted by the time
at which each became known. A row lies in one piece of memory, since the kernel reads it whole; its columns are named
below, in the order in which `features.kernel` counts them. Instants are microseconds, money is ten-thousandths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.units import Instants, Money, Rows

Codes = npt.NDArray[np.int64]
Points = npt.NDArray[np.int64]

#: Stands for a number or address that is not given. Others are held as a hash of 64 bits of their text: equal ones
#: are found, two that differ are told apart, and a row that comes later changes nothing of those that are there.
NO_POINT = 0


def owners(start: Rows) -> Rows:
    """Whose each row of a table is, `(n_rows,)`; `start`, `(n_accounts + 1,)`, says where each account's rows begin.

    >>> owners(np.array([0, 2, 2, 3])).tolist()
    [0, 0, 2]
    """
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


class Contacts(NamedTuple):
    """Contacts; `rows` is `(n, 5)`: known, at, kind, cost, point."""

    start: Rows
    rows: npt.NDArray[np.int64]

    @property
    def known(self) -> Instants:
        """When each became known."""
        return self.rows[:, 0]

    @property
    def at(self) -> Instants:
        """When each happened."""
        return self.rows[:, 1]

    @property
    def kind(self) -> Codes:
        """The position in `features.histories.contact_kinds`."""
        return self.rows[:, 2]

    @property
    def cost(self) -> Money:
        """What each cost."""
        return self.rows[:, 3]

    @property
    def point(self) -> Points:
        """What stands for the number or address, as in `Restrictions`; `NO_POINT` where it is not known."""
        return self.rows[:, 4]


class Amounts(NamedTuple):
    """Payments or charges; `rows` is `(n, 5)`: known, at, kind, amount, by_time."""

    start: Rows
    rows: npt.NDArray[np.int64]

    @property
    def known(self) -> Instants:
        """When each became known."""
        return self.rows[:, 0]

    @property
    def at(self) -> Instants:
        """When each happened."""
        return self.rows[:, 1]

    @property
    def kind(self) -> Codes:
        """The position in `features.histories.amount_kinds` of the table."""
        return self.rows[:, 2]

    @property
    def amount(self) -> Money:
        """How much, with its sign."""
        return self.rows[:, 3]

    @property
    def by_time(self) -> Rows:
        """Account by account, the places of its rows in the order in which they happened, counted from its first."""
        return self.rows[:, 4]


class Promises(NamedTuple):
    """Promises to pay; `rows` is `(n, 4)`: known, at (when it was made), due_on, amount."""

    start: Rows
    rows: npt.NDArray[np.int64]

    @property
    def known(self) -> Instants:
        """When each became known."""
        return self.rows[:, 0]

    @property
    def at(self) -> Instants:
        """When each was made."""
        return self.rows[:, 1]

    @property
    def due_on(self) -> Instants:
        """When each is due."""
        return self.rows[:, 2]

    @property
    def amount(self) -> Money:
        """How much was promised."""
        return self.rows[:, 3]


class Restrictions(NamedTuple):
    """Restrictions; `rows` is `(n, 6)`: known, at, kind, until, channel, point."""

    start: Rows
    rows: npt.NDArray[np.int64]

    @property
    def known(self) -> Instants:
        """When each became known."""
        return self.rows[:, 0]

    @property
    def at(self) -> Instants:
        """When each began."""
        return self.rows[:, 1]

    @property
    def kind(self) -> Codes:
        """The position in `features.contract.RESTRICTIONS`."""
        return self.rows[:, 2]

    @property
    def until(self) -> Instants:
        """When each ends; `FOREVER` where it does not."""
        return self.rows[:, 3]

    @property
    def channel(self) -> Codes:
        """The position in the channels, -1 for all of them."""
        return self.rows[:, 4]

    @property
    def point(self) -> Points:
        """What stands for the number or address, `NO_POINT` where there is none."""
        return self.rows[:, 5]


class Decisions(NamedTuple):
    """Logged decisions; `rows` is `(n, 3)`: known, at, channel; `propensity` and `explored` are `(n,)`."""

    start: Rows
    rows: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]
    explored: npt.NDArray[np.bool_]

    @property
    def known(self) -> Instants:
        """When each became known."""
        return self.rows[:, 0]

    @property
    def at(self) -> Instants:
        """When each was taken."""
        return self.rows[:, 1]

    @property
    def channel(self) -> Codes:
        """The position in the actions (`none` comes after the channels)."""
        return self.rows[:, 2]
