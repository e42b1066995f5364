"""The kernel: one compiled scan over the events of an account, for many moments.

Time is cut here and nowhere else: `visible_end` gives the events of an account that were known strictly before the
moment, and every loop stops there. Windows are `[as_of - w, as_of)` on the time at which an event happened.

The plan (see `features.plan`) says which column each result goes to; -1 means that nobody asked for it. Every result
is the same whatever the order of events that tie, because it is a count, an exact sum, or the latest of something.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from features.jit import compiled, inlined

if TYPE_CHECKING:
    from features.histories import Amounts, Contacts, Promises, Restrictions

DAY = 86_400_000_000
MONEY_SCALE = 10_000
NEVER = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
#: Marks, while it is worked out, a channel through which some number or address is valid.
VALID = NEVER + 1
#: A payment below this share of the balance at placement is a token payment.
TOKEN_SHARE = 20

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]
Row = npt.NDArray[np.float32]


class Scanned(IntEnum):
    """What the kernel works out by hand, beside counts, totals and recencies."""

    no_answer_streak = 0
    attempts_since_right_party = 1
    days_since_first_contact = 2
    promises_made = 3
    promises_kept = 4
    promises_broken = 5
    promises_open = 6
    promises_broken_90d = 7
    open_promise_amount = 8
    days_to_next_promise = 9
    days_since_last_promise = 10
    days_since_last_broken_promise = 11
    last_promise_kept = 12
    broken_promise_paid_share = 13
    days_since_first_payment = 14
    last_payment_amount = 15
    largest_payment = 16
    payment_gap_days = 17
    token_payments = 18
    balance = 19
    placed_balance = 20
    age_days = 21
    days_since_placed = 22
    days_past_due = 23
    commission_rate = 24
    restrictions_active = 25
    broken_promise_amount = 26


class AccountFacts(NamedTuple):
    """What the kernel reads of the accounts, `(n_accounts,)` each; `balance` is money at placement."""

    opened_at: Integers
    placed_at: Integers
    due_on: Integers
    balance: Integers
    commission_rate: Floats


class TallyPlan(NamedTuple):
    """What to count in one table: the slots of each kind of event, and where each slot's results go.

    `slots_of[slots_start[kind]:slots_start[kind + 1]]` are the slots that an event of `kind` counts in. `counts` and
    `totals` are `(n_slots, n_windows + 1)` columns, the last one for all time; `since` is `(n_slots,)`.
    """

    slots_start: Integers
    slots_of: Integers
    counts: Integers
    totals: Integers
    since: Integers


class Plan(NamedTuple):
    """What goes where; `restrictions` is `(n_kinds, 3)`: columns for active, ever, days since."""

    windows: Integers
    contacts: TallyPlan
    payments: TallyPlan
    charges: TallyPlan
    scanned: Integers
    restrictions: Integers
    no_answer: Flags
    attempted: Flags
    spoken: Flags
    conversation: Flags
    grace: int


@compiled
def visible_end(known: Integers, begin: int, end: int, as_of: int) -> int:
    """The end of the events `begin` to `end` that were known strictly before `as_of`."""
    while begin < end:
        middle = (begin + end) // 2
        if known[middle] < as_of:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def _since(as_of: int, then: int) -> float:
    return np.nan if then == NEVER else (as_of - then) / DAY


@inlined
def _tally(
    out: Row, as_of: int, begin: int, end: int, at: Integers, kind: Codes, money: Integers,
    windows: Integers, plan: TallyPlan, count: Integers, total: Integers, last: Integers,
) -> None:  # fmt: skip
    """Count, sum and date the events `begin` to `end`, and write what the plan asks for into the row `out`."""
    n_windows = len(windows)
    count[:] = 0
    total[:] = 0
    last[:] = NEVER
    for event in range(begin, end):
        window = 0
        while window < n_windows and at[event] < as_of - windows[window]:
            window += 1
        for position in range(plan.slots_start[kind[event]], plan.slots_start[kind[event] + 1]):
            slot = plan.slots_of[position]
            count[slot, window] += 1
            total[slot, window] += money[event]
            last[slot] = max(last[slot], at[event])
    for slot in range(len(last)):
        events, amount = 0, 0
        for window in range(n_windows + 1):
            events += count[slot, window]
            amount += total[slot, window]
            if plan.counts[slot, window] >= 0:
                out[plan.counts[slot, window]] = events
            if plan.totals[slot, window] >= 0:
                out[plan.totals[slot, window]] = amount / MONEY_SCALE
        if plan.since[slot] >= 0:
            out[plan.since[slot]] = _since(as_of, last[slot])


@inlined
def _scan_contacts(found: Floats, as_of: int, begin: int, end: int, at: Integers, kind: Codes, plan: Plan) -> None:
    """Streaks: attempts later than the latest other answer, or than the latest talk with the right party."""
    other_answer, right_party, first = NEVER, NEVER, FOREVER
    for event in range(begin, end):
        first = min(first, at[event])
        if plan.spoken[kind[event]]:
            right_party = max(right_party, at[event])
        if plan.conversation[kind[event]] and not plan.no_answer[kind[event]]:
            other_answer = max(other_answer, at[event])
    streak, attempts = 0, 0
    for event in range(begin, end):
        if plan.no_answer[kind[event]] and at[event] > other_answer:
            streak += 1
        if plan.attempted[kind[event]] and at[event] > right_party:
            attempts += 1
    found[Scanned.no_answer_streak] = streak
    found[Scanned.attempts_since_right_party] = attempts
    found[Scanned.days_since_first_contact] = _since(as_of, NEVER if first == FOREVER else first)


@inlined
def _paid_between(begin: int, end: int, at: Integers, amount: Integers, since: int, until: int) -> int:
    paid = 0
    for event in range(begin, end):
        if since <= at[event] <= until:
            paid += amount[event]
    return paid


@inlined
def _scan_promises(
    found: Floats,
    as_of: int,
    begin: int,
    end: int,
    promises: Promises,
    paid_begin: int,
    paid_end: int,
    payments: Amounts,
    grace: int,
) -> None:
    """Settle each promise by the payments known so far: kept when they cover it, broken when its time has passed."""
    kept, broken, opened, broken_90d, open_amount, broken_amount, broken_paid = 0, 0, 0, 0, 0, 0, 0
    next_due, made, broken_at, settled_at, last_kept = FOREVER, NEVER, NEVER, NEVER, np.nan
    for event in range(begin, end):
        at, amount = promises.at[event], promises.amount[event]
        deadline = promises.due_on[event] + grace
        made = max(made, at)
        paid = _paid_between(paid_begin, paid_end, payments.at, payments.amount, at, deadline)
        if paid < amount and as_of <= deadline:
            opened += 1
            open_amount += amount
            next_due = min(next_due, promises.due_on[event])
            continue
        if paid >= amount:
            kept += 1
        else:
            broken += 1
            broken_amount += amount
            broken_paid += max(paid, 0)
            broken_at = max(broken_at, deadline)
            broken_90d += deadline >= as_of - 90 * DAY
        if at > settled_at:
            settled_at, last_kept = at, 1.0 if paid >= amount else 0.0
        elif at == settled_at and paid >= amount:
            last_kept = 1.0
    found[Scanned.promises_made] = end - begin
    found[Scanned.promises_kept] = kept
    found[Scanned.promises_broken] = broken
    found[Scanned.promises_open] = opened
    found[Scanned.promises_broken_90d] = broken_90d
    found[Scanned.open_promise_amount] = open_amount / MONEY_SCALE
    found[Scanned.broken_promise_amount] = broken_amount / MONEY_SCALE
    found[Scanned.days_to_next_promise] = np.nan if next_due == FOREVER else (next_due - as_of) / DAY
    found[Scanned.days_since_last_promise] = _since(as_of, made)
    found[Scanned.days_since_last_broken_promise] = _since(as_of, broken_at)
    found[Scanned.last_promise_kept] = last_kept
    found[Scanned.broken_promise_paid_share] = broken_paid / broken_amount if broken_amount > 0 else np.nan


@inlined
def _scan_payments(
    found: Floats, as_of: int, begin: int, end: int, at: Integers, amount: Integers, placed_balance: int
) -> None:
    """Gaps, sizes and token payments, over payments proper: reversals are counted elsewhere."""
    count, tokens, largest, last_amount = 0, 0, 0, 0
    first, last = FOREVER, NEVER
    for event in range(begin, end):
        if amount[event] > 0:
            count += 1
            tokens += amount[event] * TOKEN_SHARE < placed_balance
            largest = max(largest, amount[event])
            first = min(first, at[event])
            if at[event] > last:
                last, last_amount = at[event], 0
            if at[event] == last:
                last_amount += amount[event]
    found[Scanned.token_payments] = tokens
    found[Scanned.days_since_first_payment] = _since(as_of, NEVER if first == FOREVER else first)
    found[Scanned.last_payment_amount] = last_amount / MONEY_SCALE if count else np.nan
    found[Scanned.largest_payment] = largest / MONEY_SCALE if count else np.nan
    found[Scanned.payment_gap_days] = (last - first) / DAY / (count - 1) if count > 1 else np.nan


@inlined
def _scan_restrictions(
    out: Row, found: Floats, as_of: int, begin: int, end: int, restrictions: Restrictions, columns: Integers
) -> None:
    active_kinds = 0
    for kind in range(len(columns)):
        active, ever, last = 0, 0, NEVER
        for event in range(begin, end):
            if restrictions.kind[event] == kind:
                ever += 1
                active += as_of < restrictions.until[event]
                last = max(last, restrictions.at[event])
        active_kinds += active > 0
        if columns[kind, 0] >= 0:
            out[columns[kind, 0]] = active
        if columns[kind, 1] >= 0:
            out[columns[kind, 1]] = ever
        if columns[kind, 2] >= 0:
            out[columns[kind, 2]] = _since(as_of, last)
    found[Scanned.restrictions_active] = active_kinds


@inlined
def _moved_since(begin: int, end: int, at: Integers, amount: Integers, since: int) -> int:
    moved = 0
    for event in range(begin, end):
        if at[event] >= since:
            moved += amount[event]
    return moved


@inlined
def _balance(account: int, as_of: int, accounts: AccountFacts, payments: Amounts, charges: Amounts) -> int:
    """Owed at placement, plus what was charged and less what was paid since, as far as known before `as_of`."""
    placed_at = accounts.placed_at[account]
    begin = payments.start[account]
    end = visible_end(payments.known, begin, payments.start[account + 1], as_of)
    paid = _moved_since(begin, end, payments.at, payments.amount, placed_at)
    begin = charges.start[account]
    end = visible_end(charges.known, begin, charges.start[account + 1], as_of)
    charged = _moved_since(begin, end, charges.at, charges.amount, placed_at)
    return accounts.balance[account] + charged - paid  # type: ignore[no-any-return]


@inlined
def _scan_account(
    found: Floats, account: int, as_of: int, accounts: AccountFacts, payments: Amounts, charges: Amounts
) -> None:
    found[Scanned.balance] = _balance(account, as_of, accounts, payments, charges) / MONEY_SCALE
    found[Scanned.placed_balance] = accounts.balance[account] / MONEY_SCALE
    found[Scanned.age_days] = _since(as_of, accounts.opened_at[account])
    found[Scanned.days_since_placed] = _since(as_of, accounts.placed_at[account])
    found[Scanned.days_past_due] = _since(as_of, accounts.due_on[account])
    found[Scanned.commission_rate] = accounts.commission_rate[account]


@compiled
def fill(
    out: Matrix,
    account: Integers,
    as_of: Integers,
    accounts: AccountFacts,
    contacts: Contacts,
    payments: Amounts,
    charges: Amounts,
    promises: Promises,
    restrictions: Restrictions,
    plan: Plan,
) -> None:
    """Write the features of every moment into its row of `out`.

    Args:
        out: `(n_moments, n_columns)` float32; only the plan's columns are written.
        account: `(n_moments,)` int64, the account's position in the histories.
        as_of: `(n_moments,)` int64, the moment.
        accounts: the accounts that the positions speak of.
        contacts: their contacts; likewise payments, charges, promises and restrictions.
        plan: which column each result goes to.
    """
    found = np.empty(len(plan.scanned), dtype=np.float64)
    n_slots = max(len(plan.contacts.since), len(plan.payments.since), len(plan.charges.since))
    count = np.empty((n_slots, len(plan.windows) + 1), dtype=np.int64)
    total = np.empty((n_slots, len(plan.windows) + 1), dtype=np.int64)
    last = np.empty(n_slots, dtype=np.int64)
    for moment in range(len(account)):
        row, i, t = out[moment], account[moment], as_of[moment]

        begin = contacts.start[i]
        end = visible_end(contacts.known, begin, contacts.start[i + 1], t)
        n = len(plan.contacts.since)
        _tally(
            row, t, begin, end, contacts.at, contacts.kind, contacts.cost,
            plan.windows, plan.contacts, count[:n], total[:n], last[:n],
        )  # fmt: skip
        _scan_contacts(found, t, begin, end, contacts.at, contacts.kind, plan)

        begin = charges.start[i]
        end = visible_end(charges.known, begin, charges.start[i + 1], t)
        n = len(plan.charges.since)
        _tally(
            row, t, begin, end, charges.at, charges.kind, charges.amount,
            plan.windows, plan.charges, count[:n], total[:n], last[:n],
        )  # fmt: skip

        begin = payments.start[i]
        end = visible_end(payments.known, begin, payments.start[i + 1], t)
        n = len(plan.payments.since)
        _tally(
            row, t, begin, end, payments.at, payments.kind, payments.amount,
            plan.windows, plan.payments, count[:n], total[:n], last[:n],
        )  # fmt: skip
        _scan_payments(found, t, begin, end, payments.at, payments.amount, accounts.balance[i])

        promised = promises.start[i]
        promised_end = visible_end(promises.known, promised, promises.start[i + 1], t)
        _scan_promises(found, t, promised, promised_end, promises, begin, end, payments, plan.grace)

        begin = restrictions.start[i]
        end = visible_end(restrictions.known, begin, restrictions.start[i + 1], t)
        _scan_restrictions(row, found, t, begin, end, restrictions, plan.restrictions)

        _scan_account(found, i, t, accounts, payments, charges)
        for quantity in range(len(found)):
            if plan.scanned[quantity] >= 0:
                row[plan.scanned[quantity]] = found[quantity]


@compiled
def standing(
    account: Integers,
    as_of: Integers,
    accounts: AccountFacts,
    payments: Amounts,
    charges: Amounts,
    restrictions: Restrictions,
    closed: int,
) -> tuple[Integers, Flags]:
    """Each moment's balance, and whether the account is live: placed before it, owing, and not closed.

    Args:
        account: `(n_moments,)` int64, the account's position in the histories.
        as_of: `(n_moments,)` int64, the moment.
        accounts: the accounts that the positions speak of.
        payments: their payments; likewise charges and restrictions.
        closed: the kind of restriction that closes an account.

    Returns:
        balance: `(n_moments,)` int64 money.
        live: `(n_moments,)` bool.
    """
    balance = np.empty(len(account), dtype=np.int64)
    live = np.empty(len(account), dtype=np.bool_)
    for moment in range(len(account)):
        i, t = account[moment], as_of[moment]
        balance[moment] = _balance(i, t, accounts, payments, charges)
        live[moment] = balance[moment] > 0 and accounts.placed_at[i] < t
        begin = restrictions.start[i]
        for event in range(begin, visible_end(restrictions.known, begin, restrictions.start[i + 1], t)):
            if restrictions.kind[event] == closed and t < restrictions.until[event]:
                live[moment] = False
    return balance, live


@compiled
def paid_after(account: Integers, as_of: Integers, horizon: int, payments: Amounts, known_before: int) -> Integers:
    """What was paid, net, in `[as_of, as_of + horizon)`, as known before `known_before`: `(n_moments,)` money."""
    paid = np.zeros(len(account), dtype=np.int64)
    for moment in range(len(account)):
        begin = payments.start[account[moment]]
        end = visible_end(payments.known, begin, payments.start[account[moment] + 1], known_before)
        since = as_of[moment]
        paid[moment] = _paid_between(begin, end, payments.at, payments.amount, since, since + horizon - 1)
    return paid


@compiled
def _invalid_until(point: int, as_of: int, begin: int, end: int, restrictions: Restrictions, invalid: int) -> int:
    """Until when a number or address is noted as invalid; `NEVER` where it is not."""
    until = NEVER
    for row in range(begin, end):
        about = point >= 0 and restrictions.kind[row] == invalid and restrictions.point[row] == point
        if about and as_of < restrictions.until[row]:
            until = max(until, restrictions.until[row])
    return until


@compiled
def dead_until(
    account: Integers,
    as_of: int,
    contacts: Contacts,
    restrictions: Restrictions,
    channel_of: Codes,
    invalid: int,
    n_channels: int,
) -> Integers:
    """Until when each channel of an account leads nowhere: every number or address tried through it is invalid.

    Args:
        account: `(n,)` positions in the histories.
        as_of: the moment.
        contacts: their contacts; likewise restrictions.
        channel_of: `(n_kinds,)` the channel of each kind of contact, -1 for those that are no attempt.
        invalid: the kind of restriction that says so of a number or address.
        n_channels: how many channels there are.

    Returns:
        `(n, n_channels)` instants, the first at which one of them may be valid again; `NEVER` where one is valid.
    """
    until = np.full((len(account), n_channels), NEVER, dtype=np.int64)
    for place in range(len(account)):
        first = restrictions.start[account[place]]
        end = visible_end(restrictions.known, first, restrictions.start[account[place] + 1], as_of)
        if first == end:
            continue
        begin = contacts.start[account[place]]
        for event in range(begin, visible_end(contacts.known, begin, contacts.start[account[place] + 1], as_of)):
            channel = channel_of[contacts.kind[event]]
            if channel < 0 or until[place, channel] == VALID:
                continue
            dead = _invalid_until(contacts.point[event], as_of, first, end, restrictions, invalid)
            if dead == NEVER:
                until[place, channel] = VALID
            elif until[place, channel] == NEVER or dead < until[place, channel]:
                until[place, channel] = dead
        for channel in range(n_channels):
            if until[place, channel] == VALID:
                until[place, channel] = NEVER
    return until
