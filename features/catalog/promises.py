"""Promises to pay: made, open, kept and broken, as settled by the payments known at the moment.

A promise is kept when payments from its making to its due date plus grace cover it, and broken when that time has
passed without. Each promise is held against all payments of its time: one payment may cover two promises.
"""

from __future__ import annotations

from features.catalog.grammar import Count, DaysSince, Derived, Feature, Quantity, Total, over, phrase, suffix, where
from features.kernel import Ratio

FAMILY = "promises"
MADE = where("promises")
QUICK = where("promises", term="quick")
KEPT = where("settlements", state="kept")
BROKEN = where("settlements", state="broken")
#: The usual share of due promises that are kept, which a rate over few of them is shrunk to.
PRIOR_KEPT = 0.4


def features() -> tuple[Feature, ...]:
    """Every feature of promises."""
    return (*_made(), *_settled(), *_open(), *_late(), *_latest(), *_rates())


def _made() -> list[Feature]:
    found = [
        Feature(
            f"promises_made{suffix(days)}", "count", FAMILY, f"Promises made {over(days)}.",
            Count(MADE, days), phrase("{value} promises made {over}", over=over(days)),
        )
        for days in (30, 90, 180, None)
    ]  # fmt: skip
    return [
        *found,
        Feature(
            "promised_amount", "amount", FAMILY, "Money promised so far.",
            Total(MADE), "{value} promised so far",
        ),
        Feature(
            "days_since_last_promise", "days", FAMILY, "Days since the latest promise was made.",
            DaysSince(MADE), "latest promise made {value} days ago", "no promise so far",
        ),
        Feature(
            "quick_promises", "count", FAMILY, "Promises so far that were due within three days of being made.",
            Count(QUICK), "{value} promises to pay within three days",
        ),
        Feature(
            "quick_promises_due", "count", FAMILY, "Of these, promises whose due date and grace have passed.",
            Count(where("settlements", due="yes", term="quick")), "{value} promises to pay within three days came due",
            short="promises to pay within three days, due",
        ),
        Feature(
            "quick_promises_due_kept", "count", FAMILY, "Of these again, promises that were kept.",
            Count(where("settlements", due="yes", state="kept", term="quick")),
            "{value} promises to pay within three days kept of those that came due",
            short="promises to pay within three days, kept",
        ),
        _quantity(
            "promises_paid_within_3d", "count", "Promises covered by what was paid within three days of making them.",
            "{value} promises paid within three days",
        ),
    ]  # fmt: skip


def _settled() -> list[Feature]:
    found = []
    for days in (90, 180, None):
        found += [
            Feature(
                f"promises_kept{suffix(days)}", "count", FAMILY, f"Promises that payments came to cover {over(days)}.",
                Count(KEPT, days), phrase("{value} promises kept {over}", over=over(days)),
            ),
            Feature(
                f"promises_broken{suffix(days)}", "count", FAMILY, f"Promises whose time ran out unpaid {over(days)}.",
                Count(BROKEN, days), phrase("{value} promises broken {over}", over=over(days)),
            ),
        ]  # fmt: skip
    return [
        *found,
        Feature(
            "promises_due", "count", FAMILY, "Promises so far whose due date and grace have passed.",
            Count(where("settlements", due="yes")), "{value} promises came due", short="promises that came due",
        ),
        Feature(
            "promises_due_kept", "count", FAMILY, "Of these, promises that were kept.",
            Count(where("settlements", due="yes", state="kept")), "{value} promises kept of those that came due",
        ),
        Feature(
            "broken_promise_amount", "amount", FAMILY, "Money of broken promises.",
            Total(BROKEN), "{value} promised and not paid",
        ),
        Feature(
            "days_since_last_broken_promise", "days", FAMILY,
            "Days since the time of the latest broken promise ran out.",
            DaysSince(BROKEN), "latest promise broken {value} days ago", "no broken promise",
        ),
        Feature(
            "days_since_last_kept_promise", "days", FAMILY,
            "Days since payments came to cover a promise for the last time.",
            DaysSince(KEPT), "latest promise kept {value} days ago", "no kept promise",
        ),
        _quantity(
            "broken_promise_paid_share", "share",
            "Share of the money of broken promises that was paid in time, promise by promise.",
            "{value} of the money of broken promises was paid", "no broken promise",
            short="share of broken promises' money paid",
        ),
        _quantity(
            "broken_promise_streak", "count", "Broken promises made after the latest one that was kept, or ever.",
            "{value} promises broken in a row",
        ),
        _quantity(
            "days_to_keep_promise", "days",
            "Mean days from making a kept promise to the instant at which what was paid since first covers it.",
            "promises kept after {value} days", "no kept promise", short="days to keep a promise, on average",
        ),
    ]  # fmt: skip


def _open() -> list[Feature]:
    return [
        _quantity(
            "promises_open", "count", "Promises not yet covered, and not yet due or within their grace.",
            "{value} open promises",
        ),
        _quantity(
            "open_promise_amount", "amount", "Money of open promises, whatever was paid on them.",
            "{value} promised and still open",
        ),
        _quantity(
            "days_to_next_promise", "days", "Days to the earliest due date of an open promise; below zero in grace.",
            "next promise due in {value} days", "no open promise", "next promise was due {value} days ago",
            "days until the next promise is due",
        ),
        _quantity(
            "overdue_promises", "count",
            "Promises a day or more past their due date that all that was paid since their making does not cover.",
            "{value} promises overdue",
        ),
        _quantity(
            "overdue_promise_amount", "amount", "Money of overdue promises, whatever was paid on them.",
            "{value} promised and overdue",
        ),
        _quantity(
            "overdue_promise_days", "days", "Days since the earliest due date of an overdue promise.",
            "a promise overdue by {value} days", "no overdue promise", short="days a promise is overdue",
        ),
        Feature(
            "open_promise_share_of_balance", "share", FAMILY, "Money of open promises, by the balance.",
            Derived(Ratio.share, ("open_promise_amount", "balance")), "{value} of the balance promised and still open",
            "nothing owed",
        ),
    ]  # fmt: skip


def _late() -> list[Feature]:
    """How late promises were covered, by all that was paid since their making; those overdue are late so far."""
    until = "to the first instant at which what was paid since its making covers it, or so far where it is overdue"
    return [
        _quantity(
            "last_promise_days_late", "days",
            f"Days from the due date of a promise {until}: of the latest made of those covered or overdue; of several "
            "made at once, the most.",
            "latest promise covered or overdue: {value} days late", "no promise covered or overdue",
            "latest promise covered or overdue: {value} days early", "days the latest promise was late",
        ),
        _quantity(
            "promise_days_late", "days", f"Mean days from the due date of a promise {until}.",
            "promises {value} days late on average", "no promise covered or overdue",
            "promises covered {value} days early on average", "days promises were late, on average",
        ),
        _quantity(
            "most_promise_days_late", "days", f"Most days from the due date of a promise {until}.",
            "promises up to {value} days late", "no promise covered or overdue",
            "promises covered {value} days early at the latest", "days promises were late, at most",
        ),
    ]  # fmt: skip


def _latest() -> list[Feature]:
    return [
        _quantity(
            "last_promise_amount", "amount", "Money promised at the instant of the latest promise.",
            "latest promise was {value}", "no promise so far", short="amount of the latest promise",
        ),
        _quantity(
            "last_promise_kept", "flag",
            "Whether the latest made of the settled promises was kept; of several made at once, any.",
            "latest settled promise kept: {value}", "no settled promise", short="latest settled promise kept",
        ),
        Feature(
            "last_promise_share_of_balance", "share", FAMILY, "Money promised at the latest promise, by the balance.",
            Derived(Ratio.share, ("last_promise_amount", "balance")), "latest promise was {value} of the balance",
            "no promise so far", short="latest promise, share of balance",
        ),
    ]  # fmt: skip


def _rates() -> list[Feature]:
    return [
        Feature(
            "kept_promise_rate", "share", FAMILY,
            f"Share of the promises that came due that were kept, shrunk to a prior of {PRIOR_KEPT:.0%}.",
            Derived(Ratio.shrunk_rate, ("promises_due_kept", "promises_due"), PRIOR_KEPT),
            "about {value} of promises kept", short="share of promises kept",
        ),
        Feature(
            "quick_promise_kept_rate", "share", FAMILY,
            "Share of the promises due within three days that were kept, of those that came due, shrunk to a prior of "
            f"{PRIOR_KEPT:.0%}.",
            Derived(Ratio.shrunk_rate, ("quick_promises_due_kept", "quick_promises_due"), PRIOR_KEPT),
            "about {value} of promises to pay at once kept", short="share of promises within three days kept",
        ),
        Feature(
            "broken_promise_share", "share", FAMILY, "Share of promises made that were broken.",
            Derived(Ratio.share, ("promises_broken", "promises_made")), "{value} of promises broken",
            "no promise so far",
        ),
    ]  # fmt: skip


def _quantity(
    name: str, unit: str, sentence: str, reason: str, absent: str = "", below: str = "", short: str = ""
) -> Feature:
    return Feature(name, unit, FAMILY, sentence, Quantity(name), reason, absent, below, short)
