"""What a worker keeps of the store between two queues: the histories, and the queues that it made last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

import numpy as np
import sqlalchemy as sql

from features.errors import ErasedError
from features.histories import Histories
from features.settings import PortfolioSettings
from serving.store.database import Store
from serving.store.histories import arrivals, changes
from serving.store.packed import from_bytes, to_bytes
from serving.store.reading import Book, Read, read_histories

#: So many queues are kept, for their next pages.
_KEPT = 4


class Books:
    """The histories of all stored accounts, in memory; brought up to date when they are asked for."""

    def __init__(self, store: Store) -> None:
        self.store, self._lock = store, Lock()
        self._book: tuple[PortfolioSettings, Book] | None = None
        self._queues: OrderedDict[Hashable, Any] = OrderedDict()

    def read(self, settings: PortfolioSettings, until: int | None = None) -> Read:
        """The histories of all accounts: as they are now, or as they were after the batch `until`.

        Raises:
            StoreError: the store cannot be read.
            ErasedError: a person was erased since that batch.
        """
        with self._lock:
            if self._book is None or self._book[0] != settings:
                self._book = settings, Book(self.store, settings)
            now = self._book[1].read()
        if until is None or until == now.arrival:
            return now
        return Read(self._as_it_was(now.histories, settings, until), until, ())

    def _as_it_was(self, histories: Histories, settings: PortfolioSettings, until: int) -> Histories:
        """Histories without what arrived after a batch: only the accounts of which something did are read again."""
        with self.store.reading() as connection:
            later = sql.select(changes.c.account_id).where(changes.c.arrival > until)
            changed = list(connection.execute(later).scalars())
            _check_nobody_erased(connection, until)
        before = read_histories(self.store, changed, settings, until)
        same = np.flatnonzero(~np.isin(histories.accounts.account_id.astype(str), np.array(changed, dtype=str)))
        return from_bytes([*to_bytes(histories.take(same)), *to_bytes(before.histories)], settings)

    def queue(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made under a key; made where it is not kept any more. The same key must mean the same."""
        made = self._kept(key)
        if made is None:
            made = make()
            with self._lock:
                self._queues[key] = made
                while len(self._queues) > _KEPT:
                    self._queues.popitem(last=False)
        return made

    def kept_queue(self, key: Hashable, until: int) -> Any | None:
        """What was made under a key of the histories as they were after the batch `until`; None where it is not kept.

        Raises:
            ErasedError: a person was erased since that batch.
        """
        with self.store.reading() as connection:
            _check_nobody_erased(connection, until)
        return self._kept(key)

    def _kept(self, key: Hashable) -> Any | None:
        with self._lock:
            if key in self._queues:
                self._queues.move_to_end(key)
            return self._queues.get(key)


def _check_nobody_erased(connection: sql.Connection, until: int) -> None:
    erased = sql.select(arrivals.c.arrival).where((arrivals.c.arrival > until) & (arrivals.c.erased > 0))
    if connection.execute(erased.limit(1)).first() is not None:
        raise ErasedError("a person was erased since this queue was begun; ask for it anew, without a cursor")
