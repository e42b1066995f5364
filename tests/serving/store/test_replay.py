"""A score of the ledger comes out again, bit for bit; and where it does not, the replay says what and whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import sqlalchemy as sql

from features.errors import BundleError, StoreError
from features.histories import Histories
from features.settings import PortfolioSettings
from serving.scoring import Scorer
from serving.store.database import Store
from serving.store.erasing import erase_from_ledger
from serving.store.ledger import Answer, Scored, record, scores
from serving.store.replay import Replayed, answers_with, last_answers, replay
from tests.serving.store.scored import answer_of, live_rows, queued, scored_of
from training.bundle import Bundle


@dataclass(frozen=True)
class FakeRead:
    """What reading histories gives."""

    histories: Histories
    missing: tuple[str, ...]


@dataclass
class Reader:
    """Reads from packed histories, in their order rather than the one asked for; remembers what was asked."""

    histories: Histories
    asked: tuple[PortfolioSettings, int | None] | None = None

    def __call__(
        self, store: Store, account_ids: Sequence[str], settings: PortfolioSettings, until: int | None
    ) -> FakeRead:
        self.asked = (settings, until)
        there = set(self.histories.accounts.account_id)
        return FakeRead(self.histories, tuple(one for one in account_ids if one not in there))


@pytest.fixture
def given(scorer: Scorer, histories: Histories) -> Scored:
    """Scores in another order than that of the histories."""
    return scored_of(scorer, histories, live_rows(histories, 40)[::-1])


def replayed(store: Store, answer_id: int, scorer: Scorer, histories: Histories) -> Replayed:
    return replay(store, answer_id, lambda _: scorer.bundle, Reader(histories))


@pytest.mark.parametrize("source", ["store", "features", "request"])
def test_every_bit_comes_out_again(
    store: Store, scorer: Scorer, histories: Histories, given: Scored, source: str
) -> None:
    answer_id = record(store, answer_of(scorer, source=source), given)
    assert replayed(store, answer_id, scorer, histories) == Replayed(same=40)


def test_what_is_not_known_comes_out_as_not_known(store: Store, blind_scorer: Scorer, histories: Histories) -> None:
    rows = live_rows(histories, 5)
    answer_id = record(store, answer_of(blind_scorer), scored_of(blind_scorer, histories, rows))
    assert replayed(store, answer_id, blind_scorer, histories) == Replayed(same=5)


def test_a_queue_is_replayed_by_its_scores(store: Store, scorer: Scorer, histories: Histories, given: Scored) -> None:
    answer_id = record(store, answer_of(scorer, purpose="queue"), queued(given))
    assert replayed(store, answer_id, scorer, histories).same == 40


def test_the_histories_are_those_of_then(store: Store, scorer: Scorer, histories: Histories, given: Scored) -> None:
    answer = answer_of(scorer, arrival=11)
    answer = replace(answer, settings=replace(answer.settings, horizon_days=14))
    reader = Reader(histories)
    replay(store, record(store, answer, given), lambda _: scorer.bundle, reader)
    assert reader.asked == (answer.settings, 11)


def test_the_settings_are_those_of_then(store: Store, scorer: Scorer, histories: Histories) -> None:
    settings = histories.settings
    dearer = replace(settings, channels=tuple(replace(channel, cost=2 * channel.cost) for channel in settings.channels))
    under = replace(histories, settings=dearer)
    answer = replace(answer_of(scorer), settings=dearer)
    answer_id = record(store, answer, scored_of(scorer, under, live_rows(under, 5)))
    # The reader gives histories with today's settings: what counts are those of the answer.
    assert replayed(store, answer_id, scorer, histories) == Replayed(same=5)


def test_one_bit_that_differs_is_told(store: Store, scorer: Scorer, histories: Histories, given: Scored) -> None:
    off = given.p_pay.copy()
    off[3] = np.nextafter(off[3], 1)
    answer_id = record(store, answer_of(scorer), replace(given, p_pay=off))
    found = replayed(store, answer_id, scorer, histories)
    assert found.same == 39
    [difference] = found.differences
    assert (difference.account_id, difference.column) == (given.account_id[3], "p_pay")
    assert (difference.recorded, difference.replayed) == (off[3], given.p_pay[3])


def test_features_that_differ_are_told_by_their_digest(
    store: Store, scorer: Scorer, histories: Histories, given: Scored
) -> None:
    other = given.features.copy()
    other[0, 0] = 77
    answer_id = record(store, answer_of(scorer), replace(given, features=other))
    [difference] = replayed(store, answer_id, scorer, histories).differences
    assert (difference.account_id, difference.column) == (given.account_id[0], "features_digest")


@pytest.mark.parametrize("source", ["store", "features"])
def test_an_erased_account_is_told_and_the_others_are_replayed(
    store: Store, scorer: Scorer, histories: Histories, given: Scored, source: str
) -> None:
    answer_id = record(store, answer_of(scorer, source=source), given)
    with store.writing() as connection:
        erase_from_ledger(connection, str(given.account_id[2]), at=1)
    found = replayed(store, answer_id, scorer, histories)
    assert (found.same, found.differences) == (39, ())
    [(number, token, why)] = found.impossible
    assert (number, why) == (answer_id, "the account was erased")
    assert token.startswith("erased-")


def test_an_account_that_only_looks_erased_is_not(
    store: Store, scorer: Scorer, histories: Histories, given: Scored
) -> None:
    named = given.account_id.copy()  # type: ignore[union-attr]
    named[0] = "erased-by-hand"
    answer_id = record(store, answer_of(scorer), replace(given, account_id=named))
    [(_, _, why)] = replayed(store, answer_id, scorer, histories).impossible
    assert why == "the account is not among the store's histories"


def test_a_bundle_that_is_gone_is_told(store: Store, scorer: Scorer, histories: Histories, given: Scored) -> None:
    def gone(sha256: str) -> Bundle:
        raise BundleError(f"no {sha256[:4]}")

    answer_id = record(store, answer_of(scorer), given)
    found = replay(store, answer_id, gone, Reader(histories))
    assert (found.same, len(found.impossible)) == (0, 40)
    assert found.impossible[0][2] == f"no {scorer.bundle.digest[:4]}"


def test_one_account_is_replayed_where_it_was_scored(
    store: Store, scorer: Scorer, histories: Histories, given: Scored
) -> None:
    account_id = str(given.account_id[5])
    others = replace(given, account_id=np.array([f"other-{n}" for n in range(40)], dtype=object))
    numbers = [record(store, answer, each) for answer in _answers(scorer) for each in (given, others)]
    assert answers_with(store, account_id) == numbers[::2]
    assert last_answers(store, 3) == numbers[-3:]
    for number in answers_with(store, account_id):
        found = replay(store, number, lambda _: scorer.bundle, Reader(histories), account_id)
        assert found == Replayed(same=1)


def _answers(scorer: Scorer) -> list[Answer]:
    return [answer_of(scorer), answer_of(scorer, source="features")]


def test_there_is_no_answer_with_that_number(store: Store, scorer: Scorer, histories: Histories) -> None:
    with pytest.raises(StoreError, match="there is none with 9"):
        replayed(store, 9, scorer, histories)


def test_what_was_tampered_with_is_found(store: Store, scorer: Scorer, histories: Histories, given: Scored) -> None:
    answer_id = record(store, answer_of(scorer), given)
    with store.writing() as connection:
        connection.execute(sql.update(scores).where(scores.c.position == 4).values(band="J", blocked=0, rules="other"))
    columns = {difference.column for difference in replayed(store, answer_id, scorer, histories).differences}
    assert {"rules"} <= columns <= {"band", "blocked", "rules"}
