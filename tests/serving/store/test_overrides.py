"""Overrides are kept as they were made, in order, and read page by page."""

from __future__ import annotations

from serving.store.database import Store
from serving.store.overrides import Override, list_overrides, write_override


def test_an_override_is_kept_as_it_was_made(store: Store) -> None:
    made = Override("A1", 7, "sms", "call", "asked to be called", answer_id=3, key_id="key-1")
    number = write_override(store, made)
    [row] = list_overrides(store).to_dict("records")
    assert row == {"override_id": number, **vars(made)}


def test_they_come_in_order_by_account_and_by_page(store: Store) -> None:
    numbers = [write_override(store, Override(f"A{n % 2}", n, "sms", "none", "no")) for n in range(5)]
    assert list_overrides(store)["override_id"].tolist() == numbers
    assert list_overrides(store, "A1")["at"].tolist() == [1, 3]
    assert list_overrides(store, after=numbers[1], limit=2)["override_id"].tolist() == numbers[2:4]
    assert list_overrides(store, "nobody").empty
