"""Shadow scores: those of the challenger for the accounts of an answer, and never in the way of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pytest

from serving.engine import Engine
from serving.models.engines import ready
from serving.models.shadow import Counts, Shadow
from serving.scoring import score
from tests.serving.small import AS_OF, same_bits, small_bundle, small_histories

SECONDS = 60


@pytest.fixture(scope="module")
def challenger() -> Engine:
    return ready(small_bundle(trees=14), None)


@contextmanager
def running(shadow: Shadow) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=shadow.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_the_accounts_of_an_answer_are_scored_by_the_challenger(challenger: Engine) -> None:
    recorded: list[tuple[str, pd.DataFrame]] = []

    def record(engine: Engine) -> None:
        recorded.append((engine.label, score(engine.scorer, small_histories(), AS_OF)))

    shadow = Shadow(lambda: challenger)
    with running(shadow):
        assert shadow.offer(record, len(small_histories()))
        assert shadow.settle(SECONDS)
    ((label, scores),) = recorded
    assert label == challenger.label
    assert same_bits(scores, score(challenger.scorer, small_histories(), AS_OF))
    assert shadow.counts() == Counts(scored=len(small_histories()))


def test_what_does_not_fit_is_left_out_and_counted_and_nobody_waits(challenger: Engine) -> None:
    held, begun = threading.Event(), threading.Event()

    def slow(_: Engine) -> None:
        begun.set()
        assert held.wait(SECONDS)

    shadow = Shadow(lambda: challenger, most_accounts=100)
    with running(shadow):
        assert shadow.offer(slow, 60)
        assert begun.wait(SECONDS)
        # While the first is being worked on, there is room for 40 more.
        taken = [shadow.offer(lambda _: None, 15) for _ in range(1000)]
        # Had one waited for it, it would have waited in vain.
        held.set()
        assert shadow.settle(SECONDS)
    assert taken == [True, True, *[False] * 998]
    assert shadow.counts() == Counts(scored=90, dropped=15 * 998)


def test_an_answer_larger_than_all_the_room_is_scored_where_nothing_waits(challenger: Engine) -> None:
    shadow = Shadow(lambda: challenger, most_accounts=10)
    assert shadow.offer(lambda _: None, 1000)
    assert not shadow.offer(lambda _: None, 1)
    with running(shadow):
        assert shadow.settle(SECONDS)
    assert shadow.counts() == Counts(scored=1000, dropped=1)


def test_a_failure_is_counted_and_the_next_is_scored(challenger: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Engine) -> None:
        raise ValueError("account A00001")

    shadow = Shadow(lambda: challenger)
    with running(shadow):
        shadow.offer(broken, 3)
        shadow.offer(lambda _: None, 2)
        assert shadow.settle(SECONDS)
    assert shadow.counts() == Counts(scored=2, failed=3)
    assert "ValueError" in caplog.text
    assert "A00001" not in caplog.text


def test_without_a_challenger_nothing_is_kept(challenger: Engine) -> None:
    engines = [challenger]
    shadow = Shadow(lambda: engines[0] if engines else None)
    assert shadow.offer(lambda _: None, 5)
    engines.clear()  # promoted, or gone, before its turn came
    assert not shadow.offer(lambda _: None, 5)
    with running(shadow):
        assert shadow.settle(SECONDS)
    assert shadow.counts() == Counts(dropped=5)


def test_what_waits_at_the_end_is_counted(challenger: Engine) -> None:
    shadow = Shadow(lambda: challenger)
    shadow.offer(lambda _: None, 7)
    stop = threading.Event()
    stop.set()
    shadow.run(stop)
    assert shadow.counts() == Counts(dropped=7)
