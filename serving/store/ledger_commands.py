"""The verb of the ledger: `recoup replay`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import click
from rich.table import Table

from features import environment
from features.errors import ReplayError
from features.progress import bars, line, wide_console
from serving.store.database import Store, open_store
from serving.store.replay import ERASED, Difference, Replayed, answers_with, last_answers
from serving.store.replay import replay as replay_answer
from training.bundle import MANIFEST, Bundle, read_bundle
from training.registry import open_by_digest

#: Differences that are printed; the rest is counted.
_SHOWN = 20
_FILE_WIDTH = 200


@click.command()
@click.option("--account", "account_id", help="Replay every score of this account.")
@click.option("--answer", "answer_id", type=click.IntRange(min=1), help="Replay the answer with this number.")
@click.option(
    "--last", type=click.IntRange(min=1), default=10, show_default=True, help="Replay so many of the last answers."
)
@click.option(
    "--store", "url", help="The store's URL; RECOUP_STORE, else the SQLite file in the var folder, by default."
)
def replay(account_id: str | None, answer_id: int | None, last: int, url: str | None) -> None:
    """Compute scores of the ledger again, and compare them bit for bit.

    Each is computed from the histories as they were when it was given, by the bundle that gave it, which is looked for
    among the bundles of the service and in the registry. The exit code is 0 only where all came out again; an account
    that was erased is told and counts neither way.
    """
    store = open_store(url or environment.store_url())
    try:
        numbers = _numbers(store, account_id, answer_id, last)
        found = _replay_all(store, numbers, account_id)
    finally:
        store.close()
    _say(found, len(numbers))


def _numbers(store: Store, account_id: str | None, answer_id: int | None, last: int) -> list[int]:
    if account_id is not None and answer_id is not None:
        raise click.UsageError("scores are named by --account or by --answer, not by both")
    if answer_id is not None:
        return [answer_id]
    return last_answers(store, last) if account_id is None else answers_with(store, account_id)


def _replay_all(store: Store, numbers: list[int], account_id: str | None) -> Replayed:
    find, found = _finder(environment.var_folder() / "serving", environment.tracking_uri()), Replayed()
    with bars() as progress, line(progress, "Replaying", len(numbers)) as advance:
        for number in numbers:
            found += replay_answer(store, number, find, account_id)
            advance(1)
    return found


def _finder(folder: Path, tracking_uri: str) -> Callable[[str], Bundle]:
    """Finds a bundle by its sha256: among those that the service has laid down, else in the registry."""

    @lru_cache(maxsize=4)
    def find(sha256: str) -> Bundle:
        kept = folder / sha256[:16]
        if (kept / MANIFEST).is_file():
            return read_bundle(kept, digest=sha256)
        return open_by_digest(sha256, tracking_uri)

    return find


def _say(found: Replayed, n_answers: int) -> None:
    """Print what was found; raises `ReplayError` unless every score that could be replayed came out again."""
    console = wide_console(_FILE_WIDTH)
    if found.differences:
        console.print(_table(found.differences))
    erased = [each for each in found.impossible if each[2] == ERASED]
    others = [each for each in found.impossible if each[2] != ERASED]
    for answer_id, account_id, why in others[:_SHOWN]:
        console.print(f"Answer {answer_id}, {account_id}: {why}.")
    console.print(f"{found.same:,} scores of {n_answers:,} answers came out again, bit for bit.")
    if erased:
        console.print(f"{len(erased):,} are of accounts that were erased.")
    differing = len({(each.answer_id, each.account_id) for each in found.differences})
    if differing or others:
        raise ReplayError(
            f"every score must come out again, {differing:,} came out otherwise and {len(others):,} could not be "
            f"computed; see above for which"
        )


def _table(differences: tuple[Difference, ...]) -> Table:
    table = Table("answer", "account", "figure", "recorded", "replayed", title=f"{len(differences):,} differences")
    for each in differences[:_SHOWN]:
        figures = (each.recorded, each.replayed)
        table.add_row(str(each.answer_id), each.account_id, each.column, *map(_text, figures))
    return table


def _text(figure: object) -> str:
    return figure.hex() if isinstance(figure, bytes) else repr(figure)
