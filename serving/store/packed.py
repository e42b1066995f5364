"""Packed histories as bytes, account by account, and back: what a store keeps so that scoring reads no rows.

An account is a text and a row of 64-bit words. The words are: what they were packed by (a digest), how many rows there
are of each table, the account's own numbers, then the rows of one table after the other as they lie in `Histories`;
floats as their bits. The text has one line each for the time zone, the person, the jurisdiction and the categories.
So a thousand accounts are unpacked by joining them and picking words, without a loop over accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.events import Amounts, Contacts, Decisions, Promises, Restrictions
from features.histories import Accounts, Histories, Texts, category_columns
from features.settings import PortfolioSettings
from features.units import Rows

Words = npt.NDArray[np.int64]

#: Counted up when the words come to mean something else.
_LAYOUT = 1
#: A digest is the first word.
DIGEST_BYTES = 8
#: The words of one row of each table; a decision's end in its propensity, and whether it was explored.
_WIDTHS = {"contacts": 5, "payments": 5, "charges": 5, "promises": 4, "restrictions": 6, "decisions": 5}
_HEADER = 1 + len(_WIDTHS)
_NUMBERS = ("opened_at", "placed_at", "due_on", "balance")
_BREAK = "\n"


class PackedAccount(NamedTuple):
    """One account: its name, its lines of text, and its words as bytes."""

    account_id: str
    texts: str
    history: bytes


def digest_bytes(settings: PortfolioSettings) -> bytes:
    """A digest of all that packing depends on beside the rows; what begins with another is of no use."""
    depends = (
        *(_LAYOUT, settings.channel_names, settings.timezone, settings.commission_rate),
        *(settings.numeric, settings.categorical),
    )
    return blake2b(repr(depends).encode(), digest_size=DIGEST_BYTES).digest()


def to_bytes(histories: Histories) -> list[PackedAccount]:
    """Every account of some histories."""
    words, start = _all_words(histories)
    whole = words.tobytes()
    texts = _texts(histories)
    account_ids = histories.accounts.account_id.tolist()
    ends = (start * 8).tolist()
    return [
        PackedAccount(account_ids[place], texts[place], whole[ends[place] : ends[place + 1]])
        for place in range(len(account_ids))
    ]


def _all_words(histories: Histories) -> tuple[Words, Rows]:
    """The words of all accounts one after the other, and where each account's begin, `(n_accounts + 1,)`."""
    accounts, n = histories.accounts, len(histories)
    tables = {name: getattr(histories, name) for name in _WIDTHS}
    lengths = np.column_stack([np.diff(table.start) for table in tables.values()])
    head = np.column_stack(
        [
            *(np.full(n, np.frombuffer(digest_bytes(histories.settings), "<i8")), lengths),
            *(getattr(accounts, name) for name in _NUMBERS),
            np.ascontiguousarray(accounts.commission_rate).view(np.int64),
            np.ascontiguousarray(accounts.numeric).view(np.int64),
        ]
    )
    widths = np.array(list(_WIDTHS.values()))
    size = head.shape[1] + lengths @ widths
    start = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    words = np.empty(start[-1], dtype=np.int64)
    words[start[:-1, None] + np.arange(head.shape[1])] = head
    begin = start[:-1] + head.shape[1]
    for (name, width), table in zip(_WIDTHS.items(), tables.values(), strict=True):
        length = np.diff(table.start)
        words[_places(begin, length, width)] = _rows_of(name, table)
        begin = begin + length * width
    return words, start


def _rows_of(name: str, table: Any) -> Words:
    if name != "decisions":
        rows: Words = table.rows
        return rows
    return np.column_stack([table.rows, table.propensity.view(np.int64), table.explored.astype(np.int64)])


def _places(begin: Rows, length: Rows, width: int) -> Rows:
    """Where the words of rows are, `(n_rows, width)`: those of each account follow each other from `begin`."""
    before = np.cumsum(length) - length
    first = np.repeat(begin - before * width, length) + np.arange(int(length.sum())) * width
    return np.asarray(first[:, None] + np.arange(width))


def _texts(histories: Histories) -> list[str]:
    accounts = histories.accounts
    columns = [histories.timezones, accounts.person_id, accounts.jurisdiction]
    for place, levels in enumerate(histories.levels):
        columns.append(np.array([*levels, None], dtype=object)[accounts.categories[:, place]])
    lines = zip(*([text or "" for text in column] for column in columns), strict=True)
    return [_BREAK.join(line) for line in lines]


def fits(history: bytes, settings_digest: bytes) -> bool:
    """Whether bytes were packed by these settings."""
    return history[:DIGEST_BYTES] == settings_digest


def from_bytes(packed: Sequence[PackedAccount], settings: PortfolioSettings) -> Histories:
    """The histories of some accounts, each given once, in the order of their names: bit for bit what packing gives."""
    packed = sorted(packed)
    settings = settings.without_audit
    n, n_numeric = len(packed), len(settings.numeric)
    words = np.frombuffer(b"".join([account.history for account in packed]), dtype=np.int64)
    size = np.array([len(account.history) for account in packed], dtype=np.int64) // 8
    begin = np.cumsum(size) - size
    n_head = _HEADER + len(_NUMBERS) + 1 + n_numeric
    head = words[begin[:, None] + np.arange(n_head)]
    numbers = np.ascontiguousarray(head[:, _HEADER:].T)
    floats = numbers[len(_NUMBERS) :].view(np.float64)
    tables = _tables(words, begin + n_head, head[:, 1:_HEADER])
    zones, zone, (person_id, jurisdiction), levels, categories = _from_texts(packed, settings)
    accounts = Accounts(
        account_id=_object_array([account.account_id for account in packed]),
        person_id=person_id,
        jurisdiction=jurisdiction,
        zone=zone,
        **dict(zip(_NUMBERS, numbers, strict=False)),
        commission_rate=floats[0],
        numeric=np.ascontiguousarray(floats[1:].T).reshape(n, n_numeric),
        categories=categories,
    )
    return Histories(settings, zones, levels, None, accounts, **tables)


def _tables(words: Words, begin: Rows, lengths: Words) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kinds: dict[str, Any] = {"contacts": Contacts, "payments": Amounts, "charges": Amounts, "promises": Promises}
    kinds["restrictions"] = Restrictions
    for place, (name, width) in enumerate(_WIDTHS.items()):
        length = lengths[:, place]
        start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        rows = words[_places(begin, length, width)]
        if name == "decisions":
            propensity = np.ascontiguousarray(rows[:, 3]).view(np.float64)
            found[name] = Decisions(start, np.ascontiguousarray(rows[:, :3]), propensity, rows[:, 4] != 0)
        else:
            found[name] = kinds[name](start, rows)
        begin = begin + length * width
    return found


def _from_texts(packed: Sequence[PackedAccount], settings: PortfolioSettings) -> tuple[Any, Any, Any, Any, Any]:
    n_lines = 3 + len(category_columns(settings))
    lines = _BREAK.join([account.texts for account in packed]).split(_BREAK) if packed else []
    columns = [lines[line::n_lines] for line in range(n_lines)]
    zones, zone = _coded(columns[0])
    coded = [_coded(column) for column in columns[3:]]
    categories = np.column_stack([codes for _, codes in coded])
    texts = tuple(_object_array([text or None for text in column]) for column in columns[1:3])
    return zones, zone, texts, tuple(levels for levels, _ in coded), categories


def _coded(column: list[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The values that occur, sorted, and the place of each among them; -1 for none."""
    values = tuple(sorted({*column} - {""}))
    place = {value: code for code, value in enumerate(values)} | {"": -1}
    return values, np.array([place[value] for value in column], dtype=np.int32)


def _object_array(values: Sequence[str | None]) -> Texts:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
