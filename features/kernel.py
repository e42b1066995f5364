"""The kernel: one compiled scan over the events of an account, for many moments.

Time is cut here and nowhere else: `visible_end` gives the events of an account that were known strictly before the
moment, and every loop stops there. Windows are `[as_of - w, as_of)` on the time at which an event happened.

A moment is worked out in a short row of doubles, the values: what is worked out by hand (`Scanned`), then table by
table counts, sums and times since as the plan asks for them (see `features.plan`), restrictions, what was looked up
beforehand (`given`), and what is derived from all of these. The row begins as that of an account to which nothing has
happened, and each table that has events writes its own part. The row of the output takes of the values what it wants;
there they become float32. Every value is the same whatever the order of events that tie, because it is a count, an
exact sum, or the latest of something.

Contacts, of which there are most, are read once for the moments of an account that come one after the other in time:
what was known before the longest window is kept as a sum, so that a moment costs what its last months hold, however
long the history.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from features.jit import called, compiled, inlined

if TYPE_CHECKING:
    from features.events import Amounts, Contacts, Restrictions

DAY = 86_400_000_000
MONEY_SCALE = 10_000
NEVER = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
#: The columns of the packed tables (`features.events`): the first two of all; contacts, payments, charges and
#: restrictions have a kind; contacts, payments, charges and promises have money; the rest each for itself.
KNOWN, AT, KIND, MONEY = 0, 1, 2, 3
DUE_ON, UNTIL, CHANNEL, BY_TIME, CONTACT_POINT, RESTRICTED_POINT = 2, 3, 4, 4, 4, 5
#: The columns of the accounts' facts.
OPENED_AT, PLACED_AT, DUE, PLACED_BALANCE = 0, 1, 2, 3
#: The columns of a plan's tables: where its kinds begin among the slots; how many slots are counted, totalled and
#: dated; where its values begin; how many slots of each sort a kind has.
FIRST_KIND, COUNTED, TOTALLED, DATED, FIRST_VALUE, SLOTS_COUNTED, SLOTS_TOTALLED, SLOTS_DATED = range(8)
#: What a kind of contact is for streaks, as bits, since a kind may be several: an attempt; one without an answer; one
#: that somebody answered, whoever it was; a talk with the right party, on whoever's attempt.
ATTEMPT, NO_ANSWER, ANSWERED, RIGHT_PARTY = 1, 2, 4, 8
#: Marks, while it is worked out, a channel through which some number or address is valid.
VALID = NEVER + 1
#: Stands for a number or address that is not given.
NO_POINT = 0
#: A payment below this share of the balance at placement is a token payment.
TOKEN_SHARE = 20
#: A promise due this soon after it is made is a quick one, and "I'll pay at once" means within this time.
QUICK = 3 * DAY
#: Days of the month; a payment's kind below this is its day of the month, counted from 0, above it it is no payment.
MONTHDAYS = 31
#: Payments this many days of the month apart are paid around the same day.
AROUND = 2
#: A shrunk rate starts from so many attempts at its prior rate: a rate over two attempts must not read as 0 or 1.
PRIOR_ATTEMPTS = 5.0

Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int32]
Positions = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]
#: The rows of a packed table, `(n, n_columns)`.
Table = npt.NDArray[np.int64]


class Tallied(IntEnum):
    """The tables whose events are counted, summed and dated by kind; settlements are promises kept or broken."""

    contacts = 0
    payments = 1
    charges = 2
    promises = 3
    settlements = 4


class Scanned(IntEnum):
    """What the kernel works out by hand, beside counts, totals and times since."""

    no_answer_streak = 0
    attempts_since_right_party = 1
    days_since_first_contact = 2
    promises_open = 3
    open_promise_amount = 4
    days_to_next_promise = 5
    overdue_promises = 6
    overdue_promise_amount = 7
    overdue_promise_days = 8
    last_promise_kept = 9
    last_promise_amount = 10
    broken_promise_paid_share = 11
    broken_promise_streak = 12
    days_to_keep_promise = 13
    promises_paid_within_3d = 14
    days_since_first_payment = 15
    last_payment_amount = 16
    largest_payment = 17
    payment_gap_days = 18
    longest_payment_gap_days = 19
    token_payments = 20
    usual_payday = 21
    payday_share = 22
    days_to_payday = 23
    balance = 24
    placed_balance = 25
    balance_change_30d = 26
    balance_change_90d = 27
    cures = 28
    days_since_last_cure = 29
    age_days = 30
    days_since_placed = 31
    days_past_due = 32
    commission_rate = 33
    restrictions_active = 34
    calendar_month = 35
    calendar_day = 36
    calendar_weekday = 37
    paid_since_placed = 38
    charged_since_placed = 39


N_SCANNED = len(Scanned)


class Ratio(IntEnum):
    """How a value is derived from one or two others, with a number of its own (see `_derive`)."""

    share = 0
    shrunk_rate = 1
    excess = 2
    bucket = 3
    stage = 4


class AccountFacts(NamedTuple):
    """What the kernel reads of the accounts.

    `rows` is `(n_accounts, 4)`: opened_at, placed_at, due_on, balance at placement; `commission_rate` `(n_accounts,)`.
    """

    rows: Table
    commission_rate: Floats


class Tables(NamedTuple):
    """All that `fill` reads of the histories, side by side: a tuple more to hand over costs as much as five arrays.

    The facts of the accounts, then of each table where every account's rows begin, and the rows (`features.events`).
    """

    accounts: Table
    commission_rate: Floats
    contacts_start: Integers
    contacts: Table
    payments_start: Integers
    payments: Table
    charges_start: Integers
    charges: Table
    promises_start: Integers
    promises: Table
    restrictions_start: Integers
    restrictions: Table


class Plan(NamedTuple):
    """What is worked out, and where each value goes.

    `windows` are microseconds, ascending. Of each tallied table there is a row of `tables` (its columns are named
    above), and of each kind of its events a row of `slots`: those in which it counts, then those to which it adds its
    money, then those that it dates. Every kind of a table has as many, so that compiled code goes through them without
    a branch; what it has too many of goes to slots that nobody asks for. `roles` are those of each kind of contact.
    `derived`, `(2, n)`, are the positions among the values of what each derived value is made of, `weights` the number
    that goes with it; those of ratio `r` are `ratios_start[r]:ratios_start[r + 1]`. `source` is the position of each
    column of the output among the values. Positions are unsigned, for which no compiled code looks for a minus.
    `nothing` is `(n_values,)`: the values of an account to which nothing has happened. Restrictions begin at
    `restricted`, what is given at `given`.
    """

    windows: Integers
    tables: Integers
    slots: Positions
    roles: Codes
    derived: Positions
    weights: Floats
    ratios_start: Integers
    source: Positions
    nothing: Floats
    restricted: int
    given: int
    grace: int


class Scratch(NamedTuple):
    """Room to work in, made once for many moments: counts, sums and latest instants of a table; payments in order."""

    counts: Counts
    total: Integers
    last: Integers
    settled_count: Counts
    settled_total: Integers
    settled_last: Integers
    paid_at: Integers
    paid: Integers
    taken_back: Integers
    paid_kind: Integers
    on_day: Integers
    latest: Integers
    broken_made: Integers


@compiled
def visible_end(rows: Table, begin: int, end: int, as_of: int) -> int:
    """The end of the events `begin` to `end` that were known strictly before `as_of`."""
    while begin < end:
        middle = (begin + end) // 2
        if rows[middle, KNOWN] < as_of:
            begin = middle + 1
        else:
            end = middle
    return begin


@inlined
def _days(as_of: int, then: int) -> float:
    return np.nan if then == NEVER else (as_of - then) / DAY


# ----------------------------------------------------------------------------------------- counts, sums and times since


@inlined
def _clear(count: Counts, total: Integers, last: Integers) -> None:
    count[:] = 0
    total[:] = 0
    last[:] = NEVER


@inlined
def _tally(
    window: int, kind: int, at: int, money: int, table: int, plan: Plan, count: Counts, total: Integers, last: Integers
) -> None:
    """Let one event count, in the first window that holds it (one more than there are: beyond them all)."""
    slots = plan.slots[plan.tables[table, FIRST_KIND] + kind]
    n_slots, money_slots = plan.tables[table, SLOTS_COUNTED], plan.tables[table, SLOTS_TOTALLED]
    begin = window * plan.tables[table, COUNTED]
    for place in range(n_slots):
        count[begin + slots[place]] += 1
    begin = window * plan.tables[table, TOTALLED]
    for place in range(n_slots, n_slots + money_slots):
        total[begin + slots[place]] += money
    for place in range(n_slots + money_slots, n_slots + money_slots + plan.tables[table, SLOTS_DATED]):
        last[slots[place]] = max(last[slots[place]], at)


@inlined
def _window(at: int, as_of: int, windows: Integers) -> int:
    """The first window that holds an event; how many there are where none does. Windows are ascending."""
    window = 0
    for place in range(len(windows)):
        window += at < as_of - windows[place]
    return window


@inlined
def _write(values: Floats, as_of: int, table: int, plan: Plan, count: Counts, total: Integers, last: Integers) -> None:
    """Write a table's counts, totals and times since.

    A shorter window's events are in every longer one: what was counted once is added up from window to window.
    """
    n_bins, first = len(plan.windows) + 1, plan.tables[table, FIRST_VALUE]
    counted, totalled = plan.tables[table, COUNTED], plan.tables[table, TOTALLED]
    for window in range(n_bins):
        here = count[window * counted : (window + 1) * counted]
        written = values[first : first + counted]
        first += counted
        if window > 0:
            shorter = count[(window - 1) * counted : window * counted]
            for slot in range(counted):
                here[slot] += shorter[slot]
        for slot in range(counted):
            written[slot] = here[slot]
    for place in range(n_bins * totalled):
        if place >= totalled:
            total[place] += total[place - totalled]
        values[first + place] = total[place] / MONEY_SCALE
    first += n_bins * totalled
    for slot in range(plan.tables[table, DATED]):
        values[first + slot] = _days(as_of, last[slot])


@called
def _tally_amounts(
    values: Floats, as_of: int, begin: int, end: int, rows: Table, table: int, plan: Plan, scratch: Scratch
) -> None:
    """Count, sum and date payments or charges."""
    _clear(scratch.counts, scratch.total, scratch.last)
    for event in range(begin, end):
        at, window = rows[event, AT], _window(rows[event, AT], as_of, plan.windows)
        _tally(
            window, rows[event, KIND], at, rows[event, MONEY], table, plan, scratch.counts, scratch.total, scratch.last
        )  # fmt: skip
    _write(values, as_of, table, plan, scratch.counts, scratch.total, scratch.last)


# ------------------------------------------------------------------------------------------------------------ contacts


class Carried(IntEnum):
    """What is kept of an account's contacts from one moment to its next."""

    #: The events before these places are in the sums kept, and in the streaks.
    folded = 0
    entered = 1
    first_contact = 2
    #: When somebody last answered, and the attempts without an answer since; likewise for the right party.
    answered = 3
    no_answer_streak = 4
    right_party = 5
    attempts_since = 6


N_CARRIED = len(Carried)


@inlined
def _start_account(begin: int, carried: Integers, old_count: Counts, old_total: Integers, last: Integers) -> None:
    _clear(old_count, old_total, last)
    carried[Carried.folded] = begin
    carried[Carried.entered] = begin
    carried[Carried.first_contact] = FOREVER
    carried[Carried.answered] = NEVER
    carried[Carried.no_answer_streak] = 0
    carried[Carried.right_party] = NEVER
    carried[Carried.attempts_since] = 0


@inlined
def _tally_contacts(
    values: Floats, as_of: int, end: int, contacts: Table, plan: Plan, carried: Integers,
    old_count: Counts, old_total: Integers, count: Counts, total: Integers, last: Integers,
) -> None:  # fmt: skip
    """Count, sum and date contacts.

    What was known before the longest window happened before it, too, and stays there as time goes on.
    """
    table, n_windows = Tallied.contacts, len(plan.windows)
    counted, totalled = plan.tables[table, COUNTED], plan.tables[table, TOTALLED]
    begin = carried[Carried.folded]
    folded = visible_end(contacts, begin, end, as_of - plan.windows[n_windows - 1])
    for event in range(begin, folded):
        at, money = contacts[event, AT], contacts[event, MONEY]
        _tally(0, contacts[event, KIND], at, money, table, plan, old_count, old_total, last)
    carried[Carried.folded] = folded
    count[: n_windows * counted] = 0
    total[: n_windows * totalled] = 0
    for slot in range(counted):
        count[n_windows * counted + slot] = old_count[slot]
    for slot in range(totalled):
        total[n_windows * totalled + slot] = old_total[slot]
    for event in range(folded, end):
        at, money = contacts[event, AT], contacts[event, MONEY]
        _tally(_window(at, as_of, plan.windows), contacts[event, KIND], at, money, table, plan, count, total, last)
    _write(values, as_of, table, plan, count, total, last)


@inlined
def _count_since(
    counted: int, latest: int, before: int, streak: int, begin: int, end: int, contacts: Table, plan: Plan,
    carried: Integers,
) -> None:  # fmt: skip
    """Bring a streak up to date: how many events of the role `counted` happened after the instant `latest`.

    Only what became known since the last moment is read, and where the instant has moved, what became known after it.
    """
    event = carried[Carried.entered]
    if latest > before:
        # What happened after it became known after it: the rows before need not be read again.
        carried[streak] = 0
        event = end
        while event > begin and contacts[event - 1, KNOWN] > latest:
            event -= 1
    more = 0
    for place in range(event, end):
        more += (plan.roles[contacts[place, KIND]] & counted != 0) & (contacts[place, AT] > latest)
    carried[streak] += more


@inlined
def _scan_contacts(
    found: Floats, as_of: int, begin: int, end: int, contacts: Table, plan: Plan, carried: Integers
) -> None:
    """Streaks: attempts later than the latest other answer, or than the latest talk with the right party."""
    first = carried[Carried.first_contact]
    was_answered, was_right_party = carried[Carried.answered], carried[Carried.right_party]
    answered, right_party = was_answered, was_right_party
    for event in range(carried[Carried.entered], end):
        role, at = plan.roles[contacts[event, KIND]], contacts[event, AT]
        first = min(first, at)
        answered = max(answered, at if role & ANSWERED else NEVER)
        right_party = max(right_party, at if role & RIGHT_PARTY else NEVER)
    _count_since(
        NO_ANSWER, answered, was_answered, Carried.no_answer_streak, begin, end, contacts, plan, carried
    )  # fmt: skip
    _count_since(
        ATTEMPT, right_party, was_right_party, Carried.attempts_since, begin, end, contacts, plan, carried
    )  # fmt: skip
    carried[Carried.first_contact], carried[Carried.entered] = first, end
    carried[Carried.answered], carried[Carried.right_party] = answered, right_party
    found[Scanned.no_answer_streak] = carried[Carried.no_answer_streak]
    found[Scanned.attempts_since_right_party] = carried[Carried.attempts_since]
    found[Scanned.days_since_first_contact] = np.nan if first == FOREVER else (as_of - first) / DAY


# ------------------------------------------------------------------------------------------------------------ payments


@inlined
def _before(at: Integers, n: int, instant: int) -> int:
    """How many of the first `n` instants, ascending, are before an instant."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if at[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


@inlined
def _scan_calendar(found: Floats, local: int) -> tuple[int, int, int]:
    """The parts of a date, given in microseconds of local time: year, month 1-12, day 1-31.

    The civil calendar from days since 1970: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.
    """
    days = local // DAY
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * from_march + 2) // 5 + 1
    month = from_march + 3 if from_march < 10 else from_march - 9
    found[Scanned.calendar_month] = month
    found[Scanned.calendar_day] = day
    # 1970-01-01 was a Thursday.
    found[Scanned.calendar_weekday] = (days + 3) % 7
    return year_of_era + era * 400 + (month <= 2), month, day


@inlined
def _in_time_order(begin: int, end: int, after: int, payments: Table, scratch: Scratch) -> int:
    """The payments of an account known at the moment, in the order in which they happened; how many there are.

    `paid` becomes what was paid before each, and after the last: sums between two instants are differences of two.
    `taken_back` becomes how many of those before are reversals.
    """
    n, scratch.paid[0], scratch.taken_back[0] = 0, 0, 0
    for place in range(begin, after):
        event = begin + payments[place, BY_TIME]
        if event < end:
            scratch.paid_at[n], scratch.paid_kind[n] = payments[event, AT], payments[event, KIND]
            scratch.paid[n + 1] = scratch.paid[n] + payments[event, MONEY]
            scratch.taken_back[n + 1] = scratch.taken_back[n] + (payments[event, MONEY] < 0)
            n += 1
    return n


@called
def _scan_payments(
    found: Floats, as_of: int, begin: int, end: int, after: int, payments: Table, placed_balance: int, scratch: Scratch
) -> int:
    """Gaps, sizes and token payments, over payments proper, without reversals; how many rows are known."""
    n = _in_time_order(begin, end, after, payments, scratch)
    paid = scratch.paid
    count, instants, tokens, largest, last_amount, longest = 0, 0, 0, 0, 0, 0
    first, last = NEVER, NEVER
    for place in range(n):
        amount = paid[place + 1] - paid[place]
        if amount <= 0:
            continue
        at = scratch.paid_at[place]
        if count == 0:
            first = at
        elif at > last:
            longest = max(longest, at - last)
        if at > last:
            last, last_amount, instants = at, 0, instants + 1
        count += 1
        tokens += amount * TOKEN_SHARE < placed_balance
        largest = max(largest, amount)
        last_amount += amount
    if count > 0:
        found[Scanned.token_payments] = tokens
        found[Scanned.days_since_first_payment] = _days(as_of, first)
        found[Scanned.last_payment_amount] = last_amount / MONEY_SCALE
        found[Scanned.largest_payment] = largest / MONEY_SCALE
    if instants > 1:
        found[Scanned.payment_gap_days] = (last - first) / ((instants - 1) * DAY)
        found[Scanned.longest_payment_gap_days] = longest / DAY
    return n


@called
def _scan_paydays(found: Floats, year: int, month: int, today: int, n: int, scratch: Scratch) -> None:
    """The day of the month around which the account mostly pays, and how far ahead it lies."""
    paid_kind, on_day, latest = scratch.paid_kind, scratch.on_day, scratch.latest
    count = 0
    for place in range(n):
        count += paid_kind[place] < MONTHDAYS
    if count < 2:
        return
    on_day[:] = 0
    latest[:] = -1
    for place in range(n):
        if paid_kind[place] < MONTHDAYS:
            on_day[paid_kind[place]] += 1
            latest[paid_kind[place]] = place
    payday, most = -1, 0
    for day in range(MONTHDAYS):
        if on_day[day] > 0:
            around = 0
            for step in range(-AROUND, AROUND + 1):
                around += on_day[(day + step) % MONTHDAYS]
            if around > most or (around == most and latest[day] > latest[payday]):
                payday, most = day, around
    length = _month_length(year, month)
    ahead = min(payday + 1, length) - today
    if ahead < 0:
        next_length = _month_length(year + (month == 12), month % 12 + 1)
        ahead = length - today + min(payday + 1, next_length)
    found[Scanned.usual_payday] = payday + 1
    found[Scanned.payday_share] = most / count
    found[Scanned.days_to_payday] = ahead


# ------------------------------------------------------------------------------------------------------------ promises


@inlined
def _kept_at(
    low: int, high: int, made_at: int, amount: int, paid_at: Integers, paid: Integers, taken_back: Integers
) -> int:
    """The first instant after which what was paid since the promise covers it; it is known that it does."""
    if amount <= 0:
        return made_at
    if taken_back[high] == taken_back[low]:
        # Sums that only grow: the first that covers is found by halving.
        first, last = low, high
        while first < last:
            middle = (first + last) // 2
            if paid[middle + 1] - paid[low] >= amount:
                last = middle
            else:
                first = middle + 1
        return paid_at[first]  # type: ignore[no-any-return]
    for place in range(low, high):
        is_last_of_instant = place + 1 == high or paid_at[place + 1] > paid_at[place]
        if is_last_of_instant and paid[place + 1] - paid[low] >= amount:
            return paid_at[place]  # type: ignore[no-any-return]
    return made_at


@called
def _scan_promises(
    found: Floats,
    values: Floats,
    as_of: int,
    begin: int,
    end: int,
    promises: Table,
    n: int,
    plan: Plan,
    scratch: Scratch,
) -> None:
    """Settle each promise by the payments known so far: kept when they cover it, broken when its time has passed.

    What was paid between two instants is looked up in the sums `paid` of the `n` payments, so that many promises and
    many payments are no product of the two.
    """
    paid_at, paid, count, total, last = scratch.paid_at, scratch.paid, scratch.counts, scratch.total, scratch.last
    settled_count, settled_total, settled_last = scratch.settled_count, scratch.settled_total, scratch.settled_last
    broken_made = scratch.broken_made
    _clear(count, total, last)
    _clear(settled_count, settled_total, settled_last)
    opened, open_amount, overdue, overdue_amount, in_three_days = 0, 0, 0, 0, 0
    kept, keeping, broken, broken_amount, broken_paid = 0, 0, 0, 0, 0
    next_due, overdue_since, last_made, last_amount = FOREVER, FOREVER, NEVER, 0
    settled_made, kept_made, last_kept = NEVER, NEVER, np.nan
    for event in range(begin, end):
        made_at, due_on, amount = promises[event, AT], promises[event, DUE_ON], promises[event, MONEY]
        deadline, later = due_on + plan.grace, due_on - made_at > QUICK
        window = _window(made_at, as_of, plan.windows)
        _tally(window, later, made_at, amount, Tallied.promises, plan, count, total, last)
        if made_at > last_made:
            last_made, last_amount = made_at, 0
        if made_at == last_made:
            last_amount += amount
        low, high = _before(paid_at, n, made_at), _before(paid_at, n, deadline + 1)
        in_time = paid[high] - paid[low]
        in_three_days += paid[_before(paid_at, n, made_at + QUICK + 1)] - paid[low] >= amount
        if due_on + DAY <= as_of and paid[n] - paid[low] < amount:
            overdue += 1
            overdue_amount += amount
            overdue_since = min(overdue_since, due_on)
        if in_time < amount and as_of <= deadline:
            opened += 1
            open_amount += amount
            next_due = min(next_due, due_on)
            continue
        settled_at, is_broken = deadline, in_time < amount
        if is_broken:
            broken_made[broken] = made_at
            broken += 1
            broken_amount += amount
            broken_paid += max(in_time, 0)
        else:
            settled_at = _kept_at(low, high, made_at, amount, paid_at, paid, scratch.taken_back)
            kept += 1
            keeping += settled_at - made_at
            kept_made = max(kept_made, made_at)
        kind = (is_broken * 2 + (as_of <= deadline)) * 2 + later
        window = _window(settled_at, as_of, plan.windows)
        _tally(
            window, kind, settled_at, amount, Tallied.settlements, plan, settled_count, settled_total, settled_last
        )  # fmt: skip
        if made_at > settled_made:
            settled_made, last_kept = made_at, 0.0
        if made_at == settled_made and not is_broken:
            last_kept = 1.0
    streak = 0
    for place in range(broken):
        streak += broken_made[place] > kept_made
    found[Scanned.promises_open] = opened
    found[Scanned.open_promise_amount] = open_amount / MONEY_SCALE
    found[Scanned.days_to_next_promise] = np.nan if next_due == FOREVER else (next_due - as_of) / DAY
    found[Scanned.overdue_promises] = overdue
    found[Scanned.overdue_promise_amount] = overdue_amount / MONEY_SCALE
    found[Scanned.overdue_promise_days] = np.nan if overdue == 0 else (as_of - overdue_since) / DAY
    found[Scanned.last_promise_kept] = last_kept
    found[Scanned.last_promise_amount] = np.nan if last_made == NEVER else last_amount / MONEY_SCALE
    found[Scanned.broken_promise_paid_share] = broken_paid / broken_amount if broken_amount > 0 else np.nan
    found[Scanned.broken_promise_streak] = streak
    found[Scanned.days_to_keep_promise] = keeping / (kept * DAY) if kept else np.nan
    found[Scanned.promises_paid_within_3d] = in_three_days
    _write(values, as_of, Tallied.promises, plan, count, total, last)
    _write(values, as_of, Tallied.settlements, plan, settled_count, settled_total, settled_last)


# ------------------------------------------------------------------------------------------------- balance, age and law


@inlined
def _next_charge(place: int, begin: int, end: int, after: int, placed_at: int, charges: Table) -> int:
    """The next place, in the order of time, of a charge that is known and was made since placement."""
    while place < after:
        event = begin + charges[place, BY_TIME]
        if event < end and charges[event, AT] >= placed_at:
            break
        place += 1
    return place


@called
def _scan_balance(
    found: Floats, as_of: int, placed_at: int, placed_balance: int, n: int, begin: int, end: int, after: int,
    charges: Table, scratch: Scratch,
) -> None:  # fmt: skip
    """The balance since placement, instant by instant: what it is, how it moved, and when it fell to zero or below."""
    paid_at, paid = scratch.paid_at, scratch.paid
    balance, change_30d, change_90d, cures, cured_at = placed_balance, 0, 0, 0, NEVER
    payment, charge = _before(paid_at, n, placed_at), _next_charge(begin, begin, end, after, placed_at, charges)
    while payment < n or charge < after:
        at = paid_at[payment] if payment < n else FOREVER
        if charge < after:
            at = min(at, charges[begin + charges[charge, BY_TIME], AT])
        moved = 0
        while payment < n and paid_at[payment] == at:
            moved -= paid[payment + 1] - paid[payment]
            payment += 1
        while charge < after and charges[begin + charges[charge, BY_TIME], AT] == at:
            moved += charges[begin + charges[charge, BY_TIME], MONEY]
            charge = _next_charge(charge + 1, begin, end, after, placed_at, charges)
        if balance > 0 and balance + moved <= 0:
            cures, cured_at = cures + 1, at
        balance += moved
        if at >= as_of - 30 * DAY:
            change_30d += moved
        if at >= as_of - 90 * DAY:
            change_90d += moved
    paid_since = paid[n] - paid[_before(paid_at, n, placed_at)]
    found[Scanned.paid_since_placed] = paid_since / MONEY_SCALE
    found[Scanned.charged_since_placed] = (balance - placed_balance + paid_since) / MONEY_SCALE
    found[Scanned.balance] = balance / MONEY_SCALE
    found[Scanned.balance_change_30d] = change_30d / MONEY_SCALE
    found[Scanned.balance_change_90d] = change_90d / MONEY_SCALE
    found[Scanned.cures] = cures
    found[Scanned.days_since_last_cure] = _days(as_of, cured_at)


@inlined
def _scan_account(found: Floats, account: int, as_of: int, tables: Tables) -> None:
    found[Scanned.age_days] = _days(as_of, tables.accounts[account, OPENED_AT])
    found[Scanned.days_since_placed] = _days(as_of, tables.accounts[account, PLACED_AT])
    found[Scanned.days_past_due] = _days(as_of, tables.accounts[account, DUE])
    found[Scanned.commission_rate] = tables.commission_rate[account]
    found[Scanned.placed_balance] = tables.accounts[account, PLACED_BALANCE] / MONEY_SCALE
    found[Scanned.balance] = found[Scanned.placed_balance]


@called
def _scan_restrictions(
    found: Floats, values: Floats, as_of: int, begin: int, end: int, restrictions: Table, plan: Plan
) -> None:
    """Of each kind of restriction: how many are active, how many there were, days since the latest began."""
    active_kinds = 0
    for place in range(plan.restricted, plan.given, 3):
        active, ever, last = 0, 0, NEVER
        for event in range(begin, end):
            if plan.restricted + 3 * restrictions[event, KIND] == place:
                ever += 1
                active += as_of < restrictions[event, UNTIL]
                last = max(last, restrictions[event, AT])
        active_kinds += active > 0
        values[place], values[place + 1], values[place + 2] = active, ever, _days(as_of, last)
    found[Scanned.restrictions_active] = active_kinds


# ------------------------------------------------------------------------------------------------------ derived values


@inlined
def _share(part: float, whole: float) -> float:
    """Part of a whole; missing where the whole is zero or less."""
    return part / whole if whole > 0 else np.nan


@inlined
def _shrunk_rate(successes: float, attempts: float, prior: float) -> float:
    """Successes per attempt, shrunk to a prior rate by `PRIOR_ATTEMPTS` attempts at that rate."""
    return (successes + PRIOR_ATTEMPTS * prior) / (attempts + PRIOR_ATTEMPTS)


@inlined
def _bucket(days_past_due: float) -> float:
    """The 30-day bucket: 0 not yet due, 1 for above 0 to 30 days past due, 2 to 60 ..., at most 13."""
    if np.isnan(days_past_due):
        return np.nan
    if days_past_due <= 0:
        return 0.0
    return min(np.ceil(days_past_due / 30), 13.0)  # type: ignore[no-any-return]


@inlined
def _stage(days_past_due: float) -> float:
    """The collection stage, on both ladders in turn.

    0 not due; in the first cycle 1 early (to 5), 2 mid (to 18), 3 late (to 28 days past due); after it 4 front-end (to
    60 days), 5 mid-end (to 120), 6 back-end.
    """
    if np.isnan(days_past_due):
        return np.nan
    if days_past_due <= 18:
        return 0.0 if days_past_due <= 0 else 1.0 if days_past_due <= 5 else 2.0
    if days_past_due <= 60:
        return 3.0 if days_past_due <= 28 else 4.0
    return 5.0 if days_past_due <= 120 else 6.0


@inlined
def _derive(values: Floats, place: int, plan: Plan) -> None:
    """Write the derived values from `values[place]` on, ratio by ratio."""
    first, second, start = plan.derived[0], plan.derived[1], plan.ratios_start
    for which in range(start[Ratio.share], start[Ratio.shrunk_rate]):
        values[place + which] = _share(values[first[which]], values[second[which]])
    for which in range(start[Ratio.shrunk_rate], start[Ratio.excess]):
        values[place + which] = _shrunk_rate(values[first[which]], values[second[which]], plan.weights[which])
    for which in range(start[Ratio.excess], start[Ratio.bucket]):
        values[place + which] = values[first[which]] - plan.weights[which] * values[second[which]]
    for which in range(start[Ratio.bucket], start[Ratio.stage]):
        values[place + which] = _bucket(values[first[which]])
    for which in range(start[Ratio.stage], len(plan.weights)):
        values[place + which] = _stage(values[first[which]])


# ---------------------------------------------------------------------------------------------------------- the moments


@called
def _scratch(account: Integers, payments_start: Integers, promises_start: Integers, plan: Plan) -> Scratch:
    """Room for the largest of the accounts."""
    n_payments, n_promises = 0, 0
    for i in account:
        n_payments = max(n_payments, payments_start[i + 1] - payments_start[i])
        n_promises = max(n_promises, promises_start[i + 1] - promises_start[i])
    n_bins = len(plan.windows) + 1
    counted, totalled = plan.tables[:, COUNTED].max(), plan.tables[:, TOTALLED].max()
    dated = plan.tables[:, DATED].max()
    return Scratch(
        np.empty(n_bins * counted, dtype=np.int32),
        np.empty(n_bins * totalled, dtype=np.int64),
        np.empty(dated, dtype=np.int64),
        np.empty(n_bins * counted, dtype=np.int32),
        np.empty(n_bins * totalled, dtype=np.int64),
        np.empty(dated, dtype=np.int64),
        np.empty(n_payments, dtype=np.int64),
        np.empty(n_payments + 1, dtype=np.int64),
        np.empty(n_payments + 1, dtype=np.int64),
        np.empty(n_payments, dtype=np.int64),
        np.empty(MONTHDAYS, dtype=np.int64),
        np.empty(MONTHDAYS, dtype=np.int64),
        np.empty(n_promises, dtype=np.int64),
    )


@compiled
def fill(
    out: Matrix,
    account: Integers,
    as_of: Integers,
    local: Integers,
    given: Floats,
    tables: Tables,
    plan: Plan,
) -> None:
    """Write the features of every moment into its row of `out`.

    Args:
        out: `(n_moments, n_columns)` float32.
        account: `(n_moments,)` int64, the account's position in the histories.
        as_of: `(n_moments,)` int64, the moment.
        local: `(n_moments,)` int64, the moment on the debtor's clock, in microseconds.
        given: `(n_moments, n_given)` values that were looked up beforehand.
        tables: the accounts that the positions speak of, and their events.
        plan: what is worked out, and where it goes.
    """
    scratch = _scratch(account, tables.payments_start, tables.promises_start, plan)
    counted, totalled = plan.tables[Tallied.contacts, COUNTED], plan.tables[Tallied.contacts, TOTALLED]
    old_count, old_total = np.empty(counted, dtype=np.int32), np.empty(totalled, dtype=np.int64)
    latest_contact, carried = np.empty_like(scratch.last), np.empty(N_CARRIED, dtype=np.int64)
    values = np.empty_like(plan.nothing)
    found = values[:N_SCANNED]
    previous, reached = -1, NEVER
    for moment in range(len(account)):
        i, t = account[moment], as_of[moment]
        for place in range(len(values)):
            values[place] = plan.nothing[place]
        year, month, day = _scan_calendar(found, local[moment])
        _scan_account(found, i, t, tables)

        begin = tables.contacts_start[i]
        if i != previous or t < reached:
            _start_account(begin, carried, old_count, old_total, latest_contact)
        previous, reached = i, t
        end = visible_end(tables.contacts, carried[Carried.entered], tables.contacts_start[i + 1], t)
        if begin < end:
            _tally_contacts(
                values, t, end, tables.contacts, plan, carried, old_count, old_total, scratch.counts, scratch.total,
                latest_contact,
            )  # fmt: skip
            _scan_contacts(found, t, begin, end, tables.contacts, plan, carried)

        n, begin, after = 0, tables.payments_start[i], tables.payments_start[i + 1]
        end = visible_end(tables.payments, begin, after, t)
        if begin < end:
            _tally_amounts(values, t, begin, end, tables.payments, Tallied.payments, plan, scratch)
            placed_balance = tables.accounts[i, PLACED_BALANCE]
            n = _scan_payments(found, t, begin, end, after, tables.payments, placed_balance, scratch)
            _scan_paydays(found, year, month, day, n, scratch)

        begin = tables.promises_start[i]
        end = visible_end(tables.promises, begin, tables.promises_start[i + 1], t)
        if begin < end:
            scratch.paid[0] = 0
            _scan_promises(found, values, t, begin, end, tables.promises, n, plan, scratch)

        begin, after = tables.charges_start[i], tables.charges_start[i + 1]
        end = visible_end(tables.charges, begin, after, t)
        if begin < end:
            _tally_amounts(values, t, begin, end, tables.charges, Tallied.charges, plan, scratch)
        if begin < end or n > 0:
            scratch.paid[0] = 0
            placed_at, placed_balance = tables.accounts[i, PLACED_AT], tables.accounts[i, PLACED_BALANCE]
            _scan_balance(found, t, placed_at, placed_balance, n, begin, end, after, tables.charges, scratch)

        begin = tables.restrictions_start[i]
        end = visible_end(tables.restrictions, begin, tables.restrictions_start[i + 1], t)
        if begin < end:
            _scan_restrictions(found, values, t, begin, end, tables.restrictions, plan)

        for column in range(given.shape[1]):
            values[plan.given + column] = given[moment, column]
        _derive(values, plan.given + given.shape[1], plan)
        row = out[moment]
        for column in range(len(plan.source)):
            row[column] = values[plan.source[column]]


# ------------------------------------------------------------------------------------- what else is asked of an account


@inlined
def _moved_between(begin: int, end: int, rows: Table, since: int, until: int) -> int:
    """The money of what happened from `since` to `until`, both included."""
    moved = 0
    for event in range(begin, end):
        if since <= rows[event, AT] <= until:
            moved += rows[event, MONEY]
    return moved


@inlined
def _balance(account: int, as_of: int, accounts: AccountFacts, payments: Amounts, charges: Amounts) -> int:
    """Owed at placement, plus what was charged and less what was paid since, as far as known before `as_of`."""
    placed_at = accounts.rows[account, PLACED_AT]
    begin = payments.start[account]
    end = visible_end(payments.rows, begin, payments.start[account + 1], as_of)
    paid = _moved_between(begin, end, payments.rows, placed_at, FOREVER)
    begin = charges.start[account]
    end = visible_end(charges.rows, begin, charges.start[account + 1], as_of)
    charged = _moved_between(begin, end, charges.rows, placed_at, FOREVER)
    return accounts.rows[account, PLACED_BALANCE] + charged - paid  # type: ignore[no-any-return]


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
        live[moment] = balance[moment] > 0 and accounts.rows[i, PLACED_AT] < t
        begin = restrictions.start[i]
        for event in range(begin, visible_end(restrictions.rows, begin, restrictions.start[i + 1], t)):
            if restrictions.rows[event, KIND] == closed and t < restrictions.rows[event, UNTIL]:
                live[moment] = False
    return balance, live


@compiled
def paid_after(account: Integers, as_of: Integers, horizon: int, payments: Amounts, known_before: int) -> Integers:
    """What was paid, net, in `[as_of, as_of + horizon)`, as known before `known_before`: `(n_moments,)` money."""
    paid = np.zeros(len(account), dtype=np.int64)
    for moment in range(len(account)):
        begin = payments.start[account[moment]]
        end = visible_end(payments.rows, begin, payments.start[account[moment] + 1], known_before)
        since = as_of[moment]
        paid[moment] = _moved_between(begin, end, payments.rows, since, since + horizon - 1)
    return paid


@compiled
def _invalid_until(point: int, as_of: int, begin: int, end: int, restrictions: Restrictions, invalid: int) -> int:
    """Until when a number or address is noted as invalid; `NEVER` where it is not."""
    until = NEVER
    for row in range(begin, end):
        about = (
            point != NO_POINT
            and restrictions.rows[row, KIND] == invalid
            and restrictions.rows[row, RESTRICTED_POINT] == point
        )
        if about and as_of < restrictions.rows[row, UNTIL]:
            until = max(until, restrictions.rows[row, UNTIL])
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
        end = visible_end(restrictions.rows, first, restrictions.start[account[place] + 1], as_of)
        if first == end:
            continue
        begin = contacts.start[account[place]]
        for event in range(begin, visible_end(contacts.rows, begin, contacts.start[account[place] + 1], as_of)):
            channel = channel_of[contacts.rows[event, KIND]]
            if channel < 0 or until[place, channel] == VALID:
                continue
            dead = _invalid_until(contacts.rows[event, CONTACT_POINT], as_of, first, end, restrictions, invalid)
            if dead == NEVER:
                until[place, channel] = VALID
            elif until[place, channel] == NEVER or dead < until[place, channel]:
                until[place, channel] = dead
        for channel in range(n_channels):
            if until[place, channel] == VALID:
                until[place, channel] = NEVER
    return until
