"""Ended sessions are kept until they would have been over, once each, in either database."""

from __future__ import annotations

from serving.store.database import Store
from serving.store.sessions import end_session, read_ended_sessions


def test_ended_sessions_are_forgotten_when_they_would_be_over(store: Store) -> None:
    for number, until in ((1, 10), (2, 20), (2, 20)):
        end_session(store, bytes([number]) * 32, until, now=5)
    assert read_ended_sessions(store) == {bytes([1]) * 32, bytes([2]) * 32}
    end_session(store, b"c" * 32, 30, now=10)
    assert read_ended_sessions(store) == {bytes([2]) * 32, b"c" * 32}
