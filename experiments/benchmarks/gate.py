"""Whom the gate lets through: how often models of known quality pass it, as the unseen time holds more payers.

A made-up book has known probabilities; a model sees them through noise and is calibrated but for what is stated. The
gate should seldom let a worse model pass, and let one pass that is as good or better once there is evidence enough.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping

from experiments.benchmarks._book import Book, bundle, compared
from experiments.benchmarks._report import Figure, write_report
from experiments.champion.comparison import Entrant
from experiments.champion.gate import check_candidate, read_gate
from features.progress import bars, line
from training.bundle import Floats
from training.promotions import Check

BOOKS, DRAWS = 20, 100
#: Accounts of a book; about one in five of them pays at one of its two moments.
SIZES = (600, 2_400)
NOISE = 1.0
#: Each is given the book and the champion's noise; one that is retrained sees much of what the champion sees.
CANDIDATES: Mapping[str, Callable[[Book, Floats], Entrant]] = {
    "retrained, as good": lambda book, before: book.retrained(NOISE, before),
    "retrained, a little better": lambda book, before: book.retrained(0.8, before),
    "retrained, a little worse": lambda book, before: book.retrained(1.3, before),
    "another model, as good": lambda book, _: book.blurred(NOISE),
    "another model, much better": lambda book, _: book.blurred(0.3),
    "another model, a little worse": lambda book, _: book.blurred(1.3),
    "another model, much worse": lambda book, _: book.blurred(2.0),
    "promises a half more": lambda book, before: book.says(book.seen(NOISE, before).holdout.p_pay, amount_factor=1.5),
}


def main() -> int:
    """Run the benchmark."""
    figures: list[Figure] = []
    with bars() as progress, line(progress, "Books", len(SIZES) * BOOKS) as advance:
        for accounts in SIZES:
            passed: Counter[str] = Counter()
            failed: dict[str, Counter[str]] = {name: Counter() for name in CANDIDATES}
            payers = 0
            for seed in range(BOOKS):
                book = Book(accounts, seed)
                before = book.generator.normal(0, 1, len(book.p))
                champion = book.seen(NOISE, before)
                payers += len(set(book.account[book.paid].tolist()))
                for name, candidate in CANDIDATES.items():
                    checks = _checks(champion, candidate(book, before))
                    passed[name] += all(check.passed for check in checks)
                    failed[name].update(check.name for check in checks if not check.passed)
                advance()
            figures += [_figure(name, passed[name], payers // BOOKS, failed[name]) for name in CANDIDATES]
    write_report("gate", figures)
    return 0


def _checks(champion: Entrant, candidate: Entrant) -> tuple[Check, ...]:
    comparison = compared(champion, candidate, DRAWS)
    return check_candidate(comparison, bundle().manifest, candidate.bundle, read_gate())


def _figure(name: str, passed: int, payers: int, failed: Counter[str]) -> Figure:
    """The share of books in which a candidate passed, and which checks refused it most often."""
    why = ", ".join(f"{check} {times / BOOKS:.0%}" for check, times in failed.most_common(2))
    what = f"{name}, {payers:,} paying accounts"
    return Figure(what, passed / BOOKS, "share let through", f"refused by {why}" if why else "")


if __name__ == "__main__":
    sys.exit(main())
