"""The line of the queue that the documentation follows: its numbers follow from each other as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "one-line.md").read_text("utf-8")
COMMISSION = 0.15
#: Numbers are written to the cent, and sums of several are off by as many half cents.
CENT = 0.0151


def section(number: int) -> str:
    """The text under a numbered heading."""
    return re.split(r"^## \d+\. ", TEXT, flags=re.MULTILINE)[number]


def table(number: int) -> list[dict[str, str]]:
    """The table of a section."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in section(number).splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace(",", "").replace("−", "-"))


def test_a_value_is_money_by_commission_less_cost_and_what_is_added_is_that_less_waiting() -> None:
    rows = {row["action"]: {name: number(row[name]) for name in row if name != "action"} for row in table(4)}
    for row in rows.values():
        assert row["value"] == pytest.approx(row["money"] * COMMISSION - row["cost"], abs=CENT)
        assert row["adds"] == pytest.approx(row["value"] - rows["none"]["value"], abs=CENT)
        # Whoever pays pays as much by every action.
        assert row["money"] / row["p_pay"] == pytest.approx(rows["none"]["money"] / rows["none"]["p_pay"], rel=1e-3)


def test_the_channel_is_the_one_that_adds_most_less_its_place() -> None:
    added = {row["action"]: row["adds"] for row in table(4)}
    rows = table(6)
    assert all(row["adds"] == added[row["action"]] for row in rows)
    left = {row["action"]: number(row["left"]) for row in rows}
    for row in rows:
        assert number(row["left"]) == pytest.approx(number(row["adds"]) - number(row["price of its place"]), abs=CENT)
    assert max(left, key=left.__getitem__) == "letter"
    # What was left out has no price, or adds less than waiting.
    assert all(number(added[name]) < 0 for name in added if name not in left)
    assert number(added["visit"]) - left["letter"] == pytest.approx(52.17, abs=CENT)


def test_the_rank_follows_from_what_is_left() -> None:
    rows = table(7)
    for row in rows:
        assert number(row["left"]) == pytest.approx(number(row["adds"]) - number(row["price of its place"]), abs=CENT)
    assert [number(row["left"]) for row in rows] == sorted((number(row["left"]) for row in rows), reverse=True)
    prices = {row["action"]: row["price of its place"] for row in table(6)}
    assert all(row["price of its place"] == prices[row["channel"]] for row in rows if row["channel"] in prices)
    assert (rows[4]["account"], rows[4]["adds"]) == ("A0002913", table(6)[0]["adds"])


def test_every_account_ends_in_one_place() -> None:
    counts = [int(text.replace(",", "")) for text in re.findall(r"\d[\d,]*(?= |$)", section(7).split("\n\n")[-1])]
    queued, live, held, beyond, idle = 35, *counts[-4:]
    assert live == queued + held + beyond + idle
