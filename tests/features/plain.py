"""A small portfolio in which everything is right, for tests that spoil one thing, and ways to store it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.portfolio import Portfolio, portfolio_from_frames
from features.settings import PortfolioSettings

Rows = list[dict[str, Any]]

SETTINGS = PortfolioSettings("plain")


def rows() -> dict[str, Rows]:
    """Two accounts, and two rows of every other table, the first of each with every column."""
    return {
        "accounts": [
            {
                "account_id": "A1",
                "opened_at": "2025-01-01",
                "due_on": "2025-02-01",
                "balance": "120.50",
                "segment": "card",
                "placed_at": "2025-03-01T09:00:00+08:00",
                "person_id": "P1",
                "portfolio": "east",
                "commission_rate": "0.15",
                "timezone": "Asia/Shanghai",
                "jurisdiction": "cn",
            },
            {"account_id": "A2", "opened_at": "2025-01-02", "due_on": "", "balance": "0", "segment": "loan"},
        ],
        "contacts": [
            {
                "account_id": "A1",
                "at": "2025-04-01T10:00:00Z",
                "channel": "call",
                "outcome": "promise",
                "contact_id": "C1",
                "direction": "outbound",
                "contact_point": "N1",
                "cost": "1.6",
                "agent": "G1",
                "propensity": "0.25",
                "recorded_at": "2025-04-01T10:05:00Z",
            },
            {"account_id": "A2", "at": "2025-04-02", "channel": "sms", "outcome": "sent", "contact_id": "C2"},
        ],
        "payments": [
            {
                "account_id": "A1",
                "at": "2025-04-10",
                "amount": "50",
                "payment_id": "Y1",
                "recorded_at": "2025-04-11",
            },
            {"account_id": "A1", "at": "2025-04-12", "amount": "-50", "payment_id": "Y2"},
        ],
        "promises": [
            {
                "account_id": "A1",
                "made_at": "2025-04-01T10:00:00Z",
                "due_on": "2025-04-10",
                "amount": "50",
                "promise_id": "M1",
                "recorded_at": "2025-04-01T10:05:00Z",
            },
            {
                "account_id": "A2",
                "made_at": "2025-05-01T10:00:00Z",
                "due_on": "2025-05-01",
                "amount": "5",
                "promise_id": "M2",
            },
        ],
        "charges": [
            {
                "account_id": "A1",
                "at": "2025-05-01",
                "amount": "36.5",
                "due_on": "2025-06-01",
                "kind": "penalty",
                "recorded_at": "2025-05-02",
            },
            {"account_id": "A1", "at": "2025-05-03", "amount": "-36.5"},
        ],
        "restrictions": [
            {
                "account_id": "A2",
                "at": "2025-05-01",
                "kind": "channel_opt_out",
                "channel": "sms",
                "contact_point": "N1",
                "until": "2025-06-01",
                "recorded_at": "2025-05-02",
            },
            {"account_id": "A2", "at": "2025-06-01", "kind": "closed"},
        ],
        "decisions": [
            {
                "account_id": "A1",
                "at": "2025-04-01T10:00:00Z",
                "channel": "call",
                "propensity": "0.25",
                "explored": "true",
                "policy": "v1",
                "recorded_at": "2025-04-01T10:00:01Z",
            },
            {"account_id": "A2", "at": "2025-04-02", "channel": "none", "propensity": "1"},
        ],
    }


def frames(tables: Mapping[str, Rows] | None = None) -> dict[str, pd.DataFrame]:
    """The rows as frames of text, `None` where a row has no such cell."""
    given = rows() if tables is None else tables
    return {name: _frame(table) for name, table in given.items()}


def _frame(table: Rows) -> pd.DataFrame:
    names = dict.fromkeys(name for row in table for name in row)
    return pd.DataFrame({name: [row.get(name) for row in table] for name in names}, dtype=object)


def checked(tables: Mapping[str, Rows] | None = None, settings: PortfolioSettings = SETTINGS) -> Portfolio:
    """The rows, checked."""
    return portfolio_from_frames(frames(tables), settings)


def write(folder: Path, tables: Mapping[str, Rows] | None = None) -> Path:
    """Write the rows as CSV files, and the folder's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames(tables).items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder
