"""Persons: what rules leave of a day's proposals where several are to one person, for different debts of hers.

Rules per person count the contacts of all her debts, and those that a queue proposes are not made yet. So her proposals
are looked at in the order of the queue, each as though those before it were carried out today, whatever comes of them:
nobody answers, somebody else does, or she does. Where a rule then forbids it, it cannot stand beside them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.events import Contacts, owners
from features.histories import Histories, contact_kinds
from features.units import Instants, Rows
from serving.contact_rules.rules import blocked_until

Mask = npt.NDArray[np.bool_]

#: What may come of an attempt. Each rule counts most where all attempts end in one of these ways.
OUTCOMES = ("no_answer", "third_party", "right_party")
#: What is written is sent: it is no conversation, whoever reads it.
_WRITTEN = ("sms", "email", "letter", "legal_letter")


def persons_of(histories: Histories, rows: Rows) -> Rows:
    """A number for the person of each account at `rows`, `(n,)`; a number of its own where no person is known."""
    code = pd.factorize(histories.accounts.person_id[rows])[0].astype(np.int64)
    return np.where(code < 0, len(rows) + np.arange(len(rows)), code)


def shared(person: Rows, proposed: Rows) -> Rows:
    """Those of the places `proposed`, `(m,)`, that are of a person of whom there are several, in their order."""
    _, code, times = np.unique(person[proposed], return_inverse=True, return_counts=True)
    return proposed[times[code] > 1]


def cannot_stand(
    histories: Histories, rows: Rows, person: Rows, proposed: Rows, channel: Rows, begin: Instants, as_of: int
) -> tuple[Rows, Mask]:
    """The proposals that a rule forbids beside those before them to the same person.

    Args:
        histories: packed histories.
        rows: `(n,)` positions of accounts.
        person: `(n,)` as `persons_of` has it.
        proposed: `(m,)` places among `rows`, in the order of the queue.
        channel: `(m,)` the channel of each.
        begin: `(m,)` when each may be carried out first.
        as_of: the moment; only what was known strictly before it counts.

    Returns:
        Their places among `rows`, `(k,)`, and the channels that rules forbid them then, `(k, n_channels)`.
    """
    of = np.flatnonzero(np.isin(proposed, shared(person, proposed)))
    turn = pd.Series(person[proposed[of]]).groupby(person[proposed[of]]).cumcount().to_numpy()
    members = _accounts_of_persons(histories, rows[proposed[of]])
    some, place = histories.take(members), np.searchsorted(members, rows[proposed[of]])
    stands = np.ones(len(of), dtype=np.bool_)
    forbidden = np.zeros((len(of), len(histories.settings.channel_names)), dtype=np.bool_)
    for now in range(1, int(turn.max(initial=0)) + 1):
        asked, before = np.flatnonzero(turn == now), np.flatnonzero((turn < now) & stands)
        made = (place[before], channel[of[before]], begin[of[before]])
        for outcome in OUTCOMES:
            after = carried_out(some, *made, as_of, outcome)
            forbidden[asked] |= blocked_until(after, place[asked], as_of, of_person=True) > as_of
        stands[asked] = ~forbidden[asked, channel[of[asked]]]
    fallen = np.flatnonzero(~stands)
    return proposed[of[fallen]], forbidden[fallen]


def carried_out(
    histories: Histories, rows: Rows, channel: Rows, at: Instants, as_of: int, outcome: str
) -> Histories:  # fmt: skip
    """Histories in which attempts are made that are known at a moment: `(m,)` accounts, channels, and when they are.

    All end in one way; those in writing are sent.
    """
    channels, contacts = histories.settings.channel_names, histories.contacts
    code = {(kind["channel"], kind["outcome"]): place for place, kind in _outbound(channels)}
    kinds = [code[name, "sent" if name in _WRITTEN else outcome] for name in channels]
    new = np.zeros((len(rows), contacts.rows.shape[1]), dtype=np.int64)
    new[:, 0], new[:, 1], new[:, 2] = as_of - 1, at, np.array(kinds, dtype=np.int64)[channel]
    owner = np.concatenate([owners(contacts.start), rows])
    both = np.concatenate([contacts.rows, new])
    order = np.lexsort((*both.T[::-1], owner))
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(histories)))])
    return replace(histories, contacts=Contacts(start.astype(np.int64), np.ascontiguousarray(both[order])))


def _outbound(channels: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    return [(place, kind) for place, kind in enumerate(contact_kinds(channels)) if kind["direction"] == "outbound"]


def _accounts_of_persons(histories: Histories, rows: Rows) -> Rows:
    """All accounts of the persons of the accounts at `rows`, sorted."""
    ids = histories.accounts.person_id
    return np.flatnonzero(pd.Index(pd.unique(ids[rows])).get_indexer(pd.Index(ids)) >= 0)
