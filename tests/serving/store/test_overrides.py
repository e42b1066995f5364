"""Overrides are kept as they were made, in order, and read page by page."""

from __future__ import annotations

from serving.store.database import Store
from serving.store.overrides import Override, end_override, list_overrides, write_override


def test_an_override_is_kept_as_it_was_made(store: Store) -> None:
    made = Override("A1", 7, "sms", "call", "asked to be called", answer_id=3, key_id="key-1")
    number = write_override(store, made)
    [row] = list_overrides(store).to_dict("records")
    assert row == {"override_id": number, **vars(made), "ended_at": None, "ended_key_id": None}


def test_an_override_ends_once_and_stays_as_it_was_made(store: Store) -> None:
    made = Override("A1", 7, "sms", "call", "asked to be called", key_id="1")
    number, other = write_override(store, made), write_override(store, made)
    ended = {"override_id": number, **vars(made), "ended_at": 9, "ended_key_id": "2"}
    assert end_override(store, number, 9, "2").to_dict("records") == [ended]
    assert end_override(store, number, 11, "3").to_dict("records") == [ended]
    assert list_overrides(store, "A1").to_dict("records")[0] == ended
    assert list_overrides(store)["ended_at"].tolist() == [9, None]
    assert end_override(store, other + 1, 12).empty
    assert list_overrides(store)["override_id"].tolist() == [number, other]


def test_they_come_in_order_by_account_and_by_page(store: Store) -> None:
    numbers = [write_override(store, Override(f"A{n % 2}", n, "sms", "none", "no")) for n in range(5)]
    assert list_overrides(store)["override_id"].tolist() == numbers
    assert list_overrides(store, "A1")["at"].tolist() == [1, 3]
    assert list_overrides(store, after=numbers[1], limit=2)["override_id"].tolist() == numbers[2:4]
    assert list_overrides(store, "nobody").empty
