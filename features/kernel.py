"""The kernel: one compiled scan over the events of an account, for many moments.

Time is cut here and nowhere else: `visible_end` gives the events of an account that were known strictly before the
moment, and every loop stops there. Windows are `[as_of - w, as_of)` on the time at which an event happened.

A moment is worked out in a short row of doubles, the values: what is worked out by hand (`Scanned`), then table by
table counts, sums and times since as the plan asks for them (see `features.plan`), restrictions, what was looked up
beforehand (`given`), and what is derived from all of these. The row begins as that of an account to which nothing has
happened, and each table that has events writes its own part. The row of the output takes of the values what it wants;
there they become float32. Every value is the same whatever the order of events that tie, because it is a count, an
exact sum, or the latest of something.

What the moments of an account that come one after the other in time have in common is worked out once and carried, so
that a moment costs what its last months hold and what became known since the one before, however long the history:

- Of contacts, payments and charges, what was known before the longest window is kept as a sum.
- What holds after each payment, and after each instant at which the balance moved, is kept in the order of time; a row
  that becomes known late has it worked out again from its own instant on.
- A promise whose time ended before the longest window is settled for good. It is settled anew, with all promises of the
  account, if a payment becomes known that reaches behind it, or if so much is taken back that it may be paid no longer.
  How late it was covered is carried once that, too, lies before the longest window.
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
    last_promise_days_late = 40
    promise_days_late = 41
    most_promise_days_late = 42


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


class Tallies(NamedTuple):
    """Counts, sums and latest instants of the tables, carried from one moment of an account to its next.

    `entered` and `folded`, `(n_tables,)`, say up to which row each table was read, and up to which row it lies before
    the longest window. `counts`, `totals` and `lasts` are `(2, n_tables, n)`: what is carried (`OLD`), in one window,
    and what it comes to at the moment (`NOW`), window by window.
    """

    entered: Integers
    folded: Integers
    counts: Counts
    totals: Integers
    lasts: Integers


class Ledger(NamedTuple):
    """The payments of an account that are known, in the order of time, and how its balance moved.

    A payment has a row of `paid_at`, and `paid` says what holds once so many are made, its columns those of `Paid`;
    `moved_at` and `moved` (`Moved`) likewise of the instants at which the balance moved. `paydays` is `(2, MONTHDAYS)`:
    how many payments were made on each day of the month, and when the latest of them was.
    """

    paid_at: Integers
    paid: Integers
    paydays: Integers
    moved_at: Integers
    moved: Integers


class Pledges(NamedTuple):
    """The promises of an account, with room for all.

    `settled` is what is carried of them (`OLD`) and what they come to at the moment (`NOW`), its columns those of
    `Settled`. `waiting` are those that are not carried. Of those carried, `uncovered` are the ones that all payments
    together do not cover, or did not before the longest window, its columns named below; `broken_made` is when the
    broken ones were made.
    """

    settled: Integers
    waiting: Integers
    uncovered: Integers
    broken_made: Integers


class Carried(IntEnum):
    """Single numbers that are kept from one moment of an account to its next."""

    first_contact = 0
    #: When somebody last answered, and the attempts without an answer since; likewise for the right party.
    answered = 1
    no_answer_streak = 2
    right_party = 3
    attempts_since = 4
    #: The usual payday (from 0, -1 for none), the payments around it, and all payments proper.
    payday = 5
    around_payday = 6
    payments = 7
    #: How many instants moved the balance.
    moves = 8
    #: How many promises wait, how many of those carried are among the uncovered, how many broken ones are noted.
    waiting = 9
    uncovered = 10
    broken = 11
    #: Until when payments count for the promises carried, and the sum of all payments below which one of those covered
    #: is covered no longer.
    settled_until = 12
    covered = 13


class Paid(IntEnum):
    """What holds once so many payments are made: sums, and of payments proper sizes, instants and gaps."""

    total = 0
    taken_back = 1
    tokens = 2
    largest = 3
    instants = 4
    first = 5
    last = 6
    last_amount = 7
    longest_gap = 8


class Moved(IntEnum):
    """What holds once the balance has moved at so many instants."""

    balance = 0
    cures = 1
    cured_at = 2


class Settled(IntEnum):
    """What is known of promises, summed up."""

    last_made = 0
    last_amount = 1
    in_three_days = 2
    settled_made = 3
    last_kept = 4
    kept = 5
    keeping = 6
    kept_made = 7
    broken = 8
    broken_amount = 9
    broken_paid = 10
    opened = 11
    open_amount = 12
    next_due = 13
    overdue = 14
    overdue_amount = 15
    overdue_since = 16
    #: Of those covered or overdue: how many, how late in all, how late at most, and the latest made.
    timed = 17
    late = 18
    most_late = 19
    timed_made = 20
    last_late = 21


N_CARRIED, N_PAID, N_MOVED, N_SETTLED = len(Carried), len(Paid), len(Moved), len(Settled)
#: What is carried, and what it comes to at the moment: the first place of tallies, and the rows of `settled`.
OLD, NOW = 0, 1
#: The columns of `Pledges.uncovered`: which promise; what all payments must sum up to; when they first did, `FOREVER`
#: where they do not.
WHICH, WANTED, COVERED_AT = 0, 1, 2
#: The rows of `Ledger.paydays`.
ON_DAY, LATEST = 0, 1


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
def _start_table(begin: int, table: int, plan: Plan, tallies: Tallies) -> None:
    """Begin an account's table: nothing is carried of it."""
    tallies.folded[table] = begin
    for slot in range(plan.tables[table, COUNTED]):
        tallies.counts[OLD, table, slot] = 0
    for slot in range(plan.tables[table, TOTALLED]):
        tallies.totals[OLD, table, slot] = 0
    for slot in range(plan.tables[table, DATED]):
        tallies.lasts[OLD, table, slot] = NEVER


@inlined
def _start_moment(table: int, plan: Plan, tallies: Tallies) -> None:
    """Begin a moment: beyond the windows lies what is carried, in the windows nothing so far."""
    n_windows = len(plan.windows)
    counted, totalled = plan.tables[table, COUNTED], plan.tables[table, TOTALLED]
    for place in range(n_windows * counted):
        tallies.counts[NOW, table, place] = 0
    for place in range(n_windows * totalled):
        tallies.totals[NOW, table, place] = 0
    for slot in range(counted):
        tallies.counts[NOW, table, n_windows * counted + slot] = tallies.counts[OLD, table, slot]
    for slot in range(totalled):
        tallies.totals[NOW, table, n_windows * totalled + slot] = tallies.totals[OLD, table, slot]
    for slot in range(plan.tables[table, DATED]):
        tallies.lasts[NOW, table, slot] = tallies.lasts[OLD, table, slot]


@inlined
def _tally(age: int, window: int, kind: int, at: int, money: int, table: int, plan: Plan, tallies: Tallies) -> None:
    """Let one event count, in the first window that holds it (one more than there are: beyond them all)."""
    slots = plan.slots[plan.tables[table, FIRST_KIND] + kind]
    n_slots, money_slots = plan.tables[table, SLOTS_COUNTED], plan.tables[table, SLOTS_TOTALLED]
    begin = window * plan.tables[table, COUNTED]
    for place in range(n_slots):
        tallies.counts[age, table, begin + slots[place]] += 1
    begin = window * plan.tables[table, TOTALLED]
    for place in range(n_slots, n_slots + money_slots):
        tallies.totals[age, table, begin + slots[place]] += money
    for place in range(n_slots + money_slots, n_slots + money_slots + plan.tables[table, SLOTS_DATED]):
        tallies.lasts[age, table, slots[place]] = max(tallies.lasts[age, table, slots[place]], at)


@inlined
def _window(at: int, as_of: int, windows: Integers) -> int:
    """The first window that holds an event; how many there are where none does. Windows are ascending."""
    window = 0
    for place in range(len(windows)):
        window += at < as_of - windows[place]
    return window


@inlined
def _write(values: Floats, as_of: int, table: int, plan: Plan, tallies: Tallies) -> None:
    """Write a table's counts, totals and times since.

    A shorter window's events are in every longer one: what was counted once is added up from window to window.
    """
    count, total, last = tallies.counts[NOW, table], tallies.totals[NOW, table], tallies.lasts[NOW, table]
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


@inlined
def _tally_events(
    values: Floats, as_of: int, begin: int, end: int, rows: Table, table: int, plan: Plan, tallies: Tallies
) -> None:
    """Count, sum and date contacts, payments or charges.

    What was known before the longest window happened before it, too, and stays there as time goes on.
    """
    if tallies.entered[table] == begin:
        _start_table(begin, table, plan, tallies)
    already, horizon = tallies.folded[table], as_of - plan.windows[len(plan.windows) - 1]
    folded = visible_end(rows, already, end, horizon)
    for event in range(already, folded):
        _tally(OLD, 0, rows[event, KIND], rows[event, AT], rows[event, MONEY], table, plan, tallies)
    tallies.folded[table] = folded
    _start_moment(table, plan, tallies)
    for event in range(folded, end):
        at, window = rows[event, AT], _window(rows[event, AT], as_of, plan.windows)
        _tally(NOW, window, rows[event, KIND], at, rows[event, MONEY], table, plan, tallies)
    _write(values, as_of, table, plan, tallies)


@called
def _tally_amounts(
    values: Floats, as_of: int, begin: int, end: int, rows: Table, table: int, plan: Plan, tallies: Tallies
) -> None:
    """Count, sum and date payments or charges."""
    _tally_events(values, as_of, begin, end, rows, table, plan, tallies)


# ------------------------------------------------------------------------------------------------------------ contacts


@inlined
def _count_since(
    counted: int, latest: int, before: int, streak: int, begin: int, end: int, contacts: Table, plan: Plan,
    entered: int, state: Integers,
) -> None:  # fmt: skip
    """Bring a streak up to date: how many events of the role `counted` happened after the instant `latest`.

    Only what became known since the last moment is read, and where the instant has moved, what became known after it.
    """
    event = entered
    if latest > before:
        # What happened after it became known after it: the rows before need not be read again.
        state[streak] = 0
        event = end
        while event > begin and contacts[event - 1, KNOWN] > latest:
            event -= 1
    more = 0
    for place in range(event, end):
        more += (plan.roles[contacts[place, KIND]] & counted != 0) & (contacts[place, AT] > latest)
    state[streak] += more


@inlined
def _scan_contacts(
    found: Floats, as_of: int, begin: int, end: int, contacts: Table, plan: Plan, entered: int, state: Integers
) -> None:
    """Streaks: attempts later than the latest other answer, or than the latest talk with the right party."""
    if entered == begin:
        state[Carried.first_contact] = FOREVER
        state[Carried.answered], state[Carried.right_party] = NEVER, NEVER
        state[Carried.no_answer_streak], state[Carried.attempts_since] = 0, 0
    first = state[Carried.first_contact]
    was_answered, was_right_party = state[Carried.answered], state[Carried.right_party]
    answered, right_party = was_answered, was_right_party
    for event in range(entered, end):
        role, at = plan.roles[contacts[event, KIND]], contacts[event, AT]
        first = min(first, at)
        answered = max(answered, at if role & ANSWERED else NEVER)
        right_party = max(right_party, at if role & RIGHT_PARTY else NEVER)
    _count_since(
        NO_ANSWER, answered, was_answered, Carried.no_answer_streak, begin, end, contacts, plan, entered, state
    )  # fmt: skip
    _count_since(
        ATTEMPT, right_party, was_right_party, Carried.attempts_since, begin, end, contacts, plan, entered, state
    )  # fmt: skip
    state[Carried.first_contact] = first
    state[Carried.answered], state[Carried.right_party] = answered, right_party
    found[Scanned.no_answer_streak] = state[Carried.no_answer_streak]
    found[Scanned.attempts_since_right_party] = state[Carried.attempts_since]
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
def _place_at(begin: int, after: int, rows: Table, instant: int) -> int:
    """The first place, in the order of time, of what happened at an instant or later, known or not."""
    low, high = begin, after
    while low < high:
        middle = (low + high) // 2
        if rows[begin + rows[middle, BY_TIME], AT] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _earliest(begin: int, end: int, rows: Table) -> int:
    """The instant at which the first of some events happened; `FOREVER` where there is none."""
    earliest = FOREVER
    for event in range(begin, end):
        earliest = min(earliest, rows[event, AT])
    return earliest


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
def _pay(n: int, at: int, amount: int, placed_balance: int, ledger: Ledger) -> None:
    """Add a payment or reversal as the last of `n` in the order of time."""
    paid = ledger.paid
    ledger.paid_at[n - 1] = at
    for column in range(N_PAID):
        paid[n, column] = paid[n - 1, column]
    paid[n, Paid.total] += amount
    if amount <= 0:
        paid[n, Paid.taken_back] += amount < 0
        return
    paid[n, Paid.tokens] += amount * TOKEN_SHARE < placed_balance
    paid[n, Paid.largest] = max(paid[n, Paid.largest], amount)
    paid[n, Paid.last_amount] += amount
    last, instants = paid[n, Paid.last], paid[n, Paid.instants]
    if at > last:
        paid[n, Paid.last], paid[n, Paid.last_amount], paid[n, Paid.instants] = at, amount, instants + 1
        if instants == 0:
            paid[n, Paid.first] = at
        else:
            paid[n, Paid.longest_gap] = max(paid[n, Paid.longest_gap], at - last)


@called
def _redo_payments(
    since: int, already: int, begin: int, end: int, after: int, payments: Table, placed_balance: int, ledger: Ledger,
    state: Integers,
) -> None:  # fmt: skip
    """Go through the payments known again, in the order of time, from the instant `since` on."""
    n, place = _before(ledger.paid_at, already - begin, since), _place_at(begin, after, payments, since)
    while n < end - begin:
        event = begin + payments[place, BY_TIME]
        place += 1
        if event < end:
            n += 1
            _pay(n, payments[event, AT], payments[event, MONEY], placed_balance, ledger)
    _find_payday(begin, already, end, payments, ledger.paydays, state)


@inlined
def _enter_payments(
    since: int, already: int, begin: int, end: int, after: int, payments: Table, placed_balance: int, ledger: Ledger,
    state: Integers,
) -> None:  # fmt: skip
    """Bring up to date what holds after each payment known. What holds before the earliest of the new ones stays."""
    if already < end:
        _redo_payments(since, already, begin, end, after, payments, placed_balance, ledger, state)


@inlined
def _find_payday(begin: int, entered: int, end: int, payments: Table, paydays: Integers, state: Integers) -> None:
    """The day of the month around which the account mostly pays, of equals the one last paid on."""
    if entered == begin:
        for day in range(MONTHDAYS):
            paydays[ON_DAY, day], paydays[LATEST, day] = 0, NEVER
        state[Carried.payments] = 0
    for event in range(entered, end):
        day = payments[event, KIND]
        if day < MONTHDAYS:
            paydays[ON_DAY, day] += 1
            paydays[LATEST, day] = max(paydays[LATEST, day], payments[event, AT])
            state[Carried.payments] += 1
    payday, most = -1, 0
    for day in range(MONTHDAYS):
        if paydays[ON_DAY, day] > 0:
            around = 0
            for step in range(-AROUND, AROUND + 1):
                around += paydays[ON_DAY, (day + step) % MONTHDAYS]
            if around > most or (around == most and paydays[LATEST, day] > paydays[LATEST, payday]):
                payday, most = day, around
    state[Carried.payday], state[Carried.around_payday] = payday, most


@inlined
def _scan_payments(found: Floats, as_of: int, n: int, paid: Integers) -> None:
    """Gaps, sizes and token payments, over payments proper, without reversals."""
    instants, first, last = paid[n, Paid.instants], paid[n, Paid.first], paid[n, Paid.last]
    if instants > 0:
        found[Scanned.token_payments] = paid[n, Paid.tokens]
        found[Scanned.days_since_first_payment] = _days(as_of, first)
        found[Scanned.last_payment_amount] = paid[n, Paid.last_amount] / MONEY_SCALE
        found[Scanned.largest_payment] = paid[n, Paid.largest] / MONEY_SCALE
    if instants > 1:
        found[Scanned.payment_gap_days] = (last - first) / ((instants - 1) * DAY)
        found[Scanned.longest_payment_gap_days] = paid[n, Paid.longest_gap] / DAY


@inlined
def _scan_paydays(found: Floats, year: int, month: int, today: int, state: Integers) -> None:
    """The usual payday, and how far ahead it lies."""
    payday, payments = state[Carried.payday], state[Carried.payments]
    if payments < 2:
        return
    length = _month_length(year, month)
    ahead = min(payday + 1, length) - today
    if ahead < 0:
        next_length = _month_length(year + (month == 12), month % 12 + 1)
        ahead = length - today + min(payday + 1, next_length)
    found[Scanned.usual_payday] = payday + 1
    found[Scanned.payday_share] = state[Carried.around_payday] / payments
    found[Scanned.days_to_payday] = ahead


# ------------------------------------------------------------------------------------------------------------ promises


@inlined
def _covered_at(low: int, high: int, made_at: int, amount: int, paid_at: Integers, paid: Integers) -> int:
    """The first instant after which what was paid since the promise covers it; it is known that it does."""
    if amount <= 0:
        return made_at
    wanted = paid[low, Paid.total] + amount
    if paid[high, Paid.taken_back] == paid[low, Paid.taken_back]:
        # Sums that only grow: the first that covers is found by halving.
        first, last = low, high
        while first < last:
            middle = (first + last) // 2
            if paid[middle + 1, Paid.total] >= wanted:
                last = middle
            else:
                first = middle + 1
        return paid_at[first]  # type: ignore[no-any-return]
    for place in range(low, high):
        if paid[place + 1, Paid.total] >= wanted and (place + 1 == high or paid_at[place + 1] > paid_at[place]):
            return paid_at[place]  # type: ignore[no-any-return]
    return made_at


@inlined
def _start_promises(begin: int, plan: Plan, tallies: Tallies, pledges: Pledges, state: Integers) -> None:
    """Begin an account's promises: all of them wait, none is carried."""
    settled = pledges.settled
    _start_table(begin, Tallied.promises, plan, tallies)
    _start_table(begin, Tallied.settlements, plan, tallies)
    tallies.entered[Tallied.promises] = begin
    state[Carried.waiting], state[Carried.uncovered], state[Carried.broken] = 0, 0, 0
    state[Carried.settled_until], state[Carried.covered] = NEVER, NEVER
    for column in range(N_SETTLED):
        settled[OLD, column] = 0
    settled[OLD, Settled.last_made], settled[OLD, Settled.settled_made] = NEVER, NEVER
    settled[OLD, Settled.kept_made] = NEVER
    settled[OLD, Settled.next_due], settled[OLD, Settled.overdue_since] = FOREVER, FOREVER
    settled[OLD, Settled.most_late], settled[OLD, Settled.timed_made] = NEVER, NEVER


@inlined
def _note_made(age: int, made_at: int, amount: int, settled: Integers) -> None:
    """Note when the latest promise was made, and the money promised then."""
    if made_at > settled[age, Settled.last_made]:
        settled[age, Settled.last_made], settled[age, Settled.last_amount] = made_at, 0
    if made_at == settled[age, Settled.last_made]:
        settled[age, Settled.last_amount] += amount


@inlined
def _note_settled(age: int, made_at: int, is_kept: bool, settled: Integers) -> None:
    """Note when the latest of the settled promises was made, and whether any made then was kept."""
    if made_at > settled[age, Settled.settled_made]:
        settled[age, Settled.settled_made], settled[age, Settled.last_kept] = made_at, 0
    if made_at == settled[age, Settled.settled_made] and is_kept:
        settled[age, Settled.last_kept] = 1


@inlined
def _fall_due(due_on: int, amount: int, settled: Integers) -> None:
    """Let a promise count as overdue."""
    settled[NOW, Settled.overdue] += 1
    settled[NOW, Settled.overdue_amount] += amount
    settled[NOW, Settled.overdue_since] = min(settled[NOW, Settled.overdue_since], due_on)


@inlined
def _note_late(age: int, made_at: int, late: int, settled: Integers) -> None:
    """Note how long after its due date a promise was covered, or is overdue so far."""
    settled[age, Settled.timed] += 1
    settled[age, Settled.late] += late
    settled[age, Settled.most_late] = max(settled[age, Settled.most_late], late)
    if made_at > settled[age, Settled.timed_made] or (
        made_at == settled[age, Settled.timed_made] and late > settled[age, Settled.last_late]
    ):
        settled[age, Settled.timed_made], settled[age, Settled.last_late] = made_at, late


@inlined
def _time_promise(as_of: int, covered_at: int, made_at: int, due_on: int, amount: int, settled: Integers) -> None:
    """A promise is late until it is covered, if it is (else `FOREVER`); one that is not may be overdue so far."""
    is_overdue = covered_at == FOREVER and due_on + DAY <= as_of
    if is_overdue:
        _fall_due(due_on, amount, settled)
    if is_overdue or covered_at < FOREVER:
        _note_late(NOW, made_at, min(covered_at, as_of) - due_on, settled)


@inlined
def _carry_promise(event: int, until: int, wanted: int, covered_at: int, pledges: Pledges, state: Integers) -> None:
    """Note of a promise that from now on is carried what may yet change what it counts for."""
    state[Carried.settled_until] = max(state[Carried.settled_until], until)
    place = state[Carried.uncovered]
    pledges.uncovered[place, WHICH], pledges.uncovered[place, WANTED] = event, wanted
    pledges.uncovered[place, COVERED_AT] = covered_at
    state[Carried.uncovered] = place + 1


@inlined
def _scan_uncovered(
    as_of: int, paid_since: int, horizon: int, n: int, promises: Table, ledger: Ledger, pledges: Pledges,
    state: Integers,
) -> None:  # fmt: skip
    """Those of the promises carried that all payments together do not cover are overdue; the others were covered.

    When, is carried once it is before the longest window, since most of what becomes known late reaches no farther.
    """
    paid_at, paid, settled, left = ledger.paid_at, ledger.paid, pledges.settled, 0
    for place in range(state[Carried.uncovered]):
        event, wanted = pledges.uncovered[place, WHICH], pledges.uncovered[place, WANTED]
        covered_at = pledges.uncovered[place, COVERED_AT]
        made_at, due_on, amount = promises[event, AT], promises[event, DUE_ON], promises[event, MONEY]
        if paid[n, Paid.total] < wanted:
            covered_at = FOREVER
        elif paid_since <= covered_at:
            covered_at = _covered_at(_before(paid_at, n, made_at), n, made_at, amount, paid_at, paid)
        _time_promise(as_of, covered_at, made_at, due_on, amount, settled)
        if covered_at < horizon:
            _note_late(OLD, made_at, covered_at - due_on, settled)
            state[Carried.settled_until] = max(state[Carried.settled_until], covered_at)
            state[Carried.covered] = max(state[Carried.covered], wanted)
        else:
            pledges.uncovered[left, WHICH], pledges.uncovered[left, WANTED] = event, wanted
            pledges.uncovered[left, COVERED_AT] = covered_at
            left += 1
    state[Carried.uncovered] = left


@inlined
def _broken_streak(n_broken: int, pledges: Pledges, state: Integers) -> int:
    """How many broken promises were made after the latest that was kept; of those carried, only these stay noted."""
    streak, left, was_kept, is_kept = (
        0,
        0,
        pledges.settled[OLD, Settled.kept_made],
        pledges.settled[NOW, Settled.kept_made],
    )
    for place in range(n_broken):
        made_at = pledges.broken_made[place]
        streak += made_at > is_kept
        if place < state[Carried.broken] and made_at > was_kept:
            pledges.broken_made[left] = made_at
            left += 1
    state[Carried.broken] = left
    return streak


@inlined
def _settle_promises(
    as_of: int, n: int, promises: Table, plan: Plan, tallies: Tallies, ledger: Ledger, pledges: Pledges, state: Integers
) -> int:
    """Settle each waiting promise by the `n` payments known: kept when they cover it, broken when its time has passed.

    First those whose time ended before the longest window, which are carried from now on; then the others, for this
    moment alone. What was paid between two instants is looked up in sums, so that many promises and many payments are
    no product of the two. Returns how many broken promises are noted.
    """
    paid_at, paid, waiting, settled = ledger.paid_at, ledger.paid, pledges.waiting, pledges.settled
    paid_so_far, horizon = paid[n, Paid.total], as_of - plan.windows[len(plan.windows) - 1]
    n_broken = state[Carried.broken]
    for age in range(OLD, NOW + 1):
        if age == NOW:
            state[Carried.broken] = n_broken
            _start_moment(Tallied.promises, plan, tallies)
            _start_moment(Tallied.settlements, plan, tallies)
            for column in range(N_SETTLED):
                settled[NOW, column] = settled[OLD, column]
        left = 0
        for place in range(state[Carried.waiting]):
            event = waiting[place]
            made_at, due_on, amount = promises[event, AT], promises[event, DUE_ON], promises[event, MONEY]
            deadline = due_on + plan.grace
            until = max(deadline, made_at + QUICK)
            if age == OLD and until >= horizon:
                waiting[left] = event
                left += 1
                continue
            later = due_on - made_at > QUICK
            window = _window(made_at, as_of, plan.windows) if age == NOW else 0
            _tally(age, window, later, made_at, amount, Tallied.promises, plan, tallies)
            _note_made(age, made_at, amount, settled)
            low, high = _before(paid_at, n, made_at), _before(paid_at, n, deadline + 1)
            paid_before = paid[low, Paid.total]
            in_time, wanted = paid[high, Paid.total] - paid_before, paid_before + amount
            settled[age, Settled.in_three_days] += paid[_before(paid_at, n, made_at + QUICK + 1), Paid.total] >= wanted
            is_kept, kept_at, covered_at = in_time >= amount, NEVER, FOREVER
            if is_kept or paid_so_far >= wanted:
                kept_at = _covered_at(low, high if is_kept else n, made_at, amount, paid_at, paid)
                covered_at = kept_at if paid_so_far >= wanted else FOREVER
            if age == OLD:
                _carry_promise(event, until, wanted, covered_at, pledges, state)
            else:
                _time_promise(as_of, covered_at, made_at, due_on, amount, settled)
            if not is_kept and as_of <= deadline:
                settled[age, Settled.opened] += 1
                settled[age, Settled.open_amount] += amount
                settled[age, Settled.next_due] = min(settled[age, Settled.next_due], due_on)
                continue
            settled_at = deadline
            if not is_kept:
                pledges.broken_made[n_broken] = made_at
                n_broken += 1
                settled[age, Settled.broken] += 1
                settled[age, Settled.broken_amount] += amount
                settled[age, Settled.broken_paid] += max(in_time, 0)
            else:
                settled_at = kept_at
                settled[age, Settled.kept] += 1
                settled[age, Settled.keeping] += settled_at - made_at
                settled[age, Settled.kept_made] = max(settled[age, Settled.kept_made], made_at)
            kind = ((not is_kept) * 2 + (as_of <= deadline)) * 2 + later
            window = _window(settled_at, as_of, plan.windows) if age == NOW else 0
            _tally(age, window, kind, settled_at, amount, Tallied.settlements, plan, tallies)
            _note_settled(age, made_at, is_kept, settled)
        if age == OLD:
            state[Carried.waiting] = left
    return n_broken  # type: ignore[no-any-return]


@called
def _scan_promises(
    found: Floats, values: Floats, as_of: int, paid_since: int, begin: int, end: int, promises: Table, n: int,
    plan: Plan, tallies: Tallies, ledger: Ledger, pledges: Pledges, state: Integers,
) -> None:  # fmt: skip
    """What the promises have come to. `paid_since` is the earliest instant of the payments that are new.

    What is carried holds while no payment becomes known that was made in the time of a promise carried or before it,
    and all payments together cover those that they covered; else all promises are settled anew.
    """
    settled, paid_so_far = pledges.settled, ledger.paid[n, Paid.total]
    if (
        tallies.entered[Tallied.promises] == begin
        or paid_since <= state[Carried.settled_until]
        or paid_so_far < state[Carried.covered]
    ):
        _start_promises(begin, plan, tallies, pledges, state)
    for event in range(tallies.entered[Tallied.promises], end):
        pledges.waiting[state[Carried.waiting]] = event
        state[Carried.waiting] += 1
    tallies.entered[Tallied.promises] = end
    n_broken = _settle_promises(as_of, n, promises, plan, tallies, ledger, pledges, state)
    horizon = as_of - plan.windows[len(plan.windows) - 1]
    _scan_uncovered(as_of, paid_since, horizon, n, promises, ledger, pledges, state)
    overdue, opened = settled[NOW, Settled.overdue], settled[NOW, Settled.opened]
    kept, broken_amount = settled[NOW, Settled.kept], settled[NOW, Settled.broken_amount]
    is_settled = settled[NOW, Settled.settled_made] != NEVER
    found[Scanned.promises_open] = opened
    found[Scanned.open_promise_amount] = settled[NOW, Settled.open_amount] / MONEY_SCALE
    found[Scanned.days_to_next_promise] = (settled[NOW, Settled.next_due] - as_of) / DAY if opened else np.nan
    found[Scanned.overdue_promises] = overdue
    found[Scanned.overdue_promise_amount] = settled[NOW, Settled.overdue_amount] / MONEY_SCALE
    found[Scanned.overdue_promise_days] = (as_of - settled[NOW, Settled.overdue_since]) / DAY if overdue else np.nan
    found[Scanned.last_promise_kept] = settled[NOW, Settled.last_kept] if is_settled else np.nan
    found[Scanned.last_promise_amount] = settled[NOW, Settled.last_amount] / MONEY_SCALE
    found[Scanned.broken_promise_paid_share] = (
        settled[NOW, Settled.broken_paid] / broken_amount if broken_amount > 0 else np.nan
    )  # fmt: skip
    found[Scanned.broken_promise_streak] = _broken_streak(n_broken, pledges, state)
    found[Scanned.days_to_keep_promise] = settled[NOW, Settled.keeping] / (kept * DAY) if kept else np.nan
    found[Scanned.promises_paid_within_3d] = settled[NOW, Settled.in_three_days]
    timed = settled[NOW, Settled.timed]
    found[Scanned.last_promise_days_late] = settled[NOW, Settled.last_late] / DAY if timed else np.nan
    found[Scanned.promise_days_late] = settled[NOW, Settled.late] / (timed * DAY) if timed else np.nan
    found[Scanned.most_promise_days_late] = settled[NOW, Settled.most_late] / DAY if timed else np.nan
    _write(values, as_of, Tallied.promises, plan, tallies)
    _write(values, as_of, Tallied.settlements, plan, tallies)


# ------------------------------------------------------------------------------------------------- balance, age and law


@inlined
def _next_charge(place: int, as_of: int, begin: int, end: int, after: int, charges: Table) -> int:
    """The next place, in the order of time, of a charge that is known; `after` where there is none."""
    while place < after:
        event = begin + charges[place, BY_TIME]
        if event < end:
            return place
        place = place + 1 if charges[event, AT] < as_of else after
    return after


@called
def _enter_moves(
    as_of: int, since: int, n: int, begin: int, end: int, after: int, charges: Table, ledger: Ledger,
    state: Integers,
) -> None:  # fmt: skip
    """Bring up to date the balance after each instant at which it moved, from the instant `since` on."""
    paid_at, paid, moved_at, moved = ledger.paid_at, ledger.paid, ledger.moved_at, ledger.moved
    move, payment = _before(moved_at, state[Carried.moves], since), _before(paid_at, n, since)
    charge = _next_charge(_place_at(begin, after, charges, since), as_of, begin, end, after, charges)
    while payment < n or charge < after:
        at = paid_at[payment] if payment < n else FOREVER
        if charge < after:
            at = min(at, charges[begin + charges[charge, BY_TIME], AT])
        by = 0
        while payment < n and paid_at[payment] == at:
            by -= paid[payment + 1, Paid.total] - paid[payment, Paid.total]
            payment += 1
        while charge < after and charges[begin + charges[charge, BY_TIME], AT] == at:
            by += charges[begin + charges[charge, BY_TIME], MONEY]
            charge = _next_charge(charge + 1, as_of, begin, end, after, charges)
        balance = moved[move, Moved.balance] + by
        is_cure = moved[move, Moved.balance] > 0 and balance <= 0
        moved[move + 1, Moved.balance] = balance
        moved[move + 1, Moved.cures] = moved[move, Moved.cures] + is_cure
        moved[move + 1, Moved.cured_at] = at if is_cure else moved[move, Moved.cured_at]
        moved_at[move] = at
        move += 1
    state[Carried.moves] = move


@inlined
def _scan_balance(
    found: Floats, as_of: int, placed_at: int, placed_balance: int, n: int, ledger: Ledger, moves: int
) -> None:
    """The balance since placement: what it is, how it moved, and when it fell to zero or below."""
    moved_at, moved, paid = ledger.moved_at, ledger.moved, ledger.paid
    balance = moved[moves, Moved.balance]
    before_30d, before_90d = _before(moved_at, moves, as_of - 30 * DAY), _before(moved_at, moves, as_of - 90 * DAY)
    paid_since = paid[n, Paid.total] - paid[_before(ledger.paid_at, n, placed_at), Paid.total]
    found[Scanned.paid_since_placed] = paid_since / MONEY_SCALE
    found[Scanned.charged_since_placed] = (balance - placed_balance + paid_since) / MONEY_SCALE
    found[Scanned.balance] = balance / MONEY_SCALE
    found[Scanned.balance_change_30d] = (balance - moved[before_30d, Moved.balance]) / MONEY_SCALE
    found[Scanned.balance_change_90d] = (balance - moved[before_90d, Moved.balance]) / MONEY_SCALE
    found[Scanned.cures] = moved[moves, Moved.cures]
    found[Scanned.days_since_last_cure] = _days(as_of, moved[moves, Moved.cured_at])


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
def _tallies(plan: Plan) -> Tallies:
    """Room for the tables' tallies."""
    n_tables, n_bins = len(plan.tables), len(plan.windows) + 1
    counted, totalled = plan.tables[:, COUNTED].max(), plan.tables[:, TOTALLED].max()
    return Tallies(
        np.empty(n_tables, dtype=np.int64),
        np.empty(n_tables, dtype=np.int64),
        np.empty((2, n_tables, n_bins * counted), dtype=np.int32),
        np.empty((2, n_tables, n_bins * totalled), dtype=np.int64),
        np.empty((2, n_tables, plan.tables[:, DATED].max()), dtype=np.int64),
    )


@called
def _room(
    account: Integers, payments_start: Integers, charges_start: Integers, promises_start: Integers
) -> tuple[Ledger, Pledges]:
    """Room for the payments, moves and promises of the largest of the accounts."""
    n_payments, n_charges, n_promises = 0, 0, 0
    for i in account:
        n_payments = max(n_payments, payments_start[i + 1] - payments_start[i])
        n_charges = max(n_charges, charges_start[i + 1] - charges_start[i])
        n_promises = max(n_promises, promises_start[i + 1] - promises_start[i])
    ledger = Ledger(
        np.empty(n_payments, dtype=np.int64),
        np.empty((n_payments + 1, N_PAID), dtype=np.int64),
        np.empty((2, MONTHDAYS), dtype=np.int64),
        np.empty(n_payments + n_charges, dtype=np.int64),
        np.empty((n_payments + n_charges + 1, N_MOVED), dtype=np.int64),
    )
    pledges = Pledges(
        np.empty((2, N_SETTLED), dtype=np.int64),
        np.empty(n_promises, dtype=np.int64),
        np.empty((n_promises, 3), dtype=np.int64),
        np.empty(n_promises, dtype=np.int64),
    )
    return ledger, pledges


@inlined
def _start_account(account: int, tables: Tables, entered: Integers, ledger: Ledger, state: Integers) -> None:
    """Begin an account: none of its events is read."""
    entered[Tallied.contacts] = tables.contacts_start[account]
    entered[Tallied.payments] = tables.payments_start[account]
    entered[Tallied.charges] = tables.charges_start[account]
    entered[Tallied.promises] = tables.promises_start[account]
    state[Carried.moves] = 0
    ledger.moved[0, Moved.balance] = tables.accounts[account, PLACED_BALANCE]
    ledger.moved[0, Moved.cures], ledger.moved[0, Moved.cured_at] = 0, NEVER
    for column in range(N_PAID):
        ledger.paid[0, column] = 0
    ledger.paid[0, Paid.first], ledger.paid[0, Paid.last] = NEVER, NEVER


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
    tallies, state = _tallies(plan), np.empty(N_CARRIED, dtype=np.int64)
    ledger, pledges = _room(account, tables.payments_start, tables.charges_start, tables.promises_start)
    entered = tallies.entered
    values = np.empty_like(plan.nothing)
    found = values[:N_SCANNED]
    previous, reached = -1, NEVER
    for moment in range(len(account)):
        i, t = account[moment], as_of[moment]
        for place in range(len(values)):
            values[place] = plan.nothing[place]
        year, month, day = _scan_calendar(found, local[moment])
        _scan_account(found, i, t, tables)
        if i != previous or t < reached:
            _start_account(i, tables, entered, ledger, state)
        previous, reached = i, t

        begin = tables.contacts_start[i]
        end = visible_end(tables.contacts, entered[Tallied.contacts], tables.contacts_start[i + 1], t)
        if begin < end:
            _tally_events(values, t, begin, end, tables.contacts, Tallied.contacts, plan, tallies)
            _scan_contacts(
                found, t, begin, end, tables.contacts, plan, entered[Tallied.contacts], state
            )  # fmt: skip
            entered[Tallied.contacts] = end

        placed_balance = tables.accounts[i, PLACED_BALANCE]
        begin, after = tables.payments_start[i], tables.payments_start[i + 1]
        end = visible_end(tables.payments, entered[Tallied.payments], after, t)
        n, paid_since = end - begin, FOREVER
        if n > 0:
            _tally_amounts(values, t, begin, end, tables.payments, Tallied.payments, plan, tallies)
            already, entered[Tallied.payments] = entered[Tallied.payments], end
            paid_since = _earliest(already, end, tables.payments)
            _enter_payments(paid_since, already, begin, end, after, tables.payments, placed_balance, ledger, state)
            _scan_payments(found, t, n, ledger.paid)
            _scan_paydays(found, year, month, day, state)

        begin = tables.promises_start[i]
        end = visible_end(tables.promises, entered[Tallied.promises], tables.promises_start[i + 1], t)
        if begin < end:
            _scan_promises(
                found, values, t, paid_since, begin, end, tables.promises, n, plan, tallies, ledger, pledges, state
            )  # fmt: skip

        begin, after = tables.charges_start[i], tables.charges_start[i + 1]
        end = visible_end(tables.charges, entered[Tallied.charges], after, t)
        moved_since = paid_since
        if begin < end:
            _tally_amounts(values, t, begin, end, tables.charges, Tallied.charges, plan, tallies)
            moved_since = min(paid_since, _earliest(entered[Tallied.charges], end, tables.charges))
            entered[Tallied.charges] = end
        if begin < end or n > 0:
            placed_at = tables.accounts[i, PLACED_AT]
            if moved_since < FOREVER:
                _enter_moves(t, max(moved_since, placed_at), n, begin, end, after, tables.charges, ledger, state)
            _scan_balance(found, t, placed_at, placed_balance, n, ledger, state[Carried.moves])

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
def paid_between(
    account: Integers, since: Integers, until: Integers, payments: Amounts, known_before: Integers
) -> Integers:
    """What was paid, net, from `since` to `until`, both included, as known before `known_before`: `(n,)` money."""
    paid = np.zeros(len(account), dtype=np.int64)
    for one in range(len(account)):
        begin = payments.start[account[one]]
        end = visible_end(payments.rows, begin, payments.start[account[one] + 1], known_before[one])
        paid[one] = _moved_between(begin, end, payments.rows, since[one], until[one])
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
